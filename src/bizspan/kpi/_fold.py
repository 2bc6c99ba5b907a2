"""
Rows of a statement without a sort: SQLite reads columns in the order of time, and Python puts them together.

SQLite has no hash table: what is told apart by customer or by order it sorts, which takes longer than all else. Here it
hands over each column of some 50,000 events as one text, without the interpreter's lock meanwhile; dictionaries do
what was the sort. The rows are those of the statement, in the same order, and tests hold them to it.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import compress
from typing import Any, Final, Protocol, cast

from bizspan.kpi import _slices
from bizspan.kpi._slices import CantFold, Column, Reading, Slice

KEYS_MOST: Final = 1_000_000  # customers or orders that are kept in memory: beyond, SQLite sorts, on the disk
_AHEAD: Final = 6  # slices that are read before they are put together
_INT64: Final = range(-(1 << 63), 1 << 63)

Row = tuple[Any, ...]
Rows = list[list[Row]]


class Folding(Protocol):
    """One statement's rows in the making."""

    @property
    def add(self) -> Callable[..., None]:
        """Take in some events, by column; all of those before happened earlier."""
        ...

    def rows(self, read: Read) -> list[Row]:
        """
        What the statement gives.

        Args:
            read: To read more of the same events.
        """
        ...


class KnowsTotal(Folding, Protocol):
    """The same, which also knows the rows of its statement without groups."""

    def total(self, read: Read) -> list[Row]:
        """These."""
        ...


class Looking(Protocol):
    """What some look up while they are put together."""

    def ask(self, keys: Sequence[Any], /) -> None:
        """What is looked for."""
        ...

    @property
    def add(self) -> Callable[..., None]:
        """Take in some of the events in which it is."""
        ...


@dataclass(frozen=True, slots=True)
class LookUp:
    """
    Events that are read once the others were, because those say which of them are looked for.

    Args:
        key: What is looked for, in the others.
        reading: Which events.
        columns: What is read of them.
        start: Begins with nothing.
    """

    key: Column
    reading: Reading
    columns: tuple[Column, ...]
    start: Callable[[], Looking] = field(compare=False)


Read = Callable[[str, str], list[Row]]  # what is selected, and what follows the conditions


@dataclass(frozen=True, slots=True)
class Fold:
    """
    How a statement's rows are put together.

    Args:
        since_ns: From when on events are read.
        until_ns: Before when.
        conditions: Which of them; all values are written out.
        columns: What is read.
        start: Begins with nothing; with what it looks up, where it does.
        fits: Of the events that are read, those that the statement is of; None for all.
        groups: How many of the columns, the last ones, are groups.
        knows_total: Whether its folding is one that `KnowsTotal`.
        is_beside: Whether it is not worth a reading of its own: it goes along with others, else its statement runs.
        looks_up: What is read afterwards, once for all that do.
    """

    since_ns: int
    until_ns: int
    conditions: str
    columns: tuple[Column, ...]
    start: Callable[..., Folding]
    fits: Column | None = None
    groups: int = 0
    knows_total: bool = False
    is_beside: bool = False
    looks_up: LookUp | None = None

    @property
    def read(self) -> tuple[Column, ...]:
        """All that is read."""
        return self.columns if self.fits is None else (*self.columns, self.fits)

    def has(self, since_ns: int, until_ns: int) -> bool:
        """Whether this time is part of what is read."""
        return self.since_ns <= since_ns and until_ns <= self.until_ns

    def is_total_of(self, other: Fold) -> bool:
        """Whether the other one, of the same kind, knows this one's rows."""
        is_grouped = other.groups > self.groups == 0 and self.knows_total and other.knows_total
        mine, theirs = ((each.since_ns, each.until_ns, each.conditions, each.fits) for each in (self, other))
        return is_grouped and mine == theirs and self.columns == other.columns[: -other.groups]

    def reads_as(self, other: Fold) -> bool:
        """Whether one of the two reads all events that the other one does."""
        is_part = self.has(other.since_ns, other.until_ns) or other.has(self.since_ns, self.until_ns)
        return is_part and self.conditions == other.conditions

    def takes(self, told: Mapping[Column, Any]) -> list[Any]:
        """
        What it takes in of a slice.

        Args:
            told: The values of each column.
        """
        values = [told[column] for column in self.columns]
        fits = None if self.fits is None else told[self.fits]
        if fits is None or 0 not in fits:
            return values
        pairs = zip(self.columns, values, strict=True)
        return [value if column.kind == "number" else [*compress(value, fits)] for column, value in pairs]


def worth(folds: Sequence[Fold | None]) -> list[Fold | None]:
    """
    Without those that have nothing to go along with.

    Args:
        folds: Of some statements.
    """
    others = [fold for fold in folds if fold is not None and not fold.is_beside]
    return [
        None if fold is not None and fold.is_beside and not any(map(fold.reads_as, others)) else fold for fold in folds
    ]


class Folder:
    """
    Puts rows together, while a thread reads what comes next.

    Args:
        database: In a transaction; only used on that thread until `close`.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._thread = ThreadPoolExecutor(1, "bizspan-kpi")

    def close(self) -> None:
        """End the thread; what it has not begun is left."""
        self._thread.shutdown(cancel_futures=True)

    def rows(self, folds: Sequence[Fold], beside: Sequence[tuple[str, Mapping[str, Any]]]) -> tuple[Rows, Rows]:
        """
        The rows of each; what reads the same events is read once.

        Args:
            folds: Of some statements.
            beside: Other statements, with their parameters: they run while what was read is put together.

        Raises:
            CantFold: The statements have to be run.
        """
        found: dict[int, list[Row]] = {}
        others: list[Future[list[Row]]] = []

        def last() -> None:
            others.extend(self._thread.submit(self._all, *each) for each in beside)

        for number, fold in enumerate(folds):
            if number not in found:
                same = {n: each for n, each in enumerate(folds) if n not in found and fold.reads_as(each)}
                is_last = len(found) + len(same) == len(folds)
                found |= zip(same, self._together([*same.values()], last if is_last else _nothing), strict=True)
        return [found[number] for number in range(len(folds))], [each.result() for each in others]

    def _all(self, sql: str, parameters: Mapping[str, Any]) -> list[Row]:
        return self._database.execute(sql, parameters).fetchall()

    def _together(self, folds: Sequence[Fold], then: Callable[[], None]) -> Rows:
        reading = _reading(folds)
        totals = {
            number: other
            for number, fold in enumerate(folds)
            for other, whole in enumerate(folds)
            if fold.is_total_of(whole)
        }
        looking = {fold.looks_up: fold.looks_up.start() for fold in folds if fold.looks_up is not None}
        started = {
            number: fold.start() if fold.looks_up is None else fold.start(looking[fold.looks_up])
            for number, fold in enumerate(folds)
            if number not in totals
        }
        for found, told in self._told(reading, [column for fold in folds for column in fold.read], then):
            for number, folding in started.items():
                if folds[number].has(found.since_ns, found.until_ns):
                    folding.add(*folds[number].takes(told))
            for look_up, keys in looking.items():
                keys.ask(told[look_up.key])
        for look_up, keys in looking.items():
            for _, told in self._told(look_up.reading, look_up.columns, _nothing):
                keys.add(*map(told.__getitem__, look_up.columns))

        given = [
            cast("KnowsTotal", started[totals[number]]).total(partial(self._more, fold))
            if number in totals
            else started[number].rows(partial(self._more, fold))
            for number, fold in enumerate(folds)
        ]
        if not all(number in _INT64 for rows in given for row in rows for number in row if isinstance(number, int)):
            raise CantFold
        return given

    def _told(
        self, reading: Reading, columns: Iterable[Column], then: Callable[[], None]
    ) -> Iterator[tuple[Slice, Mapping[Column, Any]]]:
        """Each slice, and the values of its columns; meanwhile the next ones are read."""
        columns = list(dict.fromkeys(columns))
        often = [column for column in columns if not column.is_seldom]
        slices = _slices.slices(self._database, reading, often, then)
        waiting = deque(self._thread.submit(next, slices, None) for _ in range(_AHEAD))
        while (found := waiting.popleft().result()) is not None:
            waiting.append(self._thread.submit(next, slices, None))
            told = _slices.values(often, found)
            yield (
                found,
                told | {each: partial(self._seldom, reading, often, each, found) for each in {*columns} - {*often}},
            )

    def _more(self, fold: Fold, select: str, rest: str) -> list[Row]:
        which = _reading([fold]).which(fold.since_ns, fold.until_ns)
        return self._thread.submit(self._all, f"SELECT {select} FROM events WHERE {which} {rest}", {}).result()

    def _seldom(self, reading: Reading, often: Sequence[Column], column: Column, found: Slice) -> Sequence[Any]:
        # With all else that was read, so that it comes in the same order.
        both = [*often, column]
        again = self._thread.submit(_slices.again, self._database, reading, both, found).result()
        values: Sequence[Any] = _slices.values(both, again)[column]
        return values


def _nothing() -> None:
    """Nothing is to be done."""


def _reading(folds: Iterable[Fold]) -> Reading:
    """Which events some read that read the same ones."""
    spans = {(fold.since_ns, fold.until_ns, fold.conditions) for fold in folds}
    cuts = sorted({moment for since_ns, until_ns, _ in spans for moment in (since_ns, until_ns)})
    (conditions,) = {conditions for _, _, conditions in spans}
    return Reading(cuts[0], cuts[-1], conditions, cuts)
