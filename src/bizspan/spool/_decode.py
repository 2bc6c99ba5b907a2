"""
Stored bytes back into words: for people, and for the comparison with a ledger. Not on the way of any event.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from bizspan._wire import any_value, fields, key_value, typed

# Fields of LogRecord: opentelemetry/proto/logs/v1/logs.proto.
_ENTRY = 2  # of ScopeLogs
_TIME, _BODY, _ATTRIBUTES, _TRACE, _SPAN, _OBSERVED, _EVENT_NAME = 1, 5, 6, 9, 10, 11, 12
_LOG_RECORD: Final[Mapping[int, type]] = {
    _TIME: int, _OBSERVED: int, _EVENT_NAME: bytes, _TRACE: bytes, _SPAN: bytes, _BODY: bytes, _ATTRIBUTES: bytes,
}  # fmt: skip


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
    for number, value in typed(_only(entry), _LOG_RECORD):
        if number == _ATTRIBUTES:
            key, told = key_value(value)
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
            event.body = any_value(value)
    return event


def resource_of(payload: bytes) -> dict[str, Any]:
    """
    The attributes of a Resource.

    Args:
        payload: Of a resource's frame: the front of a ResourceLogs.

    Raises:
        ValueError: When it is no such thing.
    """
    for _, value in typed(payload, {1: bytes}):
        return dict(key_value(each) for _, each in typed(value, {1: bytes}))
    return {}


def _only(entry: bytes) -> bytes:
    for number, value in fields(entry):
        if number == _ENTRY and isinstance(value, bytes):
            return value
    raise ValueError("no log record")
