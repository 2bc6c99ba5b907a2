"""
ExportLogsServiceRequest, from protobuf bytes into rows.

A protobuf library takes a record apart, but leaves its attributes as bytes: an object for each would take most of the
time. Records that look alike are read by column, the others one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from struct import error
from typing import Any, Final

from bizspan import _wire
from bizspan._protobuf import TooDeep, key_value, typed, varint
from bizspan.lens._layout import Batch, Row
from bizspan.lens._log_columns import ColumnDecoder
from bizspan.lens._log_keys import ReadInts
from bizspan.lens._log_rows import RowDecoder
from bizspan.lens._records import (
    RECORD_BYTES_MOST,
    RECORDS_MOST,
    TooMany,
    origin_of,
    resource_of,
)

_AT_ONCE: Final = 1 << 20
_SCOPE, _RECORD = 0x0A, 0x12  # tags inside a ScopeLogs

# Of opentelemetry/proto/logs/v1/logs.proto, with bytes for what is decoded here, or not at each record.
_RECORD_FIELDS: Final = {
    "time": (1, "fixed64"), "severity": (2, "int32"), "severity_text": (3, "bytes"), "body": (5, "bytes"),
    "attributes": (6, "bytes"), "flags": (8, "fixed32"), "trace": (9, "bytes"), "span": (10, "bytes"),
    "observed": (11, "fixed64"), "name": (12, "bytes"),
}  # fmt: skip


class Damaged(Exception):  # noqa: N818 - named like what happened
    """The bytes are no request; nothing of them is kept."""


class LogDecoder:
    """
    Decodes requests, one after the other or at once.
    """

    def __init__(self) -> None:
        self._parse_all, read_ints, self._malformed = _parsers()
        self._columns, self._rows = ColumnDecoder(read_ints), RowDecoder()

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
        scope, pieces, large = self._parts(data, RECORDS_MOST - batch.size)
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
        for _ in range(large):
            batch.refuse(f"a log record of more than {RECORD_BYTES_MOST:,} bytes")
        for records in pieces:
            for record in self._columns.decode(batch, records, origin):
                try:
                    self._rows.add(batch, record, origin)
                except TooDeep:
                    batch.refuse("a log record with a value that is nested too deep")

    def _parts(self, data: bytes, most: int) -> tuple[bytes, Iterable[list[Any]], int]:
        """
        The InstrumentationScope of a ScopeLogs, its log records, and how many more are too large to be read.

        Raises:
            TooMany: More records than this.
        """
        if len(data) > _AT_ONCE:
            # One piece after the other: taken apart, attributes of no length have ten times the room.
            scope, pieces, large = _pieces(data, most)
            return scope, (self._parse_all(piece).records[:] for piece in pieces), large
        parsed = self._parse_all(data)
        if len(parsed.records) > most:
            raise TooMany
        return b"".join(parsed.scope), (parsed.records[:],) if parsed.records else (), 0  # twice is one, joined


Parser = Callable[[bytes], Any]


def _parsers() -> tuple[Parser, ReadInts, type[Exception]]:
    """Functions that read a ScopeLogs and packed numbers, and what they raise where the bytes are none."""
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
    file.message_type.add(name="Ints").field.add(
        name="values", number=1, type=field.TYPE_INT64, label=field.LABEL_REPEATED
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    scope_logs, ints = (  # their fields are not known to a type checker
        message_factory.GetMessageClass(pool.FindMessageTypeByName(f"bizspan.{name}")) for name in ("ScopeLogs", "Ints")
    )

    def read_ints(data: bytes) -> list[int]:
        try:
            parsed: Any = ints.FromString(_wire.field(b"\x0a", data))
            return [*parsed.values]
        except DecodeError as why:
            raise ValueError(str(why)) from None

    return scope_logs.FromString, read_ints, DecodeError


def _pieces(data: bytes, most: int) -> tuple[bytes, list[bytes], int]:
    """
    A ScopeLogs in pieces: its InstrumentationScope, some log records each, and how many are too large to be read.

    Raises:
        TooMany: More records than this.
    """
    pieces: list[bytes] = []
    scope = b""
    count = large = position = since = 0
    end = len(data)
    while position < end:
        start = position
        tag, position = varint(data, position)
        if tag & 7 != 2:
            raise ValueError("another kind of field")
        length, position = varint(data, position)
        inside, position = position, position + length
        if tag == _RECORD:
            count += 1
            if count > most:
                raise TooMany
        if tag == _SCOPE:
            scope += data[inside:position]  # twice is one, joined
        if tag != _RECORD or length > RECORD_BYTES_MOST or position - since > _AT_ONCE:
            pieces.append(data[since:start])
            since = start if tag == _RECORD and length <= RECORD_BYTES_MOST else position
            large += tag == _RECORD and length > RECORD_BYTES_MOST
    if position != end:
        raise ValueError("cut short")
    pieces.append(data[since:])
    return scope, [each for each in pieces if each], large
