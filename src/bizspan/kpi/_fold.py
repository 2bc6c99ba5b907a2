"""
Rows of a statement without a sort: SQLite reads columns in the order of time, and Python puts them together.

SQLite has no hash table: what is told apart by customer or by order it sorts, which takes longer than all else. Here it
hands over each column of some 50,000 events as one text, without the interpreter's lock meanwhile; dictionaries do
what was the sort. The rows are those of the statement, in the same order, and tests hold them to it.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Literal, Protocol, cast

SLICE: Final = 100_000  # events of one reading; more where more happened at one moment
KEYS_MOST: Final = 1_000_000  # customers or orders that are kept in memory: beyond, SQLite sorts, on the disk
_SPLIT, _NOTHING = "\x1f", "\x1e"
_AHEAD: Final = 6  # slices that are read before they are put together
_FROM: Final = "FROM events WHERE time_ns >= :fold_since AND time_ns < :fold_until"
_INT64: Final = range(-(1 << 63), 1 << 63)

Row = tuple[Any, ...]
Rows = list[list[Row]]


class CantFold(Exception):  # noqa: N818 - named like what happened
    """The statement itself has to be run: a value looks like what tells values apart, or there are too many."""


@dataclass(frozen=True, slots=True)
class Column:
    """
    What is read of each event.

    Args:
        sql: A text, or a whole number.
        kind: Which of them.
        is_told: Whether there is one for each.
    """

    sql: str
    kind: Literal["text", "int"] = "text"
    is_told: bool = False


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

    def total(self) -> list[Row]:
        """These."""
        ...


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
        start: Begins with nothing.
        groups: How many of the columns, the last ones, are groups.
        knows_total: Whether its folding is one that `KnowsTotal`.
    """

    since_ns: int
    until_ns: int
    conditions: str
    columns: tuple[Column, ...]
    start: Callable[[], Folding]
    groups: int = 0
    knows_total: bool = False

    def is_total_of(self, other: Fold) -> bool:
        """Whether the other one, of the same kind, knows this one's rows."""
        is_grouped = other.groups > self.groups == 0 and self.knows_total and other.knows_total
        return is_grouped and self.columns == other.columns[: -other.groups]

    def reads_as(self, other: Fold) -> bool:
        """Whether the other one reads the same events."""
        mine, theirs = ((each.since_ns, each.until_ns, each.conditions) for each in (self, other))
        return mine == theirs


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
        others: Rows = []

        def last() -> None:
            others.extend(self._database.execute(*each).fetchall() for each in beside[len(others) :])

        for number, fold in enumerate(folds):
            if number not in found:
                same = {n: each for n, each in enumerate(folds) if fold.reads_as(each)}
                is_last = len(found) + len(same) == len(folds)
                found |= zip(same, self._together([*same.values()], last if is_last else _nothing), strict=True)
        return [found[number] for number in range(len(folds))], others

    def _together(self, folds: Sequence[Fold], then: Callable[[], None]) -> Rows:
        columns = list(dict.fromkeys(column for fold in folds for column in fold.columns))
        totals = {
            number: other
            for number, fold in enumerate(folds)
            for other, whole in enumerate(folds)
            if fold.is_total_of(whole)
        }
        started = {number: fold.start() for number, fold in enumerate(folds) if number not in totals}
        places = [[columns.index(column) for column in fold.columns] for fold in folds]
        slices = _slices(self._database, folds[0], columns, then)
        waiting = deque(self._thread.submit(next, slices, None) for _ in range(_AHEAD))
        while (cells := waiting.popleft().result()) is not None:
            waiting.append(self._thread.submit(next, slices, None))
            count, texts = cells
            read = [_values(*each, count) for each in zip(columns, texts[::2], texts[1::2], strict=True)]
            for number, folding in started.items():
                folding.add(*(read[place] for place in places[number]))

        def more(select: str, rest: str) -> list[Row]:
            sql = f"SELECT {select} {_FROM} AND {folds[0].conditions} {rest}"
            bounds = _bounds(folds[0].since_ns, folds[0].until_ns)
            return self._thread.submit(lambda: self._database.execute(sql, bounds).fetchall()).result()

        found = [
            cast("KnowsTotal", started[totals[number]]).total() if number in totals else started[number].rows(more)
            for number in range(len(folds))
        ]
        if not all(number in _INT64 for rows in found for row in rows for number in row if isinstance(number, int)):
            raise CantFold
        return found


def _bounds(since_ns: int, until_ns: int) -> dict[str, int]:
    return {"fold_since": since_ns, "fold_until": until_ns}


def _nothing() -> None:
    """Nothing is to be done."""


def _slices(
    database: sqlite3.Connection, fold: Fold, columns: Sequence[Column], then: Callable[[], None]
) -> Generator[tuple[int, list[Any]]]:
    """Of a stretch of time after the other: how many events, and of each column its text and how many values it has."""
    told = ", ".join(
        f"group_concat({each.sql}, '{_SPLIT}'), NULL"
        if each.is_told
        else f"group_concat(coalesce({each.sql}, '{_NOTHING}'), '{_SPLIT}'), count({each.sql})"
        for each in columns
    )
    sql = f"SELECT count(*), {told} {_FROM} AND {fold.conditions}"
    for since_ns, until_ns in pairwise(_borders(database, fold.since_ns, fold.until_ns)):
        count, *cells = database.execute(sql, _bounds(since_ns, until_ns)).fetchone()
        if count:
            yield count, cells
    then()


def _borders(database: sqlite3.Connection, since_ns: int, until_ns: int) -> list[int]:
    """
    Where slices begin and end: at the time of each so manieth event that came in, which needs no counting.

    What happened at one moment stays together. Slices are alike where events come in by time, as they nearly do.
    """
    (last,) = database.execute("SELECT max(id) FROM events").fetchone()
    at = "SELECT time_ns FROM events WHERE id >= ? ORDER BY id LIMIT 1"
    times = {database.execute(at, (number,)).fetchone()[0] for number in range(SLICE, (last or 0) + 1, SLICE)}
    return [since_ns, *sorted(time for time in times if since_ns < time < until_ns), until_ns]


def _values(column: Column, text: str, known: int | None, count: int) -> list[Any]:
    """
    One value for each event.

    Raises:
        CantFold: They can't be told apart for sure.
    """
    values: list[Any] = text.split(_SPLIT)
    if len(values) != count:
        raise CantFold
    if column.kind == "int":
        try:
            return list(map(int, values))
        except ValueError:
            raise CantFold from None
    if known is None or known == count:
        return values
    if values.count(_NOTHING) != count - known:
        raise CantFold
    return [None if value == _NOTHING else value for value in values]
