"""
The store: one SQLite file, one thread that writes, and any number of readers.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from bizspan.errors import BizspanError
from bizspan.lens import _database, _hour_facts, _hours, _insert
from bizspan.lens._dropped import Dropped, dropped_so_far
from bizspan.lens._prepared import Prepared
from bizspan.lens._retention import Retention, keep_within
from bizspan.lens._rollups import Admitted, Deltas

_WAITING_ROWS_MOST: Final = 100_000
_GROUP_ROWS_MOST: Final = 8_192
_RETENTION_EVERY_S: Final = 30.0


class StoreError(BizspanError):
    """What was given to the store is not in it; trying again later may help."""


@dataclass(frozen=True, slots=True)
class Stored:
    """
    What became of a batch.

    Args:
        stored: Rows that are new.
        already: Rows that the store had.
        refused: Records that are not kept.
        why: Of the first of these.
    """

    stored: int = 0
    already: int = 0
    refused: int = 0
    why: str = ""

    def __add__(self, other: Stored) -> Stored:
        return Stored(
            self.stored + other.stored,
            self.already + other.already,
            self.refused + other.refused,
            self.why or other.why,
        )


class _Waiting:
    """A batch that waits for its commit."""

    __slots__ = ("done", "error", "prepared", "size", "stored")

    def __init__(self, prepared: Prepared) -> None:
        self.prepared = prepared
        self.size = prepared.size
        self.done = threading.Event()
        self.stored = 0
        self.error: Exception | None = None


class Store:
    """
    Events, spans and metric points in one SQLite file.

    What `write` has returned for is on the disk. Batches that wait at the same time share one commit.

    Args:
        path: The file; made where there is none.
        retention: What is kept, and for how long.
        time_ns: The clock.

    Raises:
        SetupError: The file can't be opened, is of another program, or of a newer bizspan.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        retention: Retention | None = None,
        time_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.path = Path(path)
        self.retention = retention or Retention()
        self.time_ns = time_ns
        self._connection = _database.writer(self.path)
        self._known_values = set(self._connection.execute("SELECT dimension, value FROM dimension_values"))
        self._known_origins: set[int] = set()
        self._admitted = Admitted(self._known_values)
        self._queue: deque[_Waiting] = deque()
        self._waiting_rows = 0
        self._changed = threading.Condition()
        self._is_closed = False
        self._prune_at = time.monotonic() + _RETENTION_EVERY_S
        self._prune_asked: list[threading.Event] = []
        self._writes = 0
        self._uncounted = 0  # rows since events were last counted by facts
        self._thread = threading.Thread(target=self._run, name="bizspan-lens-store", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def write(self, prepared: Prepared, *, timeout_s: float = 30.0) -> Stored:
        """
        Store a batch. Returns when it is on the disk.

        Args:
            prepared: What a request brings.
            timeout_s: How long to wait, in seconds.

        Raises:
            StoreError: It is not stored: the disk is full, too much waits, or the store is closed. After a timeout it
                may be stored later; sending it again is right in any case.
        """
        refused = Stored(refused=prepared.refused, why=prepared.why)
        waiting = _Waiting(prepared.counted(self._admitted))
        if not waiting.size:
            return refused
        with self._changed:
            if self._is_closed:
                raise StoreError("the store is closed")
            if self._waiting_rows > _WAITING_ROWS_MOST:
                raise StoreError("too much waits to be written")
            self._queue.append(waiting)
            self._waiting_rows += waiting.size
            self._changed.notify_all()
        if not waiting.done.wait(timeout_s):
            raise StoreError(f"not written within {timeout_s:g} s")
        if waiting.error is not None:
            raise StoreError(str(waiting.error))
        return Stored(waiting.stored, waiting.size - waiting.stored) + refused

    def reading(self) -> AbstractContextManager[sqlite3.Connection]:
        """A connection of its own that only reads, as of its first query on; closed at the end of the block."""
        return _database.reading(self.path)

    @property
    def version(self) -> int:
        """How often something was written: another number means that there is something new."""
        return self._writes

    def wait_for_change(self, version: int, timeout_s: float) -> int:
        """Wait until `version` is another one than this, or the time is over; the version then."""
        with self._changed:
            self._changed.wait_for(lambda: self._writes != version or self._is_closed, timeout_s)
            return self._writes

    def prune(self, *, timeout_s: float = 60.0) -> None:
        """Drop what is too old or too much, and add up hours that are over, now; by itself every half a minute."""
        asked = threading.Event()
        with self._changed:
            if self._is_closed:
                return
            self._prune_asked.append(asked)
            self._changed.notify_all()
        asked.wait(timeout_s)

    def dropped(self) -> list[Dropped]:
        """What retention has dropped since the store was made."""
        with self.reading() as connection:
            return dropped_so_far(connection)

    def close(self) -> None:
        """Write what waits, and close the file."""
        with self._changed:
            if self._is_closed:
                return
            self._is_closed = True
            self._changed.notify_all()
        self._thread.join()
        self._connection.close()

    # --- on the thread that writes --------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(self._has_work, max(0.0, self._prune_at - time.monotonic()))
                group = self._group()
                asked, self._prune_asked = self._prune_asked, []
                is_over = self._is_closed and not group
            if group:
                self._commit(group)
                self._count_many(group)
            if asked or (time.monotonic() >= self._prune_at and not is_over):
                if not self._prune() and not self._is_closed:
                    with self._changed:
                        self._prune_asked += asked  # what waits is written first
                    continue
                for each in asked:
                    each.set()
            if is_over:
                return

    def _has_work(self) -> bool:
        return bool(self._queue or self._prune_asked or self._is_closed)

    def _group(self) -> list[_Waiting]:
        group: list[_Waiting] = []
        rows = 0
        while self._queue and (not group or rows + self._queue[0].size <= _GROUP_ROWS_MOST):
            group.append(self._queue.popleft())
            rows += group[-1].size
        self._waiting_rows -= rows
        return group

    def _commit(self, group: list[_Waiting]) -> None:
        try:
            self._transaction(group)
        except Exception as error:
            if len(group) == 1:
                group[0].error = error
            else:
                # One of them may be what can't be stored; the others are not to suffer.
                for each in group:
                    self._commit([each])
                return
        with self._changed:
            self._writes += 1
            self._changed.notify_all()
        for each in group:
            each.done.set()

    def _transaction(self, group: list[_Waiting]) -> None:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            origins = _insert.add_origins(connection, [each.prepared for each in group], self._known_origins)
            found = Deltas()
            for each in group:
                each.stored, added = _insert.insert(connection, each.prepared, self._admitted)
                found.add(added)
            values = _insert.add_deltas(connection, found.folded(self._admitted), self._known_values)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        self._known_origins |= origins
        self._known_values |= values

    def _count_many(self, group: list[_Waiting]) -> None:
        self._uncounted += sum(each.stored for each in group)
        if self._uncounted >= _hour_facts.AT_ONCE:
            self._uncounted -= _hour_facts.AT_ONCE
            with self._unless_it_fails():
                _hour_facts.count(self._connection)

    def _prune(self) -> bool:
        """Whether it is done: it stops when something waits to be written, which then has its turn, or at the end."""
        connection, now_ns = self._connection, self.time_ns()
        is_done = True
        with self._unless_it_fails():
            steps = chain(
                keep_within(connection, self.retention, now_ns),
                _hours.add_up(connection, now_ns),
                _hour_facts.count_all(connection),
                _hour_facts.put_together(connection, now_ns),
            )
            is_done = not any(self._is_wanted() for _ in steps)
        self._prune_at = time.monotonic() + (_RETENTION_EVERY_S if is_done else 0.0)
        return is_done

    def _is_wanted(self) -> bool:
        return bool(self._queue) or self._is_closed

    @contextmanager
    def _unless_it_fails(self) -> Generator[None]:
        """The disk may be full; the next round tries again, and writers are told by their own errors."""
        try:
            yield
        except sqlite3.Error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
