"""
Where records go: one append on the application's thread, everything else on another.

The application's thread appends a record to the intake and returns. A daemon thread, a metrics collection, or a flush
then takes the intake in order: totals first, and the event on to its sinks. A pipeline belongs to one process; a
forked child builds its own from the same recipe.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, TypeVar

from bizspan import _guard
from bizspan._accounts import (
    FORKED,
    INTERNAL_ERROR,
    NO_LOGGER_PROVIDER,
    QUEUE_FULL,
    SHUT_DOWN,
    Accounts,
    Reading,
    idle,
)
from bizspan._book import ASIDE, Book
from bizspan._clock import Clock, Ids
from bizspan._commit import Waiting
from bizspan._consumer import Consumer
from bizspan._facts import FactTable, Hasher
from bizspan._record import Record
from bizspan._totals import Totals
from bizspan._values import coerce

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter
    from opentelemetry.trace import Span, Tracer

    from bizspan._types import Attributes, Replay
    from bizspan.vocabulary import Attribute

CAPACITY: Final = 20_000
_HELP: Final = 64
_KEY_LIMIT: Final = 1 << 20  # a cut key would be the same as another that is cut

T = TypeVar("T")

# Called where a record meets a pipeline of another process: after a fork that ran no hooks (C code, uWSGI).
on_foreign_process: list[Callable[[], None]] = []

# Takes one event and its sequence number; what it took over is handed over.
Sink = Callable[[Record, int], None]
Write = Callable[["Span", "Attributes"], None]  # puts clean attributes onto a span while it records


def set_attributes(span: Span, attributes: Attributes) -> None:
    """Put them onto a span while it records, by OpenTelemetry's API: afterwards it would log a warning."""
    if span.is_recording():
        span.set_attributes(attributes)


def keyed_uid(name: str, key: object) -> str | None:
    """
    The uid of the fact that an idempotency key identifies among those of one name; None where it is no key.
    """
    from hashlib import sha256

    text, _ = coerce(key, limit=_KEY_LIMIT)
    return None if text is None else sha256(f"{name}\0{text}".encode("utf-8", "replace")).hexdigest()[:32]


class Pipeline:
    """
    The way of a record from the application's thread to its signals.

    Args:
        tracer: Opens the spans.
        meter: Makes the instruments, those of gauges too.
        declared: The facts by keyword.
        hasher: Hashes personal facts; None drops them.
        sinks: Take the events. None at all: events are refused, metrics still count.
        replay_duration: See `Totals`.
        replay_score: See `Totals`.
        clock: Time.
        ids: Ids, and the writer's.
        capacity: How many events may wait.
        immediate: Take the intake at once, on the application's thread: for the console.
        late_sinks: Asked while there are no sinks: providers may be set after the first record.
        revenue_basis: ``excl_tax`` or ``incl_tax``.
        isolated: Accounts for itself alone, not for what this process told before: for tests.
        generation: Tells its instruments from those of earlier pipelines on the same provider.
        on_commit: Whether what is told inside a database transaction waits for its commit.
        write: Puts clean attributes onto a span.
        book: Takes the events before they count as acknowledged; the sinks then only print.
    """

    def __init__(
        self,
        *,
        tracer: Tracer,
        meter: Meter,
        declared: Mapping[str, Attribute],
        hasher: Hasher | None,
        sinks: tuple[Sink, ...] = (),
        replay_duration: Replay | None = None,
        replay_score: Replay | None = None,
        clock: Clock | None = None,
        ids: Ids | None = None,
        capacity: int = CAPACITY,
        immediate: bool = False,
        late_sinks: Callable[[], tuple[Sink, ...]] | None = None,
        revenue_basis: str = "excl_tax",
        isolated: bool = False,
        generation: int = 0,
        on_commit: bool = False,
        write: Write = set_attributes,
        book: Book | None = None,
    ) -> None:
        self.on_commit = on_commit
        self.write = write
        self.isolated = isolated
        self.generation = generation
        self.pid = os.getpid()
        self.accounts = Accounts()
        self.book = book
        if book is not None:
            book.refused = self.accounts.refuse
            self.accounts.acknowledged = Reading(lambda: book.acknowledged)
        self._acknowledge = self.accounts.acknowledged.add
        clock = clock or Clock()
        self.time_ns = clock.time_ns
        self.monotonic_ns = clock.monotonic_ns
        self.began_ns = clock.time_ns()
        self.ids = ids or Ids()
        self.new_id = self.ids.new
        self.start_span = tracer.start_span
        self.meter = meter
        self.sinks = sinks
        self.revenue_basis = revenue_basis
        self.totals = Totals(self.accounts, replay_duration, replay_score)
        self.declare(declared, hasher)
        self.closed = False
        self._capacity = capacity
        self._much = capacity // 2
        self._immediate = immediate
        self._late_sinks = late_sinks
        self._intake: deque[Record] = deque()
        self._events: deque[tuple[int, Record]] = deque()
        self._sequence = 0
        # Re-entrant, with a flag each: a signal handler, a finalizer or a sink may tell an event while this very thread
        # holds the lock. It is not taken then, but later.
        self._counting = threading.RLock()
        self._emitting = threading.RLock()
        self._is_counting = self._is_emitting = False
        self._consumer = Consumer(
            lambda: self.take(), lambda: bool(self._intake or self._events), lambda: self.waiting.due_in_s()
        )  # fmt: skip
        self.waiting = Waiting(self.accounts, self.monotonic_ns, self._consumer.wake)

    def declare(self, declared: Mapping[str, Attribute], hasher: Hasher | None) -> None:
        """
        Take these facts from now on; what was counted stays.
        """
        self.declared = declared
        self.hasher = hasher
        self.facts = FactTable(declared, self.accounts, hasher)
        self.totals.declare({a.key: a.budget for a in declared.values() if a.dimension})

    # --- on the application's thread ------------------------------------------------------------------------------

    def accept(self, record: Record) -> None:
        """
        Take on one record, or refuse its event and count why. Never waits, never raises.
        """
        if self.book is not None:
            self._accept_into_book(record, self.book)
            return
        intake = self._intake
        waiting = len(intake) + len(self._events)
        if waiting < self._capacity and self.sinks and not self.closed and self.pid == os.getpid():
            self._acknowledge()  # before the consumer can hand it over
            intake.append(record)
        elif not self._refuse(record, waiting):
            return
        if self._immediate and self.take():
            return
        consumer = self._consumer
        if not consumer.awake:
            consumer.wake()
        elif waiting >= self._much and not consumer.is_hurried:
            consumer.hurry()

    def _accept_into_book(self, record: Record, book: Book) -> None:
        if self.closed or self.pid != os.getpid():
            self._refuse(record, 0)
            return
        reason = book.append(record)
        if reason is not None and reason is not ASIDE:
            self.accounts.refuse(reason)
        record.kept = reason is None and bool(self.sinks)
        self._intake.append(record)
        waiting = len(self._intake)
        if waiting > self._capacity:
            self._count(_HELP, blocking=False)  # nobody takes it: its memory stays bounded
        if self._immediate and self.take():
            return
        consumer = self._consumer
        if not consumer.awake:
            consumer.wake()
        elif waiting >= self._much and not consumer.is_hurried:
            consumer.hurry()

    def uid_for(self, name: str, key: object) -> str:
        """
        The uid of a business fact: the same for the same name and idempotency key, in every process.
        """
        uid = keyed_uid(name, key)
        if uid is None:
            self.accounts.refuse_value("idempotency_key", "type", "Tell text or a whole number.")
            return self.new_id()
        return uid

    def _refuse(self, record: Record, waiting: int) -> bool:
        """Refuse the event; whether its metrics still count."""
        if self.pid != os.getpid():
            for forget in on_foreign_process:
                forget()
            idle.refuse(FORKED)  # this pipeline's accounts are a copy of those of its own process
            return False
        if self.closed:
            self.accounts.refuse(SHUT_DOWN)
            return False
        if not self.sinks and self._late_sinks is not None:
            self.sinks = self._late_sinks()
            if self.sinks:
                self._late_sinks = None
                self.accounts.acknowledged.add()
                self._intake.append(record)
                return True
        self.accounts.refuse(QUEUE_FULL if self.sinks else NO_LOGGER_PROVIDER)
        record.kept = False
        self._intake.append(record)
        # Nobody takes the intake: its memory stays bounded because each further record takes some of it.
        if waiting > 2 * self._capacity:
            self._count(_HELP, blocking=False)
        return True

    # --- on the consumer's ----------------------------------------------------------------------------------------

    def take(self, timeout_s: float = -1) -> bool:
        """
        Take everything that waits: totals, then sinks.

        Args:
            timeout_s: How long to wait for another taker; negative means not to give up.

        Returns:
            Whether nothing that waited at the call still waits.
        """
        if self.waiting:
            self.waiting.give_up_overdue()
        return self._count(timeout_s=timeout_s) and self._emit(timeout_s)

    def _count(self, limit: int | None = None, *, timeout_s: float = -1, blocking: bool = True) -> bool:
        """Bring the intake's records into the totals, in order; their events go on to the sinks' queue."""
        acquired = self._counting.acquire(blocking, timeout_s) if blocking else self._counting.acquire(False)
        if not acquired:
            return False
        if self._is_counting:
            self._counting.release()
            return False
        self._is_counting = True
        try:
            intake = self._intake
            left = len(intake) if limit is None else min(limit, len(intake))
            while left:
                record = intake.popleft()
                left -= 1
                try:
                    self.totals.add(record)
                except Exception as error:
                    _guard.swallowed("adding to totals", error)
                if record.kept:
                    self._sequence += 1
                    self._events.append((self._sequence, record))
            return True
        finally:
            self._is_counting = False
            self._counting.release()

    def _emit(self, timeout_s: float = -1) -> bool:
        if not self._emitting.acquire(True, timeout_s):
            return False
        if self._is_emitting:
            self._emitting.release()
            return False
        self._is_emitting = True
        try:
            if self._late_sinks is not None and (late := self._late_sinks()):
                self.sinks, self._late_sinks = (*self.sinks, *late), None
            events = self._events
            left = len(events)
            while left:
                sequence, record = events[0]
                for sink in self.sinks:
                    try:
                        sink(record, sequence)
                    except Exception as error:
                        _guard.swallowed("handing over an event", error)
                events.popleft()
                if self.book is None:
                    self.accounts.handed_over.add()
                left -= 1
            return True
        finally:
            self._is_emitting = False
            self._emitting.release()

    def count_now(self) -> None:
        """
        Bring the totals up to date, before they are read out.
        """
        self._count(timeout_s=5.0)

    def locked(self, read: Callable[[], T]) -> T:
        """What `read` gives while no record is being added."""
        with self._counting:
            outer, self._is_counting = self._is_counting, True
            try:
                return read()
            finally:
                self._is_counting = outer

    # --- life -----------------------------------------------------------------------------------------------------

    @property
    def pending(self) -> int:
        """How many acknowledged events still wait."""
        if self.book is not None:
            return self.book.account().pending
        acknowledged, handed_over = self.accounts.flow()
        return acknowledged - handed_over

    def flush(self, timeout_s: float) -> bool:
        """
        Take everything that waits; with a book, have it delivered. Whether that was done in time.
        """
        deadline = time.monotonic() + timeout_s
        taken = self.take(timeout_s)
        return (self.book is None or self.book.flush(max(0.0, deadline - time.monotonic()))) and taken

    def close(self, timeout_s: float = 2.0) -> None:
        """
        Refuse everything from now on, and take what waits. Metrics can still be read out.

        Args:
            timeout_s: How long to wait for another taker.
        """
        self.waiting.give_up()
        self.closed = True
        began = time.monotonic()
        self.take(timeout_s)
        if self.book is not None:
            self.book.close(max(0.0, timeout_s - (time.monotonic() - began)))
        self._consumer.end()

    def refuse_internal(self) -> None:
        """Count an event that an error of ours lost."""
        self.accounts.refuse(INTERNAL_ERROR)
