"""
A progress bar for commands that take long.
"""

from __future__ import annotations

import sys
import time
from typing import TextIO


class Bar:
    """
    A progress bar on a terminal; nothing elsewhere.

    Args:
        stream: The terminal, or None.
        total: What is to be done.
        unit: Of it, behind the numbers.
    """

    _WIDTH = 30

    def __init__(self, stream: TextIO | None, total: int, unit: str = "") -> None:
        self._stream = stream
        self._total = max(1, total)
        self._unit = f" {unit}" if unit else ""
        self._shown = float("-inf")
        self._began = time.monotonic()

    def show(self, done: int) -> None:
        """Draw it, ten times a second at most."""
        now = time.monotonic()
        if self._stream is None or (now - self._shown < 0.1 and done < self._total):
            return
        self._shown = now
        filled = self._WIDTH * min(done, self._total) // self._total
        rate = done / max(now - self._began, 0.001)
        self._stream.write(f"\r[{'#' * filled:<{self._WIDTH}}] {done:,} of {self._total:,}{self._unit}  {rate:,.0f}/s ")
        self._stream.flush()

    def end(self) -> None:
        """Leave its line."""
        if self._stream is not None and self._shown > 0:
            self._stream.write("\n")
            self._stream.flush()


def terminal() -> TextIO | None:
    """Where a progress bar may be drawn."""
    return sys.stderr if sys.stderr.isatty() else None
