"""
The one place that swallows telemetry's own errors, counts them, and says each once.

Business code never runs inside a guard: a telemetry step does, as ``try: ... except Exception as error:
_guard.swallowed("step", error)``. `BaseException` always passes.
"""

from __future__ import annotations

import logging
from itertools import count

logger = logging.getLogger("bizspan")

_SAID_LIMIT = 512

# Our own tests set this through a fixture, so that a swallowed error fails them.
fatal = False


class Tally:
    """
    A count that threads, signal handlers and finalizers may raise at once, without a lock.

    `itertools.count` steps in one C call, so no interruption can fall between its read and its write.
    """

    __slots__ = ("_count", "add")

    def __init__(self) -> None:
        self._count = count()
        self.add = self._count.__next__

    @property
    def value(self) -> int:
        """How often `add` was called."""
        return int(repr(self._count)[len("count(") : -1])


class Tallies:
    """
    Counts by reason.
    """

    __slots__ = ("_by_reason",)

    def __init__(self) -> None:
        self._by_reason: dict[str, Tally] = {}

    def add(self, reason: str) -> None:
        """Count one more for this reason."""
        tally = self._by_reason.get(reason)
        if tally is None:
            tally = self._by_reason.setdefault(reason, Tally())
        tally.add()

    def values(self) -> dict[str, int]:
        """The counts by reason, at this moment."""
        return {reason: tally.value for reason, tally in list(self._by_reason.items())}


swallowed_errors = Tallies()
_said: dict[str, None] = {}


def swallowed(step: str, error: Exception) -> None:
    """
    Count an error of a telemetry step and say it once, so that business code goes on.

    Args:
        step: Which step failed, in two or three words.
        error: What it raised. Its text is not written: it may hold a personal value.
    """
    if fatal:
        raise error
    swallowed_errors.add(step)
    say_once(f"swallowed:{step}", f"bizspan: {step} failed with {type(error).__name__}; counted, and ignored.")


def say_once(key: str, text: str) -> None:
    """
    Write one warning to the logger ``bizspan``, the first time that this key is said in this process.
    """
    if key in _said or len(_said) >= _SAID_LIMIT:
        return
    _said[key] = None
    try:
        logger.warning("%s", text)
    except Exception:  # an application's logging handler may raise; a warning of ours must not carry that on
        swallowed_errors.add("logging")


def forget_said() -> None:
    """Let everything be said again: for tests."""
    _said.clear()
