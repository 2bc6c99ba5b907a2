"""Targets and courses: of a day, a week, a month, up and down, and where nothing was told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bizspan.kpi import KPI, Count, Figure, Period, SqliteSource, Sum, operations
from bizspan.kpi._small import wilson
from bizspan.report import Request, Row, build
from bizspan.report._movers import is_clear
from bizspan.report._rows import change
from tests.report.shops import BERLIN, DAY, HOUR, WEEK, lens_store, operation

MONDAY = BERLIN.read("2026-03-02", 0)


def kpi(**more: Any) -> KPI:
    told: dict[str, Any] = {"target": {"EUR": 10}, "per": "day", **more}
    return KPI("revenue", Sum("revenue"), owner="shop", meaning="Revenue.", **told)


def rows(path: Path, measured: KPI, period: Period, minors: dict[int, int], now: int = WEEK.until_ns) -> list[Row]:
    """The rows of a KPI in a shop that sold these minor units at these hours of the week."""
    shop = [operation(f"u-{hour}", WEEK.since_ns + hour * HOUR, minor=minor) for hour, minor in minors.items()]
    source = SqliteSource(lens_store(path / "lens.db", shop))
    return list(build(Request(source, BERLIN, period, now, {measured.name: measured}, is_compared=False)).rows)


@pytest.mark.parametrize(
    ("minors", "direction", "met"),
    [({1: 1_000}, "up", True), ({1: 999}, "up", False), ({30: 5_000}, "up", False), ({30: 5_000}, "down", True)],
)
def test_a_target_of_exactly_this_day(tmp_path: Path, minors: dict[int, int], direction: str, met: bool) -> None:
    """
    Is held against its value; a day without any sale in the currency had zero.
    """
    (row,) = rows(tmp_path, kpi(direction=direction), MONDAY, minors)

    assert (met, None, None) == (row.met, row.mean, row.met_parts)


def test_a_day_that_goes_on_is_open_until_it_is_reached(tmp_path: Path) -> None:
    """
    What grows has reached its target for good.
    """
    now = MONDAY.since_ns + 12 * HOUR
    (early,) = rows(tmp_path, kpi(), MONDAY, {1: 999}, now)
    (reached,) = rows(tmp_path / "more", kpi(), MONDAY, {1: 1_000}, now)

    assert (None, True) == (early.met, reached.met)


def test_a_week_is_held_against_its_whole_days(tmp_path: Path) -> None:
    """
    By the sum, because a mean is rounded; the day that goes on is none of them.
    """
    now = WEEK.since_ns + 3 * DAY + HOUR
    (row,) = rows(tmp_path, kpi(), WEEK, {1: 1_000, 25: 1_000, 49: 999, 73: 90_000}, now)

    assert (False, (2, 3), "10.00") == (row.met, row.met_parts, str(row.mean))
    assert (10.0, 10.0, 9.99) == row.series


def test_a_target_of_a_longer_time_is_open(tmp_path: Path) -> None:
    """
    A week says nothing about a month.
    """
    (row,) = rows(tmp_path, kpi(per="month"), WEEK, {1: 1_000})

    assert (None, None) == (row.met, row.met_parts)


@pytest.mark.parametrize(
    ("period", "unit", "count"),
    [
        ("2026-03-02", "hour", 24),
        ("2026-03-29", "hour", 23),
        ("2026-03", "day", 31),
        ("2026-01-01..2026-07-01", "week", 27),
        ("2024-01-01..2026-01-01", "month", 24),
    ],
)
def test_the_course_is_by_what_fits(tmp_path: Path, period: str, unit: str, count: int) -> None:
    """
    Hours of a day, also of one with 23 of them; days, weeks, months.
    """
    measured = KPI("orders", Count(operations("checkout")), owner="shop", meaning="Orders.")
    (row,) = rows(tmp_path, measured, BERLIN.read(period, 0), {}, 2 * 10**18)

    assert (unit, count) == (row.unit, len(row.series))
    assert {0.0} == {*row.series}


@pytest.mark.parametrize(
    ("now", "before", "is_rate", "expected"),
    [(3, 2, False, 0.5), (1, 0, False, None), (None, 1, False, None), (0.5, 0.75, True, -0.25), (1, -2, False, 1.5)],
)
def test_change(now: float | None, before: float | None, is_rate: bool, expected: float | None) -> None:
    """
    Relative to what was; of rates, the difference; None where there is none.
    """
    assert expected == change(now, before, is_rate=is_rate)


@pytest.mark.parametrize(
    ("kind", "now", "before", "expected"),
    [
        ("count", Figure(129, n=129), Figure(100, n=100), False),
        ("count", Figure(130, n=130), Figure(90, n=90), True),
        ("sum", Figure(130, "EUR", n=130), Figure(90, "EUR", n=90), None),
        # Newcombe 1998, table II (a): 56/70 and 48/80 differ by 0.2, from 0.0524 to 0.3339.
        ("ratio", Figure(0.8, interval=wilson(56, 70)), Figure(0.6, interval=wilson(48, 80)), True),
        ("ratio", Figure(0.8, interval=wilson(8, 10)), Figure(0.6, interval=wilson(6, 10)), False),
    ],
)  # fmt: skip
def test_what_is_beyond_chance(kind: str, now: Figure, before: Figure, expected: bool | None) -> None:
    """
    Counts as Poisson's, rates by the interval of their difference; of other values it is not known.
    """
    assert expected is is_clear(kind, now, before)
