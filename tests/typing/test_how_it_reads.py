"""
The code of product.md's "How it reads", as a user writes it: under mypy and pyright strict, and run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import bizspan
from bizspan import Money
from bizspan.testing import Capture


@dataclass(frozen=True)
class Customer:
    segment: str


@dataclass(frozen=True)
class Cart:
    customer: Customer
    total: Decimal


@dataclass(frozen=True)
class Order:
    total: Money
    accepted: bool = True


class CardDeclined(Exception):  # noqa: N818 - named like what happened
    pass


def place(cart: Cart) -> Order:
    return Order(Money(cart.total, "EUR"), accepted=cart.total < 100)


def as_a_block(cart: Cart, order_id: str) -> None:
    with bizspan.operation("checkout", segment="enterprise", country="DE", order=order_id) as op:
        order = place(cart)
        op.revenue(order.total.amount, "EUR")
        op.annotate(delivery="express")
        if not order.accepted:
            op.reject("card_declined")


@bizspan.operation(
    "checkout",
    segment=lambda cart: cart.customer.segment,
    revenue=lambda result: result.total,
    rejects=CardDeclined,
)
def checkout(cart: Cart) -> Order:
    if cart.total > 1000:
        raise CardDeclined
    return place(cart)


@bizspan.operation(
    "sign up",
    plan=lambda plan, trial: f"{plan}-{trial}",
    order=lambda plan, trial, seats: (plan, trial, seats),
    value=lambda seats: (seats, "EUR"),
    idempotency_key=lambda plan: plan,
)
def sign_up(plan: str, trial: bool, *, seats: int = 1) -> str:
    return plan


@bizspan.context(segment="enterprise", country="DE")
def in_context(paid_at: datetime) -> None:
    bizspan.annotate(plan="pro")
    bizspan.event("newsletter.signup", channel="web")
    bizspan.event("invoice.paid", revenue=Money("99.00", "EUR"), customer="c-17", time=paid_at)
    bizspan.refund(Money("9.90", "EUR"), order="o-1")
    bizspan.feedback("nps", 9, segment="smb")


@bizspan.gauge("subscriptions.active", every_s=60)
def active_subscriptions() -> Iterator[object]:
    yield 1042, {"plan": "pro"}


def test_the_code_of_product_md_runs_as_it_reads(capbiz: Capture) -> None:
    """
    Each line of it, with the numbers that come out.
    """
    capbiz.allow("type")  # a tuple is no order's id: it type-checks, and is dropped

    as_a_block(Cart(Customer("smb"), Decimal("42.00")), "o-1")
    as_a_block(Cart(Customer("smb"), Decimal("420.00")), "o-2")
    checkout(Cart(Customer("gold"), Decimal("10.00")))
    sign_up("pro", True)
    with bizspan.context(segment="enterprise", country="DE"):
        in_context(datetime(2025, 12, 31))

    assert Money("42.00", "EUR") == capbiz.revenue("EUR", order="o-1")
    assert 1 == len(capbiz.operations("checkout", outcome="rejected", reason="card_declined", order="o-2"))
    assert Money("10.00", "EUR") == capbiz.revenue("EUR", segment="gold")
    assert 1 == len(capbiz.operations("sign up", plan="pro-True"))
    assert Money("99.00", "EUR") == capbiz.revenue("EUR", customer="c-17", plan="pro")
    assert Money("9.90", "EUR") == capbiz.refunds("EUR", order="o-1", country="DE")
    assert 1 == len(capbiz.events("business.feedback", segment="smb"))
    assert 1042.0 == capbiz.gauge("subscriptions.active", plan="pro")
    capbiz.assert_consistent()
