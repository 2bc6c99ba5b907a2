"""
What is dropped when it is too old or too much: the oldest first, and counted.

Age is that since an event came in, not since it happened: what was imported late is not gone at once.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bizspan.lens import _dropped, _hour_facts, _hours
from bizspan.lens._layout import TABLES

_CHUNK: Final = 2_000
_CHUNKS_AT_ONCE: Final = 8  # more rows than one commit brings
_DAY_NS: Final = 86_400 * 10**9
_VACUUM_PAGES: Final = 2_000
_BELOW: Final = 0.95  # of the size, so that not every round drops
_BY_EVENT_TIME: Final = ("events", "gauges")  # a period of KPIs is whole when it begins later
_MINUTES: Final = ("minute_counts", "minute_money")


@dataclass(frozen=True, slots=True)
class Retention:
    """
    How much is kept.

    Args:
        days: Since an event, span or point came in.
        bytes: Of the store; beyond it the oldest go first.
        rollup_days: Of the counts per minute.
        logs: Rows of log records that are no events.
    """

    days: float = 90.0
    bytes: int = 10 << 30
    rollup_days: float = 730.0
    logs: int = 200_000

    @classmethod
    def everything(cls) -> Retention:
        """Nothing is dropped."""
        return cls(36_500.0, 1 << 62, 36_500.0, 1 << 62)


def keep_within(connection: sqlite3.Connection, retention: Retention, now_ns: int) -> Iterator[None]:
    """
    Drop what is beyond these bounds, in short transactions.

    Args:
        connection: That of the writer, outside a transaction.
        retention: The bounds.
        now_ns: The time.

    Yields:
        After each of them, once more rows were dropped than are written in between.

    Raises:
        sqlite3.Error: The disk is full, or broken.
    """
    for number, _ in enumerate(_drop_beyond(connection, retention, now_ns), 1):
        if number >= _CHUNKS_AT_ONCE:
            yield
    connection.execute(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})").fetchall()


def _drop_beyond(connection: sqlite3.Connection, retention: Retention, now_ns: int) -> Iterator[None]:
    before = now_ns - round(retention.days * _DAY_NS)
    for table in TABLES:
        while _drop_oldest(connection, table, "age", before_ns=before) == _CHUNK:
            yield
    minute = (now_ns - round(retention.rollup_days * _DAY_NS)) // 10**9
    _drop_minutes(connection, "age", minute)
    _keep_logs(connection, retention.logs)
    if used_bytes(connection) > retention.bytes:
        most = round(retention.bytes * _BELOW)
        while used_bytes(connection) > most and _drop_anything(connection):
            yield


def used_bytes(connection: sqlite3.Connection) -> int:
    """How much of the file is in use."""
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def _drop_oldest(connection: sqlite3.Connection, table: str, reason: str, *, before_ns: int = 1 << 62) -> int:
    """Drop the oldest rows of a table, a chunk of them at most; how many."""
    oldest = f"SELECT id, received_ns FROM {table} ORDER BY id LIMIT {_CHUNK}"
    last = connection.execute(f"SELECT max(id) FROM ({oldest}) WHERE received_ns < ?", (before_ns,)).fetchone()[0]
    if last is None:
        return 0
    connection.execute("BEGIN IMMEDIATE")
    newest = "min(time_ns, received_ns)" if table in _BY_EVENT_TIME else "received_ns"
    (until,) = connection.execute(f"SELECT max({newest}) FROM {table} WHERE id <= ?", (last,)).fetchone()
    ahead = _hour_facts.hours_after(connection, last, until) if table == "events" else []
    count = connection.execute(f"DELETE FROM {table} WHERE id <= ?", (last,)).rowcount
    _dropped.note(connection, table, reason, count, until)
    if table == "events":
        _hour_facts.drop_until(connection, until // 10**9)
        _hour_facts.count_again(connection, ahead)
    connection.execute("COMMIT")
    return count


def _drop_anything(connection: sqlite3.Connection) -> bool:
    """Drop some of what came in first; whether there was anything."""
    first = {
        table: row[0]
        for table in TABLES
        if (row := connection.execute(f"SELECT received_ns FROM {table} ORDER BY id LIMIT 1").fetchone())
    }
    if first:
        return bool(_drop_oldest(connection, min(first, key=first.__getitem__), "size"))
    # To one moment: hours are added up, or are not, for both.
    ends = [
        connection.execute(
            f"SELECT max(minute) FROM (SELECT minute FROM {table} ORDER BY minute LIMIT {_CHUNK})"
        ).fetchone()[0]
        for table in _MINUTES
    ]
    known = [last for last in ends if last is not None]
    return bool(known) and _drop_minutes(connection, "size", min(known) + 1)


def _drop_minutes(connection: sqlite3.Connection, reason: str, before: int) -> bool:
    """Drop counts and money of older minutes, and what was added up of them; whether there were any."""
    connection.execute("BEGIN IMMEDIATE")
    dropped = 0
    for table in _MINUTES:
        if count := connection.execute(f"DELETE FROM {table} WHERE minute < ?", (before,)).rowcount:
            _dropped.note(connection, table, reason, count, (before - 1) * 10**9)
            dropped += count
    if dropped:
        _hours.drop_before(connection, before)
    connection.execute("COMMIT")
    return dropped > 0


def _keep_logs(connection: sqlite3.Connection, most: int) -> None:
    first, last = connection.execute("SELECT min(id), max(id) FROM logs").fetchone()
    if last is not None and last - most >= first:
        connection.execute("BEGIN IMMEDIATE")
        (until,) = connection.execute("SELECT max(received_ns) FROM logs WHERE id <= ?", (last - most,)).fetchone()
        count = connection.execute("DELETE FROM logs WHERE id <= ?", (last - most,)).rowcount
        _dropped.note(connection, "logs", "size", count, until)
        connection.execute("COMMIT")
