"""
What the sender asks of the two ends between which it stands: of what waits, and of the way to the collector.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from bizspan.spool._answers import Answer

# Entries of one scope: the scope, its schema URL or nothing, and the entries, all of them ready bytes.
Groups = Sequence[tuple[bytes, bytes, Sequence[bytes]]]


class Batch(Protocol):
    """
    Events of one resource that wait, oldest first.
    """

    @property
    def resource(self) -> bytes:
        """Ready bytes."""
        ...

    @property
    def groups(self) -> Groups:
        """The entries by scope."""
        ...

    @property
    def events(self) -> int:
        """How many."""
        ...

    def delivered(self, rejected: int = 0) -> None:
        """
        Move the ack behind it. Called only after a verified answer.

        Args:
            rejected: How many of its events the collector left out for good; the others are delivered.
        """
        ...

    def dead(self, position: int, reason: str) -> None:
        """Bring one entry to the dead letters, and move the ack behind it. Called on a batch of one event."""
        ...

    def halves(self) -> tuple[Batch, Batch]:
        """The older and the newer half of a batch of two or more events; each one's ack moves by itself."""
        ...


class Source(Protocol):
    """
    What waits.
    """

    def batch(self, most_bytes: int, most_events: int) -> Batch | None:
        """The oldest events that were not acknowledged, at least one, however large; None where nothing waits."""
        ...

    def waiting(self) -> int:
        """How many events of this process wait, those of a batch that is under way among them."""
        ...

    def settled(self) -> int:
        """How many of this process wait no longer."""
        ...

    def tick(self) -> None:
        """Called now and then, also while nothing can be sent."""
        ...


class Post(Protocol):
    """
    A `Poster`, or a test's.
    """

    @property
    def shown(self) -> str:
        """Where to, for people, without secrets."""
        ...

    def post(self, body: bytes, timeout_s: float | None = None) -> Answer:
        """Send one request and read its answer; never raises for what the far end does."""
        ...

    def interrupt(self) -> None:
        """End a request that another thread waits for."""
        ...

    def close(self) -> None:
        """Close what is open."""
        ...
