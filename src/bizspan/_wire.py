"""
OTLP's protobuf bytes: varints, length-delimited fields, values of any shape within bounds, and whole requests.

Tags are written as bytes, ``field number << 3 | wire type``, after opentelemetry/proto/{common,resource,logs}/v1.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from struct import Struct
from types import MappingProxyType
from typing import Any, Final, cast

from bizspan._minor import INT64_MAX, INT64_MIN
from bizspan._values import first_entries
from bizspan.errors import type_name

# A parser of protobuf stops at 100 messages inside each other, and each mapping is three of them.
DEPTH: Final = 16
ENTRIES: Final = 65_536
MOST_BYTES: Final = 1 << 20

STRING: Final = b"\x0a"
BOOL: Final = (b"\x10\x00", b"\x10\x01")
INT: Final = b"\x18"
DOUBLE: Final = b"\x21"
_ARRAY: Final = b"\x2a"
_KVLIST: Final = b"\x32"
_BYTES: Final = b"\x3a"
_ENTRY: Final = b"\x0a"  # of ArrayValue and of KeyValueList

ATTRIBUTE: Final = b"\x32"  # of LogRecord
_RESOURCE_ATTRIBUTE: Final = b"\x0a"
_SCOPE_ATTRIBUTE: Final = b"\x1a"

_LAST: Final = tuple(bytes((number,)) for number in range(128))
_MORE: Final = tuple(bytes((number | 0x80,)) for number in range(128))
pack_double: Final = Struct("<d").pack

_SURROGATES: Final = "[\ud800-\udfff]"
_NUMBERED_KEYS: Final = (int, float, bool, type(None))
_SEQUENCES: Final[tuple[Any, ...]] = (tuple, list, deque, range)
_MAPPINGS: Final[tuple[Any, ...]] = (dict, MappingProxyType)

Said = Callable[[str], object]


class WireError(Exception):
    """
    A value that OTLP cannot carry, or not within bounds.

    Args:
        reason: ``int64``, ``type`` or ``size``.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def reason_of(error: Exception) -> str:
    """The word for what was left out because of this error."""
    return error.reason if isinstance(error, WireError) else "type"


def varint(number: int) -> bytes:
    """
    An int64 as protobuf writes it: seven bits a byte, the lowest first; ten bytes when it is negative.

    Raises:
        WireError: Beyond 64 bits.
    """
    # Spelled out for three bytes, which hold most amounts in minor units: a loop takes three times as long.
    if 0 <= number < 0x80:
        return _LAST[number]
    if 0 <= number < 0x4000:
        return _MORE[number & 0x7F] + _LAST[number >> 7]
    if 0 <= number < 0x20_0000:
        return _MORE[number & 0x7F] + _MORE[number >> 7 & 0x7F] + _LAST[number >> 14]
    if not INT64_MIN <= number <= INT64_MAX:
        raise WireError("int64")
    number &= 2**64 - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(tag: bytes, payload: bytes) -> bytes:
    """A length-delimited field: tag, length, payload."""
    return tag + varint(len(payload)) + payload


def utf8(text: str) -> bytes:
    """The bytes of text; of a lone surrogate, which has none, those of U+FFFD."""
    try:
        return str.encode(text)
    except UnicodeEncodeError:
        return re.sub(_SURROGATES, "\ufffd", str.__str__(text)).encode()


def before_value(tag: bytes, key_field: bytes, start: bytes, length: int) -> bytes:
    """
    Everything of a KeyValue field that stands in front of its value.

    Args:
        tag: Of the field that holds the KeyValue.
        key_field: The key, with its own tag and length.
        start: The beginning of the AnyValue: the tag of its kind, and a length where it has one.
        length: How many bytes will follow.
    """
    value = varint(len(start) + length)
    size = len(key_field) + 1 + len(value) + len(start) + length
    return b"".join((tag, varint(size), key_field, b"\x12", value, start))


def _ignored(reason: str) -> None:
    """Nobody counts."""


class Walk:
    """
    Encodes the values of one log record. All of them together are bounded, so that nothing takes long.

    Only known types are read, and through the base class: no method of a foreign class is called.

    Args:
        said: Takes a word for each value that was changed: ``surrogate``, ``cyclic``, ``depth`` or ``type``.
    """

    __slots__ = ("_entries", "_on_path", "_room", "said")

    def __init__(self, said: Said = _ignored) -> None:
        self.said = said
        self._entries = ENTRIES
        self._room = MOST_BYTES
        self._on_path: set[int] = set()

    def attributes(self, tag: bytes, attributes: Any) -> tuple[bytes, int]:
        """
        The fields of all attributes, and how many had to be left out.

        Args:
            tag: Of the field that holds each.
            attributes: By key: a mapping, or what says that it is one.
        """
        try:
            # A copy: another thread may change the original meanwhile.
            items = first_entries(lambda: list(islice(attributes.items(), ENTRIES)))
            total = len(attributes)
        except Exception:  # the mapping is foreign code
            self.said("type")
            return b"", 0
        kept = [part for key, value in items or () if (part := self.attribute(tag, key, value)) is not None]
        return b"".join(kept), max(total - len(kept), 0)

    def attribute(self, tag: bytes, key: object, value: object) -> bytes | None:
        """The field of one attribute; None when it had to be left out, which is said."""
        try:
            return field(tag, self.key_value(key, value))
        except Exception as error:
            self.said(reason_of(error))
            return None

    def key_value(self, key: object, value: object) -> bytes:
        """
        The KeyValue of one attribute.

        Raises:
            WireError: When it cannot be carried.
        """
        if not issubclass(type(key), str):
            raise WireError("type")
        return self._key_value(self._text(key), value)

    def text(self, tag: bytes, value: object) -> bytes:
        """The field of a text, nothing for None; also when it had to be left out, which is said."""
        if value is None:
            return b""
        try:
            if not issubclass(type(value), str):
                raise WireError("type")
            return field(tag, self._text(value))
        except Exception as error:
            self.said(reason_of(error))
            return b""

    def any_value(self, value: object) -> bytes:
        """
        The AnyValue of one value; None is the empty one.

        Raises:
            WireError: When it cannot be carried.
        """
        self._entries -= 1
        self._room -= 2
        if self._entries < 0 or self._room < 0:
            raise WireError("size")
        kind = type(value)
        if value is None:
            return b""
        if kind is bool:
            return BOOL[value is True]
        if issubclass(kind, str):
            return field(STRING, self._text(value))
        if issubclass(kind, int):
            return INT + varint(int.__int__(cast("int", value)))
        if issubclass(kind, float):
            return DOUBLE + pack_double(float.__float__(cast("float", value)))
        if issubclass(kind, bytes):
            return field(_BYTES, self._taken(bytes.__bytes__(cast("bytes", value))))
        return self._container(kind, value)

    def _container(self, kind: type[object], value: object) -> bytes:
        sequence: Any = next((base for base in _SEQUENCES if issubclass(kind, base)), None)
        mapping: Any = next((base for base in _MAPPINGS if issubclass(kind, base)), None)
        if sequence is None and mapping is None:
            raise WireError("type")
        if id(value) in self._on_path or len(self._on_path) >= DEPTH:
            mark = "cyclic" if id(value) in self._on_path else "depth"
            self.said(mark)
            return field(STRING, b"<%s>" % mark.encode())
        self._on_path.add(id(value))
        try:
            if sequence is not None:
                values = self._first(sequence.__iter__, value)
                return field(_ARRAY, b"".join([field(_ENTRY, self.any_value(each)) for each in values]))
            return field(_KVLIST, b"".join(self._pairs(self._first(mapping.items, value))))
        finally:
            self._on_path.discard(id(value))

    def _first(self, entries: Callable[[Any], Iterable[Any]], value: object) -> list[Any]:
        found = first_entries(lambda: list(islice(entries(value), self._entries + 1)))
        if found is None:
            raise WireError("type")
        return found

    def _pairs(self, items: list[tuple[object, object]]) -> Iterable[bytes]:
        for key, value in items:
            if issubclass(type(key), str):
                yield field(_ENTRY, self._key_value(self._text(key), value))
            elif type(key) in _NUMBERED_KEYS:
                yield field(_ENTRY, self._key_value(str(key).encode(), value))
            else:
                self.said("type")  # the text of a key of another type would be its own code

    def _key_value(self, key: bytes, value: object) -> bytes:
        return field(b"\x0a", key) + field(b"\x12", self.any_value(value))

    def _text(self, text: Any) -> bytes:
        if type(text) is not str and "secret" in type_name(text).lower():
            raise WireError("type")  # as in _plain: it was made in order not to be shown
        if str.__len__(text) > self._room:
            raise WireError("size")
        try:
            return self._taken(str.encode(text))
        except UnicodeEncodeError:
            self.said("surrogate")
            return self._taken(utf8(text))

    def _taken(self, data: bytes) -> bytes:
        self._room -= len(data)
        if self._room < 0:
            raise WireError("size")
        return data


def resource(attributes: Mapping[str, object], schema_url: str | None = None, said: Said = _ignored) -> bytes:
    """
    What stands at the front of a ResourceLogs: the Resource, and its schema URL.

    Args:
        attributes: The resource's.
        schema_url: None and empty text are the same.
        said: Takes a word for each value that was left out or changed.
    """
    fields, _ = Walk(said).attributes(_RESOURCE_ATTRIBUTE, attributes)
    return field(b"\x0a", fields) + (field(b"\x1a", utf8(schema_url)) if schema_url else b"")


def scope(
    name: str, version: str | None = None, attributes: Mapping[str, object] | None = None, said: Said = _ignored
) -> bytes:
    """
    What stands at the front of a ScopeLogs: the InstrumentationScope. Its schema URL stands at the end.

    Args:
        name: The scope's; empty text is an unknown scope.
        version: Of the library.
        attributes: The scope's.
        said: Takes a word for each value that was left out or changed.
    """
    fields, _ = Walk(said).attributes(_SCOPE_ATTRIBUTE, attributes or {})
    parts = (field(b"\x0a", utf8(name)), field(b"\x12", utf8(version or "")), fields)
    return field(b"\x0a", b"".join(parts))


def export_request(resource: bytes, groups: Iterable[tuple[bytes, bytes, Sequence[bytes]]]) -> bytes:
    """
    An ExportLogsServiceRequest, by joining what is encoded already.

    Args:
        resource: From `resource()`.
        groups: Of each scope: what `scope()` gave, its schema URL in UTF-8 or nothing, and its entries, each a log
            record with the tag and length that it has inside a ScopeLogs.
    """
    parts = [resource]
    size = len(resource)
    for scope, schema_url, entries in groups:
        end = field(b"\x1a", schema_url) if schema_url else b""
        length = len(scope) + sum(map(len, entries)) + len(end)
        head = b"\x12" + varint(length)
        parts += (head, scope, *entries, end)
        size += len(head) + length
    return b"".join((b"\x0a", varint(size), *parts))
