"""What type checkers infer. Never run: `assert_type` fails the type check where an answer changes."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any, assert_type

from sqlalchemy.orm import Session, sessionmaker

import bizspan
from bizspan import Attribute, Configuration, Diagnostics, Money, Operation, Vocabulary
from bizspan._run import Run
from bizspan.integrations import sqlalchemy
from bizspan.testing import Capture, CapturedEvent, capture


@bizspan.operation("checkout", segment=lambda cart: cart)
def function(cart: int, *, gift: bool = False) -> str:
    return f"{cart}{gift}"


@bizspan.operation("checkout")
async def coroutine(cart: int) -> str:
    return str(cart)


@bizspan.context(segment="gold")
def scoped(cart: int) -> str:
    return str(cart)


@bizspan.gauge("stock")
def stock() -> int:
    return 5


class Shop:
    @bizspan.operation("method", segment=lambda self: self.name)
    def method(self, cart: int) -> str:
        return str(cart)

    @classmethod
    @bizspan.operation("class method")
    def class_method(cls, cart: int) -> str:
        return str(cart)

    @staticmethod
    @bizspan.operation("static method")
    def static_method(cart: int) -> str:
        return str(cart)


def decorators_give_the_same_callable_back() -> None:
    assert_type(function(1, gift=True), str)
    waited: Callable[[int], Coroutine[Any, Any, str]] = coroutine
    assert waited is coroutine
    assert_type(scoped(1), str)
    assert_type(stock(), int)
    assert_type(Shop().method(1), str)
    assert_type(Shop.class_method(1), str)
    assert_type(Shop.static_method(1), str)
    kept = bizspan.operation("kept")
    assert_type(kept, Operation)

    def plain(cart: int) -> str:
        return str(cart)

    same: Callable[[int], str] = kept(plain)
    assert_type(same(1), str)


def a_kept_declaration_runs_again(mapping: Mapping[str, str]) -> None:
    kept = bizspan.operation("kept", attributes=mapping)
    assert_type(kept(segment="gold", own=3), Operation)
    with kept(order="o-1", revenue=(5, "EUR"), idempotency_key=1, attributes={"span": "x"}) as run:
        assert_type(run, Run)
    with kept as run:
        assert_type(run, Run)


class ForeignMoney:
    amount = Decimal(5)
    currency = "EUR"


def amounts(op: Run) -> None:
    for amount in (5, "5.00", 5.0, Decimal(5), Fraction(5, 2)):
        op.revenue(amount, "EUR")
        op.cost(amount, "EUR", rounding="half_even")
        bizspan.refund(amount, "EUR", order="o-1")
        bizspan.cost(amount, "EUR")
    for money in (Money(5, "EUR"), ForeignMoney(), (5, "EUR"), None):
        op.revenue(money)
        op.value(money)
        op.tax(money)
        bizspan.event("paid", revenue=money, value=money, cost=money, tax=money)
        bizspan.refund(money)


def results(captured: Capture) -> None:
    assert_type(captured.operations("checkout", outcome="rejected", segment="gold"), list[CapturedEvent])
    assert_type(captured.revenue("EUR"), Money)
    assert_type(bizspan.diagnostics(), Diagnostics)
    assert_type(Money("1", "EUR") + Money(2, "EUR"), Money)
    assert_type(sum([Money(1, "EUR")], Money(0, "EUR")), Money)
    with bizspan.configure(service_name="shop", export=["otlp", "console"]) as configured:
        assert_type(configured, Configuration)
    with capture(vocabulary=Vocabulary("shop", [Attribute(name="stage", allowed=["won"])])) as told:
        assert_type(told, Capture)


def a_block_lets_exceptions_through() -> int:
    with bizspan.operation("checkout"), bizspan.context(segment="gold"):
        return 5
    # No return here: were a block able to swallow exceptions, the checkers would ask for one.


def emission_may_wait_for_the_commit() -> None:
    declared = bizspan.operation("checkout", emit="on_commit")
    with declared(emit="now"), bizspan.operation("checkout", emit=None):
        bizspan.event("paid", emit="on_commit")
        bizspan.refund(5, "EUR", emit="now")
        bizspan.cost(5, "EUR", emit=None)
        bizspan.feedback("nps", 9, emit="on_commit")
    bizspan.configure(emit="on_commit")
    sqlalchemy.instrument()
    sqlalchemy.instrument(sessionmaker())
    sqlalchemy.instrument(Session)
    assert_type(sqlalchemy.uninstrument(), None)


def rejects_takes_a_class_or_several() -> None:
    bizspan.operation("checkout", rejects=ValueError)
    bizspan.operation("checkout", rejects=(ValueError, KeyboardInterrupt))
