"""What is accepted as an amount, what is refused and why."""

from __future__ import annotations

import decimal
from decimal import Decimal
from fractions import Fraction
from typing import Any

import iso4217
import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bizspan.errors import REASONS, AmountError, type_name
from bizspan.money import EXPONENTS, INT64_MAX, INT64_MIN, Money, minor_units
from tests.hostile import Coded, Loud, Pair, Price, Raising

CODES = st.sampled_from(sorted(EXPONENTS))


def reason(amount: object, currency: object = "EUR", **how: Any) -> str:
    with pytest.raises(AmountError) as refused:
        minor_units(amount, currency, **how)
    assert refused.value.reason in REASONS
    assert refused.value.__suppress_context__ or refused.value.__context__ is None
    return refused.value.reason


@pytest.mark.parametrize(
    ("amount", "currency", "expected"),
    [
        (42, "EUR", 4200),
        ("42", "EUR", 4200),
        ("42.00", "EUR", 4200),
        ("+42.5", "EUR", 4250),
        ("-0.05", "EUR", -5),
        ("42.000000", "EUR", 4200),
        ("0" * 400 + "1.5", "EUR", 150),
        (Decimal("42.00"), "EUR", 4200),
        (Decimal("4.2E+1"), "EUR", 4200),
        (Decimal("0E+999999"), "EUR", 0),
        (type("Price", (Decimal,), {})("1.50"), "EUR", 150),
        (19.99, "EUR", 1999),
        (1e15, "EUR", 10**17),
        (1000000000000.25, "EUR", 100000000000025),
        (-0.0, "EUR", 0),
        (Decimal("-0.00"), "EUR", 0),
        ("-0.00", "EUR", 0),
        (Fraction(1, 4), "EUR", 25),
        (numpy.int64(42), "EUR", 4200),
        (numpy.uint64(42), "EUR", 4200),
        (numpy.float64(19.99), "EUR", 1999),
        (numpy.float32(0.5), "EUR", 50),
        (Price.BASIC, "EUR", 900),
        (Loud("1.50"), "EUR", 150),
        (100, "JPY", 100),
        ("1.005", "BHD", 1005),
        (1.005, "BHD", 1005),
        (92233720368547758, "EUR", 9223372036854775800),
    ],
)
def test_what_is_exact_is_accepted(amount: object, currency: str, expected: int) -> None:
    """Rows 5, 6, 15 and 17: the shortest form of a float counts, and the exponent of the currency."""
    minor, code = minor_units(amount, currency)

    assert (expected, int, currency) == (minor, type(minor), code)


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        (float("nan"), "nonfinite"),
        (float("inf"), "nonfinite"),
        (float("-inf"), "nonfinite"),
        (Decimal("NaN"), "nonfinite"),
        (Decimal("sNaN"), "nonfinite"),
        (Decimal("-Infinity"), "nonfinite"),
        (numpy.float64("nan"), "nonfinite"),
        (numpy.float32("nan"), "nonfinite"),
        (numpy.float32("inf"), "nonfinite"),
        (0.1 + 0.2, "precision"),
        (1e-7, "precision"),
        (Decimal("1.0123456789"), "precision"),
        (Decimal("1E-999999999999999999"), "precision"),
        (Decimal("1." + "0" * 100_000 + "1"), "precision"),
        ("1." + "0" * 100_000 + "1", "precision"),
        ("1.001", "precision"),
        (Fraction(1, 3), "precision"),
        (numpy.float32(19.99), "precision"),
        (Decimal("1E+999999"), "range"),
        (Decimal("-1E+999999999999999999"), "range"),
        ("9" * 100_000, "range"),
        (2**63, "range"),
        (2**200, "range"),
        (10**5000, "range"),
        (1e300, "range"),
        (92233720368547759, "range"),
        (Fraction(2**200), "range"),
        ("12,50", "parse"),
        ("1 200", "parse"),
        ("1_200", "parse"),
        ("$5", "parse"),
        ("1e3", "parse"),
        ("nan", "parse"),
        ("", "parse"),
        ("-", "parse"),
        (".", "parse"),
        (".5", "parse"),
        ("5.", "parse"),
        ("--5", "parse"),
        ("1.-5", "parse"),
        ("1.2.3", "parse"),
        (" 5", "parse"),
        ("5\n", "parse"),
        ("−5", "parse"),
        ("١٢", "parse"),
        ("1.٢", "parse"),
        ("²", "parse"),
        ("\ud800", "parse"),
        (True, "type"),
        (numpy.bool_(True), "type"),
        (numpy.timedelta64(5, "ns"), "type"),
        (None, "type"),
        (b"5", "type"),
        (1 + 0j, "type"),
        ([5], "type"),
        (object(), "type"),
        (int, "type"),
    ],
    ids=type_name,
)
def test_what_is_not_exact_is_refused_with_its_reason(amount: object, expected: str) -> None:
    """Rows 1 to 3, 7 to 13 and 15: never rounded, never guessed."""
    assert expected == reason(amount)


@pytest.mark.parametrize("amount", [100.5, "100.5", Decimal("100.5"), Fraction(201, 2)])
def test_yen_have_no_decimals(amount: object) -> None:
    """Row 17: the exponent is the currency's."""
    assert "precision" == reason(amount, "JPY")


@pytest.mark.parametrize(
    "currency",
    [
        "XXQ",
        "",
        "€",
        "EU",
        " EUR",
        "EUR\n",
        "uſd",
        "ZWL",
        "HRK",
        "XAU",
        b"EUR",
        978,
        object(),
        Coded(),
    ],
)
def test_an_unknown_currency_is_refused(currency: object) -> None:
    """Row 16: no default, and no letter that only upper-cases to ASCII."""
    assert "currency" == reason(5, currency)


@pytest.mark.parametrize("amount", [5, "5", Decimal(5), 5.0])
def test_a_missing_currency_is_refused(amount: object) -> None:
    """Row 16: never a default."""
    assert "currency" == reason(amount, None)


@pytest.mark.parametrize(
    "currency",
    [
        "eur",
        "EUR",
        Coded(code="EUR"),
        Coded(currency_code="eur"),
        Coded(value="EUR"),
        iso4217.Currency("EUR"),
    ],
)
def test_a_currency_is_known_by_its_code(currency: object) -> None:
    """Lower case and the currency objects of other libraries."""
    assert (500, "EUR") == minor_units(5, currency)


def test_negative_amounts_are_refused_where_they_make_no_sense() -> None:
    """Row 4: the caller says so; zero is no negative amount."""
    assert (-500, "EUR") == minor_units(-5, "EUR")
    assert "negative" == reason(-5, negative=False)
    assert "negative" == reason("-0.01", negative=False)
    assert (0, "EUR") == minor_units("-0.00", "EUR", negative=False)


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        ("2.665", 266),
        ("2.675", 268),
        (2.665, 266),
        (2.675, 268),
        (Decimal("-2.675"), -268),
        (Fraction(2675, 1000), 268),
        (Fraction(-2665, 1000), -266),
        (0.1 + 0.2, 30),
        ("0.004", 0),
        (numpy.float32(0.125), 12),
        (Decimal("1." + "0" * 100_000 + "1"), 100),
    ],
    ids=type_name,
)
def test_rounding_is_half_even_and_only_when_asked_for(amount: Any, expected: int) -> None:
    """The decimal that is written is rounded, not the binary number behind it."""
    assert "precision" == reason(amount)
    assert (expected, "EUR") == minor_units(amount, "EUR", rounding="half_even")
    assert Money.from_minor(expected, "EUR") == Money.rounded(amount, "EUR")


@pytest.mark.parametrize("rounding", ["up", "", 5])
def test_another_rounding_is_refused(rounding: Any) -> None:
    """There is one way to round, the others happen before the call."""
    assert "type" == reason(5, rounding=rounding)


@pytest.mark.parametrize("amount", ["123456.78", Decimal("123456.78"), 123456.78, Fraction("123456.78")])
def test_the_decimal_context_of_the_application_changes_nothing(amount: Any) -> None:
    """Five digits, every trap set: same result, same text, and the context stays as it was."""
    every_trap = list(decimal.Context().flags)
    with decimal.localcontext(decimal.Context(prec=5, rounding=decimal.ROUND_UP, capitals=0, traps=every_trap)):
        money = Money(amount, "EUR")

        assert (12345678, "123456.78 EUR") == (money.minor_units, str(money))
        assert "123456.78" == str(money.amount)
        assert "precision" == reason("1.001")
        assert "nonfinite" == reason(Decimal("sNaN"))
        assert Money("123456.78", "EUR") == Money.rounded("123456.784", "EUR")
        assert not any(decimal.getcontext().flags.values())


def test_any_object_with_amount_and_currency_is_money() -> None:
    """As other libraries make them; ours is one too."""
    euro = Coded(code="EUR")

    assert Money("4.20", "EUR") == Money(Pair(Decimal("4.20"), euro))
    assert Money("4.20", "EUR") == Money(Pair("4.20", "eur"))
    assert Money("4.20", "EUR") == Money(Money("4.20", "EUR"))
    assert (420, "EUR") == minor_units(Money("4.20", "EUR"), "EUR")
    assert "currency" == reason(Money("4.20", "EUR"), "USD")


@pytest.mark.parametrize(
    ("thing", "expected"),
    [
        (Pair(4200, "EUR"), "type"),
        (Pair(None, "EUR"), "type"),
        (Pair(Decimal(5), None), "currency"),
        (object(), "type"),
        (None, "type"),
    ],
)
def test_an_object_that_is_not_clearly_money_is_refused(thing: object, expected: str) -> None:
    """An int amount may be cents, as Stripe's are: a factor of 100 is not guessed."""
    assert expected == reason(thing, None)


def test_an_object_that_raises_is_refused_like_any_other() -> None:
    """Row 29: whatever it is passed as, the only error is ours."""
    raising: Any = Raising()

    assert "type" == reason(raising)
    assert "type" == reason(raising, None)
    assert "type" == reason(Pair(raising, "EUR"), None)
    assert "type" == reason(5, rounding=raising)
    assert "currency" == reason(5, raising)
    assert "currency" == reason(Pair(Decimal(5), raising), None)
    with pytest.raises(AmountError):
        Money.from_minor(raising, "EUR")
    with pytest.raises(AmountError):
        Money.from_minor(1, raising)


def test_a_refusal_says_what_to_do_instead_and_repeats_nothing_personal() -> None:
    """The message is for a log; text that is no number is not in it."""
    with pytest.raises(AmountError, match=r'use Money\.rounded\(amount, "EUR"\)'):
        Money("1.001", "EUR")
    with pytest.raises(AmountError, match='"12,50" is not a plain decimal number; write it like'):
        Money("12,50", "EUR")
    with pytest.raises(AmountError) as refused:
        Money("jane@example.org", "EUR")

    assert "jane" not in str(refused.value)


@given(st.floats(allow_nan=False, allow_infinity=False), CODES)
def test_a_float_is_taken_exactly_as_its_shortest_form(amount: float, code: str) -> None:
    """The quick check for floats agrees with writing the number down."""

    def outcome(value: object) -> object:
        try:
            return minor_units(value, code)
        except AmountError as refused:
            return refused.reason

    assert outcome(Decimal(repr(amount))) == outcome(amount)


@given(st.integers(-(10**15), 10**15), CODES)
def test_every_price_that_a_float_can_write_is_accepted(minor: int, code: str) -> None:
    """Up to 15 digits, whatever the exponent."""
    assert minor == minor_units(minor / 10 ** EXPONENTS[code], code)[0]


@given(
    st.one_of(
        st.from_type(object),
        st.text(),
        st.decimals(),
        st.floats(),
        st.integers(),
        st.fractions(),
        st.complex_numbers(),
        st.binary(),
        st.lists(st.integers()),
        st.builds(Pair, st.decimals() | st.text() | st.none(), st.text() | CODES),
        st.builds(Raising),
    ),
    st.none() | st.text() | CODES | st.integers() | st.builds(Raising),
    st.sampled_from([None, "half_even", "x"]),
)
def test_arbitrary_objects_only_ever_raise_amount_errors(amount: object, currency: object, rounding: Any) -> None:
    """The recording calls rest on it: one kind of refusal, with a reason to count."""
    try:
        minor, code = minor_units(amount, currency, rounding=rounding)
    except AmountError as refused:
        assert refused.reason in REASONS
        assert str(refused).endswith(".")
    else:
        assert INT64_MIN <= minor <= INT64_MAX
        assert code in EXPONENTS
