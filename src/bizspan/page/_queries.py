"""
How pages read the store: which table has which part of a period, and what runs a query.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any, Final, Protocol

from bizspan.page._filter import CUSTOMERS, EVERYBODY, Asked
from bizspan.page._statements import written

DIMENSIONS: Final = ("reason", "segment", "country", "channel", "campaign", "feature", "version")
BASE: Final = frozenset({"operation", "outcome"})  # the minutes know them beside any dimension
HOUR: Final = 3_600
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


def all_events(asked: Asked) -> list[tuple[str, int, int]]:
    """A period that is read from the events."""
    return [("events", asked.since, asked.until)]


def fact_stretches(connection: Reader, asked: Asked) -> list[tuple[str, int, int]]:
    """
    From what a period is read by customers' facts together: ``hour_facts`` or ``events``, since when and until when.

    Hours that were counted by facts, and the events of the others; events alone for people, who see one statement.
    """
    counted: list[int] = [
        hour
        for (hour,) in connection.execute(
            "SELECT hour FROM fact_hours WHERE hour >= ? AND hour <= ? AND hour NOT IN (SELECT hour FROM open_hours) "
            "AND hour * 1000000000 > (SELECT coalesce(max(until_ns), -1) FROM dropped WHERE what = 'events') "
            "ORDER BY hour",
            (asked.since, asked.until - HOUR),
        ).fetchall()
    ]
    found: list[tuple[str, int, int]] = []
    at = asked.since
    for hour in counted:
        if at < hour:
            found.append(("events", at, hour))
        if at == hour and found and found[-1][0] == "hour_facts":
            found[-1] = "hour_facts", found[-1][1], hour + HOUR
        else:
            found.append(("hour_facts", hour, hour + HOUR))
        at = hour + HOUR
    return [*found, ("events", at, asked.until)] if at < asked.until or not found else found


def within(at: str) -> str:
    """The condition of a stretch; hours that are open are not added up."""
    closed = " AND hour NOT IN (SELECT hour FROM open_hours)" if at == "hour" else ""
    return f"{at} >= ? AND {at} < ?{closed}"


def cell(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """A row whose first value holds what it is grouped by: one key is sorted in two thirds of the time of many."""
    return (*json.loads(row[0]), *row[1:])


def counts(asked: Asked, traffic: str) -> bool:
    """Whether events of this traffic are asked for."""
    if asked.traffic == CUSTOMERS:
        return traffic in _CUSTOMER
    return asked.traffic in (EVERYBODY, traffic)
