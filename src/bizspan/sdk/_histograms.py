"""
Histograms straight from the totals: an exporter that adds them on the way to the real one.

The SDK has no way to hand in finished buckets, and feeding its own histogram costs 8 us per measurement.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.sdk.metrics import Histogram as HistogramInstrument
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    ScopeMetrics,
)

from bizspan import _guard, names

if TYPE_CHECKING:
    from bizspan._pipeline import Pipeline
    from bizspan._totals import Buckets

_NANOS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was exported of one point: the base of the next delta."""

    count: int
    total: float
    counts: tuple[int, ...]


class WithHistograms(MetricExporter):
    """
    Adds ``business.operation.duration`` and ``business.feedback.score`` to what it exports.

    A delta point's base moves only when the export succeeded, so that a failed export loses nothing.

    Args:
        inner: The real exporter; its temporality is kept.
        pipeline: Gives the pipeline whose totals are read.
    """

    def __init__(self, inner: MetricExporter, pipeline: Callable[[], Pipeline | None]) -> None:
        temporality: dict[type, AggregationTemporality] = getattr(inner, "_preferred_temporality", None) or {}
        super().__init__(temporality, getattr(inner, "_preferred_aggregation", None))
        self._inner: Any = inner  # the SDK leaves its keyword arguments untyped
        self._pipeline = pipeline
        self._temporality = temporality.get(HistogramInstrument, AggregationTemporality.CUMULATIVE)
        self._of: Pipeline | None = None
        self._since_ns = 0
        self._seen: dict[int, _Seen] = {}

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:
        """Export, with the histograms added."""
        seen: dict[int, _Seen] = {}
        now = time.time_ns()
        try:
            metrics_data = self._added(metrics_data, now, seen)
        except Exception as error:
            _guard.swallowed("adding histograms", error)
        result: MetricExportResult = self._inner.export(metrics_data, timeout_millis=timeout_millis, **kwargs)  # pyright: ignore[reportUnknownMemberType]
        if result is MetricExportResult.SUCCESS and self._temporality is AggregationTemporality.DELTA:
            self._seen.update(seen)
            self._since_ns = now
        return result

    def _added(self, data: MetricsData, now: int, seen: dict[int, _Seen]) -> MetricsData:
        pipeline = self._pipeline()
        if pipeline is None or pipeline.pid != os.getpid():
            return data
        if self._of is not pipeline:
            self._of, self._since_ns, self._seen = pipeline, pipeline.began_ns, {}
        pipeline.count_now()
        metrics = pipeline.locked(lambda: self._metrics(pipeline, now, seen))
        if not metrics:
            return data
        return replace(
            data,
            resource_metrics=[
                replace(
                    resource,
                    scope_metrics=[
                        _extended(scope, metrics) if _is_of(pipeline, scope) else scope
                        for scope in resource.scope_metrics
                    ],
                )
                for resource in data.resource_metrics
            ],
        )

    def _metrics(self, pipeline: Pipeline, now: int, seen: dict[int, _Seen]) -> list[Metric]:
        totals = pipeline.totals
        durations = [
            point
            for buckets in totals.durations.points.values()
            if (point := self._point(buckets, names.DURATION_BOUNDARIES_S, _NANOS, now, seen)) is not None
        ]
        scores = [
            point
            for buckets in totals.scores.points.values()
            if (point := self._point(buckets, names.FEEDBACK_BOUNDARIES, 1, now, seen)) is not None
        ]
        described = (
            (names.METRIC_DURATION, "How long business operations took.", names.UNIT_SECONDS, durations),
            (names.METRIC_FEEDBACK, "What customers answered.", names.UNIT_SCORE, scores),
        )
        return [
            Metric(name, description, unit, Histogram(points, self._temporality))
            for name, description, unit, points in described
            if points
        ]

    def _point(
        self, buckets: Buckets, bounds: tuple[float, ...], scale: int, now: int, seen: dict[int, _Seen]
    ) -> HistogramDataPoint | None:
        count, total, counts = buckets.count, buckets.total, tuple(buckets.counts)
        smallest: Any = buckets.smallest / scale
        largest: Any = buckets.largest / scale
        if self._temporality is AggregationTemporality.DELTA:
            before = self._seen.get(id(buckets))
            seen[id(buckets)] = _Seen(count, total, counts)
            if before is not None:
                if before.count == count:
                    return None
                count, total = count - before.count, total - before.total
                counts = tuple(new - old for new, old in zip(counts, before.counts, strict=True))
                smallest = largest = None  # of this interval alone: not known
        return HistogramDataPoint(
            attributes=buckets.attributes,
            start_time_unix_nano=self._since_ns,
            time_unix_nano=now,
            count=count,
            sum=total / scale,
            bucket_counts=counts,
            explicit_bounds=bounds,
            min=smallest,
            max=largest,
        )

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Flush the real exporter."""
        flushed: bool = self._inner.force_flush(timeout_millis)
        return flushed

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Shut the real exporter down."""
        self._inner.shutdown(timeout_millis, **kwargs)  # pyright: ignore[reportUnknownMemberType]


def _is_of(pipeline: Pipeline, metrics: ScopeMetrics) -> bool:
    # An earlier pipeline of the process may stand beside: its counters are its own, and have their own generation.
    scope = metrics.scope
    return scope.name == names.SCOPE and (scope.attributes or {}).get(names.GENERATION, 0) == pipeline.generation


def _extended(scope: ScopeMetrics, metrics: list[Metric]) -> ScopeMetrics:
    return replace(scope, metrics=[*scope.metrics, *metrics])
