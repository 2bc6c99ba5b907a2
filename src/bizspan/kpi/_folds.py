"""
What becomes of the columns that a statement reads, by kind: the same as in its SQL, with dictionaries.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, repeat
from typing import Any, Final, cast

from bizspan.kpi._fold import KEYS_MOST, Read, Row
from bizspan.kpi._slices import CantFold

Key = tuple[Any, ...]
_MILLION: Final = 1_000_000
_BITS_MOST: Final = 512
PLACES: Final = 1_000_000_000  # quantiles are looked for by billionths first


def in_order(keys: Iterable[Key]) -> list[Key]:
    """As SQLite gives groups: what was not told comes first."""
    return sorted(keys, key=lambda key: [(value is not None, value or "") for value in key])


def keys_of(groups: Sequence[Sequence[Any]], count: int) -> Iterable[Key]:
    """The groups of each event."""
    return zip(*groups, strict=True) if groups else repeat((), count)


def marks_of(groups: Sequence[Sequence[Any]]) -> Sequence[Any]:
    """What tells groups apart: the value itself, where there is one fact, is hashed faster than a tuple."""
    return groups[0] if len(groups) == 1 else list(zip(*groups, strict=True))


def key_of(mark: Any) -> Key:
    """The groups that a mark stands for."""
    return cast("Key", mark) if isinstance(mark, tuple) else (mark,)  # type: ignore[redundant-cast]


def bounded(number: int) -> None:
    """
    See that not too much is kept.

    Raises:
        CantFold: It is too much.
    """
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
            return bounded(len(self._all))
        marks = marks_of(groups)
        bits, seen = self._bits, self._groups
        for mark in {*marks} - bits.keys():
            bits[mark] = 1 << len(bits)
        seen_before = seen.get
        for subject, bit in zip(subjects, map(bits.__getitem__, marks), strict=True):
            seen[subject] = seen_before(subject, 0) | bit
        return bounded(len(seen) * (1 + len(bits) // _BITS_MOST))

    def total(self, read: Read) -> list[Row]:
        """Of all groups together."""
        return [(len(self._groups),) * 2]

    def rows(self, read: Read) -> list[Row]:
        """By group, twice."""
        if not self._has_groups:
            return [(len(self._all),) * 2]
        counts = Counter(self._groups.values())
        found: dict[Key, int] = {}
        for mark, bit in self._bits.items():
            found[key_of(mark)] = sum(number for told, number in counts.items() if told & bit)
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
        for key, units, order in zip(keys_of(keys, len(minor)), minor, orders, strict=True):
            totals[key] += units
            if order is None:
                self._without[key] += 1
            else:
                by[key].add(order)
        bounded(sum(map(len, by.values())))

    def rows(self, read: Read) -> list[Row]:
        """By currency and group: the sum, and the orders; what tells none is one of its own."""
        return [
            (*key, self._totals[key], len(self._orders[key]) + self._without[key]) for key in in_order(self._totals)
        ]

    def total(self, read: Read) -> list[Row]:
        """By currency."""
        whole = Orders()
        for (currency, *_), units in self._totals.items():
            whole._totals[currency,] += units
        for (currency, *_), orders in self._orders.items():
            whole._orders[currency,] |= orders
        for (currency, *_), number in self._without.items():
            whole._without[currency,] += number
        return whole.rows(read)


class Quantile:
    """
    The value at a rank: the value in billionths, how many of the slice are between two of these, then the groups.

    Args:
        value: The exact one, in SQL.
        billionths: What is read of it, in SQL.
        groups: In SQL.
        per_million: The part that lies below.
        fits: Which of the events count, in SQL.
    """

    def __init__(self, value: str, billionths: str, groups: Sequence[str], per_million: int, fits: str) -> None:
        self._value = value
        self._billionths = billionths
        self._groups = groups
        self._per_million = per_million
        self._fits = fits
        self._by: defaultdict[Key, list[int]] = defaultdict(list)
        self._between = 0

    def add(self, billionths: Sequence[int], between: int, *groups: Sequence[Any]) -> None:
        """Take in some events."""
        self._between += between
        by = self._by
        if billionths and not groups:
            by[()].extend(billionths)
            return
        for key, value in zip(keys_of(groups, len(billionths)), billionths, strict=True):
            by[key].append(value)

    def rows(self, read: Read) -> list[Row]:
        """By group: the value, and of how many it is."""
        return self._ranked(self._by, self._groups, read)

    def total(self, read: Read) -> list[Row]:
        """Of all groups together, which are mostly in order already."""
        return self._ranked({(): [*chain.from_iterable(self._by.values())]} if self._by else {}, (), read)

    def _ranked(self, by: Mapping[Key, list[int]], groups: Sequence[str], read: Read) -> list[Row]:
        wanted: dict[Key, tuple[int, int, int]] = {}
        for key, values in by.items():
            values.sort()
            rank = (len(values) * self._per_million + _MILLION - 1) // _MILLION
            value = values[rank - 1]
            wanted[key] = value, rank - bisect_left(values, value), len(values)
        if self._between:
            return self._exact(wanted, groups, read)
        # As SQLite divides: both numbers as floating-point ones.
        return [(*key, wanted[key][0] / float(PLACES), wanted[key][2]) for key in in_order(wanted)]

    def _exact(self, wanted: Mapping[Key, tuple[int, int, int]], groups: Sequence[str], read: Read) -> list[Row]:
        """Of those that are equal in billionths, the exact ones."""
        near = ", ".join(str(each) for each in sorted({each for each, _, _ in wanted.values()}))
        keys = ", ".join((*groups, self._value, self._billionths))
        numbers = ", ".join(str(number) for number in range(1, len(groups) + 3))
        close: defaultdict[Key, list[tuple[float, int]]] = defaultdict(list)
        for *key, value, billionths, count in read(
            f"{keys}, count(*)",
            f"AND {self._fits} AND {self._billionths} IN ({near}) GROUP BY {numbers} ORDER BY {self._value}",
        ):
            close[*key, billionths].append((value, count))
        return [
            (*key, _at_rank(close[*key, wanted[key][0]], wanted[key][1]), wanted[key][2]) for key in in_order(wanted)
        ]


def _at_rank(values: Iterable[tuple[float, int]], rank: int) -> float:
    """The value at a rank among sorted ones, each so many times."""
    for value, count in values:
        rank -= count
        if rank <= 0:
            return value
    raise CantFold


class Accounts:
    """
    What is said beside a value: how many records there are, how many are shown, then what else is true of those.

    Args:
        told: Which of the further numbers are among what is read.
    """

    def __init__(self, told: Sequence[bool]) -> None:
        self._is_told = told
        self._totals = [0] * (2 + sum(told))

    def add(self, *numbers: int) -> None:
        """Take in some events."""
        self._totals = [total + number for total, number in zip(self._totals, numbers, strict=True)]

    def rows(self, read: Read) -> list[Row]:
        """How many are shown and hidden, and each further number."""
        count, shown, *further = self._totals
        if not count:
            return [(None, None, *(None if told else 0 for told in self._is_told))]
        numbers = iter(further)
        return [(shown, count - shown, *(next(numbers) if told else 0 for told in self._is_told))]
