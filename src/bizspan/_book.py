"""
A book: takes events before they count as acknowledged, and sees to it that they arrive. The spool is one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from bizspan._record import Record

# The answer to an event that is told while this very thread writes one: it is written, or refused, right after.
ASIDE: Final = "aside"


@dataclass(frozen=True, slots=True)
class BookAccount:
    """
    What became of a book's events, at one moment: ``acknowledged + adopted = delivered + rejected_by_collector +
    dead_lettered + expired + pending``.

    Args:
        adopted: Events of processes that are gone, taken over by this one so far.
        delivered: A collector has answered that it took them.
        rejected_by_collector: A collector has answered that it took their batch without them.
        dead_lettered: A collector refused them one by one; they are kept in the dead-letter file.
        expired: They waited longer than the age that was set.
        pending: They wait.
        damaged_bytes: Bytes of files that held no whole event.
        bytes: How much lies in the directory, of all processes.
        is_durable: Whether events are on disk before they count as acknowledged.
    """

    adopted: int
    delivered: int
    rejected_by_collector: int
    dead_lettered: int
    expired: int
    pending: int
    damaged_bytes: int
    bytes: int
    is_durable: bool


class Book(Protocol):
    """
    What a pipeline needs of one.
    """

    refused: Callable[[str], object]  # told why, where an event that was put aside is refused

    def append(self, record: Record) -> str | None:
        """
        Take one event. Never raises.

        Returns:
            None where it is acknowledged, else why it is refused; or `ASIDE`.
        """
        ...

    @property
    def acknowledged(self) -> int:
        """How many events of this process it took."""
        ...

    def account(self) -> BookAccount:
        """What became of them."""
        ...

    def flush(self, timeout_s: float) -> bool:
        """Have everything that waits delivered; whether that was done in time."""
        ...

    def close(self, timeout_s: float) -> None:
        """Refuse everything from now on, and send what can be sent in time. What waits then stays for another."""
        ...
