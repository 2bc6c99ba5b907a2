"""Money: it reads well, does not change, and arithmetic loses nothing."""

from __future__ import annotations

import copy
import operator
import pickle
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bizspan.errors import AmountError, CurrencyMismatch
from bizspan.money import EXPONENTS, INT64_MAX, INT64_MIN, Money

CODES = st.sampled_from(sorted(EXPONENTS))


MINOR = st.integers(INT64_MIN, INT64_MAX)


def test_from_minor_takes_whole_minor_units() -> None:
    """The way in for what is counted in cents already."""
    assert Money("42.00", "EUR") == Money.from_minor(4200, "eur")
    assert Money("42.00", "EUR") == Money.from_minor(numpy.int64(4200), "EUR")


@pytest.mark.parametrize(
    ("minor", "currency", "expected"),
    [
        (2**63, "EUR", "range"),
        (1.0, "EUR", "type"),
        (True, "EUR", "type"),
        ("1", "EUR", "type"),
        (1, "XXQ", "currency"),
        (1, None, "currency"),
    ],
)
def test_from_minor_refuses_the_rest(minor: Any, currency: object, expected: str) -> None:
    """Same reasons as everywhere."""
    with pytest.raises(AmountError) as refused:
        Money.from_minor(minor, currency)

    assert expected == refused.value.reason


@pytest.mark.parametrize(
    ("money", "text"),
    [
        (Money("42", "EUR"), "42.00 EUR"),
        (Money("-0.05", "EUR"), "-0.05 EUR"),
        (Money(0, "EUR"), "0.00 EUR"),
        (Money(-7, "JPY"), "-7 JPY"),
        (Money("1.005", "BHD"), "1.005 BHD"),
    ],
)
def test_money_reads_well(money: Money, text: str) -> None:
    """str for people, repr for pasting back, format for tables."""
    number, code = text.split()

    assert text == str(money)
    assert f'Money("{number}", "{code}")' == repr(money)
    assert money == eval(repr(money), {"Money": Money})
    assert f"{text:>20}" == f"{money:>20}"
    assert (Decimal(number), EXPONENTS[code]) == (money.amount, money.exponent)
    assert number == str(money.amount)


def test_money_does_not_change() -> None:
    """It may be shared between threads and be a key."""
    money: Any = Money("42.00", "EUR")

    with pytest.raises(AttributeError):
        money.minor_units = 1
    with pytest.raises(AttributeError):
        money.other = 1
    with pytest.raises(AttributeError):
        del money.currency
    assert money is copy.copy(money)
    assert money is copy.deepcopy([money])[0]
    assert {money: 1} == {Money(42, "EUR"): 1}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_money_survives_pickling(protocol: int) -> None:
    """Through every protocol."""
    money = Money("-42.01", "EUR")

    assert money == pickle.loads(pickle.dumps(money, protocol))


def test_arithmetic_is_the_one_of_amounts() -> None:
    """Sums, differences, whole multiples; zero is false."""
    money = Money("0.10", "EUR")

    assert Money("0.30", "EUR") == money + money + money
    assert Money("0.30", "EUR") == sum([money] * 3)
    assert Money("0.30", "EUR") == sum([money] * 3, Money(0, "EUR"))
    assert Money("0.30", "EUR") == money * 3 == 3 * money
    assert Money("-0.10", "EUR") == -money == money - money * 2
    assert Money("0.10", "EUR") == +money == abs(-money)
    assert (True, False) == (bool(money), bool(money - money))
    assert [money, money * 2] == sorted([money * 2, money])
    assert (True, True, True, True) == (money < money * 2, money <= money, money * 2 > money, money >= money)


@pytest.mark.parametrize("meet", [operator.add, operator.sub, operator.lt, operator.le, operator.gt, operator.ge])
def test_two_currencies_never_meet(meet: Callable[[Money, Money], object]) -> None:
    """Row 18: the error says to keep two sums. Only equality has an answer: no."""
    with pytest.raises(CurrencyMismatch, match=r"EUR and USD cannot be .*; keep one sum for each currency"):
        meet(Money(1, "EUR"), Money(1, "USD"))

    assert Money(0, "EUR") != Money(0, "USD")
    assert Money(1, "EUR") != 1


WRONG: list[Callable[[Any], object]] = [
    lambda money: money + 1,
    lambda money: 1 + money,
    lambda money: False + money,
    lambda money: money - 1,
    lambda money: money * 1.5,
    lambda money: money * True,
    lambda money: money * money,
    lambda money: money / 2,
    lambda money: money // 2,
    lambda money: money < 1,
    lambda money: float(money),
    lambda money: int(money),
]


@pytest.mark.parametrize("wrong", WRONG)
def test_what_would_lose_cents_or_currency_is_not_offered(wrong: Callable[[Any], object]) -> None:
    """Python's own TypeError."""
    with pytest.raises(TypeError):
        wrong(Money(1, "EUR"))


BEYOND: list[Callable[[Money, Money], object]] = [
    lambda most, least: most + Money.from_minor(1, "EUR"),
    lambda most, least: least - Money.from_minor(1, "EUR"),
    lambda most, least: most * 2,
    lambda most, least: -least,
    lambda most, least: abs(least),
]


@pytest.mark.parametrize("beyond", BEYOND)
def test_a_result_past_64_bits_is_refused(beyond: Callable[[Money, Money], object]) -> None:
    """Row 12: an attribute or a total would vanish later, without a word."""
    with pytest.raises(AmountError) as refused:
        beyond(Money.from_minor(INT64_MAX, "EUR"), Money.from_minor(INT64_MIN, "EUR"))

    assert "range" == refused.value.reason


def test_split_keeps_every_cent() -> None:
    """What does not divide goes to the first parts, for refunds as for payments."""
    parts = [part.minor_units for part in Money("1.00", "EUR").split(3)]
    back = [part.minor_units for part in Money("-1.00", "EUR").split(3)]

    assert ([34, 33, 33], [-34, -33, -33]) == (parts, back)


@pytest.mark.parametrize(("parts", "expected"), [(0, "range"), (-1, "range"), (1.5, "type"), (True, "type")])
def test_split_needs_a_whole_number_of_parts(parts: Any, expected: str) -> None:
    """At least one."""
    with pytest.raises(AmountError) as refused:
        Money(1, "EUR").split(parts)

    assert expected == refused.value.reason


@given(MINOR, CODES, st.integers(1, 50))
def test_money_goes_round(minor: int, code: str, parts: int) -> None:
    """Minor units survive text, Decimal, Fraction, repr and split, over all of int64."""
    money = Money.from_minor(minor, code)
    number = str(money).split()[0]

    same: list[Any] = [number, money.amount, Fraction(number)]

    assert [minor] * 3 == [Money(each, code).minor_units for each in same]
    assert money == Money(money)
    assert minor == sum(part.minor_units for part in money.split(parts))


@given(st.lists(st.decimals(-(10**9), 10**9, places=2), max_size=50))
def test_a_sum_of_money_is_the_sum_of_decimals(amounts: list[Decimal]) -> None:
    """Exact, in any order."""
    total = sum((Money(amount, "EUR") for amount in amounts), Money(0, "EUR"))

    assert sum(amounts, Decimal(0)) == total.amount
