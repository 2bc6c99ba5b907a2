"""
Hours that are over, added up from their minutes: a page that is about a day reads a sixtieth of the rows.

An hour is open from when something of it comes in, which triggers see to, until it is added up. What reads takes open
hours from the minutes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Final

from bizspan._columns import is_beyond_64_bits

HOUR: Final = 3_600
_CELL: Final = "name, operation, outcome, traffic, dimension, value"
_ADDED_UP: Final = (
    (
        f"INSERT INTO hour_counts SELECT ?, {_CELL}, sum(count), sum(timed), sum(duration_us), min(minute), "
        f"max(minute) FROM minute_counts WHERE minute >= ? AND minute < ? GROUP BY {_CELL}"
    ),
    (
        f"INSERT INTO hour_money SELECT ?, {_CELL}, kind, currency, sum(count), sum(minor) "
        f"FROM minute_money WHERE minute >= ? AND minute < ? GROUP BY {_CELL}, kind, currency"
    ),
)


def add_up(connection: sqlite3.Connection, now_ns: int) -> Iterator[None]:
    """
    Add up the open hours that are over, each in a transaction of its own.

    Args:
        connection: That of the writer, outside a transaction.
        now_ns: The time.

    Yields:
        After each.

    Raises:
        sqlite3.Error: The disk is full, or broken.
    """
    over = (now_ns // 10**9 - HOUR,)
    for (hour,) in connection.execute("SELECT hour FROM open_hours WHERE hour <= ? ORDER BY hour", over).fetchall():
        _add_up(connection, hour)
        yield


def _add_up(connection: sqlite3.Connection, hour: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for table in ("hour_counts", "hour_money", "open_hours"):
            connection.execute(f"DELETE FROM {table} WHERE hour = ?", (hour,))
        for statement in _ADDED_UP:
            connection.execute(statement, (hour, hour, hour + HOUR))
    except sqlite3.OperationalError as error:
        if not is_beyond_64_bits(error):
            raise
        connection.execute("ROLLBACK")  # it stays open
        return
    connection.execute("COMMIT")


def drop_before(connection: sqlite3.Connection, minute: int) -> None:
    """Forget hours of which minutes were dropped, in the same transaction; what is left of one is open."""
    for table in ("hour_counts", "hour_money", "open_hours"):
        connection.execute(f"DELETE FROM {table} WHERE hour < ?", (minute,))
    if minute % HOUR:
        connection.execute("INSERT INTO open_hours VALUES (?)", (minute // HOUR * HOUR,))
