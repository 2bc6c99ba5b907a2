"""
H: one checkout, written by hand by a careful OpenTelemetry user.

The signals and their attributes are those that bizspan makes for the same checkout; tests/test_bench.py
compares the keys. Nothing is left out that a careful person would write (the failure, the exact amount, an
id that makes the event countable once), and nothing is slower than it has to be: instruments are created
once, one id serves the operation and its event, attributes that are known at the start go in at span
creation, and the rest is set at once.
"""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Final
from uuid import uuid4

from opentelemetry._logs import SeverityNumber
from opentelemetry.trace import Status, StatusCode
from opentelemetry.util.types import AttributeValue

from .pipelines import Signals
from .shop import place

DURATION_BUCKETS_S: Final = (
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    30.0, 60.0, 300.0, 1800.0, 3600.0,
)  # fmt: skip


class ByHand:
    """The instruments of one program, and its checkout."""

    def __init__(self, signals: Signals) -> None:
        self._tracer = signals.tracer
        self._logger = signals.logger
        meter = signals.meter
        self._duration = meter.create_histogram(
            "business.operation.duration", unit="s", explicit_bucket_boundaries_advisory=DURATION_BUCKETS_S
        )
        self._revenue = meter.create_counter("business.revenue", unit="{currency}")
        self._events = meter.create_counter("business.events", unit="{event}")

    def checkout(self, segment: str, country: str, order: str) -> Decimal:
        """Place the order; a span, a duration, a revenue, an event count and an event come out of it."""
        uid = uuid4().hex
        known: dict[str, AttributeValue] = {
            "business.operation.name": "checkout",
            "business.operation.id": uid,
            "business.customer.segment": segment,
            "geo.country.iso_code": country,
            "business.order.id": order,
        }
        learned: dict[str, AttributeValue] = {"business.operation.outcome": "success"}
        dimensions: dict[str, AttributeValue] = {
            "business.operation.name": "checkout",
            "business.customer.segment": segment,
            "geo.country.iso_code": country,
        }
        started = time.perf_counter()
        with self._tracer.start_as_current_span("checkout", attributes=known) as span:
            try:
                total = place(order)
                minor_units = int(total.scaleb(2))
                learned["business.revenue.amount"] = float(total)
                learned["business.revenue.minor_units"] = minor_units
                learned["business.revenue.currency"] = "EUR"
                self._revenue.add(minor_units / 100, {**dimensions, "business.revenue.currency": "EUR"})
            except Exception as error:
                learned["business.operation.outcome"] = "failed"
                learned["error.type"] = type(error).__qualname__
                span.set_status(Status(StatusCode.ERROR))
                raise
            finally:
                span.set_attributes(learned)
                elapsed = time.perf_counter() - started
                self._duration.record(
                    elapsed,
                    {**dimensions, "business.operation.outcome": learned["business.operation.outcome"]},
                )
                self._events.add(1, {**dimensions, "business.event.name": "business.operation"})
                self._logger.emit(
                    event_name="business.operation",
                    timestamp=time.time_ns(),
                    severity_number=SeverityNumber.INFO,
                    attributes={**known, **learned, "business.operation.duration": elapsed, "log.record.uid": uid},
                )
        return total
