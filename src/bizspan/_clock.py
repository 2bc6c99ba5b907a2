"""
Time and ids: the real ones, behind two small seams that tests replace.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import cache
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


@cache
def _last_digits() -> tuple[str, ...]:
    return tuple(f"{number:03x}" for number in range(4096))


class Ids:
    """
    Ids that no other process makes: 80 random bits for the writer, then a counter.

    Args:
        writer_id: 20 hex digits; random by default.
    """

    __slots__ = ("_block", "_last_digits", "_next", "writer_id")

    def __init__(self, writer_id: str | None = None) -> None:
        self.writer_id = writer_id or os.urandom(10).hex()
        self._next = count(1).__next__
        self._block = (0, f"{self.writer_id}{0:09x}")
        self._last_digits = _last_digits()

    def new(self) -> str:
        """32 hex digits, unique, and in the order of their making within one writer."""
        number = self._next()
        block, digits = self._block
        if number >> 12 != block:
            block = number >> 12
            self._block = (block, digits := f"{self.writer_id}{block:09x}")
        # A look-up instead of a format call: a tenth of a microsecond of every operation.
        return digits + self._last_digits[number & 4095]
