"""
One value at a time: text without control characters, and the known types of the standard library.

Of an unknown type nothing is called, neither ``__str__`` nor ``__eq__`` nor a property: it may be slow, or
raise, or query a database, or show a secret. That is why this file asks ``issubclass(type(value), ...)``
where ``isinstance`` would read ``value.__class__``, and calls methods through the base class. The one
exception is a `tzinfo`, which a moment cannot be read without.
"""

from __future__ import annotations

import re
import sys
from decimal import Decimal
from enum import Enum
from math import isfinite

from bizspan._minor import EXACT, INT64_MAX, INT64_MIN
from bizspan.errors import type_name
from bizspan.money import Money

TYPE_CHECKING = False
if TYPE_CHECKING:  # `typing` itself is not imported at run time: it would be half of this module's import.
    from datetime import datetime
    from typing import Any

    Primitive = str | bool | int | float

_DAY_S = 86_400
_BYTES = (bytes, bytearray, memoryview)
_PATHS = ("PosixPath", "PurePosixPath", "WindowsPath", "PureWindowsPath")

# `re` compiles these at their first use and keeps them: here they would double the import time of this file.
_ANSI = (
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colours, cursor
    r"|\x1b[\]PX^_][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"  # titles, links, device strings
    r"|\x9b[0-?]*[ -/]*[@-~]"
)
_BREAKS = r"\r\n|[\t-\r\x85\u2028\u2029]"
_INVISIBLE = r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"  # other controls; bidi overrides and isolates
_SURROGATES = r"[\ud800-\udfff]"


def clean_text(text: str, limit: int) -> tuple[str, str | None]:
    """Text without control characters and lone surrogates, cut at `limit` bytes, and what was done to it."""
    note = None
    # First of all, so that a megabyte is not searched for the sake of the few bytes that stay.
    if len(text) > 4 * limit:
        text, note = text[: 4 * limit], "truncated"
    if not text.isprintable():
        plain = re.sub(_INVISIBLE, "", re.sub(_BREAKS, " ", re.sub(_ANSI, "", text)))
        whole = re.sub(_SURROGATES, "\ufffd", plain)
        if note is None and whole != text:
            note = "control" if whole == plain else "surrogate"
        text = whole
    if len(text) * 4 > limit:
        encoded = text.encode()
        if len(encoded) > limit:
            return encoded[:limit].decode(errors="ignore"), "truncated"
    return text, note


def _real_type(module: str, name: str) -> Any:
    # Only what the application loaded can be the type of a value. freezegun puts subclasses in their place.
    loaded = sys.modules.get(module)
    for kind in getattr(loaded, name).__mro__ if loaded is not None else ():
        if kind.__module__ == module:
            return kind
    return None


def _exact_datetime(value: Any) -> datetime | None:
    real = _real_type("datetime", "datetime")
    if real is None or not issubclass(type(value), real):
        return None
    # Rebuilt from its parts: pandas, pendulum and freezegun subclass it, and their methods stay out of this.
    exact: datetime = real.combine(real.date(value), real.timetz(value))
    offset = exact.utcoffset()
    naive = exact.replace(tzinfo=None)
    return naive if offset is None else naive - offset


def _time_text(value: Any) -> str | None:
    moment = _exact_datetime(value)
    if moment is not None:
        return f"{moment.isoformat()}Z"
    for name in ("date", "time"):
        real = _real_type("datetime", name)
        if real is not None and issubclass(type(value), real):
            text: str = real.isoformat(value)
            return text
    return None


def _known_text(value: Any, kind: type[object]) -> str | None:
    if kind is Money:
        return str(value)
    if kind is _real_type("uuid", "UUID"):
        return str(value)
    pathlib = sys.modules.get("pathlib")
    if pathlib is not None and any(kind is getattr(pathlib, name) for name in _PATHS):
        return str(value)
    return None


def clean_leaf(value: object, limit: int) -> tuple[Primitive | None, str | None]:
    """A single value and what was done to it; (None, None) for containers, unknown types and None."""
    if not issubclass(type(value), Enum):
        return _clean_kind(type(value), value, limit)
    inner: object = object.__getattribute__(value, "_value_")
    if not issubclass(type(inner), (str, int, float)):
        inner = object.__getattribute__(value, "_name_")
    return _clean_kind(type(inner), inner, limit)


def _clean_kind(kind: type[object], value: Any, limit: int) -> tuple[Primitive | None, str | None]:
    if issubclass(kind, str):
        if kind is not str and "secret" in type_name(value).lower():
            return None, "type"  # a str that calls itself a secret was made in order not to be shown
        return clean_text(str.__str__(value), limit)
    if kind is bool:
        return bool(value), None
    if issubclass(kind, int):
        number = int.__int__(value)
        return (number, None) if INT64_MIN <= number <= INT64_MAX else (None, "int64")
    if issubclass(kind, float):
        real = float.__float__(value)
        return (real, None) if isfinite(real) else (None, "nonfinite")
    if issubclass(kind, _BYTES):
        return None, "bytes"
    if kind is Decimal:
        return clean_text(EXACT.to_sci_string(value), limit) if value.is_finite() else (None, "nonfinite")
    try:
        text = _time_text(value) or _known_text(value, kind)
    except Exception:  # a tzinfo is foreign code, and the years 1 and 9999 have no UTC everywhere
        return None, "type"
    return clean_text(text, limit) if text is not None else (None, None)


def nanoseconds(value: object) -> int | None:
    """The nanoseconds of an int or a datetime, unchecked; None for other types."""
    kind = type(value)
    if issubclass(kind, int) and kind is not bool:
        number: Any = value
        return int.__int__(number)
    moment = _exact_datetime(value)
    if moment is None:
        return None
    since = moment - type(moment)(1970, 1, 1)
    return ((since.days * _DAY_S + since.seconds) * 10**6 + since.microseconds) * 1000
