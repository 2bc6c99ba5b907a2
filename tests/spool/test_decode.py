"""
What is read back is what protobuf reads.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs

from bizspan.spool._decode import event_of, resource_of

scalars = st.one_of(
    st.text(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False)
)  # fmt: skip
values: Any = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(), inner, max_size=4)),
    max_leaves=8,
)
facts = st.dictionaries(st.text(), values, max_size=10)


def any_value(value: Any) -> AnyValue:
    items: Any = value
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case str():
            return AnyValue(string_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case list():
            return AnyValue(array_value=ArrayValue(values=[any_value(each) for each in items]))
        case _:
            return AnyValue(kvlist_value=KeyValueList(values=pairs(value)))


def pairs(told: dict[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=any_value(value)) for key, value in told.items()]


@given(facts, st.integers(0, 2**64 - 1), st.text(), st.binary(min_size=16, max_size=16))
def test_an_entry_reads_as_protobuf_writes_it(
    attributes: dict[str, Any], time_ns: int, event_name: str, trace_id: bytes
) -> None:
    """
    Time, name, trace and attributes of all kinds.
    """
    record = LogRecord(
        time_unix_nano=time_ns,
        event_name=event_name,
        trace_id=trace_id,
        severity_number=9,  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] - an enum's number
        attributes=pairs(attributes),
    )
    event = event_of(ScopeLogs(log_records=[record]).SerializeToString())

    assert (time_ns, event_name, trace_id.hex()) == (event.time_ns, event.event_name, event.trace_id)
    assert attributes == event.attributes


@given(facts)
def test_a_resource_reads_as_protobuf_writes_it(attributes: dict[str, Any]) -> None:
    """
    Its attributes.
    """
    logs = ResourceLogs(schema_url="urn:x")
    logs.resource.attributes.extend(pairs(attributes))

    assert attributes == resource_of(logs.SerializeToString())


@given(st.binary(max_size=200))
def test_other_bytes_are_refused_or_read(data: bytes) -> None:
    """
    Nothing but a ValueError comes of bytes that are no record.
    """
    try:
        event_of(data)
    except ValueError:
        return


@pytest.mark.parametrize("data", [b"", b"\x12\x7f", b"\xff" * 12, b"\x13"])
def test_broken_bytes_are_refused(data: bytes) -> None:
    """
    Empty, cut, an endless number, no wire type.
    """
    with pytest.raises(ValueError):
        event_of(data)
