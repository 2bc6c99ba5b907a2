"""Spans and metric points into rows, and the views that look like the Collector's tables."""

from __future__ import annotations

import base64
import json
from typing import Any, cast

import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from bizspan import names
from bizspan._columns import COLUMNS
from bizspan.lens import Damaged, Intake, Store, Stored
from tests.lens.asking import rows
from tests.lens.requests import START_NS, Shop
from tests.wire import events

TRACE, SPAN = bytes(range(16)), bytes(range(1, 9))


def trace_request(**more: Any) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    by_resource = request.resource_spans.add()
    by_resource.resource.attributes.add(key="service.name").value.string_value = "shop"
    by_scope = by_resource.scope_spans.add()
    by_scope.scope.name = "http"
    told: dict[str, Any] = {"trace_id": TRACE, "span_id": SPAN, "start_time_unix_nano": START_NS, **more}
    by_scope.spans.add(name="POST /checkout", kind=Span.SPAN_KIND_SERVER, end_time_unix_nano=START_NS + 7, **told)
    span = by_scope.spans[0]
    span.status.code, span.status.message = Status.STATUS_CODE_ERROR, "no"
    span.attributes.add(key=names.OPERATION_NAME).value.string_value = "checkout"
    span.attributes.add(key="http.response.status_code").value.int_value = 500
    span.events.add(name="exception", time_unix_nano=START_NS + 3)
    span.links.add(trace_id=bytes(16), span_id=SPAN)
    return request


def as_json(request: Any) -> bytes:
    """In OTLP's JSON."""

    def hexed(value: Any) -> Any:
        if isinstance(value, dict):
            told = cast("dict[str, Any]", value)
            ids = ("traceId", "spanId", "parentSpanId")
            return {key: base64.b64decode(each).hex() if key in ids else hexed(each) for key, each in told.items()}
        if isinstance(value, list):
            return [hexed(each) for each in cast("list[Any]", value)]  # type: ignore[redundant-cast]
        return value

    return json.dumps(hexed(json_format.MessageToDict(request, use_integers_for_enums=True))).encode()


def test_a_span_counts_once_in_both_encodings(intake: Intake, store: Store) -> None:
    """
    Sent twice, as protobuf and as JSON, it is there once, with everything it told.
    """
    request = trace_request(parent_span_id=SPAN)

    assert Stored(1) == intake.take("traces", "protobuf", request.SerializeToString())
    assert Stored(0, 1) == intake.take("traces", "json", as_json(request))
    assert [
        (TRACE.hex(), SPAN.hex(), SPAN.hex(), "POST /checkout", 2, "shop", "checkout", START_NS, START_NS + 7, 2, "no",
         '{"business.operation.name":"checkout","http.response.status_code":500}',
         f'[{{"time_ns":{START_NS + 3},"name":"exception","attributes":{{}}}}]')
    ] == rows(
        store,
        "SELECT trace_id, span_id, parent, name, kind, service, operation, start_ns, end_ns, status, status_message, "
        "attributes, events FROM spans",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"trace_id": b""}, "without a trace id"),
        ({"span_id": b"\x01"}, "without a trace id"),
        ({"start_time_unix_nano": 0}, "without a time"),
        ({"start_time_unix_nano": 2**64 - 1}, "without a time"),
    ],
    ids=str,
)
def test_a_span_that_is_none_costs_itself_alone(intake: Intake, store: Store, changed: Any, why: str) -> None:
    """
    The other spans of the request are stored.
    """
    request = trace_request(**changed)
    request.MergeFrom(trace_request())

    taken = intake.take("traces", "protobuf", request.SerializeToString())

    assert (1, 1) == (taken.stored, taken.refused)
    assert why in taken.why


def metrics_request() -> ExportMetricsServiceRequest:
    request = ExportMetricsServiceRequest()
    by_resource = request.resource_metrics.add()
    by_resource.resource.attributes.add(key="service.name").value.string_value = "shop"
    metrics = by_resource.scope_metrics.add().metrics
    gauge = metrics.add(name="subscriptions.active", unit="{subscription}")
    for plan, value in (("pro", 1042), ("free", 2**60 + 1)):
        point = gauge.gauge.data_points.add(time_unix_nano=START_NS, as_int=value)
        point.attributes.add(key="business.plan").value.string_value = plan
    gauge.gauge.data_points.add(time_unix_nano=START_NS, flags=1)  # no recorded value
    total = metrics.add(name="business.revenue", unit="{currency}")
    total.sum.aggregation_temporality, total.sum.is_monotonic = 2, True  # type: ignore[assignment]
    total.sum.data_points.add(time_unix_nano=START_NS, start_time_unix_nano=START_NS - 5, as_double=42.5)
    duration = metrics.add(name="business.operation.duration", unit="s")
    duration.histogram.aggregation_temporality = 1  # type: ignore[assignment]
    duration.histogram.data_points.add(
        time_unix_nano=START_NS, count=3, sum=1.5, explicit_bounds=[0.5, 1.0], bucket_counts=[1, 2, 0], max=0.9
    )
    metrics.add(name="odd").exponential_histogram.data_points.add(time_unix_nano=START_NS)
    return request


def test_points_are_kept_by_kind_and_count_once(intake: Intake, store: Store) -> None:
    """
    Gauges, sums and histograms with their values; what has no table is told to its sender.
    """
    request = metrics_request()

    taken = intake.take("metrics", "protobuf", request.SerializeToString())
    again = intake.take("metrics", "json", as_json(request))

    assert (4, 0, 1) == (taken.stored, taken.already, taken.refused)
    assert "points of odd: exponential histograms and summaries are not kept" == taken.why
    assert (0, 4, 1) == (again.stored, again.already, again.refused)
    assert [("shop", '{"business.plan":"free"}', 2**60 + 1), ("shop", '{"business.plan":"pro"}', 1042)] == rows(
        store, "SELECT service, attributes, value FROM gauges ORDER BY attributes"
    )
    assert [(START_NS - 5, 2, 1, 42.5)] == rows(store, "SELECT start_ns, temporality, is_monotonic, value FROM sums")
    assert [(3, 1.5, None, 0.9, "[0.5,1.0]", "[1,2,0]")] == rows(
        store, "SELECT count, sum, min, max, bounds, bucket_counts FROM histograms"
    )


def test_a_point_without_time_or_value_costs_itself_alone(intake: Intake) -> None:
    """
    The other points are stored.
    """
    request = metrics_request()
    points = request.resource_metrics[0].scope_metrics[0].metrics[0].gauge.data_points
    points.add(as_int=1)
    points.add(time_unix_nano=START_NS)

    taken = intake.take("metrics", "protobuf", request.SerializeToString())

    assert (4, 3) == (taken.stored, taken.refused)


@pytest.mark.parametrize("signal", ["traces", "metrics"])
@pytest.mark.parametrize("data", [b"\xff", b"\x0a\x05\x01", b"\x0a\x04\x12\x02\x12\x09", b"\x0a\x03\x0a\x01\xff"])
def test_damaged_bytes_are_told(intake: Intake, signal: Any, data: bytes) -> None:
    """
    Nothing of them is stored.
    """
    with pytest.raises(Damaged, match="not an OTLP export request"):
        intake.take(signal, "protobuf", data)


@pytest.mark.parametrize(
    "document",
    [
        {"resourceSpans": 7},
        {"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "zz"}]}]}]},
        {"resourceSpans": [{"scopeSpans": [{"spans": [{"startTimeUnixNano": "soon"}]}]}]},
    ],
    ids=str,
)
def test_json_that_is_no_request_is_told(intake: Intake, document: Any) -> None:
    """
    Whatever is wrong in it.
    """
    with pytest.raises(Damaged, match="not an OTLP export request"):
        intake.take("traces", "json", json.dumps(document).encode())


# --- views ----------------------------------------------------------------------------------------------------------

# Columns of the Collector's ClickHouse exporter; of nested ones and exemplars the lens has none.
LOGS = (
    "Timestamp TimestampTime TraceId SpanId TraceFlags SeverityText SeverityNumber ServiceName Body ResourceAttributes "
    "ScopeName ScopeVersion ScopeAttributes LogAttributes EventName"
)
TRACES = (
    "Timestamp TraceId SpanId ParentSpanId TraceState SpanName SpanKind ServiceName ResourceAttributes ScopeName "
    "ScopeVersion SpanAttributes Duration StatusCode StatusMessage"
)
POINTS = (
    "ResourceAttributes ScopeName ScopeVersion ScopeAttributes ServiceName MetricName MetricDescription MetricUnit "
    "Attributes StartTimeUnix TimeUnix Flags"
)


@pytest.mark.parametrize(
    ("view", "columns"),
    [
        ("otel_logs", LOGS),
        ("otel_traces", TRACES),
        ("otel_metrics_gauge", f"{POINTS} Value"),
        ("otel_metrics_sum", f"{POINTS} Value AggregationTemporality IsMonotonic"),
        ("otel_metrics_histogram", f"{POINTS} Count Sum BucketCounts ExplicitBounds Min Max AggregationTemporality"),
    ],
)
def test_a_view_has_the_columns_of_the_collector(store: Store, view: str, columns: str) -> None:
    """
    By name, so that a query for ClickHouse reads the same.
    """
    with store.reading() as connection:
        found = [each[0] for each in connection.execute(f"SELECT * FROM {view}").description]

    assert set(columns.split()) <= set(found)


def test_the_view_of_logs_has_every_attribute_again(intake: Intake, store: Store) -> None:
    """
    Those with a column and those without, events and other log records alike.
    """
    shop = Shop()
    for request in shop.requests(3):
        intake.take("logs", "protobuf", request)
    intake.take("logs", "protobuf", events("", {"a": "b"}))

    found = rows(
        store,
        "SELECT EventName, ServiceName, Timestamp, LogAttributes FROM otel_logs ORDER BY EventName = '', Timestamp",
    )
    assert ("business.operation", "shop", "2026-09-21 14:13:20.000500000") == found[0][:3]
    told = json.loads(found[0][3])
    assert (shop.sold[0].uid, "checkout", shop.sold[0].segment, 1) == tuple(
        told[key] for key in (names.RECORD_UID, names.OPERATION_NAME, names.SEGMENT, names.SEQUENCE)
    )
    assert set() == {key for key in COLUMNS if key in told and told[key] is None}
    assert ("", "", {"a": "b"}) == (
        found[3][0],
        found[3][1],
        {k: v for k, v in json.loads(found[3][3]).items() if k == "a"},
    )


def test_the_views_of_spans_and_points_say_what_was_told(intake: Intake, store: Store) -> None:
    """
    With the words of the Collector for kinds and statuses.
    """
    intake.take("traces", "protobuf", trace_request().SerializeToString())
    intake.take("metrics", "protobuf", metrics_request().SerializeToString())

    assert [("Server", "Error", 7, "POST /checkout", "")] == rows(
        store, "SELECT SpanKind, StatusCode, Duration, SpanName, ParentSpanId FROM otel_traces"
    )
    assert [("business.revenue", 42.5)] == rows(store, "SELECT MetricName, Value FROM otel_metrics_sum")
    assert [2] == rows(store, "SELECT count(*) FROM otel_metrics_gauge")
    assert [(3, "[1,2,0]")] == rows(store, "SELECT Count, BucketCounts FROM otel_metrics_histogram")
