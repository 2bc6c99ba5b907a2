"""Totals: integers until they are read out, a budget per dimension, a ceiling per instrument."""

from __future__ import annotations

import random
from collections import Counter
from itertools import product

import pytest
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics

import bizspan
from bizspan import Attribute, Money, Vocabulary, _guard, names
from bizspan._accounts import Accounts
from bizspan._record import Record
from bizspan._totals import Totals
from bizspan.money import EXPONENTS
from bizspan.testing import Capture, capture
from tests.providers import DELTA, amounts, built, joined, points, reader, take
from tests.providers import Far as FarEnd

SEGMENT = "business.customer.segment"
COUNTRY = "geo.country.iso_code"
TENANT = "business.tenant.id"
OTHER = "__other__"
SDK_LIMIT = 2_000


def test_a_tenth_a_thousand_times_is_a_hundred(capbiz: Capture) -> None:
    """
    0.75 and 1,000 times 0.10 read 100.75; a float that adds them up reads 100.74999999999856.
    """
    bizspan.event("paid", revenue=("0.75", "EUR"))
    for _ in range(1_000):
        bizspan.event("paid", revenue=("0.10", "EUR"))

    assert 100.75 == capbiz.metric("business.revenue")
    capbiz.assert_consistent()


def test_a_cumulative_total_is_the_nearest_double_of_the_exact_sum(capbiz: Capture) -> None:
    """
    6,919 amounts that sum to 244,091.94 read exactly 244091.94.
    """
    choice = random.Random(2)
    cents = [choice.randrange(1, 7_000) for _ in range(6_918)]
    for units in [*cents, 24_409_194 - sum(cents)]:
        bizspan.event("paid", revenue=Money.from_minor(units, "USD"))

    assert 244091.94 == capbiz.metric("business.revenue")


def test_delta_points_equal_what_was_told_after_rounding_to_the_exponent() -> None:
    """
    Each delta is the difference of two doubles; rounded to cents it is what was told in the interval.
    """
    far = FarEnd(DELTA)
    told: list[int] = []
    choice = random.Random(7)
    with built(far) as flush:
        for _ in range(50):
            told.append(choice.randrange(1, 10_000_000))
            bizspan.event("paid", revenue=Money.from_minor(told[-1], "EUR"))
            flush()
        read = [round(value * 100) for value in amounts(far.exported, "business.revenue")]

    assert told == read


def test_a_total_past_int64_is_refused_and_counted_and_exports_go_on(capbiz: Capture) -> None:
    """
    The amount that no longer fits is left out of the metric; its event is kept; the points still encode.
    """
    capbiz.allow("total_range")
    largest = Money.from_minor(2**63 - 1, "EUR")
    bizspan.event("paid", revenue=largest)
    bizspan.event("paid", revenue=Money.from_minor(1, "EUR"))
    bizspan.event("paid", revenue=Money.from_minor(5, "USD"))

    revenue = {p.attributes["business.revenue.currency"]: p.value for p in capbiz.points("business.revenue")}
    assert {"EUR": (2**63 - 1) / 100, "USD": 0.05} == revenue
    assert 3 == len(capbiz.events("paid"))
    assert {"total_range": 1} == bizspan.diagnostics().values_refused
    assert 3 == capbiz.metric("business.events")


def test_a_histogram_that_fails_costs_no_money_and_no_score(production_guard: None) -> None:
    """
    What a provider's histogram raises is counted; everything else of the record is, too.
    """

    def fails(value: float, attributes: object) -> None:
        failed.append(value)
        raise RuntimeError("secret-in-the-text")

    failed: list[float] = []
    totals = Totals(Accounts(), fails, fails)
    totals.declare({SEGMENT: 9})
    amounts_told = ((names.REVENUE, 990, "EUR"),)
    before = _guard.swallowed_errors.values().get("adding to a histogram", 0)
    totals.add(
        Record(names.EVENT_OPERATION, "sale", "u", 1, {SEGMENT: "a"}, amounts_told, None, names.SUCCESS, 10**9, 0.5)
    )

    assert [1.0, 0.5] == failed
    assert [9.9] == [value for value, _ in totals.counted_money(names.REVENUE)]
    assert [1] == [value for value, _ in totals.counted_events()]
    assert before + 2 == _guard.swallowed_errors.values()["adding to a histogram"]


def test_huge_totals_encode_to_otlp() -> None:
    """
    The OTLP encoder takes a collection whose totals stand at the edge of int64.
    """
    memory = reader()
    with joined(memory, export="none"):
        bizspan.event("paid", revenue=Money.from_minor(2**63 - 1, "EUR"))
        bizspan.event("paid", revenue=Money.from_minor(2**63 - 1, "EUR"))
        data = memory.get_metrics_data()

    assert data is not None
    assert 0 < len(encode_metrics(data).SerializeToString())
    assert [(2**63 - 1) / 100] == [point.value for point in points(data, "business.revenue")]


def test_the_tail_of_one_dimension_becomes_other_for_that_attribute_alone(capbiz: Capture) -> None:
    """
    2,500 tenants in two countries: 200 keep their name, the rest is `__other__`, and every country stays right.
    """
    for number in range(2_500):
        country = "DE" if number % 2 else "FR"
        bizspan.event("paid", revenue=("1.00", "EUR"), tenant=f"t{number}", country=country)

    named = Counter[str]()
    by_country = Counter[str]()
    for point in capbiz.points("business.revenue"):
        named[str(point.attributes[TENANT])] += point.value
        by_country[str(point.attributes[COUNTRY])] += point.value
    assert {"DE": 1_250, "FR": 1_250} == by_country
    assert 2_300 == named[OTHER]
    assert {f"t{number}": 1 for number in range(200)} == {k: v for k, v in named.items() if k != OTHER}
    capbiz.assert_consistent()


def test_a_name_that_is_other_already_takes_no_budget(capbiz: Capture) -> None:
    """
    The first 50 segments stay; the 51st and those after share one point.
    """
    for number in range(60):
        bizspan.event("seen", segment=f"s{number}")

    seen = {p.attributes[SEGMENT]: p.value for p in capbiz.points("business.events")}
    assert 51 == len(seen)
    assert 10 == seen[OTHER]


@pytest.mark.parametrize("temporality", ["cumulative", "delta"])
def test_a_product_of_dimensions_folds_the_widest_and_never_overflows(temporality: str) -> None:
    """
    15 x 20 x 10 values, each within its budget: fewer sets than the SDK's limit, and the narrow ones stay right.
    """
    memory = reader(DELTA) if temporality == "delta" else reader()
    with joined(memory, export="none"):
        for plan, segment, channel in product(range(15), range(20), range(10)):
            facts = {"plan": f"p{plan}", "segment": f"s{segment}", "channel": f"c{channel}"}
            bizspan.event("paid", revenue=("1.00", "EUR"), attributes=facts)
        collected = points(memory.get_metrics_data(), "business.revenue")

    assert 1_900 < len(collected) < SDK_LIMIT
    assert 3_000 == sum(point.value for point in collected)
    assert [] == [point for point in collected if "otel.metric.overflow" in point.attributes]
    folded = [point.attributes for point in collected if OTHER in point.attributes.values()]
    assert folded
    assert {OTHER} == {attributes[SEGMENT] for attributes in folded}
    by_channel = Counter[str]()
    for point in collected:
        by_channel[str(point.attributes["business.channel"])] += point.value
    assert {f"c{channel}": 300 for channel in range(10)} == by_channel


def test_currencies_are_never_folded_into_one() -> None:
    """
    Far beyond the ceiling each currency still has its own exact total.
    """
    told = Counter[str]()
    memory = reader()
    choice = random.Random(5)
    codes = sorted(EXPONENTS)[:20]
    with joined(memory, export="none"):
        for number in range(6_000):
            code = codes[number % len(codes)] if number > 3_000 else codes[0]
            units = choice.randrange(1, 1_000)
            told[code] += units
            facts = {"tenant": f"t{number % 190}", "plan": f"p{number % 47}", "country": ("DE", "FR")[number % 2]}
            bizspan.event("paid", revenue=Money.from_minor(units, code), attributes=facts)
        collected = points(memory.get_metrics_data(), "business.revenue")

    read = Counter[str]()
    for point in collected:
        code = str(point.attributes["business.revenue.currency"])
        read[code] += round(point.value * 10 ** EXPONENTS[code])
    assert told == read
    assert len(collected) < SDK_LIMIT


def test_every_subset_of_dimensions_stays_below_the_limit() -> None:
    """
    Which of twelve dimensions a record carries is a product of its own: 4,096 sets that no budget bounds.
    """
    names = [f"d{number}" for number in range(12)]
    wide = Vocabulary("wide", [Attribute(name=name, dimension=True, budget=30) for name in names])
    memory = reader()
    with joined(memory, export="none", vocabulary=wide):
        for present in product((False, True), repeat=len(names)):
            told = {name: "yes" for name, is_told in zip(names, present, strict=True) if is_told}
            with bizspan.operation("checkout", attributes=told) as op:
                op.revenue("1.00", "EUR")
        data = memory.get_metrics_data()

    for name in ("business.revenue", "business.events", "business.operation.duration"):
        collected = points(data, name)
        assert len(collected) < SDK_LIMIT
        assert 4_096 == sum(getattr(point, "count", None) or point.value for point in collected)


def test_operation_names_have_a_budget_too(capbiz: Capture) -> None:
    """
    A name with an id in it, 3,000 times: 200 names and `__other__`, and the events keep their names.
    """
    for number in range(3_000):
        with bizspan.operation(f"order-{number}"):
            pass

    names = {p.attributes["business.operation.name"]: p.count for p in capbiz.points("business.operation.duration")}
    assert 201 == len(names)
    assert 2_800 == names[OTHER]
    assert 3_000 == len({event.name for event in capbiz.operations()})


@pytest.mark.parametrize("seed", range(3))
def test_totals_equal_the_sum_of_the_events(seed: int) -> None:
    """
    Whatever was told, revenue, refunds, costs, counts and repeats agree between events and metrics.
    """
    with capture() as captured:
        for number in range(400):
            key = number % 90 if number % 2 else None
            choice = random.Random(f"{seed}/{number if key is None else key}")
            facts = {"segment": f"s{choice.randrange(80)}", "country": choice.choice(["DE", "FR", "US"])}
            money = Money.from_minor(choice.randrange(1, 100_000), choice.choice(["EUR", "USD", "JPY", "BHD"]))
            kind = choice.randrange(4)
            if kind == 0:
                with bizspan.operation("checkout", idempotency_key=key, attributes=facts) as op:
                    op.revenue(money)
                    if choice.random() < 0.3:
                        op.reject("declined")
            elif kind == 1:
                bizspan.refund(money, order=f"o{number}", attributes=facts)
            elif kind == 2:
                bizspan.cost(money, attributes=facts)
            else:
                bizspan.event("invoice.paid", revenue=money, idempotency_key=key, attributes=facts)
            if not number % 100:
                take()
        captured.assert_consistent()
