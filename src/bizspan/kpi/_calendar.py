"""
Periods of one time zone and one start of the week: days of 23 and 25 hours have their true boundaries.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final, Literal, cast
from zoneinfo import ZoneInfo

from bizspan.errors import SetupError

Length = Literal["hour", "day", "week", "month", "span"]

_HOUR_NS: Final = 3_600_000_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_LAST: Final = re.compile(r"(\d{1,4})(h|d|w|m)", re.ASCII)
_NEXT_ONE: Final = re.compile(r"tomorrow|next-(hour|day|week|month)", re.ASCII)
_LAST_UNITS: Final[Mapping[str, Length]] = {"h": "hour", "d": "day", "w": "week", "m": "month"}
_EXPECTED: Final = (
    "today, yesterday, this-week, last-week, this-month, last-month, a day as 2026-03-01, a month as 2026-03,"
    " the last ones as 24h, 7d, 4w or 3m, or two days or moments with .. between"
)


@dataclass(frozen=True, slots=True)
class Period:
    """
    From one moment, before another.

    Args:
        since_ns: Its start, in nanoseconds since the epoch.
        until_ns: Its end, which is not part of it.
        unit: What it is, or what it is made of; ``span`` where it is neither.
        label: For people: ``"2026-03-29"``.
    """

    since_ns: int
    until_ns: int
    unit: Length = "span"
    label: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.since_ns < self.until_ns < 2**63:
            raise SetupError("a period ends after it starts, from 1970 until 2262.")

    def has(self, time_ns: int) -> bool:
        """Whether it lies inside."""
        return self.since_ns <= time_ns < self.until_ns

    def elapsed(self, as_of_ns: int) -> Period:
        """What of it has gone by at this moment; itself, where it is over or has not begun."""
        if not self.has(as_of_ns) or as_of_ns == self.since_ns:
            return self
        return Period(self.since_ns, as_of_ns, self.unit, self.label)

    def first(self, length_ns: int) -> Period:
        """Its first part, of this length at most."""
        until_ns = min(self.until_ns, self.since_ns + length_ns)
        return Period(self.since_ns, until_ns, self.unit, self.label)


@dataclass(frozen=True, slots=True)
class Calendar:
    """
    The time zone and the start of the week that all figures share.

    Args:
        time_zone: An IANA name: ``"Europe/Berlin"``.
        week_start: The first day of a week: ``"monday"``, ``"sunday"``.

    Raises:
        SetupError: When either is none.
    """

    time_zone: str = "UTC"
    week_start: str = "monday"
    zone: tzinfo = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.week_start not in _WEEKDAYS:
            raise SetupError(f"week_start is a day's name such as 'monday', got {self.week_start!r}.")
        object.__setattr__(self, "zone", _zone(self.time_zone))

    # --- one period -------------------------------------------------------------------------------------------------

    def around(self, time_ns: int, unit: Length) -> Period:
        """The hour, day, week or month that this moment lies in."""
        if unit == "hour":
            return self._hour(time_ns)
        day = datetime.fromtimestamp(time_ns // 1_000_000_000, self.zone).date()
        return self._of_days(_start(day, unit, self.week_start), unit)

    def day(self, day: date) -> Period:
        """This day."""
        return self._of_days(day, "day")

    def month(self, year: int, month: int) -> Period:
        """This month."""
        return self._of_days(date(year, month, 1), "month")

    def before(self, period: Period) -> Period:
        """
        The period of the same kind that ends where this one starts; of several days, as many before them.
        """
        if period.unit == "span":
            return Period(max(0, 2 * period.since_ns - period.until_ns), period.since_ns, "span", "before")
        count = sum(1 for _ in self.split(period, period.unit))
        start = period
        for _ in range(count):
            start = self.around(start.since_ns - 1, period.unit)
        return Period(start.since_ns, period.since_ns, period.unit, self._label(start.since_ns, period.since_ns))

    def begun(self, period: Period, now_ns: int) -> Period:
        """
        This period, in which something may have happened.

        Args:
            period: Which one.
            now_ns: What is now.

        Raises:
            SetupError: It has not begun.
        """
        if period.since_ns > now_ns:
            start = datetime.fromtimestamp(period.since_ns // 1_000_000_000, self.zone).isoformat(timespec="seconds")
            raise SetupError(f"{period.label or 'the period'} has not begun: it starts at {start}.")
        return period

    def split(self, period: Period, unit: Length) -> Iterator[Period]:
        """
        The hours, days, weeks or months of a period, in order. The first and the last may lie in it in part.
        """
        at = period.since_ns
        while at < period.until_ns:
            whole = self.around(at, unit)
            until_ns = min(whole.until_ns, period.until_ns)
            yield Period(at, until_ns, unit, whole.label)
            at = whole.until_ns

    def last(self, count: int, unit: Length, now_ns: int) -> Period:
        """
        The last so many hours, days, weeks or months, with the one of this moment.
        """
        last = start = self.around(now_ns, unit)
        for _ in range(count - 1):
            start = self.around(start.since_ns - 1, unit)
        return Period(start.since_ns, last.until_ns, unit, self._label(start.since_ns, last.until_ns))

    def read(self, text: str, now_ns: int) -> Period:
        """
        The period that a text names.

        Args:
            text: ``today``, ``yesterday``, ``this-week``, ``last-month``, ``2026-03-01``, ``2026-03``, ``7d``, or two
                days or moments with ``..`` between: ``2026-03-01..2026-03-08``.
            now_ns: What is now.

        Raises:
            SetupError: It names none.
        """
        if _NEXT_ONE.fullmatch(text.strip().lower()):
            raise SetupError(f"{text[:60]!r} has not begun: nothing has happened in it yet.")
        named = self._named(text.strip().lower(), now_ns)
        if named is not None:
            return named
        try:
            return self._written(text.strip())
        except (ValueError, OverflowError):
            raise SetupError(f"{text[:60]!r} is no period; use {_EXPECTED}.") from None

    # --- how they are made ------------------------------------------------------------------------------------------

    def _named(self, text: str, now_ns: int) -> Period | None:
        if text == "today":
            return self.around(now_ns, "day")
        if text == "yesterday":
            return self.around(self.around(now_ns, "day").since_ns - 1, "day")
        which, _, unit = text.partition("-")
        if which in ("this", "last") and unit in ("hour", "day", "week", "month"):
            this = self.around(now_ns, cast("Length", unit))
            return this if which == "this" else self.around(this.since_ns - 1, cast("Length", unit))
        found = _LAST.fullmatch(text)
        if found and int(found[1]):
            return self.last(int(found[1]), _LAST_UNITS[found[2]], now_ns)
        return None

    def _written(self, text: str) -> Period:
        since, separator, until = text.partition("..")
        if separator:
            since_ns, until_ns = self._border(since), self._border(until)
            is_days = all(re.fullmatch(r"\d{4}-\d\d-\d\d", part.strip()) for part in (since, until))
            return Period(since_ns, until_ns, "day" if is_days else "span", text)
        if re.fullmatch(r"\d{4}-\d\d", text):
            return self.month(int(text[:4]), int(text[5:]))
        return self.day(date.fromisoformat(text))

    def _border(self, text: str) -> int:
        moment = datetime.fromisoformat(text.strip())
        return ns_of(moment if moment.tzinfo is not None else moment.replace(tzinfo=self.zone))

    def _of_days(self, first: date, unit: Length) -> Period:
        next_first = _NEXT[unit](first)
        label = first.strftime("%Y-%m") if unit == "month" else first.isoformat()
        since_ns, until_ns = self._midnight(first), self._midnight(next_first)
        if until_ns <= 0:
            raise SetupError(f"{label} is before 1970 in UTC, from which time is counted.")
        if since_ns >= until_ns:
            raise SetupError(f"{label} does not exist in {self.time_zone}: its clock went past it.")
        return Period(max(0, since_ns), until_ns, unit, label)

    def _hour(self, time_ns: int) -> Period:
        local = datetime.fromtimestamp(time_ns // 1_000_000_000, self.zone)
        # Of the offset that holds: a zone may be half an hour off, and an hour on the wall may come twice.
        offset_ns = ((local.utcoffset() or timedelta()) // timedelta(microseconds=1)) * 1000
        since_ns = (time_ns + offset_ns) // _HOUR_NS * _HOUR_NS - offset_ns
        return Period(max(0, since_ns), since_ns + _HOUR_NS, "hour", local.strftime("%Y-%m-%dT%H:00%z"))

    def _midnight(self, day: date) -> int:
        # Where the clock is set forward at midnight, fold=0 is the moment of the jump: the day's first.
        return ns_of(datetime.combine(day, time(), self.zone))

    def _label(self, since_ns: int, until_ns: int) -> str:
        days = [
            datetime.fromtimestamp(at // 1_000_000_000, self.zone).isoformat(timespec="minutes")
            for at in (since_ns, until_ns)
        ]
        return "..".join(day.partition("T")[0] if "T00:00" in day else day for day in days)


def ns_of(moment: datetime) -> int:
    """Nanoseconds since the epoch, by integers: a double has fewer digits."""
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def _zone(name: object) -> tzinfo:
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(cast("str", name))
    except (ValueError, OSError, KeyError, TypeError, AttributeError):
        raise SetupError(
            f"{str(name)[:80]!r} is no time zone that is known here; pass one such as 'Europe/Berlin'"
            " (pip install tzdata brings them all)."
        ) from None


def _start(day: date, unit: Length, week_start: str) -> date:
    if unit == "week":
        return day - timedelta(days=(day.weekday() - _WEEKDAYS.index(week_start)) % 7)
    return day.replace(day=1) if unit == "month" else day


_NEXT: Final[Mapping[str, Callable[[date], date]]] = {
    "day": lambda day: day + timedelta(days=1),
    "week": lambda day: day + timedelta(days=7),
    "month": lambda day: (day + timedelta(days=31)).replace(day=1),
}
