"""
Exact money: integer minor units and an ISO 4217 currency.

`Money` is for people; `minor_units` does the same check without building an object, for the hot path. Neither
ever rounds unless it is asked to.
"""

from __future__ import annotations

from decimal import Decimal
from operator import index

from bizspan._currencies import EXPONENTS
from bizspan._minor import EXACT, INT64_MAX, INT64_MIN, POWERS, Exact, currency_code, minor_units
from bizspan.errors import AmountError, CurrencyMismatch, type_name

TYPE_CHECKING = False
if TYPE_CHECKING:  # `typing` itself is not imported at run time: it would be half of this module's import.
    from typing import Any, SupportsIndex, overload

    from bizspan._types import HasAmount, Number

__all__ = ["EXPONENTS", "INT64_MAX", "INT64_MIN", "Money", "minor_units"]


def _money(minor: int, currency: str) -> Money:
    if not INT64_MIN <= minor <= INT64_MAX:
        raise AmountError("range", f"The total is beyond 64-bit minor units of {currency}; keep smaller sums.")
    money = object.__new__(Money)
    object.__setattr__(money, "minor_units", minor)
    object.__setattr__(money, "currency", currency)
    return money


def _is_int(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool)


def _whole(number: object, what: str) -> int:
    refused = AmountError("type", f"{what} is a whole number, not {type_name(number)}; pass an int.")
    try:
        if isinstance(number, bool):
            raise refused
        anything: Any = number
        return index(anything)
    except Exception:  # __index__ of a foreign object may raise anything
        raise refused from None


class Money(Exact):
    """
    An exact amount in one currency; immutable, hashable, ordered within its currency.

    ``+``, ``-`` and ``sum()`` stay exact, ``*`` takes whole numbers, and instead of ``/`` there is `split`.

    Args:
        amount: Major units, as in `minor_units`; or an object with ``amount`` and ``currency``.
        currency: An active ISO 4217 code, for example ``"EUR"``; lower case is fine.

    Raises:
        AmountError: The amount cannot be kept exactly; `Money.rounded` is the explicit way.
    """

    __slots__ = ()

    if TYPE_CHECKING:

        @overload
        def __new__(cls, amount: Number, currency: object) -> Money: ...
        @overload
        def __new__(cls, amount: HasAmount) -> Money: ...

    def __new__(cls, amount: object, currency: object = None) -> Money:
        return _money(*minor_units(amount, currency))

    @staticmethod
    def from_minor(minor_units: SupportsIndex, currency: object) -> Money:
        """
        Money from whole minor units: ``Money.from_minor(4200, "EUR")`` is 42.00 EUR.

        Raises:
            AmountError: `minor_units` is no int or beyond 64 bits, or the currency is unknown.
        """
        return _money(_whole(minor_units, "minor_units"), currency_code(currency))

    @staticmethod
    def rounded(amount: Number, currency: object) -> Money:
        """
        Money from an amount with too many decimals, rounded half to even.

        Raises:
            AmountError: As for `Money`, without the reason ``precision``.
        """
        return _money(*minor_units(amount, currency, rounding="half_even"))

    @property
    def exponent(self) -> int:
        """How many decimals the currency keeps: 2 for EUR, 0 for JPY, 3 for BHD."""
        return EXPONENTS[self.currency]

    @property
    def amount(self) -> Decimal:
        """The amount in major units, with the currency's decimals: ``Decimal("42.00")``."""
        return EXACT.scaleb(Decimal(self.minor_units), -EXPONENTS[self.currency])

    def split(self, parts: int) -> tuple[Money, ...]:
        """
        The amount in `parts` parts that add up to it; what does not divide goes to the first ones.

        Raises:
            AmountError: `parts` is not a whole number of at least 1.
        """
        count = _whole(parts, "The number of parts")
        if count < 1:
            raise AmountError("range", "Money is split into 1 part or more; pass the number of parts.")
        share, rest = divmod(abs(self.minor_units), count)
        sign = -1 if self.minor_units < 0 else 1
        smaller = _money(sign * share, self.currency)
        larger = _money(sign * (share + 1), self.currency) if rest else smaller
        return (larger,) * rest + (smaller,) * (count - rest)

    def _theirs(self, other: Any, verb: str) -> int | None:
        if not issubclass(type(other), Money):  # isinstance would ask `other` for its class, which may raise
            return None
        if other.currency != self.currency:
            raise CurrencyMismatch(
                f"{self.currency} and {other.currency} cannot be {verb}; keep one sum for each currency, "
                "or convert to one currency before."
            )
        theirs: int = other.minor_units
        return theirs

    def __add__(self, other: Money) -> Money:
        theirs = self._theirs(other, "added")
        return NotImplemented if theirs is None else _money(self.minor_units + theirs, self.currency)

    def __radd__(self, other: int) -> Money:
        # sum() starts from 0; no other number has a currency.
        return self if type(other) is int and other == 0 else NotImplemented

    def __sub__(self, other: Money) -> Money:
        theirs = self._theirs(other, "subtracted")
        return NotImplemented if theirs is None else _money(self.minor_units - theirs, self.currency)

    def __mul__(self, times: int) -> Money:
        if not _is_int(times):
            return NotImplemented
        return _money(self.minor_units * times, self.currency)

    __rmul__ = __mul__

    def __neg__(self) -> Money:
        return _money(-self.minor_units, self.currency)

    def __pos__(self) -> Money:
        return self

    def __abs__(self) -> Money:
        return _money(abs(self.minor_units), self.currency)

    def __bool__(self) -> bool:
        return self.minor_units != 0

    def __eq__(self, other: object) -> bool:
        if not issubclass(type(other), Money):
            return NotImplemented
        theirs: Any = other
        same: bool = self.minor_units == theirs.minor_units and self.currency == theirs.currency
        return same

    def __hash__(self) -> int:
        return hash((self.minor_units, self.currency))

    def __lt__(self, other: Money) -> bool:
        theirs = self._theirs(other, "compared")
        return NotImplemented if theirs is None else self.minor_units < theirs

    def __le__(self, other: Money) -> bool:
        theirs = self._theirs(other, "compared")
        return NotImplemented if theirs is None else self.minor_units <= theirs

    def __gt__(self, other: Money) -> bool:
        theirs = self._theirs(other, "compared")
        return NotImplemented if theirs is None else self.minor_units > theirs

    def __ge__(self, other: Money) -> bool:
        theirs = self._theirs(other, "compared")
        return NotImplemented if theirs is None else self.minor_units >= theirs

    def _number(self) -> str:
        # By integers: Decimal would write 0E-7, or follow the application's context.
        exponent = EXPONENTS[self.currency]
        if exponent == 0:
            return str(self.minor_units)
        whole, part = divmod(abs(self.minor_units), POWERS[exponent])
        return f"{'-' if self.minor_units < 0 else ''}{whole}.{part:0{exponent}d}"

    def __str__(self) -> str:
        return f"{self._number()} {self.currency}"

    def __repr__(self) -> str:
        return f'Money("{self._number()}", "{self.currency}")'

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"Money does not change; build a new one instead of setting {name}.")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"Money does not change; {name} stays.")

    def __copy__(self) -> Money:
        return self

    def __deepcopy__(self, memo: object) -> Money:
        return self

    def __reduce__(self) -> tuple[Any, tuple[int, str]]:
        return Money.from_minor, (self.minor_units, self.currency)
