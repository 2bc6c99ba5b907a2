"""
What is counted per minute while events come in, so that a page needs not read them all.

Each event counts once under the dimension ``""``, and once under each dimension of which it has a value: sums over one
dimension are exact, and the tables stay small where events are many. A filter by two dimensions reads the events.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import compress, repeat
from typing import Any, Final

from bizspan import names
from bizspan._columns import COLUMNS
from bizspan._minor import INT64_MAX, INT64_MIN
from bizspan.lens._layout import INDEX

DIMENSIONS: Final = ("reason", "segment", "country", "channel", "campaign", "feature", "version")
VALUES_MOST: Final = 1_000  # of one dimension; what is beyond is counted under OTHER
_LONGEST: Final = 200
_MINUTE_NS: Final = 60_000_000_000

# (minute, name, operation, outcome, traffic), then (dimension, value).
Base = tuple[int, str, str, str, str]
Cell = tuple[int, str, str, str, str, str, str]

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
        if values is not None and value in values:
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

    def count_rows(self) -> list[Any]:
        """Values for the columns of ``minute_counts``, one row after the other."""
        return [each for cell, told in self.counts.items() for each in (*cell, *map(_stored, told))]

    def money_rows(self) -> list[Any]:
        """Values for the columns of ``minute_money``, one row after the other."""
        return [each for cell, told in self.money.items() for each in (*cell, *map(_stored, told))]


def _merge(mine: dict[Any, list[int]], theirs: dict[Any, list[int]]) -> None:
    for key, told in theirs.items():
        known = mine.get(key)
        mine[key] = told if known is None else [a + b for a, b in zip(known, told, strict=True)]


def _stored(number: int) -> int | float:
    """Beyond 64 bits, which only invented amounts reach, SQLite has floating-point numbers alone."""
    return number if INT64_MIN <= number <= INT64_MAX else float(number)


def deltas(columns: Sequence[tuple[Any, ...]], admitted: Admitted) -> Deltas:
    """
    What these events add.

    Args:
        columns: Of the events, as `columnar` gives them.
        admitted: Which values have cells of their own.
    """
    found = Deltas()
    bases, ids = _bases(columns, admitted)
    # Values beyond the bound fold: several of what is told apart here may be one cell.
    for number, count in Counter(ids).items():
        _merge(found.counts, {(*bases[number], "", ""): [count, 0, 0]})
    _add_durations(found, columns, bases, ids)
    split = [(name, columns[INDEX[name]]) for name in DIMENSIONS if columns[INDEX[name]]]
    for name, column in split:
        for (number, value), count in Counter(zip(ids, column, strict=True)).items():
            if value is not None:
                _merge(found.counts, {(*bases[number], name, admitted.of(name, value)): [count, 0, 0]})
    for kind, minor, currency, invalid in _MONEY:
        if columns[minor] and columns[currency]:
            _add_amounts(found, bases, ids, split, admitted, kind, columns[minor], columns[currency])
        if columns[invalid]:
            _add_missing(found, bases, ids, split, admitted, kind, columns[invalid])
    return found


def _bases(columns: Sequence[tuple[Any, ...]], admitted: Admitted) -> tuple[list[Base], list[int]]:
    """The distinct beginnings of cells, and of each event the number of its own."""
    times, event_names = columns[INDEX["time_ns"]], columns[INDEX["name"]]
    plain = (columns[INDEX[name]] or repeat("") for name in ("operation", "outcome", "traffic"))
    numbers: dict[tuple[Any, ...], int] = {}
    minutes = [time_ns // _MINUTE_NS for time_ns in times]
    ids = [numbers.setdefault(base, len(numbers)) for base in zip(minutes, event_names, *plain)]  # noqa: B905 - repeat
    bases = [
        (
            minute * 60,
            admitted.of("name", name),
            admitted.of("operation", operation) if operation else "",
            admitted.of("outcome", outcome) if outcome else "",
            admitted.of("traffic", traffic) if traffic else "",
        )
        for minute, name, operation, outcome, traffic in numbers
    ]
    return bases, ids


def _add_durations(found: Deltas, columns: Sequence[tuple[Any, ...]], bases: list[Base], ids: list[int]) -> None:
    sums: dict[int, list[float]] = {}
    for number, seconds in zip(ids, columns[INDEX["duration_s"]], strict=False):
        # Not what a hostile sender makes of it: infinity has no microseconds.
        if seconds is not None and 0 <= seconds < 1e9:
            told = sums.setdefault(number, [0, 0.0])
            told[0] += 1
            told[1] += seconds
    for number, (timed, seconds) in sums.items():
        cell = found.counts[(*bases[number], "", "")]
        cell[1] += int(timed)
        cell[2] += round(seconds * 1e6)


def _add_amounts(
    found: Deltas, bases: list[Base], ids: list[int], split: list[tuple[str, tuple[Any, ...]]], admitted: Admitted,
    kind: str, minor: tuple[Any, ...], currency: tuple[Any, ...],
) -> None:  # fmt: skip
    told = [units is not None and code is not None for units, code in zip(minor, currency, strict=True)]
    units = list(compress(minor, told))
    # Numbers instead of pairs: a tuple is hashed anew at each look-up.
    numbers: dict[tuple[int, str], int] = {}
    of = [
        numbers.setdefault(pair, len(numbers))
        for pair in zip(compress(ids, told), compress(currency, told), strict=True)
    ]
    pairs = [(bases[number], admitted.of("currency", code)) for number, code in numbers]
    for name, column in (("", None), *split):
        cells = of if column is None else list(zip(of, compress(column, told), strict=True))
        sums: dict[Any, int] = {}
        get = sums.get
        for cell, amount in zip(cells, units, strict=True):
            sums[cell] = get(cell, 0) + amount
        for cell, count in Counter(cells).items():
            number, value = (cell, "") if column is None else cell
            if value is not None:
                base, code = pairs[number]
                key = (*base, name, admitted.of(name, value) if name else "", kind, code)
                _merge(found.money, {key: [count, sums[cell]]})


def _add_missing(
    found: Deltas, bases: list[Base], ids: list[int], split: list[tuple[str, tuple[Any, ...]]], admitted: Admitted,
    kind: str, reasons: tuple[Any, ...],
) -> None:  # fmt: skip
    """Events whose amount was told and refused: they have no currency."""
    missing = [reason is not None for reason in reasons]
    of = list(compress(ids, missing))
    for name, column in (("", None), *split):
        cells = zip(of, repeat("") if column is None else compress(column, missing))  # noqa: B905 - repeat
        for (number, value), count in Counter(cells).items():
            if value is not None:
                shown = admitted.of(name, value) if name else ""
                _merge(found.money, {(*bases[number], name, shown, kind, ""): [count, 0]})
