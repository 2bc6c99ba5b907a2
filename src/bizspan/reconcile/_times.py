"""
Days in a time zone, and times as ledgers write them.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from bizspan.errors import SetupError

_NANOS: Final = 1_000_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DATE_ONLY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_DIGITS: Final = re.compile(r"\d{9,19}", re.ASCII)
# How an epoch is counted follows from its digits, from 2001 until 2286.
_EPOCH_DIGITS: Final = {9: _NANOS, 10: _NANOS, 13: 1_000_000, 16: 1000, 19: 1}
EXPECTED: Final = (
    "a time as 2026-03-01, 2026-03-01T09:30:00+01:00, or seconds since the epoch"
    " (10 digits; 13 are milliseconds, 16 microseconds, 19 nanoseconds)"
)


def zone(name: str) -> tzinfo:
    """
    The time zone of this name, as ``Europe/Berlin``.

    Raises:
        SetupError: There is none.
    """
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # an unknown name is a KeyError, a folder of names an OSError
        raise SetupError(
            f"{name[:80]} is no time zone that is known here; pass one such as Europe/Berlin"
            " (pip install tzdata brings them all)."
        ) from None


def day_of(time_ns: int, where: tzinfo) -> str:
    """The calendar day of a moment there, as ``2026-03-01``; empty where no calendar has one."""
    try:
        return datetime.fromtimestamp(time_ns // _NANOS, where).date().isoformat()
    except (ValueError, OverflowError, OSError):
        return ""


class Clock:
    """
    Reads the times of a ledger.

    Args:
        days: The zone whose days are compared.
        naive: The zone of times without an offset.
    """

    __slots__ = ("_days", "_naive", "is_naive_seen")

    def __init__(self, days: tzinfo, naive: tzinfo) -> None:
        self._days = days
        self._naive = naive
        self.is_naive_seen = False

    def read(self, value: object) -> tuple[int, str, bool]:
        """
        Nanoseconds since the epoch, the day, and whether the time of day is known.

        Args:
            value: Text in ISO 8601, or a number of seconds, milliseconds, microseconds or nanoseconds. A date alone
                is that day, whatever the zone.

        Raises:
            ValueError: It is none of these, or before 1970.
        """
        time_ns, day, is_exact = self._read(str(value).strip() if isinstance(value, str) else value)
        if not 0 <= time_ns < 2**63:
            raise ValueError
        return time_ns, day, is_exact

    def _read(self, value: object) -> tuple[int, str, bool]:
        if isinstance(value, str) and _DATE_ONLY.fullmatch(value):
            start = datetime.combine(date.fromisoformat(value), time(), self._days)
            return max(_ns(start), 0), value, False
        if type(value) is int or (isinstance(value, str) and _DIGITS.fullmatch(value)):
            return self._epoch(str(value))
        if type(value) is float:
            time_ns = round(value) * _NANOS
            return time_ns, day_of(time_ns, self._days), True
        if not isinstance(value, str):
            raise ValueError
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            self.is_naive_seen = True
            moment = moment.replace(tzinfo=self._naive)
        time_ns = _ns(moment)
        return time_ns, day_of(time_ns, self._days), True

    def _epoch(self, digits: str) -> tuple[int, str, bool]:
        unit = _EPOCH_DIGITS.get(len(digits))
        if unit is None:
            raise ValueError
        time_ns = int(digits) * unit
        return time_ns, day_of(time_ns, self._days), True


def moment_ns(text: str, where: tzinfo) -> int:
    """
    A border of a period: the start of a day there, or a moment in ISO 8601.

    Raises:
        ValueError: It is neither.
    """
    moment = datetime.fromisoformat(text)
    return _ns(moment if moment.tzinfo is not None else moment.replace(tzinfo=where))


def _ns(moment: datetime) -> int:
    # By integers: timestamp() is a double, and 2026 in nanoseconds has more digits than a double keeps.
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000
