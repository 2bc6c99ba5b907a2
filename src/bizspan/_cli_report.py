"""
``bizspan report``: its options, and what they name.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bizspan import _cli_source
from bizspan._cli_declared import everything

if TYPE_CHECKING:
    from bizspan.report import Webhook

_MOST_ROWS: Final = 1_000


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add = parser.add_argument
    add("--since", default="7d", metavar="PERIOD", help="7d, last-week, 2026-03, a day, a moment, ... (default: 7d)")
    add("--until", default="", metavar="TIME", help="the first day or moment that is not in it any more")
    add("--as-of", default="", metavar="TIME", help="as it was known then (default: now)")
    add(
        "--compare", choices=("previous", "none"), default="previous", help="with the period before (default: previous)"
    )
    add(
        "--skip-marked", action=argparse.BooleanOptionalAction, default=True,
        help="a time with a mark in it is no baseline, the one before it is (default: yes)",
    )  # fmt: skip
    add("--kpi", action="append", default=[], metavar="NAME", help="this one alone; may be repeated")
    add("--by", default="segment,country,campaign", metavar="FACT,...", help="movers by these (default: %(default)s)")
    add("--most", type=_count, default=10, metavar="N", help="how many movers (default: 10)")
    add("--format", choices=("text", "md", "html", "json", "csv"), default="text", help="how to print (default: text)")
    add("--fail-below", action="append", type=_below, default=[], metavar="KPI[=TARGET]", help="exit 1 if it is")
    add("--alerts", action="store_true", help="say which alert rules apply, each once in its period, and nothing else")
    add("--webhook", nargs="?", const="", metavar="URL", help="post it there too; by default BIZSPAN_WEBHOOK_URL")
    add("--store", metavar="FILE", help="of the lens (default: as bizspan lens); with --clickhouse, of marks alone")
    add("--clickhouse", metavar="URL", nargs="?", const="", help="ClickHouse; by default BIZSPAN_CLICKHOUSE_URL")
    add("--config", metavar="FILE", help="the file that declares KPIs and alerts (default: the one that applies)")
    add("--module", action="append", default=[], metavar="MODULE:OBJECT", help="KPIs in Python; may be repeated")
    parser.epilog = (
        "Exit code: 0 it went well, 1 a KPI is below what --fail-below asks or can't be evaluated, or an alert was "
        "said, 2 wrong arguments or a wrong file, 3 the webhook did not take it, 4 an alert's rule can't be judged."
    )


def run(options: argparse.Namespace, show: Callable[[str], None], *, colour: bool, encoding: str) -> int:
    """
    Do what was asked.

    Args:
        options: What was typed.
        show: Prints.
        colour: With the terminal's colours.
        encoding: Of the stream.

    Raises:
        SetupError: What was asked can not be done; the text says what to do instead.
    """
    from bizspan.kpi import SqliteSource
    from bizspan.lens import _marks, default_path
    from bizspan.report import Request, Situation, _command, _rules, _times

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    output = _command.Output(show, _complain, options.format, colour, encoding, _webhook(options), width)
    declared = everything(options)
    calendar = declared.calendar
    as_of_ns = _times.moment_of(options.as_of, calendar) if options.as_of else time.time_ns()
    store = Path(options.store) if options.store else default_path()
    source = _cli_source.needed(options)
    told = options.store or (source.path if isinstance(source, SqliteSource) else "")
    # Alerts begin a store for what they have said; until then there are no marks.
    is_new = options.alerts and not Path(told).exists()
    marks = _marks.listed(Path(told)) if told and not is_new else ()
    if options.alerts:
        path = None if declared.loaded is None else declared.loaded.path
        rules = _rules.load(path, declared.kpis, declared.vocabularies)
        now = Situation(source, calendar, as_of_ns, marks, options.skip_marked)
        return _command.watch(_command.Watch(rules, now, store), output)
    request = Request(
        source=source,
        calendar=calendar,
        period=_times.period_of(options.since, options.until, calendar, as_of_ns),
        as_of_ns=as_of_ns,
        kpis=_command.kpis_of(declared.kpis, options.kpi),
        is_compared=options.compare == "previous",
        skips_marked=options.skip_marked,
        facts=tuple(dict.fromkeys(name.strip() for name in options.by.split(",") if name.strip())),
        marks=marks,
        most=options.most,
    )
    return _command.report(request, options.fail_below, output)


def _webhook(options: argparse.Namespace) -> Webhook | None:
    from bizspan.errors import SetupError
    from bizspan.report._webhook import SECRET_VARIABLE, URL_VARIABLE, Webhook

    if options.webhook is None:
        return None
    url = options.webhook or os.environ.get(URL_VARIABLE, "").strip()
    if not url:
        raise SetupError(f"set {URL_VARIABLE} to the address of the webhook, or pass it: --webhook URL.")
    return Webhook(url, os.environ.get(SECRET_VARIABLE, "").strip())


def _complain(sentence: str) -> None:
    print(f"bizspan report: {sentence}", file=sys.stderr)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 5 and 0 < int(text) <= _MOST_ROWS):
        raise argparse.ArgumentTypeError(f"must be a whole number above 0, at most {_MOST_ROWS}")
    return int(text)


def _below(text: str) -> Any:
    from bizspan.report._command import below_of

    try:
        return below_of(text)
    except ValueError:
        raise argparse.ArgumentTypeError("must be KPI, KPI=0.9, KPI=90% or KPI=EUR:1000") from None
