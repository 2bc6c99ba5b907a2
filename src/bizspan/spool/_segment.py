"""
One segment: an append-only file of frames, held under a lock by the process that writes or sends it.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from bizspan.spool import _frame
from bizspan.spool._ack import Ack
from bizspan.spool._directory import ACK, BAD, SEGMENT, UNFINISHED, Directory, Name
from bizspan.spool._files import Files
from bizspan.spool._frame import Frame

_SIGNED: Final = 1 << 40  # no file that somebody else opens has its position there


class Gone(OSError):  # noqa: N818 - internal
    """The descriptor is not the segment's any more: somebody closed it."""

    def __init__(self) -> None:
        super().__init__(errno.EBADF, "closed by somebody else")


class Segment:
    """
    An open segment whose lock is held.

    Args:
        directory: Where it lies.
        name: Its name.
        descriptor: Open, locked.
        signature: See `_sign`.
        size: How many bytes hold frames.
        head: Its first frames, where they are known.
    """

    __slots__ = (
        "_counted", "ack", "damaged", "descriptor", "directory", "is_own", "is_sealed",
        "name", "path", "resource", "salt", "scopes", "signature", "size", "synced_size",
    )  # fmt: skip

    def __init__(
        self, directory: Directory, name: Name, descriptor: int, signature: int, size: int, head: bytes = b""
    ) -> None:
        self.directory = directory
        self.name = name
        self.salt = name.salt
        self.path = directory.file(name)
        self.descriptor = descriptor
        self.size = size
        self.is_own = False
        self._counted = size  # how much of it the directory knows
        self.synced_size = 0  # how much of it survives a power cut
        self.damaged = 0  # bytes that hold no frame, as far as it was read
        self.is_sealed = True  # nothing more comes
        self.resource = b""
        self.scopes: dict[int, bytes] = {}
        self.ack = Ack(directory.files, directory.file(name.other(ACK)), name.salt, head)
        self.signature = signature  # see `_sign`

    @property
    def is_intact(self) -> bool:
        """Whether the descriptor is still this file's."""
        return _is_signed(self.directory.files, self.descriptor, self.signature)

    @property
    def is_deleted(self) -> bool:
        """Whether somebody removed its name: the file goes with the descriptor."""
        try:
            return self.is_intact and self.directory.files.fstat(self.descriptor).st_nlink == 0
        except OSError:
            return False

    def write(self, data: bytes) -> None:
        """
        Write at its end, whole or not at all.

        Raises:
            OSError: When it can't be written.
        """
        if self.directory.files.pwrite(self.descriptor, data, self.size) != len(data):
            raise OSError(errno.ENOSPC, "cut short")
        self.size += len(data)

    def take_back(self) -> bool:
        """
        Cut off what a failed write may have left: the next frame would overwrite it, but a reader may come first, to
        whom a refused event could look whole.

        Returns:
            Whether the descriptor is still this file's; else nothing was cut.
        """
        if not self.is_intact:
            return False
        with suppress(OSError):
            self.directory.files.ftruncate(self.descriptor, self.size)
        return True

    def read(self, offset: int, most: int) -> bytes:
        """
        Bytes of whole and broken frames from there on.

        Raises:
            Gone: When the descriptor is another file's.
            OSError: When it can't be read.
        """
        data = self.directory.files.pread(self.descriptor, min(most, self.size - offset), offset)
        if not self.is_intact:  # of another file, perhaps
            raise Gone
        return data

    def holds(self, start: int, size: int, sequence: int) -> bool:
        """Whether that event lies there: in the file of its name, where the descriptor is somebody else's by now."""
        files = self.directory.files
        is_own = self.is_intact
        try:
            descriptor = self.descriptor if is_own else files.open(self.path)
        except OSError:
            return False
        try:
            frame = _frame.frame_at(files.pread(descriptor, size, start), self.salt)
        except OSError:
            return False
        finally:
            if not is_own:
                files.put_away(descriptor)
        return frame is not None and frame.sequence == sequence

    @property
    def uncounted(self) -> int:
        """How many of its bytes the directory does not know of yet."""
        return self.size - self._counted

    def count(self) -> None:
        """Have the directory know how large it is now."""
        self.directory.grow(self.uncounted)
        self._counted = self.size

    def learn(self, frame: Frame) -> None:
        """Take the resource or the scope that a frame holds."""
        if frame.kind == _frame.RESOURCE:
            self.resource = frame.payload
        elif frame.kind == _frame.SCOPE:
            self.scopes[frame.scope] = frame.payload

    def sync(self) -> None:
        """
        Have it survive a power cut.

        Raises:
            Gone: When the descriptor is another file's.
            OSError: When that fails.
        """
        size = self.size
        if not self.is_intact:
            raise Gone
        self.directory.files.fdatasync(self.descriptor)
        self.synced_size = size

    def sync_new(self) -> None:
        """
        The same, where something was written since the last time.

        Raises:
            OSError: When that fails.
        """
        if self.synced_size < self.size:
            self.sync()

    def release(self) -> None:
        """Give up the lock; the file stays, for another process."""
        _close(self.directory.files, self.descriptor, self.signature)
        self.directory.disown(self.name, self._counted)

    def quarantine(self) -> bool:
        """Nothing in it could be read: keep it under another name, for a person to look at; see `delete`."""
        try:
            self.directory.files.rename(self.path, self.directory.file(self.name.other(BAD)))
        except FileNotFoundError:
            pass
        except OSError:
            return False
        return self.delete()

    def delete(self) -> bool:
        """
        Everything in it was taken: remove it with its sidecar, still under the lock.

        Returns:
            Whether it is gone, and released. If not, the lock stays: whoever took it over would send it again.
        """
        files = self.directory.files
        try:
            files.unlink(self.path)
        except FileNotFoundError:
            pass
        except OSError:
            return False
        with suppress(OSError):  # a sidecar without a segment is cleared by a later scan
            files.unlink(self.directory.file(self.name.other(ACK)))
        self.release()
        return True


def begin(
    directory: Directory, writer: str, resource: bytes, scopes: Mapping[int, bytes], after_ns: int, *, synced: bool
) -> Segment:
    """
    A new segment with its resource and scopes; in a directory that is made again where somebody deleted it.

    Args:
        directory: See `create`.
        writer: See `create`.
        resource: Of this process, encoded.
        scopes: By number, packed.
        after_ns: See `create`.
        synced: See `create`.

    Raises:
        OSError: When it can't be made.
    """
    salt = int.from_bytes(os.urandom(4), "little")
    head = _frame.pack(salt, _frame.RESOURCE, resource)
    head += b"".join(_frame.pack(salt, _frame.SCOPE, payload, scope=number) for number, payload in scopes.items())
    try:
        segment = create(directory, writer, head, after_ns, salt, synced)
    except FileNotFoundError:
        directory.check()
        segment = create(directory, writer, head, after_ns, salt, synced)
    segment.resource, segment.scopes = resource, dict(scopes)
    segment.ack.offset = len(head)
    return segment


def create(directory: Directory, writer: str, head: bytes, after_ns: int, salt: int, synced: bool) -> Segment:
    """
    A new segment of this process, published under its lock.

    Args:
        directory: Where.
        writer: Its writer's id.
        head: Its first frames.
        after_ns: When the writer's last one was made: names follow in order although clocks step back.
        salt: See `bizspan.spool._frame`.
        synced: Whether its name has to survive a power cut.

    Raises:
        OSError: When it can't be made.
    """
    files = directory.files
    name = Name(max(time.time_ns(), after_ns + 1), writer, salt, SEGMENT)
    unfinished, path = directory.file(name.other(UNFINISHED)), directory.file(name)
    descriptor = files.create(unfinished)
    signature = -1  # nothing is at that position
    try:
        signature = _sign(files, descriptor)
        # The lock before the name: whoever sees the name must find it locked.
        if not files.lock(descriptor):
            raise FileNotFoundError(errno.ENOENT, "another process clears it away")
        if files.pwrite(descriptor, head, 0) != len(head):
            raise OSError(errno.ENOSPC, "cut short")
        if synced:
            files.fdatasync(descriptor)
        files.rename(unfinished, path)
        if synced:
            files.sync_directory(directory.path)
        segment = Segment(directory, name, descriptor, signature, len(head), head)
        if not segment.is_intact:
            raise Gone
    except BaseException:  # an interrupt too: the lock would hold until the process ends
        # Under either name: an error does not say how far a call came.
        for each in (unfinished, path):
            with suppress(OSError):
                files.unlink(each)
        if not _is_signed(files, descriptor, signature):
            raise Gone from None
        _close(files, descriptor, signature)
        raise
    segment.is_own, segment.is_sealed = True, False
    directory.own(name, len(head))
    segment.ack.write_head()
    return segment


def adopt(directory: Directory, name: Name, most: int | None = None) -> Segment | None:
    """
    A segment whose process is gone, or None where it lives, or the file is not what its name says.

    Args:
        directory: Where it lies.
        name: Its name.
        most: How many bytes of it hold frames, where this process wrote it; None for all.

    Raises:
        OSError: When it can't be opened or read.
    """
    files = directory.files
    path = directory.file(name)
    descriptor = files.open(path)
    signature = -1  # nothing is at that position
    try:
        signature = _sign(files, descriptor)
        told = files.fstat(descriptor)
        # Another process may have sent and deleted it before it was locked here.
        if files.lock(descriptor):
            current = files.lstat(path)
            if (current.st_ino, current.st_dev, current.st_uid) == (told.st_ino, told.st_dev, files.owner()):
                size = files.fstat(descriptor).st_size
                segment = Segment(directory, name, descriptor, signature, size if most is None else min(size, most))
                if segment.is_intact:
                    directory.own(name, segment.size)
                    segment.ack.load(segment.size)
                    return segment
    except OSError:
        _close(files, descriptor, signature)
        raise
    _close(files, descriptor, signature)
    return None


# The position of a segment's descriptor is set to a random signature: where it reads differently, somebody closed the
# descriptor, and its number is another file's now. Reading and writing name their offsets, so they don't move it.


def _sign(files: Files, descriptor: int) -> int:
    return files.lseek(descriptor, _SIGNED + int.from_bytes(os.urandom(4), "little"), os.SEEK_SET)


def _is_signed(files: Files, descriptor: int, signature: int) -> bool:
    try:
        return files.lseek(descriptor, 0, os.SEEK_CUR) == signature
    except OSError:
        return False


def _close(files: Files, descriptor: int, signature: int) -> None:
    if _is_signed(files, descriptor, signature):
        files.put_away(descriptor)
