"""Real OpenTelemetry providers with their far ends in memory, for tests of what bizspan puts on them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

from opentelemetry.sdk import metrics as sdk
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    InMemoryMetricReader,
    Metric,
    MetricExporter,
    MetricExportResult,
    MetricReader,
    MetricsData,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import bizspan
from bizspan import _active, _signals
from bizspan._facts import Hasher
from bizspan.sdk import Exporters, _memory, set_up
from bizspan.vocabulary import Vocabulary, merged

HASH_KEY = b"a-key-for-tests-0123456789abcdef"
CUMULATIVE = AggregationTemporality.CUMULATIVE
DELTA = AggregationTemporality.DELTA

Set = frozenset[tuple[str, Any]]


def temporality(wanted: AggregationTemporality) -> dict[type, AggregationTemporality]:
    """The same temporality for every kind of instrument that adds up."""
    return {sdk.Counter: wanted, sdk.ObservableCounter: wanted, sdk.Histogram: wanted}


def reader(wanted: AggregationTemporality = CUMULATIVE) -> InMemoryMetricReader:
    """A metric reader that a test reads."""
    return InMemoryMetricReader(preferred_temporality=temporality(wanted))


def log_exporter() -> Any:
    """The SDK's exporter that keeps log records, whatever this version calls it."""
    kind: Any = vars(_memory)["InMemoryLogRecordExporter"]
    return kind()


class Far(MetricExporter):
    """The far end of a metrics pipeline that bizspan builds: keeps what was exported; fails when told to."""

    def __init__(self, wanted: AggregationTemporality = CUMULATIVE) -> None:
        super().__init__(preferred_temporality=temporality(wanted))
        self.exported: list[MetricsData] = []
        self.fails = False

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:
        """Keep it, or fail."""
        if self.fails:
            return MetricExportResult.FAILURE
        self.exported.append(metrics_data)
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Nothing waits."""
        return True

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Nothing to stop."""


def points(data: MetricsData | None, name: str) -> list[Any]:
    """The points of one metric in one collection."""
    return [point for metric in metrics_of(data) if metric.name == name for point in metric.data.data_points]


def metrics_of(data: MetricsData | None) -> list[Metric]:
    """The metrics in one collection."""
    if data is None:
        return []
    scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics]
    return [metric for scope in scopes for metric in scope.metrics]


def size(point: Any) -> float:
    """A point's value; of a histogram, its count."""
    value: float = point.count if hasattr(point, "count") else point.value
    return value


def amounts(source: InMemoryMetricReader | Sequence[MetricsData], name: str) -> list[float]:
    """The values of one metric: of a collection made now, or of all that were exported, in their order."""
    collected = [source.get_metrics_data()] if isinstance(source, InMemoryMetricReader) else source
    return [size(point) for data in collected for point in points(data, name)]


class Application:
    """An application with OpenTelemetry set up by itself: its three providers, and what reached their ends."""

    def __init__(self, *readers: MetricReader) -> None:
        resource = Resource({"service.name": "app"})
        self._spans = InMemorySpanExporter()
        self._logs = log_exporter()
        self.tracer_provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self._spans))
        self.meter_provider = MeterProvider(readers, resource=resource, shutdown_on_exit=False)
        self.logger_provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
        self.logger_provider.add_log_record_processor(SimpleLogRecordProcessor(self._logs))
        self.providers: dict[str, Any] = {
            "tracer_provider": self.tracer_provider,
            "meter_provider": self.meter_provider,
            "logger_provider": self.logger_provider,
        }

    def spans(self) -> Sequence[Any]:
        """The ended spans."""
        return self._spans.get_finished_spans()

    def logs(self) -> list[Any]:
        """The log records, bizspan's events among them."""
        return [item.log_record for item in self._logs.get_finished_logs()]

    def shutdown(self) -> None:
        """Stop the providers."""
        for provider in self.providers.values():
            provider.shutdown()


@contextmanager
def joined(*readers: MetricReader, **options: Any) -> Generator[Application]:
    """bizspan on an application's own providers, as `configure()` joins them."""
    application = Application(*readers)
    try:
        with bizspan.configure(hash_key=HASH_KEY, **application.providers, **options):
            yield application
    finally:
        application.shutdown()


@contextmanager
def built(far: Any, spans: Any = None, logs: Any = None, *vocabularies: Vocabulary) -> Generator[Callable[[], bool]]:
    """bizspan on providers of its own that end in these exporters; gives the flush."""
    settings = _signals.Settings(declared=merged(vocabularies), hasher=Hasher(HASH_KEY, "k1"))
    logs = logs or log_exporter()
    _, flush, undo, _ = set_up(settings, (None, None, None), "shop", None, {}, Exporters(spans, far, logs))
    try:
        yield lambda: flush(5.0)
    finally:
        undo(2.5)


def take() -> None:
    """Have the running pipeline take everything that waits, now."""
    pipeline = _active.current
    assert pipeline is not None
    assert pipeline.take(5.0)
