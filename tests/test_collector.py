"""A real collector before the receiver: what the stock SDK sends arrives unchanged, and nothing runs on."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Literal, cast
from urllib.parse import urlsplit

import pytest
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc import _log_exporter as grpc_log
from opentelemetry.exporter.otlp.proto.grpc import metric_exporter as grpc_metric
from opentelemetry.exporter.otlp.proto.grpc import trace_exporter as grpc_trace
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http import _log_exporter as http_log
from opentelemetry.exporter.otlp.proto.http import metric_exporter as http_metric
from opentelemetry.exporter.otlp.proto.http import trace_exporter as http_trace
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from _collector import Receiver, Rotel
from tests.wire import logs, post, revenue

if TYPE_CHECKING:  # it was called LogExporter in the oldest SDK that we support
    from opentelemetry.sdk._logs.export import LogRecordExporter

Protocol = Literal["http", "grpc"]

needs_rotel = pytest.mark.skipif(not Rotel.available(), reason=f"no native collector to test with: {Rotel.why_not()}")


def exporters(endpoint: str, protocol: Protocol) -> tuple[SpanExporter, LogRecordExporter, MetricExporter]:
    """Make the three stock exporters: HTTP with gzip, or gRPC."""
    if protocol == "grpc":
        return (
            grpc_trace.OTLPSpanExporter(endpoint),
            grpc_log.OTLPLogExporter(endpoint),
            grpc_metric.OTLPMetricExporter(endpoint),
        )
    return (
        http_trace.OTLPSpanExporter(f"{endpoint}/v1/traces", compression=Compression.Gzip),
        http_log.OTLPLogExporter(f"{endpoint}/v1/logs", compression=Compression.Gzip),
        http_metric.OTLPMetricExporter(f"{endpoint}/v1/metrics", compression=Compression.Gzip),
    )


def send_with_the_stock_sdk(endpoint: str, protocol: Protocol) -> tuple[str, str]:
    """Emit one span, one event inside it, a sum, a histogram and a gauge; return the span's two ids."""
    spans, records, metrics = exporters(endpoint, protocol)
    resource = Resource({"service.name": "shop", "service.instance.id": "i-1"}, schema_url="https://schema/r")
    tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
    tracers.add_span_processor(BatchSpanProcessor(spans))
    loggers = LoggerProvider(resource=resource, shutdown_on_exit=False)
    loggers.add_log_record_processor(BatchLogRecordProcessor(records))
    meters = MeterProvider([PeriodicExportingMetricReader(metrics)], resource, shutdown_on_exit=False)
    meter = meters.get_meter("m")

    tracer = tracers.get_tracer("t", "1.0", "https://schema/t")
    with tracer.start_as_current_span("checkout", attributes={"paid": True, "lines": ["a", "b"]}) as span:
        loggers.get_logger("l", "2.0", "https://schema/l").emit(
            event_name="business.operation",
            timestamp=1_234_567_890_123_456_789,
            observed_timestamp=1_234_567_890_123_456_999,
            severity_number=SeverityNumber.INFO,
            body={"nested": [1, 2.5, None, b"\x00\xff"]},
            attributes={"minor_units": 2**62, "amount": 244091.94, "café": "ü"},
        )
        meter.create_counter("revenue", unit="{currency}").add(244091.94, {"currency": "USD"})
        meter.create_histogram("duration", explicit_bucket_boundaries_advisory=[0.1, 1.0]).record(0.3)
        meter.create_gauge("active").set(7)
    for provider in (tracers, loggers, meters):
        provider.shutdown()
    ids = span.get_span_context()
    return f"{ids.trace_id:032x}", f"{ids.span_id:016x}"


def everything_arrived(receiver: Receiver) -> bool:
    return bool(receiver.spans() and receiver.events() and len(receiver.points()) >= 3)


def assert_unchanged(receiver: Receiver, trace_id: str, span_id: str) -> None:
    """What `send_with_the_stock_sdk` sent is what is there."""
    assert receiver.wait_for(everything_arrived)
    resource = {"service.name": "shop", "service.instance.id": "i-1"}

    (span,) = receiver.spans("checkout")
    assert (trace_id, span_id, "") == (span["trace_id"], span["span_id"], span["parent_span_id"])
    assert {"paid": True, "lines": ["a", "b"]} == span["attributes"]
    assert (resource, "https://schema/r") == (span["origin"].resource, span["origin"].resource_schema_url)
    assert (
        span["origin"].scope_name,
        span["origin"].scope_version,
        span["origin"].schema_url,
    ) == ("t", "1.0", "https://schema/t")

    (event,) = receiver.events("business.operation")
    assert (trace_id, span_id) == (event["trace_id"], event["span_id"])
    assert 1_234_567_890_123_456_789 == event["time_unix_nano"]
    assert 1_234_567_890_123_456_999 == event["observed_time_unix_nano"]
    assert (9, {"nested": [1, 2.5, None, b"\x00\xff"]}) == (event["severity_number"], event["body"])
    assert {"minor_units": 2**62, "amount": 244091.94, "café": "ü"} == event["attributes"]
    assert (resource, "https://schema/l") == (event["origin"].resource, event["origin"].schema_url)

    (total,) = receiver.last_points("revenue")
    assert (
        total["kind"],
        total["temporality"],
        total["monotonic"],
        total["unit"],
    ) == ("sum", "cumulative", True, "{currency}")
    assert ({"currency": "USD"}, 244091.94) == (total["attributes"], total["value"])
    (duration,) = receiver.last_points("duration")
    assert ("histogram", 1, 0.3) == (duration["kind"], duration["count"], duration["value"])
    assert ([0.1, 1.0], [0, 1, 0]) == (duration["explicit_bounds"], duration["bucket_counts"])
    (active,) = receiver.last_points("active")
    assert ("gauge", "", 7) == (active["kind"], active["temporality"], active["value"])


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_stock_exporters_reach_the_receiver(protocol: Protocol) -> None:
    """
    Spans, events and metric points of the stock SDK arrive decoded and unchanged, over HTTP and gRPC.
    """
    with Receiver(grpc=True) as receiver:
        endpoint = receiver.http_endpoint if protocol == "http" else receiver.grpc_endpoint
        ids = send_with_the_stock_sdk(endpoint, protocol)

        assert_unchanged(receiver, *ids)
        assert {protocol} == {request.protocol for request in receiver.requests()}


@needs_rotel
@pytest.mark.parametrize("forward", ["http", "grpc"])
@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_stock_exporters_reach_the_receiver_through_rotel(protocol: Protocol, forward: Protocol) -> None:
    """
    A real collector in between changes nothing, whichever protocol it gets and sends.
    """
    with Receiver(grpc=True) as receiver:
        onward = receiver.http_endpoint if forward == "http" else receiver.grpc_endpoint
        with Rotel(onward, forward_protocol=forward) as rotel:
            endpoint = rotel.http_endpoint if protocol == "http" else rotel.grpc_endpoint
            ids = send_with_the_stock_sdk(endpoint, protocol)

            assert_unchanged(receiver, *ids)
            assert {forward} == {request.protocol for request in receiver.requests()}


@needs_rotel
def test_rotel_hands_on_what_the_stock_sdk_rarely_fills() -> None:
    """
    Counts of dropped attributes, severity text, links, flags, deltas and several resources arrive as sent.
    """
    traces = ExportTraceServiceRequest()
    span = traces.resource_spans.add(schema_url="https://schema/r").scope_spans.add().spans.add(name="s")
    span.trace_id, span.span_id, span.flags, span.dropped_attributes_count = b"t" * 16, b"s" * 8, 257, 3
    span.links.add(trace_id=b"l" * 16, span_id=b"m" * 8)
    span.status.code = span.status.STATUS_CODE_ERROR
    span.status.message = "card reader on fire"
    records = ExportLogsServiceRequest()
    for name in ("a", "b"):
        by_resource = records.resource_logs.add(schema_url="https://schema/r")
        by_resource.resource.attributes.add(key="service.instance.id").value.string_value = name
        by_resource.scope_logs.add().log_records.add(
            event_name=name, severity_text="fine", flags=1, dropped_attributes_count=5
        )
    delta = revenue(42, at=7, temporality=1)

    with Receiver() as direct, Receiver() as behind, Rotel(behind.http_endpoint) as rotel:
        for endpoint in (direct.http_endpoint, rotel.http_endpoint):
            post(endpoint, "traces", traces.SerializeToString())
            post(endpoint, "logs", records.SerializeToString())
            post(endpoint, "metrics", delta)

        assert behind.wait_for(lambda r: bool(r.spans() and len(r.events()) == 2 and r.points()))
        assert direct.spans() == behind.spans()
        assert direct.events() == behind.events()
        assert direct.points() == behind.points()
        assert ("ERROR", 3) == (behind.spans()[0]["status"], behind.spans()[0]["dropped_attributes_count"])
        assert [5, 5] == [event["dropped_attributes_count"] for event in behind.events()]
        assert ["delta"] == [point["temporality"] for point in behind.points()]


@needs_rotel
def test_rotel_drains_before_it_ends() -> None:
    """
    What it accepted just before SIGTERM still arrives.
    """
    with Receiver() as receiver, Rotel(receiver.http_endpoint) as rotel:
        assert 200 == post(rotel.http_endpoint, "logs", logs("a", "b"))[0]
        rotel.stop()

        assert ["a", "b"] == [event["event_name"] for event in receiver.events()]


@needs_rotel
def test_rotel_repeats_what_was_answered_with_503() -> None:
    """
    After the receiver recovers the records arrive once.
    """
    with Receiver(behaviour="unavailable") as receiver, Rotel(receiver.http_endpoint) as rotel:
        post(rotel.http_endpoint, "logs", logs("a"))
        assert receiver.wait_for(lambda r: len(r.requests()) >= 1)
        receiver.behaviour = "accept"

        assert receiver.wait_for(lambda r: bool(r.events()))
        rotel.stop()
        assert ["a"] == [event["event_name"] for event in receiver.events()]


@needs_rotel
def test_rotel_hands_on_a_very_large_request() -> None:
    """
    20,000 records in one request arrive in their order: rotel's own default would drop them after a 200.
    """
    names = [f"e{number}" for number in range(20_000)]
    with Receiver() as receiver, Rotel(receiver.http_endpoint) as rotel:
        post(rotel.http_endpoint, "logs", logs(*names))

        assert receiver.wait_for(lambda r: len(r.events()) >= len(names))
        assert names == [event["event_name"] for event in receiver.events()]


@needs_rotel
def test_rotel_is_gone_after_the_block_even_behind_a_black_hole() -> None:
    """
    A collector that cannot drain is killed in time, and an exception in the block does not keep it alive.
    """
    with Receiver(behaviour="hang") as receiver:
        rotel = Rotel(receiver.http_endpoint, stop_timeout_s=0.2)
        with pytest.raises(ZeroDivisionError), rotel:
            post(rotel.http_endpoint, "logs", logs("a"))
            assert receiver.wait_for(lambda r: bool(r.requests()))
            raise ZeroDivisionError

        for endpoint in (rotel.http_endpoint, rotel.grpc_endpoint):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", urlsplit(endpoint).port or 0), timeout=1)


@needs_rotel
def test_a_rotel_that_does_not_come_up_says_why() -> None:
    """
    The error holds what the collector wrote before it ended.
    """
    protocol = cast("Protocol", "carrier-pigeon")
    with pytest.raises(RuntimeError, match="invalid value 'carrier-pigeon'"):
        Rotel("http://127.0.0.1:9", forward_protocol=protocol).__enter__()
