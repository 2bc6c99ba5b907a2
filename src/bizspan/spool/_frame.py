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

VERSION: Final = b"BZS1"
RESOURCE, SCOPE, EVENT = 1, 2, 3  # kinds
EVENT_MOST: Final = 1 << 20  # bytes of one payload

# magic and salt, kind, flags, scope, payload's length, sequence, seconds since the epoch
_HEAD: Final = struct.Struct("<4sIBBHIQI")
_SUM: Final = struct.Struct("<I")
HEAD_SIZE: Final = _HEAD.size + _SUM.size
_pack_head = _HEAD.pack
_pack_sum = _SUM.pack


@dataclass(frozen=True, slots=True)
class Frame:
    """
    One frame that is whole.

    Args:
        kind: `RESOURCE`, `SCOPE` or `EVENT`.
        scope: Of an event, the scope that it belongs to; of a scope, its own number.
        sequence: Of an event.
        seconds: When it was written, since the epoch.
        payload: Its content.
        end: Where the next frame starts.
    """

    kind: int
    scope: int
    sequence: int
    seconds: int
    payload: bytes
    end: int


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
    head = _pack_head(VERSION, salt, kind, 0, scope, len(payload), sequence, seconds)
    return b"".join((head, _pack_sum(crc32(payload, crc32(head, salt))), payload))


def pack_event(salt: int, scope: int, payload: bytes, sequence: int, seconds: int) -> bytes:
    """The same for an event, on the way of every one: without a step that it does not need."""
    head = _pack_head(VERSION, salt, EVENT, 0, scope, len(payload), sequence, seconds)
    return b"".join((head, _pack_sum(crc32(payload, crc32(head, salt))), payload))


def frame_at(buffer: bytes, salt: int, start: int = 0) -> Frame | None:
    """
    The whole frame that starts there, or None.
    """
    body = start + HEAD_SIZE
    if body > len(buffer):
        return None
    magic, its_salt, kind, _, scope, length, sequence, seconds = _HEAD.unpack_from(buffer, start)
    end = body + length
    if magic != VERSION or its_salt != salt or length > EVENT_MOST or end > len(buffer):
        return None
    payload = buffer[body:end]
    (told,) = _SUM.unpack_from(buffer, start + _HEAD.size)
    if told != crc32(payload, crc32(buffer[start : start + _HEAD.size], salt)):
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
