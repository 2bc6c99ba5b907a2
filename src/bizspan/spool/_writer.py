"""
Writing: one frame per event, whole or not at all, in order and without a gap.

An event is acknowledged when its bytes are in the operating system's file cache: they survive the process, however it
ends. A signal handler or a finalizer may tell an event while this very thread writes one; it is put aside and written
right after.

The application may close a descriptor that is not its own, and open a file that gets the number. Before each write, the
writer looks whether the descriptor is the segment's. That look also tells about the event before: what is ours now was
ours all the time. Where it is not, the event before is looked for in the file by its name, and written again if it went
elsewhere.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final
from zlib import crc32

from bizspan import _guard
from bizspan._accounts import DISK_FULL, LOW_SPACE, SHUT_DOWN, SPOOL_ERROR, SPOOL_FULL, TOO_LARGE
from bizspan._book import ASIDE
from bizspan.spool import _frame, _segment
from bizspan.spool._directory import Directory, reason_of
from bizspan.spool._frame import EVENT, HEAD_SIZE, VERSION, pack
from bizspan.spool._power import Power
from bizspan.spool._segment import Gone, Segment

_Written = tuple[Segment, int, int, int, bytes, int]  # where, from, size, sequence; the event, its scope

_FULL: Final = frozenset({SPOOL_FULL, LOW_SPACE, DISK_FULL})
_ASIDE_MOST: Final = 1000
_RETRY_S: Final = 0.2  # between two attempts to begin a segment on a disk that refuses
_POLL_S: Final = 0.02
_pack_head, _pack_sum = _frame.HEAD.pack, _frame.SUM.pack
_CURRENT: Final = os.SEEK_CUR
_MOST: Final = HEAD_SIZE + _frame.EVENT_MOST
_time: Final = time.time
_ATTEMPTS: Final = 3
_AHEAD: Final = 1 << 15  # bytes between two looks at what is seldom in the way of a write


class Writer:
    """
    The events of one process, on disk.

    Args:
        directory: Where.
        writer_id: 20 hex digits.
        head: Payloads of a new segment's first frames: the resource, and the scopes by number.
        segment_bytes: A segment of this size is followed by a new one.
        is_synced: Whether an event counts as acknowledged only when it survives a power cut.
        block_s: How long a full spool makes the application wait, in seconds, before it refuses.
        opened: Called with each new segment.
        refused: Called with the reason where an event that was put aside is refused.
        monotonic: Seconds.
    """

    def __init__(
        self,
        directory: Directory,
        writer_id: str,
        head: Callable[[], tuple[bytes, dict[int, bytes]]],
        *,
        segment_bytes: int,
        is_synced: bool = False,
        block_s: float = 0.0,
        opened: Callable[[Segment], None],
        refused: Callable[[str], object],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.writer_id = writer_id
        self.sequence = 0  # of the last acknowledged event: also how many there are
        self.closed = False
        self.segment: Segment | None = None
        self.room = threading.Event()  # set where a segment was deleted
        self._directory = directory
        self._lseek, self._pwrite = directory.files.lseek, directory.files.pwrite
        self._head = head
        self._segment_bytes = segment_bytes
        self.power = Power() if is_synced else None
        self._block_s = block_s
        self._opened = opened
        self._refused = refused
        self._monotonic = monotonic
        self._lock = threading.RLock()
        self._is_writing = False
        self._aside: deque[tuple[bytes, int]] = deque()
        self._under_way: _Written | None = None
        self._last: _Written | None = None  # nobody looked yet whether the descriptor was ours to the end
        self._owed: _Written | None = None  # acknowledged, and went elsewhere
        self._last_ns = 0
        self._looks = 0
        self._limit = 0  # up to where the current segment may grow before the next look
        self._retry_at = float("-inf")
        self._retry_reason = SPOOL_ERROR

    def append(self, prefix: bytes, scope: int = 0) -> str | None:
        """
        Write one event. Never raises.

        Args:
            prefix: The event, encoded but for its sequence number, which stands in the frame's head.
            scope: The scope's number.

        Returns:
            None where it is acknowledged, else why it is refused; `ASIDE` inside a signal handler or finalizer.
        """
        with self._lock:
            if self._is_writing:
                if len(self._aside) >= _ASIDE_MOST:
                    return SPOOL_FULL
                self._aside.append((prefix, scope))
                return ASIDE
            self._is_writing = True
            try:
                reason = self._write(prefix, scope)
                segment = self.segment  # by the time that this thread waits, it may be another one
                if self._aside:
                    self._write_aside()
            finally:
                self._is_writing = False
        if reason is None and self.power is not None and segment is not None:
            self.power.wait(segment)
        return reason

    def append_or_wait(self, prefix: bytes, scope: int = 0) -> str | None:
        """The same, and a full spool has the application wait for room; `block_s` says how long."""
        reason = self.append(prefix, scope)
        if reason in _FULL:
            deadline = self._monotonic() + self._block_s
            while reason in _FULL and (left := deadline - self._monotonic()) > 0:
                self.room.clear()
                self.room.wait(min(left, _POLL_S))
                reason = self.append(prefix, scope)
        return reason

    @property
    def uncounted(self) -> int:
        """How many bytes it wrote that the directory does not know of yet."""
        segment = self.segment
        return 0 if segment is None else segment.uncounted

    def settle(self) -> None:
        """Write what was put aside in the moment between the last look and the end of a write, and look back."""
        if self._aside or self._under_way or self._last or self._owed or self._directory.is_stale:
            with self._lock:
                if not self._is_writing:
                    self._is_writing = True
                    try:
                        self._limit = 0  # the next event looks at what is seldom
                        self._recover()
                        self._look_back()
                        self._pay()  # else with the next event, or the next time
                        self._write_aside()
                    finally:
                        self._is_writing = False

    def _write_aside(self) -> None:
        while self._aside:
            reason = self._write(*self._aside.popleft())
            if reason is not None:
                self._refused(reason)

    def _write(self, prefix: bytes, scope: int, attempts: int = _ATTEMPTS) -> str | None:
        # On the way of every event: flat, and what is seldom stands elsewhere.
        segment = self.segment
        size = HEAD_SIZE + len(prefix)
        try:
            if segment is None or segment.size + size > self._limit or self._under_way is not None:
                reason = self._make_ready(size)
                if reason is not None:
                    return reason
                segment = self.segment
                if segment is None:  # never: nobody else takes it away under the lock
                    raise Gone
            sequence, salt, start, descriptor = self.sequence + 1, segment.salt, segment.size, segment.descriptor
            head = _pack_head(VERSION, salt, EVENT, 0, scope, size - HEAD_SIZE, sequence, int(_time()))
            data = b"".join((head, _pack_sum(crc32(prefix, crc32(head, salt))), prefix))
            # An exception of a signal handler, such as KeyboardInterrupt, may come between any two of these lines.
            self._under_way = (segment, start, size, sequence, prefix, scope)
            if self._lseek(descriptor, 0, _CURRENT) != segment.signature:
                raise Gone
            if self._pwrite(descriptor, data, start) != size:
                raise OSError(errno.ENOSPC, "cut short")
            if self.power is not None and not segment.is_intact:  # who waits for the disk waits for this look too
                raise Gone
            segment.size = start + size
            self.sequence = sequence
            self._last, self._under_way = self._under_way, None
            return None
        except OSError as error:
            under_way, self._under_way = self._under_way, None
            is_gone = under_way is not None and not under_way[0].take_back()
            return self._after(Gone() if is_gone else error, prefix, scope, attempts - 1)

    def _make_ready(self, size: int) -> str | None:
        """Have a segment with room for so many bytes; or why there is none."""
        if self.closed:
            return SHUT_DOWN
        self._recover()
        self._look_back()
        if size > _MOST:
            return TOO_LARGE
        reason = self._pay()
        if self.segment is not None:
            self.segment.count()
        directory = self._directory
        reason = reason or directory.refusal(size)
        if reason is not None:
            return reason
        segment = self._segment_for(size)
        if segment is None:
            return self._retry_reason
        self._limit = min(self._segment_bytes, segment.size + min(directory.room, _AHEAD))
        if self.closed:  # by a signal handler, just now
            self._limit = 0
        return None

    def _after(self, error: OSError, prefix: bytes, scope: int, attempts: int) -> str | None:
        """The application may have closed the segment, and may be at it with the next one too; or the disk refused."""
        reason = reason_of(error)
        if error.errno == errno.EBADF:
            self.abandon()
            if attempts:
                return self._write(prefix, scope, attempts)
        elif reason != DISK_FULL:
            self.seal()  # what is behind its last frame is unknown
        self._retry_at, self._retry_reason = self._monotonic() + _RETRY_S, reason
        return reason

    def _recover(self) -> None:
        """A write was interrupted by an exception that was not its own: was it whole?"""
        if self._under_way is None:
            return
        segment, start, size, sequence, _, _ = self._under_way
        if segment.holds(start, size, sequence):
            if segment.size == start:
                segment.size = start + size
            self.sequence = sequence
        self._under_way = None

    def _look_back(self) -> None:
        """Whether the last event is where it was written to; else it is owed."""
        last = self._last
        if last is not None:
            segment, start, size, sequence, _, _ = last
            if not segment.is_intact:
                is_taken = segment.ack.offset >= start + size  # the sender has read it there
                if not is_taken and not segment.holds(start, size, sequence):
                    self._owed = last
                if self.segment is segment:
                    self.abandon()
            self._last = None

    def _pay(self) -> str | None:
        """
        Write an event again that went elsewhere, under its number; whatever the limits say, it was promised.

        Returns:
            Why it can't be written now; None where nothing is owed.
        """
        if self._owed is None:
            return None
        _, _, size, sequence, prefix, scope = self._owed
        reason = SPOOL_ERROR
        for _ in range(_ATTEMPTS):
            segment = None
            try:
                segment = self._segment_for(size)
                if segment is None:
                    return self._retry_reason
                data = pack(segment.salt, EVENT, prefix, scope=scope, sequence=sequence, seconds=int(_time()))
                if not segment.is_intact:
                    raise Gone
                segment.write(data)
                if not segment.is_intact:
                    raise Gone
                self._owed = None
                return None
            except OSError as error:
                reason = reason_of(error)
                if segment is None or segment.take_back():
                    break
                self.abandon()  # the application is at it with this one too
        return reason

    # --- segments -------------------------------------------------------------------------------------------------

    def _segment_for(self, size: int) -> Segment | None:
        segment = self.segment
        if segment is not None and self._looks != self._directory.looks:
            self._looks = self._directory.looks
            if segment.is_deleted:
                self.seal()  # the sender still reads it, but it would not survive this process
                segment = None
        if segment is not None and segment.size + size <= self._segment_bytes:
            return segment
        if self._monotonic() < self._retry_at:
            return None
        return self._begin()

    def _begin(self) -> Segment:
        self.seal()
        resource, scopes = self._head()
        segment = _segment.begin(
            self._directory, self.writer_id, resource, scopes, self._last_ns, synced=self.power is not None
        )
        self._last_ns = segment.name.created_ns
        self._opened(segment)  # who sends knows it before anything is in it
        self.segment = segment
        return segment

    def seal(self) -> None:
        """Write no more into the current segment."""
        self._limit = 0
        self._look_back()
        segment, self.segment = self.segment, None
        if segment is not None:
            segment.count()
            if self.power is not None:
                self.power.sync(segment)
            segment.is_sealed = True

    def seal_now(self) -> None:
        """The same, from outside."""
        with self._lock:
            if not self._is_writing:
                self.seal()

    def abandon(self) -> None:
        """Forget a segment whose descriptor somebody closed: its lock went with it, so any process may adopt it."""
        with self._lock:
            segment, self.segment = self.segment, None
            if segment is not None:
                segment.count()
                segment.is_sealed = True

    def seal_taken(self, segment: Segment) -> bool:
        """Seal this one if it is current and everything in it was taken; whether nothing more will come."""
        with self._lock:
            if self._is_writing:
                return False
            if self.segment is segment and segment.ack.offset == segment.size:
                self.seal()
            return segment.is_sealed

    def close(self) -> None:
        """Refuse everything from now on."""
        self._retry_at = float("-inf")
        self.settle()
        if self._owed is not None:
            _guard.say_once("spool:owed", "bizspan: an event that was on its way to the disk could not be kept there.")
        with self._lock:
            self.closed = True
            self._limit = 0
            if not self._is_writing:
                self.seal()
