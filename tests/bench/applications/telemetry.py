"""OpenTelemetry as an application sets it up: sending over OTLP/HTTP, or with exporters that send nothing."""

from __future__ import annotations

import gc
import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

from opentelemetry import _logs, metrics, trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from tests.bench.pipelines import NullLogs, NullMetrics

OURS: Final = bool(os.environ.get("BENCH_OURS"))
ROUTES: Final = {"POST /checkout": "checkout", "POST /orders": "checkout"}
ENDPOINT: Final = "BENCH_ENDPOINT"  # of a collector; none, and nothing is sent
DATABASE: Final = "BENCH_DATABASE"  # a directory that is there for as long as the server
COUNTRY_HEADER: Final = "CF-IPCountry"
PRICES: Final = {"a-1": 1999, "b-7": 250}


class NullSpans(SpanExporter):
    """Takes spans and sends nothing."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Done."""
        return SpanExportResult.SUCCESS


def set_up() -> None:
    """The three providers; and bizspan, where it is measured."""
    endpoint = os.environ.get(ENDPOINT)
    if endpoint:
        os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoint
    if not (OURS and endpoint):  # else bizspan builds them, as its first example does
        _providers(*(_sending() if endpoint else (NullSpans(), NullMetrics(), NullLogs())))
    if OURS:
        import bizspan

        bizspan.configure(hash_key=b"a-key-for-the-benchmark-01234567")


def _providers(spans: SpanExporter, points: MetricExporter, events: Any) -> None:
    tracers = TracerProvider()
    tracers.add_span_processor(BatchSpanProcessor(spans))
    trace.set_tracer_provider(tracers)
    metrics.set_meter_provider(MeterProvider([PeriodicExportingMetricReader(points)]))
    loggers = LoggerProvider()
    loggers.add_log_record_processor(BatchLogRecordProcessor(events))
    _logs.set_logger_provider(loggers)


def _sending() -> tuple[SpanExporter, MetricExporter, Any]:
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(), OTLPMetricExporter(), OTLPLogExporter()


def freeze() -> None:
    """
    The application stands: leave what is there to no collection, as servers that fork do.

    A full one takes as long as a hundred requests, and comes after a thousand or more: on which side of a measurement's
    end it falls would decide the figure.
    """
    gc.collect()
    gc.freeze()


def database_file() -> str:
    """Where the shop's database is to be: a new one for each process."""
    return os.path.join(os.environ[DATABASE], f"shop-{os.getpid()}.sqlite3")


def total(cart: Mapping[str, Any]) -> int:
    """What a cart costs, in cents."""
    return sum(PRICES[line["sku"]] * line["quantity"] for line in cart["cart"])
