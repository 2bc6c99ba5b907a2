"""Events, refunds and costs in one line: money, late times, repeats, and bad amounts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

import bizspan
from bizspan import Money
from bizspan.testing import START_NS, Capture

PAID_AT = datetime(2025, 12, 31, 23, 30, tzinfo=UTC)
PAID_AT_NS = 1_767_223_800_000_000_000


def test_the_one_liner_keeps_money_customer_and_time(capbiz: Capture) -> None:
    """
    The example of product.md, with the caller's own time.
    """
    bizspan.event("invoice.paid", revenue=Money("99.00", "EUR"), customer="c-17", time=PAID_AT)

    (paid,) = capbiz.events("invoice.paid", customer="c-17")
    assert (Money("99.00", "EUR"), PAID_AT_NS) == (paid.revenue, paid.time_ns)
    assert Money("99.00", "EUR") == capbiz.revenue("EUR", customer="c-17")
    capbiz.assert_consistent()


def test_a_late_event_is_backdated_and_its_metrics_are_not(capbiz: Capture) -> None:
    """
    The event has the time when it happened; the metric point ends now, and counts it on arrival.
    """
    bizspan.event("invoice.paid", revenue=(99, "EUR"), time=PAID_AT)

    (point,) = capbiz.points("business.revenue")
    assert PAID_AT_NS == capbiz.events("invoice.paid")[0].time_ns
    assert 99.0 == point.value
    assert point.time_unix_nano > START_NS


@pytest.mark.parametrize(
    "time",
    [
        PAID_AT_NS,
        PAID_AT,
        PAID_AT.replace(tzinfo=None),
        PAID_AT.astimezone(timezone(timedelta(hours=-9))),
    ],
)
def test_time_is_nanoseconds_or_a_datetime(capbiz: Capture, time: Any) -> None:
    """
    A naive datetime means UTC.
    """
    bizspan.event("invoice.paid", time=time)

    assert PAID_AT_NS == capbiz.events("invoice.paid")[0].time_ns


@pytest.mark.parametrize("time", [-1, 1.5, 2**64, "yesterday", datetime(1, 1, 1), datetime.max, True, object()])
def test_a_time_that_no_collector_takes_becomes_now_with_a_note(capbiz: Capture, time: Any) -> None:
    """
    Row 37: the event is kept at the observed time.
    """
    capbiz.allow("time")

    bizspan.event("invoice.paid", time=time)

    (paid,) = capbiz.events("invoice.paid")
    assert (START_NS, ("time:invalid",)) == (paid.time_ns, paid.attributes["bizspan.notes"])


def test_an_event_inside_an_operation_carries_its_id_and_trace(capbiz: Capture) -> None:
    """
    The two can be joined later.
    """
    with bizspan.operation("checkout"):
        bizspan.event("coupon.used")

    (used,), (checkout,) = capbiz.events("coupon.used"), capbiz.operations("checkout")
    assert used.attributes["business.operation.id"] == checkout.attributes["business.operation.id"]
    assert (used.trace_id, used.span_id) == (checkout.trace_id, checkout.span_id)


def test_refunds_are_whole_or_partial_and_never_taken_off_revenue(capbiz: Capture) -> None:
    """
    Several parts add up to the order's whole revenue; revenue stays what was earned.
    """
    with bizspan.operation("checkout", order="o-1") as op:
        op.revenue("42.00", "EUR")
    with bizspan.operation("checkout", order="o-2") as op:
        op.revenue("10.00", "EUR")
    bizspan.refund(Money("9.90", "EUR"), order="o-1")
    bizspan.refund("32.10", "EUR", order="o-1", reason="damaged")
    bizspan.refund((1, "EUR"), order="o-2", segment="gold")

    assert Money("42.00", "EUR") == capbiz.refunds("EUR", order="o-1")
    assert Money("1.00", "EUR") == capbiz.refunds("EUR", segment="gold")
    assert Money("52.00", "EUR") == capbiz.revenue("EUR")
    assert [43.0, 52.0] == [capbiz.metric(f"business.{kind}") for kind in ("refund", "revenue")]
    assert [None, "damaged", None] == [
        event.attributes.get("business.refund.reason") for event in capbiz.events("business.refund")
    ]
    capbiz.assert_consistent()


def test_costs_of_operations_and_events_add_up(capbiz: Capture) -> None:
    """
    A cost counts with every outcome: a declined payment has its fee too.
    """
    bizspan.cost("0.35", "EUR", feature="payment")
    with bizspan.operation("checkout", feature="payment") as op:
        op.cost(Money("0.25", "EUR"))
        op.reject("card_declined")

    assert Money("0.60", "EUR") == capbiz.costs("EUR", feature="payment")
    assert pytest.approx(0.6, abs=1e-9) == capbiz.metric("business.cost")
    capbiz.assert_consistent()


# --- revenue on operations ----------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", ["rejected", "failed", "cancelled"])
def test_revenue_counts_with_success_only_and_stays_on_span_and_event(capbiz: Capture, outcome: str) -> None:
    """
    What was told on another outcome is still there to be read.
    """
    run = bizspan.operation("checkout")
    op = run.__enter__()
    op.revenue("42.00", "EUR")
    if outcome == "rejected":
        op.reject("card_declined")
    error = {"failed": ValueError(), "cancelled": KeyboardInterrupt()}.get(outcome)
    run.__exit__(type(error), error, None)

    (checkout,) = capbiz.operations("checkout", outcome=outcome)
    assert Money("42.00", "EUR") == checkout.revenue
    assert 4200 == capbiz.spans("checkout")[0].attributes["business.revenue.minor_units"]
    assert (Money(0, "EUR"), []) == (capbiz.revenue("EUR"), capbiz.points("business.revenue"))
    capbiz.assert_consistent()


def test_value_says_what_was_at_stake_whatever_the_outcome(capbiz: Capture) -> None:
    """
    Revenue at risk: on the event of a refused operation.
    """
    with bizspan.operation("checkout", value=Money("310.00", "EUR")) as op:
        op.tax("49.50", "EUR")
        op.reject("card_declined")

    (checkout,) = capbiz.operations("checkout", outcome="rejected")
    assert Money("310.00", "EUR") == checkout.money("business.value")
    assert Money("49.50", "EUR") == checkout.money("business.tax")


def test_a_second_revenue_in_one_currency_adds(capbiz: Capture) -> None:
    """
    One event with the sum, exact.
    """
    with bizspan.operation("checkout", revenue=("0.10", "EUR")) as op:
        op.revenue("0.20", "EUR")
        op.revenue(Decimal("0.30"), "EUR")

    (checkout,) = capbiz.operations("checkout")
    assert (Money("0.60", "EUR"), 0.6) == (checkout.revenue, capbiz.metric("business.revenue"))


def test_a_second_currency_is_a_further_event_with_its_own_uid(capbiz: Capture) -> None:
    """
    Row 18: kept apart, never summed; the same operation id, and the span keeps the first.
    """
    with bizspan.operation("checkout", segment="gold", idempotency_key="k") as op:
        op.revenue(10, "EUR")
        op.revenue(20, "USD")
        op.revenue(5, "EUR")

    (checkout,), (further,) = capbiz.operations("checkout"), capbiz.events("business.revenue")
    assert (Money(15, "EUR"), Money(20, "USD")) == (checkout.revenue, further.revenue)
    assert checkout.attributes["business.operation.id"] == further.attributes["business.operation.id"]
    assert checkout.uid != further.uid
    assert "EUR" == capbiz.spans("checkout")[0].attributes["business.revenue.currency"]
    assert [Money(15, "EUR"), Money(20, "USD")] == [capbiz.revenue(code, segment="gold") for code in ("EUR", "USD")]
    assert {("EUR", 15.0), ("USD", 20.0)} == {
        (point.attributes["business.revenue.currency"], point.value) for point in capbiz.points("business.revenue")
    }
    capbiz.assert_consistent()


# --- the same fact twice ------------------------------------------------------------------------------------


def test_the_same_key_gives_the_same_uid_and_counts_once(capbiz: Capture) -> None:
    """
    Row 19: for events, refunds, costs and feedback; the events are both there, the metrics have one.
    """
    for _ in range(2):
        bizspan.event("invoice.paid", revenue=(10, "EUR"), idempotency_key="i-1")
        bizspan.refund(3, "EUR", idempotency_key="i-1")
        bizspan.cost(1, "EUR", idempotency_key="i-1")
        bizspan.feedback("nps", 9, idempotency_key="i-1")

    uids = [event.uid for event in capbiz.events()]
    assert (8, 4) == (len(uids), len(set(uids)))
    assert [10.0, 3.0, 1.0, 4.0] == [
        capbiz.metric(f"business.{kind}") for kind in ("revenue", "refund", "cost", "events")
    ]
    assert 1 == capbiz.metric("business.feedback.score")
    assert Money(10, "EUR") == capbiz.revenue("EUR")
    capbiz.assert_consistent()


def test_the_same_key_under_another_name_is_another_fact(capbiz: Capture) -> None:
    """
    An order's id may be the key of its payment and of its delivery.
    """
    bizspan.event("order.paid", idempotency_key="o-1")
    bizspan.event("order.delivered", idempotency_key="o-1")
    bizspan.event("order.paid", idempotency_key=1)
    bizspan.event("order.paid")

    assert 4 == len({event.uid for event in capbiz.events()})
    assert 4 == capbiz.metric("business.events")


# --- names --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", " ", None, 3, [], {}, "\x1b[0m", "business.operation", " business.refund "])
def test_an_event_needs_a_name_of_its_own(capbiz: Capture, name: Any) -> None:
    """
    Row 36: refused by reason; bizspan's own names have calls of their own.
    """
    capbiz.allow("invalid", "invalid_name")

    bizspan.event(name, revenue=(5, "EUR"))

    assert ({"invalid_name": 1}, []) == (bizspan.diagnostics().refused, capbiz.events())
    assert [] == capbiz.points("business.revenue")


def test_a_name_that_no_batch_survives_is_made_harmless(capbiz: Capture) -> None:
    """
    Row 36: a lone surrogate is replaced and 10 KB are cut.
    """
    bizspan.event("paid\ud800")
    bizspan.event("p" * 10_000)

    assert ["paid\ufffd", "p" * 200] == [event.name for event in capbiz.events()]
