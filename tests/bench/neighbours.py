"""prometheus_client against our totals alone: what three metric updates cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from .by_hand import DURATION_BUCKETS_S
from .measure import Subject
from .shop import COUNTRY, SEGMENT

NAME: Final = "prometheus_client"


def prometheus() -> Subject:
    """One histogram observation and two counter increments, with labels looked up per call as programs do."""
    registry = CollectorRegistry()
    labels = ["operation", "segment", "country"]
    duration = Histogram(
        "business_operation_duration_seconds",
        "Duration of business operations.",
        [*labels, "outcome"],
        buckets=DURATION_BUCKETS_S,
        registry=registry,
    )
    revenue = Counter("business_revenue", "Revenue in major units.", [*labels, "currency"], registry=registry)
    events = Counter("business_events", "Business events.", [*labels, "event"], registry=registry)

    def run() -> None:
        duration.labels("checkout", SEGMENT, COUNTRY, "success").observe(0.031)
        revenue.labels("checkout", SEGMENT, COUNTRY, "EUR").inc(42.00)
        events.labels("checkout", SEGMENT, COUNTRY, "business.operation").inc()

    flush: Callable[[], object] = lambda: generate_latest(registry)  # noqa: E731
    return Subject(NAME, run, flush)
