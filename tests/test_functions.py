"""Operations by configuration: functions of an application that is not changed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest

from bizspan import Money
from bizspan.integrations._functions import wrap_when_imported
from bizspan.testing import Capture


class DeclinedError(Exception):
    """A refusal of the business."""


@dataclass
class Order:
    """What the application gives back."""

    id: str = "o-1"
    total: str = "42.00"

    def currency(self) -> str:
        """A method, where others have an attribute."""
        return "EUR"


@dataclass
class Cart:
    """What the application is given."""

    segment: str = "gold"


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A module of an application, as it is imported for the first time."""
    module = ModuleType("shop_of_somebody")

    def place(cart: Cart, note: str = "") -> Order:
        if note == "declined":
            raise DeclinedError
        return Order()

    class Service:
        def place(self, cart: Cart) -> Order:
            return Order()

        @classmethod
        def by_class(cls, cart: Cart) -> dict[str, Any]:
            return {"amount": {"gross": 12}}

        @staticmethod
        def by_itself(amount: int) -> int:
            return amount

    vars(module).update(place=place, Service=Service, DeclinedError=DeclinedError)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    yield module


CHECKOUT = {
    "name": "checkout",
    "revenue": "result.total",
    "currency": "result.currency",
    "rejects": "tests.test_functions:DeclinedError",
    "facts": {"segment": "cart.segment", "order": "result.id", "channel": "web"},
}


def test_a_function_is_an_operation_by_its_name_alone(shop: ModuleType, capbiz: Capture) -> None:
    """
    Values from its arguments, from its result, and constants.
    """
    wrap_when_imported("shop_of_somebody:place", CHECKOUT)

    assert "o-1" == shop.place(Cart()).id
    assert "o-1" == shop.place(cart=Cart("smb")).id
    assert Money("42.00", "EUR") == capbiz.revenue("EUR", segment="gold", channel="web")
    assert Money("42.00", "EUR") == capbiz.revenue("EUR", segment="smb", order="o-1")


def test_its_refusals_are_named_in_the_configuration(shop: ModuleType, capbiz: Capture) -> None:
    """
    And raised as they were.
    """
    wrap_when_imported("shop_of_somebody:place", CHECKOUT)

    with pytest.raises(DeclinedError):
        shop.place(Cart(), "declined")
    assert 1 == len(capbiz.operations("checkout", outcome="rejected"))


def test_methods_of_every_kind_stay_what_they_are(shop: ModuleType, capbiz: Capture) -> None:
    """
    Of an instance, of a class, and static ones.
    """
    wrap_when_imported("shop_of_somebody:Service.place", CHECKOUT)
    wrap_when_imported("shop_of_somebody:Service.by_class", {"revenue": "result.amount.gross", "currency": "USD"})
    wrap_when_imported("shop_of_somebody:Service.by_itself", {"name": "paid", "revenue": "amount", "currency": "JPY"})

    shop.Service().place(Cart())
    shop.Service.by_class(Cart())
    shop.Service.by_itself(100)
    assert [Money("42.00", "EUR"), Money("12.00", "USD"), Money(100, "JPY")] == [
        operation.revenue for operation in capbiz.operations()
    ]


@pytest.mark.parametrize(
    ("target", "told", "said"),
    [
        ("shop_of_somebody:palce", {}, "has no 'palce' of its own"),
        ("shop_of_somebody:Service.nothing", {}, "Service has no 'nothing' of its own"),
        ("shop_of_somebody:place", {"rejects": "nowhere:Nothing"}, "'nowhere:Nothing' can't be imported"),
    ],
)
def test_what_does_not_fit_is_said_once_and_the_function_stays(
    shop: ModuleType, capbiz: Capture, caplog: pytest.LogCaptureFixture, target: str, told: dict[str, str], said: str
) -> None:
    """
    The application starts.
    """
    wrap_when_imported(target, told)

    assert "o-1" == shop.place(Cart()).id
    assert [] == capbiz.operations()
    assert said in caplog.text


def test_a_value_that_is_not_there_is_counted_and_the_call_goes_on(shop: ModuleType, capbiz: Capture) -> None:
    """
    The operation is recorded without it.
    """
    import bizspan

    capbiz.allow("extractor_failed")
    wrap_when_imported("shop_of_somebody:place", {"revenue": "result.amount", "currency": "EUR"})

    assert "o-1" == shop.place(Cart()).id
    assert [None] == [operation.revenue for operation in capbiz.operations()]
    assert {"extractor_failed": 1} == bizspan.diagnostics().values_refused
