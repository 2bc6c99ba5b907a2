"""
``bizspan reconcile``: its options.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Final

from bizspan import _cli_source
from bizspan._cli_declared import everything
from bizspan._cli_words import count

_MOST_TOLERANCE_S: Final = 86_400.0


def _columns(text: str) -> dict[str, str]:
    told = {role: column for role, _, column in (pair.partition("=") for pair in text.split(","))}
    roles = ("order", "amount", "currency", "time", "key", "kind")
    if not all(told.values()) or not told.keys() <= {*roles}:
        raise argparse.ArgumentTypeError(f"must be ROLE=COLUMN,... with roles of {', '.join(roles)}")
    return told


def _tolerance(text: str) -> float:
    seconds = float(text) if text.replace(".", "", 1).isdigit() and text.isascii() else -1.0
    if not 0 <= seconds <= _MOST_TOLERANCE_S:
        raise argparse.ArgumentTypeError(f"must be a number of seconds, at most {_MOST_TOLERANCE_S:g}")
    return seconds


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add = parser.add_argument
    add(
        "--events", nargs="+", default=[], metavar="PATH",
        help="OTLP JSON lines: files, or directories of them; directories of spools; stores of the lens",
    )  # fmt: skip
    add("--clickhouse", metavar="URL", nargs="?", const="", help="ClickHouse; by default BIZSPAN_CLICKHOUSE_URL")
    add("--ledger", required=True, metavar="FILE", help="the system of record: a CSV file or a SQLite database")
    add("--ledger-query", default="", metavar="SQL", help="one SELECT, for SQLite")
    add(
        "--columns", type=_columns, default={}, metavar="ROLE=COLUMN,...",
        help="columns that are not called order, amount, currency, time, key or kind",
    )  # fmt: skip
    add("--currency", default="", metavar="CODE", help="of all lines, where no column tells it")
    add("--minor-units", action="store_true", help="the ledger's amounts are whole minor units")
    add("--operation", action="append", default=[], metavar="NAME", help="its successes are sales; may be repeated")
    add("--event", action="append", default=[], metavar="NAME", help="these events are sales; may be repeated")
    add("--no-refunds", action="store_true", help="compare sales alone")
    add("--time-zone", default="", metavar="ZONE", help="whose days are compared (default: the configuration file's)")
    add("--ledger-time-zone", default="UTC", metavar="ZONE", help="of ledger times without an offset (default: UTC)")
    add("--config", metavar="FILE", help="the file with the time zone (default: the one that applies)")
    add("--since", default="", metavar="TIME", help="the first day, or moment, to compare")
    add("--until", default="", metavar="TIME", help="the first day, or moment, not to compare any more")
    add(
        "--tolerance-s",
        type=_tolerance,
        default=0.0,
        metavar="N",
        help="both sides of midnight are one day (default: 0)",
    )
    add("--most", type=count, default=20, metavar="N", help="how many of each kind to show (default: 20)")
    add("--format", choices=("text", "json"), default="text", help="how to print (default: text)")
    add("--backfill", action="store_true", help="emit what the events lack, with the same uid")
    add("--dry-run", action="store_true", help="with --backfill: say what it would emit")
    parser.set_defaults(module=[])
    parser.epilog = "Exit code: 0 both sides are equal, 1 they differ, 2 wrong arguments or a side that cannot be read."


def run(options: argparse.Namespace, show: Callable[[str], None]) -> int:
    """
    Do what was asked.

    Args:
        options: What was typed.
        show: Prints.

    Raises:
        SetupError: What was asked can not be done; the text says what to do instead.
    """
    from bizspan import reconcile as room
    from bizspan.errors import SetupError

    clickhouse = _cli_source.clickhouse_of(options)
    if not options.events and clickhouse is None:
        raise SetupError("say where the events are: --events PATH ..., or --clickhouse [URL].")
    selection = room.Selection(frozenset(options.operation), frozenset(options.event), not options.no_refunds)
    report = room.reconcile(
        room.Request(
            source=room.source_of(options.events, clickhouse, selection),
            ledger=room.Ledger(
                options.ledger, options.ledger_query, options.columns, options.currency, options.minor_units
            ),
            selection=selection,
            time_zone=options.time_zone or everything(options).calendar.time_zone,
            ledger_time_zone=options.ledger_time_zone,
            since=options.since,
            until=options.until,
            tolerance_s=options.tolerance_s,
            most=options.most,
            backfill=options.backfill,
            dry_run=options.dry_run,
        )
    )
    if options.format == "json":
        show(report.as_json())
    else:
        show(report.as_text(encoding=sys.stdout.encoding or "ascii"))
    return report.exit_code
