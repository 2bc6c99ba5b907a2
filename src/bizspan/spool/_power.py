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
        self._done: tuple[Segment | None, int] = (None, 0)

    def wait(self, segment: Segment | None) -> None:
        """Return when everything that was written into it so far is safe."""
        if segment is None:
            return
        wanted = segment.size
        with self._lock:
            done, through = self._done
            if done is segment and through >= wanted:
                return
            through = segment.size
            if self.sync(segment):
                self._done = (segment, through)

    def sync(self, segment: Segment) -> bool:
        """The same, for one call; whether it is safe. Never raises."""
        try:
            segment.sync()
        except OSError as error:
            self.failures += 1
            _guard.say_once(
                "spool:power",
                f"bizspan: the disk could not be synchronised ({error.errno}); events are on it, and may not survive a"
                " power cut.",
            )
            return False
        return True
