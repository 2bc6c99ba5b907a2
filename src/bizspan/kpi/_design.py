"""
Which records are compared with which: two values of a fact over the same minutes, or before and after a moment.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from bizspan import names
from bizspan.errors import SetupError
from bizspan.kpi._calendar import Calendar, Period, ns_of
from bizspan.kpi._definition import records_of
from bizspan.kpi._kpi import KPI
from bizspan.kpi._sequential import LEAST_OF, NOT_APART, Apart, Measure, Stratum, Sums, between_blocks, merged

_WEEK: Final = timedelta(days=7)
_SECOND_NS: Final = 1_000_000_000
_MOST_WEEKS: Final = 52
_MOST_LEFT_OUT: Final = 12
# Minutes in which an arm has too few units are put together with those that follow, up to an hour.
_MOST_MINUTES: Final = 60


class Marked(Protocol):
    """A time that is like no other, such as a `bizspan.lens.Mark`: from one moment, before another."""

    @property
    def label(self) -> str:
        """What people call it."""
        ...

    @property
    def since_ns(self) -> int:
        """Its start, in nanoseconds since the epoch."""
        ...

    @property
    def until_ns(self) -> int:
        """Its end."""
        ...


class Placed(Marked, Protocol):
    """A mark that may be of one country, such as a `bizspan.lens.Mark`."""

    @property
    def country(self) -> str:
        """A code of ISO 3166; empty for everywhere."""
        ...


@dataclass(frozen=True, slots=True)
class LeftOut:
    """
    A time that is not compared with, because it is marked.

    Args:
        period: Which one.
        labels: What it is marked with.
    """

    period: Period
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """
    The units of one arm that came first in one minute.

    Args:
        arm: The value of the fact; of before and after, which of the two.
        window: Which of the windows.
        minute: Since the epoch.
        sums: Of its units.
    """

    arm: str
    window: int
    minute: int
    sums: Sums


@dataclass(frozen=True, slots=True)
class Design:
    """
    What is compared.

    Args:
        baseline: The name of the arm that is known.
        candidate: The name of the arm that is new.
        windows: What is read: periods, each with its arm; empty where the fact tells it.
        by: The fact that tells the arm; empty for before and after.
        calendar: Whose weekdays and hours are matched.
        left_out: Times before that are marked; those before them stand in.
    """

    baseline: str
    candidate: str
    windows: tuple[tuple[str, Period], ...]
    by: str
    calendar: Calendar
    left_out: tuple[LeftOut, ...] = ()

    @property
    def is_concurrent(self) -> bool:
        """Whether both arms ran at the same time."""
        return bool(self.by)

    def strata(self, cells: Iterable[Cell], measure: Measure) -> tuple[list[Stratum], Apart]:
        """
        What is compared with each other, and how much weeks differ on their own.

        Args:
            cells: What was read.
            measure: Of the KPI.
        """
        return self._minutes(cells, measure) if self.is_concurrent else self._hours(cells)

    def _minutes(self, cells: Iterable[Cell], measure: Measure) -> tuple[list[Stratum], Apart]:
        found: dict[int, dict[str, Sums]] = {}
        for cell in cells:
            arms = found.setdefault(cell.minute, {})
            arms[cell.arm] = arms.get(cell.arm, Sums()) + cell.sums
        strata = [
            Stratum(arms.get(self.baseline, Sums()), arms.get(self.candidate, Sums()), minute, minute + 1)
            for minute, arms in sorted(found.items())
        ]
        return merged(strata, LEAST_OF[measure], _MOST_MINUTES), NOT_APART

    def _hours(self, cells: Iterable[Cell]) -> tuple[list[Stratum], Apart]:
        blocks: dict[tuple[int, int], dict[str, dict[int, Sums]]] = {}
        weeks: dict[int, Sums] = {}
        for cell in cells:
            local = datetime.fromtimestamp(cell.minute * 60, self.calendar.zone)
            arm = blocks.setdefault((local.weekday(), local.hour), {}).setdefault(cell.arm, {})
            block = cell.minute // 60
            arm[block] = arm.get(block, Sums()) + cell.sums
            if cell.arm == self.baseline:
                weeks[cell.window] = weeks.get(cell.window, Sums()) + cell.sums
        strata: list[Stratum] = []
        for hour in blocks.values():
            before, after = (hour.get(arm, {}).values() for arm in (self.baseline, self.candidate))
            many = max(1, len(before)), max(1, len(after))
            strata.append(Stratum(sum(before, Sums()), sum(after, Sums()), blocks=many))
        alike = [list(hour[self.baseline].values()) for hour in blocks.values() if self.baseline in hour]
        return strata, Apart(between_blocks(alike), between_blocks([list(weeks.values())]), max(1, len(weeks)))


def concurrent(by: str, baseline: str, candidate: str, period: Period, calendar: Calendar) -> Design:
    """
    Two values of a fact, over the same minutes.

    Args:
        by: The fact: ``version``, or ``variant`` of a feature flag.
        baseline: Its value in what is known.
        candidate: Its value in what is new.
        period: Of which time.
        calendar: Whose.

    Raises:
        SetupError: Both are one, or one is empty.
    """
    if not baseline or not candidate or baseline == candidate:
        raise SetupError("a baseline and a candidate are two different values, such as 1.4 and 1.5.")
    return Design(baseline, candidate, (("", period),), by, calendar)


def before_after(at_ns: int, until_ns: int, weeks: int, calendar: Calendar, marked: Iterable[Marked] = ()) -> Design:
    """
    The time after a moment, and the same weekdays and hours of the weeks before it.

    Args:
        at_ns: The moment.
        until_ns: The end of what comes after.
        weeks: How many times the time before is taken.
        calendar: Whose weekdays and hours.
        marked: A time before with one of these in it is left out, and the one before it stands in: at most 12.

    Raises:
        SetupError: The moment lies ahead, the weeks are none, or all that are looked at are marked.
    """
    if not 0 < weeks <= _MOST_WEEKS:
        raise SetupError(f"weeks is a whole number from 1 to {_MOST_WEEKS}.")
    since, until = at_ns // _SECOND_NS, until_ns // _SECOND_NS
    if until - since < 60:
        raise SetupError("the moment is less than a minute ago, so that nothing came after it yet.")
    known = list(marked)
    before: list[Period] = []
    left_out: list[LeftOut] = []
    for back in range(1, weeks + _MOST_LEFT_OUT + 1):
        earlier = _earlier(since, until, back, calendar)
        labels = [each.label for each in known if overlap(each, earlier)]
        if labels:
            left_out.append(LeftOut(earlier, tuple(dict.fromkeys(labels))))
        else:
            before.append(earlier)
        if len(before) == weeks or len(left_out) > _MOST_LEFT_OUT:
            break
    if not before:
        raise SetupError(
            f"each of the last {len(left_out)} times before has a mark in it, so there is none to compare."
        )
    after = Period(since * _SECOND_NS, until * _SECOND_NS)
    windows = (("after", after), *(("before", each) for each in before))
    return Design("before", "after", windows, "", calendar, tuple(left_out))


def _earlier(since: int, until: int, back: int, calendar: Calendar) -> Period:
    """On the clock of the wall: a week with a change of the clock has an hour more or less."""
    # Of more than a week, as many weeks further back as it takes not to meet itself.
    apart = -(-(until - since) // round(_WEEK.total_seconds())) * _WEEK
    first, last = (datetime.fromtimestamp(at, calendar.zone) for at in (since, until))
    return Period(max(0, ns_of(first - back * apart)), max(1, ns_of(last - back * apart)))


def overlap(marked: Marked, period: Period) -> bool:
    """Whether some of the period is marked."""
    return marked.since_ns < period.until_ns and marked.until_ns > period.since_ns


def countries_of(kpi: KPI) -> tuple[str, ...]:
    """The countries that a KPI is about; none where it is about all of them."""
    found: list[str] = []
    for records in records_of(kpi.of):
        told = [each for each in records.where if each.fact in ("country", names.COUNTRY) and not each.is_not]
        if not told:
            return ()
        found += (str(value).upper() for each in told for value in each.values)
    return tuple(dict.fromkeys(found))


def marks_of(kpi: KPI, marks: Iterable[Placed]) -> list[Placed]:
    """The marks that a KPI has to do with: where it is about countries, not those of others."""
    countries = countries_of(kpi)
    return [each for each in marks if not (each.country and countries) or each.country in countries]
