"""
What people know that no application tells: a holiday, a price change, a TV spot. And which alerts were said.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bizspan._plain import clean_text
from bizspan.errors import SetupError
from bizspan.lens import _database, _schema

KINDS: Final = ("holiday", "price", "outage", "release", "campaign", "other")
_LONGEST: Final = 200
_SINCE_FORMAT: Final = 2
_LATEST_NS: Final = 2**63


@dataclass(frozen=True, slots=True)
class Mark:
    """
    An external factor.

    Args:
        label: What people call it; without control characters.
        since_ns: Its start, in nanoseconds since the epoch.
        until_ns: Its end, which is not part of it.
        country: Where it was, as a code of ISO 3166; empty for everywhere.
        kind: ``holiday``, ``price``, ``outage``, ``release``, ``campaign`` or ``other``.
        id: Its number in the store; 0 where it is not in one.

    Raises:
        SetupError: One of them is none of these.
    """

    label: str
    since_ns: int
    until_ns: int
    country: str = ""
    kind: str = "other"
    id: int = 0

    def __post_init__(self) -> None:
        label, _ = clean_text(self.label.strip(), _LONGEST)
        if not label:
            raise SetupError("a mark needs a text that says what it was.")
        object.__setattr__(self, "label", label)
        if not 0 <= self.since_ns < self.until_ns < _LATEST_NS:
            raise SetupError(f"the mark {label!r} ends after it starts, from 1970 until 2262.")
        if self.kind not in KINDS:
            raise SetupError(f"the kind of a mark is one of {', '.join(KINDS)}, got {self.kind[:40]!r}.")
        if self.country and not (len(self.country) == 2 and self.country.isascii() and self.country.isalpha()):
            raise SetupError(f"a country is a code of two letters such as DE, got {self.country[:40]!r}.")
        object.__setattr__(self, "country", self.country.upper())


def add(path: Path, marks: Iterable[Mark]) -> int:
    """
    Keep marks in a store, all or none; one that is there already is not kept twice.

    Args:
        path: The store; made where there is none.
        marks: Which ones.

    Returns:
        How many are new.

    Raises:
        SetupError: The store can't be used.
    """
    with closing(_database.writer(path)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        before = connection.total_changes
        connection.executemany(
            "INSERT OR IGNORE INTO marks (label, since_ns, until_ns, country, kind) VALUES (?, ?, ?, ?, ?)",
            [(each.label, each.since_ns, each.until_ns, each.country, each.kind) for each in marks],
        )
        added = connection.total_changes - before
        connection.execute("COMMIT")
    return added


def listed(path: Path, since_ns: int = 0, until_ns: int = _LATEST_NS - 1) -> list[Mark]:
    """
    The marks that lie in a time, in part or whole, in their order.

    Args:
        path: The store.
        since_ns: From this moment.
        until_ns: Before this moment.

    Raises:
        SetupError: There is no store.
    """
    with _database.reading(path) as connection:
        if _schema.format_of(connection) < _SINCE_FORMAT:
            return []
        rows = connection.execute(
            "SELECT label, since_ns, until_ns, country, kind, id FROM marks"
            " WHERE since_ns < ? AND until_ns > ? ORDER BY since_ns, label, id",
            (until_ns, since_ns),
        )
        return [Mark(*row) for row in rows]


def remove(path: Path, number: int) -> bool:
    """
    Forget a mark.

    Args:
        path: The store.
        number: The mark's `id`.

    Returns:
        Whether it was there.

    Raises:
        SetupError: The store can't be used.
    """
    with _database.reading(path):  # one that is not there is not made
        pass
    with closing(_database.writer(path)) as connection:
        return connection.execute("DELETE FROM marks WHERE id = ?", (number,)).rowcount > 0


def is_said(path: Path, alert: str, since_ns: int) -> bool:
    """
    Whether an alert was said for the period that starts at this moment.

    Raises:
        SetupError: The store can't be read.
    """
    if not path.exists():
        return False
    with _database.reading(path) as connection:
        if _schema.format_of(connection) < _SINCE_FORMAT:
            return False
        query = "SELECT 1 FROM alerts_said WHERE alert = ? AND since_ns = ?"
        return connection.execute(query, (alert, since_ns)).fetchone() is not None


def say(path: Path, alerts: Iterable[tuple[str, int]], now_ns: int) -> None:
    """
    Remember alerts as said, each with the start of its period.

    Raises:
        SetupError: The store can't be used.
    """
    with closing(_database.writer(path)) as connection:
        connection.executemany(
            "INSERT OR IGNORE INTO alerts_said VALUES (?, ?, ?)", [(alert, at, now_ns) for alert, at in alerts]
        )
