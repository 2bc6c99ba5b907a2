"""
Money as callers tell it while the program runs: taken exactly, or refused, counted and explained, never raised.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from bizspan import _guard, names
from bizspan.errors import AmountError
from bizspan.money import EXPONENTS, Money, minor_units

if TYPE_CHECKING:
    from bizspan._accounts import Accounts
    from bizspan._record import AmountLine
    from bizspan._types import Attributes

INT64_MAX: Final = 2**63 - 1
# What may be told in several currencies at once: what counters sum.
_SEVERAL: Final = (names.REVENUE, names.COST)
_HINTS: Final = {
    "second_currency": "Tell it in one currency.",
    "nonfinite": "Tell a number.",
    "negative": "Tell money that goes back with bizspan.refund(), as a positive amount.",
    "precision": "It has more digits than the currency; pass rounding='half_even' or Money.rounded().",
    "range": "It does not fit 64 bits.",
    "parse": "Tell digits with a point, such as '12.50', without signs or separators.",
    "type": "Tell int, str, Decimal, a float that is exact, or a Money.",
    "currency": "Tell an ISO 4217 code, such as 'EUR', beside the amount.",
}


class Amounts:
    """
    The money that one record tells: one sum per kind and currency, in minor units.

    Args:
        accounts: Where refusals are counted.
    """

    __slots__ = ("_accounts", "invalid", "lines")

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self.lines: list[AmountLine] = []
        self.invalid: dict[str, str] | None = None

    def tell(self, kind: str, amount: object, currency: object = None, rounding: str | None = None) -> None:
        """
        Add an amount. None is absent; a second one in the same currency adds.
        """
        if amount is None:
            return
        try:
            if type(amount) is Money:
                units, code = amount.minor_units, amount.currency
                if units < 0:
                    raise AmountError("negative", "negative amount")
            else:
                if type(amount) is tuple and len(amount) == 2:
                    amount, currency = amount
                elif currency is None:
                    amount, currency = _taken_apart(amount)
                units, code = minor_units(amount, currency, rounding=rounding, negative=False)
            if self.lines:
                self._add(kind, units, code)
            else:
                self.lines.append((kind, units, code))
        except AmountError as error:
            self.refuse(kind, error.reason)
        except Exception:  # properties of a foreign money object are foreign code
            self.refuse(kind, "type")

    def refuse(self, kind: str, reason: str) -> None:
        """Count one amount as missing, and explain it once per call site."""
        self.invalid = {**(self.invalid or {}), kind: reason}
        word = kind.removeprefix("business.")
        self._accounts.refuse_value(f"{word} ({_call_site()})", reason, _HINTS.get(reason, ""))

    def _add(self, kind: str, units: int, code: str) -> None:
        for position, (known_kind, known_units, known_code) in enumerate(self.lines):
            if known_kind == kind and known_code == code:
                if known_units + units > INT64_MAX:
                    raise AmountError("range", "sum past int64")
                self.lines[position] = (kind, known_units + units, code)
                return
            if known_kind == kind and kind not in _SEVERAL:
                raise AmountError("second_currency", "another currency was told before")
        self.lines.append((kind, units, code))

    def write(self, attributes: Attributes, basis: str) -> tuple[tuple[AmountLine, ...], tuple[AmountLine, ...]]:
        """
        Put the first currency of each kind, and what is missing, onto these attributes.

        Args:
            attributes: Of the record.
            basis: Whether revenue is told without tax (``excl_tax``, not written) or with it.

        Returns:
            The amounts of this record, and those in further currencies: each is an event of its own.
        """
        lines = tuple(self.lines)
        further: tuple[AmountLine, ...] = ()
        if len(lines) > 1:
            first = {kind: code for kind, _, code in reversed(lines)}
            further = tuple(line for line in lines if line[2] != first[line[0]])
            for kind, units, code in lines:
                if first[kind] == code:
                    write_amount(attributes, kind, units, code)
            lines = tuple(line for line in lines if line not in further)
        elif lines:
            write_amount(attributes, *lines[0])
        if self.invalid is not None:
            attributes.update({names.AMOUNT_INVALID_KEYS[kind]: reason for kind, reason in self.invalid.items()})
        if basis != "excl_tax" and any(kind == names.REVENUE for kind, _, _ in lines):
            attributes[names.REVENUE_BASIS] = basis
        return lines, further


_KEYS: Final = {
    kind: (names.AMOUNT_KEYS[kind], names.MINOR_UNITS_KEYS[kind], names.CURRENCY_KEYS[kind])
    for kind in names.MONEY_KINDS
}
_SCALES: Final = {code: 10**exponent for code, exponent in EXPONENTS.items()}


def write_amount(attributes: Attributes, kind: str, units: int, code: str) -> None:
    """
    One amount under its three keys: a double for reading, exact minor units, the currency.
    """
    amount_key, units_key, currency_key = _KEYS[kind]
    attributes[amount_key] = units / _SCALES[code]
    attributes[units_key] = units
    attributes[currency_key] = code


def _taken_apart(amount: object) -> tuple[object, object]:
    if isinstance(amount, (int, float, str)):
        raise AmountError("currency", "no currency")
    money = Money(amount)  # type: ignore[call-arg]
    return money.amount, money.currency


def _call_site() -> str:
    """The file and line outside of bizspan that told the amount."""
    try:
        frame = sys._getframe(2)
        while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(
            ("bizspan", "wrapt")
        ):
            frame = frame.f_back
        return f"{frame.f_code.co_filename.rsplit('/', 1)[-1]}:{frame.f_lineno}"
    except Exception as error:
        _guard.swallowed("finding the call site", error)
        return "unknown"
