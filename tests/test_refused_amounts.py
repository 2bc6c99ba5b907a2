"""Amounts that can't be taken: refused, counted and explained, and the event says that one is missing."""

from __future__ import annotations

from contextlib import ExitStack
from decimal import Decimal
from functools import partial
from threading import Thread
from typing import Any

import pytest

import bizspan
from bizspan import Money
from bizspan.testing import Capture

BAD_AMOUNTS = [
    (float("nan"), "EUR", "nonfinite"),
    (float("-inf"), "EUR", "nonfinite"),
    (Decimal("sNaN"), "EUR", "nonfinite"),
    (-5, "EUR", "negative"),
    (Money(-5, "EUR"), None, "negative"),
    (0.1 + 0.2, "EUR", "precision"),
    ("12,50", "EUR", "parse"),
    (2**70, "EUR", "range"),
    (True, "EUR", "type"),
    (object(), "EUR", "type"),
    (5, "XXQ", "currency"),
    (5, "", "currency"),
    (5, "€", "currency"),
    (5, None, "currency"),
    (100.5, "JPY", "precision"),
]


@pytest.mark.parametrize(("amount", "currency", "reason"), BAD_AMOUNTS)
def test_a_bad_amount_is_refused_and_its_event_is_kept(
    capbiz: Capture, amount: Any, currency: Any, reason: str
) -> None:
    """
    Rows 3, 4, 16 and 17: on operations, events, refunds and costs; the event says that an amount is missing.
    """
    capbiz.allow(reason)

    with bizspan.operation("checkout") as op:
        op.revenue(amount, currency)
    bizspan.refund(amount, currency)
    bizspan.cost(amount, currency)
    bizspan.event("paid", revenue=amount if currency is None else (amount, currency))

    (checkout,), (paid,) = capbiz.operations("checkout"), capbiz.events("paid")
    assert [reason] * 4 == [
        event.attributes[f"business.{kind}.invalid"]
        for event, kind in (
            (checkout, "revenue"),
            (capbiz.events("business.refund")[0], "refund"),
            (capbiz.events("business.cost")[0], "cost"),
            (paid, "revenue"),
        )
    ]
    assert {reason: 4} == bizspan.diagnostics().values_refused
    assert [] == capbiz.points("business.revenue")
    assert reason == capbiz.spans("checkout")[0].attributes["business.revenue.invalid"]
    capbiz.assert_consistent()


@pytest.mark.parametrize(
    ("amount", "currency", "minor"), [("-0.00", "EUR", 0), ("1.005", "BHD", 1005), (5, "eur", 500)]
)
def test_edges_that_are_exact_are_kept(capbiz: Capture, amount: Any, currency: str, minor: int) -> None:
    """
    Rows 5, 16 and 17: minus zero is zero, BHD has three digits, a lower-case currency is known.
    """
    bizspan.event("paid", revenue=(amount, currency))

    assert Money.from_minor(minor, currency) == capbiz.events("paid")[0].revenue


def test_none_is_no_amount_and_no_complaint(capbiz: Capture) -> None:
    """
    Row 14: absent, not 0.
    """
    with bizspan.operation("checkout") as op:
        op.revenue(None, "EUR")
    bizspan.refund(None)

    assert all("business.revenue.minor_units" not in event.attributes for event in capbiz.operations())


def test_an_amount_is_explained_once_per_call_site(capbiz: Capture, caplog: pytest.LogCaptureFixture) -> None:
    """
    The text names the file and line that told it, and the way out.
    """
    capbiz.allow("precision")

    for _ in range(3):
        with bizspan.operation("checkout") as op:
            op.revenue(0.1 + 0.2, "EUR")
    bizspan.refund(0.1 + 0.2, "EUR")

    told = [record.message for record in caplog.records]
    assert 2 == len(told)
    assert all(
        "(test_refused_amounts.py:" in text and "rounding='half_even' or Money.rounded()" in text for text in told
    )


def test_a_call_through_the_standard_library_has_its_line_and_a_thread_its_name(
    capbiz: Capture, caplog: pytest.LogCaptureFixture
) -> None:
    """
    The first line of the application counts; where none told it, the operation or the event is named.
    """
    capbiz.allow("precision")
    refunding = partial(bizspan.refund, "0.001", "EUR")
    with ExitStack() as stack:
        stack.callback(refunding)
    thread = Thread(target=refunding)
    thread.start()
    thread.join()

    [first, second] = [record.message.partition(" was")[0] for record in caplog.records]
    assert first.startswith("bizspan: refund (test_refused_amounts.py:")
    assert "bizspan: refund (of 'business.refund')" == second


def test_rounding_is_explicit_at_the_call(capbiz: Capture) -> None:
    """
    Half to even, on each recording call that takes an amount.
    """
    with bizspan.operation("checkout") as op:
        op.revenue("0.125", "EUR", rounding="half_even")
    bizspan.refund("0.135", "EUR", rounding="half_even")
    bizspan.cost(0.1 + 0.2, "EUR", rounding="half_even")

    assert [Money("0.12", "EUR"), Money("0.14", "EUR"), Money("0.30", "EUR")] == [
        capbiz.revenue("EUR"), capbiz.refunds("EUR"), capbiz.costs("EUR"),
    ]  # fmt: skip
