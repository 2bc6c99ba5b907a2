"""
Rows into their tables, inside the transaction of whoever calls.

Many rows go in with one statement: each statement gives up the interpreter's lock and has to get it back. Columns that
no row of a batch has are not named: binding NULL to thirty of them takes longer than the insert.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, compress
from typing import Any, Final

from bizspan.lens import _dropped
from bizspan.lens._layout import INDEX, TABLES, Batch, Columns
from bizspan.lens._rollups import Admitted, Deltas, deltas

_ROWS_MOST: Final = 128
_STATEMENTS_MOST: Final = 128
_COUNTS: Final = (
    "minute_counts",
    ("minute", "name", "operation", "outcome", "traffic", "dimension", "value"),
    ("count", "timed", "duration_us"),
)
_MONEY: Final = (
    "minute_money",
    ("minute", "name", "operation", "outcome", "traffic", "dimension", "value", "kind", "currency"),
    ("count", "minor"),
)
_SHOWN: Final = ("name", "operation", "outcome", "traffic", "currency")
_UID, _TIME = INDEX["uid"], INDEX["time_ns"]


# How many rows, and their values, row after row.
Chunk = tuple[int, list[Any]]


def _sizes(total: int) -> Iterator[int]:
    """Of chunks with so many rows in all. They are powers of two: so few statements stay prepared."""
    size = _ROWS_MOST
    while total:
        while size > total:
            size //= 2
        yield size
        total -= size


@lru_cache(_STATEMENTS_MOST)
def _statement(head: str, tail: str, width: int, size: int) -> str:
    """An insert of so many rows; made once: it is some thousand characters long."""
    rows = ",".join([f"({','.join('?' * width)})"] * size)
    return f"{head} VALUES {rows} {tail}"


def _chunked(rows: Sequence[tuple[Any, ...]]) -> list[Chunk]:
    chunks: list[Chunk] = []
    start = 0
    for size in _sizes(len(rows)):
        chunks.append((size, [*chain.from_iterable(rows[start : start + size])]))
        start += size
    return chunks


def _inserted(connection: sqlite3.Connection, head: str, tail: str, width: int, chunks: Iterable[Chunk]) -> int:
    """
    Insert rows; how many went in.

    Args:
        connection: In a transaction.
        head: What stands before the values.
        tail: What stands after them.
        width: Values of a row.
        chunks: The rows.
    """
    count = 0
    for size, values in chunks:
        count += connection.execute(_statement(head, tail, width, size), values).rowcount
    return count


@dataclass(frozen=True, slots=True)
class _Rows:
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


def _order(batch: Batch, table: str, columns: Columns, total: int) -> Sequence[int]:
    """In which order rows go in: of several with one uid, the first one does."""
    if len(batch.blocks.get(table, ())) <= 1:
        return range(total)
    # Indexes by time, and by uids that count up, then grow at their ends: less work, and full pages.
    return sorted(range(total), key=columns[_TIME].__getitem__)


def _rows_of(table: str, columns: Columns, total: int, order: Sequence[int]) -> _Rows:
    used = {name: column for name, column in zip(TABLES[table], columns, strict=True) if column}
    rows = [*zip(*used.values(), strict=True)]
    return _Rows(table, [*used], _chunked([*map(rows.__getitem__, order)]), total)


class Prepared:
    """
    A batch that is ready to be written: what takes the interpreter's time is done before, on the thread of its sender.

    Args:
        batch: Of one request.
        admitted: Of the store.
    """

    __slots__ = ("batch", "deltas", "_admitted", "_tables")

    def __init__(self, batch: Batch, admitted: Admitted) -> None:
        self.batch = batch
        self._admitted = admitted
        self._tables: list[_Rows] = []
        self.deltas = Deltas()
        for table in batch.tables:
            columns, total = batch.columns(table)
            if table == "events":
                self.deltas = deltas(columns, admitted)
            self._tables.append(_rows_of(table, columns, total, _order(batch, table, columns, total)))

    def insert(self, connection: sqlite3.Connection) -> int:
        """
        Insert what is not there yet; how many that were. `deltas` are those of these alone afterwards.

        Raises:
            sqlite3.Error: The transaction can't go on.
        """
        stored = 0
        for rows in self._tables:
            is_events = rows.table == "events"
            before = _last_id(connection, rows.table) if is_events else 0
            head = f"INSERT OR IGNORE INTO {rows.table} ({','.join(rows.names)})"
            count = _inserted(connection, head, "", len(rows.names), rows.chunks)
            if is_events:
                self._count(connection, count, rows.total, before)
            stored += count
        return stored

    def _count(self, connection: sqlite3.Connection, count: int, total: int, before: int) -> None:
        """Count those alone that went in, and that can't have been counted before they were dropped."""
        dropped_until_ns = _dropped.events_dropped_until_ns(connection)
        if count == total and dropped_until_ns is None:
            return
        columns: Columns = self.batch.columns("events")[0] if count == total else self._new(connection, before)
        if dropped_until_ns is not None:
            is_later = [time_ns > dropped_until_ns for time_ns in columns[_TIME]]
            earlier = is_later.count(False)
            if earlier:
                _dropped.note_uncounted(connection, earlier, dropped_until_ns)
                columns = [[*compress(column, is_later)] for column in columns]
        self.deltas = deltas(columns, self._admitted) if columns[_UID] else Deltas()

    def _new(self, connection: sqlite3.Connection, before: int) -> Columns:
        """The columns of the events that went in."""
        uids = {uid for (uid,) in connection.execute("SELECT uid FROM events WHERE id > ?", (before,))}
        columns, total = self.batch.columns("events")
        is_new = [False] * total
        for position in _order(self.batch, "events", columns, total):
            uid = columns[_UID][position]
            is_new[position] = uid in uids
            uids.discard(uid)  # the first one went in
        return [[*compress(column, is_new)] for column in columns]


def _last_id(connection: sqlite3.Connection, table: str) -> int:
    (last,) = connection.execute(f"SELECT max(id) FROM {table}").fetchone()
    return last or 0


def add_origins(connection: sqlite3.Connection, batches: Sequence[Batch], known: set[int]) -> set[int]:
    """Insert resources and scopes that the store lacks; their ids."""
    resources = {n: (n, told) for batch in batches for n, told in batch.resources.items() if n not in known}
    scopes = {n: (n, *told) for batch in batches for n, told in batch.scopes.items() if n not in known}
    connection.executemany("INSERT OR IGNORE INTO resources VALUES (?, ?)", list(resources.values()))
    connection.executemany("INSERT OR IGNORE INTO scopes VALUES (?, ?, ?, ?)", list(scopes.values()))
    return {*resources, *scopes}


def add_deltas(connection: sqlite3.Connection, found: Deltas, known: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Add what some events add to the minutes; dimensions with values that the store did not have."""
    for (table, key, sums), rows in (
        (_COUNTS, found.count_rows()),
        (_MONEY, found.money_rows()),
    ):
        columns = (*key, *sums)
        adding = ", ".join(f"{name} = {name} + excluded.{name}" for name in sums)
        _inserted(
            connection,
            f"INSERT INTO {table} ({','.join(columns)})",
            f"ON CONFLICT DO UPDATE SET {adding}",
            len(columns),
            _chunked(rows),
        )
    new = {pair for pair in _pairs(found) if pair[1] and pair not in known}
    connection.executemany("INSERT OR IGNORE INTO dimension_values VALUES (?, ?)", list(new))
    return new


def _pairs(found: Deltas) -> set[tuple[str, str]]:
    pairs: set[tuple[str, str]] = set()
    for _, name, operation, outcome, traffic, dimension, value in found.counts:
        pairs.add((dimension, value))
        pairs.update(zip(_SHOWN, (name, operation, outcome, traffic), strict=False))
    for *_, kind, currency in found.money:
        pairs.add(("money", kind))
        pairs.add(("currency", currency))
    return pairs
