"""The numbers of a report against plain Python, on random shops; on SQLite, and where it is there on ClickHouse."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlglot
from sqlglot import exp

from bizspan import names
from bizspan._columns import SERVICE_VERSION
from bizspan.kpi import CLICKHOUSE, KPI, AverageOrderValue, Count, Ratio, Source, SqliteSource, Sum, events, operations
from bizspan.report import Report, Request, build
from bizspan.report._questions import Time, beside, ended, stalled, surveys, versions
from tests.kpi.stores import HAS_CHDB, NO_CHDB, ChdbSource, Told
from tests.report.shops import BERLIN, DAY, HOUR, WEEK, is_customers, lens_store, operation, random_shop

EXPONENT = {"EUR": 2, "JPY": 0}
NOW = WEEK.until_ns + 30 * DAY
KPIS = {
    kpi.name: kpi
    for kpi in (
        KPI("orders", Count(operations("checkout")), owner="shop", meaning="Orders."),
        KPI("paid", Ratio(Count(operations("checkout", outcome="success")), Count(operations("checkout"))),
            owner="shop", meaning="Paid."),
        KPI("revenue", Sum("revenue"), owner="shop", meaning="Revenue.", target={"EUR": 100}, per="day"),
        KPI("average", AverageOrderValue(), owner="shop", meaning="Average."),
    )
}  # fmt: skip


def asked(source: Source, **more: Any) -> Request:
    return Request(source, BERLIN, WEEK, NOW, KPIS, **more)


def within(told: Sequence[Told], since: int, until: int) -> list[Told]:
    return [each for each in told if since <= each.time_ns < until]


def risks_of(told: Sequence[Told]) -> list[tuple[Any, ...]]:
    """By plain Python: operation, outcome, reason, currency, amount, with an amount, without."""
    amounts: dict[tuple[str, str, str], dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    without: dict[tuple[str, str, str], int] = defaultdict(int)
    for each in within(told, WEEK.since_ns, WEEK.until_ns):
        outcome = each[names.OPERATION_OUTCOME]
        if each.name not in (names.EVENT_OPERATION, names.EVENT_REVENUE) or outcome not in ("failed", "rejected"):
            continue
        if not is_customers(each):
            continue
        key = (each[names.OPERATION_NAME], outcome, each[names.OPERATION_REASON] or "")
        kind = names.VALUE if each[names.MINOR_UNITS_KEYS[names.VALUE]] is not None else names.REVENUE
        minor, currency = each[names.MINOR_UNITS_KEYS[kind]], each[names.CURRENCY_KEYS[kind]]
        if minor is not None and currency in EXPONENT:
            amounts[key][currency].append(minor)
        else:
            without[key] += each.name == names.EVENT_OPERATION
    found = [
        (*key, currency, Decimal(sum(minors)).scaleb(-EXPONENT[currency]), len(minors), 0)
        for key, by in amounts.items()
        for currency, minors in by.items()
    ]
    found.sort(key=lambda each: (each[3], -each[4], *each[:3]))
    rest = [(*key, "", None, 0, n) for key, n in without.items() if n]
    return [*found, *sorted(rest, key=lambda each: (-each[6], *each[:3]))]


def lacks(event: Told, kind: str) -> bool:
    """Whether an amount of this kind was refused, is in no currency, or was told without its minor units."""
    minor, currency = event[names.MINOR_UNITS_KEYS[kind]], event[names.CURRENCY_KEYS[kind]]
    is_none = (minor is None) != (currency is None) or (minor is not None and currency not in EXPONENT)
    return is_none or event[names.AMOUNT_INVALID_KEYS[kind]] is not None


def outcomes_of(told: Sequence[Told]) -> dict[tuple[str, str, str], int]:
    found: dict[tuple[str, str, str], int] = defaultdict(int)
    for each in within(told, WEEK.since_ns, WEEK.until_ns):
        if each.name == names.EVENT_OPERATION and is_customers(each):
            outcome, reason = each[names.OPERATION_OUTCOME], each[names.OPERATION_REASON] or ""
            found[each[names.OPERATION_NAME], outcome, reason] += 1
    return dict(found)


def orders_by(told: Sequence[Told], key: str, since: int, until: int) -> dict[Any, int]:
    found: dict[Any, int] = defaultdict(int)
    for each in within(told, since, until):
        if each.name == names.EVENT_OPERATION and each[names.OPERATION_NAME] == "checkout" and is_customers(each):
            found[each[key]] += 1
    return found


@pytest.fixture(params=[1, 2, 3])
def shop(request: pytest.FixtureRequest) -> list[Told]:
    """What happened."""
    return random_shop(request.param)


def reports(shop: Sequence[Told], path: Path) -> Report:
    return build(asked(SqliteSource(lens_store(path / "lens.db", shop)), most=1_000))


def test_risks_and_outcomes_are_those_of_plain_python(shop: list[Told], tmp_path: Path) -> None:
    """
    By operation and reason, each currency apart, ranked; what has no amount, or one in no currency, is counted once.
    """
    report = reports(shop, tmp_path)

    risks = [
        (each.operation, each.outcome, each.reason, each.currency, each.amount, each.n, each.unpriced)
        for each in report.risks
    ]
    assert risks_of(shop) == risks
    assert len(risks) > 10
    assert outcomes_of(shop) == {(each.operation, each.outcome, each.reason): each.n for each in report.outcomes}


def test_rows_are_those_of_plain_python(shop: list[Told], tmp_path: Path) -> None:
    """
    Revenue by currency with its days, the share of successes, and what both were in the week before.
    """
    rows = {(each.kpi, each.currency): each for each in reports(shop, tmp_path).rows}
    before = BERLIN.before(WEEK)

    def revenue(currency: str, since: int, until: int) -> Decimal:
        minors = [
            each[names.MINOR_UNITS_KEYS[names.REVENUE]]
            for each in within(shop, since, until)
            if is_customers(each)
            and each[names.OPERATION_OUTCOME] in (None, "success")
            and each[names.CURRENCY_KEYS[names.REVENUE]] == currency
            and each[names.MINOR_UNITS_KEYS[names.REVENUE]] is not None
        ]
        return Decimal(sum(minors)).scaleb(-EXPONENT[currency])

    for currency in EXPONENT:
        row = rows["revenue", currency]
        days = [float(revenue(currency, day.since_ns, day.until_ns)) for day in BERLIN.split(WEEK, "day")]
        assert revenue(currency, WEEK.since_ns, WEEK.until_ns) == row.value
        assert revenue(currency, before.since_ns, before.until_ns) == row.before
        assert (*days,) == row.series
    euros = rows["revenue", "EUR"]
    assert euros.met_parts == (sum(day >= 100 for day in euros.series if day is not None), 7)
    assert euros.met == (sum(day or 0 for day in euros.series) >= 700)
    counts = outcomes_of(shop)
    good = sum(n for (name, outcome, _), n in counts.items() if name == "checkout" and outcome == "success")
    of = sum(n for (name, *_), n in counts.items() if name == "checkout")
    assert (good / of, of) == (rows["paid", ""].value, rows["paid", ""].n)


def test_movers_are_those_of_plain_python_and_none_is_small(shop: list[Told], tmp_path: Path) -> None:
    """
    Orders by country: groups with five or more in both weeks, by how much each moves the total; a rare country is none.
    """
    report = reports(shop, tmp_path)
    before = BERLIN.before(WEEK)
    now, earlier = (orders_by(shop, names.COUNTRY, each.since_ns, each.until_ns) for each in (WEEK, before))

    shown = {
        each.value: (each.now, each.before, each.n, each.n_before, round(each.impact, 9))
        for each in report.movers
        if (each.kpi, each.fact) == ("orders", "country")
    }
    total = sum(earlier.values())
    expected = {
        country: (now[country], n, now[country], n, round((now[country] - n) / total, 9))
        for country, n in earlier.items()
        if min(n, now[country]) >= 5 and n != now[country]
    }
    # One small group hides the next larger one as well: else the total would give it away.
    assert shown.items() <= expected.items()
    assert "LI" not in shown
    assert shown
    assert all(min(each.n, each.n_before) >= 5 for each in report.movers)
    assert report.too_small > 0
    impacts = [abs(each.impact) for each in report.movers]
    assert sorted(impacts, reverse=True) == impacts


def test_what_does_not_count_is_said(shop: list[Told], tmp_path: Path) -> None:
    """
    Hidden traffic, amounts that were refused or are in no currency, and what came after the week was over.
    """
    report = reports(shop, tmp_path)
    week = within(shop, WEEK.since_ns, WEEK.until_ns)
    ours = [each for each in week if is_customers(each)]

    assert len(week) - len(ours) == report.hidden
    assert sum(any(lacks(each, kind) for kind in names.MONEY_KINDS) for each in ours) == report.missing
    lost = [each for each in ours if lacks(each, names.REVENUE) and each[names.OPERATION_OUTCOME] in (None, "success")]
    assert [len(lost)] * 2 == [row.missing for row in report.rows if row.kpi == "revenue"]
    assert sum(each.received_ns >= WEEK.until_ns for each in ours) == report.late


def test_a_release_is_marked_by_itself(shop: list[Told], tmp_path: Path) -> None:
    """
    From the first event of its version, whoever's traffic; an older version of the week before is none.
    """
    report = reports(shop, tmp_path)
    first = min(each.time_ns for each in shop if each[SERVICE_VERSION] == "1.5")

    assert [("shop 1.5", "release", first, True)] == [
        (each.label, each.kind, each.span.since_ns, each.is_automatic) for each in report.factors
    ]


def test_a_second_currency_is_no_second_operation(tmp_path: Path) -> None:
    """
    It is an event of its own with the same operation: its money is at risk, the operation counts once.
    """
    at = WEEK.since_ns + HOUR
    first = operation("u-1", at, outcome="failed", minor=500, OPERATION_REASON="x")
    second = Told("u-2", at, names.EVENT_REVENUE, {
        **operation("", at, outcome="failed", minor=900, currency="JPY", OPERATION_REASON="x").attributes
    }, at)  # fmt: skip
    report = build(asked(SqliteSource(lens_store(tmp_path / "lens.db", [first, second]))))

    assert [("EUR", Decimal("5.00"), 1, 0), ("JPY", Decimal(900), 1, 0)] == [
        (each.currency, each.amount, each.n, each.unpriced) for each in report.risks
    ]
    assert [1] == [each.n for each in report.outcomes]


class Recording:
    """Answers nothing, and keeps what it was asked."""

    def __init__(self, dialect: Any) -> None:
        self.dialect = dialect
        self.asked: list[Any] = []

    def rows(self, statements: Sequence[Any]) -> list[list[Any]]:
        self.asked += statements
        return [[] for _ in statements]


def test_every_question_is_one_query_of_clickhouse() -> None:
    """
    A parser of its dialect reads one query from the one table in each.
    """
    source = Recording(CLICKHOUSE)
    time = Time(WEEK, NOW)
    ended(time, source)
    beside(time, source)
    surveys(time, source)
    versions(time, source)
    stalled(time, source, events("lead"), events("call"), "customer", DAY)

    assert 5 == len(source.asked)
    for statement in source.asked:
        (tree,) = sqlglot.parse(statement.text, dialect="clickhouse")
        assert isinstance(tree, exp.Query)
        tables = {table.sql() for table in tree.find_all(exp.Table)} - {each.alias for each in tree.find_all(exp.CTE)}
        assert {"otel_logs"} == tables


@pytest.mark.skipif(not HAS_CHDB, reason=NO_CHDB)
def test_clickhouse_gives_the_same_report(tmp_path: Path) -> None:
    """
    All of it but what is late, which its table does not keep.
    """
    shop = [each for each in random_shop(5) if each.received_ns <= NOW]
    here = reports(shop, tmp_path)
    there = ChdbSource()
    there.load(shop)

    other = build(asked(there, most=1_000))

    assert (here.risks, here.outcomes, here.movers, here.factors) == (
        other.risks, other.outcomes, other.movers, other.factors,
    )  # fmt: skip
    assert (here.hidden, here.missing) == (other.hidden, other.missing)
    assert [(row.kpi, row.value, row.before, row.series) for row in here.rows] == [
        (row.kpi, row.value, row.before, row.series) for row in other.rows
    ]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_stalled_subjects_are_those_of_plain_python(tmp_path: Path, seed: int) -> None:
    """
    Whose last lead is of the period and older than three days, without a call since; a call at the same moment is one.
    """
    chance = random.Random(seed)
    told = [
        Told(
            f"u-{number}", WEEK.since_ns + chance.randrange(-40, 8 * 24) * HOUR, chance.choice(("lead", "call")),
            {names.CUSTOMER: f"c-{chance.randrange(60)}", names.TRAFFIC: chance.choice(("customer", "bot"))}, 0,
        )
        for number in range(300)
    ]  # fmt: skip
    as_of_ns = WEEK.since_ns + 7 * DAY
    source = SqliteSource(lens_store(tmp_path / "lens.db", told))

    found = stalled(Time(WEEK, as_of_ns), source, events("lead"), events("call"), "customer", 3 * DAY)

    leads, calls = ({"": -1}, {"": -1})
    for each in within(told, WEEK.since_ns, as_of_ns):
        if is_customers(each):
            last = leads if each.name == "lead" else calls
            last[each[names.CUSTOMER]] = max(each.time_ns, last.get(each[names.CUSTOMER], -1))
    expected = sorted(
        who for who, when in leads.items() if who and when < as_of_ns - 3 * DAY and calls.get(who, -1) < when
    )
    assert expected == found
    assert expected
