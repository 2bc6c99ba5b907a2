"""
What is counted per minute while events come in, so that a page needs not read them all.

Each event counts once under the dimension ``""``, and once under each dimension of which it has a value: sums over one
dimension are exact, and the tables stay small where events are many. A filter by two dimensions reads the events.
How long an event took is a dimension as well, by a few stretches.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import compress, repeat, zip_longest
from typing import Any, Final, TypeVar

from bizspan import names
from bizspan._columns import COLUMNS, TOOK_S
from bizspan._currencies import EXPONENTS
from bizspan._minor import INT64_MAX, INT64_MIN
from bizspan.lens._layout import INDEX, Columns

DIMENSIONS: Final = ("reason", "segment", "country", "channel", "campaign", "feature", "version")
TOOK: Final = "took"  # its values are the number of the stretch
VALUES_MOST: Final = 1_000  # of one dimension; what is beyond is counted under OTHER
_LONGEST: Final = 200
_MINUTE_NS: Final = 60_000_000_000
_STRETCHES: Final = [str(number) for number in range(len(TOOK_S) + 1)]

# (minute, name, operation, outcome, traffic), then (dimension, value).
Base = tuple[int, str, str, str, str]
Cell = tuple[int, str, str, str, str, str, str]
Of = Callable[[str, str], str]  # of a dimension and a value: what it is counted under
_T = TypeVar("_T")
_RAW_MOST: Final = 20_000  # cells of one request: most are below one thousand

# kind, column of the minor units, of the currency, of the reason why there are none
_MONEY: Final = tuple(
    (
        kind.removeprefix("business."),
        INDEX[COLUMNS[names.MINOR_UNITS_KEYS[kind]].name],
        INDEX[COLUMNS[names.CURRENCY_KEYS[kind]].name],
        INDEX[COLUMNS[names.AMOUNT_INVALID_KEYS[kind]].name],
    )
    for kind in names.MONEY_KINDS
)


class Admitted:
    """
    Which values are counted under their own name: of each dimension the first 1,000, for as long as the store lives.
    Currencies are beside those: they are few, and what is no currency may be anything.

    Args:
        known: Dimension and value of those that the store has.
    """

    def __init__(self, known: Iterable[tuple[str, str]]) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, set[str]] = {}
        for dimension, value in known:
            self._values.setdefault(dimension, set()).add(value)

    def of(self, dimension: str, value: str) -> str:
        """The value, or what it is counted under."""
        values = self._values.get(dimension)
        if (values is not None and value in values) or (dimension == "currency" and value in EXPONENTS):
            return value
        if len(value) > _LONGEST:
            return names.OTHER
        with self._lock:
            values = self._values.setdefault(dimension, set())
            if value not in values:
                if len(values) >= VALUES_MOST:
                    return names.OTHER
                values.add(value)
        return value


@dataclass(slots=True)
class Deltas:
    """
    What some events add to the minutes.

    Args:
        counts: By cell: events, those with a duration, and the microseconds of these.
        money: By cell, kind and currency: events, and their minor units. Without currency: the amount is missing.
    """

    counts: dict[Cell, list[int]] = field(default_factory=dict[Cell, list[int]])
    money: dict[tuple[Any, ...], list[int]] = field(default_factory=dict[tuple[Any, ...], list[int]])

    def add(self, other: Deltas) -> None:
        """Add another's."""
        for mine, theirs in ((self.counts, other.counts), (self.money, other.money)):
            _merge(mine, theirs)

    def folded(self, admitted: Admitted) -> Deltas:
        """The same, with what has no cell of its own under ``OTHER``."""
        found, of = Deltas(), admitted.of
        for cell, sums in self.counts.items():
            _merge(found.counts, {_folded(cell, of): sums})
        for (*rest, kind, currency), sums in self.money.items():
            _merge(found.money, {(*_folded(rest, of), kind, of("currency", currency) if currency else ""): sums})
        return found

    def count_rows(self) -> list[tuple[Any, ...]]:
        """Rows of ``minute_counts``."""
        return [(*cell, *map(_stored, told)) for cell, told in self.counts.items()]

    def money_rows(self) -> list[tuple[Any, ...]]:
        """Rows of ``minute_money``."""
        return [(*cell, *map(_stored, told)) for cell, told in self.money.items()]


def _merge(mine: dict[Any, list[int]], theirs: dict[Any, list[int]]) -> None:
    for key, told in theirs.items():
        known = mine.get(key)
        mine[key] = told if known is None else [a + b for a, b in zip(known, told, strict=True)]


def _stored(number: int) -> int | float:
    """Beyond 64 bits, which only invented amounts reach, SQLite has floating-point numbers alone."""
    return number if INT64_MIN <= number <= INT64_MAX else float(number)


def _folded(cell: Sequence[Any], of: Of) -> Cell:
    *base, dimension, value = cell
    return (*_base(base, of), dimension, of(dimension, value) if dimension else "")


def _base(told: Sequence[Any], of: Of) -> Base:
    minute, name, operation, outcome, traffic = told
    return (
        minute,
        of("name", name),
        of("operation", operation) if operation else "",
        of("outcome", outcome) if outcome else "",
        of("traffic", traffic) if traffic else "",
    )


def deltas(columns: Columns, admitted: Admitted) -> Deltas:
    """
    What these events add.

    Args:
        columns: Of the events, as `columnar` gives them.
        admitted: Which values have cells of their own.
    """
    counting = _Counting(columns, admitted.of)
    counting.add_events()
    counting.add_numbers(columns)
    return counting.found


def raw_deltas(columns: Columns) -> Deltas | None:
    """The same, each value under itself: to be folded. None where there would be too many cells."""
    counting = _Counting(columns, _itself)
    counting.add_events()
    if len(counting.found.counts) > _RAW_MOST:
        return None
    counting.add_numbers(columns)
    return counting.found


def _itself(dimension: str, value: str) -> str:
    return value


def _lacking(minor: Sequence[Any], currency: Sequence[Any], invalid: Sequence[Any]) -> list[bool]:
    """Of each event, whether its amount was refused, or came in part; nothing where none did, as KPIs have it."""
    in_part: list[bool] = []
    if minor or currency:
        units, codes = ([told is None for told in column] for column in (minor, currency))
        if units != codes:
            in_part = [one is not other for one, other in zip_longest(units, codes, fillvalue=True)]
    if not invalid:
        return in_part
    refused = [reason is not None for reason in invalid]
    return [one or other for one, other in zip(refused, in_part, strict=True)] if in_part else refused


class _Counting:
    """
    Counts events by column. A loop over rows for each dimension would take three times as long.

    Args:
        columns: See `deltas`.
        of: What a value of a dimension is counted under.
    """

    def __init__(self, columns: Columns, of: Of) -> None:
        self.found = Deltas()
        self._of = of
        self._bases, self._ids = _bases(columns, of)
        self._split = [(name, columns[INDEX[name]]) for name in DIMENSIONS if columns[INDEX[name]]]
        if columns[INDEX["duration_s"]]:
            self._split.append((TOOK, _stretches(columns[INDEX["duration_s"]])))

    def add_events(self) -> None:
        """Count them."""
        # Values beyond the bound fold: several of what is told apart here may be one cell.
        for number, count in Counter(self._ids).items():
            _merge(self.found.counts, {(*self._bases[number], "", ""): [count, 0, 0]})
        for name, column in self._split:
            for (number, value), count in Counter(zip(self._ids, column, strict=True)).items():
                if value is not None:
                    _merge(self.found.counts, {(*self._bases[number], *self._shown(name, value)): [count, 0, 0]})

    def add_numbers(self, columns: Columns) -> None:
        """Add how long they took, and their amounts."""
        self._add_durations(columns[INDEX["duration_s"]])
        for kind, minor, currency, invalid in _MONEY:
            if columns[minor] and columns[currency]:
                self._add_amounts(kind, columns[minor], columns[currency])
            if lacking := _lacking(columns[minor], columns[currency], columns[invalid]):
                self._add_missing(kind, lacking)

    def _add_durations(self, durations: Sequence[Any]) -> None:
        """Add durations to the cells that no dimension splits."""
        sums: dict[int, list[float]] = {}
        for number, seconds in zip(self._ids, durations, strict=False):  # there may be none
            # Not what a hostile sender makes of it: infinity has no microseconds.
            if seconds is not None and 0 <= seconds < 1e9:
                told = sums.setdefault(number, [0, 0.0])
                told[0] += 1
                told[1] += seconds
        for number, (timed, seconds) in sums.items():
            cell = self.found.counts[(*self._bases[number], "", "")]
            cell[1] += int(timed)
            cell[2] += round(seconds * 1e6)

    def _add_amounts(self, kind: str, minor: Sequence[Any], currency: Sequence[Any]) -> None:
        """Add amounts of one kind, each in its currency."""
        told = [units is not None and code is not None for units, code in zip(minor, currency, strict=True)]
        units = list(compress(minor, told))
        # Numbers instead of pairs: a tuple is hashed anew at each look-up.
        numbers: dict[tuple[int, str], int] = {}
        of = [
            numbers.setdefault(pair, len(numbers))
            for pair in zip(compress(self._ids, told), compress(currency, told), strict=True)
        ]
        pairs = [(self._bases[number], self._of("currency", code)) for number, code in numbers]
        for cell, count, total in _summed(of, units):
            _merge(self.found.money, {(*pairs[cell][0], "", "", kind, pairs[cell][1]): [count, total]})
        for name, column in self._split:
            for (cell, value), count, total in _summed(list(zip(of, compress(column, told), strict=True)), units):
                if value is not None:
                    base, code = pairs[cell]
                    _merge(self.found.money, {(*base, *self._shown(name, value), kind, code): [count, total]})

    def _add_missing(self, kind: str, missing: Sequence[bool]) -> None:
        """Count events whose amount was told and refused, or told in part: they have no currency."""
        of = list(compress(self._ids, missing))
        for number, count in Counter(of).items():
            _merge(self.found.money, {(*self._bases[number], "", "", kind, ""): [count, 0]})
        for name, column in self._split:
            for (number, value), count in Counter(zip(of, compress(column, missing), strict=True)).items():
                if value is not None:
                    key = (*self._bases[number], *self._shown(name, value), kind, "")
                    _merge(self.found.money, {key: [count, 0]})

    def _shown(self, dimension: str, value: str) -> tuple[str, str]:
        return dimension, self._of(dimension, value)


def _stretches(durations: Sequence[Any]) -> list[str | None]:
    """Of each duration, which stretch it is in. What is no number, SQLite keeps as NULL."""
    if None not in durations and (total := sum(durations)) == total:
        return list(map(_STRETCHES.__getitem__, map(bisect_left, repeat(TOOK_S), durations)))
    return [
        None if seconds is None or seconds != seconds else _STRETCHES[bisect_left(TOOK_S, seconds)]
        for seconds in durations
    ]


def _summed(cells: Sequence[_T], units: list[int]) -> Iterator[tuple[_T, int, int]]:
    """Each cell, how often it is there, and the sum of its units."""
    found: defaultdict[_T, list[int]] = defaultdict(list)
    for cell, amount in zip(cells, units, strict=True):
        found[cell].append(amount)
    for cell, amounts in found.items():
        yield cell, len(amounts), sum(amounts)


def _bases(columns: Columns, of: Of) -> tuple[list[Base], list[int]]:
    """The distinct beginnings of cells, and of each event the number of its own."""
    times, event_names = columns[INDEX["time_ns"]], columns[INDEX["name"]]
    plain = (columns[INDEX[name]] or repeat("", len(times)) for name in ("operation", "outcome", "traffic"))
    numbers: dict[tuple[Any, ...], int] = {}
    minutes = [time_ns // _MINUTE_NS for time_ns in times]
    ids = [numbers.setdefault(base, len(numbers)) for base in zip(minutes, event_names, *plain, strict=True)]
    bases = [_base((minute * 60, *told), of) for minute, *told in numbers]
    return bases, ids
