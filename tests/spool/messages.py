"""Protobuf messages from bytes, in a form that compares: what two encoders of OTLP may do differently is evened out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.protobuf.message import Message
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ScopeLogs


def parsed(entry: bytes) -> LogRecord:
    """The one log record of an entry."""
    [record] = ScopeLogs.FromString(entry).log_records
    return record


def by_the_sdk(readables: Sequence[Any]) -> LogRecord:
    """The one log record that the SDK's encoder makes, through bytes."""
    [resource_logs] = encode_logs(readables).resource_logs
    [scope_logs] = resource_logs.scope_logs
    [record] = scope_logs.log_records
    return LogRecord.FromString(record.SerializeToString())


def comparable(record: LogRecord) -> dict[str, bytes | list[bytes]]:
    """
    The fields of a log record by name, attributes in the order of their keys.

    As bytes, because NaN differs from itself. An AnyValue that is absent and an empty one are the same to OTLP; the
    SDK wrote None first as the one, then as the other.
    """
    _without_empty_values(record)
    found: dict[str, bytes | list[bytes]] = {}
    for field, value in record.ListFields():
        if field.name == "attributes":
            found["attributes"] = sorted(_bytes(each) for each in value)
        else:
            found[field.name] = _bytes(value) if isinstance(value, Message) else repr(value).encode()
    return found


def keys(record: LogRecord) -> list[str]:
    """The attribute keys, in order."""
    return sorted(each.key for each in record.attributes)


def value(record: LogRecord, key: str) -> AnyValue:
    """The value of the one attribute with this key."""
    [found] = [each.value for each in record.attributes if each.key == key]
    return found


def _bytes(message: Message) -> bytes:
    return message.SerializeToString(deterministic=True)


def _without_empty_values(record: LogRecord) -> None:
    if record.body.WhichOneof("value") is None:
        record.ClearField("body")
    for attribute in [*record.attributes, *_inner(record.body)]:
        if attribute.value.WhichOneof("value") is None:
            attribute.ClearField("value")
        for inner in _inner(attribute.value):
            if inner.value.WhichOneof("value") is None:
                inner.ClearField("value")


def _inner(value: AnyValue) -> list[KeyValue]:
    return [*value.kvlist_value.values, *(pair for each in value.array_value.values for pair in _inner(each))]
