"""
What became of the events of a book. Apart, because making the class takes a millisecond, and most have no book.
"""

from __future__ import annotations

from dataclasses import dataclass


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
