"""
Events counted by hour and by customers' facts together: what a page reads under a filter by these, instead of events.

There is one row for what agrees in all of them. Events are counted in the order in which they came in, some at a time,
and what was counted until then is noted in the same transaction: what came later is read from the events. So an hour
has rows of several times, until these are put together.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from typing import Final

from bizspan._columns import DURATION, HOUR_FACTS, HOUR_MONEY, is_beyond_64_bits, money_of_events, money_of_hours

AT_ONCE: Final = 10_000  # events; 3 us each
_HOUR: Final = 3_600
_FEW: Final = 1_000  # are read in no time
_ROWS_MANY: Final = 50_000  # of an hour that is not over: put together meanwhile
_ROWS_MOST: Final = 250_000  # to put more of them together would hold up what comes in
_PART: Final = 10  # what is less than this part of an hour is little
_KEYS: Final = ", ".join((*HOUR_FACTS, *(f"{kind}_currency" for kind in HOUR_MONEY)))
_SUMS: Final = ", ".join(map(money_of_events, HOUR_MONEY))
# One key is sorted in two thirds of the time of many.
_COUNTED: Final = (
    f"INSERT INTO hour_facts SELECT time_ns / {_HOUR * 10**9} * {_HOUR} AS hour, {_KEYS}, count(*), "
    f"count({DURATION}), sum({DURATION}), {_SUMS} FROM events "
)
_GROUPED: Final = f" GROUP BY json_array(time_ns / {_HOUR * 10**9}, {_KEYS})"
_BY_ID: Final = "NOT INDEXED WHERE id > ? AND id <= ?"
_BY_HOUR: Final = (
    f"WHERE time_ns >= ? * {10**9} AND time_ns < (? + {_HOUR}) * {10**9} AND id <= (SELECT id FROM facts_until)"
)
_LOOSE: Final = (
    f"INSERT INTO loose_hours SELECT time_ns / {_HOUR * 10**9} * {_HOUR}, count(*) FROM events {_BY_ID} "
    "GROUP BY 1 ON CONFLICT DO UPDATE SET added = added + excluded.added"
)
_ADDED_UP: Final = ", ".join(map(money_of_hours, HOUR_MONEY))
_TOGETHER: Final = (
    f"CREATE TEMP TABLE put_together AS SELECT hour, {_KEYS}, sum(count), sum(timed), sum(duration_s), {_ADDED_UP} "
    f"FROM hour_facts WHERE hour = ? GROUP BY json_array({_KEYS})"
)

TABLES: Final = (
    "CREATE TABLE hour_facts (hour INTEGER NOT NULL, "
    + ", ".join(f"{name} TEXT" for name in _KEYS.split(", "))
    + ", count INTEGER NOT NULL, timed INTEGER NOT NULL, duration_s REAL, "
    + ", ".join(f"{kind}_count INTEGER NOT NULL, {kind}_minor INTEGER, {kind}_missing INTEGER" for kind in HOUR_MONEY)
    + ");\nCREATE INDEX hour_facts_by_hour ON hour_facts (hour);\n"
    "CREATE TABLE loose_hours (hour INTEGER PRIMARY KEY, added INTEGER NOT NULL);\n"
    "CREATE TABLE facts_until (id INTEGER NOT NULL);\n"
    "INSERT INTO facts_until VALUES (0);\n"
)


def count_all(connection: sqlite3.Connection) -> Iterator[None]:
    """Count all events that came in, but for a few, and yield after each time that there may be more (see `count`)."""
    while count(connection):
        yield


def count(connection: sqlite3.Connection) -> bool:
    """
    Count events that came in since the last time, in a transaction of its own.

    Args:
        connection: That of the writer, outside a transaction.

    Returns:
        Whether there may be more of them.

    Raises:
        sqlite3.Error: The disk is full, or broken.
    """
    connection.execute("BEGIN IMMEDIATE")
    found: tuple[int, int | None] = connection.execute(
        "SELECT id, (SELECT max(id) FROM events) FROM facts_until"
    ).fetchone()
    since, last = found[0], found[1] or 0
    if last < since:
        _forget_all(connection)
        since = 0
    until = min(since + AT_ONCE, last)
    if until - since >= _FEW:
        _count(connection, since, until)
    connection.execute("COMMIT")
    return until - since >= AT_ONCE


def _count(connection: sqlite3.Connection, since: int, until: int) -> None:
    _insert(connection, _BY_ID, (since, until))
    connection.execute(_LOOSE, (since, until))
    connection.execute("UPDATE facts_until SET id = ?", (until,))


def _insert(connection: sqlite3.Connection, which: str, values: tuple[int, int]) -> None:
    try:
        connection.execute(f"{_COUNTED}{which}{_GROUPED}", values)
    except sqlite3.OperationalError as error:
        if not is_beyond_64_bits(error):
            raise
        connection.execute(f"{_COUNTED}{which}{_GROUPED}, id", values)  # one row for each


def put_together(connection: sqlite3.Connection, now_ns: int) -> Iterator[None]:
    """
    Make one row of those of an hour that agree, where it is over or has many, each hour in a transaction of its own.

    Where little was added since the last time, it is not worth it: a few late events may be of many hours.

    Args:
        connection: That of the writer, outside a transaction.
        now_ns: The time.

    Yields:
        Between two of them.

    Raises:
        sqlite3.Error: The disk is full, or broken.
    """
    over = now_ns // 10**9 - _HOUR
    due = [
        (hour, rows)
        for hour, added in connection.execute("SELECT hour, added FROM loose_hours ORDER BY hour").fetchall()
        for (rows,) in connection.execute("SELECT count(*) FROM hour_facts WHERE hour = ?", (hour,))
        if (hour <= over or rows > _ROWS_MANY) and added * _PART >= rows
    ]
    for number, (hour, rows) in enumerate(due):
        if number:
            yield
        _put_together(connection, hour, is_possible=rows <= _ROWS_MOST)


def _put_together(connection: sqlite3.Connection, hour: int, *, is_possible: bool) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("DELETE FROM loose_hours WHERE hour = ?", (hour,))
    connection.execute("DROP TABLE IF EXISTS put_together")
    try:
        if is_possible:
            connection.execute(_TOGETHER, (hour,))
            connection.execute("DELETE FROM hour_facts WHERE hour = ?", (hour,))
            connection.execute("INSERT INTO hour_facts SELECT * FROM put_together")
            connection.execute("DROP TABLE put_together")
    except sqlite3.OperationalError as error:
        if not is_beyond_64_bits(error):
            raise
    connection.execute("COMMIT")


def hours_after(connection: sqlite3.Connection, last: int, until_ns: int) -> list[int]:
    """Of events up to this id, the hours of those that say to be after that time."""
    hour = f"time_ns / {_HOUR * 10**9} * {_HOUR}"
    sql = f"SELECT DISTINCT {hour} FROM events NOT INDEXED WHERE id <= ? AND time_ns > ?"
    return [each for (each,) in connection.execute(sql, (last, until_ns))]


def count_again(connection: sqlite3.Connection, hours: Iterable[int]) -> None:
    """Count what is left of these hours, in the transaction that dropped some: those of clocks that run ahead."""
    for hour in hours:
        connection.execute("DELETE FROM hour_facts WHERE hour = ?", (hour,))
        _insert(connection, _BY_HOUR, (hour, hour))


def drop_until(connection: sqlite3.Connection, second: int) -> None:
    """Forget hours of which events were dropped, in the transaction that dropped these."""
    for table in ("hour_facts", "loose_hours"):
        connection.execute(f"DELETE FROM {table} WHERE hour <= ?", (second,))
    if connection.execute("SELECT max(id) FROM events").fetchone() == (None,):  # ids begin anew
        _forget_all(connection)


def _forget_all(connection: sqlite3.Connection) -> None:
    for table in ("hour_facts", "loose_hours"):
        connection.execute(f"DELETE FROM {table}")
    connection.execute("UPDATE facts_until SET id = 0")
