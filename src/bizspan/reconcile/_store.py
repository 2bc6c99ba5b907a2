"""
Both sides, sorted by order: in a temporary database, so that millions of lines take disk instead of memory.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any, Final

from bizspan.reconcile._ledger import LedgerLine

if TYPE_CHECKING:
    from bizspan.reconcile._events import ToldLine

_BATCH: Final = 10_000
_SCHEMA: Final = """
PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -16384; PRAGMA temp_store = FILE;
CREATE TABLE book (line INTEGER, ord TEXT, refund INTEGER, currency TEXT, minor INTEGER, time_ns INTEGER, day TEXT,
    exact INTEGER, key TEXT, inside INTEGER);
CREATE TABLE told (uid TEXT, ord TEXT, refund INTEGER, currency TEXT, minor INTEGER, time_ns INTEGER, day TEXT,
    customer INTEGER, note TEXT, inside INTEGER);
"""
# The first delivery of each: where there is one min(), the other columns are those of its row.
_ONCE: Final = """
CREATE TABLE once AS SELECT uid, ord, refund, currency, minor, time_ns, day, customer, note, inside, min(rowid),
    count(*) AS deliveries FROM told GROUP BY uid;
"""
_DIFFERING: Final = """
SELECT count(*) FROM (
    SELECT uid FROM told GROUP BY uid HAVING min(currency) <> max(currency) OR min(minor) <> max(minor)
)
"""
# An application may tell the order as idempotency key alone: the uid leads back to it.
_ADOPT: Final = """
CREATE TABLE keys AS SELECT uid_of(refund, key) AS uid, min(ord) AS ord FROM book GROUP BY 1;
CREATE INDEX by_uid ON keys (uid);
UPDATE once SET ord = coalesce((SELECT keys.ord FROM keys WHERE keys.uid = once.uid), '') WHERE ord = '';
DROP TABLE keys;
"""
_SORTED: Final = """
SELECT ord, refund, ord, 0, inside, currency, minor, time_ns, day, key, line, exact FROM book
UNION ALL SELECT CASE ord WHEN '' THEN char(0) || uid ELSE ord END, refund, ord, 1, inside, currency, minor, time_ns,
    day, uid, note, customer FROM once
ORDER BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class Told:
    """One event of a group; see `ToldLine`."""

    uid: str
    currency: str
    minor: int | None
    time_ns: int
    day: str
    is_customer: bool
    note: str


@dataclass(slots=True)
class Group:
    """
    Everything about one order's sale, or about its refunds.

    Args:
        order: Its id; empty for an event that tells none.
        is_refund: Which of the two.
        is_inside: Whether any of it lies in the period.
        book: Of the ledger.
        told: Of the events, each uid once.
    """

    order: str
    is_refund: bool
    is_inside: bool = False
    book: list[LedgerLine] = field(default_factory=list[LedgerLine])
    told: list[Told] = field(default_factory=list[Told])


@dataclass(frozen=True, slots=True)
class Period:
    """From `since_ns`, before `until_ns`."""

    since_ns: int = -(2**63)
    until_ns: int = 2**63

    def has(self, time_ns: int) -> bool:
        """Whether it lies inside."""
        return self.since_ns <= time_ns < self.until_ns


class Store:
    """
    Takes both sides, and gives them back by order. The file vanishes with the process, however that ends.

    Args:
        period: What is compared; the rest is kept for orders that have a part in it.
    """

    def __init__(self, period: Period) -> None:
        self._period = period
        self._database = sqlite3.connect("")  # a private file in the temporary directory, unlinked at once
        self._database.isolation_level = None
        self._database.executescript(_SCHEMA)
        self.ledger_lines = 0
        self.delivered_twice = 0
        self.delivered_differing = 0

    def close(self) -> None:
        """Give the disk back."""
        self._database.close()

    def take_ledger(self, lines: Iterable[LedgerLine]) -> None:
        """Keep these lines."""
        has = self._period.has
        rows = (
            (
                each.row, each.order, each.is_refund, each.currency, each.minor, each.time_ns, each.day,
                each.is_exact, each.key, has(each.time_ns),
            )
            for each in lines
        )  # fmt: skip
        self.ledger_lines += self._insert("book", rows)

    def take_events(self, lines: Iterable[ToldLine], day_of: Callable[[int], str]) -> None:
        """Keep what these events say."""
        has = self._period.has
        rows = (
            (
                each.uid, each.order, each.is_refund, each.currency, each.minor, each.time_ns, day_of(each.time_ns),
                each.is_customer, each.note, has(each.time_ns),
            )
            for each in lines
        )  # fmt: skip
        self._insert("told", rows)

    def _insert(self, table: str, rows: Iterator[tuple[object, ...]]) -> int:
        count = 0
        statement = f"INSERT INTO {table} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        while batch := list(islice(rows, _BATCH)):
            count += len(batch)
            self._database.execute("BEGIN")
            self._database.executemany(statement, batch)
            self._database.execute("COMMIT")
        return count

    def settle(self, uid_of: Callable[[bool, str], str] | None) -> None:
        """
        Count each uid once, and give events without an order the order that their uid belongs to.

        Args:
            uid_of: The uid of a refund (True) or a sale with this idempotency key; None where it has no one name.
        """
        self._database.executescript(_ONCE)
        (self.delivered_twice,) = self._database.execute("SELECT count(*) FROM once WHERE deliveries > 1").fetchone()
        if self.delivered_twice:
            (self.delivered_differing,) = self._database.execute(_DIFFERING).fetchone()
        self._database.execute("DROP TABLE told")
        if uid_of is None or not self._database.execute("SELECT 1 FROM once WHERE ord = '' LIMIT 1").fetchone():
            return

        def of_row(refund: int, key: str) -> str:
            return uid_of(bool(refund), key)

        self._database.create_function("uid_of", 2, of_row)
        self._database.executescript(_ADOPT)

    def groups(self) -> Iterator[Group]:
        """Both sides by order; may be called again."""
        rows = self._database.execute(_SORTED)
        for (_, is_refund), lines in groupby(rows, lambda row: row[:2]):
            yield _group(bool(is_refund), lines)


def _group(is_refund: bool, rows: Iterable[tuple[Any, ...]]) -> Group:
    group = Group("", is_refund)
    for _, _, group.order, is_told, inside, currency, minor, time_ns, day, key, extra, flag in rows:
        group.is_inside = group.is_inside or bool(inside)
        if is_told:
            group.told.append(Told(key, currency, minor, time_ns, day, bool(flag), extra))
        else:
            group.book.append(LedgerLine(extra, group.order, is_refund, currency, minor, time_ns, day, bool(flag), key))
    return group
