"""OTLP/HTTP requests by hand, for tests that look at what a collector or a receiver makes of them."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Mapping

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest


def post(endpoint: str, signal: str, body: bytes, **headers: str) -> tuple[int, str]:
    """Send one OTLP/HTTP request and return the answer's status and content type."""
    request = urllib.request.Request(f"{endpoint}/v1/{signal}", data=body, method="POST")
    request.add_header("Content-Type", "application/x-protobuf")
    for name, value in headers.items():
        request.add_header(name.replace("_", "-"), value)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.headers.get("Content-Type", "")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers.get("Content-Type", "")


def logs(*names: str) -> bytes:
    """Encode log records with these event names as one OTLP request."""
    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    for name in names:
        records.add(event_name=name)
    return request.SerializeToString()


def events(name: str, attributes: Mapping[str, str | int]) -> bytes:
    """Encode one event with attributes as one OTLP request."""
    request = ExportLogsServiceRequest()
    record = request.resource_logs.add().scope_logs.add().log_records.add(event_name=name)
    for key, value in attributes.items():
        if isinstance(value, str):
            record.attributes.add(key=key).value.string_value = value
        else:
            record.attributes.add(key=key).value.int_value = value
    return request.SerializeToString()


def revenue(total: int, at: int, instance: str = "i-1", temporality: int = 2) -> bytes:
    """Encode one point of a sum as one OTLP request; temporality 2 is cumulative, 1 is delta."""
    request = ExportMetricsServiceRequest()
    by_resource = request.resource_metrics.add()
    by_resource.resource.attributes.add(key="service.instance.id").value.string_value = instance
    metric = by_resource.scope_metrics.add().metrics.add(name="revenue")
    metric.sum.aggregation_temporality = temporality  # type: ignore[assignment]
    metric.sum.data_points.add(as_int=total, time_unix_nano=at)
    return request.SerializeToString()
