"""
Hours that are over, counted by customers' facts together: what a page reads under a filter by these, instead of events.

There is one row for what agrees in all of them. An hour whose events hardly agree in anything has no such rows, and
neither has one with more events than can be counted while others wait to be written; its events are read.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from bizspan._columns import HOUR_FACTS, HOUR_MONEY
from bizspan.lens._dropped import events_dropped_until_ns

HOUR: Final = 3_600
_EVENTS_MOST: Final = 250_000  # 3 us each
_ROWS_LEAST: Final = 1_000  # fewer are read in no time
_KEYS: Final = ", ".join((*HOUR_FACTS, *(f"{kind}_currency" for kind in HOUR_MONEY)))
# Refused, or told in part, is missing: as in the minutes, and as KPIs have it.
_SUMS: Final = ", ".join(
    f"count({kind}_minor), sum({kind}_minor), "
    f"sum({kind}_invalid IS NOT NULL OR ({kind}_minor IS NULL) <> ({kind}_currency IS NULL))"
    for kind in HOUR_MONEY
)
# One key is sorted in two thirds of the time of many.
_COUNT: Final = (
    f"INSERT INTO hour_facts SELECT ?, {_KEYS}, count(*), count(duration_s), sum(duration_s), {_SUMS} "
    f"FROM events WHERE time_ns >= ? AND time_ns < ? GROUP BY json_array({_KEYS})"
)

TABLES: Final = (
    "CREATE TABLE hour_facts (hour INTEGER NOT NULL, "
    + ", ".join(f"{name} TEXT" for name in _KEYS.split(", "))
    + ", count INTEGER NOT NULL, timed INTEGER NOT NULL, duration_s REAL, "
    + ", ".join(f"{kind}_count INTEGER NOT NULL, {kind}_minor INTEGER, {kind}_missing INTEGER" for kind in HOUR_MONEY)
    + ");\nCREATE INDEX hour_facts_by_hour ON hour_facts (hour);\n"
    "CREATE TABLE fact_hours (hour INTEGER PRIMARY KEY);\n"
)


def count(connection: sqlite3.Connection, hour: int) -> None:
    """
    Count an hour, where it can be; what was counted of it before is forgotten.

    Args:
        connection: In a transaction.
        hour: Its first second, since 1970.

    Raises:
        sqlite3.OperationalError: A sum is beyond 64 bits.
    """
    _forget(connection, "= ?", hour)
    dropped_until_ns = events_dropped_until_ns(connection)
    if dropped_until_ns is not None and hour * 10**9 <= dropped_until_ns:
        return
    (events,) = connection.execute(
        "SELECT coalesce(sum(count), 0) FROM minute_counts WHERE minute >= ? AND minute < ? AND dimension = ''",
        (hour, hour + HOUR),
    ).fetchone()
    if not events or events > _EVENTS_MOST:
        return
    rows = connection.execute(_COUNT, (hour, hour * 10**9, (hour + HOUR) * 10**9)).rowcount
    if rows > max(_ROWS_LEAST, events // 2):
        _forget(connection, "= ?", hour)
    else:
        connection.execute("INSERT INTO fact_hours VALUES (?)", (hour,))


def drop_until(connection: sqlite3.Connection, second: int) -> None:
    """Forget hours of which events may be gone, in the transaction that drops these."""
    _forget(connection, "<= ?", second)


def _forget(connection: sqlite3.Connection, which: str, hour: int) -> None:
    for table in ("hour_facts", "fact_hours"):
        connection.execute(f"DELETE FROM {table} WHERE hour {which}", (hour,))
