"""
Time and ids: the real ones, behind two small seams that tests replace.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from itertools import count


class Clock:
    """
    Wall time and elapsed time, both in nanoseconds.

    Args:
        time_ns: Nanoseconds since the epoch. It may step back.
        monotonic_ns: Elapsed nanoseconds; durations come from it.
    """

    __slots__ = ("monotonic_ns", "time_ns")

    def __init__(
        self,
        time_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        self.time_ns = time_ns
        self.monotonic_ns = monotonic_ns


class Ids:
    """
    Ids that no other process makes: 80 random bits for the writer, then a counter.

    Args:
        writer_id: 20 hex digits; random by default.
    """

    __slots__ = ("_next", "writer_id")

    def __init__(self, writer_id: str | None = None) -> None:
        self.writer_id = writer_id or os.urandom(10).hex()
        self._next = count(1).__next__

    def new(self) -> str:
        """32 hex digits, unique, and in the order of their making within one writer."""
        return f"{self.writer_id}{self._next():012x}"
