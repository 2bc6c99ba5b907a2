"""
Lengths of time as people write them.
"""

from __future__ import annotations

import re
from typing import Final

from bizspan.errors import SetupError

_SPAN: Final = re.compile(r"(\d{1,6}) ?(s|min|h|d|w)", re.ASCII)
_NANOS: Final = {"s": 1, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
_MOST_S: Final = 10 * 366 * 86_400


def span_ns(what: str, text: object) -> int:
    """
    Nanoseconds of ``"30min"``, ``"1d"``; a day is 24 hours.

    Raises:
        SetupError: It is no length of time, or none from 1 second to 10 years.
    """
    found = _SPAN.fullmatch(text) if isinstance(text, str) else None
    seconds = int(found[1]) * _NANOS[found[2]] if found else 0
    if not 0 < seconds <= _MOST_S:
        raise SetupError(f"{what} is a length of time such as '30min', '12h' or '7d', got {text!r}.")
    return seconds * 1_000_000_000
