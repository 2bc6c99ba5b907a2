"""
What a store has dropped, and until when.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Dropped:
    """
    What retention has dropped.

    Args:
        what: The table.
        reason: ``age`` or ``size``; ``again`` of counts per minute: events that were stored and not counted, because
            they happened before what is dropped, and may have been counted then.
        count: Rows.
        until_ns: When the newest of them came in; of counts per minute, which minute; of events and gauges, when the
            newest happened, at the latest when it came in.
    """

    what: str
    reason: str
    count: int
    until_ns: int


def dropped_so_far(connection: sqlite3.Connection) -> list[Dropped]:
    """What was dropped since the store was made."""
    return [Dropped(*row) for row in connection.execute("SELECT what, reason, count, until_ns FROM dropped")]


def events_dropped_until_ns(connection: sqlite3.Connection) -> int | None:
    """When the newest event happened that is gone; None where none is. What is older may come again."""
    found: int | None = connection.execute("SELECT max(until_ns) FROM dropped WHERE what = 'events'").fetchone()[0]
    return found


def note_uncounted(connection: sqlite3.Connection, count: int, until_ns: int) -> None:
    """Note events that are stored and not counted per minute, as their minute may have them already."""
    note(connection, "minute_counts", "again", count, until_ns)


def note(connection: sqlite3.Connection, what: str, reason: str, count: int, until_ns: int) -> None:
    """Note rows that are dropped, in the transaction that drops them."""
    connection.execute(
        "INSERT INTO dropped VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count, "
        "until_ns = max(until_ns, excluded.until_ns)",
        (what, reason, count, until_ns),
    )
