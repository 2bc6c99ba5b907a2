"""
How pages read the store: which table has which part of a period, and what runs a query.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from bizspan._columns import HOUR_FACTS
from bizspan.page._filter import CUSTOMERS, EVERYBODY, Asked
from bizspan.page._statements import written

DIMENSIONS: Final = ("reason", "segment", "country", "channel", "campaign", "feature", "version")
BASE: Final = frozenset({"operation", "outcome"})  # the minutes know them beside any dimension
HOUR: Final = 3_600
_BY_ID_MOST: Final = 50_000  # events
_CUSTOMER: Final = ("", "customer")


class Reader(Protocol):
    """What runs a query."""

    def execute(self, sql: str, values: Any = ..., /) -> Any:
        """Its rows come from `fetchall` of this."""
        ...


class Unasked:
    """In the place of a connection, where it is the SQL that is wanted, and nothing is to be run."""

    def execute(self, sql: str, values: Any = (), /) -> Unasked:
        """Nothing is run."""
        return self

    def fetchall(self) -> list[Any]:
        """No rows."""
        return []


def ran(connection: Reader, into: list[str], sql: str, values: Sequence[object]) -> list[Any]:
    """The rows of a query, which is noted as one can run it."""
    from bizspan.kpi._source import fetched

    into.append(written(sql, values))
    return fetched(connection, sql, values) if isinstance(connection, sqlite3.Connection) else []


def at_once(connection: Reader, into: list[str], sql: str, values: Sequence[object], *, width: int) -> list[list[Any]]:
    """
    The same of a query whose rows have no order, handed over as one text.

    For each row the interpreter's lock is given up, and is waited for where events come in meanwhile.

    Args:
        connection: That reads.
        into: Where the query is noted.
        sql: The query; where its first column is a JSON array, that is the beginning of each row.
        values: Its values.
        width: How many columns it has.
    """
    columns = [f"c{number}" for number in range(width)]
    is_keyed = sql.startswith("SELECT json_array(")
    row = ", ".join(["json(c0)", *columns[1:]] if is_keyed else columns)
    whole_sql = f"WITH found ({', '.join(columns)}) AS ({sql}) SELECT json_group_array(json_array({row})) FROM found"
    into.append(written(sql, values))
    rows: list[list[Any]] = []
    for (text,) in ran(connection, [], whole_sql, values):
        rows = json.loads(text)
    return [[*key, *others] for key, *others in rows] if is_keyed else rows


def whole(minor: float | str) -> int:
    """A sum of minor units: a text beyond 64 bits, and a floating-point number where that came up in one minute."""
    return round(minor) if isinstance(minor, float) else int(minor)


def stretches(connection: Reader, asked: Asked) -> list[tuple[str, int, int]]:
    """
    From which counts a period is read: ``hour`` or ``minute``, since when and until when.

    Hours that were added up, and the minutes of the others; minutes alone for people, who see one statement.
    """
    first, end = -(-asked.since // HOUR) * HOUR, asked.until // HOUR * HOUR
    if isinstance(connection, Unasked) or first >= end:
        return [("minute", asked.since, asked.until)]
    opened = connection.execute(
        "SELECT hour FROM open_hours WHERE hour >= ? AND hour < ? ORDER BY hour", (first, end)
    ).fetchall()
    minutes = [(asked.since, first), *((hour, hour + HOUR) for (hour,) in opened), (end, asked.until)]
    merged: list[tuple[int, int]] = []
    for since, until in minutes:
        if merged and merged[-1][1] == since:
            merged[-1] = merged[-1][0], until
        elif since < until:
            merged.append((since, until))
    # An empty list leaves no hour: all of them are open, one after the other.
    is_hourly = merged != [(asked.since, asked.until)]
    return [*([("hour", first, end)] if is_hourly else []), *(("minute", *each) for each in merged)]


@dataclass(frozen=True, slots=True)
class Facts:
    """
    How far the store has counted events by hour and customers' facts together.

    Args:
        until_id: The last event that was counted.
        is_by_id: Whether so few came later that they are found by their id.
        since: Before this hour retention may have dropped some.
        first_s: When the earliest of those that came later happened, in seconds since 1970.
        last_s: When the latest of them did.
        newest_s: When the newest of all did.
    """

    until_id: int
    is_by_id: bool
    since: int
    first_s: int
    last_s: int
    newest_s: int

    def stretches(self, since: int, until: int) -> list[tuple[str, int, int]]:
        """
        From what a time is read: since when and until when from ``hour_facts``, which has whole hours; from `later`,
        what they lack; and the rest from ``events``.
        """
        first = max(-(-since // HOUR) * HOUR, self.since)
        end = (until if until % HOUR == 0 else until + HOUR if self.newest_s < until else until) // HOUR * HOUR
        if first >= end:
            return [("events", since, until)]
        found = [("hour_facts", first, end)]
        if self.first_s < end and self.last_s >= first:
            found.append((self.later, first, end))
        if since < first:
            found.append(("events", since, first))
        if end < until:
            found.append(("events", end, until))
        return found

    @property
    def later(self) -> str:
        """What came in later, as a table."""
        return "events NOT INDEXED" if self.is_by_id else "events INDEXED BY events_by_time"


def stretches_by_facts(facts: Facts | None, asked: Asked, columns: Sequence[str]) -> list[tuple[str, int, int]]:
    """The same, where all that is asked for is among those facts; else all from the events."""
    if facts is None or not {*columns} <= {*HOUR_FACTS}:
        return [("events", asked.since, asked.until)]
    return facts.stretches(asked.since, asked.until)


def facts_of(connection: Reader) -> Facts | None:
    """How far they were counted; None where nothing runs: people see one statement, of the events."""
    found = connection.execute(
        "SELECT id, (SELECT max(id) FROM events), (SELECT max(time_ns) FROM events), "
        "(SELECT max(until_ns) FROM dropped WHERE what = 'events') FROM facts_until"
    ).fetchall()
    if not found or (found[0][1] or 0) < max(found[0][0], 1):  # nothing there, or ids began anew
        return None
    until_id, last_id, newest_ns, dropped_ns = found[0]
    since = 0 if dropped_ns is None else (dropped_ns // 10**9 // HOUR + 1) * HOUR
    newest_s = newest_ns // 10**9
    if last_id - until_id > _BY_ID_MOST:
        return Facts(until_id, False, since, 0, newest_s, newest_s)
    first_ns, last_ns = connection.execute(
        "SELECT coalesce(min(time_ns), 0), coalesce(max(time_ns), -1) FROM events NOT INDEXED WHERE id > ?", (until_id,)
    ).fetchall()[0]
    return Facts(until_id, True, since, first_ns // 10**9, last_ns // 10**9, newest_s)


def within(at: str) -> str:
    """The condition of a stretch; hours that are open are not added up."""
    closed = " AND hour NOT IN (SELECT hour FROM open_hours)" if at == "hour" else ""
    return f"{at} >= ? AND {at} < ?{closed}"


def counts(asked: Asked, traffic: str) -> bool:
    """Whether events of this traffic are asked for."""
    if asked.traffic == CUSTOMERS:
        return traffic in _CUSTOMER
    return asked.traffic in (EVERYBODY, traffic)
