"""
The thread on which a pipeline takes what waits: when it sleeps, rests, and is woken.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from bizspan import _guard

# So that one switch of threads serves many records: a switch costs as much as dealing with ten of them.
_REST_S: Final = 0.25
_END_S: Final = 0.05


class Consumer:
    """
    Takes soon after it is told, and at once where much waits. Its thread begins when it is first told.

    A signal handler or a finalizer may call any of it, in the middle of any of it: there is no lock to wait for.

    Args:
        take: Takes everything that waits.
        has_work: Whether anything does.
        due_in_s: How long until there is something to do anyway, in seconds; None where there is nothing.
    """

    __slots__ = (
        "_due_in_s", "_has_ended", "_has_work", "_signal", "_starting", "_take", "_thread", "awake", "is_hurried",
    )  # fmt: skip

    def __init__(
        self, take: Callable[[], object], has_work: Callable[[], bool], due_in_s: Callable[[], float | None]
    ) -> None:
        self._take = take
        self._has_work = has_work
        self._due_in_s = due_in_s
        self.awake = False  # whether it looks by itself at what is told now; read for each record
        self.is_hurried = False  # whether it was told that much waits
        self._has_ended = False
        # Looked up now, here and elsewhere: gevent may patch it after bizspan's import, as in a preloaded worker.
        self._signal: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """Something waits."""
        if self.awake:
            return
        self.awake = True
        if self._thread is None and self._starting.acquire(blocking=False):
            try:
                thread = threading.Thread(target=self._run, name="bizspan", daemon=True)
                thread.start()
                self._thread = thread
            except RuntimeError:  # the interpreter shuts down: no new threads; the flush at exit takes what waits
                self.awake = False
                return
            finally:
                self._starting.release()
        self._signal.put(None)

    def hurry(self) -> None:
        """Much waits: if it rests, it is not to wait for more."""
        self.is_hurried = True
        self._signal.put(None)

    def end(self) -> None:
        """No more; who says so has taken what waits."""
        self._has_ended = True
        self._signal.put(None)
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(_END_S)

    def _run(self) -> None:
        while not self._has_ended:
            self.awake = False
            if not self._has_work():
                self._await_signal(self._due_in_s())
            self.awake = True
            until = time.monotonic() + _REST_S
            while not (self.is_hurried or self._has_ended) and (left_s := until - time.monotonic()) > 0:
                self._await_signal(left_s)
            self.is_hurried = False
            try:
                self._take()
            except Exception as error:  # the next records must find somebody
                _guard.swallowed("taking what waits", error)

    def _await_signal(self, timeout_s: float | None) -> None:
        with suppress(queue.Empty):
            self._signal.get(timeout=timeout_s)
