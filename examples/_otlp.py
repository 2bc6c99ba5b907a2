"""OTLP requests as plain Python: what the receiver keeps, and what the examples and tests read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypedDict

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import ResourceLogs, ScopeLogs
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Status

Value: TypeAlias = "str | bool | int | float | bytes | list[Value] | dict[str, Value] | None"
Attributes: TypeAlias = "dict[str, Value]"

_TEMPORALITY: Mapping[int, str] = {
    AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE: "cumulative",
    AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA: "delta",
}
_STATUS: Mapping[int, str] = {
    Status.STATUS_CODE_UNSET: "UNSET",
    Status.STATUS_CODE_OK: "OK",
    Status.STATUS_CODE_ERROR: "ERROR",
}


@dataclass(frozen=True, slots=True)
class Origin:
    """Who sent it: the resource and the instrumentation scope, with their schema URLs."""

    resource: Attributes
    resource_schema_url: str
    scope_name: str
    scope_version: str
    scope_attributes: Attributes
    schema_url: str


class Span(TypedDict):
    """One span; ids in hex, `parent_span_id` empty for a root, times in nanoseconds since 1970."""

    name: str
    trace_id: str
    span_id: str
    parent_span_id: str
    flags: int
    start_time_unix_nano: int
    end_time_unix_nano: int
    status: str
    status_message: str
    attributes: Attributes
    dropped_attributes_count: int
    events: list[str]
    links: list[tuple[str, str]]
    origin: Origin


class Event(TypedDict):
    """One log record; `event_name` is empty for an ordinary log line."""

    event_name: str
    time_unix_nano: int
    observed_time_unix_nano: int
    severity_number: int
    severity_text: str
    body: Value
    trace_id: str
    span_id: str
    flags: int
    attributes: Attributes
    dropped_attributes_count: int
    origin: Origin


class Point(TypedDict):
    """
    One metric point.

    `kind` is sum, gauge or histogram. `value` is the number, for a histogram its sum. `temporality` is
    cumulative or delta, empty for a gauge. `count`, `bucket_counts` and `explicit_bounds` are a histogram's,
    else 0 and empty.
    """

    metric: str
    unit: str
    kind: str
    monotonic: bool
    temporality: str
    attributes: Attributes
    value: int | float
    count: int
    bucket_counts: list[int]
    explicit_bounds: list[float]
    start_time_unix_nano: int
    time_unix_nano: int
    origin: Origin


def spans_of(request: ExportTraceServiceRequest) -> Iterator[Span]:
    """Yield the request's spans in the order in which they were sent."""
    for by_resource in request.resource_spans:
        for by_scope in by_resource.scope_spans:
            origin = _origin(by_resource, by_scope)
            for span in by_scope.spans:
                yield Span(
                    name=span.name,
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_span_id=span.parent_span_id.hex(),
                    flags=span.flags,
                    start_time_unix_nano=span.start_time_unix_nano,
                    end_time_unix_nano=span.end_time_unix_nano,
                    status=_STATUS[span.status.code],
                    status_message=span.status.message,
                    attributes=_attributes(span.attributes),
                    dropped_attributes_count=span.dropped_attributes_count,
                    events=[event.name for event in span.events],
                    links=[(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
                    origin=origin,
                )


def events_of(request: ExportLogsServiceRequest) -> Iterator[Event]:
    """Yield the request's log records in the order in which they were sent."""
    for by_resource in request.resource_logs:
        for by_scope in by_resource.scope_logs:
            origin = _origin(by_resource, by_scope)
            for record in by_scope.log_records:
                yield Event(
                    event_name=record.event_name,
                    time_unix_nano=record.time_unix_nano,
                    observed_time_unix_nano=record.observed_time_unix_nano,
                    severity_number=int(record.severity_number),
                    severity_text=record.severity_text,
                    body=_value(record.body),
                    trace_id=record.trace_id.hex(),
                    span_id=record.span_id.hex(),
                    flags=record.flags,
                    attributes=_attributes(record.attributes),
                    dropped_attributes_count=record.dropped_attributes_count,
                    origin=origin,
                )


def points_of(request: ExportMetricsServiceRequest) -> Iterator[Point]:
    """Yield the request's sum, gauge and histogram points in the order in which they were sent."""
    for by_resource in request.resource_metrics:
        for by_scope in by_resource.scope_metrics:
            origin = _origin(by_resource, by_scope)
            for metric in by_scope.metrics:
                yield from _points(metric, origin)


def _points(metric: Metric, origin: Origin) -> Iterator[Point]:
    for number in metric.gauge.data_points:
        yield _number(metric, "gauge", False, "", number, origin)
    for number in metric.sum.data_points:
        temporality = _TEMPORALITY.get(metric.sum.aggregation_temporality, "unspecified")
        yield _number(metric, "sum", metric.sum.is_monotonic, temporality, number, origin)
    for histogram in metric.histogram.data_points:
        temporality = _TEMPORALITY.get(metric.histogram.aggregation_temporality, "unspecified")
        yield _histogram(metric, temporality, histogram, origin)


def _number(
    metric: Metric, kind: str, monotonic: bool, temporality: str, point: NumberDataPoint, origin: Origin
) -> Point:
    return Point(
        metric=metric.name,
        unit=metric.unit,
        kind=kind,
        monotonic=monotonic,
        temporality=temporality,
        attributes=_attributes(point.attributes),
        value=point.as_int if point.WhichOneof("value") == "as_int" else point.as_double,
        count=0,
        bucket_counts=[],
        explicit_bounds=[],
        start_time_unix_nano=point.start_time_unix_nano,
        time_unix_nano=point.time_unix_nano,
        origin=origin,
    )


def _histogram(metric: Metric, temporality: str, point: HistogramDataPoint, origin: Origin) -> Point:
    return Point(
        metric=metric.name,
        unit=metric.unit,
        kind="histogram",
        monotonic=False,
        temporality=temporality,
        attributes=_attributes(point.attributes),
        value=point.sum,
        count=point.count,
        bucket_counts=list(point.bucket_counts),
        explicit_bounds=list(point.explicit_bounds),
        start_time_unix_nano=point.start_time_unix_nano,
        time_unix_nano=point.time_unix_nano,
        origin=origin,
    )


def _origin(
    by_resource: ResourceSpans | ResourceLogs | ResourceMetrics,
    by_scope: ScopeSpans | ScopeLogs | ScopeMetrics,
) -> Origin:
    return Origin(
        resource=_attributes(by_resource.resource.attributes),
        resource_schema_url=by_resource.schema_url,
        scope_name=by_scope.scope.name,
        scope_version=by_scope.scope.version,
        scope_attributes=_attributes(by_scope.scope.attributes),
        schema_url=by_scope.schema_url,
    )


def _attributes(pairs: Sequence[KeyValue]) -> Attributes:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Value:
    match value.WhichOneof("value"):
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "int_value":
            return value.int_value
        case "double_value":
            return value.double_value
        case "bytes_value":
            return value.bytes_value
        case "array_value":
            return [_value(item) for item in value.array_value.values]
        case "kvlist_value":
            return _attributes(value.kvlist_value.values)
        case _:
            return None
