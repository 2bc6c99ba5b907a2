"""
Some events of one segment, on their way to a collector, and what becomes of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from bizspan import _guard

if TYPE_CHECKING:
    from bizspan.spool._frame import Frame
    from bizspan.spool._segment import Segment
    from bizspan.spool._store import Store

NO_SCOPE: Final = bytes(4)  # see `pack_scope`

# (scope, schema URL, entries)
Group = tuple[bytes, bytes, Sequence[bytes]]


def pack_scope(scope: bytes, schema_url: bytes) -> bytes:
    """The payload of a scope's frame: an encoded InstrumentationScope, and the schema URL of what is under it."""
    return len(scope).to_bytes(4, "little") + scope + schema_url


def unpack_scope(payload: bytes) -> tuple[bytes, bytes]:
    """Both parts of a scope's frame."""
    end = 4 + int.from_bytes(payload[:4], "little")
    return payload[4:end], payload[end:]


def grouped(entries: Sequence[Frame], scopes: Mapping[int, bytes]) -> list[Group]:
    """
    Events by scope.

    Args:
        entries: Their frames.
        scopes: Payloads of the scopes' frames, by number.
    """
    by_scope: dict[int, list[bytes]] = {}
    for frame in entries:
        by_scope.setdefault(frame.scope, []).append(frame.payload)
    return [(*unpack_scope(scopes.get(number, NO_SCOPE)), payloads) for number, payloads in by_scope.items()]


@dataclass(slots=True)
class Counts:
    """
    What became of stored events. Written by the sender's thread alone.

    Args:
        delivered: A collector has answered that it took them.
        rejected: A collector has answered that it took the batch without them.
        dead_lettered: A collector refused them one by one.
        expired: They were older than the age that was set.
        adopted: Of other processes, taken over by this one.
        damaged_bytes: Bytes of segments that held no whole frame.
    """

    delivered: int = 0
    rejected: int = 0
    dead_lettered: int = 0
    expired: int = 0
    adopted: int = 0
    damaged_bytes: int = 0

    @property
    def settled(self) -> int:
        """Events that wait no longer."""
        return self.delivered + self.rejected + self.dead_lettered + self.expired


@dataclass(slots=True)
class StoredBatch:
    """
    Neighbouring events of one segment.

    Args:
        store: Whose.
        segment: Whose events these are.
        entries: The events' frames.
        base: Where in the segment the frames' own ends count from.
        end: Where the segment goes on.
    """

    store: Store
    segment: Segment
    entries: Sequence[Frame]
    base: int
    end: int
    groups: Sequence[Group] = field(init=False)

    def __post_init__(self) -> None:
        self.groups = grouped(self.entries, self.segment.scopes)

    @property
    def resource(self) -> bytes:
        """The encoded Resource."""
        return self.segment.resource or self.store.unknown_resource

    @property
    def events(self) -> int:
        """How many."""
        return len(self.entries)

    def delivered(self, rejected: int = 0) -> None:
        """A collector has verifiably taken it, but for so many."""
        rejected = min(rejected, self.events)
        self.store.counts.rejected += rejected
        self.store.counts.delivered += self.events - rejected
        self.store.move(self)

    def dead(self, position: int = 0, reason: str = "") -> None:
        """A collector refused this single event for what it is; see `bizspan.spool._source.Batch`."""
        for frame in self.entries:
            scope = self.segment.scopes.get(frame.scope, NO_SCOPE)
            if not self.store.dead_letters.add(self.resource, scope, frame.payload):
                _guard.say_once("spool:dead", "bizspan: a dead letter could not be kept; it is counted, and lost.")
        self.store.counts.dead_lettered += self.events
        self.store.move(self)

    def halves(self) -> tuple[StoredBatch, StoredBatch]:
        """Two batches of half the size; the first one has to be settled first."""
        middle = len(self.entries) // 2
        first, second = self.entries[:middle], self.entries[middle:]
        return (
            StoredBatch(self.store, self.segment, first, self.base, self.base + first[-1].end),
            StoredBatch(self.store, self.segment, second, self.base, self.end),
        )
