"""What decoration refuses: told where it is written, with what to write instead."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import bizspan
from bizspan import SetupError

pytestmark = pytest.mark.bare


class Shop:
    pass


def numbers() -> Iterator[int]:
    yield 1


def numbers_of(cls: type) -> Iterator[int]:
    yield 1


async def async_numbers() -> AsyncIterator[int]:
    yield 1


GENERATORS: list[Any] = [numbers, async_numbers, staticmethod(numbers), classmethod(numbers_of)]


@pytest.mark.parametrize("function", GENERATORS)
def test_a_generator_is_refused_with_the_reason(function: Any) -> None:
    """
    Row 46: its body runs elsewhere than its call; the text says what to do instead.
    """
    with pytest.raises(SetupError, match=r"numbers\w* is a generator; wrap the loop that uses it in operation\(\)"):
        bizspan.operation("import")(function)


def of_carts(carts: object) -> object:
    return carts


def of_results(results: object) -> object:
    return results


def of_result_alone(result: object) -> object:
    return result


async def of_sku(sku: str) -> str:
    return sku


def of_any(*sku: str) -> str:
    return sku[0]


def of_position(sku: str, /) -> str:
    return sku


MISFITS: list[tuple[dict[str, Any], str]] = [
    ({"segment": of_carts}, "asks for 'carts', .* Did you mean 'cart'"),
    ({"revenue": of_results}, "asks for 'results'"),
    ({"segment": of_sku}, "is a coroutine function; take the value in a plain function"),
    ({"segment": of_any}, r"takes \*sku; name the arguments"),
    ({"segment": of_position}, "by position only; drop the '/'"),
    ({"idempotency_key": of_result_alone}, "can't use the result; take it from the arguments"),
    ({"rejects": "CardDeclined"}, "rejects= takes exception classes, got str"),
    ({"rejects": (ValueError, 3)}, "rejects= takes exception classes, got int"),
    ({"span": "old"}, "span='old' is unknown; use 'new' or 'current'"),
]


@pytest.mark.parametrize(("declared", "text"), MISFITS)
def test_a_declaration_that_does_not_fit_is_a_set_up_error(declared: dict[str, Any], text: str) -> None:
    """
    Told at decoration, with what to write instead.
    """

    def checkout(cart: object) -> None:
        pass

    with pytest.raises(SetupError, match=text):
        bizspan.operation("checkout", **declared)(checkout)


@pytest.mark.parametrize("target", [Shop, 3, "checkout", property(len)])
def test_what_is_no_function_is_refused(target: Any) -> None:
    """
    Classes and other things are a set-up error that names the alternative.
    """
    with pytest.raises(SetupError, match=r"decorate the method that does the work|use it as a block instead"):
        bizspan.operation("checkout")(target)


def test_a_parameter_named_result_is_refused() -> None:
    """
    `result` means the return value.
    """

    def tally(result: int) -> int:
        return result

    with pytest.raises(SetupError, match=r"tally has a parameter named 'result', .*rename it"):
        bizspan.operation("tally")(tally)


def test_a_nameless_operation_is_refused_at_decoration() -> None:
    """
    A block without a name only counts; a decoration can say so in time.
    """
    with pytest.raises(SetupError, match=r"needs a name, such as operation\('checkout'\)"):
        bizspan.operation(" ")(lambda: None)
