"""Operations on functions: every kind of function, where values come from, and what stays as it was."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

import bizspan
from bizspan import Money
from bizspan.testing import Capture


@dataclass(frozen=True)
class Order:
    total: Money
    plan: str = "pro"


class CardDeclined(Exception):  # noqa: N818 - named like what happened
    pass


class Shop:
    segment = "retail"

    @bizspan.operation("method", segment=lambda self, sku: f"{self.segment}-{sku}")
    def method(self, sku: str) -> str:
        return sku

    @bizspan.operation("async method", segment=lambda self, sku: f"{self.segment}-{sku}")
    async def async_method(self, sku: str) -> str:
        await asyncio.sleep(0)
        return sku

    @classmethod
    @bizspan.operation("under classmethod", segment=lambda cls, sku: f"{cls.segment}-{sku}")
    def under_classmethod(cls, sku: str) -> str:
        return sku

    @bizspan.operation("over classmethod", segment=lambda cls, sku: f"{cls.segment}-{sku}")
    @classmethod
    def over_classmethod(cls, sku: str) -> str:
        return sku

    @staticmethod
    @bizspan.operation("under staticmethod", segment=lambda sku: f"retail-{sku}")
    def under_staticmethod(sku: str) -> str:
        return sku

    @bizspan.operation("over staticmethod", segment=lambda sku: f"retail-{sku}")
    @staticmethod
    def over_staticmethod(sku: str) -> str:
        return sku


@bizspan.operation("function", segment=lambda sku: f"retail-{sku}")
def function(sku: str) -> str:
    return sku


@bizspan.operation("coroutine", segment=lambda sku: f"retail-{sku}")
async def coroutine(sku: str) -> str:
    await asyncio.sleep(0)
    return sku


SYNC: list[tuple[str, Callable[[str], str]]] = [
    ("function", function),
    ("method", Shop().method),
    ("method", partial(Shop.method, Shop())),
    ("under classmethod", Shop.under_classmethod),
    ("under classmethod", Shop().under_classmethod),
    ("over classmethod", Shop.over_classmethod),
    ("over classmethod", Shop().over_classmethod),
    ("under staticmethod", Shop.under_staticmethod),
    ("under staticmethod", Shop().under_staticmethod),
    ("over staticmethod", Shop.over_staticmethod),
    ("over staticmethod", Shop().over_staticmethod),
]


@pytest.mark.parametrize(("name", "call"), SYNC)
@pytest.mark.parametrize("by_name", [False, True])
def test_each_kind_of_function_is_one_run_per_call(capbiz: Capture, name: str, call: Any, by_name: bool) -> None:
    """
    Functions, methods, class and static methods, in both orders of decoration, through class and instance.
    """
    results = [call(sku=sku) if by_name else call(sku) for sku in ("a", "b")]

    assert ["a", "b"] == results
    assert ["retail-a", "retail-b"] == [
        run.attributes["business.customer.segment"] for run in capbiz.operations(name, outcome="success")
    ]
    capbiz.assert_consistent()


@pytest.mark.parametrize(("name", "call"), [("coroutine", coroutine), ("async method", Shop().async_method)])
def test_a_coroutine_is_one_run_per_await(capbiz: Capture, name: str, call: Any) -> None:
    """
    The run lasts from the first step to the return; ten of them side by side stay apart.
    """

    async def main() -> list[str]:
        return [*await asyncio.gather(*(call(f"{number}") for number in range(10)))]

    assert [str(number) for number in range(10)] == asyncio.run(main())
    assert {f"retail-{number}" for number in range(10)} == {
        run.attributes["business.customer.segment"] for run in capbiz.operations(name, outcome="success")
    }


def test_a_coroutine_that_is_never_awaited_is_no_run(capbiz: Capture) -> None:
    """
    Nothing happened, so nothing is recorded.
    """
    coroutine("a").close()

    assert [] == capbiz.operations()


def test_one_declaration_is_a_block_and_a_decorator(capbiz: Capture) -> None:
    """
    The same object runs blocks, through fresh runs, and decorates several functions.
    """
    checkout = bizspan.operation("checkout", channel="web")

    @checkout
    def first() -> int:
        return 1

    @checkout
    def second() -> int:
        return 2

    with checkout(segment="gold"):
        results = (first(), second(), first())
    with checkout:
        pass

    assert (1, 2, 1) == results
    assert 5 == len(capbiz.operations("checkout", channel="web", outcome="success"))


def test_recursion_and_threads_are_runs_of_their_own(capbiz: Capture) -> None:
    """
    A function that calls itself nests its runs; eight threads at once lose none.
    """

    @bizspan.operation("countdown", order=lambda left: left)
    def countdown(left: int) -> int:
        return left if left == 0 else countdown(left - 1)

    threads = [threading.Thread(target=countdown, args=(4,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [8] * 5 == [len(capbiz.operations("countdown", order=str(left))) for left in range(5)]
    capbiz.assert_consistent()


# --- where values come from ---------------------------------------------------------------------------------


def test_values_come_from_constants_arguments_and_the_result(capbiz: Capture) -> None:
    """
    A constant, an argument by name, one with a default, several at once, keyword-only, and the return value.
    """

    @bizspan.operation(
        "checkout",
        channel="web",
        segment=lambda segment: segment,
        country=lambda country: country,
        order=lambda number, prefix: f"{prefix}-{number}",
        product=lambda items: items[0],
        campaign=lambda tags: tags["campaign"],
        plan=lambda result: result.plan,
        category=lambda result, segment: f"{segment}/{result.plan}",
        revenue=lambda result: result.total,
        cost=lambda number: (number, "EUR"),
        value=Money("99.00", "EUR"),
    )
    def checkout(segment: str, number: int, *items: str, prefix: str = "o", country: str = "DE", **tags: str) -> Order:
        return Order(Money("42.00", "EUR"))

    checkout("gold", 7, "mug", prefix="x", campaign="spring")

    (run,) = capbiz.operations("checkout")
    expected = {
        "business.channel": "web",
        "business.customer.segment": "gold",
        "geo.country.iso_code": "DE",
        "business.order.id": "x-7",
        "business.product.id": "mug",
        "business.campaign.name": "spring",
        "business.plan": "pro",
        "business.product.category": "gold/pro",
        "business.revenue.minor_units": 4200,
        "business.cost.minor_units": 700,
        "business.value.minor_units": 9900,
    }
    assert expected == {key: run.attributes[key] for key in expected}
    capbiz.assert_consistent()


def test_argument_extractors_run_before_the_call(capbiz: Capture) -> None:
    """
    What the function does to its arguments afterwards does not change what is recorded.
    """

    @bizspan.operation("checkout", order=lambda cart: cart["order"], value=lambda cart: (cart["sum"], "EUR"))
    def checkout(cart: dict[str, Any]) -> None:
        cart.clear()

    checkout({"order": "o-1", "sum": 5})

    (run,) = capbiz.operations("checkout", order="o-1")
    assert 500 == run.attributes["business.value.minor_units"]


def test_an_extractor_of_the_result_does_not_run_when_the_function_raises(capbiz: Capture) -> None:
    """
    There is no result then.
    """
    seen: list[object] = []

    @bizspan.operation("checkout", revenue=lambda result: seen.append(result))
    def checkout() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        checkout()

    assert [] == seen
    assert 1 == len(capbiz.operations("checkout", outcome="failed"))


def test_the_idempotency_key_may_come_from_an_argument(capbiz: Capture) -> None:
    """
    Row 19: the same key gives the same uid, and is counted once.
    """

    @bizspan.operation("pay", idempotency_key=lambda payment: payment, revenue=(5, "EUR"))
    def pay(payment: str) -> None:
        pass

    pay("p-1")
    pay("p-1")
    pay("p-2")

    first, again, other = (run.uid for run in capbiz.operations("pay"))
    assert (first, True) == (again, first != other)
    assert Money(10, "EUR") == capbiz.revenue("EUR")
    assert 10.0 == capbiz.metric("business.revenue")


def test_rejects_works_on_functions(capbiz: Capture) -> None:
    """
    A raised refusal is `rejected` and goes on to the caller.
    """

    @bizspan.operation("checkout", rejects=CardDeclined)
    def checkout() -> None:
        raise CardDeclined

    with pytest.raises(CardDeclined):
        checkout()

    assert 1 == len(capbiz.operations("checkout", outcome="rejected", reason="card_declined"))


# --- what stays as it was -------------------------------------------------------------------------------------


def test_signature_name_and_doc_stay(capbiz: Capture) -> None:
    """
    What frameworks read of a function is what they read before.
    """

    def plain(cart: int, *, gift: bool = False) -> str:
        """Place an order."""
        return "done"

    decorated = bizspan.operation("checkout")(plain)

    assert inspect.signature(plain) == inspect.signature(decorated)
    for name in ("__name__", "__doc__", "__qualname__", "__module__", "__annotations__", "__defaults__"):
        assert getattr(plain, name) == getattr(decorated, name)
    assert inspect.iscoroutinefunction(coroutine)
    assert inspect.isfunction(decorated)
    assert not inspect.iscoroutinefunction(decorated)
