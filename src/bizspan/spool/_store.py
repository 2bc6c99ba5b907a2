"""
What waits in the spool, as the sender takes it: this process's own segments, and those of processes that are gone.

All of this runs on the sender's thread; the application's threads only write.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import chain
from typing import Final

from bizspan.spool import _frame, _segment
from bizspan.spool._batch import Counts, StoredBatch
from bizspan.spool._dead import DeadLetters
from bizspan.spool._directory import ACK, SEGMENT, UNFINISHED, Directory, Name
from bizspan.spool._frame import HEAD_SIZE, Damage, Frame, scan
from bizspan.spool._segment import Segment
from bizspan.spool._writer import Writer

_WINDOW_MOST: Final = 2 * (_frame.EVENT_MOST + HEAD_SIZE)  # always holds one whole frame, wherever it starts
_SEAL_BYTES: Final = 1 << 20  # a current segment of this size that was taken is replaced, so that it can go
_HEAD_BYTES: Final = 1 << 16
_UNFINISHED_S: Final = 60.0  # a file of this age without its final name is nobody's any more


class Store:
    """
    Everything in the spool that this process may send.

    Args:
        directory: Where.
        writer: Of this process; None where it only sends what others left.
        writer_id: Its id.
        max_age_s: Events that waited longer expire; None keeps them for as long as there is room.
        unknown_resource: An encoded Resource for segments whose own was damaged.
        clock: Seconds since the epoch.
    """

    def __init__(
        self,
        directory: Directory,
        writer: Writer | None,
        writer_id: str,
        *,
        max_age_s: float | None = None,
        unknown_resource: bytes = b"",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.counts = Counts()
        self.own_settled = 0  # events of this process that wait no longer
        self.dead_letters = DeadLetters(directory, writer_id)
        self.unknown_resource = unknown_resource
        self.own: list[Segment] = []  # the writer appends, in another thread
        self.adopted: list[Segment] = []
        self._writer = writer
        self._writer_id = writer_id
        self._directory = directory
        self._max_age_s = max_age_s
        self._clock = clock
        self._counted: dict[Name, int] = {}  # up to where an adopted segment's events were counted
        self._dropped: dict[Name, Segment] = {}  # those that could not be read for a while
        self._passed_over: set[Name] = set()

    # --- what waits -------------------------------------------------------------------------------------------------

    def batch(self, most_bytes: int, most_events: int) -> StoredBatch | None:
        """
        The oldest events that nobody took yet, of one segment.

        Args:
            most_bytes: How much to read at once; a single larger event still comes.
            most_events: How many events at most.

        Returns:
            None where nothing waits.
        """
        if self._writer is not None:
            self._writer.settle()
        for segment in sorted(chain(self.adopted, list(self.own)), key=lambda each: each.name.created_ns):
            try:
                found = self._batch_of(segment, most_bytes, most_events)
            except OSError:
                self._drop(segment)
                continue
            if found is not None:
                return found
            self._put_away(segment)
        return None

    def _batch_of(self, segment: Segment, most_bytes: int, most_events: int) -> StoredBatch | None:
        window = most_bytes
        while segment.ack.offset < (size := segment.size):
            start = segment.ack.offset
            data = segment.read(start, window)
            if not data:  # shorter than it was: somebody cut it
                self._damaged(segment, size - start)
                segment.ack.move(size, segment.ack.events)
                return None
            is_whole = start + len(data) >= size
            entries, end = self._taken(segment, data, is_whole, most_events)
            if entries:
                self._count_adopted(segment, start, entries)
                batch = StoredBatch(self, segment, entries, start, start + end)
                if not self._expire(batch):
                    return batch
            elif end:
                segment.ack.move(start + end, segment.ack.events)
            elif window < _WINDOW_MOST:
                window = _WINDOW_MOST  # one event larger than what was asked for
            else:
                skipped = len(data) - HEAD_SIZE
                self._damaged(segment, skipped)
                segment.ack.move(start + skipped, segment.ack.events)
        return None

    def _taken(self, segment: Segment, data: bytes, is_whole: bool, most_events: int) -> tuple[list[Frame], int]:
        """Events at the start of this data, and where they end in it."""
        entries: list[Frame] = []
        end = 0
        for found in scan(data, segment.name.salt):
            if isinstance(found, Damage):
                if found.end == len(data) and not is_whole:
                    break  # a frame that goes on behind what was read, as it seems
                self._damaged(segment, found.end - found.start)
                end = found.end
            elif found.kind != _frame.EVENT:
                segment.learn(found)
                end = found.end
            else:
                entries.append(found)
                end = found.end
                if len(entries) >= most_events:
                    break
        return entries, end

    def _damaged(self, segment: Segment, size: int) -> None:
        segment.damaged += size
        self.counts.damaged_bytes += size

    def _is_own(self, segment: Segment) -> bool:
        return segment.is_own or segment.name.writer == self._writer_id  # it may have been lost and adopted again

    def _settle_own(self, segment: Segment, events: int) -> None:
        if self._is_own(segment):
            self.own_settled += events

    def _count_adopted(self, segment: Segment, start: int, entries: Sequence[Frame]) -> None:
        if self._is_own(segment):
            return  # those were acknowledged here
        counted = self._counted.get(segment.name, 0)
        self.counts.adopted += sum(start + frame.end > counted for frame in entries)
        self._counted[segment.name] = max(counted, start + entries[-1].end)

    def _expire(self, batch: StoredBatch) -> bool:
        """Pass over the events at its start that waited for too long; whether there were any."""
        if self._max_age_s is None:
            return False
        oldest = self._clock() - self._max_age_s
        late = next((n for n, frame in enumerate(batch.entries) if frame.seconds >= oldest), batch.events)
        if not late:
            return False
        self.counts.expired += late
        self._settle_own(batch.segment, late)
        ack = batch.segment.ack
        ack.move(batch.end if late == batch.events else batch.base + batch.entries[late - 1].end, ack.events + late)
        return True

    def move(self, batch: StoredBatch) -> None:
        """Everything up to the end of this batch is settled."""
        ack = batch.segment.ack
        ack.move(batch.end, ack.events + batch.events)
        self._settle_own(batch.segment, batch.events)
        self._put_away(batch.segment)

    def _put_away(self, segment: Segment) -> None:
        """Delete a segment that was taken, if nothing more comes into it."""
        if segment.ack.offset < segment.size:
            return
        if not (segment.is_sealed or self._seal(segment)):
            return
        is_gone = segment.quarantine() if segment.damaged and not segment.ack.events else segment.delete()
        if not is_gone:
            return  # tried again each time that somebody asks for a batch
        self._remove(segment)
        self._counted.pop(segment.name, None)
        if self._writer is not None:
            self._writer.room.set()

    def _seal(self, segment: Segment) -> bool:
        writer = self._writer
        return segment.size >= _SEAL_BYTES and writer is not None and writer.seal_taken(segment)

    def _drop(self, segment: Segment) -> None:
        """It can't be read any more: another process may."""
        self._remove(segment)
        if self._writer is not None and self._writer.segment is segment:
            self._writer.abandon()
        self._dropped[segment.name] = segment
        segment.release()

    def _remove(self, segment: Segment) -> None:
        for shelf in (self.own, self.adopted):
            if segment in shelf:
                shelf.remove(segment)

    # --- recovery ---------------------------------------------------------------------------------------------------

    def adopt(self) -> int:
        """
        Take over segments whose process is gone.

        Returns:
            How many.
        """
        try:
            names = self._directory.names()
        except OSError:
            return 0
        mine = {segment.name for segment in chain(list(self.own), self.adopted)}
        there = {*names}
        found = 0
        for known in (self._counted, self._dropped):
            for gone in known.keys() - there:
                del known[gone]
        for name in names:
            if name in mine or name in self._passed_over:
                continue
            if name.kind == UNFINISHED:
                self._clear(name)
            elif name.kind == SEGMENT:
                found += self._adopt(name)
            elif name.kind == ACK and name.other(SEGMENT) not in there:
                with suppress(OSError):  # a segment is there before its sidecar, and goes before it
                    self._directory.files.unlink(self._directory.file(name))
        return found

    def _adopt(self, name: Name) -> bool:
        before = self._dropped.get(name)
        try:
            # What lies behind the last event that was acknowledged was refused.
            most = before.size if before is not None and name.writer == self._writer_id else None
            segment = _segment.adopt(self._directory, name, most)
        except OSError:  # gone meanwhile, or unreadable: looked at again the next time
            return False
        if segment is None:
            return False
        try:
            is_known = self._learn_head(segment)
        except OSError:
            segment.release()
            return False
        if not is_known:
            self._passed_over.add(name)
            segment.release()
            return False
        self.adopted.append(segment)
        if before is not None:
            segment.ack.catch_up(before.ack)
            del self._dropped[name]
        return True

    def _learn_head(self, segment: Segment) -> bool:
        """Its resource and scopes; whether it is a segment of this version."""
        head = segment.read(0, _HEAD_BYTES)
        is_known = not head
        for place in (segment.ack.head, head):
            for found in scan(place, segment.name.salt):
                if isinstance(found, Damage):
                    continue
                is_known = True
                if found.kind == _frame.EVENT:
                    break
                segment.learn(found)
        # A newer bizspan sends its own. One flipped bit in the version does not make a file newer.
        return is_known or head[:3] != _frame.VERSION[:3] or head[:4] == _frame.VERSION

    def _clear(self, name: Name) -> None:
        """Remove a file whose process ended before it was published."""
        # Its lock alone would not tell: there is a moment between making a file and locking it.
        if self._clock() - name.created_ns / 1e9 < _UNFINISHED_S:
            return
        try:
            segment = _segment.adopt(self._directory, name)
        except OSError:
            return
        if segment is not None and not segment.delete():
            segment.release()

    def release(self) -> None:
        """Give everything up: what waits is for other processes, and for the next start."""
        for segment in [*self.own, *self.adopted]:
            self._remove(segment)
            if segment.ack.offset < segment.size or not segment.delete():
                segment.release()
