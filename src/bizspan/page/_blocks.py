"""
What was counted of hours and days, kept in memory: a page that is shown again reads what is new alone.

A page is loaded again whenever something comes in. Before anything that is kept is used, the store is asked which hours
events came in for since then, and what retention dropped: what this touches is counted again.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable, Generator, Hashable
from typing import Any, Final, TypeVar

_HOUR, _QUARTER, _DAY = 3_600, 6 * 3_600, 86_400
_BY_DAY_FROM: Final = 3 * _DAY
_CELLS_MOST: Final = 200_000  # some 40 MB
_NEW_MOST: Final = 200_000
_T = TypeVar("_T")


def pieces(since: int, until: int) -> Generator[tuple[int, int, bool]]:
    """
    A time, cut at whole days where it is long, else at quarters of a day, and at whole hours at its ends.

    Fewer and longer pieces are counted faster the first time; an hour is what has to be counted again while it lasts.

    Args:
        since: In seconds since 1970.
        until: Where it ends.

    Yields:
        Start, end, and whether it is such a whole piece.
    """
    lengths = (_DAY, _QUARTER, _HOUR) if until - since >= _BY_DAY_FROM else (_QUARTER, _HOUR)
    at = since
    while at < until:
        length = next((each for each in lengths if at % each == 0 and at + each <= until), 0)
        end = at + length if length else min(until, (at // _HOUR + 1) * _HOUR)
        yield at, end, bool(length)
        at = end


class Blocks:
    """What is kept, of all questions; several threads may ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # By question, start and end: what was counted, and how many cells it has.
        self._kept: OrderedDict[tuple[Hashable, int, int], tuple[Any, int]] = OrderedDict()
        self._cells = 0
        self._last_id = 0
        self._dropped: list[Any] = []
        self._state = 0

    def over(
        self,
        connection: sqlite3.Connection,
        question: Hashable,
        period: tuple[int, int],
        read: Callable[[int, int], _T],
        cells: Callable[[_T], int],
    ) -> Generator[_T]:
        """
        What was counted, a piece of the period after the other; not to be changed.

        Args:
            connection: In a transaction.
            question: What is counted: filters, and by what.
            period: Start and end, in seconds since 1970.
            read: Counts what lies between two moments.
            cells: How large it is.
        """
        state = self._brought_up_to_date(connection)
        for since, until, is_whole in pieces(*period):
            key = question, since, until
            if is_whole and (kept := self._get(key, state)) is not None:
                yield kept
                continue
            found = read(since, until)
            if is_whole:
                self._keep(key, found, cells(found), state)
            yield found

    def _brought_up_to_date(self, connection: sqlite3.Connection) -> int:
        """The state that is kept, after what changed was dropped; -1 where the connection sees an older one."""
        with self._lock:
            last_id = connection.execute("SELECT max(id) FROM events").fetchone()[0] or 0
            dropped = connection.execute("SELECT * FROM dropped ORDER BY what, reason").fetchall()
            if dropped != self._dropped or last_id - self._last_id > _NEW_MOST:
                self._forget(list(self._kept))
            elif last_id < self._last_id:
                return -1
            elif last_id > self._last_id:
                hours = {
                    hour * _HOUR
                    for (hour,) in connection.execute(
                        f"SELECT DISTINCT time_ns / {_HOUR * 10**9} FROM events WHERE id > ?", (self._last_id,)
                    )
                }
                self._forget([key for key in self._kept if any(key[1] <= hour < key[2] for hour in hours)])
            if (last_id, dropped) != (self._last_id, self._dropped):
                self._last_id, self._dropped = last_id, dropped
                self._state += 1
            return self._state

    def _forget(self, keys: list[tuple[Hashable, int, int]]) -> None:
        for key in keys:
            self._cells -= self._kept.pop(key)[1]

    def _get(self, key: tuple[Hashable, int, int], state: int) -> Any:
        with self._lock:
            if state != self._state or key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key][0]

    def _keep(self, key: tuple[Hashable, int, int], found: object, cells: int, state: int) -> None:
        with self._lock:
            if state != self._state or key in self._kept or cells > _CELLS_MOST // 10:
                return
            self._kept[key] = found, cells
            self._cells += cells
            while self._cells > _CELLS_MOST:
                self._forget([next(iter(self._kept))])
