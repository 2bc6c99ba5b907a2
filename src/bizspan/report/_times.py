"""
Times as they are typed: periods, days and moments, of the calendar's zone.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from bizspan.errors import SetupError

if TYPE_CHECKING:
    from bizspan.kpi import Calendar, Period

_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_MONTH: Final = re.compile(r"\d{4}-\d\d", re.ASCII)


def is_day(text: str) -> bool:
    """Whether it is a day, and no moment."""
    return _DAY.fullmatch(text.strip()) is not None


def moment_of(text: str, calendar: Calendar, *, is_end: bool = False) -> int:
    """
    A day's start, or a moment, in nanoseconds since the epoch.

    Args:
        text: ``2026-03-01``, or ``2026-03-01T20:15``; of the calendar's zone where it has no offset.
        calendar: Whose days.
        is_end: Of a day, its end.

    Raises:
        SetupError: It is neither.
    """
    from bizspan.kpi._calendar import ns_of

    try:
        moment = datetime.fromisoformat(text.strip())
        if is_end and is_day(text):
            moment += timedelta(days=1)
        found = ns_of(moment if moment.tzinfo is not None else moment.replace(tzinfo=calendar.zone))
    except (ValueError, OverflowError):
        raise SetupError(f"{text[:60]!r} is no day or moment such as 2026-03-01 or 2026-03-01T20:15.") from None
    if found < 0:
        raise SetupError(f"{text[:60]!r} is before 1970 in UTC, from which time is counted.")
    if found >= 2**63:
        raise SetupError(f"{text[:60]!r} is no day or moment such as 2026-03-01 or 2026-03-01T20:15.")
    return found


def period_of(since: str, until: str, calendar: Calendar, now_ns: int) -> Period:
    """
    The period of ``--since`` and ``--until``.

    Args:
        since: What `Calendar.read` takes; a day or a moment alone is where it starts.
        until: A day or a moment before which it ends; empty for now, or the end of what `since` names.
        calendar: Whose days.
        now_ns: What is now.

    Raises:
        SetupError: One is no time, it ends before it starts, or it has not begun.
    """
    return calendar.begun(_period(since, until, calendar, now_ns), now_ns)


def _period(since: str, until: str, calendar: Calendar, now_ns: int) -> Period:
    from bizspan.kpi import Period

    end_ns = moment_of(until, calendar) if until else 0
    if _is_moment(since):
        start_ns = moment_of(since, calendar)
        are_days = is_day(since) and (not until or is_day(until))
        if not until:
            end_ns = max(calendar.around(now_ns, "day").until_ns if are_days else now_ns, start_ns + 1)
        return Period(start_ns, end_ns, "day" if are_days else "span", f"{since.strip()}..{until.strip()}")
    if not until:
        return calendar.read(since, now_ns)
    named = calendar.read(since, max(0, end_ns - 1))
    label = f"{named.label} until {until.strip()}" if end_ns < named.until_ns else named.label
    return Period(named.since_ns, min(named.until_ns, end_ns), named.unit, label)


def _is_moment(text: str) -> bool:
    if ".." in text or _MONTH.fullmatch(text.strip()):
        return False
    try:
        datetime.fromisoformat(text.strip())
    except ValueError:
        return False
    return True
