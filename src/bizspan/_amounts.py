"""
Money as callers tell it while the program runs: taken exactly, or refused, counted and explained, never raised.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final, cast

from bizspan import _guard, names
from bizspan._record import AmountLine
from bizspan.errors import AmountError
from bizspan.money import EXPONENTS, minor_units

if TYPE_CHECKING:
    from types import FrameType

    from bizspan._accounts import Accounts
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
# What may stand between us and the line that told an amount, and what calls applications.
_BETWEEN: Final = frozenset({"bizspan", "wrapt", "contextlib", "functools"})
_CALLERS: Final = frozenset(
    {
        "aiohttp", "anyio", "asgiref", "asyncio", "billiard", "celery", "concurrent", "django", "eventlet", "fastapi",
        "flask", "gevent", "gunicorn", "http", "hypercorn", "litestar", "opentelemetry", "quart", "rest_framework",
        "sanic", "socketserver", "sqlalchemy", "starlette", "threading", "tornado", "uvicorn", "waitress", "werkzeug",
        "wsgiref",
    }
)  # fmt: skip


Lines = tuple[AmountLine, ...]


def with_amount(lines: Lines, kind: str, amount: object, currency: object = None, rounding: str | None = None) -> Lines:
    """
    These lines with one amount more; a second one of the same kind and currency adds.

    Raises:
        AmountError: When the amount can't be taken exactly. Nothing else.
    """
    pair: Any = amount
    if type(pair) is tuple and len(pair) == 2:  # pyright: ignore[reportUnknownArgumentType]
        amount, currency = cast("tuple[object, object]", pair)
    try:
        units, code = minor_units(amount, currency, rounding=rounding, negative=False)
    except AmountError as error:
        # A property of a foreign money object may raise one of its own; the reason goes onto the event.
        if type(error.reason) is str and error.reason in _HINTS:
            raise
        raise AmountError("type", "the money object raised") from None
    if not lines:
        return ((kind, units, code),)
    for position, (known_kind, known_units, known_code) in enumerate(lines):
        if known_kind == kind and known_code == code:
            if known_units + units > INT64_MAX:
                raise AmountError("range", "sum past int64")
            return (*lines[:position], (kind, known_units + units, code), *lines[position + 1 :])
        if known_kind == kind and kind not in _SEVERAL:
            raise AmountError("second_currency", "another currency was told before")
    return (*lines, (kind, units, code))


def refuse(accounts: Accounts, kind: str, reason: str, name: str) -> None:
    """
    Count one amount as missing, and explain it once per call site.

    Args:
        accounts: Of the pipeline.
        kind: Of money.
        reason: Why.
        name: Of the operation or event: said where no line of the application told the amount.
    """
    word = kind.removeprefix("business.")
    accounts.refuse_value(f"{word} ({_call_site() or f'of {name!r}'})", reason, _HINTS.get(reason, ""))


def write_money(attributes: Attributes, lines: Lines, basis: str) -> tuple[Lines, Lines]:
    """
    Put the first currency of each kind onto these attributes.

    Args:
        attributes: Of the record.
        lines: What was told.
        basis: Whether revenue is told without tax (``excl_tax``, not written) or with it.

    Returns:
        The lines of this record, and those in further currencies: each is an event of its own.
    """
    further: Lines = ()
    if len(lines) == 1:
        write_amount(attributes, *lines[0])
    else:
        first = {kind: code for kind, _, code in reversed(lines)}
        further = tuple(line for line in lines if line[2] != first[line[0]])
        lines = tuple(line for line in lines if line[2] == first[line[0]])
        for line in lines:
            write_amount(attributes, *line)
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


def _call_site() -> str | None:
    """
    The file and line of the application that told the amount; None where a framework called us, as for the revenue of
    a route: whatever stands further out there, such as ``app.run()``, has told nothing.
    """
    try:
        frame: FrameType | None = sys._getframe(2)  # pyright: ignore[reportPrivateUsage] - the documented way
        while frame is not None:
            package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
            if package in _CALLERS:
                return None
            if package not in _BETWEEN:
                return f"{frame.f_code.co_filename.rsplit('/', 1)[-1]}:{frame.f_lineno}"
            frame = frame.f_back
    except Exception as error:
        _guard.swallowed("finding the call site", error)
    return None
