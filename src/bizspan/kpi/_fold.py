"""
Rows of a statement without a sort: SQLite reads columns in the order of time, and Python puts them together.

SQLite has no hash table: what is told apart by customer or by order it sorts, which takes longer than all else. Here it
hands over each column of some 50,000 events as one text, without the interpreter's lock meanwhile; dictionaries do
what was the sort. The rows are those of the statement, in the same order, and tests hold them to it.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, Final, Literal, Protocol, cast

# Events of one reading; more where more happened at one moment. Twice as many no longer fit into the processor's cache.
SLICE: Final = 50_000
KEYS_MOST: Final = 1_000_000  # customers or orders that are kept in memory: beyond, SQLite sorts, on the disk
_SPLIT, _NOTHING = "\x1f", "\x1e"
_ZERO: Final = ord("0")
_NUMBERS: Final = bytes((code - _ZERO) % 256 for code in range(256))  # by the character's code
_AHEAD: Final = 6  # slices that are read before they are put together
_IN_ONE: Final = 20  # slices of one statement
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
        sql: A text, a whole number, or one of the texts that `digit` gives, such as 0 and 1.
        kind: Which of them.
        is_told: Whether there is one for each; so it is of digits.
        is_seldom: Whether it is only read when it is asked for: what is given is a function without arguments.
    """

    sql: str
    kind: Literal["text", "int", "digit"] = "text"
    is_told: bool = False
    is_seldom: bool = False


def digit(number: int) -> str:
    """One character for a small number, 0 to 9 and beyond: many of them are read as bytes, in one step."""
    return chr(_ZERO + number)


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

    def which(self, since_ns: int | None = None, until_ns: int | None = None) -> str:
        """
        The condition of an event that is read.

        Args:
            since_ns: From when on; by default, all of the time.
            until_ns: Before when.
        """
        since_ns = self.since_ns if since_ns is None else since_ns
        until_ns = self.until_ns if until_ns is None else until_ns
        return f"time_ns >= {since_ns} AND time_ns < {until_ns} AND {self.conditions}"

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
        others: list[Future[list[Row]]] = []

        def last() -> None:
            others.extend(self._thread.submit(self._all, *each) for each in beside)

        for number, fold in enumerate(folds):
            if number not in found:
                same = {n: each for n, each in enumerate(folds) if fold.reads_as(each)}
                is_last = len(found) + len(same) == len(folds)
                found |= zip(same, self._together([*same.values()], last if is_last else _nothing), strict=True)
        return [found[number] for number in range(len(folds))], [each.result() for each in others]

    def _all(self, sql: str, parameters: Mapping[str, Any]) -> list[Row]:
        return self._database.execute(sql, parameters).fetchall()

    def _together(self, folds: Sequence[Fold], then: Callable[[], None]) -> Rows:
        columns = list(dict.fromkeys(column for fold in folds for column in fold.columns))
        totals = {
            number: other
            for number, fold in enumerate(folds)
            for other, whole in enumerate(folds)
            if fold.is_total_of(whole)
        }
        started = {number: fold.start() for number, fold in enumerate(folds) if number not in totals}
        often = [column for column in columns if not column.is_seldom]
        slices = _slices(self._database, folds[0], often, then)
        waiting = deque(self._thread.submit(next, slices, None) for _ in range(_AHEAD))
        while (found := waiting.popleft().result()) is not None:
            waiting.append(self._thread.submit(next, slices, None))
            told = _values(often, found)
            told |= {each: partial(self._seldom, folds[0], often, each, found) for each in {*columns} - {*often}}
            for number, folding in started.items():
                folding.add(*map(told.__getitem__, folds[number].columns))

        def more(select: str, rest: str) -> list[Row]:
            sql = f"SELECT {select} FROM events WHERE {folds[0].which()} {rest}"
            return self._thread.submit(self._all, sql, {}).result()

        given = [
            cast("KnowsTotal", started[totals[number]]).total() if number in totals else started[number].rows(more)
            for number in range(len(folds))
        ]
        if not all(number in _INT64 for rows in given for row in rows for number in row if isinstance(number, int)):
            raise CantFold
        return given

    def _seldom(self, fold: Fold, often: Sequence[Column], column: Column, found: _Slice) -> Sequence[Any]:
        # With all else that was read, so that it comes in the same order.
        both = [*often, column]
        sql = _slice(fold, both, found.since_ns, found.until_ns)
        again = self._thread.submit(lambda: next(_read(self._database, sql))).result()
        values: Sequence[Any] = _values(both, again)[column]
        return values


def _nothing() -> None:
    """Nothing is to be done."""


@dataclass(frozen=True, slots=True)
class _Slice:
    """
    A stretch of time.

    Args:
        since_ns: Where it begins.
        until_ns: Before what it ends.
        count: How many events it has.
        texts: Of each column all values.
        known: Of each column how many values there are; None where there is one for each event.
    """

    since_ns: int
    until_ns: int
    count: int
    texts: Sequence[str]
    known: Sequence[int | None]


def _slices(
    database: sqlite3.Connection, fold: Fold, columns: Sequence[Column], then: Callable[[], None]
) -> Generator[_Slice]:
    """One stretch of time after the other; not those without events."""
    stretches = [*pairwise(_borders(database, fold.since_ns, fold.until_ns))]
    for start in range(0, len(stretches), _IN_ONE):
        # The row of a further stretch waits once for the interpreter's lock; a statement of its own waits six times.
        sql = " UNION ALL ".join(_slice(fold, columns, *each) for each in stretches[start : start + _IN_ONE])
        yield from (found for found in _read(database, sql) if found.count)
    then()


def _slice(fold: Fold, columns: Sequence[Column], since_ns: int, until_ns: int) -> str:
    told = ", ".join(map(_joined, columns))
    which = fold.which(since_ns, until_ns)
    return f"SELECT {since_ns}, {until_ns}, count(*), {told} FROM events WHERE {which}"


def _read(database: sqlite3.Connection, sql: str) -> Iterator[_Slice]:
    for since_ns, until_ns, count, *cells in database.execute(sql):
        yield _Slice(since_ns, until_ns, count, cells[::2], cells[1::2])


def _joined(column: Column) -> str:
    if column.kind == "digit":
        return f"group_concat({column.sql}, ''), NULL"
    if column.is_told:
        return f"group_concat({column.sql}, '{_SPLIT}'), NULL"
    return f"group_concat(coalesce({column.sql}, '{_NOTHING}'), '{_SPLIT}'), count({column.sql})"


def _borders(database: sqlite3.Connection, since_ns: int, until_ns: int) -> list[int]:
    """
    Where slices begin and end: at the time of each so manieth event that came in, which needs no counting.

    What happened at one moment stays together. Slices are alike where events come in by time, as they nearly do.
    """
    (last,) = database.execute("SELECT max(id) FROM events").fetchone()
    at = "SELECT time_ns FROM events WHERE id >= ? ORDER BY id LIMIT 1"
    times = {database.execute(at, (number,)).fetchone()[0] for number in range(SLICE, (last or 0) + 1, SLICE)}
    return [since_ns, *sorted(time for time in times if since_ns < time < until_ns), until_ns]


def _values(columns: Sequence[Column], found: _Slice) -> dict[Column, Any]:
    """
    Of each column one value for each event.

    Raises:
        CantFold: They can't be told apart for sure.
    """
    read = zip(columns, found.texts, found.known, strict=True)
    return {column: _values_of(column, text, known, found.count) for column, text, known in read}


def _values_of(column: Column, text: str, known: int | None, count: int) -> Sequence[Any]:
    if column.kind == "digit":
        numbers = text.encode().translate(_NUMBERS)
        if len(numbers) != count:
            raise CantFold
        return numbers
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
