"""
A batch that is ready to be written: what takes the interpreter's time is done before the thread that writes has it, and
may be done by another process.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Final

from bizspan.lens._layout import INDEX, TABLES, Batch, Columns
from bizspan.lens._rollups import Admitted, Deltas, deltas, raw_deltas

_ROWS_MOST: Final = 128  # of one statement: some hundred stay prepared, and each row of one takes 6 KB
_TIME: Final = INDEX["time_ns"]

# How many rows, and their values, row after row.
Chunk = tuple[int, list[Any]]


@dataclass(frozen=True, slots=True)
class Rows:
    """
    Rows on their way into a table.

    Args:
        table: Which.
        names: Of the columns that they have.
        chunks: The rows.
        total: How many.
    """

    table: str
    names: list[str]
    chunks: list[Chunk]
    total: int

    def columns(self) -> Columns:
        """The rows by column, in the order in which they go in."""
        values = [*chain.from_iterable(values for _, values in self.chunks)]
        told = {name: values[number :: len(self.names)] for number, name in enumerate(self.names)}
        return [told.get(name, ()) for name in TABLES[self.table]]


@dataclass(frozen=True, slots=True)
class Prepared:
    """
    What one request brings, as it is written.

    Args:
        tables: Rows, of each table once.
        deltas: What its events add to the minutes, where all of them are new; None where there are too many cells.
        resources: By id, as `Batch` has them.
        scopes: By id, as `Batch` has them.
        refused: Records that are not kept.
        why: Of the first of them, for its sender.
    """

    tables: list[Rows]
    deltas: Deltas | None
    resources: dict[int, str]
    scopes: dict[int, tuple[str, str, str]]
    refused: int
    why: str

    @classmethod
    def of(cls, batch: Batch) -> Prepared:
        """Prepare a batch."""
        tables: list[Rows] = []
        found: Deltas | None = Deltas()
        for table in batch.tables:
            columns, total = batch.columns(table)
            if table == "events":
                found = raw_deltas(columns)
            tables.append(_rows_of(table, columns, total, _order(batch, table, columns, total)))
        return cls(tables, found, batch.resources, batch.scopes, batch.refused, batch.why)

    def counted(self, admitted: Admitted) -> Prepared:
        """The same, with what its events add, where there were too many cells: by values that have one of their own."""
        if self.deltas is not None:
            return self
        (events,) = (rows for rows in self.tables if rows.table == "events")
        return replace(self, deltas=deltas(events.columns(), admitted))

    @property
    def size(self) -> int:
        """How many rows."""
        return sum(rows.total for rows in self.tables)


def _order(batch: Batch, table: str, columns: Columns, total: int) -> Sequence[int]:
    """In which order rows go in: of several with one uid, the first one does."""
    if len(batch.blocks.get(table, ())) <= 1:
        return range(total)
    # Indexes by time, and by uids that count up, then grow at their ends: less work, and full pages.
    return sorted(range(total), key=columns[_TIME].__getitem__)


def _rows_of(table: str, columns: Columns, total: int, order: Sequence[int]) -> Rows:
    used = {name: column for name, column in zip(TABLES[table], columns, strict=True) if column}
    rows = [*zip(*used.values(), strict=True)]
    return Rows(table, [*used], chunked([*map(rows.__getitem__, order)]), total)


def chunked(rows: Sequence[tuple[Any, ...]]) -> list[Chunk]:
    """Rows, as many together as go into one statement."""
    chunks: list[Chunk] = []
    start = 0
    for size in _sizes(len(rows)):
        chunks.append((size, [*chain.from_iterable(rows[start : start + size])]))
        start += size
    return chunks


def _sizes(total: int) -> Iterator[int]:
    """Of chunks with so many rows in all. They are powers of two: so few statements stay prepared."""
    size = _ROWS_MOST
    while total:
        while size > total:
            size //= 2
        yield size
        total -= size
