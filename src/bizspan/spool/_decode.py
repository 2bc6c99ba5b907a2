"""
Stored bytes back into words: for people, and for the comparison with a ledger. Not on the way of any event.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

_DEPTH_MOST: Final = 16
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types
# Fields of LogRecord: opentelemetry/proto/logs/v1/logs.proto.
_ENTRY = 2  # of ScopeLogs
_TIME, _BODY, _ATTRIBUTES, _TRACE, _SPAN, _OBSERVED, _EVENT_NAME = 1, 5, 6, 9, 10, 11, 12
_LOG_RECORD: Final[Mapping[int, type]] = {
    _TIME: int, _OBSERVED: int, _EVENT_NAME: bytes, _TRACE: bytes, _SPAN: bytes, _BODY: bytes, _ATTRIBUTES: bytes,
}  # fmt: skip
# AnyValue: opentelemetry/proto/common/v1/common.proto.
_ANY_VALUE: Final[Mapping[int, type]] = {1: bytes, 2: int, 3: int, 4: int, 5: bytes, 6: bytes, 7: bytes}


@dataclass(slots=True)
class StoredEvent:
    """
    One log record, as it was stored.

    Args:
        time_ns: When it happened, nanoseconds since the epoch.
        event_name: Its name.
        attributes: By key; texts, numbers, booleans, lists and dicts of these.
        trace_id: 32 hex digits, or nothing.
        span_id: 16 hex digits, or nothing.
        body: Of a log line.
    """

    time_ns: int = 0
    event_name: str = ""
    attributes: dict[str, Any] = field(default_factory=dict[str, Any])
    trace_id: str = ""
    span_id: str = ""
    body: Any = None


def event_of(entry: bytes) -> StoredEvent:
    """
    The log record of one entry.

    Args:
        entry: As a frame holds it: with the tag and length that it has inside a ScopeLogs.

    Raises:
        ValueError: When it is no such thing.
    """
    event = StoredEvent()
    for number, value in _typed(_only(entry), _LOG_RECORD):
        if number == _ATTRIBUTES:
            key, told = _key_value(value, 0)
            event.attributes[key] = told
        elif number == _TIME or (number == _OBSERVED and not event.time_ns):
            event.time_ns = int(value)
        elif number == _EVENT_NAME:
            event.event_name = value.decode("utf-8", "replace")
        elif number == _TRACE:
            event.trace_id = value.hex()
        elif number == _SPAN:
            event.span_id = value.hex()
        elif number == _BODY:
            event.body = _any_value(value, 0)
    return event


def resource_of(payload: bytes) -> dict[str, Any]:
    """
    The attributes of a Resource.

    Args:
        payload: Of a resource's frame: the front of a ResourceLogs.

    Raises:
        ValueError: When it is no such thing.
    """
    for _, value in _typed(payload, {1: bytes}):
        return dict(_key_value(each, 0) for _, each in _typed(value, {1: bytes}))
    return {}


def _only(entry: bytes) -> bytes:
    for number, value in _fields(entry):
        if number == _ENTRY and isinstance(value, bytes):
            return value
    raise ValueError("no log record")


def _typed(data: bytes, kinds: Mapping[int, type]) -> Iterator[tuple[int, Any]]:
    """Fields of these numbers, if each is of its kind; others are passed over, as protobuf does."""
    for number, value in _fields(data):
        kind = kinds.get(number)
        if kind is None:
            continue
        if not isinstance(value, kind):
            raise ValueError("another kind of field")
        yield number, value


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, position = _varint(data, position)
            yield number, value
        elif kind == _FIXED64:
            yield number, int.from_bytes(_cut(data, position, 8), "little")
            position += 8
        elif kind == _FIXED32:
            yield number, int.from_bytes(_cut(data, position, 4), "little")
            position += 4
        elif kind == _BYTES:
            length, position = _varint(data, position)
            yield number, _cut(data, position, length)
            position += length
        else:
            raise ValueError("no such wire type")


def _cut(data: bytes, start: int, length: int) -> bytes:
    if start + length > len(data):
        raise ValueError("cut short")
    return data[start : start + length]


def _varint(data: bytes, position: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        if position >= len(data) or shift > 63:
            raise ValueError("cut short")
        byte = data[position]
        position += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, position
        shift += 7


def _key_value(data: bytes, depth: int) -> tuple[str, Any]:
    key, told = "", None
    for number, value in _typed(data, {1: bytes, 2: bytes}):
        if number == 1:
            key = value.decode("utf-8", "replace")
        elif number == 2:
            told = _any_value(value, depth)
    return key, told


def _any_value(data: bytes, depth: int) -> Any:
    if depth > _DEPTH_MOST:
        raise ValueError("too deep")
    for number, value in _typed(data, _ANY_VALUE):
        match number:
            case 1:
                return value.decode("utf-8", "replace")
            case 2:
                return bool(value)
            case 3:
                return value - (1 << 64) if value >= 1 << 63 else value
            case 4:
                return struct.unpack("<d", value.to_bytes(8, "little"))[0]
            case 5:
                return [_any_value(each, depth + 1) for _, each in _typed(value, {1: bytes})]
            case 6:
                return dict(_key_value(each, depth + 1) for _, each in _typed(value, {1: bytes}))
            case _:
                return value.hex()
    return None
