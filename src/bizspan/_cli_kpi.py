"""
``bizspan kpi``: its options, and how it finds what they name.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

from bizspan import _cli_source
from bizspan._cli_declared import add_arguments, everything


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions and their options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listed = actions.add_parser("list", help="the KPIs that are declared")
    show = actions.add_parser("show", help="one KPI: its definition; with a source, its values")
    sql = actions.add_parser("sql", help="the SQL that a KPI compiles to")
    check = actions.add_parser("check", help="whether all KPIs hold together, and can be evaluated")
    for action in (show, sql):
        action.add_argument("name", metavar="NAME", help="the KPI's name")
        action.add_argument("--by", metavar="FACT,...", help="break down by these facts (default: the KPI's own)")
    for action in (listed, show, sql, check):
        add_arguments(action)
        action.add_argument("--format", choices=("text", "json"), default="text", help="how to print (default: text)")
    for action in (show, sql, check):
        action.add_argument("--period", default="7d", metavar="PERIOD", help="today, 2026-03, 7d, ... (default: 7d)")
    for action in (show, check):
        where = action.add_mutually_exclusive_group()
        where.add_argument("--store", metavar="FILE", help="a store of the lens (default: as bizspan lens)")
        where.add_argument(
            "--clickhouse", metavar="URL", nargs="?", const="", help="ClickHouse; by default BIZSPAN_CLICKHOUSE_URL"
        )
    show.add_argument("--compare", action="store_true", help="also the period before")
    sql.add_argument("--dialect", choices=("sqlite", "clickhouse"), default="sqlite", help="default: sqlite")
    sql.add_argument("--table", default="", metavar="NAME", help="ClickHouse's table of logs (default: otel_logs)")
    parser.epilog = "Exit code: 0 it went well, 1 a KPI can't be evaluated, 2 wrong arguments or a wrong file."


def run(options: argparse.Namespace, show: Callable[[str], None]) -> int:
    """
    Do what was asked.

    Args:
        options: What was typed.
        show: Prints.

    Raises:
        SetupError: What was asked can not be done; the text says what to do instead.
    """
    from bizspan.kpi._command import Request, check, list_all, show_one, sql

    found = everything(options)
    told_by = getattr(options, "by", None)
    request = Request(
        kpis=found.kpis,
        calendar=found.calendar,
        source=_cli_source.found(options) if options.action in ("show", "check") else None,
        period=getattr(options, "period", "7d"),
        by=None if told_by is None else tuple(name.strip() for name in told_by.split(",") if name.strip()),
        compare=getattr(options, "compare", False),
        as_json=options.format == "json",
        show=show,
    )
    if options.action == "list":
        return list_all(request)
    if options.action == "show":
        return show_one(request, options.name)
    if options.action == "sql":
        return sql(request, options.name, options.dialect, options.table)
    from bizspan.report import _rules

    # Alerts are declared beside KPIs; one that names none is found here, not when it should be said.
    _rules.load(None if found.loaded is None else found.loaded.path, found.kpis, found.vocabularies)
    return check(request)
