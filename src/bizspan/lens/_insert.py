"""
Rows into their tables, inside the transaction of whoever calls.

Many rows go in with one statement: each statement gives up the interpreter's lock and has to get it back. Columns that
no row of a batch has are not named: binding NULL to thirty of them takes longer than the insert.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import compress
from typing import Final

from bizspan.lens import _dropped
from bizspan.lens._layout import INDEX, Columns
from bizspan.lens._prepared import Chunk, Prepared, Rows, chunked
from bizspan.lens._rollups import Admitted, Deltas, deltas

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


@lru_cache(_STATEMENTS_MOST)
def _statement(head: str, tail: str, width: int, size: int) -> str:
    """An insert of so many rows; made once: it is some thousand characters long."""
    rows = ",".join([f"({','.join('?' * width)})"] * size)
    return f"{head} VALUES {rows} {tail}"


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


def insert(connection: sqlite3.Connection, prepared: Prepared, admitted: Admitted) -> tuple[int, Deltas]:
    """
    Insert what is not there yet; how many that were, and what the events among them add to the minutes.

    Raises:
        sqlite3.Error: The transaction can't go on.
    """
    stored, found = 0, Deltas()
    for rows in prepared.tables:
        is_events = rows.table == "events"
        before = _last_id(connection, rows.table) if is_events else 0
        head = f"INSERT OR IGNORE INTO {rows.table} ({','.join(rows.names)})"
        count = _inserted(connection, head, "", len(rows.names), rows.chunks)
        if is_events:
            left = _counted(connection, rows, count, before)
            if left is None:
                found = prepared.counted(admitted).deltas or found
            elif left[_UID]:
                found = deltas(left, admitted)
        stored += count
    return stored, found


def _counted(connection: sqlite3.Connection, rows: Rows, count: int, before: int) -> Columns | None:
    """Those events that went in, and that can't have been counted before they were dropped; None where all are that."""
    dropped_until_ns = _dropped.events_dropped_until_ns(connection)
    if count == rows.total and dropped_until_ns is None:
        return None
    columns: Columns = rows.columns() if count == rows.total else _new(connection, rows.columns(), before)
    if dropped_until_ns is not None:
        is_later = [time_ns > dropped_until_ns for time_ns in columns[_TIME]]
        earlier = is_later.count(False)
        if earlier:
            _dropped.note_uncounted(connection, earlier, dropped_until_ns)
            columns = [[*compress(column, is_later)] for column in columns]
    return columns


def _new(connection: sqlite3.Connection, columns: Columns, before: int) -> Columns:
    """Those that went in."""
    uids = {uid for (uid,) in connection.execute("SELECT uid FROM events WHERE id > ?", (before,))}
    is_new: list[bool] = []
    for uid in columns[_UID]:
        is_new.append(uid in uids)
        uids.discard(uid)  # the first one went in
    return [[*compress(column, is_new)] for column in columns]


def _last_id(connection: sqlite3.Connection, table: str) -> int:
    (last,) = connection.execute(f"SELECT max(id) FROM {table}").fetchone()
    return last or 0


def add_origins(connection: sqlite3.Connection, batches: Sequence[Prepared], known: set[int]) -> set[int]:
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
            chunked(rows),
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
