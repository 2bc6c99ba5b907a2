"""What a figure says of time of which the store has dropped events: retention must not change a KPI in silence."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest

from bizspan.kpi import (
    KPI,
    Calendar,
    Count,
    Period,
    Ratio,
    Retention,
    SqliteSource,
    Sum,
    answer_data,
    answer_text,
    evaluate,
    operations,
)
from bizspan.lens import _retention
from bizspan.report import Report, Request, _command, as_json, as_text, build
from tests.kpi.stores import Told
from tests.report.shops import DAY, lens_store, operation

UTC: Final = Calendar()
CHECKOUT: Final = operations("checkout")
NOW: Final = UTC.read("2026-06-30", 0).until_ns
KEPT: Final = NOW - 40 * DAY
REVENUE: Final = KPI("revenue", Sum(), owner="shop", meaning="Money.", target={"EUR": 5}, per="day")
BACK: Final = KPI("back", Retention(CHECKOUT, every="month", periods=1), owner="shop", meaning="Come back.", target=0.5)


def sale(number: int, days_ago: float, minor: int, customer: str) -> Told:
    return operation(f"u-{number}", NOW - round(days_ago * DAY), minor=minor, CUSTOMER=customer, ORDER=f"o-{number}")


SALES: Final = (
    sale(1, 55, 70_000, "old"),
    sale(2, 35, 50_000, "old"),
    sale(3, 20, 10_000, "new"),
    sale(4, 5, 60_000, "old"),
    *(sale(10 + day, day + 0.5, 1_000, f"c-{day}") for day in range(1, 60)),
)


@pytest.fixture
def source(tmp_path: Path) -> SqliteSource:
    """A store that has dropped what is older than 40 days."""
    path = lens_store(tmp_path / "lens.db", SALES)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        rows = database.execute("SELECT id FROM events ORDER BY received_ns").fetchall()
        for number, (row,) in enumerate(rows):  # ids by arrival, as ingest gives them
            database.execute("UPDATE events SET id = ? WHERE id = ?", (number + 1_000, row))
        assert [] == [*_retention.keep_within(database, _retention.Retention(days=40), NOW)]  # in one go
    return SqliteSource(path)


def test_what_is_whole_is_exact_and_what_is_not_says_since_when_it_would_be(source: SqliteSource) -> None:
    """
    A period after what is kept is exact; one that begins before is incomplete, in each form, and its target is open.
    """
    whole = evaluate(REVENUE, source, Period(KEPT + DAY, NOW), as_of_ns=NOW)
    part = evaluate(REVENUE, source, Period(NOW - 50 * DAY, NOW), as_of_ns=NOW, compare="previous")

    assert (True, None) == (whole.is_exact, whole.kept_since_ns)
    assert part.previous is not None and part.kept_since_ns is not None
    assert [False, False] == [each.is_exact for each in (part, part.previous)]
    # The newest that is gone was 40.5 days old.
    assert KEPT - DAY // 2 + 1 == part.kept_since_ns
    assert "incomplete: the store has dropped what happened before 2026-05-21T12:00:00+00:00" in answer_text(part)
    assert "  before none (incomplete)" in answer_text(part)
    assert ("2026-05-21T12:00:00+00:00", False) == (answer_data(part)["kept_since"], answer_data(part)["exact"])
    assert (None, True) == (answer_data(whole)["kept_since"], answer_data(whole)["exact"])


def test_an_old_customer_is_no_new_cohort(source: SqliteSource) -> None:
    """
    Whose first record is dropped looks new in any later month: no cohort is told, and the value is not known.
    """
    answer = evaluate(BACK, source, UTC.month(2026, 6), as_of_ns=NOW)

    assert [(None, 0, False)] == [(each.value, each.n, each.is_known) for each in answer.total]
    assert {(None, False, False)} == {(each.value, each.is_mature, each.is_known) for each in answer.cohorts}
    assert (False, None) == (answer.is_exact, answer.total[0].met)
    assert "back: Come back.\n  not known  n=0" in answer_text(answer)
    json.dumps(answer_data(answer))


@pytest.mark.parametrize(
    ("of", "is_exact"),
    [
        (Count(CHECKOUT), True),
        (Ratio(Sum(), Count(CHECKOUT)), True),
        (Sum("refund"), True),
        (Sum("refund", dated="order"), False),
        (Ratio(Sum("refund", dated="order"), Sum()), False),
    ],
)
def test_what_looks_back_needs_what_was_before(source: SqliteSource, of: Any, is_exact: bool) -> None:
    """
    Refunds by their order's date need its first sale, whenever it was; what looks at its period alone does not.
    """
    measured = KPI("measured", of, owner="shop", meaning="What the tests measure.")

    answer = evaluate(measured, source, Period(KEPT + DAY, NOW), as_of_ns=NOW)

    assert is_exact == answer.is_exact


def reported(source: SqliteSource, period: Period, **more: Any) -> Report:
    kpis = {each.name: each for each in (REVENUE, BACK)}
    return build(Request(source, UTC, period, NOW, kpis, facts=("customer",), **more))


def test_a_report_has_no_trend_against_what_is_partly_dropped(source: SqliteSource) -> None:
    """
    The last 30 days are whole, those before are not: the value stands, the change does not, and no group has moved.
    """
    period = UTC.read("2026-06-01..2026-07-01", 0)

    report = reported(source, period)
    (revenue,) = [row for row in report.rows if row.kpi == "revenue"]

    assert (True, None) == (revenue.is_exact, revenue.change)
    assert revenue.before_kept_since_ns is not None
    assert () == report.movers
    assert "revenue: no change, as the store has dropped what happened before 2026-05-21 12:00" in as_text(report)
    assert "back: incomplete, as the store has dropped what happened before 2026-05-21 12:00" in as_text(report)
    assert "The store has dropped" not in as_text(report)
    json.loads(as_json(report))


def test_days_that_are_dropped_are_no_days_without_revenue(source: SqliteSource) -> None:
    """
    Of a report over 50 days only whole days are in its course and are held against the target of a day.
    """
    report = reported(source, UTC.read("2026-05-12..2026-07-01", 0), is_compared=False)
    (revenue,) = [row for row in report.rows if row.kpi == "revenue"]

    assert (False, (39, 40)) == (revenue.is_exact, revenue.met_parts)
    assert [None] * 10 == list(revenue.series[:10]) and None not in revenue.series[10:]
    assert Decimal("1590.00") == revenue.value
    text = as_text(report)
    assert "The store has dropped what happened before 2026-05-21 12:00: it is in none of this." in text


@pytest.mark.parametrize("below", ["revenue", "revenue=EUR:1", "back"])
def test_a_gate_does_not_open_by_what_is_incomplete(source: SqliteSource, below: str) -> None:
    """
    A part of the time is gone: whether the target was met can't be told.
    """
    kpis = {each.name: each for each in (REVENUE, BACK)}
    request = Request(source, UTC, UTC.read("2026-05-12..2026-07-01", 0), NOW, kpis)
    said: list[str] = []

    code = _command.report(request, [_command.below_of(below)], _command.Output(lambda _: None, said.append))

    name = below.partition("=")[0]
    assert (1, [f"{name} is incomplete: the store has dropped a part of what it needs."]) == (code, said)


def test_a_store_that_dropped_nothing_says_nothing(tmp_path: Path) -> None:
    """
    Everything is exact, and cohorts are told.
    """
    source = SqliteSource(lens_store(tmp_path / "lens.db", SALES))

    report = reported(source, UTC.read("2026-05-12..2026-07-01", 0))

    assert [True, True] == [row.is_exact for row in report.rows]
    assert "dropped" not in as_text(report)
