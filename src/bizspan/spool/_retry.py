"""
The way back of dead letters: a collector that answered 400 for what was its own fault takes them after it was mended.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field

from bizspan.spool import _frame, _segment
from bizspan.spool._dead import hold
from bizspan.spool._directory import BAD, DEAD, Directory, Name
from bizspan.spool._frame import Damage, Frame, pack, scan
from bizspan.spool._inspect import names_in, opened
from bizspan.spool._segment import Segment


@dataclass(slots=True)
class Retried:
    """
    What came of it.

    Args:
        events: Dead letters that wait again.
        files_left: Files that stayed: a process was writing to them, or the disk is full.
        files_put_aside: Files that were damaged, and are kept under another name. What was whole in them waits again.
    """

    events: int = 0
    files_left: int = 0
    files_put_aside: int = 0


@dataclass(slots=True)
class _Letters:
    """Those of one Resource."""

    scopes: dict[bytes, int] = field(default_factory=dict[bytes, int])
    events: list[tuple[int, Frame]] = field(default_factory=list[tuple[int, Frame]])

    def head(self, salt: int, resource: bytes) -> bytes:
        """The first frames of a segment."""
        scopes = (pack(salt, _frame.SCOPE, scope, scope=number) for scope, number in self.scopes.items())
        return pack(salt, _frame.RESOURCE, resource) + b"".join(scopes)


def retry(path: str) -> Retried:
    """
    Have every dead letter wait again, with the uid that it has: the next process, or a drain, sends it.

    A segment with them is on the disk before their file goes. After a crash between the two, they are sent twice.

    Args:
        path: The directory.

    Raises:
        SetupError: When it is none, or not of this user.
    """
    directory = opened(path)
    result = Retried()
    for name in names_in(directory):
        if name.kind != DEAD:
            continue
        try:
            descriptor = hold(directory, name)
        except OSError:
            descriptor = None
        if descriptor is None:
            result.files_left += os.path.lexists(directory.file(name))
            continue
        try:
            _move(directory, name, descriptor, result)
        except OSError:
            result.files_left += 1
        finally:
            directory.files.close(descriptor)
    return result


def _move(directory: Directory, name: Name, descriptor: int, result: Retried) -> None:
    files = directory.files
    content = files.pread(descriptor, files.fstat(descriptor).st_size, 0)
    by_resource, is_damaged = _read(content, name.salt)
    made: list[Segment] = []
    try:
        for resource, letters in by_resource.items():
            made.append(_segment_of(directory, resource, letters))
    except OSError:
        for segment in made:
            segment.delete()
        raise
    # What follows is a crash away from sending them twice, and never from losing them.
    if is_damaged:
        files.rename(directory.file(name), directory.file(name.other(BAD)))
    else:
        files.unlink(directory.file(name))
    for segment in made:
        segment.release()
    result.events += sum(len(letters.events) for letters in by_resource.values())
    result.files_put_aside += is_damaged


def _read(content: bytes, salt: int) -> tuple[dict[bytes, _Letters], bool]:
    """The letters by their Resource, and whether some of the file holds none."""
    found: dict[bytes, _Letters] = {}
    resource = scope = b""
    is_damaged = False
    for frame in scan(content, salt):
        if isinstance(frame, Damage):
            is_damaged = True
        elif frame.kind == _frame.RESOURCE:
            resource = frame.payload
        elif frame.kind == _frame.SCOPE:
            scope = frame.payload
        else:
            letters = found.setdefault(resource, _Letters())
            number = letters.scopes.setdefault(scope, len(letters.scopes))
            letters.events.append((number, frame))
    return found, is_damaged


def _segment_of(directory: Directory, resource: bytes, letters: _Letters) -> Segment:
    salt = int.from_bytes(os.urandom(4), "little")
    # Whose the events were stands in themselves; a segment's writer is who wrote the file.
    segment = _segment.create(directory, os.urandom(10).hex(), letters.head(salt, resource), 0, salt, True)
    try:
        now = int(time.time())  # their age counts from here, where events expire
        for number, each in letters.events:
            segment.write(pack(salt, _frame.EVENT, each.payload, scope=number, sequence=each.sequence, seconds=now))
        segment.sync()
    except OSError:
        segment.delete()
        raise
    return segment
