"""
Spans as OTLP bytes, without a protobuf object for each value.

The messages are those of the SDK's encoder; field numbers are those of opentelemetry/proto/trace/v1/trace.proto. A
value that OTLP cannot carry is left out and its span kept, where the SDK's encoder loses the whole batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.trace import SpanKind

from bizspan._wire import Walk, field, utf8, varint
from bizspan._wire_attributes import ONCE, Attributes
from bizspan.sdk._request_bytes import request

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import Event, ReadableSpan
    from opentelemetry.trace import Link, Status

# Of Span, Event and Link: the field that holds an attribute.
_OF_SPAN, _OF_EVENT, _OF_LINK = b"\x4a", b"\x1a", b"\x22"
_KINDS: Final = {
    SpanKind.INTERNAL: b"\x30\x01",
    SpanKind.SERVER: b"\x30\x02",
    SpanKind.CLIENT: b"\x30\x03",
    SpanKind.PRODUCER: b"\x30\x04",
    SpanKind.CONSUMER: b"\x30\x05",
}
# The parent, or the link, is known to be local or to be remote: SpanFlags of the specification.
_LOCAL, _REMOTE = 0x100, 0x300
_UINT64: Final = 2**64 - 1

_pack_ids: Final = Struct(">HQQHQ").pack
_pack_id: Final = Struct(">HQ").pack
_pack_times: Final = Struct("<BQBQ").pack
_pack_time: Final = Struct("<BQ").pack
# Field 16 of Span is two bytes of tag, field 6 of Link one.
_SPAN_FLAGS: Final = {flags: b"\x85\x01" + Struct("<I").pack(flags) for flags in (_LOCAL, _REMOTE)}
_LINK_FLAGS: Final = {flags: b"\x35" + Struct("<I").pack(flags) for flags in (_LOCAL, _REMOTE)}


class SpanBytes:
    """
    Encodes batches of spans. For one thread at a time, as the SDK's processors call their exporter.
    """

    def __init__(self) -> None:
        self._ours = Attributes(_OF_SPAN, once=ONCE)
        self._others = Attributes(_OF_SPAN)
        self._of_events = Attributes(_OF_EVENT)
        self._of_links = Attributes(_OF_LINK)

    def encode(self, spans: Sequence[ReadableSpan]) -> bytes:
        """
        An ExportTraceServiceRequest.

        Args:
            spans: Ended ones.

        Raises:
            Exception: When a span has something in place of a time, an id or a kind.
        """
        return request(spans, self._entry)

    def _entry(self, span: ReadableSpan, ours: bool) -> bytes:
        return field(b"\x12", self._span(span, self._ours if ours else self._others))

    def _span(self, span: ReadableSpan, attributes: Attributes) -> bytes:
        context = span.context
        parent = span.parent
        assert context is not None
        trace_id, span_id, is_remote = context.trace_id, context.span_id, parent is not None and parent.is_remote
        assert span.start_time is not None and span.end_time is not None
        parts = [
            _pack_ids(0x0A10, trace_id >> 64, trace_id & _UINT64, 0x1208, span_id),
            b"" if parent is None else _pack_id(0x2208, parent.span_id),
            field(b"\x2a", utf8(span.name)),
            _KINDS[span.kind],
            _pack_times(0x39, span.start_time, 0x41, span.end_time),
            _status(span.status),
            _SPAN_FLAGS[_REMOTE if is_remote else _LOCAL],
        ]
        left_out, before = 0, len(parts)
        told: Any = span.attributes
        try:
            attributes.add(told.copy(), parts.append)  # the SDK's give a dict, at once
        except Exception:
            del parts[before:]
            fields, left_out = Walk().attributes(_OF_SPAN, told)
            parts.append(fields)
        if context.trace_state:
            parts.append(field(b"\x1a", utf8(context.trace_state.to_header())))
        if dropped := span.dropped_attributes + left_out:
            parts.append(b"\x50" + varint(dropped))
        if events := span.events:
            parts += [field(b"\x5a", self._event(event)) for event in events]
        if dropped := span.dropped_events:
            parts.append(b"\x60" + varint(dropped))
        if links := span.links:
            parts += [field(b"\x6a", self._link(link)) for link in links]
        if dropped := span.dropped_links:
            parts.append(b"\x70" + varint(dropped))
        return b"".join(parts)

    def _event(self, event: Event) -> bytes:
        told, left_out = self._of_events.encode(Walk(), event.attributes)
        dropped = event.dropped_attributes + left_out
        return b"".join(
            (
                _pack_time(0x09, event.timestamp),
                field(b"\x12", utf8(event.name)),
                told,
                b"\x20" + varint(dropped) if dropped else b"",
            )
        )

    def _link(self, link: Link) -> bytes:
        context = link.context
        told, left_out = self._of_links.encode(Walk(), link.attributes)
        dropped = link.dropped_attributes + left_out
        return b"".join(
            (
                _pack_ids(0x0A10, context.trace_id >> 64, context.trace_id & _UINT64, 0x1208, context.span_id),
                told,
                b"\x28" + varint(dropped) if dropped else b"",
                _LINK_FLAGS[_REMOTE if context.is_remote else _LOCAL],
            )
        )


def _status(status: Status) -> bytes:
    code = status.status_code.value
    told = field(b"\x12", utf8(status.description)) if status.description else b""
    return field(b"\x7a", told + (b"\x18" + varint(code) if code else b""))
