"""Log records as bytes: what the SDK's own encoder makes of them, read by protobuf."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.sdk import _logs as sdk_logs
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from bizspan import names
from bizspan.sdk._log_bytes import LogBytes
from tests.spool.messages import comparable

SDK: Final = tuple(int(part) for part in version("opentelemetry-sdk").split(".")[:2])
pytestmark = pytest.mark.skipif(SDK < (1, 40), reason="an older SDK has other log records, and encodes them itself")

ENCODER: Final = LogBytes()  # one for all: what it remembers of one example must not show in the next
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SCALARS = st.one_of(
    TEXT, st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.binary(max_size=5),
    st.integers(0, 3), st.sampled_from(("gold", "silver")),
)  # fmt: skip
VALUES = SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(TEXT.filter(bool), SCALARS, max_size=3)
ATTRIBUTES = st.dictionaries(st.sampled_from((names.SEGMENT, names.ORDER, "k")) | TEXT.filter(bool), VALUES, max_size=6)
TIMES = st.integers(0, 2**64 - 1)
CONTEXTS = st.builds(
    SpanContext, st.integers(0, 2**128 - 1) | st.just(0), st.integers(0, 2**64 - 1) | st.just(0), st.booleans(),
    st.sampled_from((TraceFlags(0), TraceFlags(1))),
)  # fmt: skip
RESOURCES = st.sampled_from((Resource({"service.name": "shop"}), Resource({"service.name": "shop"}, "urn:x")))
SCOPES = st.sampled_from(
    (
        InstrumentationScope("bizspan", "1.0", "urn:bizspan:vocabulary:1"),
        InstrumentationScope("app.log"),
        InstrumentationScope("other", attributes={"library": "x"}),
    )
)
FIELDS = st.fixed_dictionaries(
    {"timestamp": TIMES, "observed_timestamp": TIMES, "context": CONTEXTS},
    optional={
        "severity_number": st.sampled_from(SeverityNumber),
        "severity_text": TEXT,
        "body": VALUES | st.none(),
        "attributes": ATTRIBUTES,
        "event_name": TEXT,
    },
)


def record(resource: Any = None, scope: Any = None, **told: Any) -> Any:
    """The SDK's, as a logger makes it."""
    if (context := told.get("context")) is not None:
        told["context"] = set_span_in_context(NonRecordingSpan(context))
    made: Any = sdk_logs.ReadableLogRecord(
        LogRecord(**told), resource or Resource({}), scope or InstrumentationScope("bizspan")
    )
    return made


def told_by(request: ExportLogsServiceRequest) -> Iterator[tuple[object, ...]]:
    """Each record with its scope and its resource, whatever groups they came in; their order is nobody's promise."""
    for resource in request.resource_logs:
        for scope in resource.scope_logs:
            for each in scope.log_records:
                of = resource.resource.SerializeToString(deterministic=True)
                made_by = scope.scope.SerializeToString(deterministic=True)
                yield of, resource.schema_url, made_by, scope.schema_url, sorted(comparable(each).items())


def ours(records: Sequence[Any]) -> ExportLogsServiceRequest:
    """Ours, read by protobuf."""
    return ExportLogsServiceRequest.FromString(ENCODER.encode(records))


def by_the_sdk(records: Sequence[Any]) -> ExportLogsServiceRequest:
    """What the SDK's exporter would send."""
    return ExportLogsServiceRequest.FromString(encode_logs(records).SerializeToString())


@given(st.lists(st.tuples(RESOURCES, SCOPES, FIELDS), max_size=4))
def test_every_record_is_what_the_sdk_would_send(told: list[tuple[Any, Any, dict[str, Any]]]) -> None:
    """
    Whatever they hold: bodies, severities, links, values of every type, events of bizspan's and lines of others.
    """
    records = [record(resource, scope, **fields) for resource, scope, fields in told]

    assert sorted(told_by(by_the_sdk(records))) == sorted(told_by(ours(records)))


@pytest.mark.parametrize("value", [2**63, "\ud800", object(), {"a": {1, 2}}])
def test_a_value_that_cannot_be_carried_costs_itself_alone(value: Any) -> None:
    """
    The SDK's encoder loses the whole batch for some of these; here the record arrives, and all of its other attributes.
    """
    first = record(timestamp=1, attributes={"good": 1})
    first.log_record.attributes = {"bad": value, "good": 1}

    found = ours([first, record(timestamp=2, attributes={"good": 1})]).resource_logs

    each = [entry for of in found for scope in of.scope_logs for entry in scope.log_records]
    kept = [{attribute.key for attribute in entry.attributes} for entry in each]
    assert ([1, 2], {"good"}) == ([entry.time_unix_nano for entry in each], kept[1])
    assert "good" in kept[0]


@pytest.mark.parametrize("body", ["x" * 2**21, "", None])
def test_a_line_of_any_length_arrives_whole(body: str | None) -> None:
    """
    What the application logs is its own: as long as the SDK would send it.
    """
    records = [record(timestamp=1, body=body)]

    assert list(told_by(by_the_sdk(records))) == list(told_by(ours(records)))


def deep(levels: int) -> Any:
    """A list in a list, and so on."""
    return [deep(levels - 1)] if levels else ["end"]


@pytest.mark.parametrize(
    "told",
    [
        {"attributes": {"text": "x" * 2**21, "k": 1}}, {"body": {"image": "x" * 2**21}}, {"body": [1] * 70_000},
        {"body": deep(20)}, {"body": UserDict(a=1)},
    ],
    ids=lambda told: repr(told)[:30],
)  # fmt: skip
def test_what_others_tell_arrives_as_the_sdk_would_send_it(told: dict[str, Any]) -> None:
    """
    Bounds are for what bizspan tells; a line of another library has parts, depth and length of its own.
    """
    records = [record(timestamp=1, **told)]

    assert list(told_by(by_the_sdk(records))) == list(told_by(ours(records)))
