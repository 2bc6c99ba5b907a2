"""
From what a caller passes as money to whole minor units; every door for amounts leads through here.

Nothing here rounds unless it is asked to, and nothing depends on the application's decimal context.
"""

from __future__ import annotations

from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, ROUND_HALF_EVEN, Context, Decimal
from operator import index

from bizspan._currencies import EXPONENTS
from bizspan.errors import AmountError, type_name

TYPE_CHECKING = False
if TYPE_CHECKING:  # `typing` itself is not imported at run time: it would be half of this module's import.
    from typing import Any

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1

POWERS: tuple[int, ...] = tuple(10**exponent for exponent in range(max(EXPONENTS.values()) + 1))

# The application's own context may round to 5 digits or trap: every operation names this one instead.
EXACT = Context(prec=MAX_PREC, Emin=MIN_EMIN, Emax=MAX_EMAX, rounding=ROUND_HALF_EVEN, capitals=1, traps=[])

_HARMLESS = frozenset("0123456789+-.,eE' ")

_MESSAGES = {
    "nonfinite": "{amount} cannot be paid; leave the amount out instead.",
    "negative": "{amount} {code} is below zero; record a refund or a cost instead.",
    "precision": '{amount} has more decimals than {code} ({digits}); use Money.rounded(amount, "{code}").',
    "range": "{amount} {code} is beyond 64-bit minor units; record smaller amounts, one by one.",
    "parse": '{amount} is not a plain decimal number; write it like "1234.50".',
    "type": "{amount} is not an amount; pass an int, a str, a Decimal or a float with few decimals.",
}


class Exact:
    """Minor units and a currency: what `Money` is made of, so that amounts can be read without knowing it."""

    __slots__ = ("currency", "minor_units")

    minor_units: int
    currency: str


def _shown(amount: object) -> str:
    # Text that does not look like a number may be anything, also personal: it is not repeated.
    if type(amount) is str:
        return f'"{amount}"' if len(amount) <= 40 and _HARMLESS.issuperset(amount) else "this text"
    if type(amount) is int:
        return str(amount) if amount.bit_length() <= 128 else "this int"
    if type(amount) is float:
        return repr(amount)
    if type(amount) is Decimal:
        # str() would build all digits, and follow the application's context.
        digits = amount.as_tuple().digits if amount.is_finite() else ()
        return EXACT.to_sci_string(amount) if len(digits) <= 40 else "this Decimal"
    return f"this {type_name(amount)}"


def _refused(reason: str, amount: object, code: str) -> AmountError:
    message = _MESSAGES[reason].format(amount=_shown(amount), code=code, digits=EXPONENTS[code])
    return AmountError(reason, message)


def _from_decimal(amount: Decimal, code: str, rounding: str | None) -> int:
    # The magnitude first: 1E+999999 would be built as an int of a million digits.
    if amount.adjusted() > 18:
        if amount:
            raise _refused("range", amount, code)
        return 0
    scaled = EXACT.scaleb(amount, EXPONENTS[code])
    try:
        minor = int(scaled)
    except (ValueError, OverflowError):
        raise _refused("nonfinite", amount, code) from None
    if scaled == minor:
        return minor
    if rounding is None:
        raise _refused("precision", amount, code)
    return int(EXACT.to_integral_value(scaled))


def _from_text(amount: str, code: str, rounding: str | None) -> int:
    whole, point, part = amount.partition(".")
    digits = whole[1:] if whole[:1] in ("+", "-") else whole
    # isascii() first of all: Decimal and int would read the digits of other scripts too.
    if not (amount.isascii() and digits.isdigit() and (part.isdigit() or not point)):
        raise _refused("parse", amount, code)
    missing = EXPONENTS[code] - len(part)
    if missing >= 0 and len(amount) <= 40:
        return int(whole + part) * POWERS[missing]
    return _from_decimal(Decimal(amount), code, rounding)


def _from_float(amount: float, code: str, rounding: str | None) -> int:
    if -1e12 < amount < 1e12:
        # Within 15 digits a decimal and its nearest double belong together one to one, so this asks whether
        # the shortest form of the float fits the currency, without writing that form.
        power = POWERS[EXPONENTS[code]]
        minor = round(amount * power)
        if minor / power == amount:
            return minor
    return _from_decimal(Decimal(repr(amount)), code, rounding)


def _from_ratio(top: int, bottom: int, amount: object, code: str, rounding: str | None) -> int:
    if bottom < 1:
        raise _refused("type", amount, code)
    minor, rest = divmod(top * POWERS[EXPONENTS[code]], bottom)
    if rest == 0:
        return minor
    if rounding is None:
        raise _refused("precision", amount, code)
    beyond_half = 2 * rest - bottom
    return minor + (beyond_half > 0 or (beyond_half == 0 and minor % 2 == 1))


def _from_other(amount: object, code: str, rounding: str | None) -> int:
    # Subclasses are read with the methods of their base, so that what they override is not called.
    if isinstance(amount, bool):
        raise _refused("type", amount, code)
    if isinstance(amount, int):
        return int.__int__(amount) * POWERS[EXPONENTS[code]]
    if isinstance(amount, str):
        return _from_text(str.__str__(amount), code, rounding)
    if isinstance(amount, float):
        return _from_float(float.__float__(amount), code, rounding)
    if isinstance(amount, Decimal):
        return _from_decimal(Decimal(amount), code, rounding)
    if isinstance(amount, Exact):
        if amount.currency != code:
            raise AmountError("currency", f"{amount.currency} was told as {code}; leave the currency out.")
        return amount.minor_units
    from numbers import Rational, Real  # 0.3 ms to import, for numbers of other libraries

    if isinstance(amount, Rational):  # Fraction, and the integers of numpy
        return _from_ratio(index(amount.numerator), index(amount.denominator), amount, code, rounding)
    if isinstance(amount, Real):  # the other floats of numpy; a ratio is exact where float() would round
        real: Any = amount
        try:
            top, bottom = real.as_integer_ratio()
        except (ValueError, OverflowError):
            raise _refused("nonfinite", amount, code) from None
        return _from_ratio(index(top), index(bottom), amount, code, rounding)
    anything: Any = amount
    return _from_ratio(index(anything), 1, amount, code, rounding)


def currency_code(currency: object) -> str:
    """
    The upper-case ISO 4217 code of a str, or of an object with a ``code``, ``currency_code`` or ``value``.

    Raises:
        AmountError: There is no active currency of that code. Nothing else is raised.
    """
    text: object = currency
    try:
        for name in ("code", "currency_code", "value"):
            if not isinstance(text, str):
                text = getattr(currency, name, None)
        text = str.__str__(text) if isinstance(text, str) else None
    except Exception:  # properties of foreign objects may raise anything
        text = None
    # "ß".upper() is "SS", and a dotless i becomes I: only ASCII is upper-cased.
    if text is not None and text.isascii() and text.upper() in EXPONENTS:
        return text.upper()
    shown = f'"{text}"' if text is not None and text.isalnum() and len(text) <= 8 else type_name(currency)
    raise AmountError("currency", f'{shown} is not an active ISO 4217 currency; pass a code such as "EUR".')


def _taken_apart(amount: object, currency: object) -> tuple[object, str]:
    if currency is None and isinstance(amount, Exact):
        known: object = amount.currency
        # Checked, because Mock(spec=Money) passes for one, and its currency for nothing.
        return amount, known if type(known) is str and known in EXPONENTS else currency_code(known)
    if currency is not None or isinstance(amount, (bool, int, float, str, Decimal)):
        return amount, currency_code(currency)
    other: Any = amount
    inner: object = other.amount
    code = currency_code(other.currency)
    if isinstance(inner, int):
        # Stripe, Square and most home-made classes mean cents by such an int; py-moneyed never has one.
        raise AmountError(
            "type",
            f"{type_name(amount)}.amount is an int, which may be minor or major units; "
            "use Money.from_minor(x.amount, x.currency) or Money(x.amount, x.currency).",
        )
    return inner, code


def minor_units(
    amount: object, currency: object = None, *, rounding: str | None = None, negative: bool = True
) -> tuple[int, str]:
    """
    The amount in whole minor units, and its currency in upper case.

    Args:
        amount: Major units as int, str (``[+-]digits[.digits]``), Decimal, Fraction, a numpy number, or a
            float whose shortest form fits the currency. Or, without a currency, Money or any object with
            ``amount`` (no int, which may mean cents) and ``currency``.
        currency: An active ISO 4217 code, or an object with one as ``code``, ``currency_code`` or ``value``.
        rounding: ``"half_even"`` rounds to the currency's decimals; None refuses what does not fit.
        negative: Whether amounts below zero are allowed.

    Raises:
        AmountError: The amount cannot be kept exactly; ``reason`` says why. Nothing else is raised, whatever
            the methods of `amount` and `currency` do.
    """
    if type(currency) is not str or currency not in EXPONENTS:
        try:
            amount, currency = _taken_apart(amount, currency)
        except AmountError:
            raise
        except Exception:  # properties of foreign objects may raise anything
            raise AmountError("type", f"{type_name(amount)} has no readable amount and currency.") from None
    if rounding is not None and (type(rounding) is not str or rounding != "half_even"):
        raise AmountError("type", 'The only rounding is "half_even"; round other ways before the call.')
    if type(amount) is int:
        minor = amount * POWERS[EXPONENTS[currency]]
    elif type(amount) is Decimal:
        minor = _from_decimal(amount, currency, rounding)
    elif type(amount) is str:
        minor = _from_text(amount, currency, rounding)
    elif type(amount) is float:
        minor = _from_float(amount, currency, rounding)
    else:
        try:
            minor = _from_other(amount, currency, rounding)
            if type(minor) is not int:  # a subclass of Money with a property in the place of its slot
                raise _refused("type", amount, currency)
        except AmountError:
            raise
        except Exception:  # methods of foreign objects may raise anything
            raise _refused("type", amount, currency) from None
    if minor < 0 and not negative:
        raise _refused("negative", amount, currency)
    if not INT64_MIN <= minor <= INT64_MAX:
        raise _refused("range", amount, currency)
    return minor, currency
