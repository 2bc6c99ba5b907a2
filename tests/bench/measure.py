"""CPU and call counts per operation. Nothing in here knows what it measures."""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from statistics import median
from types import FrameType


@dataclass(frozen=True, slots=True)
class Subject:
    """One thing to measure: what an operation runs, and what brings its deferred work to an end."""

    name: str
    run: Callable[[], object]
    flush: Callable[[], object]


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU per operation, in microseconds: of the calling thread, and of every thread, flush included."""

    app_us: float
    total_us: float


@dataclass(frozen=True, slots=True)
class Calls:
    """Python and C calls per operation: on the calling thread, and in every thread, flush included."""

    app: float
    total: float


def stretch(subject: Subject, operations: int) -> Cost:
    """
    The cost of one uninterrupted loop.

    Garbage is collected before the loop and what survives is frozen, so that every subject starts with empty
    generations; the collector stays on, because it is on in production.
    """
    run = subject.run
    subject.flush()
    gc.collect()
    gc.freeze()
    process_started = time.process_time_ns()
    thread_started = time.thread_time_ns()
    for _ in repeat(None, operations):
        run()
    thread_ended = time.thread_time_ns()
    subject.flush()
    process_ended = time.process_time_ns()
    gc.unfreeze()
    return Cost(
        (thread_ended - thread_started) / operations / 1000,
        (process_ended - process_started) / operations / 1000,
    )


def interleaved(subjects: Sequence[Subject], *, rounds: int, operations: int) -> dict[str, list[Cost]]:
    """
    The cost of every subject in every round, by name.

    Subjects take turns inside a round and each round starts with the next one: a machine that slows down for
    a while slows them all.
    """
    costs: dict[str, list[Cost]] = {subject.name: [] for subject in subjects}
    for subject in subjects:
        stretch(subject, min(operations, 200))
    for number in range(rounds):
        turn = number % len(subjects)
        for subject in [*subjects[turn:], *subjects[:turn]]:
            costs[subject.name].append(stretch(subject, operations))
    return costs


def medians(costs: Mapping[str, Sequence[Cost]]) -> dict[str, Cost]:
    """The median over the rounds, figure by figure."""
    return {
        name: Cost(median(cost.app_us for cost in rounds), median(cost.total_us for cost in rounds))
        for name, rounds in costs.items()
    }


def ratios(costs: Mapping[str, Sequence[Cost]], name: str, base: str) -> Cost:
    """The median over the rounds of `name` / `base`, each ratio taken inside its own round."""
    pairs = list(zip(costs[name], costs[base], strict=True))
    return Cost(
        median(ours.app_us / theirs.app_us for ours, theirs in pairs),
        median(ours.total_us / theirs.total_us for ours, theirs in pairs),
    )


class CallCounter:
    """Counts calls while it is open. Threads are counted only if they were started inside `threads()`."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._open = False

    def _profile(self, frame: FrameType, event: str, arg: object) -> None:
        if self._open and event in ("call", "c_call"):
            thread = threading.get_ident()
            self._counts[thread] = self._counts.get(thread, 0) + 1

    def watch_new_threads(self) -> None:
        """Have every thread that starts from now on counted, until `forget_new_threads`."""
        threading.setprofile(self._profile)

    def forget_new_threads(self) -> None:
        """Threads that start from now on run at full speed again. Call it when the watched ones ended."""
        threading.setprofile(None)
        # From 3.12 on, a thread that ends with its profile function leaves the whole interpreter instrumented
        # until somebody sets one anew.
        sys.setprofile(None)

    def count(self, subject: Subject, operations: int) -> Calls:
        """
        Calls per operation.

        Args:
            subject: Built after `watch_new_threads`, if its threads are to be counted.
            operations: How many. Fewer than a batch, so that no worker wakes up in between: the app-thread
                figure is then the same in every run.
        """
        for _ in repeat(None, operations):
            subject.run()
        subject.flush()
        app = self._profiled(subject.run, operations, None)
        subject.flush()
        mine = threading.get_ident()
        total = self._profiled(subject.run, operations, subject.flush)
        return Calls(app[mine] / operations, sum(total.values()) / operations)

    def _profiled(
        self, run: Callable[[], object], operations: int, finish: Callable[[], object] | None
    ) -> dict[int, int]:
        mine = threading.get_ident()
        self._counts = {mine: -1}  # setprofile(None) is the measuring's own call
        self._open = True
        sys.setprofile(self._profile)
        for _ in repeat(None, operations):
            run()
        if finish is not None:
            finish()
        sys.setprofile(None)
        self._open = False
        return self._counts
