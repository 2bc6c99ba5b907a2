"""
OTLP's protobuf bytes, read without a library: fields, and values of any shape within bounds.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Any, Final

DEPTH_MOST: Final = 16
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types
# KeyValue and AnyValue: opentelemetry/proto/common/v1/common.proto.
_KEY_VALUE: Final[Mapping[int, type]] = {1: bytes, 2: bytes}
_ANY_VALUE: Final[Mapping[int, type]] = {1: bytes, 2: int, 3: int, 4: int, 5: bytes, 6: bytes, 7: bytes}


class TooDeep(ValueError):  # noqa: N818 - named like what happened
    """A value with more values inside each other than are read."""


def fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """
    The fields of a message: their numbers, and whole numbers or bytes, as they were written.

    Raises:
        ValueError: Not protobuf, or cut short.
    """
    position = 0
    while position < len(data):
        tag, position = varint(data, position)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, position = varint(data, position)
            yield number, value
        elif kind == _FIXED64:
            yield number, int.from_bytes(_cut(data, position, 8), "little")
            position += 8
        elif kind == _FIXED32:
            yield number, int.from_bytes(_cut(data, position, 4), "little")
            position += 4
        elif kind == _BYTES:
            length, position = varint(data, position)
            yield number, _cut(data, position, length)
            position += length
        else:
            raise ValueError("no such wire type")


def typed(data: bytes, kinds: Mapping[int, type]) -> Iterator[tuple[int, Any]]:
    """
    Fields of these numbers, if each is of its kind; others are passed over, as protobuf does.

    Raises:
        ValueError: Not protobuf, cut short, or another kind of field.
    """
    for number, value in fields(data):
        kind = kinds.get(number)
        if kind is None:
            continue
        if not isinstance(value, kind):
            raise ValueError("another kind of field")
        yield number, value


def varint(data: bytes, position: int) -> tuple[int, int]:
    """
    A number, and where what follows it stands.

    Raises:
        ValueError: Cut short, or longer than 64 bits.
    """
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


def signed(number: int) -> int:
    """The int64 whose 64 bits these are."""
    number &= (1 << 64) - 1
    return number - (1 << 64) if number >= 1 << 63 else number


def key_value(data: bytes, depth: int = 0) -> tuple[str, Any]:
    """
    An attribute: its key, and its value as `any_value` gives it.

    Args:
        data: A KeyValue.
        depth: How many values are around it.

    Raises:
        TooDeep: More than 16 values inside each other.
        ValueError: It is no such thing.
    """
    key, parts = "", list[bytes]()
    for number, value in typed(data, _KEY_VALUE):
        if number == 1:
            key = value.decode("utf-8", "replace")
        else:
            parts.append(value)  # a message that comes in parts is one, joined
    return key, any_value(b"".join(parts), depth) if parts else None


def any_value(data: bytes, depth: int = 0) -> Any:
    """
    Text, number, boolean, list, dict, or None; bytes as hex digits. What is not UTF-8 becomes U+FFFD.

    Args:
        data: An AnyValue.
        depth: How many values are around it.

    Raises:
        TooDeep: More than 16 values inside each other.
        ValueError: It is no such thing.
    """
    if depth > DEPTH_MOST:
        raise TooDeep("too deep")
    kind, told = 0, list[Any]()
    for number, value in typed(data, _ANY_VALUE):
        if number != kind:
            kind, told = number, []  # the last kind counts
        told.append(value)
    match kind:
        case 0:
            return None
        case 1:
            return told[-1].decode("utf-8", "replace")
        case 2:
            return bool(told[-1])
        case 3:
            return signed(told[-1])
        case 4:
            return struct.unpack("<d", told[-1].to_bytes(8, "little"))[0]
        case 5:
            return [any_value(each, depth + 1) for _, each in typed(b"".join(told), {1: bytes})]
        case 6:
            return dict(key_value(each, depth + 1) for _, each in typed(b"".join(told), {1: bytes}))
        case _:
            return told[-1].hex()


def _cut(data: bytes, start: int, length: int) -> bytes:
    if start + length > len(data):
        raise ValueError("cut short")
    return data[start : start + length]
