"""
Frames: how events lie in a segment, and how they are found again after damage.

A frame is a head of 32 bytes and a payload. The head starts with a magic that holds the segment's own salt, and the
checksum covers head and payload: length and checksum alone find phantom frames in zeros, and text that somebody told us
must never be taken for a frame, which would need the salt.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from zlib import crc32

from bizspan import names
from bizspan._wire import ATTRIBUTE, varint
from bizspan._wire_attributes import Key

VERSION: Final = b"BZS1"
RESOURCE, SCOPE, EVENT = 1, 2, 3  # kinds
EVENT_MOST: Final = 1 << 20  # bytes of one payload

# magic and salt, kind, flags, scope, payload's length, sequence, seconds since the epoch
HEAD: Final = struct.Struct("<4sIBBHIQI")
SUM: Final = struct.Struct("<I")
HEAD_SIZE: Final = HEAD.size + SUM.size
_BEFORE_NUMBERS: Final = Key(ATTRIBUTE, names.SEQUENCE).ints  # by how many bytes the number takes
_ENTRY: Final = b"\x12"  # a log record of a ScopeLogs
_SHORT: Final = 4096
_HEADS: Final = tuple(_ENTRY + varint(length) for length in range(_SHORT))  # most are short


@dataclass(frozen=True, slots=True)
class Frame:
    """
    One frame that is whole.

    Args:
        kind: `RESOURCE`, `SCOPE` or `EVENT`.
        scope: Of an event, the scope that it belongs to; of a scope, its own number.
        sequence: Of an event.
        seconds: When it was written, since the epoch.
        payload: Its content. An event's is its LogRecord, but for the number, which is the sequence.
        end: Where the next frame starts.
    """

    kind: int
    scope: int
    sequence: int
    seconds: int
    payload: bytes
    end: int

    @property
    def entry(self) -> bytes:
        """Of an event: the whole LogRecord, as it lies inside a ScopeLogs."""
        return numbered(self.payload, self.sequence)


@dataclass(frozen=True, slots=True)
class Damage:
    """
    Bytes that hold no frame.

    Args:
        start: Where they start.
        end: Where the next whole frame starts, or the end of the buffer.
    """

    start: int
    end: int


def numbered(prefix: bytes, sequence: int) -> bytes:
    """
    A LogRecord with its number, with the tag and length that it has inside a ScopeLogs.

    Args:
        prefix: All of its fields but that attribute.
        sequence: The record's number, of its writer.
    """
    number = varint(sequence)
    before = _BEFORE_NUMBERS[len(number)]
    length = len(prefix) + len(before) + len(number)
    return b"".join((_HEADS[length] if length < _SHORT else _ENTRY + varint(length), prefix, before, number))


def pack(salt: int, kind: int, payload: bytes, *, scope: int = 0, sequence: int = 0, seconds: int = 0) -> bytes:
    """
    One frame.

    Args:
        salt: The segment's, 32 bits.
        kind: `RESOURCE`, `SCOPE` or `EVENT`.
        payload: At most `EVENT_MOST` bytes.
        scope: See `Frame`.
        sequence: See `Frame`.
        seconds: See `Frame`.
    """
    head = HEAD.pack(VERSION, salt, kind, 0, scope, len(payload), sequence, seconds)
    return b"".join((head, SUM.pack(crc32(payload, crc32(head, salt))), payload))


def frame_at(buffer: bytes, salt: int, start: int = 0) -> Frame | None:
    """
    The whole frame that starts there, or None.
    """
    body = start + HEAD_SIZE
    if body > len(buffer):
        return None
    magic, its_salt, kind, _, scope, length, sequence, seconds = HEAD.unpack_from(buffer, start)
    end = body + length
    if magic != VERSION or its_salt != salt or length > EVENT_MOST or end > len(buffer):
        return None
    payload = buffer[body:end]
    (told,) = SUM.unpack_from(buffer, start + HEAD.size)
    if told != crc32(payload, crc32(buffer[start : start + HEAD.size], salt)):
        return None
    return Frame(kind, scope, sequence, seconds, payload, end)


def scan(buffer: bytes, salt: int, start: int = 0) -> Iterator[Frame | Damage]:
    """
    Every whole frame from there on, and what lies between them. Ends at the buffer's end; a frame that is cut there is
    damage, which more bytes may mend.
    """
    magic = VERSION + salt.to_bytes(4, "little")
    position = start
    while position < len(buffer):
        frame = frame_at(buffer, salt, position)
        if frame is not None:
            yield frame
            position = frame.end
            continue
        found = position
        while True:
            found = buffer.find(magic, found + 1)
            if found < 0:
                yield Damage(position, len(buffer))
                return
            if frame_at(buffer, salt, found) is not None:
                break
        yield Damage(position, found)
        position = found
