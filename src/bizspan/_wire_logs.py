"""
Log records that others made: any value in any field, none of which may stop the record.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Any, Final, Protocol

from bizspan._wire import Said, Walk, field, reason_of, varint

_INT32_MAX: Final = 2**31 - 1
_UINT32: Final = 2**32 - 1
_UINT64: Final = 2**64 - 1
_UINT128: Final = 2**128 - 1

_pack_fixed64: Final = Struct("<BQ").pack
_pack_fixed32: Final = Struct("<BI").pack


class LogRecord(Protocol):
    """The API's log record. Whoever made one may have put anything into it."""

    @property
    def timestamp(self) -> object: ...
    @property
    def observed_timestamp(self) -> object: ...
    @property
    def trace_id(self) -> object: ...
    @property
    def span_id(self) -> object: ...
    @property
    def trace_flags(self) -> object: ...
    @property
    def severity_text(self) -> object: ...
    @property
    def severity_number(self) -> object: ...
    @property
    def body(self) -> object: ...
    @property
    def attributes(self) -> object: ...
    @property
    def event_name(self) -> object: ...


class ReadableLog(Protocol):
    """What the SDK hands to a log record processor, whatever its version calls it."""

    @property
    def log_record(self) -> LogRecord: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """The fields of one log record, as they were found; None is nothing."""

    timestamp: object
    observed: object
    severity: object
    event_name: object
    trace_id: object
    span_id: object
    flags: object
    severity_text: object = None
    body: object = None
    attributes: object = None
    dropped: object = None

    @classmethod
    def of(cls, data: ReadableLog) -> Fields:
        """Read them, each on its own."""
        record = _read(data, "log_record")
        dropped = _read(data, "dropped_attributes")
        return cls(
            timestamp=_read(record, "timestamp"),
            observed=_read(record, "observed_timestamp"),
            severity=_read(_read(record, "severity_number"), "value"),
            severity_text=_read(record, "severity_text"),
            body=_read(record, "body"),
            attributes=_read(record, "attributes"),
            # Of SDKs before 1.39 the record itself knows.
            dropped=_read(record, "dropped_attributes") if dropped is None else dropped,
            event_name=_read(record, "event_name"),
            **link_of(record),
        )


def log_record(fields: Fields, walk: Walk, attributes: bytes, left_out: int) -> bytes:
    """
    The LogRecord. A field that OTLP cannot carry is left out, and said.

    Args:
        fields: All but the attributes.
        walk: Knows how much of its bounds the attributes took. They come first: a body as large as everything that is
            allowed leaves them alone.
        attributes: Encoded.
        left_out: How many could not be; they are counted as dropped.
    """
    said = walk.said
    dropped = _number(said, fields.dropped, _UINT32) or 0
    parts = (
        _fixed64(said, 0x09, fields.timestamp),
        _fixed64(said, 0x59, fields.observed),
        _varint(b"\x10", _number(said, fields.severity, _INT32_MAX)),
        walk.text(b"\x1a", fields.severity_text),
        attributes,
        _varint(b"\x38", min(dropped + left_out, _UINT32)),
        link(said, fields.trace_id, fields.span_id, fields.flags),
        walk.text(b"\x62", fields.event_name),
        _body(walk, fields.body),
    )
    return b"".join(parts)


def link_of(source: object) -> dict[str, object]:
    """The trace fields of a log record or a span context."""
    return {
        "trace_id": _read(source, "trace_id"),
        "span_id": _read(source, "span_id"),
        "flags": _read(source, "trace_flags"),
    }


def link(said: Said, trace_id: object, span_id: object, flags: object) -> bytes:
    """What links a record to its trace; ids of zero are none."""
    trace = _number(said, trace_id, _UINT128)
    span = _number(said, span_id, _UINT64)
    set_flags = _number(said, flags, _UINT32)
    parts = (
        b"\x4a\x10" + trace.to_bytes(16, "big") if trace else b"",
        b"\x52\x08" + span.to_bytes(8, "big") if span else b"",
        _pack_fixed32(0x45, set_flags) if set_flags else b"",
    )
    return b"".join(parts)


def _body(walk: Walk, body: object) -> bytes:
    try:
        return field(b"\x2a", walk.any_value(body))
    except Exception as error:
        walk.said(reason_of(error))
        return b""


def _fixed64(said: Said, tag: int, value: object) -> bytes:
    number = _number(said, value, _UINT64)
    return _pack_fixed64(tag, number) if number else b""


def _varint(tag: bytes, number: int | None) -> bytes:
    return tag + varint(number) if number else b""


def _number(said: Said, value: Any, most: int) -> int | None:
    """A number from 0 to `most`; None for everything else, which is said."""
    if value is None:
        return None
    if not issubclass(type(value), int):
        said("type")
        return None
    number = int.__int__(value)
    if 0 <= number <= most:
        return number
    said("range")
    return None


def _read(source: object, name: str) -> Any:
    """One field of a foreign object; None where it has none, or where reading it raises."""
    try:
        return getattr(source, name, None)
    except Exception:
        return None
