"""
Brings what the spool holds to the collector, for as long as it takes: at least once, oldest first.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from typing import Final

from bizspan import _guard
from bizspan.spool._answers import FIXES, Backoff, Kind, Verdict, judge
from bizspan.spool._life import MOST_BYTES, Flush, Life
from bizspan.spool._source import Batch, Groups, Post, Source

MOST_EVENTS: Final = 512
LINGER_S: Final = 0.5
STOP_S: Final = 0.5
TICK_S: Final = 1.0  # how often the source is called while nothing can be sent
_LEAST_BYTES: Final = 16 << 10
_MOST_REQUEST: Final = 2 * MOST_BYTES  # with the resource and the scopes, which a batch does not count
_GROWTH: Final = 1 << 10
_SHRINKING: Final = frozenset({"timeout", "closed"})


class Outcome(Enum):
    """What became of one step."""

    NOTHING = "nothing waits"
    MOVED = "a batch is settled"
    HELD = "everything waits for a later attempt"
    BUSY = "another thread is at it"


class Sender:
    """
    The loop of one daemon thread, which starts at the first `wake`.

    The ack moves only after a verified answer. What a server cannot take now waits, and is tried again without end;
    what it refuses as data goes to the dead letters, one event at a time.

    Args:
        source: What waits.
        poster: The way to the collector.
        encode: Makes a request from a resource and groups.
        backoff: How long to wait after a failure.
        linger_s: How long to gather events after the first of them.
        idle_s: How often to ask the source although nobody says that something waits; None never does.
        clock: Elapsed seconds.
        wall: Seconds since the epoch, for a ``Retry-After`` that is a date.
        most_events: In one request.
    """

    def __init__(
        self,
        source: Source,
        poster: Post,
        encode: Callable[[bytes, Groups], bytes],
        *,
        backoff: Backoff | None = None,
        linger_s: float = LINGER_S,
        idle_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        most_events: int = MOST_EVENTS,
    ) -> None:
        self._source = source
        self._poster = poster
        self._encode = encode
        self._backoff = backoff or Backoff()
        self._linger_s = linger_s
        self._idle_s = idle_s
        self._clock = clock
        self._wall = wall
        self._most_events = most_events
        self._ceiling = _MOST_REQUEST
        self._lives = {os.getpid(): Life()}
        self.holds = _guard.Tallies()

    @property
    def life(self) -> Life:
        pid = os.getpid()
        # One step of the interpreter, so that two threads of a child don't begin two lives.
        return self._lives.get(pid) or self._lives.setdefault(pid, Life())

    # --- for the application's threads ------------------------------------------------------------------------------

    def wake(self) -> None:
        """Say that something waits. Never blocks, never raises; nothing is sent earlier than a back-off allows."""
        life = self.life
        if life.awake or life.closing.is_set():
            return
        life.awake = True
        if self._has_thread(life):
            life.signal.put(None)
        else:
            life.awake = False

    def flush(self, timeout_s: float) -> bool:
        """
        Whether everything that waited at the call is settled: delivered, rejected by the collector, or a dead letter.

        It makes one attempt sooner than the back-off would, unless the server asked for the wait.

        Args:
            timeout_s: How long to wait, at most: where the next attempt comes later than that, it gives up sooner.
        """
        deadline = self._clock() + timeout_s
        life = self.life
        # Before `settled`: too late a goal is met when nothing waits any more, too early a one is wrong.
        waiting = self._source.waiting()
        if not waiting or life.closing.is_set() or threading.current_thread() is life.thread:
            return not waiting
        flush = Flush(self._source.settled() + waiting, deadline)
        life.flushes[flush] = None
        try:
            if not self._has_thread(life):
                return self._flush_here(life, flush, deadline)
            life.awake = True
            life.signal.put(None)
            flush.done.wait(max(0.0, timeout_s))
            return flush.is_over
        finally:
            life.flushes.pop(flush, None)

    def stop(self, timeout_s: float = STOP_S) -> None:
        """
        End the thread. What is not settled keeps waiting in the spool; call `flush` first to give it a chance.

        Args:
            timeout_s: How long to wait for the thread.
        """
        life = self.life
        life.closing.set()
        self._poster.interrupt()
        life.signal.put(None)
        for flush in list(life.flushes):
            flush.done.set()
        thread = life.thread
        if thread is not None and thread is not threading.current_thread():
            with suppress(RuntimeError):  # it was never started
                thread.join(timeout_s)
        if thread is None or not thread.is_alive():
            self._poster.close()

    @property
    def due_in_s(self) -> float:
        """Seconds until the next attempt may be made; 0 without a back-off."""
        return max(0.0, self.life.due - self._clock())

    def _has_thread(self, life: Life) -> bool:
        """Whether a thread runs, or another frame is about to start it."""
        if life.thread is None and sys.is_finalizing():
            return False  # up to Python 3.11 it would be started, never run, and be waited for without end
        if life.thread is not None or not life.starting.acquire(blocking=False):
            return True
        try:
            if life.thread is None:
                thread = threading.Thread(target=self._run, args=(life,), name="bizspan-spool", daemon=True)
                thread.start()
                life.thread = thread
            return True
        except RuntimeError:  # the interpreter shuts down, or the process may have no more threads
            return False
        finally:
            life.starting.release()

    def _flush_here(self, life: Life, flush: Flush, deadline: float) -> bool:
        while not flush.is_over and not life.closing.is_set() and (left := deadline - self._clock()) > 0:
            self._hurry(life)
            if self.due_in_s >= left:
                return False
            if self.due_in_s:
                life.closing.wait(self.due_in_s)
            elif self._step(life, deadline) is Outcome.BUSY:
                return False  # a signal handler came between its steps
        return flush.is_over

    # --- on its own thread ------------------------------------------------------------------------------------------

    def _run(self, life: Life) -> None:
        while not life.closing.is_set():
            self._wait_until_due(life)
            outcome = self._step(life)
            if outcome is not Outcome.NOTHING or life.closing.is_set():
                continue
            # Lowered before the last look: what comes after the look finds the flag down, and signals.
            life.awake = False
            if self._step(life) is Outcome.NOTHING:
                try:
                    life.signal.get(timeout=self._idle_s)
                except queue.Empty:
                    continue
                life.awake = True
                if not life.flushes:
                    with suppress(queue.Empty):
                        life.signal.get(timeout=self._linger_s)
            life.awake = True

    def _wait_until_due(self, life: Life) -> None:
        while not life.closing.is_set():
            self._hurry(life)
            left = life.due - self._clock()
            if left <= 0:
                return
            for flush in list(life.flushes):
                if flush.deadline <= life.due:
                    flush.done.set()  # in vain: nothing is tried before its time is over
            with suppress(queue.Empty):
                life.signal.get(timeout=min(left, TICK_S))
            self._tick()

    def _tick(self) -> None:
        try:
            self._source.tick()
        except Exception as error:
            _guard.swallowed("looking after the spool", error)

    def _hurry(self, life: Life) -> None:
        """Bring the next attempt forward for a flush that has not had one, where it is only our own back-off."""
        flushes = [flush for flush in list(life.flushes) if not flush.has_hurried]
        for flush in flushes:
            flush.has_hurried = True
        if flushes and life.asked_s is None:
            life.due = min(life.due, life.attempted_at + self._backoff.first_s)

    def _step(self, life: Life, deadline: float | None = None) -> Outcome:
        flushes = list(life.flushes)
        outcome = self.run_once(deadline)
        for flush in flushes:
            if outcome is Outcome.NOTHING or self._source.settled() >= flush.goal:
                flush.is_over = True
                flush.done.set()
        return outcome

    # --- one step ---------------------------------------------------------------------------------------------------

    def run_once(self, deadline: float | None = None) -> Outcome:
        """
        Send one batch, if there is one and no back-off is under way.

        Args:
            deadline: On `clock`, when to give a request up; the target's time-out applies in any case.
        """
        life = self.life
        if not life.turn.acquire(blocking=False):
            return Outcome.BUSY
        try:
            if self._clock() < life.due:
                return Outcome.HELD
            batch = self._source.batch(life.most_bytes, self._most_events)
            if batch is None:
                return Outcome.NOTHING
            return self._settle(life, batch, deadline)
        except Exception as error:
            self._hold(life, Verdict(Kind.HOLD, reason="internal"))
            _guard.swallowed("sending from the spool", error)
            return Outcome.HELD
        finally:
            life.turn.release()

    def _settle(self, life: Life, batch: Batch, deadline: float | None) -> Outcome:
        """Send a batch, or its parts, until all of it is settled or a part has to wait."""
        parts = [batch]
        while parts:
            part = parts.pop()
            life.attempted_at = self._clock()
            left = None if deadline is None else deadline - life.attempted_at
            if left is not None and left <= 0:
                return Outcome.HELD
            body = self._encode(part.resource, part.groups)
            if len(body) > self._ceiling and part.events > 1:
                parts += reversed(part.halves())  # a 413 for its sibling has said so
                continue
            verdict = judge(self._poster.post(body, left), self._wall())
            if verdict.kind is Kind.HOLD:
                if not life.closing.is_set():
                    self._hold(life, verdict)
                return Outcome.HELD
            if verdict.kind is Kind.DELIVERED:
                self._take(life, part, verdict)
                continue
            self._say(verdict.reason)
            if verdict.reason == "http_413":
                self._ceiling = min(self._ceiling, max(len(body) // 2, 1))
                life.most_bytes = min(life.most_bytes, self._ceiling)
            if part.events > 1:
                parts += reversed(part.halves())
            else:
                part.dead(0, verdict.reason)
        return Outcome.MOVED

    def _take(self, life: Life, batch: Batch, verdict: Verdict) -> None:
        batch.delivered(min(verdict.rejected, batch.events))
        life.due = float("-inf")
        life.asked_s = None
        # So slowly that few requests are sent in vain where the limit is the server's.
        self._ceiling = min(self._ceiling + _GROWTH, _MOST_REQUEST)
        life.most_bytes = min(life.most_bytes * 2, self._ceiling, MOST_BYTES)
        self._backoff.after_success()
        if verdict.rejected or verdict.warned:
            _guard.say_once(
                f"spool:partial:{bool(verdict.rejected)}",
                f"bizspan: the collector at {self._poster.shown} took events"
                f" {'and rejected some of them for good' if verdict.rejected else 'with a warning'}; read its log.",
            )

    def _hold(self, life: Life, verdict: Verdict) -> None:
        self.holds.add(verdict.reason)
        if verdict.reason in _SHRINKING:
            # A request that never gets through may be too large for the line, or for who hangs up without a word.
            life.most_bytes = max(life.most_bytes // 2, min(_LEAST_BYTES, self._ceiling))
        life.asked_s = verdict.retry_after_s
        life.due = self._clock() + self._backoff.after_failure(verdict.retry_after_s)
        self._say(verdict.reason)

    def _say(self, reason: str) -> None:
        what = (
            "refuses events" if reason in ("http_400", "http_413") else "does not take events; they wait in the spool"
        )
        _guard.say_once(f"spool:{reason}", f"bizspan: {self._poster.shown} {what} ({reason}). {FIXES[reason]}")
