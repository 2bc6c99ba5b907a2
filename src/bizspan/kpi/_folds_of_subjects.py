"""
What becomes of subjects over time: conversion and retention, as in their SQL, with dictionaries.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import compress, islice, pairwise
from operator import ge
from typing import Any

from bizspan.kpi._fold import Read, Row
from bizspan.kpi._folds import Key, bounded, in_order, key_of, marks_of

Ids = Callable[[], Sequence[int]]  # of the rows: seldom needed, and so only then read


@dataclass(frozen=True, slots=True)
class Steps:
    """
    What is asked of a conversion.

    Args:
        last: How many steps there are.
        window_ns: How long they may take.
        until_ns: Entries are before it.
        as_of_ns: The time.
    """

    last: int
    window_ns: int
    until_ns: int
    as_of_ns: int


class _Conversion:
    """
    How far subjects came: subject, time, step (0 for none), row, then the groups.

    Args:
        steps: What is asked.
        has_groups: Whether there are any.
    """

    def __init__(self, steps: Steps, *, has_groups: bool) -> None:
        self._steps = steps
        self._has_groups = has_groups
        self._counts: dict[Key, list[int]] = {}

    def _end(self, key: Key, reached: Sequence[int | None]) -> None:
        """An attempt is over: when it came to each step."""
        asked, entered = self._steps, reached[0]
        if entered is None or entered >= asked.until_ns:
            return
        counts = self._counts.setdefault(key, [0] * (asked.last + 1))
        end = entered + asked.window_ns
        for step, at in enumerate(reached):
            if at is None or at > end:
                counts[-1] += end >= asked.as_of_ns
                break
            counts[step] += 1

    def _rows(self) -> list[Row]:
        if not self._counts and not self._has_groups:
            return [(None,) * (self._steps.last + 1)]
        return [(*key, *self._counts[key]) for key in in_order(self._counts)]


def _are_in_turn(times: Sequence[str]) -> bool:
    """Whether each moment is later than the one before it: texts of one length are compared as they are."""
    is_later = not any(map(ge, times, islice(times, 1, None)))
    return is_later and len({*map(len, times)}) == 1


def _in_turn(
    subjects: Sequence[str], times: Sequence[str], steps: bytes, ids: Ids, groups: Sequence[Sequence[Any]]
) -> tuple[Sequence[str], Sequence[str], bytes, Sequence[Any]]:
    """
    Subjects, times, steps, and marks of groups, by time.

    At one moment an entry comes first, and of several, that of the first row.
    """
    marks: Sequence[Any] = marks_of(groups) if groups else [()] * len(times)
    if _are_in_turn(times):
        return subjects, times, steps, marks
    moments = [*map(int, times)]
    places = sorted(range(len(times)), key=[*zip(moments, steps, strict=True)].__getitem__)
    if _is_entered_twice(subjects, times, steps, marks):
        places = sorted(range(len(times)), key=[*zip(moments, steps, ids(), strict=True)].__getitem__)
    return (
        [subjects[place] for place in places],
        [times[place] for place in places],
        bytes(steps[place] for place in places),
        [marks[place] for place in places],
    )


def _is_entered_twice(subjects: Sequence[str], times: Sequence[str], steps: bytes, marks: Sequence[Any]) -> bool:
    """Whether somebody entered twice at one moment, in different groups."""
    is_it = _is(1, steps)
    entries = {*compress(zip(subjects, times, marks, strict=True), is_it)}
    return len(entries) > len({*compress(zip(subjects, times, strict=True), is_it)})


def _is(step: int, steps: bytes) -> bytes:
    """1 where it is this step, else 0."""
    return steps.translate(bytes(number == step for number in range(256)))


class FirstConversion(_Conversion):
    """As `_Conversion`, of the first entry of each subject."""

    def __init__(self, steps: Steps, *, has_groups: bool) -> None:
        super().__init__(steps, has_groups=has_groups)
        # When, and the mark of its groups: apart, so that the collector of garbage has nothing to look at.
        self._entered: dict[str, int] = {}
        self._marks: dict[str, Any] = {}
        self._later: list[dict[str, int]] = [{} for _ in range(1, steps.last)]
        # Of each later step, who came to the one before it and not to this one, and when.
        self._waiting: list[dict[str, int]] = [{} for _ in range(1, steps.last)]

    def add(
        self, subjects: Sequence[str], times: Sequence[str], steps: bytes, ids: Ids, *groups: Sequence[Any]
    ) -> None:  # fmt: skip
        """Take in some events."""
        subjects, times, steps, marks = _in_turn(subjects, times, steps, ids, groups)
        # Most subjects are known and most later steps are over: what changes nothing is passed over without a loop.
        self._enter(subjects, times, steps, marks)
        for step, reached in enumerate(self._later, 2):
            waiting = self._waiting[step - 2]
            since = waiting.get
            is_it = _is(step, steps)
            came = [*compress(subjects, is_it)]
            read = zip(came, compress(times, is_it), strict=True)
            for subject, told in compress(read, [*map(waiting.__contains__, came)]):
                began, time = since(subject), int(told)
                if began is not None and began <= time:
                    reached[subject] = time
                    del waiting[subject]
                    if step < self._steps.last:
                        self._waiting[step - 1][subject] = time
        bounded(len(self._entered))

    def _enter(self, subjects: Sequence[str], times: Sequence[str], steps: bytes, marks: Sequence[Any]) -> None:
        """Those whose first step it is entered; the first time counts."""
        entered, waiting = self._entered, self._waiting[0]
        known, is_it = len(entered), _is(1, steps)
        deque(map(entered.setdefault, compress(subjects, is_it), compress(range(len(times)), is_it)), 0)
        for subject in [*islice(reversed(entered), len(entered) - known)][::-1]:
            place = entered[subject]
            entered[subject] = waiting[subject] = int(times[place])
            self._marks[subject] = marks[place]

    def rows(self, read: Read) -> list[Row]:
        """By group of the entry: how many reached each step, and how many still have time."""
        asked, of_mark = self._steps, dict[Any, list[int]]()
        later = [reached.get for reached in self._later]
        for (subject, entered), mark in zip(self._entered.items(), self._marks.values(), strict=True):
            if entered >= asked.until_ns:
                continue
            counts = of_mark.get(mark)
            if counts is None:
                counts = of_mark[mark] = self._counts.setdefault(key_of(mark), [0] * (asked.last + 1))
            counts[0] += 1
            end = entered + asked.window_ns
            for step, reached in enumerate(later, 1):
                at = reached(subject)
                if at is None or at > end:
                    counts[-1] += end >= asked.as_of_ns
                    break
                counts[step] += 1
        return self._rows()


class EachConversion(_Conversion):
    """As `_Conversion`, of each entry: what comes after it belongs to it, until the next one."""

    def __init__(self, steps: Steps, *, has_groups: bool) -> None:
        super().__init__(steps, has_groups=has_groups)
        self._open: dict[str, tuple[Key, list[int | None]]] = {}

    def add(
        self, subjects: Sequence[str], times: Sequence[str], steps: bytes, ids: Ids, *groups: Sequence[Any]
    ) -> None:  # fmt: skip
        """Take in some events."""
        subjects, times, steps, marks = _in_turn(subjects, times, steps, ids, groups)
        attempts, later = self._open, [None] * (self._steps.last - 1)
        known = attempts.get
        for time, step, subject, mark in zip(map(int, times), steps, subjects, marks, strict=True):
            attempt = known(subject)
            if step == 1:
                if attempt is not None:
                    self._end(*attempt)
                attempts[subject] = key_of(mark), [time, *later]
            elif step and attempt is not None and attempt[1][step - 1] is None and attempt[1][step - 2] is not None:
                attempt[1][step - 1] = time
        bounded(len(attempts))

    def rows(self, read: Read) -> list[Row]:
        """By group of the entry: how many reached each step, and how many still have time."""
        for attempt in self._open.values():
            self._end(*attempt)
        self._open.clear()
        return self._rows()


class Retention:
    """
    Who came back when: subject, time, whether it is a first one, whether it is coming back.

    Args:
        boundaries: Of the periods.
        cohorts: How many of them are cohorts.
        periods: How many are looked at of each.
    """

    def __init__(self, boundaries: Sequence[int], cohorts: int, periods: int) -> None:
        self._boundaries = boundaries
        self._cohorts = cohorts
        self._periods = periods
        self._seen: dict[str, list[int]] = {}  # the cohort, and a bit for each age

    def add(self, subjects: Sequence[str], times: Sequence[int], first: bytes, back: bytes) -> None:
        """Take in some events."""
        rows: Iterable[Any] = zip(times, first, back, subjects, strict=True)
        if any(time < before for before, time in pairwise(times)):
            rows = sorted(rows)
        seen, boundaries = self._seen, self._boundaries
        index, end = -1, boundaries[0]
        for time, is_first, is_back, subject in rows:
            if time >= end:
                index = bisect_right(boundaries, time) - 1
                end = boundaries[index + 1] if index + 1 < len(boundaries) else 1 << 63
            told = seen.get(subject)
            if told is None:
                if is_first:
                    seen[subject] = [index, 1]
            elif is_back:
                told[1] |= 1 << (index - told[0])
        bounded(len(seen))

    def rows(self, read: Read) -> list[Row]:
        """By cohort and age."""
        counts: defaultdict[tuple[int, int], int] = defaultdict(int)
        for cohort, ages in self._seen.values():
            if 0 <= cohort < self._cohorts:
                for age in range(self._periods + 1):
                    counts[cohort, age] += ages >> age & 1
        return [(*key, counts[key]) for key in sorted(counts) if counts[key]]
