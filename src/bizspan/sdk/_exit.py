"""
The end of a process: flush within a bound, whatever the collector does.

Threads that wait from the start do the flushing, because Python 3.12 starts none at exit, and because an exporter that
hangs can be left behind only in a thread of its own.
"""

from __future__ import annotations

import atexit
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from bizspan import _guard

EXIT_BOUND_S: Final = 2.0  # of 2.5 for the process: the interpreter needs up to 0.5 s to go down on a busy machine
_SIGTERM_BOUND_S: Final = 2.0
_TO_SAY_S: Final = 0.2  # of it, for a line about what may be lost
_BEFORE_MANAGERS: Final = 10  # multiprocessing runs the highest first; those of negative ones wait for its children

Task = Callable[[], object]


class Workers:
    """
    A few daemon threads that wait for tasks.

    Args:
        size: How many: one per task that may hang.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._pid = 0
        self._tasks: queue.SimpleQueue[tuple[Task, queue.SimpleQueue[bool]] | None] = queue.SimpleQueue()

    def ensure(self) -> None:
        """Have the threads in this process: a forked child has none of its parent's."""
        if self._pid == os.getpid():
            return
        tasks: queue.SimpleQueue[tuple[Task, queue.SimpleQueue[bool]] | None] = queue.SimpleQueue()
        try:
            for number in range(self._size):
                threading.Thread(target=_work, args=(tasks,), name=f"bizspan-flush-{number}", daemon=True).start()
        except RuntimeError:  # Python 3.12 starts no threads at exit: a child that told nothing has none
            return
        self._tasks = tasks
        self._pid = os.getpid()

    def run(self, tasks: Sequence[Task], timeout_s: float) -> bool:
        """
        Run the tasks side by side.

        Returns:
            Whether all of them ended in time without raising. Those that did not are left behind.
        """
        if self._pid != os.getpid():
            return False
        done: queue.SimpleQueue[bool] = queue.SimpleQueue()
        for task in tasks:
            self._tasks.put((task, done))
        deadline = time.monotonic() + timeout_s
        good = True
        for _ in tasks:
            try:
                good = done.get(timeout=max(0.0, deadline - time.monotonic())) and good
            except queue.Empty:
                return False
        return good

    def stop(self) -> None:
        """Let the threads end."""
        for _ in range(self._size):
            self._tasks.put(None)
        self._pid = 0


def _work(tasks: queue.SimpleQueue[tuple[Task, queue.SimpleQueue[bool]] | None]) -> None:
    while (item := tasks.get()) is not None:
        task, done = item
        try:
            done.put(task() is not False)
        except Exception as error:
            done.put(False)
            _guard.swallowed("flushing", error)


class AtEnd:
    """
    Runs one task at the end of the process: at exit, and on SIGTERM where nothing else handles it.

    Args:
        task: What to run, given its bound in seconds.
        workers: Run it when a signal comes.
    """

    def __init__(self, task: Callable[[float], object], workers: Workers) -> None:
        self._task = task
        self._workers = workers
        self._installed: Any = None
        self._ran_in = 0

    def install(self) -> None:
        """Register for the exit, and for SIGTERM if its handler is the default one and this is the main thread."""
        atexit.register(self._at_exit)
        if threading.current_thread() is not threading.main_thread():
            return
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            self._installed = self._on_sigterm
            signal.signal(signal.SIGTERM, self._installed)

    def install_in_worker(self) -> None:
        """Register with multiprocessing: its forked workers end without running exit handlers."""
        process = sys.modules.get("multiprocessing.process")
        util = sys.modules.get("multiprocessing.util")
        if process is not None and util is not None and process.parent_process() is not None:
            util.Finalize(None, self._at_exit, exitpriority=_BEFORE_MANAGERS)

    def remove(self) -> None:
        """Take both back, the signal's handler only where it is still ours."""
        atexit.unregister(self._at_exit)
        if self._installed is None or threading.current_thread() is not threading.main_thread():
            return
        if signal.getsignal(signal.SIGTERM) == self._installed:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._installed = None

    def _at_exit(self) -> None:
        if self._ran_in == os.getpid():
            return
        self._ran_in = os.getpid()
        try:
            self._task(EXIT_BOUND_S)
        except Exception as error:
            _guard.swallowed("flushing at exit", error)

    def _on_sigterm(self, number: int, frame: object) -> None:
        # The main thread may hold any lock right now, so it flushes nothing itself: it waits for a thread that does.
        self._workers.run([lambda: self._task(_SIGTERM_BOUND_S - _TO_SAY_S)], _SIGTERM_BOUND_S)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
