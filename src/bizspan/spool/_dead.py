"""
The dead-letter file: single events that a collector refused for what they are, kept for a person to look at.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import Final

from bizspan.spool import _frame
from bizspan.spool._directory import DEAD, Directory, Name
from bizspan.spool._frame import Frame, pack

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
        self._size = 0
        self._about: tuple[bytes, bytes] = (b"", b"")

    def add(self, resource: bytes, scope: bytes, event: Frame) -> bool:
        """
        Keep one event.

        Args:
            resource: Payload of its segment's resource frame.
            scope: Payload of its scope frame.
            event: Its own frame.

        Returns:
            Whether it is kept.
        """
        name, descriptor = self._opened()
        if name is None:
            return False
        data = pack(name.salt, _frame.EVENT, event.payload, sequence=event.sequence, seconds=int(time.time()))
        if (resource, scope) != self._about:
            data = pack(name.salt, _frame.RESOURCE, resource) + pack(name.salt, _frame.SCOPE, scope) + data
        if not self._write(name, descriptor, data):
            return False
        self._about = (resource, scope)
        self._size += len(data)
        self._directory.own(name, len(data))
        return True

    def _write(self, name: Name, descriptor: int, data: bytes) -> bool:
        files = self._directory.files
        try:
            if self._size + len(data) <= MOST_BYTES and files.pwrite(descriptor, data, self._size) == len(data):
                return True
            if not self._size:  # or a full disk would fill with empty files
                files.unlink(self._directory.file(name))
        except OSError:
            return False
        finally:
            files.put_away(descriptor)
        return False

    def _opened(self) -> tuple[Name | None, int]:
        """The file, under its lock, or a new one where a command has it, or took it away."""
        files = self._directory.files
        if self._name is not None and self._size:
            try:
                descriptor = hold(self._directory, self._name)
            except OSError:
                return None, -1
            if descriptor is not None:
                return self._name, descriptor
            self._directory.disown(self._name, self._size)
        salt = int.from_bytes(os.urandom(4), "little")
        name = Name(time.time_ns(), self._writer_id, salt, DEAD)
        self._name, self._size, self._about = name, 0, (b"", b"")
        try:
            descriptor = files.create(self._directory.file(name))
        except OSError:
            return None, -1
        with suppress(OSError):
            if files.lock(descriptor):  # or a command was quicker: it finds nothing, and leaves it
                return name, descriptor
        files.put_away(descriptor)
        return None, -1


def hold(directory: Directory, name: Name) -> int | None:
    """
    The open descriptor of a dead-letter file under its lock: who writes to it and who takes it away take turns.

    Returns:
        None where somebody else holds it, or it is gone.

    Raises:
        OSError: When it can't be opened or locked.
    """
    files, path = directory.files, directory.file(name)
    try:
        descriptor = files.open(path)
    except FileNotFoundError:
        return None
    try:
        if files.lock(descriptor):
            told, current = files.fstat(descriptor), files.lstat(path)
            if (told.st_ino, told.st_dev) == (current.st_ino, current.st_dev) and told.st_uid == files.owner():
                return descriptor
    except FileNotFoundError:
        pass
    except OSError:
        files.put_away(descriptor)
        raise
    files.put_away(descriptor)
    return None
