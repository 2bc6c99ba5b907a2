"""Spans as bytes: what the SDK's own encoder makes of them, read by protobuf."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.span import TraceState

from bizspan import names
from bizspan.sdk._span_bytes import SpanBytes

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
KEYS = st.sampled_from((names.SEGMENT, names.ORDER, "http.route", "k")) | TEXT
SCALARS = st.one_of(
    TEXT, st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.binary(max_size=5),
    st.integers(0, 3), st.sampled_from(("gold", "silver")),
)  # fmt: skip
VALUES = SCALARS | st.lists(SCALARS, max_size=3).map(tuple)
ATTRIBUTES = st.dictionaries(KEYS, VALUES, max_size=6)
TIMES = st.integers(0, 2**64 - 1)
STATES = st.sampled_from((TraceState(), TraceState((("vendor", "x"), ("other", "y:z")))))
CONTEXTS = st.builds(
    SpanContext, st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.booleans(),
    st.sampled_from((TraceFlags(0), TraceFlags(1))), STATES,
)  # fmt: skip
RESOURCES = st.sampled_from(
    (Resource({"service.name": "shop"}), Resource({"service.name": "shop"}, "urn:x"), Resource({}), Resource({"a": 1}))
)
SCOPES = st.sampled_from(
    (
        None,
        InstrumentationScope("bizspan", "1.0", "urn:bizspan:vocabulary:1"),
        InstrumentationScope("flask"),
        InstrumentationScope("other", attributes={"library": "x"}),
    )
)
STATUSES = st.one_of(
    st.just(Status()), st.just(Status(StatusCode.OK)), st.builds(Status, st.just(StatusCode.ERROR), TEXT | st.none())
)
SPANS = st.builds(
    ReadableSpan, TEXT, CONTEXTS, CONTEXTS | st.none(), RESOURCES, ATTRIBUTES,
    st.lists(st.builds(Event, TEXT, ATTRIBUTES, TIMES), max_size=2),
    st.lists(st.builds(Link, CONTEXTS, ATTRIBUTES), max_size=2),
    st.sampled_from(SpanKind), st.none(), STATUSES, TIMES, TIMES, SCOPES,
)  # fmt: skip

ANY = Resource({"service.name": "shop"})
ENCODER = SpanBytes()  # one for all: what it remembers of one example must not show in the next


def parsed(data: bytes) -> ExportTraceServiceRequest:
    """The request."""
    return ExportTraceServiceRequest.FromString(data)


def spans_of(request: ExportTraceServiceRequest) -> Iterator[tuple[bytes, str, bytes, str, bytes]]:
    """Each span with its scope and its resource, whatever groups they came in; their order is nobody's promise."""
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield (
                    sure(resource.resource), resource.schema_url, sure(scope.scope), scope.schema_url, sure(span),
                )  # fmt: skip


def sure(message: Message) -> bytes:
    """Comparable."""
    return message.SerializeToString(deterministic=True)


def by_the_sdk(spans: Sequence[ReadableSpan]) -> ExportTraceServiceRequest:
    """What the SDK's exporter would send."""
    return parsed(encode_spans(spans).SerializeToString())


@given(st.lists(SPANS, max_size=4))
def test_every_span_is_what_the_sdk_would_send(spans: list[ReadableSpan]) -> None:
    """
    Whatever they hold: kinds, parents, links, events, trace states, values of every type.
    """
    assert sorted(spans_of(by_the_sdk(spans))) == sorted(spans_of(parsed(ENCODER.encode(spans))))


def ended(**told: Any) -> ReadableSpan:
    """A span."""
    about: dict[str, Any] = {"start_time": 1, "end_time": 2, "resource": ANY, **told}
    return ReadableSpan("checkout", SpanContext(1, 2, False), **about)


@pytest.mark.parametrize("value", [2**63, "\ud800", object(), {"a": {1, 2}}])
def test_a_value_that_cannot_be_carried_costs_itself_alone(value: Any) -> None:
    """
    The SDK's encoder loses the whole batch for some of these; here the span arrives, and all of its other attributes.
    """
    request = parsed(ENCODER.encode([ended(attributes={"bad": value, "good": 1}), ended()]))

    first, second = request.resource_spans[0].scope_spans[0].spans
    kept = {attribute.key for attribute in first.attributes}
    assert ("checkout", "checkout", True) == (first.name, second.name, "good" in kept)
    assert {"good"} == kept or "bad" in kept  # a lone surrogate becomes U+FFFD
    assert ("bad" not in kept) == bool(first.dropped_attributes_count)


def test_resources_that_are_one_object_come_once() -> None:
    """
    A batch of one process has its resource and its scope once.
    """
    resource, scope = Resource({"service.name": "shop"}), InstrumentationScope("bizspan", "1.0")
    spans = [ended(resource=resource, instrumentation_scope=scope) for _ in range(3)]

    request = parsed(ENCODER.encode(spans))

    assert [[3]] == [[len(scope.spans) for scope in each.scope_spans] for each in request.resource_spans]
