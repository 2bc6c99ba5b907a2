"""OpenTelemetry as an application sets it up, with exporters that send nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

from opentelemetry import _logs, metrics, trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from tests.bench.pipelines import NullLogs, NullMetrics

OURS: Final = bool(os.environ.get("BENCH_OURS"))
ROUTES: Final = {"POST /checkout": "checkout", "POST /orders": "checkout"}
DATABASE: Final = "BENCH_DATABASE"  # a directory that is there for as long as the server
COUNTRY_HEADER: Final = "CF-IPCountry"
PRICES: Final = {"a-1": 1999, "b-7": 250}


class NullSpans(SpanExporter):
    """Takes spans and sends nothing."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Done."""
        return SpanExportResult.SUCCESS


def set_up() -> None:
    """The three providers; and bizspan on them, where it is measured."""
    tracers = TracerProvider()
    tracers.add_span_processor(BatchSpanProcessor(NullSpans()))
    trace.set_tracer_provider(tracers)
    metrics.set_meter_provider(MeterProvider([PeriodicExportingMetricReader(NullMetrics())]))
    loggers = LoggerProvider()
    quiet: Any = NullLogs()
    loggers.add_log_record_processor(BatchLogRecordProcessor(quiet))
    _logs.set_logger_provider(loggers)
    if OURS:
        import bizspan

        bizspan.configure(export="otlp", hash_key=b"a-key-for-the-benchmark-01234567")


def database_file() -> str:
    """Where the shop's database is to be: a new one for each process."""
    return os.path.join(os.environ[DATABASE], f"shop-{os.getpid()}.sqlite3")


def total(cart: Mapping[str, Any]) -> int:
    """What a cart costs, in cents."""
    return sum(PRICES[line["sku"]] * line["quantity"] for line in cart["cart"])
