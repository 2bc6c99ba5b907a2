"""
The observable instruments behind which the totals and the accounts of a pipeline stand.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from opentelemetry.metrics import Observation

from bizspan import names
from bizspan._accounts import idle

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, Meter

    from bizspan._pipeline import Pipeline

Points = Callable[[], list[tuple[float, Any]]]


def register(meter: Meter, pipeline: Pipeline) -> None:
    """Have this meter collect the pipeline's totals and accounts."""
    totals, accounts = pipeline.totals, pipeline.accounts

    def money(kind: str) -> Points:
        return lambda: totals.counted_money(kind)

    def all_refused() -> dict[str, int]:
        # With what was told before anything could take it, as in diagnostics().
        counts = accounts.refused.values()
        for reason, count in ({} if pipeline.isolated else idle.refused.values()).items():
            counts[reason] = counts.get(reason, 0) + count
        return counts

    def refused() -> list[tuple[float, Any]]:
        return [(count, {names.REASON: reason}) for reason, count in all_refused().items()]

    def values_refused() -> list[tuple[float, Any]]:
        return [(count, {names.REASON: reason}) for reason, count in accounts.values_refused.values().items()]

    def offered() -> list[tuple[float, Any]]:
        return [(accounts.acknowledged.value + sum(all_refused().values()), {})]

    counters: list[tuple[str, str, str, Points]] = [
        (names.REVENUE, names.UNIT_CURRENCY, "Revenue of successful operations.", money(names.REVENUE)),
        (names.REFUND, names.UNIT_CURRENCY, "Money given back.", money(names.REFUND)),
        (names.COST, names.UNIT_CURRENCY, "What operations cost.", money(names.COST)),
        (names.METRIC_EVENTS, names.UNIT_EVENT, "Business events.", lambda: list(totals.counted_events())),
        (names.METRIC_OFFERED, names.UNIT_EVENT, "Events that were told.", offered),
        (
            names.METRIC_ACKNOWLEDGED,
            names.UNIT_EVENT,
            "Events that were taken on.",
            lambda: [(accounts.acknowledged.value, {})],
        ),
        (names.METRIC_REFUSED, names.UNIT_EVENT, "Events that were not taken on, by reason.", refused),
        (
            names.METRIC_HANDED_OVER,
            names.UNIT_EVENT,
            "Events that a provider took over.",
            lambda: [(accounts.handed_over.value, {})],
        ),
        (names.METRIC_VALUES_REFUSED, names.UNIT_VALUE, "Values dropped or changed, by reason.", values_refused),
    ]
    for name, unit, description, points in counters:
        callback = _callback(pipeline, points)
        meter.create_observable_counter(name, callbacks=[callback], unit=unit, description=description)
    meter.create_observable_gauge(
        names.METRIC_PENDING,
        callbacks=[_callback(pipeline, lambda: [(pipeline.pending, {})])],
        unit=names.UNIT_EVENT,
        description="Events that were taken on and still wait.",
    )


def register_book(meter: Meter, pipeline: Pipeline) -> None:
    """Have it collect what became of a spool's events, and whether there is one: it may have been asked for in vain."""

    def reading(name: str) -> Points:
        def read() -> list[tuple[float, Any]]:
            return [] if pipeline.book is None else [(getattr(pipeline.book.account(), name), {})]

        return read

    counters = [
        (names.METRIC_ADOPTED, "adopted", "Events of processes that are gone, taken over."),
        (names.METRIC_DELIVERED, "delivered", "Events that a collector has verifiably taken."),
        (names.METRIC_REJECTED, "rejected_by_collector", "Events that a collector took the batch without."),
        (names.METRIC_DEAD_LETTERED, "dead_lettered", "Events that a collector refused one by one."),
        (names.METRIC_EXPIRED, "expired", "Events that waited longer than the age that was set."),
    ]
    for name, field, description in counters:
        callback = _callback(pipeline, reading(field))
        meter.create_observable_counter(name, callbacks=[callback], unit=names.UNIT_EVENT, description=description)
    meter.create_observable_gauge(
        names.METRIC_SPOOL_SIZE,
        callbacks=[_callback(pipeline, reading("bytes"))],
        unit=names.UNIT_BYTES,
        description="What lies in the spool's directory.",
    )
    meter.create_observable_gauge(
        names.METRIC_SPOOL_DURABLE,
        callbacks=[_callback(pipeline, lambda: [(0 if pipeline.book is None else 1, {})])],
        unit=names.UNIT_NONE,
        description="Whether events are on disk before they count as acknowledged.",
    )


def _callback(pipeline: Pipeline, points: Points) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def observe(options: CallbackOptions) -> Iterable[Observation]:
        # A forked child inherits the callback; what the parent counted is the parent's to report. A closed pipeline
        # still answers: the last collection of a provider comes after it.
        if pipeline.pid != os.getpid():
            return []
        pipeline.count_now()
        return [Observation(value, attributes) for value, attributes in pipeline.locked(points)]

    return observe
