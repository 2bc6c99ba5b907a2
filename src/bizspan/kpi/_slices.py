"""
Columns of many events at once: SQLite hands over each as one text, a slice of time after the other.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Literal

# Events of one reading; more where more happened at one moment. Twice as many no longer fit into the processor's cache.
SLICE: Final = 50_000
_SPLIT, _NOTHING = "\x1f", "\x1e"
_ZERO: Final = ord("0")
_NUMBERS: Final = bytes((code - _ZERO) % 256 for code in range(256))  # by the character's code
_IN_ONE: Final = 20  # slices of one statement


class CantFold(Exception):  # noqa: N818 - named like what happened
    """The statement itself has to be run: a value looks like what tells values apart, or there are too many."""


@dataclass(frozen=True, slots=True)
class Column:
    """
    What is read of each event.

    Args:
        sql: A text, a whole number, or one of the texts that `digit` gives, such as 0 and 1; or an aggregate, which is
            one whole number for all events of a slice.
        kind: Which of them.
        is_told: Whether there is one for each; so it is of digits.
        is_seldom: Whether it is only read when it is asked for: what is given is a function without arguments.
    """

    sql: str
    kind: Literal["text", "int", "digit", "number"] = "text"
    is_told: bool = False
    is_seldom: bool = False


def digit(number: int) -> str:
    """One character for a small number, 0 to 9 and beyond: many of them are read as bytes, in one step."""
    return chr(_ZERO + number)


@dataclass(frozen=True, slots=True)
class Reading:
    """
    Which events are read.

    Args:
        since_ns: From when on.
        until_ns: Before when.
        conditions: Which of them; all values are written out.
        cuts: Moments at which a slice ends, and another one begins.
    """

    since_ns: int
    until_ns: int
    conditions: str
    cuts: Sequence[int] = ()

    def which(self, since_ns: int, until_ns: int) -> str:
        """The condition of an event that is read, in this part of the time."""
        return f"time_ns >= {since_ns} AND time_ns < {until_ns} AND {self.conditions}"


@dataclass(frozen=True, slots=True)
class Slice:
    """
    A stretch of time.

    Args:
        since_ns: Where it begins.
        until_ns: Before what it ends.
        count: How many events it has.
        cells: Of each column all values, and how many of them are known; None where there is one for each event.
    """

    since_ns: int
    until_ns: int
    count: int
    cells: Sequence[tuple[Any, int | None]]


def slices(
    database: sqlite3.Connection, reading: Reading, columns: Sequence[Column], then: Callable[[], None]
) -> Generator[Slice]:
    """
    One stretch of time after the other; not those without events.

    Args:
        database: To read.
        reading: Which events.
        columns: What of each.
        then: Called after the last.
    """
    stretches = [*pairwise(_borders(database, reading))]
    for start in range(0, len(stretches), _IN_ONE):
        # The row of a further stretch waits once for the interpreter's lock; a statement of its own waits six times.
        sql = " UNION ALL ".join(_selected(reading, columns, *each) for each in stretches[start : start + _IN_ONE])
        yield from (found for found in _read(database, sql) if found.count)
    then()


def again(database: sqlite3.Connection, reading: Reading, columns: Sequence[Column], found: Slice) -> Slice:
    """The same slice once more, with other columns."""
    return next(_read(database, _selected(reading, columns, found.since_ns, found.until_ns)))


def _selected(reading: Reading, columns: Sequence[Column], since_ns: int, until_ns: int) -> str:
    told = ", ".join(map(_joined, columns))
    which = reading.which(since_ns, until_ns)
    return f"SELECT {since_ns}, {until_ns}, count(*), {told} FROM events WHERE {which}"


def _read(database: sqlite3.Connection, sql: str) -> Iterator[Slice]:
    for since_ns, until_ns, count, *cells in database.execute(sql):
        yield Slice(since_ns, until_ns, count, [*zip(cells[::2], cells[1::2], strict=True)])


def _joined(column: Column) -> str:
    """The values, and how many are known."""
    if column.kind == "number":
        return f"{column.sql}, NULL"
    if column.kind == "digit":
        return f"group_concat({column.sql}, ''), NULL"
    if column.is_told:
        return f"group_concat({column.sql}, '{_SPLIT}'), NULL"
    return f"group_concat(coalesce({column.sql}, '{_NOTHING}'), '{_SPLIT}'), count({column.sql})"


def _borders(database: sqlite3.Connection, reading: Reading) -> list[int]:
    """
    Where slices begin and end: at the time of each so manieth event that came in, which needs no counting.

    What happened at one moment stays together. Slices are alike where events come in by time, as they nearly do.
    """
    (last,) = database.execute("SELECT max(id) FROM events").fetchone()
    at = "SELECT time_ns FROM events WHERE id >= ? ORDER BY id LIMIT 1"
    times = {database.execute(at, (number,)).fetchone()[0] for number in range(SLICE, (last or 0) + 1, SLICE)}
    inside = sorted(time for time in {*times, *reading.cuts} if reading.since_ns < time < reading.until_ns)
    return [reading.since_ns, *inside, reading.until_ns]


def values(columns: Iterable[Column], found: Slice) -> dict[Column, Any]:
    """
    Of each column one value for each event.

    Raises:
        CantFold: They can't be told apart for sure.
    """
    read = zip(columns, found.cells, strict=True)
    return {column: _values_of(column, told, known, found.count) for column, (told, known) in read}


def _values_of(column: Column, told: Any, known: int | None, count: int) -> Any:
    if column.kind == "number":
        return told
    if column.kind == "digit":
        return _digits(told, count)
    parts: list[Any] = told.split(_SPLIT)
    if len(parts) != count:
        raise CantFold
    if column.kind == "int":
        return _numbers(parts)
    if known is None or known == count:
        return parts
    if parts.count(_NOTHING) != count - known:
        raise CantFold
    return [None if value == _NOTHING else value for value in parts]


def _digits(text: str, count: int) -> bytes:
    numbers = text.encode().translate(_NUMBERS)
    if len(numbers) != count:
        raise CantFold
    return numbers


def _numbers(parts: Sequence[str]) -> list[int]:
    try:
        return [*map(int, parts)]
    except ValueError:
        raise CantFold from None
