"""
The sidecar of a segment: how far a collector has taken it, and a copy of the segment's first frames.

Two slots are written in turn, so that a write that was cut leaves the one before. What is lost here is sent once more,
never lost; so nothing here is synchronised.
"""

from __future__ import annotations

import os
import struct
from typing import Final
from zlib import crc32

from bizspan.spool._files import Files

# generation, offset in the segment, events up to there
_SLOT: Final = struct.Struct("<QQQ")
_SLOT_SIZE: Final = 32
_MAGIC: Final = b"BZA1" + bytes(28)
_FIRST: Final = len(_MAGIC)
HEAD_AT: Final = _FIRST + 2 * _SLOT_SIZE


class Ack:
    """
    How far one segment was taken.

    Args:
        files: The file system.
        path: Of the sidecar.
        salt: The segment's.
        head: The segment's first frames, to be kept in a second place.
    """

    __slots__ = ("_files", "_generation", "_head", "_path", "_salt", "events", "offset")

    def __init__(self, files: Files, path: str, salt: int, head: bytes = b"") -> None:
        self._files = files
        self._path = path
        self._salt = salt
        self._head = head
        self._generation = 0
        self.offset = 0
        self.events = 0

    def load(self, size: int) -> None:
        """
        Read what an earlier process wrote. What can't be true, such as an offset beyond the segment, counts as nothing.

        Args:
            size: Of the segment.
        """
        try:
            descriptor = self._files.open(self._path)
        except OSError:
            return
        try:
            slots = self._files.pread(descriptor, 2 * _SLOT_SIZE, _FIRST)
            self._head = self._head or self._files.pread(descriptor, 1 << 16, HEAD_AT)
        except OSError:
            return
        finally:
            self._files.close(descriptor)
        for start in (0, _SLOT_SIZE):
            body = slots[start : start + _SLOT.size]
            told = slots[start + _SLOT.size : start + _SLOT_SIZE]
            if len(told) < 4 or told[:4] != crc32(body, self._salt).to_bytes(4, "little"):
                continue
            generation, offset, events = _SLOT.unpack(body)
            if generation > self._generation:
                self._generation = generation
                self.offset, self.events = (offset, events) if offset <= size else (0, 0)

    @property
    def head(self) -> bytes:
        """The copy of the segment's first frames; empty where there is none."""
        return self._head

    def move(self, offset: int, events: int) -> bool:
        """
        Everything before this offset was taken.

        Returns:
            Whether that was written; if not, it is known in memory alone, and a later process sends it once more.
        """
        self.offset, self.events = offset, events
        self._generation += 1
        body = _SLOT.pack(self._generation, offset, events)
        slot = body + crc32(body, self._salt).to_bytes(4, "little") + bytes(_SLOT_SIZE - _SLOT.size - 4)
        try:
            descriptor = self._opened()
            try:
                written = self._files.pwrite(descriptor, slot, _FIRST + self._generation % 2 * _SLOT_SIZE)
            finally:
                self._files.close(descriptor)
        except OSError:
            return False
        return written == _SLOT_SIZE

    def catch_up(self, before: Ack) -> None:
        """Take what an earlier one of the same segment knew, although it could not be written."""
        if before.offset > self.offset:
            self.offset, self.events = before.offset, before.events

    def write_head(self) -> None:
        """Keep the copy of the first frames. Errors are passed over: it is a second copy."""
        try:
            self._files.close(self._opened())
        except OSError:
            return

    def _opened(self) -> int:
        try:
            return self._files.open(self._path)
        except FileNotFoundError:
            descriptor = self._files.create(self._path)
            try:
                self._files.pwrite(descriptor, _MAGIC + bytes(2 * _SLOT_SIZE) + self._head, 0)
            except OSError:
                self._files.close(descriptor)
                raise
            return descriptor

    def __repr__(self) -> str:
        return f"Ack({os.path.basename(self._path)!r}, offset={self.offset})"
