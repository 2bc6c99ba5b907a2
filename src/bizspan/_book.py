"""
A book: takes events before they count as acknowledged, and sees to it that they arrive. The spool is one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from bizspan._book_account import BookAccount
    from bizspan._record import Record

# The answer to an event that is told while this very thread writes one: it is written, or refused, right after.
ASIDE: Final = "aside"


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
