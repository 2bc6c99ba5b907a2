"""
The real pipeline with its far ends in memory, and ids that repeat from run to run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    MetricExporter,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON

from bizspan.sdk._histograms import WithHistograms
from bizspan.sdk._providers import stamp_logs, stamp_spans

try:  # renamed in SDK 1.39
    from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter
except ImportError:  # pragma: no cover - the lowest dependencies
    from opentelemetry.sdk._logs.export import (
        InMemoryLogExporter as InMemoryLogRecordExporter,  # pyright: ignore[reportDeprecated]
    )

if TYPE_CHECKING:
    from bizspan._pipeline import Pipeline


class FixedIds(IdGenerator):
    """Trace and span ids that count up from 1."""

    def __init__(self) -> None:
        self._spans = count(1)
        self._traces = count(1)
        self.spans_made: set[int] = set()

    def generate_span_id(self) -> int:
        """The next span id."""
        span_id = next(self._spans)
        self.spans_made.add(span_id)
        return span_id

    def generate_trace_id(self) -> int:
        """The next trace id."""
        return next(self._traces)


class InMemoryMetrics(MetricExporter):
    """Keeps what was exported last."""

    def __init__(self) -> None:
        super().__init__()
        self.last: MetricsData | None = None

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:
        """Keep it."""
        self.last = metrics_data
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Nothing waits."""
        return True

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Nothing to stop."""


class Memory:
    """
    Providers whose exporters keep everything.

    Args:
        pipeline: Gives the pipeline whose totals the metrics are read from.
        sampled: Whether spans are sampled.
    """

    def __init__(self, pipeline: Callable[[], Pipeline | None], *, sampled: bool = True) -> None:
        resource = Resource({"service.name": "test"})
        self.ids = FixedIds()
        self._spans = InMemorySpanExporter()
        make: Any = InMemoryLogRecordExporter
        self._logs = make()
        self._metrics = InMemoryMetrics()
        self.tracer_provider = TracerProvider(
            sampler=ALWAYS_ON if sampled else ALWAYS_OFF,
            resource=resource,
            id_generator=self.ids,
            shutdown_on_exit=False,
        )
        stamp_spans(self.tracer_provider)
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self._spans))
        reader = PeriodicExportingMetricReader(WithHistograms(self._metrics, pipeline), export_interval_millis=math.inf)
        self.meter_provider = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
        self.logger_provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
        stamp_logs(self.logger_provider)
        self.logger_provider.add_log_record_processor(SimpleLogRecordProcessor(self._logs))

    def spans(self) -> Sequence[Any]:
        """The ended spans, in order of their end."""
        return self._spans.get_finished_spans()

    def logs(self) -> list[Any]:
        """The log records, in order."""
        return [item.log_record for item in self._logs.get_finished_logs()]

    def metrics(self) -> list[Any]:
        """All metrics, collected now."""
        self._metrics.last = None
        self.meter_provider.force_flush()
        data: MetricsData | None = self._metrics.last
        if data is None:
            return []
        return [
            metric for resource in data.resource_metrics for scope in resource.scope_metrics for metric in scope.metrics
        ]

    def shutdown(self) -> None:
        """Stop the providers."""
        self.tracer_provider.shutdown()
        self.meter_provider.shutdown()
        self.logger_provider.shutdown()
