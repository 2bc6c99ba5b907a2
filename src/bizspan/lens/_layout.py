"""
How a row of the store looks while it is on its way there: one list, in the order of the columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from bizspan._columns import COLUMNS

Row = list[Any]
# In the order of the columns too: a value for each of some rows, or none where no row has one.
Columns = list[Sequence[Any]]

# Of events and logs alike: name, SQL's type.
RECORD_COLUMNS: Final[dict[str, str]] = {
    "uid": "TEXT NOT NULL UNIQUE",
    "time_ns": "INTEGER NOT NULL",
    "observed_ns": "INTEGER",
    "received_ns": "INTEGER NOT NULL",
    "name": "TEXT",
    "severity": "INTEGER",
    "severity_text": "TEXT",
    "flags": "INTEGER",
    "trace_id": "TEXT",
    "span_id": "TEXT",
    "resource_id": "INTEGER NOT NULL",
    "scope_id": "INTEGER NOT NULL",
    **{column.name: column.kind for column in COLUMNS.values()},
    "body": "TEXT",
    "attributes": "TEXT NOT NULL",
}
INDEX: Final = {name: index for index, name in enumerate(RECORD_COLUMNS)}
EMPTY: Final[Row] = [None] * len(RECORD_COLUMNS)

SPAN_COLUMNS: Final[dict[str, str]] = {
    "trace_id": "TEXT NOT NULL",
    "span_id": "TEXT NOT NULL",
    "parent": "TEXT",
    "name": "TEXT NOT NULL",
    "kind": "INTEGER NOT NULL",
    "service": "TEXT",
    "version": "TEXT",
    "operation": "TEXT",
    "start_ns": "INTEGER NOT NULL",
    "end_ns": "INTEGER NOT NULL",
    "received_ns": "INTEGER NOT NULL",
    "status": "INTEGER NOT NULL",
    "status_message": "TEXT",
    "trace_state": "TEXT",
    "resource_id": "INTEGER NOT NULL",
    "scope_id": "INTEGER NOT NULL",
    "events": "TEXT",
    "links": "TEXT",
    "attributes": "TEXT NOT NULL",
}

_POINT: Final = {
    "uid": "BLOB NOT NULL UNIQUE",
    "name": "TEXT NOT NULL",
    "unit": "TEXT NOT NULL",
    "description": "TEXT NOT NULL",
    "time_ns": "INTEGER NOT NULL",
    "start_ns": "INTEGER",
    "received_ns": "INTEGER NOT NULL",
    "flags": "INTEGER",
    "service": "TEXT",
    "resource_id": "INTEGER NOT NULL",
    "scope_id": "INTEGER NOT NULL",
    "attributes": "TEXT NOT NULL",
}
_SUMMED: Final = {"temporality": "INTEGER NOT NULL"}
# NUMERIC keeps a whole number whole.
GAUGE_COLUMNS: Final[dict[str, str]] = {**_POINT, "value": "NUMERIC"}
SUM_COLUMNS: Final[dict[str, str]] = {
    **_POINT, **_SUMMED, "is_monotonic": "INTEGER NOT NULL", "value": "NUMERIC",
}  # fmt: skip
HISTOGRAM_COLUMNS: Final[dict[str, str]] = {
    **_POINT, **_SUMMED, "count": "INTEGER NOT NULL", "sum": "REAL", "min": "REAL", "max": "REAL",
    "bounds": "TEXT NOT NULL", "bucket_counts": "TEXT NOT NULL",
}  # fmt: skip

# What rows may go to, and its columns. `id` comes first in each, and counts up.
TABLES: Final[dict[str, dict[str, str]]] = {
    "events": RECORD_COLUMNS,
    "logs": RECORD_COLUMNS,
    "spans": SPAN_COLUMNS,
    "gauges": GAUGE_COLUMNS,
    "sums": SUM_COLUMNS,
    "histograms": HISTOGRAM_COLUMNS,
}


@dataclass(slots=True)
class Batch:
    """
    What one request brings.

    Args:
        rows: By table.
        blocks: By table: rows by column, and how many.
        resources: By id: their attributes, as JSON.
        scopes: By id: name, version, and attributes as JSON.
        refused: Records that are not kept.
        why: Of the first of them, for its sender.
        groups: Resources and scopes that were looked at.
    """

    rows: dict[str, list[Row]] = field(default_factory=lambda: {"events": [], "logs": []})
    blocks: dict[str, list[tuple[Columns, int]]] = field(default_factory=dict[str, list[tuple[Columns, int]]])
    resources: dict[int, str] = field(default_factory=dict[int, str])
    scopes: dict[int, tuple[str, str, str]] = field(default_factory=dict[int, tuple[str, str, str]])
    refused: int = 0
    why: str = ""
    groups: int = 0

    def to(self, table: str) -> list[Row]:
        """The rows of a table, to add to."""
        return self.rows.setdefault(table, [])

    def add(self, table: str, columns: Columns, count: int) -> None:
        """Add this many rows, by column."""
        self.blocks.setdefault(table, []).append((columns, count))

    def refuse(self, why: str) -> None:
        """Count one record that is not kept."""
        self.refused += 1
        self.why = self.why or why

    @property
    def size(self) -> int:
        """How many rows."""
        return sum(map(len, self.rows.values())) + sum(count for each in self.blocks.values() for _, count in each)

    @property
    def tables(self) -> set[str]:
        """Where there is something to go."""
        return {*self.blocks, *(table for table, rows in self.rows.items() if rows)}

    def columns(self, table: str) -> tuple[Columns, int]:
        """All that goes to a table, by column, and how many rows that is."""
        blocks: list[tuple[Columns, int]] = [*self.blocks.get(table, ())]
        if rows := self.rows.get(table):
            blocks.append((columnar(rows), len(rows)))
        if len(blocks) == 1:
            return blocks[0]
        total = sum(count for _, count in blocks)
        return [_joined(parts, blocks) for parts in zip(*(columns for columns, _ in blocks), strict=True)], total


def _joined(parts: Sequence[Sequence[Any]], blocks: Sequence[tuple[Columns, int]]) -> Sequence[Any]:
    if not any(parts):
        return ()
    joined: list[Any] = []
    for part, (_, count) in zip(parts, blocks, strict=True):
        joined += part or [None] * count
    return joined


def columnar(rows: Sequence[Row]) -> Columns:
    """The same by column; a column that no row has is an empty tuple."""
    count = len(rows)
    return [
        column if column[0] is not None or column.count(None) != count else () for column in zip(*rows, strict=True)
    ]
