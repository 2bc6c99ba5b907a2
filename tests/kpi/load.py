"""
How long each kind of KPI takes on a large store of the lens, and how much memory:
``python -m tests.kpi.load [--events N] [--long] [--store FILE]``.

A month of a shop, written through the store's own way in, so that its tables, indices and pages are those of a lens.
Each KPI is asked as a page asks: over all, by country, and with what is said beside it.
"""

from __future__ import annotations

import argparse
import json
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bizspan import names
from bizspan._clock import Ids
from bizspan.kpi import (
    KPI,
    AverageOrderValue,
    Calendar,
    Conversion,
    Count,
    Definition,
    Distinct,
    Period,
    Quantile,
    Ratio,
    Retention,
    SqliteSource,
    Sum,
    evaluate,
    events,
    operations,
    refunds,
)
from bizspan.lens._layout import EMPTY, INDEX, Batch, Row
from bizspan.lens._prepared import Prepared
from bizspan.lens._store import Store
from tests.memory import peak_mib

_DAYS: Final = 30
_SECOND: Final = 1_000_000_000
_BATCH: Final = 5_000
_UTC: Final = Calendar()
_SINCE: Final = _UTC.read("2026-10-01", 0).since_ns
MONTH: Final = Period(_SINCE, _SINCE + _DAYS * 86_400 * _SECOND, "month")
_SEGMENTS: Final = ("consumer", "smb", "enterprise")
_COUNTRIES: Final = {"DE": "EUR", "FR": "EUR", "NL": "EUR", "AT": "EUR", "CH": "CHF", "US": "USD", "GB": "GBP"}
_CHANNELS: Final = ("web", "app", "partner")
_CAMPAIGNS: Final = ("spring", "newsletter", "retargeting", "brand", None)
_TRAFFIC: Final = ("customer",) * 18 + ("bot", "internal")
_ORDERED: Final = ("basket", "checkout")
_PAID: Final = operations("checkout", outcome="success")

# One look at each event of the month, and a group for it: so much processor time is a machine's measure.
_REFERENCE: Final = (
    "SELECT country, name, count(*), sum(revenue_minor) FROM events WHERE time_ns >= ? AND time_ns < ?"
    " GROUP BY country, name"
)

KPIS: Final[Mapping[str, tuple[Definition, tuple[str, ...]]]] = {
    "count": (Count(operations("checkout")), ("country",)),
    "count_events": (Count(events("search.done")), ("country",)),
    "sum": (Sum("revenue"), ("country",)),
    "at_risk": (Sum("value", operations("checkout", outcome=["failed", "rejected"])), ("country",)),
    "ratio": (Ratio(Count(_PAID), Count(operations("checkout"))), ("country",)),
    "average_order_value": (AverageOrderValue(of=operations("checkout")), ("country",)),
    "p95": (Quantile(0.95, of=operations("checkout")), ("country",)),
    "distinct": (Distinct("customer"), ("country",)),
    "retention": (Retention(_PAID, every="week", periods=3), ()),
    "refunds_by_order": (Sum("refund", refunds(), dated="order"), ("country",)),
    "conversion": (Conversion((operations("basket"), _PAID)), ("country",)),
}


@dataclass(frozen=True, slots=True)
class Asked:
    """
    What one KPI took.

    Args:
        name: Of the KPI.
        seconds: Until the answer was there.
        cpu_s: Processor time meanwhile.
        reference_s: Processor time of `_REFERENCE` on the same store, just before and after, on average.
        peak_mib: The most memory of the process until then.
        n: How many records, or subjects, its value is of: so that it is seen that it read them.
    """

    name: str
    seconds: float
    cpu_s: float
    reference_s: float
    peak_mib: float
    n: int

    def __str__(self) -> str:
        return (
            f"{self.name:20} {self.seconds:6.2f} s, {self.cpu_s:5.2f} s of processor time, "
            f"{self.times_reference:4.1f} times the reference, n {self.n:9,}"
        )

    @property
    def times_reference(self) -> float:
        """The processor time, by that of the reference: it is alike on slow and fast machines."""
        return self.cpu_s / self.reference_s


def rows(count: int, seed: int = 7) -> Iterator[Row]:
    """
    Events of a shop over a month: 45 % baskets, 35 % checkouts, 15 % searches, 5 % refunds.

    Args:
        count: How many.
        seed: Of what happens.
    """
    chance = random.Random(seed)
    ids = Ids(f"{chance.getrandbits(80):020x}")
    step = (MONTH.until_ns - MONTH.since_ns) // count
    customers = max(50, count // 20)
    sold: list[tuple[str, str, int]] = []
    at = {name: INDEX[name] for name in INDEX}
    for number in range(count):
        row = EMPTY.copy()
        draw = chance.random()
        country = chance.choice(tuple(_COUNTRIES))
        told: dict[str, Any] = {
            "uid": ids.new(), "time_ns": MONTH.since_ns + number * step, "trace_id": f"{chance.getrandbits(128):032x}",
            "span_id": f"{chance.getrandbits(64):016x}", "resource_id": 1, "scope_id": 1, "service": "shop",
            "version": "1.4", "environment": "production", "segment": chance.choice(_SEGMENTS), "country": country,
            "channel": chance.choice(_CHANNELS), "campaign": chance.choice(_CAMPAIGNS),
            "traffic": chance.choice(_TRAFFIC), "customer": f"{chance.randrange(customers):032x}",
            "severity": 9, "flags": 1, "attributes": '{"shop.experiment":"b","shop.items":3}',
        }  # fmt: skip
        told["received_ns"] = told["observed_ns"] = told["time_ns"] + _SECOND
        if draw < 0.8:
            told |= _operation(chance, _ORDERED[draw >= 0.45], country, number)
            told["operation_id"] = ids.new()
            if told.get("revenue_minor"):
                sold.append((told["order_id"], told["revenue_currency"], told["revenue_minor"]))
        elif draw < 0.95 or not sold:
            told["name"] = "search.done"
        else:
            order, currency, minor = sold[chance.randrange(max(0, len(sold) - 5_000), len(sold))]
            told |= {"name": names.EVENT_REFUND, "order_id": order, "refund_currency": currency, "refund_minor": minor}
        for name, value in told.items():
            row[at[name]] = value
        yield row


def _operation(chance: random.Random, operation: str, country: str, number: int) -> dict[str, Any]:
    outcome = chance.choices((names.SUCCESS, names.REJECTED, names.FAILED), (85, 12, 3))[0]
    told: dict[str, Any] = {
        "name": names.EVENT_OPERATION, "operation": operation, "outcome": outcome,
        "duration_s": chance.randrange(2_000_000, 900_000_000) / 1e9,
    }  # fmt: skip
    if outcome != names.SUCCESS:
        told["reason"] = "card_declined"
    if operation == "checkout":
        what = "revenue" if outcome == names.SUCCESS else "value"
        told |= {"order_id": f"o-{number}", f"{what}_minor": chance.randrange(500, 25_000)}
        told[f"{what}_currency"] = _COUNTRIES[country]
    return told


def fill(path: Path, count: int) -> None:
    """
    A store with this many events.

    Args:
        path: Of the file, which is made.
        count: How many.
    """
    origin = {"resources": {1: "{}"}, "scopes": {1: ("shop", "", "{}")}}
    told = rows(count)
    with Store(path) as store:
        for _ in range(0, count, _BATCH):
            batch = Batch(**origin)  # type: ignore[arg-type]
            batch.rows["events"] = [row for _, row in zip(range(_BATCH), told, strict=False)]
            store.write(Prepared.of(batch))


def ask(path: Path, name: str) -> Asked:
    """
    One KPI's answer over the month.

    Args:
        path: Of the store.
        name: Which, of `KPIS`.
    """
    definition, by = KPIS[name]
    before_s = _reference_s(path)
    measured = KPI(name, definition, owner="shop", meaning="What the load measures.", by=by)
    began, cpu = time.perf_counter(), time.process_time()
    answer = evaluate(measured, SqliteSource(path), MONTH, calendar=_UTC, as_of_ns=MONTH.until_ns + 60 * _SECOND)
    seconds, cpu_s = time.perf_counter() - began, time.process_time() - cpu
    reference_s = (before_s + _reference_s(path)) / 2
    return Asked(name, seconds, cpu_s, reference_s, peak_mib(), sum(each.n for each in answer.total))


def _reference_s(path: Path) -> float:
    with closing(sqlite3.connect(path)) as database:
        began = time.process_time()
        database.execute(_REFERENCE, (MONTH.since_ns, MONTH.until_ns)).fetchall()
        return time.process_time() - began


def measured(path: Path) -> list[Asked]:
    """What each KPI took, in a process that does nothing else: so memory is that of the KPIs."""
    command = [sys.executable, "-m", "tests.kpi.load", "--store", str(path), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    return [Asked(**each) for each in json.loads(done.stdout)]


def main() -> None:
    """Measure, and print it."""
    parser = argparse.ArgumentParser(prog="python -m tests.kpi.load", description=__doc__)
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--long", action="store_true", help="1,000,000 events")
    parser.add_argument("--store", type=Path, help="a store that is there already, and stays")
    parser.add_argument("--json", action="store_true", help="for a program")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        path: Path = options.store or Path(directory, "load.db")
        if not path.exists():
            fill(path, 1_000_000 if options.long else options.events)
        if options.json:
            told = [ask(path, name) for name in KPIS]
            print(json.dumps([{name: getattr(each, name) for name in Asked.__slots__} for each in told]))
            return
        found = measured(path)
        print(f"{path.stat().st_size / 2**20:,.0f} MiB")
    for each in found:
        print(each)
    print(f"memory {max(each.peak_mib for each in found):.0f} MiB at most")


if __name__ == "__main__":
    main()
