"""
What becomes of subjects over time: conversion and retention, as in their SQL, with dictionaries.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress, pairwise
from typing import Any

from bizspan.kpi._fold import Read, Row
from bizspan.kpi._folds import Key, bounded, in_order, key_of, keys_of, marks_of


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
    How far subjects came: subject, time, step, row, then the groups.

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


class FirstConversion(_Conversion):
    """As `_Conversion`, of the first entry of each subject."""

    def __init__(self, steps: Steps, *, has_groups: bool) -> None:
        super().__init__(steps, has_groups=has_groups)
        self._entered: dict[str, tuple[int, Any]] = {}  # and the mark of its groups
        self._later: list[dict[str, int]] = [{} for _ in range(1, steps.last)]

    def add(
        self, subjects: Sequence[str], times: Sequence[int], steps: Sequence[int], ids: Sequence[str],
        *groups: Sequence[Any],
    ) -> None:  # fmt: skip
        """Take in some events."""
        is_entry = [step == 1 for step in steps]
        columns: list[Sequence[Any]] = [subjects, times, marks_of(groups) if groups else [()] * len(times)]
        entries: Iterable[Any] = zip(*(compress(column, is_entry) for column in columns), strict=True)
        if groups and len(set(times)) < len(times):
            # Of several entries at one moment, that of the first row: it tells the group.
            numbers = map(int, compress(ids, is_entry))
            told = sorted(zip(entries, numbers, strict=True), key=lambda each: (each[0][1], each[1]))
            entries = (entry for entry, _ in told)
        entered = self._entered
        for subject, time, mark in entries:
            if subject not in entered:
                entered[subject] = time, mark
        before: Mapping[str, int] | None = None
        for step, reached in enumerate(self._later, 2):
            self._add_later(reached, before, compress(zip(subjects, times, strict=True), map(step.__eq__, steps)))
            before = reached
        bounded(len(self._entered))

    def _add_later(
        self, reached: dict[str, int], before: Mapping[str, int] | None, rows: Iterable[tuple[str, int]]
    ) -> None:  # fmt: skip
        """Who reached a step when for the first time, not before the step before it; None: before the entry."""
        if before is not None:
            for subject, time in rows:
                if subject in before and subject not in reached and before[subject] <= time:
                    reached[subject] = time
            return
        entered = self._entered.get
        for subject, time in rows:
            entry = entered(subject)
            if entry is not None and subject not in reached and entry[0] <= time:
                reached[subject] = time

    def rows(self, read: Read) -> list[Row]:
        """By group of the entry: how many reached each step, and how many still have time."""
        for subject, (time, mark) in self._entered.items():
            self._end(key_of(mark), [time, *(reached.get(subject) for reached in self._later)])
        return self._rows()


class EachConversion(_Conversion):
    """As `_Conversion`, of each entry: what comes after it belongs to it, until the next one."""

    def __init__(self, steps: Steps, *, has_groups: bool) -> None:
        super().__init__(steps, has_groups=has_groups)
        self._open: dict[str, tuple[Key, list[int | None]]] = {}

    def add(
        self, subjects: Sequence[str], times: Sequence[int], steps: Sequence[int], ids: Sequence[str],
        *groups: Sequence[Any],
    ) -> None:  # fmt: skip
        """Take in some events."""
        rows: Iterable[Any] = zip(times, steps, subjects, keys_of(groups, len(times)), strict=False)
        if len(set(times)) < len(times):
            # At one moment an entry comes first; of several, that of the first row.
            every = list(rows)
            places = sorted(range(len(every)), key=lambda place: (times[place], steps[place], int(ids[place])))
            rows = [every[place] for place in places]
        attempts, later = self._open, [None] * (self._steps.last - 1)
        known = attempts.get
        for time, step, subject, key in rows:
            attempt = known(subject)
            if step == 1:
                if attempt is not None:
                    self._end(*attempt)
                attempts[subject] = key, [time, *later]
            elif attempt is not None and attempt[1][step - 1] is None and attempt[1][step - 2] is not None:
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

    def add(self, subjects: Sequence[str], times: Sequence[int], first: Sequence[int], back: Sequence[int]) -> None:
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
