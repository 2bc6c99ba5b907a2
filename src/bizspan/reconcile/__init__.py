"""
Reconciliation: do the events agree with the system of record?

`reconcile` compares counts and money by day, currency and order, and says by order id what differs. `bizspan
reconcile` prints it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import tzinfo

from bizspan import names
from bizspan._pipeline import keyed_uid
from bizspan._signals import library_version
from bizspan.errors import SetupError
from bizspan.reconcile._backfill import Backfilled, emit, sale_name, unambiguous
from bizspan.reconcile._clickhouse import ClickHouseEvents
from bizspan.reconcile._compare import Tally, UidOf, compare
from bizspan.reconcile._events import Event, Reading, Selection, Source, ToldLine
from bizspan.reconcile._ledger import Ledger
from bizspan.reconcile._otlp_json import OtlpJsonLines
from bizspan.reconcile._report import Found, Report
from bizspan.reconcile._store import Period, Store
from bizspan.reconcile._stored import Stored, source_of
from bizspan.reconcile._times import Clock, day_of, moment_ns, zone

__all__ = [
    "ClickHouseEvents",
    "Event",
    "Ledger",
    "OtlpJsonLines",
    "Reading",
    "Report",
    "Request",
    "Selection",
    "Source",
    "Stored",
    "reconcile",
    "source_of",
]

_NANOS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Request:
    """
    What to compare, and how.

    Args:
        source: Where the events are.
        ledger: The system of record.
        selection: Which events are sales.
        time_zone: Whose days are compared.
        ledger_time_zone: Of the ledger's times without an offset.
        since: The first day, or moment; empty is from the beginning.
        until: The first day, or moment, that is not compared any more; empty is to the end.
        tolerance_s: Seconds that an event may be apart from its line in the ledger and still be of its day.
        most: How many rows and differences are shown of each kind.
        backfill: Emit what the events lack.
        dry_run: Say what a backfill would emit.
    """

    source: Source
    ledger: Ledger
    selection: Selection = field(default_factory=Selection)
    time_zone: str = "UTC"
    ledger_time_zone: str = "UTC"
    since: str = ""
    until: str = ""
    tolerance_s: float = 0.0
    most: int = 20
    backfill: bool = False
    dry_run: bool = False


def reconcile(request: Request) -> Report:
    """
    Compare both sides.

    Raises:
        SetupError: An argument is wrong, or one of the sides cannot be read; the text says what was expected.
    """
    try:
        return _reconciled(request)
    except sqlite3.Error as error:  # that of a ledger was turned into its own words before
        raise SetupError(
            f"The temporary database failed ({error}); SQLITE_TMPDIR names another directory for it."
        ) from None


def _reconciled(request: Request) -> Report:
    days = zone(request.time_zone)
    clock = Clock(days, zone(request.ledger_time_zone))
    period = Period(*_borders(request, days))
    sale = sale_name(request.selection)
    if request.backfill and sale is None:
        raise SetupError("A backfill needs the one name of the sales; pass --operation NAME or --event NAME.")
    uid_of: UidOf | None = None if sale is None else lambda is_refund, key: _uid(is_refund, sale.name, key)
    reading, tally, found = Reading(), Tally(), Found()
    tolerance_ns = round(request.tolerance_s * _NANOS)
    with closing(Store(period)) as store:
        lines = request.ledger.lines(clock)
        store.take_ledger(line for line in lines if request.selection.refunds or not line.is_refund)
        store.take_events(_selected(request, reading), lambda time_ns: day_of(time_ns, days))
        store.settle(uid_of)
        for difference in compare(store.groups(), tally, uid_of, tolerance_ns):
            found.add(difference, request.most)
        backfilled = None
        if request.backfill and sale is not None:
            backfilled = Backfilled(dry_run=request.dry_run)
            # Once more from the disk: there may be more of them than memory should hold.
            missing = unambiguous(compare(store.groups(), Tally(), uid_of, tolerance_ns), backfilled)
            if request.dry_run:
                backfilled.emitted = sum(1 for _ in missing)
            else:
                emit(missing, sale, backfilled)
        return Report(
            version=library_version(),
            ledger=request.ledger.path,
            ledger_lines=store.ledger_lines,
            time_zone=request.time_zone,
            naive_zone=request.ledger_time_zone if clock.is_naive_seen else "",
            reading=reading,
            tally=tally,
            found=found,
            delivered_twice=(store.delivered_twice, store.delivered_differing),
            most=request.most,
            backfilled=backfilled,
        )


def _selected(request: Request, reading: Reading) -> Iterator[ToldLine]:
    select = request.selection.line
    return (line for event in request.source.events(reading) if (line := select(event)) is not None)


def _borders(request: Request, days: tzinfo) -> tuple[int, int]:
    borders: list[int] = []
    for option, text, otherwise in (("--since", request.since, -(2**63)), ("--until", request.until, 2**63)):
        try:
            borders.append(moment_ns(text, days) if text else otherwise)
        except (ValueError, OverflowError):
            raise SetupError(f"{option} takes a day or a moment, as 2026-03-01 or 2026-03-01T09:30:00+01:00.") from None
    return borders[0], borders[1]


def _uid(is_refund: bool, sale: str, key: str) -> str:
    return keyed_uid(names.EVENT_REFUND if is_refund else sale, key) or ""
