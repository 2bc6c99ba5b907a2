"""The three states of an application's telemetry, built from the real SDK with exporters that do nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from opentelemetry import _logs, metrics, trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    MetricExporter,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON

NO_SDK: Final = "no SDK"
SAMPLED_OUT: Final = "sampled out"
RECORDING: Final = "recording"
STATES: Final = (NO_SDK, SAMPLED_OUT, RECORDING)

# Nothing may be dropped inside a measured loop: a dropped span is a cheap span.
QUEUE_SIZE: Final = 1 << 17
# Workers wake up on a full batch or on a flush, not on a clock that ticks in somebody else's turn.
NEVER_MS: Final = 3_600_000.0


class NullSpans(SpanExporter):
    """Takes spans and does nothing."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None: ...


class NullLogs:
    """Takes log records and does nothing. Duck-typed: the SDK renamed the base class between its versions."""

    def export(self, batch: Sequence[Any]) -> None:
        """Nothing; the batch processor ignores what an exporter gives back."""

    def force_flush(self, timeout_millis: int = 10_000) -> bool:
        return True

    def shutdown(self) -> None: ...


class NullMetrics(MetricExporter):
    """Takes collected metrics and does nothing."""

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: object) -> MetricExportResult:
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: object) -> None: ...


@dataclass(frozen=True, slots=True)
class Exporters:
    """Where signals go: nowhere, by default."""

    spans: SpanExporter = field(default_factory=NullSpans)
    logs: NullLogs = field(default_factory=NullLogs)
    metrics: MetricExporter = field(default_factory=NullMetrics)


@dataclass(frozen=True, slots=True)
class Providers:
    """Three real providers that belong together."""

    tracer: TracerProvider
    meter: MeterProvider
    logger: LoggerProvider

    def flush(self) -> None:
        """Export what is queued and collect the metrics once."""
        self.tracer.force_flush()
        self.logger.force_flush()
        self.meter.force_flush()

    def close(self) -> None:
        """Stop every thread of the three."""
        self.tracer.shutdown()
        self.logger.shutdown()
        self.meter.shutdown()


def build_providers(state: str, exporters: Exporters) -> Providers:
    """
    Real providers in the state asked for.

    Args:
        state: `SAMPLED_OUT` or `RECORDING`.
        exporters: Where signals go.
    """
    tracer = TracerProvider(sampler=ALWAYS_OFF if state == SAMPLED_OUT else ALWAYS_ON, shutdown_on_exit=False)
    tracer.add_span_processor(
        BatchSpanProcessor(exporters.spans, max_queue_size=QUEUE_SIZE, schedule_delay_millis=NEVER_MS)
    )
    reader = PeriodicExportingMetricReader(exporters.metrics, export_interval_millis=NEVER_MS)
    meter = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
    logger = LoggerProvider(shutdown_on_exit=False)
    logger.add_log_record_processor(
        BatchLogRecordProcessor(cast("Any", exporters.logs), max_queue_size=QUEUE_SIZE, schedule_delay_millis=NEVER_MS)
    )
    return Providers(tracer, meter, logger)


@dataclass(frozen=True, slots=True)
class Signals:
    """What a program that writes its telemetry by hand holds at module level."""

    tracer: trace.Tracer
    meter: metrics.Meter
    logger: _logs.Logger
    flush: Callable[[], None]
    close: Callable[[], None]


def signals(state: str, exporters: Exporters | None = None) -> Signals:
    """
    The API objects of one state. With no SDK they are what the API hands out before any provider is set.

    Args:
        state: One of `STATES`.
        exporters: Where signals go; nowhere, by default.
    """
    name = "shop"
    if state == NO_SDK:
        return Signals(trace.get_tracer(name), metrics.get_meter(name), _logs.get_logger(name), _nothing, _nothing)
    made = build_providers(state, exporters or Exporters())
    return Signals(
        made.tracer.get_tracer(name),
        made.meter.get_meter(name),
        made.logger.get_logger(name),
        made.flush,
        made.close,
    )


def _nothing() -> None:
    return None
