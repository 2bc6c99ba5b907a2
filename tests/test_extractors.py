"""Functions that take facts and money from a call, and fail: the call, its event and its outcome stay."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import bizspan
from bizspan import names
from bizspan.context import frame
from bizspan.testing import Capture

EXTRACTED = [
    ("segment", "cart"),
    ("segment", "result"),
    ("revenue", "cart"),
    ("revenue", "result"),
    ("idempotency_key", "cart"),
]


@pytest.mark.parametrize(("keyword", "needs"), EXTRACTED)
@pytest.mark.parametrize("error", [ValueError, StopIteration, RecursionError, MemoryError, AssertionError])
def test_an_extractor_that_raises_costs_its_value_only(
    capbiz: Capture, keyword: str, needs: str, error: type[Exception]
) -> None:
    """
    Rows 40 and 41: the function's result is untouched, the event is kept, `extractor_failed` is counted.
    """
    capbiz.allow("extractor_failed", "type")

    def of_cart(cart: object) -> None:
        raise error

    def of_result(result: object) -> None:
        raise error

    failing: dict[str, Any] = {keyword: of_cart if needs == "cart" else of_result}

    @bizspan.operation("checkout", **failing)
    def checkout(cart: int) -> int:
        return cart + 1

    assert 2 == checkout(1)
    [operation] = capbiz.operations("checkout", outcome="success")
    if keyword in ("revenue", "cost", "value", "tax"):  # a sum over it says how many are missing
        assert "extractor_failed" == operation.attributes[f"business.{keyword}.invalid"]
    else:
        assert (f"{keyword}:extractor_failed",) == operation.attributes[names.NOTES]
    assert 1 == bizspan.diagnostics().values_refused["extractor_failed"]


@pytest.mark.parametrize(("keyword", "needs"), EXTRACTED)
@pytest.mark.parametrize("error", [asyncio.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_interrupt_in_an_extractor_goes_on_and_ends_the_operation_once(
    capbiz: Capture, keyword: str, needs: str, error: type[BaseException]
) -> None:
    """
    Row 42: outcome cancelled, once, and no context left behind.
    """

    def of_cart(cart: object) -> None:
        raise error

    def of_result(result: object) -> None:
        raise error

    failing: dict[str, Any] = {keyword: of_cart if needs == "cart" else of_result}

    @bizspan.operation("checkout", **failing)
    def checkout(cart: int) -> int:
        return cart

    with pytest.raises(error):
        checkout(1)

    assert ["cancelled"] == [run.outcome for run in capbiz.operations("checkout")]
    assert frame.get() is None
    capbiz.assert_consistent()


def test_when_function_and_extractor_raise_the_functions_exception_wins(capbiz: Capture) -> None:
    """
    Row 44: the caller sees its own exception.
    """
    capbiz.allow("extractor_failed")
    error = ValueError("business")

    @bizspan.operation("checkout", segment=lambda cart: cart.missing)
    def checkout(cart: object) -> None:
        raise error

    with pytest.raises(ValueError, match="business") as caught:
        checkout(1)

    assert error is caught.value
    assert caught.value.__context__ is None
    assert 1 == len(capbiz.operations("checkout", outcome="failed"))


def test_a_call_with_wrong_arguments_raises_the_functions_own_type_error(capbiz: Capture) -> None:
    """
    The extractors' arguments are missing too, and nothing is said about them.
    """

    @bizspan.operation("checkout", segment=lambda cart: cart, value=lambda cart: cart)
    def checkout(cart: object) -> None:
        pass

    wrong: Any = checkout
    with pytest.raises(TypeError, match=r"checkout\(\) missing 1 required positional argument: 'cart'"):
        wrong()

    assert 1 == len(capbiz.operations("checkout", outcome="failed"))
