"""
``bizspan kpi``: its options, and how it finds what they name.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from bizspan.kpi._source import Source

_USAGE: Final = 2


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
        action.add_argument(
            "--config", metavar="FILE", help="the file that declares KPIs (default: the one that applies)"
        )
        action.add_argument(
            "--module", action="append", default=[], metavar="MODULE:OBJECT", help="KPIs in Python; may be repeated"
        )
        action.add_argument("--format", choices=("text", "json"), default="text", help="how to print (default: text)")
    for action in (show, sql, check):
        action.add_argument("--period", default="7d", metavar="PERIOD", help="today, 2026-03, 7d, ... (default: 7d)")
    for action in (show, check):
        where = action.add_mutually_exclusive_group()
        where.add_argument("--store", metavar="FILE", help="a store of the lens")
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
    """
    from bizspan.errors import SetupError

    try:
        return _run(options, show)
    except SetupError as error:
        print(f"bizspan kpi: error: {error}", file=sys.stderr)
        return _USAGE


def _run(options: argparse.Namespace, show: Callable[[str], None]) -> int:
    from bizspan._config_file import find, load_config
    from bizspan._config_schema import load as load_object
    from bizspan.errors import SetupError
    from bizspan.kpi import Calendar, Declared, load
    from bizspan.kpi._command import Request, check, list_all, merged, show_one, sql

    path = Path(options.config) if options.config else find()
    if path is not None and not path.is_file():
        raise SetupError(f"{path}: there is no such file.")
    declared = Declared({}, Calendar())
    if path is not None:
        told = load_config(path).configure.get("vocabulary")
        declared = load(path, () if told is None else (told,))
    sys.path.insert(0, os.getcwd())  # as `python -m` has it: the application's modules are where one stands
    objects = [(name, load_object(name)) for name in (*declared.modules, *options.module)]
    told_by = getattr(options, "by", None)
    request = Request(
        kpis=merged(declared.kpis, objects),
        calendar=declared.calendar,
        source=_source(options),
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
    return check(request)


def _source(options: argparse.Namespace) -> Source | None:
    from bizspan.kpi import ClickHouseSource, SqliteSource

    if getattr(options, "store", None):
        return SqliteSource(options.store)
    url = getattr(options, "clickhouse", None)
    if url is None:
        return None
    environment = {**os.environ, "BIZSPAN_CLICKHOUSE_URL": url} if url else os.environ
    return ClickHouseSource.from_environment(environment)
