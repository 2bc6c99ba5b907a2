"""The sums of both arms, minute by minute, are those of plain Python, on both engines."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, note, settings

from bizspan import names
from bizspan._columns import SERVICE_NAME
from bizspan.kpi import (
    KPI,
    AverageOrderValue,
    Conversion,
    Count,
    Definition,
    Distinct,
    Ratio,
    Source,
    Sum,
    events,
    operations,
)
from bizspan.kpi._arms import MINUTE_NS
from bizspan.kpi._arms_reader import CompareOptions, Reader
from bizspan.kpi._design import Design, concurrent
from bizspan.kpi._sequential import Apart, Stratum, Sums
from tests.kpi import strategies
from tests.kpi.stores import HAS_CHDB, NO_CHDB, ChdbSource, Told, sqlite_store
from tests.kpi.strategies import BERLIN, DAY, HOUR

NOW_NS: Final = DAY.until_ns + 400 * HOUR
CHECKOUT: Final = operations("checkout")
PAID: Final = operations("checkout", outcome="success")
_QUIET: Final = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]

DEFINITIONS: Final[dict[str, tuple[Definition, str]]] = {
    "paid": (Count(PAID), ""),
    "paid_by_customer": (Count(PAID), "customer"),
    "success": (Ratio(Count(PAID), Count(CHECKOUT)), ""),
    "success_by_customer": (Ratio(Count(PAID), Count(CHECKOUT)), "customer"),
    "revenue_by_customer": (Sum("revenue"), ""),
    "average": (AverageOrderValue(of=CHECKOUT), ""),
    "buyers": (Distinct("customer", PAID), ""),
    "buyers_of_all": (Ratio(Distinct("customer", PAID), Distinct("customer", CHECKOUT)), ""),
    "per_basket": (Ratio(Sum("revenue", CHECKOUT), Count(operations("basket"))), ""),
    "conversion": (Conversion((operations("basket"), PAID), window="12h"), ""),
    "signups": (Conversion((events("signup"), PAID), window="12h", reentry="each"), ""),
}


class Units:
    """
    What each unit of an arm did, computed from a list of events.

    Args:
        told: The events, each once.
    """

    def __init__(self, told: Iterable[Told]) -> None:
        inside = [each for each in told if DAY.since_ns <= each.time_ns < DAY.until_ns]
        self.events = sorted(
            (each for each in inside if each[SERVICE_NAME] in ("shop", "pay") and each[names.TRAFFIC] != "bot"),
            key=lambda each: (each.time_ns, each.uid),
        )
        self.all = sorted(
            (each for each in told if each[names.TRAFFIC] != "bot"), key=lambda each: (each.time_ns, each.uid)
        )

    def found(self, name: str, currency: str) -> dict[tuple[str, int], list[tuple[float, float]]]:
        """By arm and minute, the two values of each unit."""
        if name in ("conversion", "signups"):
            return self._conversions(name == "signups")
        _, unit = DEFINITIONS[name]
        unit = unit or {"revenue_by_customer": "customer", "buyers": "customer", "buyers_of_all": "customer"}.get(
            name, ""
        )
        units: dict[Any, list[tuple[Told, float, float]]] = {}
        for event in self.events:
            values = self._values(name, event, currency)
            if values is None:
                continue
            key: Any = event.uid
            if name == "average":
                key = ("o", event[names.ORDER]) if event[names.ORDER] is not None else ("r", event.uid)
            elif unit:
                key = event[names.CUSTOMER]
                if key is None:
                    continue
                if name == "success_by_customer":
                    key = (event[SERVICE_NAME], key)
            units.setdefault(key, []).append((event, *values))
        found: dict[tuple[str, int], list[tuple[float, float]]] = {}
        for did in units.values():
            y, x = sum(each[1] for each in did), sum(each[2] for each in did)
            if name in ("buyers", "buyers_of_all"):
                y, x = max(each[1] for each in did), max(each[2] for each in did)
            elif name not in ("success_by_customer", "per_basket"):
                x = 1.0
            if x > 0 or y > 0:
                first = did[0][0]
                found.setdefault((first[SERVICE_NAME], first.time_ns // MINUTE_NS), []).append((y, x))
        return found

    def _values(self, name: str, event: Told, currency: str) -> tuple[float, float] | None:
        operation = event[names.OPERATION_NAME] if event.name == names.EVENT_OPERATION else None
        outcome = event[names.OPERATION_OUTCOME]
        is_checkout, took_place = operation == "checkout", outcome in (None, names.SUCCESS)
        is_paid = is_checkout and outcome == names.SUCCESS
        minor: Any = event[names.MINOR_UNITS_KEYS[names.REVENUE]]
        of_checkout = is_checkout or (event.name == names.EVENT_REVENUE and event[names.OPERATION_NAME] == "checkout")
        is_money = minor is not None and took_place and event[names.CURRENCY_KEYS[names.REVENUE]] == currency
        is_told = event[names.OPERATION_NAME] is not None or took_place
        match name:
            case "paid" | "success" | "success_by_customer" | "buyers_of_all":
                return (float(is_paid), 1.0) if is_checkout else None
            case "paid_by_customer" | "buyers":
                return (float(is_paid), 1.0) if is_told else None
            case "revenue_by_customer":
                return (float(minor or 0) if is_money else 0.0, 1.0) if is_told else None
            case "average":
                return (float(minor or 0), 1.0) if of_checkout and is_money else None
            case _:  # per_basket
                fits = of_checkout and took_place
                if not (fits or operation == "basket"):
                    return None
                return float(minor or 0) if fits and is_money else 0.0, float(operation == "basket")

    def _conversions(self, is_each: bool) -> dict[tuple[str, int], list[tuple[float, float]]]:
        def step(event: Told) -> int:
            operation = event[names.OPERATION_NAME] if event.name == names.EVENT_OPERATION else None
            took_place = event[names.OPERATION_OUTCOME] in (None, names.SUCCESS)
            if (event.name == "signup" and took_place) if is_each else operation == "basket":
                return 1
            return 2 if operation == "checkout" and event[names.OPERATION_OUTCOME] == names.SUCCESS else 0

        customers: dict[str, list[Told]] = {}
        for event in self.all:
            if event.time_ns >= DAY.since_ns and event[names.CUSTOMER] is not None and step(event):
                customers.setdefault(event[names.CUSTOMER], []).append(event)
        units: dict[tuple[str, str], list[tuple[int, float]]] = {}
        for customer, did in customers.items():
            did.sort(key=lambda each: (each.time_ns, 0 if step(each) == 1 else 1, each.uid))
            entries = [index for index, event in enumerate(did) if step(event) == 1]
            for place, index in enumerate(entries if is_each else entries[:1]):
                entry = did[index]
                until = entries[place + 1] if is_each and place + 1 < len(entries) else len(did)
                later = (e for e in did[index:until] if step(e) == 2 and e.time_ns - entry.time_ns <= 12 * HOUR)
                if entry.time_ns < DAY.until_ns:
                    reached = float(any(True for _ in later))
                    units.setdefault((entry[SERVICE_NAME], customer), []).append((entry.time_ns, reached))
        found: dict[tuple[str, int], list[tuple[float, float]]] = {}
        for (arm, _), attempts in units.items():
            minute = min(at for at, _ in attempts) // MINUTE_NS
            found.setdefault((arm, minute), []).append((sum(y for _, y in attempts), float(len(attempts))))
        return found


class Unmerged(Design):
    """Keeps every minute apart, so that each can be looked at."""

    def strata(self, cells: Any, measure: Any) -> tuple[list[Stratum], Apart]:
        """One stratum for each minute."""
        found: dict[int, dict[str, Sums]] = {}
        for cell in cells:
            found.setdefault(cell.minute, {})[cell.arm] = cell.sums
        return [
            Stratum(arms.get(self.baseline, Sums()), arms.get(self.candidate, Sums()), minute, minute + 1)
            for minute, arms in sorted(found.items())
        ], Apart()


def sums_of(values: list[tuple[float, float]]) -> Sums:
    return sum(
        (Sums(1, y, x, y * y, x * x, x * y, int(y != 0), y) for y, x in values[1:]),
        Sums(
            1, values[0][0], values[0][1], values[0][0] ** 2, values[0][1] ** 2, values[0][0] * values[0][1],
            int(values[0][0] != 0), values[0][0],
        ),
    )  # fmt: skip


def check(source: Source, told: list[Told]) -> None:
    """Every kind, in every currency, has the sums that plain Python has."""
    of = concurrent("service", "shop", "pay", DAY, BERLIN)
    design = Unmerged(of.baseline, of.candidate, of.windows, of.by, of.calendar)
    units = Units(told)
    for name, (definition, unit) in DEFINITIONS.items():
        note(name)
        kpi = KPI(name, definition, owner="team", meaning="a test")
        for part in Reader(kpi, source, design, CompareOptions(unit=unit), NOW_NS).parts():
            expected = {key: sums_of(values) for key, values in units.found(name, part.currency).items()}
            actual = {
                (arm, stratum.at): sums
                for stratum in part.strata
                for arm, sums in (("shop", stratum.baseline), ("pay", stratum.candidate))
                if sums.n
            }
            assert {key: rounded(each) for key, each in expected.items()} == {
                key: rounded(each) for key, each in actual.items()
            }


def rounded(each: Sums) -> tuple[float, ...]:
    """Sums of doubles depend on their order."""
    return (
        each.n,
        each.told,
        *(float(f"{value:.9g}") for value in (each.y, each.x, each.yy, each.xx, each.xy, each.most)),
    )


@pytest.mark.fuzz
@settings(max_examples=40, suppress_health_check=_QUIET)
@given(told=strategies.told())
def test_sqlite_sums_what_plain_python_sums(tmp_path: Path, told: list[Told]) -> None:
    """
    For every kind of KPI, each minute of each arm has the sums of a recomputation.
    """
    check(sqlite_store(tmp_path / "store.db", told), told)


@pytest.mark.skipif(not HAS_CHDB, reason=NO_CHDB)
@settings(max_examples=6, suppress_health_check=_QUIET)
@given(told=strategies.told())
def test_clickhouse_sums_what_plain_python_sums(told: list[Told]) -> None:
    """
    The same, from tables in which events stand as often as they were delivered.
    """
    source = ChdbSource()
    source.load(told)
    check(source, told)
