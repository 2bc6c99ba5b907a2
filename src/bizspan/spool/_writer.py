"""
Writing: one frame per event, whole or not at all, in order and without a gap.

An event is acknowledged when its bytes are in the operating system's file cache: they survive the process, however it
ends. A signal handler or a finalizer may tell an event while this very thread writes one; it is put aside and written
right after.
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
from bizspan.spool._frame import EVENT, HEAD_SIZE, VERSION, frame_at, pack
from bizspan.spool._segment import Gone, Segment

_FULL: Final = frozenset({SPOOL_FULL, LOW_SPACE, DISK_FULL})
_ASIDE_MOST: Final = 1000
_RETRY_S: Final = 0.2  # between two attempts to begin a segment on a disk that refuses
_POLL_S: Final = 0.02
_pack_head, _pack_sum = _frame.HEAD.pack, _frame.SUM.pack
_CURRENT: Final = os.SEEK_CUR
_MOST: Final = HEAD_SIZE + _frame.EVENT_MOST
_time: Final = time.time
_ATTEMPTS: Final = 3


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
        self.sync_failures = 0  # events that are on disk, and may not survive a power cut
        self.closed = False
        self.segment: Segment | None = None
        self.room = threading.Event()  # set where a segment was deleted
        self._directory = directory
        self._lseek, self._pwrite = directory.files.lseek, directory.files.pwrite
        self._head = head
        self._segment_bytes = segment_bytes
        self._is_synced = is_synced
        self._block_s = block_s
        self._opened = opened
        self._refused = refused
        self._monotonic = monotonic
        self._lock = threading.RLock()
        self._is_writing = False
        self._aside: deque[tuple[bytes, int]] = deque()
        self._under_way: tuple[Segment, int, int, int] | None = None
        self._last_ns = 0
        self._looks = 0
        self._retry_at = float("-inf")
        self._retry_reason = SPOOL_ERROR
        self._syncing = threading.RLock()  # a signal handler may tell an event while this very thread synchronises
        self._synced: tuple[Segment | None, int] = (None, 0)

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
                if self._aside:
                    self._write_aside()
            finally:
                self._is_writing = False
        if reason is None and self._is_synced:
            self._sync()
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

    def settle(self) -> None:
        """Write what was put aside in the moment between the last look and the end of a write."""
        if self._aside or self._under_way:
            with self._lock:
                if not self._is_writing:
                    self._is_writing = True
                    try:
                        self._recover()
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
        directory, segment = self._directory, self.segment
        size = HEAD_SIZE + len(prefix)
        if directory.room < size or directory.writes_left <= 0 or self._under_way is not None or self.closed:
            reason = self._refusal(size)
            if reason is not None:
                return reason
        try:
            if segment is None or segment.size + size > self._segment_bytes or self._looks != directory.looks:
                segment = self._segment_for(size)
                if segment is None:
                    return self._retry_reason
            sequence, salt, start, descriptor = self.sequence + 1, segment.salt, segment.size, segment.descriptor
            head = _pack_head(VERSION, salt, EVENT, 0, scope, size - HEAD_SIZE, sequence, int(_time()))
            data = b"".join((head, _pack_sum(crc32(prefix, crc32(head, salt))), prefix))
            # An exception of a signal handler, such as KeyboardInterrupt, may come between any two of these lines.
            self._under_way = (segment, start, size, sequence)
            if self._lseek(descriptor, 0, _CURRENT) != segment.signature:
                raise Gone
            if self._pwrite(descriptor, data, start) != size:
                raise OSError(errno.ENOSPC, "cut short")
            # Each call lets other threads run. What is still ours now was ours all the time.
            if self._lseek(descriptor, 0, _CURRENT) != segment.signature:
                raise Gone
            segment.size = start + size
            directory.room -= size
            directory.writes_left -= 1
            directory.own_bytes += size
            self.sequence = sequence
            self._under_way = None
            return None
        except OSError as error:
            under_way, self._under_way = self._under_way, None
            is_gone = under_way is not None and not under_way[0].take_back()
            return self._after(Gone() if is_gone else error, prefix, scope, attempts - 1)

    def _refusal(self, size: int) -> str | None:
        """What is seldom in the way of a write, and why there is none; or None."""
        if self.closed:
            return SHUT_DOWN
        if self._under_way is not None:
            self._recover()
        return TOO_LARGE if size > _MOST else self._directory.refusal(size)

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
        segment, start, size, sequence = self._under_way
        try:
            data = self._directory.files.pread(segment.descriptor, size, start) if segment.is_intact else b""
        except OSError:
            data = b""
        if frame_at(data, segment.name.salt) is not None:
            if segment.size == start:
                segment.size = start + size
                self._directory.own_bytes += size
            self.sequence = sequence
        self._under_way = None

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
        salt = int.from_bytes(os.urandom(4), "little")
        resource, scopes = self._head()
        head = pack(salt, _frame.RESOURCE, resource)
        head += b"".join(pack(salt, _frame.SCOPE, payload, scope=number) for number, payload in scopes.items())
        try:
            segment = _segment.create(self._directory, self.writer_id, head, self._last_ns, salt, self._is_synced)
        except FileNotFoundError:
            self._directory.check()  # somebody deleted it
            segment = _segment.create(self._directory, self.writer_id, head, self._last_ns, salt, self._is_synced)
        segment.resource, segment.scopes = resource, dict(scopes)
        segment.ack.offset = len(head)
        self._last_ns = segment.name.created_ns
        self.segment = segment
        self._opened(segment)
        return segment

    def seal(self) -> None:
        """Write no more into the current segment."""
        segment, self.segment = self.segment, None
        if segment is not None:
            if self._is_synced:
                self._sync_one(segment)
            segment.is_sealed = True

    def seal_now(self) -> None:
        """The same, from outside."""
        with self._lock:
            if not self._is_writing:
                self.seal()

    def abandon(self) -> None:
        """Forget a segment whose descriptor somebody closed: its lock went with it, so any process may adopt it."""
        segment, self.segment = self.segment, None
        if segment is not None:
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
        self.settle()
        with self._lock:
            self.closed = True
            if not self._is_writing:
                self.seal()

    def _sync(self) -> None:
        """Wait until everything that was written so far survives a power cut; one call serves all who wait."""
        segment = self.segment
        wanted = 0 if segment is None else segment.size
        with self._syncing:
            if segment is None or (self._synced[0] is segment and self._synced[1] >= wanted):
                return
            through = segment.size
            if self._sync_one(segment):
                self._synced = (segment, through)

    def _sync_one(self, segment: Segment) -> bool:
        try:
            segment.sync()
        except OSError as error:
            self.sync_failures += 1
            _guard.say_once(
                "spool:power",
                f"bizspan: the disk could not be synchronised ({error.errno}); events are on it, and may not survive a"
                " power cut.",
            )
            return False
        return True
