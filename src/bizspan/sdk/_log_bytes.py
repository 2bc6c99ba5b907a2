"""
Log records as OTLP bytes, without a protobuf object for each value.

The messages are those of the SDK's encoder; field numbers are those of opentelemetry/proto/logs/v1/logs.proto. A value
that OTLP cannot carry is left out and its record kept, where the SDK's encoder loses the whole batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from opentelemetry._logs import SeverityNumber

from bizspan._wire import ATTRIBUTE, Walk, field, utf8, varint
from bizspan._wire_attributes import ONCE, Attributes
from bizspan._wire_logs import Fields, log_record
from bizspan.sdk._request_bytes import request

if TYPE_CHECKING:
    from opentelemetry.sdk._logs import ReadableLogRecord

_UINT64: Final = 2**64 - 1
_SEVERITIES: Final = {each: b"\x10" + varint(each.value) for each in SeverityNumber if each.value} | {None: b""}
_NO_BODY: Final = b"\x2a\x00"  # one that is there and empty, as the SDK's encoder writes None

_pack_times: Final = Struct("<BQBQ").pack
_pack_link: Final = Struct(">HQQHQ").pack
_pack_flags: Final = Struct("<BI").pack


class LogBytes:
    """
    Encodes batches of log records. For one thread at a time, as the SDK's processors call their exporter.
    """

    def __init__(self) -> None:
        self._ours = Attributes(ATTRIBUTE, once=ONCE)
        self._others = Attributes(ATTRIBUTE)

    def encode(self, batch: Sequence[ReadableLogRecord]) -> bytes:
        """
        An ExportLogsServiceRequest.

        Args:
            batch: Of the SDK, whoever made what is in it.
        """
        return request(batch, self.entry)

    def entry(self, data: ReadableLogRecord, ours: bool = False) -> bytes:
        """
        One log record, with the tag and length that it has inside a ScopeLogs.

        Args:
            data: The record.
            ours: Whether it is an event of bizspan's, whose keys are few.
        """
        attributes = self._ours if ours else self._others
        try:
            return field(b"\x12", self._plain(data, attributes))
        except Exception:  # a body with parts, or a value that OTLP cannot carry
            return field(b"\x12", _carefully(data, attributes))

    def _plain(self, data: Any, attributes: Attributes) -> bytes:
        """As most records are; raises for any other."""
        record = data.log_record
        trace_id, span_id, flags = record.trace_id, record.span_id, record.trace_flags
        parts = [_pack_times(0x09, record.timestamp or 0, 0x59, record.observed_timestamp or 0)]
        parts.append(_SEVERITIES[record.severity_number])
        if record.severity_text:
            parts.append(field(b"\x1a", utf8(record.severity_text)))
        told: Any = record.attributes
        if told:
            attributes.add(told.copy(), parts.append)  # the SDK's give a dict, at once
        if data.dropped_attributes:
            parts.append(b"\x38" + varint(data.dropped_attributes))
        if trace_id and span_id:
            parts.append(_pack_link(0x4A10, trace_id >> 64, trace_id & _UINT64, 0x5208, span_id))
        elif trace_id or span_id:
            raise ValueError
        if flags:
            parts.append(_pack_flags(0x45, flags))
        if record.event_name:
            parts.append(field(b"\x62", utf8(record.event_name)))
        body = record.body
        if body is None:
            parts.append(_NO_BODY)
        elif type(body) is str:
            parts.append(field(b"\x2a", field(b"\x0a", utf8(body))))
        else:
            raise TypeError
        return b"".join(parts)


def _carefully(data: Any, attributes: Attributes) -> bytes:
    """Each field on its own; where that takes something away, as the SDK does it, if it can."""
    changed: list[str] = []
    walk, fields = Walk(changed.append), Fields.of(data)
    encoded = log_record(fields, walk, *attributes.encode(walk, fields.attributes))
    return (_by_the_sdk(data) or encoded) if changed else encoded


def _by_the_sdk(data: Any) -> bytes:
    """Empty where it raises."""
    try:
        encode: Any = import_module("opentelemetry.exporter.otlp.proto.common._log_encoder").encode_logs
        return bytes(encode([data]).resource_logs[0].scope_logs[0].log_records[0].SerializeToString())
    except Exception:
        return b""
