"""
The spool's directory: whose it is, what lies in it, and how much room is left.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from bizspan._accounts import DISK_FULL, LOW_SPACE, SPOOL_ERROR, SPOOL_FULL
from bizspan.spool._files import Files

_FULL_ERRORS: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_STALE_S: Final = 1.0  # how old what is known of other processes' files, and of the free space, may be

SEGMENT, ACK, DEAD, UNFINISHED, BAD = ".seg", ".ack", ".dead", ".tmp", ".bad"
_OPEN_FILES: Final = "/proc/self/fd"  # of Linux
_DELETED: Final = " (deleted)"
_NAME: Final = re.compile(r"([0-9a-f]{16})-([0-9a-f]{20})-([0-9a-f]{8})(\.seg|\.ack|\.dead|\.tmp|\.bad)")


class Unusable(OSError):  # noqa: N818 - internal: becomes memory mode, said once
    """
    The directory can't hold a spool.

    Args:
        why: One sentence without a path.
    """


@dataclass(frozen=True, slots=True)
class Name:
    """
    A file's name, taken apart.

    Args:
        created_ns: When it was made, nanoseconds since the epoch.
        writer: The id of its writer, 20 hex digits.
        salt: See `bizspan.spool._frame`.
        kind: `SEGMENT`, `ACK`, `DEAD`, `UNFINISHED` or `BAD`.
    """

    created_ns: int
    writer: str
    salt: int
    kind: str

    def __str__(self) -> str:
        return f"{self.created_ns:016x}-{self.writer}-{self.salt:08x}{self.kind}"

    def other(self, kind: str) -> Name:
        """The file of another kind that goes with it."""
        return Name(self.created_ns, self.writer, self.salt, kind)


def name_of(text: str) -> Name | None:
    """
    A name of ours, or None for a foreign file, which is left alone.
    """
    found = _NAME.fullmatch(text)
    if found is None:
        return None
    return Name(int(found[1], 16), found[2], int(found[3], 16), found[4])


def reason_of(error: OSError) -> str:
    """Why an event is refused after this error."""
    return DISK_FULL if error.errno in _FULL_ERRORS else SPOOL_ERROR


class Directory:
    """
    A directory that holds a spool.

    Args:
        path: Its path. It is made, for its owner alone, where it is missing.
        most_bytes: How much may lie in it, of all processes.
        floor_bytes: How much must stay free on its file system.
        files: The file system.
        monotonic: Seconds.

    Raises:
        Unusable: When it is no directory of ours, or can't be written.
    """

    def __init__(
        self,
        path: str,
        *,
        most_bytes: int,
        floor_bytes: int,
        files: Files,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = os.path.abspath(path)
        self._real_path = os.path.realpath(path)
        self.files = files
        self.most_bytes = most_bytes
        self._floor_bytes = floor_bytes
        self._monotonic = monotonic
        self._looked = float("-inf")
        self._others = 0  # bytes of files that are not ours
        self.room = 0  # what may be written before the next look, in bytes
        self._short = SPOOL_FULL  # what it means that there is none
        self.looks = 0  # raised with each look
        self._own_bytes = 0
        self._owned: set[str] = set()
        self.check()

    def check(self) -> None:
        """
        Make it where it is missing, and see that nobody else can read or replace what lies in it.

        Raises:
            Unusable: See the class.
        """
        files = self.files
        if not files.is_supported:
            raise Unusable("this system has no advisory file locks")
        try:
            try:
                told = files.lstat(self.path)
            except FileNotFoundError:
                with suppress(FileExistsError):  # another process was quicker
                    files.make_directory(self.path)
                told = files.lstat(self.path)
            if not stat.S_ISDIR(told.st_mode):
                raise Unusable("the path is no directory")
            if told.st_uid != files.owner():
                raise Unusable("the directory belongs to another user")
            if stat.S_IMODE(told.st_mode) & 0o077:
                if any(name_of(text) is None for text in files.listdir(self.path)):
                    raise Unusable("others may enter it, and it holds more than a spool; name a directory of its own")
                files.chmod(self.path, 0o700)
            self._try_to_write()
        except Unusable:  # an OSError too, and it says more
            raise
        except OSError as error:
            raise Unusable(f"it can't be used ({errno.errorcode.get(error.errno or 0, 'OSError')})") from None

    def _try_to_write(self) -> None:
        trial = Name(time.time_ns(), os.urandom(10).hex(), 0, UNFINISHED)
        try:
            self.files.close(self.files.create(self.file(trial)))
            self.files.unlink(self.file(trial))
        except OSError as error:
            # On a full disk, what waits here still has to be sent, which is what makes room. And another process's scan
            # may have just cleared the file away.
            if error.errno not in _FULL_ERRORS and error.errno != errno.ENOENT:
                raise

    def file(self, name: Name | str) -> str:
        """The path of a file in it."""
        return os.path.join(self.path, str(name))

    def names(self) -> list[Name]:
        """
        Files of ours, oldest first.

        Raises:
            OSError: When it can't be read.
        """
        found = (name_of(text) for text in self.files.listdir(self.path))
        return sorted((name for name in found if name is not None), key=lambda name: (name.created_ns, str(name)))

    def close_inherited(self) -> None:
        """
        In a forked child: close what another thread of the parent was just opening, and nobody else knows of. Where the
        system can't tell what is open, such a lock holds until the child ends.
        """
        try:
            numbers = [int(text) for text in os.listdir(_OPEN_FILES)]
        except OSError:
            return
        for number in numbers:
            with suppress(OSError):
                where, _, text = os.readlink(f"{_OPEN_FILES}/{number}").removesuffix(_DELETED).rpartition("/")
                if where == self._real_path and name_of(text) is not None:
                    os.close(number)

    # --- room -----------------------------------------------------------------------------------------------------

    def own(self, name: Name, size: int = 0) -> None:
        """Count this file as one whose size this process knows."""
        self._owned.add(str(name))
        self._own_bytes += size

    def grow(self, size: int) -> None:
        """Count what was written into such a file."""
        self._own_bytes += size
        self.room -= size

    def disown(self, name: Name, size: int) -> None:
        """No longer."""
        if str(name) in self._owned:
            self._owned.discard(str(name))
            self._own_bytes -= size
            self.room += size

    def refusal(self, size: int) -> str | None:
        """
        Why so many further bytes may not be written now, or None.

        Other processes' files and the free space are looked at once a second at most.
        """
        if self.is_stale:
            self._look()
        return self._short if self.room < size else None

    @property
    def is_stale(self) -> bool:
        """Whether what is known of other processes' files, and of the free space, is old."""
        return self._monotonic() - self._looked > _STALE_S

    def used_bytes(self) -> int:
        """How much lies in it, of all processes, as far as this one knows."""
        return self._own_bytes + self._others

    def _look(self) -> None:
        self._looked = self._monotonic()
        self.looks += 1
        try:
            total = 0
            for text in self.files.listdir(self.path):
                if text not in self._owned and name_of(text) is not None:
                    total += self._size(text)
            self._others = total
            spare = self.files.free_bytes(self.path) - self._floor_bytes
        except OSError:
            spare = self.most_bytes  # the write itself will tell
        left = self.most_bytes - self._own_bytes - self._others
        self.room = min(left, spare)
        self._short = SPOOL_FULL if left <= spare else LOW_SPACE

    def _size(self, text: str) -> int:
        try:
            return int(self.files.lstat(self.file(text)).st_size)
        except OSError:  # its owner has deleted it
            return 0
