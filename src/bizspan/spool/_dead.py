"""
The dead-letter file: single events that a collector refused for what they are, kept for a person to look at.
"""

from __future__ import annotations

import os
import time
from typing import Final

from bizspan.spool import _frame
from bizspan.spool._directory import DEAD, Directory, Name
from bizspan.spool._frame import pack

MOST_BYTES: Final = 16 << 20  # of one process; what is beyond is counted, and not kept


class DeadLetters:
    """
    One process's dead letters; the file is made with the first one.

    Args:
        directory: Where.
        writer_id: 20 hex digits.
    """

    def __init__(self, directory: Directory, writer_id: str) -> None:
        self._directory = directory
        self._writer_id = writer_id
        self._name: Name | None = None
        self._size = 0  # of all its files
        self._end = 0  # of the current one
        self._about: tuple[bytes, bytes] = (b"", b"")

    def add(self, resource: bytes, scope: bytes, entry: bytes) -> bool:
        """
        Keep one event.

        Args:
            resource: Payload of its segment's resource frame.
            scope: Payload of its scope frame.
            entry: Payload of its own.

        Returns:
            Whether it is kept.
        """
        if self._name is None:
            salt = int.from_bytes(os.urandom(4), "little")
            self._name = Name(time.time_ns(), self._writer_id, salt, DEAD)
            self._end = 0
            self._about = (b"", b"")
        name, salt = self._name, self._name.salt
        data = pack(salt, _frame.EVENT, entry, seconds=int(time.time()))
        if (resource, scope) != self._about:
            data = pack(salt, _frame.RESOURCE, resource) + pack(salt, _frame.SCOPE, scope) + data
        if self._size + len(data) > MOST_BYTES:
            return False
        files, path = self._directory.files, self._directory.file(name)
        try:
            descriptor = files.open(path) if self._end else files.create(path)
            try:
                written = files.pwrite(descriptor, data, self._end)
            finally:
                files.close(descriptor)
        except OSError:
            written = 0
        if written != len(data):
            self._name = (
                None  # what became of this file is unknown, or somebody removed it: the next letter begins another
            )
            return False
        self._about = (resource, scope)
        self._end += written
        self._size += written
        self._directory.own(name, written)
        return True
