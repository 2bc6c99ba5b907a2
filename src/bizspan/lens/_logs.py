"""
ExportLogsServiceRequest, from protobuf bytes into rows.

A protobuf library takes a record apart, but leaves its attributes as bytes: an object for each would take most of the
time. What repeats, such as ``segment=enterprise``, is decoded once and then recognised by its bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from json.encoder import encode_basestring
from math import isfinite
from struct import Struct, error
from typing import Any, Final

from bizspan import names
from bizspan._protobuf import TooDeep, any_value, key_value, signed, typed, varint
from bizspan.lens._layout import Batch, Row
from bizspan.lens._records import (
    BODY,
    FLAGS,
    NAME,
    OBSERVED,
    RECORD_BYTES_MOST,
    RECORD_KEYS,
    RECORDS_MOST,
    SEVERITY,
    SEVERITY_TEXT,
    SPAN,
    TIME,
    TRACE,
    Origin,
    TooMany,
    as_json,
    finish,
    origin_of,
    place,
    resource_of,
)

_AT_ONCE: Final = 1 << 20
_MEMO_MOST: Final = 20_000
_MEMO_LONGEST: Final = 120
_HEADS_MOST: Final = 4_000
# Another value at each record.
_ONCE: Final = frozenset({names.RECORD_UID, names.OPERATION_ID, names.ORDER, names.CUSTOMER, names.SESSION})

_double: Final = Struct("<d").unpack_from
# Column and value; or -1, key and value as JSON, and the key.
Remembered = tuple[int, Any, str]


# Of opentelemetry/proto/logs/v1/logs.proto, with bytes for what is decoded here, or not at each record.
_RECORD_FIELDS: Final = {
    "time": (1, "fixed64"), "severity": (2, "int32"), "severity_text": (3, "bytes"), "body": (5, "bytes"),
    "attributes": (6, "bytes"), "flags": (8, "fixed32"), "trace": (9, "bytes"), "span": (10, "bytes"),
    "observed": (11, "fixed64"), "name": (12, "bytes"),
}  # fmt: skip
_TEXT, _COLUMN_ONCE, _INT, _DOUBLE, _OTHER = range(5)
# By an AnyValue's tag: what it is, and in which type of column it goes as it is.
_KINDS: Final = {0x0A: (_TEXT, "TEXT"), 0x18: (_INT, "INTEGER"), 0x21: (_DOUBLE, "REAL")}


@dataclass(frozen=True, slots=True)
class Head:
    """
    What stands in front of the values of one key, of one kind and length.

    Args:
        key: The attribute's.
        prefix: The key as JSON, with a colon.
        is_once: The values are others each time, or long.
    """

    key: str
    prefix: str
    is_once: bool


# Column or -1, kind, size of the whole KeyValue, and what is seldom needed.
Known = tuple[int, int, int, Head]


class Damaged(Exception):  # noqa: N818 - named like what happened
    """The bytes are no request; nothing of them is kept."""


class LogDecoder:
    """
    Decodes requests, one after the other or at once.
    """

    def __init__(self) -> None:
        self._memo: dict[bytes, Remembered] = {}
        self._heads: dict[bytes, Known] = {}
        self._parse, self._parse_all, self._malformed = _parsers()

    def decode(self, data: bytes, received_ns: int) -> Batch:
        """
        The rows of one request.

        Args:
            data: An ExportLogsServiceRequest.
            received_ns: When it came.

        Raises:
            Damaged: It is none.
            TooMany: It has more records than are taken at once.
        """
        batch = Batch()
        try:
            for _, by_resource in typed(data, {1: bytes}):
                self._resource(batch, by_resource, received_ns)
        except (ValueError, IndexError, error, self._malformed) as why:
            raise Damaged(f"not an ExportLogsServiceRequest: {why}") from None
        return batch

    def _resource(self, batch: Batch, data: bytes, received_ns: int) -> None:
        scopes: list[bytes] = []
        attributes: dict[str, Any] = {}
        for number, value in typed(data, {1: bytes, 2: bytes}):
            if number == 2:
                scopes.append(value)
                if len(scopes) > RECORDS_MOST:
                    raise TooMany
            elif len(value) > RECORD_BYTES_MOST:
                raise Damaged(f"a resource of more than {RECORD_BYTES_MOST:,} bytes")
            else:
                attributes.update(key_value(each) for _, each in typed(value, {1: bytes}))
        resource = resource_of(batch, attributes, received_ns)
        for value in scopes:
            self._scope(batch, value, resource)

    def _scope(self, batch: Batch, data: bytes, resource: tuple[int, Row]) -> None:
        records, scope = self._parts(data, RECORDS_MOST - batch.size)
        if len(scope) > RECORD_BYTES_MOST:
            raise Damaged(f"a scope of more than {RECORD_BYTES_MOST:,} bytes")
        name = version = ""
        attributes: dict[str, Any] = {}
        for field, told in typed(scope, {1: bytes, 2: bytes, 3: bytes}):
            if field == 3:
                attributes.update((key_value(told),))
            elif field == 1:
                name = told.decode("utf-8", "replace")
            else:
                version = told.decode("utf-8", "replace")
        origin = origin_of(batch, resource, name, version, attributes)
        for record in records:
            if record is None:
                batch.refuse(f"a log record of more than {RECORD_BYTES_MOST:,} bytes")
                continue
            try:
                self._record(batch, record, origin)
            except TooDeep:
                batch.refuse("a log record with a value that is nested too deep")

    def _parts(self, data: bytes, most: int) -> tuple[Iterable[Any], bytes]:
        """
        The log records of a ScopeLogs, None where one is too large, and its InstrumentationScope.

        Raises:
            TooMany: More records than this.
        """
        if len(data) > _AT_ONCE:
            # One after the other: taken apart, attributes of no length have ten times the room.
            encoded, scope = _parts(data, most)
            return (self._parse(each) if len(each) <= RECORD_BYTES_MOST else None for each in encoded), scope
        parsed = self._parse_all(data)
        if len(parsed.records) > most:
            raise TooMany
        return parsed.records, b"".join(parsed.scope)  # twice is one, joined

    def _record(self, batch: Batch, record: Any, origin: Origin) -> None:
        row = origin.template.copy()
        rest: dict[str, str] = {}
        row[TIME], row[OBSERVED] = record.time, record.observed
        row[SEVERITY], row[FLAGS] = record.severity & 0xFF or None, record.flags or None
        if len(trace := record.trace) == 16:
            row[TRACE] = trace.hex()
        if len(span := record.span) == 8:
            row[SPAN] = span.hex()
        if name := record.name:
            row[NAME] = name.decode("utf-8", "replace")
        if text := record.severity_text:
            row[SEVERITY_TEXT] = text.decode("utf-8", "replace")
        if body := record.body:
            row[BODY] = as_json(any_value(body))
        attributes = record.attributes[:]
        for encoded, told in zip(attributes, map(self._memo.get, attributes), strict=True):
            if told is None:
                self._attribute(encoded, row, rest)
                continue
            index, value, key = told
            if index >= 0:
                row[index] = value
            else:
                rest[key] = value
        finish(batch, row, rest)

    def _attribute(self, encoded: bytes, row: Row, rest: dict[str, str]) -> None:
        """One that was not seen before, or is another one at each record."""
        try:
            # A key of less than 128 bytes; the tag and length of its value, which is one too; the value's own tag.
            at = encoded[1] + 5
            index, kind, size, head = self._heads.get(encoded[:at]) or self._head(encoded, at)
            if size == len(encoded):
                if kind == _COLUMN_ONCE:
                    if encoded[at] == size - at - 1:
                        row[index] = encoded[at + 1 :].decode()
                        return
                elif kind == _TEXT:
                    if encoded[at] == size - at - 1:
                        text = encoded[at + 1 :].decode()
                        if index >= 0:
                            row[index] = text
                        else:
                            rest[head.key] = head.prefix + encode_basestring(text)
                        if not head.is_once:
                            self._remember(encoded, (index, text if index >= 0 else rest[head.key], head.key))
                        return
                elif kind == _DOUBLE:
                    (double,) = _double(encoded, at)
                    if isfinite(double):
                        if index >= 0:
                            row[index] = double
                        else:
                            rest[head.key] = head.prefix + repr(double)
                        return
                elif kind == _INT:
                    is_short = at + 1 == size and encoded[at] < 0x80
                    number, end = (encoded[at], size) if is_short else varint(encoded, at)
                    if end == size:
                        if number >> 63:
                            number = signed(number)
                        if index >= 0:
                            row[index] = number
                        else:
                            rest[head.key] = f"{head.prefix}{number}"
                        return
        except (IndexError, UnicodeDecodeError, error):
            pass
        index, value = place(*key_value(encoded))
        if index >= 0:
            row[index] = value
        else:
            rest[value[0]] = value[1]

    def _remember(self, encoded: bytes, told: Remembered) -> None:
        if len(self._memo) >= _MEMO_MOST:
            self._memo.clear()  # what comes again is soon there again
        self._memo[encoded] = told

    def _head(self, encoded: bytes, at: int) -> Known:
        """What these bytes in front of a value mean, once they are known."""
        if encoded[0] != 0x0A or at > 132 or encoded[at - 3] != 0x12 or encoded[at - 2] > 127:
            raise IndexError
        key, tag, size = encoded[2 : at - 3].decode(), encoded[at - 1], at - 1 + encoded[at - 2]
        index, column = RECORD_KEYS.get(key, (-1, ""))
        kind, fitting = _KINDS.get(tag, (_OTHER, ""))
        # What does not go into its column as it is takes the long way.
        head = Head(key, f"{encode_basestring(key)}:", key in _ONCE or size > _MEMO_LONGEST)
        if column not in ("", fitting):
            kind = _OTHER
        elif kind == _TEXT and index >= 0 and head.is_once:
            kind = _COLUMN_ONCE
        known = (index, kind, size, head)
        if len(self._heads) < _HEADS_MOST:
            self._heads[encoded[:at]] = known
        return known


Parser = Callable[[bytes], Any]


def _parsers() -> tuple[Parser, Parser, type[Exception]]:
    """Functions that read a LogRecord and a ScopeLogs, and what they raise where the bytes are none."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    from google.protobuf.message import DecodeError

    field = descriptor_pb2.FieldDescriptorProto
    kinds = {"fixed64": field.TYPE_FIXED64, "fixed32": field.TYPE_FIXED32, "int32": field.TYPE_INT32}
    file = descriptor_pb2.FileDescriptorProto(name="bizspan/logs.proto", package="bizspan", syntax="proto3")
    record = file.message_type.add(name="LogRecord")
    for name, (number, kind) in _RECORD_FIELDS.items():
        label = field.LABEL_REPEATED if name == "attributes" else field.LABEL_OPTIONAL
        record.field.add(name=name, number=number, type=kinds.get(kind, field.TYPE_BYTES), label=label)
    several = file.message_type.add(name="ScopeLogs")
    several.field.add(name="scope", number=1, type=field.TYPE_BYTES, label=field.LABEL_REPEATED)
    several.field.add(
        name="records", number=2, type=field.TYPE_MESSAGE, type_name=".bizspan.LogRecord", label=field.LABEL_REPEATED
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    one, all_of_them = (
        message_factory.GetMessageClass(pool.FindMessageTypeByName(f"bizspan.{name}")).FromString
        for name in ("LogRecord", "ScopeLogs")
    )
    return one, all_of_them, DecodeError


def _parts(data: bytes, most: int) -> tuple[list[bytes], bytes]:
    """
    The log records of a ScopeLogs, and its InstrumentationScope.

    Raises:
        TooMany: More records than this.
    """
    records: list[bytes] = []
    scope = b""
    position, end = 0, len(data)
    while position < end:
        if data[position] != 0x12:
            tag, position = varint(data, position)
            if tag & 7 != 2:
                raise ValueError("another kind of field")
            length, position = varint(data, position)
            if tag == 0x0A:
                scope += data[position : position + length]  # twice is one, joined
        else:
            length, start = data[position + 1], position + 2
            if length > 127:
                length, start = varint(data, position + 1)
            position = start
            records.append(data[start : start + length])
            if len(records) > most:
                raise TooMany
        position += length
    if position != end:
        raise ValueError("cut short")
    return records, scope
