"""What stands beside a value: time, what is known, targets, small groups, and the purchases of a real shop."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest

import bizspan
from bizspan import Money, names
from bizspan.errors import SetupError
from bizspan.kpi import (
    KPI,
    AverageOrderValue,
    Calendar,
    Conversion,
    Count,
    Distinct,
    Period,
    Quantile,
    Rates,
    Ratio,
    Retention,
    SqliteSource,
    Sum,
    answer_text,
    evaluate,
    events,
    feedback,
    operations,
    refunds,
    value_text,
)
from bizspan.testing import capture
from tests.kpi.stores import Told, sqlite_store
from tests.kpi.strategies import BERLIN, DAY, HOUR

CHECKOUT: Final = operations("checkout")
PAID: Final = operations("checkout", outcome="success")
CDNOW: Final = Path(__file__).parents[2] / "examples" / "data" / "cdnow_sample.csv"


def kpi(of: Any, **more: Any) -> KPI:
    return KPI("measured", of, owner="shop", meaning="What the tests measure.", **more)


def sale(number: int, time_ns: int, minor: int = 100, currency: str = "EUR", received_ns: int = 0, **more: Any) -> Told:
    attributes = {
        names.OPERATION_NAME: "checkout",
        names.OPERATION_OUTCOME: "success",
        names.MINOR_UNITS_KEYS[names.REVENUE]: minor,
        names.CURRENCY_KEYS[names.REVENUE]: currency,
        **{getattr(names, name.upper()): value for name, value in more.items()},
    }
    return Told(f"u-{number}", time_ns, names.EVENT_OPERATION, attributes, received_ns or time_ns)


def store(tmp_path: Path, told: Iterable[Told]) -> SqliteSource:
    return sqlite_store(tmp_path / "store.db", told)


# --- time and what is known -------------------------------------------------------------------------------------------


def test_a_late_fact_restates_a_closed_period_visibly(tmp_path: Path) -> None:
    """
    Event time decides the period; what arrived after its end is in the figure of now, counted as late, and not in
    what was known then.
    """
    on_time, late = sale(1, DAY.since_ns + HOUR), sale(2, DAY.since_ns + 2 * HOUR, received_ns=DAY.until_ns + HOUR)
    source = store(tmp_path, [on_time, late])

    then = evaluate(kpi(Sum()), source, DAY, calendar=BERLIN, as_of_ns=DAY.until_ns)
    now = evaluate(kpi(Sum()), source, DAY, calendar=BERLIN, as_of_ns=DAY.until_ns + 2 * HOUR)

    assert [Decimal("1.00")] == [each.value for each in then.total]
    assert [Decimal("2.00")] == [each.value for each in now.total]
    assert (0, 1) == (then.late, now.late)
    assert DAY.until_ns + 2 * HOUR == now.as_of_ns == now.known_ns


@pytest.mark.parametrize(
    ("day", "hour", "before"),
    # In the night before, the clock was set back, or forward: the same time elapsed, not the same clock.
    [("2026-10-26", 10, 10), ("2026-03-30", 10, 10), ("2026-07-15", 3, 3)],
)
def test_today_is_compared_with_as_much_of_yesterday(tmp_path: Path, day: str, hour: int, before: int) -> None:
    """
    Ten hours of today stand against the first ten hours of yesterday, on long and short days too.
    """
    today = BERLIN.day(date.fromisoformat(day))
    yesterday = BERLIN.before(today)
    hours = [yesterday.since_ns + n * HOUR for n in range(60)]
    source = store(tmp_path, [sale(number, time_ns) for number, time_ns in enumerate(hours)])

    answer = evaluate(
        kpi(Count(CHECKOUT)), source, today, calendar=BERLIN, compare="previous", as_of_ns=today.since_ns + hour * HOUR
    )

    assert [hour] == [each.value for each in answer.total]
    assert answer.previous is not None
    assert [before] == [each.value for each in answer.previous.total]
    assert hour * HOUR == answer.previous.period.until_ns - answer.previous.period.since_ns


def test_yesterday_s_entries_have_no_more_time_than_today_s(tmp_path: Path) -> None:
    """
    At noon, half of today's entries still have time; so had yesterday's then, and the same conversion is no drop.
    """
    today = BERLIN.day(date(2026, 7, 15))
    told = [
        Told(f"{name}-{day}-{number}", at + delay, name, {names.CUSTOMER: f"c-{number}"})
        for day, start in enumerate((BERLIN.before(today).since_ns, today.since_ns))
        for number in range(12)
        for at in (start + number * HOUR + HOUR // 2,)
        for name, delay in (("cart", 0), ("paid", (1 if number % 2 else 8) * HOUR))
    ]
    source = store(tmp_path, told)
    measured = kpi(Conversion((events("cart"), events("paid")), window="10h"))
    noon = today.since_ns + 12 * HOUR

    answer = evaluate(measured, source, today, calendar=BERLIN, compare="previous", as_of_ns=noon)
    over = evaluate(measured, source, today, calendar=BERLIN, compare="previous", as_of_ns=noon + 48 * HOUR)

    assert answer.previous is not None and over.previous is not None
    assert (12, 7) == (answer.total[0].n, answer.total[0].parts[0] if answer.total[0].parts else 0)
    assert answer.total == answer.previous.total
    assert answer.pending == answer.previous.pending and answer.pending
    assert ([1.0], [1.0], 0) == (
        [each.value for each in over.total], [each.value for each in over.previous.total], over.pending
    )  # fmt: skip


def test_earlier_cohorts_are_as_young_as_those_that_they_are_compared_with(tmp_path: Path) -> None:
    """
    In the middle of a month, retention by weeks counts the weeks that are over; of the month before, no more weeks.
    """
    this = BERLIN.month(2026, 6)
    before = BERLIN.before(this)
    told = [
        sale(100 * month + number, start + (number % 20) * 24 * HOUR + extra * 24 * HOUR, customer=f"{month}-{number}")
        for month, start in enumerate((before.since_ns, this.since_ns))
        for number in range(20)
        for extra in (0, 7)
    ]
    told = [
        Told(f"{number}", each.time_ns, each.name, each.attributes, each.time_ns) for number, each in enumerate(told)
    ]
    measured = kpi(Retention(CHECKOUT, every="week", periods=1))
    now = this.since_ns + 16 * 24 * HOUR

    answer = evaluate(measured, store(tmp_path, told), this, calendar=BERLIN, compare="previous", as_of_ns=now)

    assert answer.previous is not None
    assert before.since_ns + 16 * 24 * HOUR == answer.previous.as_of_ns
    for each in (answer, answer.previous):
        assert [True, False] == [cohort.is_mature for cohort in each.cohorts if cohort.age == 1][:2]
        assert all(not cohort.is_mature for cohort in each.cohorts if cohort.age == 1 and cohort.n == 0)


def test_a_period_that_is_over_is_compared_with_the_whole_one_before(tmp_path: Path) -> None:
    """
    The day of 25 hours with the whole day before it; or with a period that was named.
    """
    times = [DAY.since_ns + n * HOUR for n in range(-24, 25)]
    source = store(tmp_path, [sale(number, time_ns) for number, time_ns in enumerate(times)])
    named = Period(DAY.since_ns - 2 * HOUR, DAY.since_ns)

    answer = evaluate(
        kpi(Count(CHECKOUT)), source, DAY, calendar=BERLIN, compare="previous", as_of_ns=DAY.until_ns + 9 * HOUR
    )
    other = evaluate(kpi(Count(CHECKOUT)), source, DAY, calendar=BERLIN, compare=named, as_of_ns=DAY.until_ns)

    assert answer.previous is not None
    assert other.previous is not None
    assert (25, 24, 2) == (answer.total[0].value, answer.previous.total[0].value, other.previous.total[0].value)


def test_the_zone_decides_the_day(tmp_path: Path) -> None:
    """
    A sale at half past eleven in New York counts for one day there and for another in Berlin.
    """
    moment = int(datetime(2026, 3, 8, 4, 30, tzinfo=UTC).timestamp()) * 10**9
    source = store(tmp_path, [sale(1, moment)])

    counted = {
        zone: [
            evaluate(kpi(Count(CHECKOUT)), source, calendar.day(date(2026, 3, day)), calendar=calendar).total[0].value
            for day in (7, 8)
        ]
        for zone in ("America/New_York", "Europe/Berlin")
        for calendar in [Calendar(zone)]
    }

    assert {"America/New_York": [1, 0], "Europe/Berlin": [0, 1]} == counted


# --- targets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("direction", "target", "hours", "met"),
    [
        ("up", 3, 30, True),
        ("up", 4, 30, False),
        ("up", 3, 5, True),  # what only grows has reached it for good
        ("up", 4, 5, None),
        ("down", 3, 30, True),
        ("down", 2, 30, False),
        ("down", 2, 5, False),
        ("down", 3, 5, None),
    ],
)
def test_a_target_is_met_missed_or_still_open(
    tmp_path: Path, direction: Any, target: int, hours: int, met: bool | None
) -> None:
    """
    While the day goes on, only what can't change any more is said.
    """
    source = store(tmp_path, [sale(number, DAY.since_ns + number * HOUR) for number in range(3)])
    measured = kpi(Count(CHECKOUT), target=target, per="day", direction=direction)

    answer = evaluate(measured, source, DAY, calendar=BERLIN, as_of_ns=DAY.since_ns + hours * HOUR)

    assert met is answer.total[0].met


def test_a_target_per_day_says_nothing_about_a_week(tmp_path: Path) -> None:
    """
    It is for one whole period of its kind.
    """
    source = store(tmp_path, [sale(1, DAY.since_ns)])
    measured = kpi(Sum(), target=Money("1", "EUR"), per="day")

    week = evaluate(measured, source, BERLIN.around(DAY.since_ns, "week"), calendar=BERLIN, as_of_ns=DAY.until_ns + 1)
    day = evaluate(measured, source, DAY, calendar=BERLIN, as_of_ns=DAY.until_ns)

    assert (None, True) == (week.total[0].met, day.total[0].met)


# --- groups -----------------------------------------------------------------------------------------------------------


def test_a_small_group_is_not_shown_and_not_to_be_found_by_subtraction(tmp_path: Path) -> None:
    """
    Two of Austria are hidden, and with them the smallest other group.
    """
    told = {"DE": 40, "CH": 9, "AT": 2}
    countries = [country for country, count in told.items() for _ in range(count)]
    source = store(tmp_path, [sale(n, DAY.since_ns + n, country=each) for n, each in enumerate(countries)])

    answer = evaluate(kpi(Sum(), by=("country",)), source, DAY, calendar=BERLIN)

    assert {("country", "DE")} == {pair for each in answer.groups for pair in each.group}
    assert (2, Decimal("51.00")) == (answer.suppressed, answer.total[0].value)
    assert Decimal("40.00") == getattr(answer.figure("EUR", {"country": "DE"}), "value", None)


def test_a_table_of_two_facts_hides_no_single_cell(tmp_path: Path) -> None:
    """
    In no row and no column one cell alone is missing, as its total could be known.
    """
    rows = {"DE": (30, 20), "AT": (10, 1), "CH": (8, 9)}
    sizes = {(country, segment): row[at] for country, row in rows.items() for at, segment in enumerate(("smb", "pro"))}
    cells = [cell for cell, count in sizes.items() for _ in range(count)]
    told = [sale(n, DAY.since_ns + n, country=cell[0], segment=cell[1]) for n, cell in enumerate(cells)]
    source = store(tmp_path, told)

    answer = evaluate(kpi(Count(CHECKOUT)), source, DAY, calendar=BERLIN, by=("country", "segment"))

    shown = {tuple(value for _, value in each.group) for each in answer.groups}
    hidden = {*sizes} - shown
    assert ("AT", "pro") in hidden
    assert shown
    for fact in (0, 1):
        for value in {cell[fact] for cell in hidden}:
            assert sum(1 for cell in hidden if cell[fact] == value) > 1


def test_each_currency_stays_apart_and_no_currency_is_none_of_them(tmp_path: Path) -> None:
    """
    Amounts in what is no currency are counted as missing; nothing is added across.
    """
    source = store(
        tmp_path,
        [
            sale(1, DAY.since_ns, 150), sale(2, DAY.since_ns, 150, "JPY"), sale(3, DAY.since_ns, 1234, "BHD"),
            sale(4, DAY.since_ns, 1, "XXQ"),
        ],
    )  # fmt: skip

    answer = evaluate(kpi(Sum()), source, DAY, calendar=BERLIN)

    assert {"EUR": Decimal("1.50"), "JPY": Decimal(150), "BHD": Decimal("1.234")} == {
        each.currency: each.value for each in answer.total
    }
    assert 1 == answer.missing


@pytest.mark.parametrize("minor", [2**63 - 1, -(2**63)])
def test_a_sum_beyond_64_bits_is_exact(tmp_path: Path, minor: int) -> None:
    """
    Amounts at the limit add up, alone, by group and per order, and stop nothing beside them.
    """
    told = [sale(number, DAY.since_ns, minor, country=("DE", "AT")[number % 2]) for number in range(5)]
    source = store(tmp_path, [*told, sale(9, DAY.since_ns, 42, "JPY")])
    amounts = (Decimal(minor) * 5 / 100, Decimal(42))

    total = evaluate(kpi(Sum()), source, DAY, calendar=BERLIN)
    groups = evaluate(kpi(Sum(), by=("country",), minimum_group=1), source, DAY, calendar=BERLIN)
    per_order = evaluate(kpi(AverageOrderValue()), source, DAY, calendar=BERLIN)

    assert [*amounts] == [each.value for each in total.total] == [each.value for each in groups.total]
    assert [amounts[0] / 5, amounts[1]] == [each.value for each in per_order.total]
    assert {"DE": Decimal(minor) * 3 / 100, "AT": Decimal(minor) * 2 / 100} == {
        each.group[0][1]: each.value for each in groups.groups if each.currency == "EUR"
    }


def test_money_by_money_is_no_money(tmp_path: Path) -> None:
    """
    The currency is a label; one that only the upper sum has is named.
    """
    back = {names.MINOR_UNITS_KEYS[names.REFUND]: 50, names.CURRENCY_KEYS[names.REFUND]: "EUR"}
    told = [
        sale(1, DAY.since_ns, 1000),
        Told("r-1", DAY.since_ns, names.EVENT_REFUND, back, DAY.since_ns),
        Told("r-2", DAY.since_ns, names.EVENT_REFUND, {**back, names.CURRENCY_KEYS[names.REFUND]: "USD"}, DAY.since_ns),
    ]
    measured = kpi(Ratio(Sum("refund"), Sum()), target=0.1, direction="down")

    answer = evaluate(measured, store(tmp_path, told), DAY, calendar=BERLIN)

    assert ["0.05 (EUR)", "nothing to divide by (USD)"] == [value_text(measured, each) for each in answer.total]
    assert [True, None] == [each.met for each in answer.total]
    assert "  0.05 (EUR)  n=1  target 0.1 (EUR) met" in answer_text(answer).splitlines()
    per_order = kpi(Ratio(Sum(), Count(CHECKOUT)))
    (figure,) = evaluate(per_order, store(tmp_path, told), DAY, calendar=BERLIN).total
    assert "10.00 EUR" == value_text(per_order, figure)


def test_a_target_is_said_with_its_period(tmp_path: Path) -> None:
    """
    A week against the target of a day: nothing is judged, and nobody reads it as a week's.
    """
    measured = kpi(Sum(), target={"EUR": 100}, per="day")
    week = BERLIN.around(DAY.since_ns, "week")

    answer = evaluate(measured, store(tmp_path, [sale(1, DAY.since_ns)]), week, calendar=BERLIN)

    assert "  1.00 EUR  n=1  target 100.00 EUR per day" in answer_text(answer).splitlines()


@pytest.mark.parametrize("count", [0, 1, 24])
@pytest.mark.parametrize(
    "of",
    [
        Count(CHECKOUT),
        Sum(),
        Sum(rates=Rates("EUR", "2026-10-01", {"USD": "0.8571"})),
        Ratio(Count(PAID), Count(CHECKOUT)),
        Ratio(Sum("revenue", CHECKOUT), Count(CHECKOUT)),
        Conversion((CHECKOUT, operations("checkout", country="DE"))),
        Distinct("customer"),
    ],
    ids=lambda of: type(of).__name__,
)
def test_a_total_is_the_same_beside_its_groups_and_alone(tmp_path: Path, of: Any, count: int) -> None:
    """
    Whether it was added up from them or asked for, and where nothing was found.
    """
    sales = [
        sale(
            number, DAY.since_ns + number * HOUR, number, ("EUR", "USD")[number % 2],
            country=("DE", "AT", "FR")[number % 3], customer=f"c-{number % 5}",
        )
        for number in range(count)
    ]  # fmt: skip
    source = store(tmp_path, sales)

    beside, alone = (
        evaluate(kpi(of), source, DAY, calendar=BERLIN, as_of_ns=DAY.until_ns, by=by) for by in (["country"], [])
    )

    assert alone.total == beside.total
    assert (alone.pending, alone.unconverted, alone.missing) == (beside.pending, beside.unconverted, beside.missing)
    assert {each.sql for each in alone.statements} < {each.sql for each in beside.statements}


def test_converted_money_says_what_it_could_not_convert(tmp_path: Path) -> None:
    """
    A currency without a rate stays by itself, and is named; the sum is an estimate.
    """
    told = [(100, "EUR"), (333, "USD"), (5, "JPY")]
    source = store(tmp_path, [sale(n, DAY.since_ns, minor, currency) for n, (minor, currency) in enumerate(told)])
    rates = Rates("EUR", "2026-10-01", {"USD": "0.8571"})

    answer = evaluate(kpi(Sum(rates=rates)), source, DAY, calendar=BERLIN)

    assert {"EUR": Decimal("3.85"), "JPY": Decimal(5)} == {each.currency: each.value for each in answer.total}
    assert (("JPY",), False) == (answer.unconverted, answer.is_exact)


def test_a_breakdown_by_what_is_not_known_is_refused(tmp_path: Path) -> None:
    """
    As in a definition: with what was probably meant.
    """
    source = store(tmp_path, [])

    with pytest.raises(SetupError, match="did you mean 'segment'"):
        evaluate(kpi(Count(CHECKOUT)), source, DAY, by=("segmnet",))
    with pytest.raises(SetupError, match="too many values"):
        evaluate(kpi(Count(CHECKOUT)), source, DAY, by=("duration",))
    with pytest.raises(SetupError, match="cohorts"):
        evaluate(kpi(Retention(CHECKOUT)), source, DAY, by=("country",))
    with pytest.raises(SetupError, match="ask for fewer cohorts"):
        evaluate(kpi(Retention(CHECKOUT, every="day")), source, Period(0, DAY.until_ns), calendar=BERLIN)


# --- what bizspan emits -----------------------------------------------------------------------------------------------


def test_what_bizspan_emits_is_what_kpis_read(tmp_path: Path) -> None:
    """
    Operations, second currencies, events, refunds and feedback of the real pipeline, evaluated.
    """
    with capture(check=False) as told:
        for number in range(4):
            with bizspan.operation("checkout", order=f"o-{number}", customer=f"c-{number % 2}", country="DE") as op:
                op.revenue("10.00", "EUR")
                if number == 1:
                    op.revenue("500", "JPY")
                if number == 2:
                    op.reject("card_declined")
                if number == 3:
                    op.cost("1.50", "EUR")
        with bizspan.operation("checkout", traffic="bot") as op:
            op.revenue("99.00", "EUR")
        with bizspan.operation("checkout") as op:
            op.revenue("1.001", "EUR")
        bizspan.refund("4.00", "EUR", order="o-0")
        bizspan.feedback("nps", 9)
        bizspan.feedback("nps", 3)
    emitted = [
        Told(each.uid, each.time_ns, each.event_name, _scalars(each.attributes), each.time_ns)
        for each in (*told.operations(), *told.events())
    ]
    source = store(tmp_path, emitted)
    around = Period(min(each.time_ns for each in emitted), max(each.time_ns for each in emitted) + 1)

    def values(of: Any) -> Any:
        return {each.currency: each.value for each in evaluate(kpi(of), source, around).total}

    assert {"EUR": Decimal("30.00"), "JPY": Decimal(500)} == values(Sum(of=CHECKOUT))
    assert {"EUR": Decimal("1.50")} == values(Sum("cost", CHECKOUT))
    assert {"EUR": Decimal("4.00")} == values(Sum("refund", refunds(), dated="order"))
    assert {"": 5} == values(Count(CHECKOUT))
    assert {"": 4 / 5} == values(Ratio(Count(PAID), Count(CHECKOUT)))
    assert {"": 2} == values(Distinct("customer", CHECKOUT))
    assert {"EUR": Decimal("10.00"), "JPY": Decimal(500)} == values(AverageOrderValue(of=CHECKOUT))
    assert {"": 3.0} == values(Quantile(0.5, "score", feedback("nps")))
    answer = evaluate(kpi(Sum(of=CHECKOUT)), source, around)
    assert (1, 1) == (answer.hidden, answer.missing)


def _scalars(attributes: Any) -> dict[str, Any]:
    return {key: value for key, value in attributes.items() if isinstance(value, (str, int, float, bool))}


# --- the purchases of a real shop -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def purchases() -> list[tuple[str, date, int, int]]:
    with CDNOW.open(newline="", encoding="utf-8") as file:
        return [
            (row["customer"], date.fromisoformat(row["date"]), int(row["quantity"]), round(Decimal(row["usd"]) * 100))
            for row in csv.DictReader(file)
        ]


@pytest.fixture(scope="module")
def shop(purchases: list[tuple[str, date, int, int]], tmp_path_factory: pytest.TempPathFactory) -> SqliteSource:
    def told() -> Iterable[Told]:
        for number, (customer, day, _, minor) in enumerate(purchases):
            time_ns = BERLIN.day(day).since_ns + 12 * HOUR + number
            yield sale(number, time_ns, minor, "USD", customer=customer, order=f"o-{number}")

    return sqlite_store(tmp_path_factory.mktemp("cdnow") / "store.db", told())


def test_the_revenue_of_each_month_is_the_shops(
    purchases: list[tuple[str, date, int, int]], shop: SqliteSource
) -> None:
    """
    Sum, number, customers, and average order value of all months, to the cent.
    """
    by_month: dict[tuple[int, int], list[tuple[str, int]]] = defaultdict(list)
    for customer, day, _, minor in purchases:
        by_month[day.year, day.month].append((customer, minor))
    assert len(by_month) > 12

    for (year, month), told in by_month.items():
        period = BERLIN.month(year, month)
        found = {
            of.kind: evaluate(kpi(of), shop, period, calendar=BERLIN).total[0].value
            for of in (Sum(), Count(PAID), Distinct(), AverageOrderValue())
        }
        total = sum(minor for _, minor in told)
        assert {
            "sum": Decimal(total).scaleb(-2),
            "count": len(told),
            "distinct": len({customer for customer, _ in told}),
            "average_order_value": Decimal(round(Decimal(total) / len(told))).scaleb(-2),
        } == found


def test_the_retention_of_each_cohort_is_the_shops(
    purchases: list[tuple[str, date, int, int]], shop: SqliteSource
) -> None:
    """
    Who bought first in a month, and who of them came back in each of the six months after it.
    """
    months: dict[str, set[int]] = defaultdict(set)
    for customer, day, _, _ in purchases:
        months[customer].add(day.year * 12 + day.month - 1)
    first = 1997 * 12
    starts = (first, first + 1, first + 2)
    cohorts = {start: [seen for seen in months.values() if min(seen) == start] for start in starts}
    period = Period(BERLIN.month(1997, 1).since_ns, BERLIN.month(1997, 3).until_ns)

    answer = evaluate(kpi(Retention(PAID)), shop, period, calendar=BERLIN)

    expected = [
        (sum(1 for seen in members if start + age in seen), len(members))
        for start, members in cohorts.items()
        for age in range(7)
    ]
    assert expected == [each.parts for each in answer.cohorts]
    hits, of = (sum(each) for each in zip(*(pair for pair in expected[1::7]), strict=True))
    assert hits / of == answer.total[0].value
    assert all(each.is_mature for each in answer.cohorts)


def test_an_immature_cohort_is_marked_and_left_out_of_the_value(shop: SqliteSource) -> None:
    """
    In the middle of March, March itself, and what comes after February, are not over.
    """
    as_of = BERLIN.day(date(1997, 3, 15)).since_ns
    period = Period(BERLIN.month(1997, 1).since_ns, BERLIN.month(1997, 3).until_ns)

    answer = evaluate(kpi(Retention(PAID)), shop, period, calendar=BERLIN, as_of_ns=as_of)

    assert [(0, True), (1, True), (2, False), (0, True), (1, False), (0, False)] == [
        (each.age, each.is_mature) for each in answer.cohorts
    ]
    assert answer.cohorts[1].value == answer.total[0].value


def test_a_second_purchase_within_30_days_is_the_shops(
    purchases: list[tuple[str, date, int, int]], shop: SqliteSource
) -> None:
    """
    Of those who bought in January, those who bought again within 30 days, as plain Python has it.
    """
    january = BERLIN.month(1997, 1)
    days: dict[str, list[date]] = defaultdict(list)
    for customer, day, _, _ in purchases:
        days[customer].append(day)
    entered = {customer: min(told) for customer, told in days.items() if min(told) < date(1997, 2, 1)}
    window = timedelta(days=30)
    again = sum(1 for who, start in entered.items() if any(start < day <= start + window for day in days[who]))
    marked = [Told(each.uid, each.time_ns, "first", each.attributes, each.time_ns) for each in _firsts(purchases)]
    source = sqlite_store(Path(shop.path).with_name("marked.db"), [*_sales(purchases), *marked])

    steps = (events("first"), CHECKOUT)
    answer = evaluate(kpi(Conversion(steps, window="30d")), source, january, calendar=BERLIN)

    assert (len(entered), again) == answer.total[0].steps


def _sales(purchases: list[tuple[str, date, int, int]]) -> Iterable[Told]:
    """At noon of UTC, where each day has 24 hours; a customer's first purchase apart, and once a day."""
    seen: dict[str, set[date]] = defaultdict(set)
    for number, (customer, day, _, minor) in enumerate(purchases):
        if seen[customer] and day not in seen[customer]:
            yield sale(number, _noon(day), minor, "USD", customer=customer)
        seen[customer].add(day)


def _firsts(purchases: list[tuple[str, date, int, int]]) -> Iterable[Told]:
    first: dict[str, date] = {}
    for customer, day, _, _ in purchases:
        first[customer] = min(day, first.get(customer, day))
    for number, (customer, day) in enumerate(first.items()):
        yield Told(f"f-{number}", _noon(day), "first", {names.CUSTOMER: customer})


def _noon(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp()) * 10**9
