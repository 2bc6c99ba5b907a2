"""
Rows of a statement without a sort: SQLite reads columns in the order of time, and Python puts them together.

SQLite has no hash table: what is told apart by customer or by order it sorts, which takes longer than all the rest. Here
it hands over each column of some 50,000 events as one text, without the interpreter's lock meanwhile; dictionaries do
what was the sort. The rows are those of the statement, in the same order, and tests hold them to it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

SLICE: Final = 50_000  # events of one reading; more where more happened at one moment
KEYS_MOST: Final = 1_000_000  # customers or orders that are kept in memory: beyond, SQLite sorts, on the disk
_SPLIT, _NOTHING = "\x1f", "\x1e"
_INT64: Final = range(-(1 << 63), 1 << 63)

Row = tuple[Any, ...]


class CantFold(Exception):  # noqa: N818 - named like what happened
    """The statement itself has to be run: a value looks like what tells values apart, or there are too many."""


@dataclass(frozen=True, slots=True)
class Column:
    """
    What is read of each event.

    Args:
        sql: A text, or a whole number.
        kind: Which of them.
    """

    sql: str
    kind: Literal["text", "int"] = "text"


class Folding(Protocol):
    """One statement's rows in the making."""

    def add(self, *columns: Sequence[Any]) -> None:
        """Take in some events, by column; all of those before happened earlier."""
        ...

    def rows(self, read: Read) -> list[Row]:
        """
        What the statement gives.

        Args:
            read: To read more of the same events.
        """
        ...


Read = Callable[[str, str], list[Row]]  # what is selected, and what follows the conditions


@dataclass(frozen=True, slots=True)
class Fold:
    """
    How a statement's rows are put together.

    Args:
        since_ns: From when on events are read.
        until_ns: Before when.
        conditions: Which of them.
        columns: What is read.
        start: Begins with nothing.
    """

    since_ns: int
    until_ns: int
    conditions: str
    columns: tuple[Column, ...]
    start: Callable[[], Folding]


def folded(
    database: sqlite3.Connection, told: Sequence[tuple[Fold, Mapping[str, Any]]]
) -> list[list[Row]]:  # fmt: skip
    """
    The rows of each; what reads the same events is read once.

    Args:
        database: In a transaction.
        told: Folds, and the parameters of their statements.

    Raises:
        CantFold: The statements have to be run.
    """
    found: dict[int, list[Row]] = {}
    for number, (fold, parameters) in enumerate(told):
        if number not in found:
            same = {
                n: each for n, (each, other) in enumerate(told)
                if (each.since_ns, each.until_ns, each.conditions, other) ==
                   (fold.since_ns, fold.until_ns, fold.conditions, parameters)
            }  # fmt: skip
            found |= zip(same, _together(database, list(same.values()), parameters), strict=True)
    return [found[number] for number in range(len(told))]


def _together(
    database: sqlite3.Connection, folds: Sequence[Fold], parameters: Mapping[str, Any]
) -> list[list[Row]]:  # fmt: skip
    columns = list(dict.fromkeys(column for fold in folds for column in fold.columns))
    started = [(fold.start(), [columns.index(column) for column in fold.columns]) for fold in folds]
    for read in _slices(database, folds[0], columns, parameters):
        for folding, places in started:
            folding.add(*(read[place] for place in places))

    def more(select: str, rest: str) -> list[Row]:
        return database.execute(
            f"SELECT {select} FROM events WHERE time_ns >= :fold_since AND time_ns < :fold_until "
            f"AND {folds[0].conditions} {rest}",
            {**parameters, "fold_since": folds[0].since_ns, "fold_until": folds[0].until_ns},
        ).fetchall()

    found = [folding.rows(more) for folding, _ in started]
    if not all(number in _INT64 for rows in found for row in rows for number in row if isinstance(number, int)):
        raise CantFold
    return found


def _slices(
    database: sqlite3.Connection, fold: Fold, columns: Sequence[Column], parameters: Mapping[str, Any]
) -> Generator[list[list[Any]]]:
    """The columns, of a stretch of time after the other."""
    told = ", ".join(f"group_concat(coalesce({each.sql}, '{_NOTHING}'), '{_SPLIT}'), count({each.sql})" for each in columns)
    sql = (
        f"SELECT count(*), {told} FROM events WHERE time_ns >= :fold_since AND time_ns < :fold_until "
        f"AND {fold.conditions}"
    )  # fmt: skip
    at = fold.since_ns
    while at < fold.until_ns:
        until = _end_of_slice(database, at, fold.until_ns)
        count, *cells = database.execute(sql, {**parameters, "fold_since": at, "fold_until": until}).fetchone()
        if count:
            pairs = zip(columns, cells[::2], cells[1::2], strict=True)
            yield [_values(column, text, count, known) for column, text, known in pairs]
        at = until


def _end_of_slice(database: sqlite3.Connection, since_ns: int, until_ns: int) -> int:
    """What happened at one moment stays together."""
    after = "SELECT time_ns FROM events WHERE time_ns >= ? AND time_ns < ? ORDER BY time_ns LIMIT 1 OFFSET ?"
    found = database.execute(after, (since_ns, until_ns, SLICE)).fetchone()
    if found is None:
        return until_ns
    end: int = found[0]
    return end if end > since_ns else end + 1


def _values(column: Column, text: str, count: int, known: int) -> list[Any]:
    """
    One value for each event.

    Raises:
        CantFold: They can't be told apart for sure.
    """
    values: list[Any] = text.split(_SPLIT)
    if len(values) != count:
        raise CantFold
    if known == count:
        try:
            return list(map(int, values)) if column.kind == "int" else values
        except ValueError:
            raise CantFold from None
    if values.count(_NOTHING) != count - known or column.kind == "int":
        raise CantFold
    return [None if value == _NOTHING else value for value in values]
