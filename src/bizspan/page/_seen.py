"""
When versions and features were first and last seen; and what is marked on charts.
"""

from __future__ import annotations

import sqlite3
import time
from typing import Final

from bizspan.page._charts import Mark
from bizspan.page._filter import Asked

_SEEN_FOR_S: Final = 20.0
_FIRST_AND_LAST: Final = """
SELECT dimension, value, min(first), max(last) FROM (
    SELECT dimension, value, first, last FROM hour_counts WHERE hour NOT IN (SELECT hour FROM open_hours)
    UNION ALL
    SELECT dimension, value, minute, minute FROM open_hours
    JOIN minute_counts ON minute >= hour AND minute < hour + 3600
) WHERE dimension IN ('version', 'feature') GROUP BY 1, 2
"""


class Seen:
    """What is known of the store, for a while."""

    def __init__(self) -> None:
        self._seen: dict[str, dict[str, tuple[int, int]]] = {}
        self._seen_at = float("-inf")

    def of(self, connection: sqlite3.Connection, dimension: str) -> dict[str, tuple[int, int]]:
        """Of versions or of features, by value, the first and the last minute; read again after a while."""
        if time.monotonic() - self._seen_at > _SEEN_FOR_S:
            found: dict[str, dict[str, tuple[int, int]]] = {}
            for of, value, first, last in connection.execute(_FIRST_AND_LAST):
                found.setdefault(of, {})[value] = (first, last)
            self._seen, self._seen_at = found, time.monotonic()
        return self._seen.get(dimension, {})

    def marks(self, connection: sqlite3.Connection, asked: Asked) -> list[Mark]:
        """Releases, by the first appearance of each version but the first one ever; and what people marked."""
        seen = self.of(connection, "version")
        begin = min((first for first, _ in seen.values()), default=0)
        found: list[Mark] = [
            (first, version, 0)
            for version, (first, _) in seen.items()
            if max(asked.since, begin + 1) <= first < asked.until
        ]
        country = asked.filters.get("country", "")
        for label, since_ns, until_ns, where in connection.execute(
            "SELECT label, since_ns, until_ns, country FROM marks WHERE since_ns < ? AND until_ns > ?",
            (asked.until * 10**9, asked.since * 10**9),
        ):
            if not (where and country and where != country):
                shown = f"{label} ({where})" if where else label
                found.append((max(since_ns // 10**9, asked.since), shown, min(until_ns // 10**9, asked.until)))
        return sorted(found)
