"""
The state of a sender's loop in one process.
"""

from __future__ import annotations

import queue
import threading
from typing import Final

MOST_BYTES: Final = 1 << 20


class Flush:
    """Somebody who waits until a number of events is settled."""

    __slots__ = ("deadline", "done", "goal", "has_hurried", "is_over")

    def __init__(self, goal: int, deadline: float) -> None:
        self.goal = goal
        self.deadline = deadline
        self.done = threading.Event()
        self.has_hurried = self.is_over = False


class Life:
    """What belongs to one process: a forked child has neither the thread nor the state of its locks."""

    __slots__ = (
        "asked_s",
        "attempted_at",
        "awake",
        "closing",
        "due",
        "flushes",
        "most_bytes",
        "signal",
        "starting",
        "thread",
        "turn",
    )

    def __init__(self) -> None:
        self.awake = False
        self.closing = threading.Event()
        self.due = self.attempted_at = float("-inf")
        self.asked_s: float | None = None
        self.flushes: dict[Flush, None] = {}
        self.most_bytes = MOST_BYTES
        # Takes a put from a signal handler or a finalizer that came between any two steps: no lock of ours is in it.
        self.signal: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.starting = threading.Lock()
        self.thread: threading.Thread | None = None
        self.turn = threading.Lock()
