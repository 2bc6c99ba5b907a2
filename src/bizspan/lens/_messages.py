"""
Spans and metric points into rows, from the messages of the protobuf library.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Final

from bizspan import names
from bizspan._columns import SERVICE_NAME, SERVICE_VERSION
from bizspan._minor import INT64_MAX
from bizspan._wire import DEPTH_MOST, TooDeep
from bizspan.lens._layout import Batch, Row
from bizspan.lens._records import RECORDS_MOST, TooMany, as_json, attributes_json, origin_of, plain_text, resource_of

_EVENTS_MOST: Final = 1_000  # of one span, and links


def spans(request: Any, received_ns: int) -> Batch:
    """
    The rows of an ExportTraceServiceRequest.

    Args:
        request: The message.
        received_ns: When it came.

    Raises:
        TooMany: It has more spans than are taken at once.
    """
    batch = Batch()
    rows = batch.to("spans")
    for by_resource in request.resource_spans:
        told = _attributes(by_resource.resource.attributes)
        resource = resource_of(batch, told, received_ns)
        for by_scope in by_resource.scope_spans:
            scope = by_scope.scope
            origin = origin_of(batch, resource, scope.name, scope.version, _attributes(scope.attributes))
            if len(rows) + len(by_scope.spans) > RECORDS_MOST:
                raise TooMany
            for span in by_scope.spans:
                try:
                    rows.append(_span(span, told, received_ns, origin.resource_id, origin.scope_id))
                except TooDeep:
                    batch.refuse("a span with a value that is nested too deep")
                except _Refused as why:
                    batch.refuse(str(why))
    return batch


class _Refused(Exception):  # noqa: N818 - named like what happened
    """A record that is not kept; the text says why."""


def _span(span: Any, resource: dict[str, Any], received_ns: int, resource_id: int, scope_id: int) -> Row:
    if len(span.trace_id) != 16 or len(span.span_id) != 8:
        raise _Refused("a span without a trace id of 16 bytes and a span id of 8")
    start, end = span.start_time_unix_nano, span.end_time_unix_nano
    if not 0 < start <= INT64_MAX or end > INT64_MAX:
        raise _Refused("a span without a time at which it began")
    attributes = _attributes(span.attributes)
    operation = attributes.get(names.OPERATION_NAME)
    events = [
        {"time_ns": each.time_unix_nano, "name": each.name, "attributes": _attributes(each.attributes)}
        for each in span.events[:_EVENTS_MOST]
    ]
    links = [
        {"trace_id": each.trace_id.hex(), "span_id": each.span_id.hex(), "attributes": _attributes(each.attributes)}
        for each in span.links[:_EVENTS_MOST]
    ]
    return [
        span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex() or None, span.name, span.kind,
        _told(resource, SERVICE_NAME), _told(resource, SERVICE_VERSION),
        operation if isinstance(operation, str) else None, start, max(start, end), received_ns, span.status.code,
        span.status.message or None, span.trace_state or None, resource_id, scope_id,
        as_json(events) if events else None, as_json(links) if links else None, attributes_json(attributes.items()),
    ]  # fmt: skip


def points(request: Any, received_ns: int) -> Batch:
    """
    The rows of an ExportMetricsServiceRequest.

    Args:
        request: The message.
        received_ns: When it came.

    Raises:
        TooMany: It has more points than are taken at once.
    """
    batch = Batch()
    for by_resource in request.resource_metrics:
        told = _attributes(by_resource.resource.attributes)
        resource = resource_of(batch, told, received_ns)
        for by_scope in by_resource.scope_metrics:
            scope = by_scope.scope
            origin = origin_of(batch, resource, scope.name, scope.version, _attributes(scope.attributes))
            shared: Row = [received_ns, _told(told, SERVICE_NAME), origin.resource_id, origin.scope_id]
            for metric in by_scope.metrics:
                _metric(batch, metric, shared)
    return batch


def _metric(batch: Batch, metric: Any, shared: Row) -> None:
    kind = metric.WhichOneof("data")
    if kind is None:
        return
    data = getattr(metric, kind)
    count = len(data.data_points)
    if batch.size + batch.refused + count > RECORDS_MOST:
        raise TooMany
    if kind not in ("gauge", "sum", "histogram"):
        for _ in range(count):
            batch.refuse(f"points of {metric.name}: exponential histograms and summaries are not kept")
        return
    table = f"{kind}s"
    for point in data.data_points:
        try:
            values = _values(kind, data, point)
            if values is not None:
                batch.to(table).append(_point(metric, table, point, shared, values))
        except TooDeep:
            batch.refuse("a metric point with a value that is nested too deep")
        except _Refused as why:
            batch.refuse(str(why))


def _values(kind: str, data: Any, point: Any) -> Row | None:
    """What tells points of this kind apart from others; None for a point that only says that there is no value."""
    if point.flags & 1:
        return None
    if kind != "histogram":
        told = point.WhichOneof("value")
        if told is None:
            raise _Refused("a metric point without a value")
        value = getattr(point, told)
        return [value] if kind == "gauge" else [data.aggregation_temporality, int(data.is_monotonic), value]
    if point.count > INT64_MAX:
        raise _Refused("a histogram with a count beyond 64 bits")
    return [
        data.aggregation_temporality, point.count, *(
            getattr(point, name) if point.HasField(name) else None for name in ("sum", "min", "max")
        ), as_json([*point.explicit_bounds]), as_json([*point.bucket_counts]),
    ]  # fmt: skip


def _point(metric: Any, table: str, point: Any, shared: Row, values: Row) -> Row:
    received_ns, service, resource_id, scope_id = shared
    moment, start = point.time_unix_nano, point.start_time_unix_nano
    if not 0 < moment <= INT64_MAX or start > INT64_MAX:
        raise _Refused("a metric point without a time")
    attributes = attributes_json(_attributes(point.attributes).items())
    content = repr((table, metric.name, moment, start, attributes, resource_id, scope_id, values))
    uid = blake2b(content.encode("utf-8", "replace"), digest_size=16).digest()
    return [
        uid, metric.name, metric.unit, metric.description, moment, start or None, received_ns, point.flags, service,
        resource_id, scope_id, attributes, *values,
    ]  # fmt: skip


def _told(attributes: dict[str, Any], key: str) -> str | None:
    value = attributes.get(key)
    return None if value is None or isinstance(value, list | dict) else plain_text(value)


def _attributes(attributes: Any) -> dict[str, Any]:
    return {each.key: _any_value(each.value, 0) for each in attributes}


def _any_value(value: Any, depth: int) -> Any:
    if depth > DEPTH_MOST:
        raise TooDeep
    kind = value.WhichOneof("value")
    match kind:
        case None:
            return None
        case "array_value":
            return [_any_value(each, depth + 1) for each in value.array_value.values]
        case "kvlist_value":
            return {each.key: _any_value(each.value, depth + 1) for each in value.kvlist_value.values}
        case "bytes_value":
            return value.bytes_value.hex()
        case _:
            return getattr(value, kind)
