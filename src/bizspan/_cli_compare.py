"""
``bizspan compare``: its options, and how it finds what they name.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bizspan import _cli_declared, _cli_source

if TYPE_CHECKING:
    from bizspan.kpi import Calendar, Design, Source
    from bizspan.lens import Mark

_EXIT_CODES: Final = (
    "Exit code: 0 nothing is worse, 1 a KPI is worse, 2 wrong arguments or a source that can't be read, 3 it can't be"
    " said yet: an arm has no records, or, with --require better, a KPI is unclear or has too few."
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add = parser.add_argument
    add("--by", default="service.version", metavar="FACT", help="what tells the arms apart (default: service.version)")
    add("--baseline", default="", metavar="VALUE", help="of the arm that is known, such as 1.4")
    add("--candidate", default="", metavar="VALUE", help="of the arm that is new, such as 1.5")
    add("--period", default="24h", metavar="PERIOD", help="today, 7d, 2026-03-01..2026-03-08, ... (default: 24h)")
    add("--at", default="", metavar="TIME", help="instead of two arms: before and after this moment")
    add("--until", default="", metavar="TIME", help="with --at: the end of what comes after (default: now)")
    add(
        "--skip-marked", action=argparse.BooleanOptionalAction, default=True,
        help="with --at: a time before with a mark in it is left out (default: yes)",
    )  # fmt: skip
    add("--weeks", type=int, default=4, metavar="N", help="with --at: how many times before (default: 4)")
    add("--kpi", action="append", default=[], metavar="NAME", help="this one; may be repeated (default: all)")
    add("--unit", default="", metavar="FACT", help="what chance gives to an arm, such as customer or session")
    add("--where", action="append", default=[], metavar="FACT=VALUE", help="only these records; may be repeated")
    add("--slice", action="append", default=[], metavar="FACT", help="also by this fact, without a verdict")
    add("--alpha", type=float, default=0.05, metavar="P", help="errors over all KPIs and looks (default: 0.05)")
    add("--minimum", type=int, default=30, metavar="N", help="fewer units in an arm are too few (default: 30)")
    add("--require", choices=("better",), help="exit with 3 as long as not every KPI is better")
    _cli_declared.add_arguments(parser)
    add("--store", metavar="FILE", help="of the lens (default: as bizspan lens); with --clickhouse, of marks alone")
    add("--clickhouse", metavar="URL", nargs="?", const="", help="ClickHouse; by default BIZSPAN_CLICKHOUSE_URL")
    add("--format", choices=("text", "json", "md"), default="text", help="how to print (default: text)")
    parser.epilog = _EXIT_CODES


def run(options: argparse.Namespace, show: Callable[[str], None]) -> int:
    """
    Do what was asked.

    Args:
        options: What was typed.
        show: Prints.

    Raises:
        SetupError: What was asked can not be done; the text says what to do instead.
    """
    from bizspan.kpi import CompareOptions, compare
    from bizspan.kpi._command import named, place_of
    from bizspan.kpi._compared_render import as_data, as_markdown, as_text

    found = _cli_declared.everything(options)
    kpis, calendar = found.kpis, found.calendar
    chosen = [named(kpis, name) for name in dict.fromkeys(options.kpi)] or list(kpis.values())
    how = CompareOptions(
        options.alpha, options.minimum, options.unit, _conditions(options.where), tuple(options.slice)
    )  # fmt: skip
    now_ns = time.time_ns()
    source = _cli_source.needed(options)
    comparison = compare(chosen, source, _design(options, calendar, now_ns, source), how, as_of_ns=now_ns)
    code = comparison.exit_code(options.require == "better")
    place = place_of(source)
    if options.format == "json":
        show(json.dumps({**as_data(comparison, code), "source": place}, indent=2))
    elif options.format == "md":
        show(as_markdown(comparison, place))
    else:
        show(as_text(comparison, sys.stdout.encoding or "ascii", place))
    return code


def _design(options: argparse.Namespace, calendar: Calendar, now_ns: int, source: Source) -> Design:
    from bizspan.errors import SetupError
    from bizspan.kpi import before_after, concurrent

    if not options.at:
        if options.until:
            raise SetupError("--until belongs to --at; the time of two arms is told by --period.")
        period = calendar.begun(calendar.read(options.period, now_ns), now_ns)
        return concurrent(options.by, options.baseline, options.candidate, period, calendar)
    if options.baseline or options.candidate:
        raise SetupError("--at compares before and after; leave --baseline and --candidate out.")
    until_ns = min(now_ns, _moment(options.until, calendar)) if options.until else now_ns
    marks = _marks(options, source) if options.skip_marked else ()
    return before_after(_moment(options.at, calendar), until_ns, options.weeks, calendar, marks)


def _marks(options: argparse.Namespace, source: Source) -> Iterator[Mark]:
    """Those of the lens's store, with ClickHouse of the one named beside it, in the countries that are asked."""
    from bizspan.kpi import SqliteSource
    from bizspan.lens import _marks as kept

    store = source.path if isinstance(source, SqliteSource) else options.store
    countries = {value.upper() for name, value in _conditions(options.where) if name == "country"}
    told = kept.listed(Path(store)) if store else ()
    yield from (mark for mark in told if not (mark.country and countries) or mark.country in countries)


def _moment(text: str, calendar: Calendar) -> int:
    from bizspan.errors import SetupError
    from bizspan.kpi._calendar import ns_of

    try:
        moment = datetime.fromisoformat(text)
        return ns_of(moment if moment.tzinfo is not None else moment.replace(tzinfo=calendar.zone))
    except (ValueError, OverflowError):
        raise SetupError(f"{text!r} is no moment, such as 2026-03-01T09:30 or 2026-03-01T09:30:00+01:00.") from None


def _conditions(told: list[str]) -> tuple[tuple[str, str], ...]:
    from bizspan.errors import SetupError

    pairs = [each.partition("=") for each in told]
    if not all(name and separator and value for name, separator, value in pairs):
        raise SetupError("--where is FACT=VALUE, such as country=DE.")
    return tuple((name, value) for name, _, value in pairs)
