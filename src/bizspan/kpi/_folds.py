"""
What becomes of the columns that a statement reads, by kind: the same as in its SQL, with dictionaries.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress, pairwise, repeat
from typing import Any, Final

from bizspan.kpi._fold import KEYS_MOST, CantFold, Read, Row

Key = tuple[Any, ...]
_MILLION: Final = 1_000_000
_BITS_MOST: Final = 512
PLACES: Final = 1_000_000_000  # quantiles are looked for by billionths first


def in_order(keys: Iterable[Key]) -> list[Key]:
    """As SQLite gives groups: what was not told comes first."""
    return sorted(keys, key=lambda key: [(value is not None, value or "") for value in key])


def _keys(groups: Sequence[Sequence[Any]], count: int) -> Iterable[Key]:
    return zip(*groups, strict=True) if groups else repeat((), count)


def _marks(groups: Sequence[Sequence[Any]]) -> Sequence[Any]:
    """What tells groups apart: the value itself, where there is one fact, is hashed faster than a tuple."""
    return groups[0] if len(groups) == 1 else list(zip(*groups, strict=True))


def _key(mark: Any) -> Key:
    key: Key = mark if isinstance(mark, tuple) else (mark,)
    return key


def _bounded(number: int) -> None:
    if number > KEYS_MOST:
        raise CantFold


class Distinct:
    """
    Different subjects: the subject, then the groups.

    Args:
        has_groups: Whether there are any.
    """

    def __init__(self, *, has_groups: bool) -> None:
        self._has_groups = has_groups
        self._all: set[str] = set()
        # One bit for each group: a set for each would look every subject up twice.
        self._bits: dict[Any, int] = {}
        self._groups: dict[str, int] = {}

    def add(self, subjects: Sequence[str], *groups: Sequence[Any]) -> None:
        """Take in some events."""
        if not self._has_groups:
            self._all.update(subjects)
            return _bounded(len(self._all))
        marks = _marks(groups)
        bits, seen = self._bits, self._groups
        for mark in {*marks} - bits.keys():
            bits[mark] = 1 << len(bits)
        seen_before = seen.get
        for subject, bit in zip(subjects, map(bits.__getitem__, marks), strict=True):
            seen[subject] = seen_before(subject, 0) | bit
        return _bounded(len(seen) * (1 + len(bits) // _BITS_MOST))

    def total(self) -> list[Row]:
        """Of all groups together."""
        return [(len(self._groups),) * 2]

    def rows(self, read: Read) -> list[Row]:
        """By group, twice."""
        if not self._has_groups:
            return [(len(self._all),) * 2]
        counts = Counter(self._groups.values())
        found: dict[Key, int] = {}
        for mark, bit in self._bits.items():
            found[_key(mark)] = sum(number for told, number in counts.items() if told & bit)
        return [(*key, found[key], found[key]) for key in in_order(found)]


class Orders:
    """Amounts, and of how many orders: the minor units, the order, the currency, then the groups."""

    def __init__(self) -> None:
        self._totals: defaultdict[Key, int] = defaultdict(int)
        self._orders: defaultdict[Key, set[str]] = defaultdict(set)
        self._without: defaultdict[Key, int] = defaultdict(int)

    def add(self, minor: Sequence[int], orders: Sequence[str | None], *keys: Sequence[Any]) -> None:
        """Take in some events."""
        totals, by = self._totals, self._orders
        for key, units, order in zip(_keys(keys, len(minor)), minor, orders, strict=True):
            totals[key] += units
            if order is None:
                self._without[key] += 1
            else:
                by[key].add(order)
        _bounded(sum(map(len, by.values())))

    def rows(self, read: Read) -> list[Row]:
        """By currency and group: the sum, and the orders; what tells none is one of its own."""
        return [
            (*key, self._totals[key], len(self._orders[key]) + self._without[key]) for key in in_order(self._totals)
        ]


class Quantile:
    """
    The value at a rank: the value in billionths, then the groups.

    Args:
        value: The exact one, in SQL.
        billionths: What is read of it, in SQL.
        groups: In SQL.
        per_million: The part that lies below.
    """

    def __init__(self, value: str, billionths: str, groups: Sequence[str], per_million: int) -> None:
        self._value = value
        self._billionths = billionths
        self._groups = groups
        self._per_million = per_million
        self._by: defaultdict[Key, list[int]] = defaultdict(list)

    def add(self, billionths: Sequence[int], *groups: Sequence[Any]) -> None:
        """Take in some events."""
        if not groups:
            self._by[()].extend(billionths)
            return
        by = self._by
        for key, value in zip(_keys(groups, len(billionths)), billionths, strict=True):
            by[key].append(value)

    def rows(self, read: Read) -> list[Row]:
        """By group: the value, and of how many it is."""
        wanted: dict[Key, tuple[int, int, int]] = {}
        for key, values in self._by.items():
            values.sort()
            rank = (len(values) * self._per_million + _MILLION - 1) // _MILLION
            value = values[rank - 1]
            wanted[key] = value, rank - bisect_left(values, value), len(values)
        if not wanted:
            return []
        # Of those that are equal in billionths, the exact ones.
        near = ", ".join(str(each) for each in sorted({each for each, _, _ in wanted.values()}))
        keys = ", ".join((*self._groups, self._value))
        numbers = ", ".join(str(number) for number in range(1, len(self._groups) + 2))
        close: defaultdict[Key, list[tuple[float, int]]] = defaultdict(list)
        for row in read(
            f"{keys}, count(*)", f"AND {self._billionths} IN ({near}) GROUP BY {numbers} ORDER BY {self._value}"
        ):
            close[row[:-2]].append(row[-2:])
        return [(*key, self._exact(close[key], *wanted[key][:2]), wanted[key][2]) for key in in_order(wanted)]

    @staticmethod
    def _exact(values: Sequence[tuple[float, int]], near: int, rank: int) -> float:
        for value, count in values:
            if int(value * PLACES) == near:
                rank -= count
                if rank <= 0:
                    return value
        raise CantFold


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
        columns: list[Sequence[Any]] = [subjects, times, _marks(groups) if groups else [()] * len(times)]
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
        _bounded(len(self._entered))

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
            self._end(_key(mark), [time, *(reached.get(subject) for reached in self._later)])
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
        rows: Iterable[Any] = zip(times, steps, subjects, _keys(groups, len(times)), strict=False)
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
        _bounded(len(attempts))

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
        _bounded(len(seen))

    def rows(self, read: Read) -> list[Row]:
        """By cohort and age."""
        counts: defaultdict[tuple[int, int], int] = defaultdict(int)
        for cohort, ages in self._seen.values():
            if 0 <= cohort < self._cohorts:
                for age in range(self._periods + 1):
                    counts[cohort, age] += ages >> age & 1
        return [(*key, counts[key]) for key in sorted(counts) if counts[key]]


class _Dated:
    """
    Records with the time at which their order was sold first: the order, the time, whether it is a sale, whether it
    is one of the records, then what is told of the record.
    """

    def __init__(self) -> None:
        self._sold: dict[str, int] = {}
        self._told: list[tuple[str | None, int, tuple[Any, ...]]] = []

    def add(
        self, orders: Sequence[str], times: Sequence[int], sales: Sequence[int], fits: Sequence[int],
        *rest: Sequence[Any],
    ) -> None:  # fmt: skip
        """Take in some events."""
        sold = self._sold
        for order, time in compress(zip(orders, times, strict=True), sales):
            if sold.setdefault(order, time) > time:
                sold[order] = time
        records = zip(*rest, strict=True) if rest else repeat((), len(times))
        self._told += compress(zip(orders, times, records, strict=True), fits)
        _bounded(len(sold) + len(self._told))

    def dated(self) -> Iterable[tuple[int | None, int, tuple[Any, ...]]]:
        """When it was sold, when it happened, and what is told."""
        sold = self._sold
        return ((sold.get(order) if order is not None else None, time, record) for order, time, record in self._told)


class DatedSums(_Dated):
    """
    Amounts by the date of their order; of each, the minor units, the currency, then the groups.

    Args:
        since_ns: From when on orders were sold.
        until_ns: Before when.
    """

    def __init__(self, since_ns: int, until_ns: int) -> None:
        super().__init__()
        self._since_ns, self._until_ns = since_ns, until_ns

    def rows(self, read: Read) -> list[Row]:
        """By currency and group: the sum, and of how many."""
        found: dict[Key, list[int]] = {}
        for sold, _, (minor, *key) in self.dated():
            if sold is not None and self._since_ns <= sold < self._until_ns:
                total = found.setdefault(tuple(key), [0, 0])
                total[0] += minor
                total[1] += 1
        return [(*key, *found[key]) for key in in_order(found)]


class DatedAccounts(_Dated):
    """
    What is said beside such amounts; of each, whether it is shown, then what else may be true of it.

    Args:
        since_ns: From when on orders were sold.
        until_ns: Before when.
        told: Which of the further numbers are among what is read.
    """

    def __init__(self, since_ns: int, until_ns: int, told: Sequence[bool]) -> None:
        super().__init__()
        self._since_ns, self._until_ns = since_ns, until_ns
        self._is_told = told

    def rows(self, read: Read) -> list[Row]:
        """How many are shown and hidden, each further number, and how many orders are unknown."""
        if not self._told:
            return [(None, None, *(None if told else 0 for told in self._is_told), None)]
        shown_inside = inside = unknown = 0
        further = [0] * sum(self._is_told)
        for sold, time, (shown, *rest) in self.dated():
            if sold is None:
                unknown += shown and self._since_ns <= time < self._until_ns
            elif self._since_ns <= sold < self._until_ns:
                inside += 1
                shown_inside += shown
                if shown:
                    further = [number + each for number, each in zip(further, rest, strict=True)]
        numbers = iter(further)
        return [
            (shown_inside, inside - shown_inside, *(next(numbers) if told else 0 for told in self._is_told), unknown)
        ]
