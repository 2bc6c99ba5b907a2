"""
A spool from outside, as the command line looks at it: what waits, whose it is, and what is in it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bizspan.errors import SetupError
from bizspan.spool import _frame, _segment, _wire
from bizspan.spool._ack import Ack
from bizspan.spool._batch import grouped
from bizspan.spool._decode import StoredEvent, event_of, resource_of
from bizspan.spool._directory import ACK, BAD, DEAD, SEGMENT, Directory, Name, Unusable, name_of
from bizspan.spool._files import Files
from bizspan.spool._frame import Damage, Frame, scan

_ALL: Final = 1 << 62  # a command writes nothing that a limit is for


@dataclass(frozen=True, slots=True)
class SegmentStatus:
    """
    One segment.

    Args:
        name: Its file's name.
        writer: The id of the process that wrote it.
        is_living: Whether a process holds it.
        waiting: Events that no collector has taken.
        bytes: Its size.
        oldest_s: When the oldest waiting event was told, seconds since the epoch; None where nothing waits.
        damaged_bytes: Bytes that hold no whole frame.
    """

    name: str
    writer: str
    is_living: bool
    waiting: int
    bytes: int
    oldest_s: int | None
    damaged_bytes: int


@dataclass(frozen=True, slots=True)
class Status:
    """
    A directory.

    Args:
        segments: One by one, oldest first.
        dead_letters: Events in dead-letter files.
        unreadable: Files that were put aside because nothing in them could be read.
        bytes: How much lies in it.
    """

    segments: tuple[SegmentStatus, ...]
    dead_letters: int
    unreadable: int
    bytes: int

    @property
    def waiting(self) -> int:
        """Events that no collector has taken."""
        return sum(segment.waiting for segment in self.segments)


def opened(path: str) -> Directory:
    """
    The directory, for a command.

    Raises:
        SetupError: When it is none, or not of this user.
    """
    if not os.path.isdir(path) or os.path.islink(path):
        raise SetupError(f"{path} is no directory.")
    try:
        return Directory(path, most_bytes=_ALL, floor_bytes=0, files=Files())
    except Unusable as why:
        raise SetupError(f"{path} can't be used: {why}.") from None


def status_of(path: str) -> Status:
    """
    What is in a spool now. Takes nothing and changes nothing.

    Raises:
        SetupError: As `opened`.
    """
    directory = opened(path)
    found = names_in(directory)
    return Status(
        segments=tuple(_segment_status(directory, name) for name in found if name.kind == SEGMENT),
        dead_letters=sum(1 for name in found if name.kind == DEAD for _ in _frames(directory, name)),
        unreadable=sum(name.kind == BAD for name in found),
        bytes=sum(_size(directory, name) for name in found),
    )


def events_in(
    path: str, *, dead: bool = False, damaged: Callable[[str, int], object] = lambda name, size: None
) -> Iterator[tuple[dict[str, Any], StoredEvent]]:
    """
    Each event that waits, or each dead letter, with the attributes of its Resource. Takes nothing.

    Args:
        path: The directory.
        dead: Dead letters, instead of what waits.
        damaged: Called with a file's name and a number of bytes that hold no whole frame.

    Raises:
        SetupError: As `opened`.
    """
    directory = opened(path)
    for name in names_in(directory):
        if name.kind != (DEAD if dead else SEGMENT):
            continue
        resource: dict[str, Any] = {}
        taken = 0 if dead else _ack(directory, name).offset
        for frame in _all(directory, name):
            if isinstance(frame, Damage):
                if frame.end > taken:
                    damaged(str(name), frame.end - frame.start)
                continue
            try:
                if frame.kind == _frame.RESOURCE:
                    resource = resource_of(frame.payload)
                elif frame.kind == _frame.EVENT and frame.end > taken:
                    yield resource, event_of(frame.payload)
            except ValueError:  # of a newer writer
                continue


def requests_in(
    path: str, *, damaged: Callable[[str, int], object] = lambda name, size: None, most: int = 500
) -> Iterator[tuple[bytes, int]]:
    """
    What waits, as export requests, and how many events each has. Takes nothing.

    Args:
        path: The directory.
        damaged: See `events_in`.
        most: Events of one request.

    Raises:
        SetupError: As `opened`.
    """
    directory = opened(path)
    for name in names_in(directory):
        if name.kind != SEGMENT:
            continue
        taken = _ack(directory, name).offset
        resource = _wire.resource({})
        scopes: dict[int, bytes] = {}
        waiting: list[Frame] = []
        for frame in _all(directory, name):
            if isinstance(frame, Damage):
                if frame.end > taken:
                    damaged(str(name), frame.end - frame.start)
            elif frame.kind == _frame.RESOURCE:
                resource = frame.payload
            elif frame.kind == _frame.SCOPE:
                scopes[frame.scope] = frame.payload
            elif frame.kind == _frame.EVENT and frame.end > taken:
                waiting.append(frame)
                if len(waiting) == most:
                    yield _wire.export_request(resource, grouped(waiting, scopes)), most
                    waiting = []
        if waiting:
            yield _wire.export_request(resource, grouped(waiting, scopes)), len(waiting)


def purge(path: str, *, waiting: bool = False) -> tuple[int, int]:
    """
    Delete dead letters and what could not be read.

    Args:
        path: The directory.
        waiting: Also events that wait, of processes that are gone. They are lost by that.

    Returns:
        How many files, and how many events that waited.

    Raises:
        SetupError: As `opened`.
    """
    directory = opened(path)
    files = events = 0
    for name in names_in(directory):
        if name.kind in (DEAD, BAD):
            os.unlink(directory.file(name))
            files += 1
        elif name.kind == SEGMENT and waiting:
            lost = _segment_status(directory, name).waiting
            try:
                segment = _segment.adopt(directory, name)
            except OSError:
                continue
            if segment is not None:
                segment.delete()
                files += 1
                events += lost
    return files, events


def names_in(directory: Directory) -> list[Name]:
    """
    Its files, oldest first.

    Raises:
        SetupError: When it can't be read.
    """
    try:
        return directory.names()
    except OSError as error:
        raise SetupError(f"{directory.path} can't be read ({error.strerror}).") from None


def _segment_status(directory: Directory, name: Name) -> SegmentStatus:
    taken = _ack(directory, name).offset
    waiting = damaged = 0
    oldest: int | None = None
    for frame in _all(directory, name):
        if isinstance(frame, Damage):
            damaged += frame.end - frame.start
        elif frame.kind == _frame.EVENT and frame.end > taken:
            waiting += 1
            oldest = frame.seconds if oldest is None else min(oldest, frame.seconds)
    return SegmentStatus(
        str(name), name.writer, _is_living(directory, name), waiting, _size(directory, name), oldest, damaged
    )


def _is_living(directory: Directory, name: Name) -> bool:
    try:
        descriptor = directory.files.open(directory.file(name))
    except OSError:
        return False
    try:
        return not directory.files.lock(descriptor)
    finally:
        directory.files.close(descriptor)


def _ack(directory: Directory, name: Name) -> Ack:
    ack = Ack(directory.files, directory.file(name.other(ACK)), name.salt)
    ack.load(_size(directory, name))
    return ack


def _frames(directory: Directory, name: Name) -> Iterator[Frame]:
    for frame in _all(directory, name):
        if isinstance(frame, Frame) and frame.kind == _frame.EVENT:
            yield frame


def _all(directory: Directory, name: Name) -> Iterator[Frame | Damage]:
    # Whole files: a segment is 8 MiB.
    try:
        content = Path(directory.file(name)).read_bytes()
    except OSError:
        return
    yield from scan(content, name.salt)


def _size(directory: Directory, name: Name) -> int:
    try:
        return int(directory.files.lstat(directory.file(name)).st_size)
    except OSError:
        return 0


def is_spool(path: str) -> bool:
    """Whether a directory has files of a spool in it."""
    try:
        return os.path.isdir(path) and any(name_of(text) is not None for text in os.listdir(path))
    except OSError:
        return False
