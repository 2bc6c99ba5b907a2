"""
Surviving a power cut: what is in the file cache goes to the disk before an event counts as acknowledged.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from bizspan import _guard

if TYPE_CHECKING:
    from bizspan.spool._segment import Segment


class Power:
    """
    Synchronises segments; one call serves all threads that wait.
    """

    def __init__(self) -> None:
        self.failures = 0  # events that are on disk, and may not survive a power cut
        # A signal handler may tell an event while this very thread synchronises.
        self._lock = threading.RLock()

    def wait(self, segment: Segment) -> None:
        """Return when everything that was written into it so far is safe, or could not be made so. Never raises."""
        wanted = segment.size
        with self._lock:
            if segment.synced_size < wanted:
                self.sync(segment)

    def sync(self, segment: Segment) -> None:
        """
        The same by a call of its own, for who holds the writer's lock: a signal handler of a thread that waits here may
        wait for that one.
        """
        try:
            segment.sync()
        except OSError as error:
            self.failures += 1
            _guard.say_once(
                "spool:power",
                f"bizspan: the disk could not be synchronised ({error.errno}); events are on it, and may not survive a"
                " power cut.",
            )
