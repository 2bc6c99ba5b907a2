"""The accounts: every offer ends in exactly one count, at every moment, and is exported."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

import bizspan
from bizspan import Diagnostics, _active
from bizspan._accounts import Accounts
from bizspan._guard import Tally
from bizspan.testing import Capture


def identity(told: Diagnostics) -> bool:
    """The promise, as it stands in product.md."""
    return (
        told.offered == told.acknowledged + sum(told.refused.values())
        and told.acknowledged == told.handed_over + told.pending
        and told.pending >= 0
    )


def test_offered_is_acknowledged_and_refused_by_reason(capbiz: Capture) -> None:
    """
    Counted from outside: five calls, three kept.
    """
    capbiz.allow("invalid", "invalid_name")
    bizspan.event("a")
    bizspan.event("")
    bizspan.event(" ")
    with bizspan.operation("c"):
        bizspan.refund(1, "EUR")

    capbiz.operations()
    told = bizspan.diagnostics()
    assert (5, 3, {"invalid_name": 2}) == (told.offered, told.acknowledged, told.refused)
    assert (3, 0, True) == (told.handed_over, told.pending, told.configured)
    assert identity(told)


def test_the_identity_holds_at_every_moment(capbiz: Capture) -> None:
    """
    Read again and again while four threads tell good and bad events.
    """
    capbiz.allow("invalid", "invalid_name")
    done = threading.Event()
    readings: list[Diagnostics] = []

    def read() -> None:
        while not done.is_set():
            readings.append(bizspan.diagnostics())

    def tell() -> None:
        for number in range(500):
            bizspan.event("a" if number % 5 else "")

    reading = threading.Thread(target=read)
    telling = [threading.Thread(target=tell) for _ in range(4)]
    for thread in (reading, *telling):
        thread.start()
    for thread in telling:
        thread.join()
    done.set()
    reading.join()

    told = bizspan.diagnostics()
    assert [] == [reading for reading in readings if not identity(reading)]
    assert (2000, 1600, {"invalid_name": 400}) == (told.offered, told.acknowledged, told.refused)


def test_the_accounts_are_exported(capbiz: Capture) -> None:
    """
    `bizspan.*` metrics say the same as `diagnostics()`.
    """
    capbiz.allow("invalid", "invalid_name", "iso_3166_1")
    bizspan.event("a", country="Atlantis")
    bizspan.event("b")
    bizspan.event("")

    capbiz.events()
    metrics = {
        name: capbiz.metric(f"bizspan.{name}")
        for name in ("events.offered", "events.acknowledged", "events.handed_over", "events.pending")
    }
    assert {
        "events.offered": 3,
        "events.acknowledged": 2,
        "events.handed_over": 2,
        "events.pending": 0,
    } == metrics
    reasons = [
        {point.attributes["bizspan.reason"]: point.value for point in capbiz.points(f"bizspan.{name}")}
        for name in ("events.refused", "values.refused")
    ]
    assert [{"invalid_name": 1}, {"iso_3166_1": 1, "invalid": 1}] == reasons


def test_a_full_queue_refuses_the_newest_counts_it_and_keeps_the_metrics() -> None:
    """
    What was acknowledged stays; totals do not depend on the queue.
    """
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    with bizspan.configure(export="console", meter_provider=provider, capacity=2) as configured:
        pipeline = _active.current
        assert pipeline is not None
        pipeline._immediate, pipeline._consumer.awake = False, True  # nobody takes the intake
        for _ in range(5):
            bizspan.event("a", revenue=(1, "EUR"))
        told = bizspan.diagnostics()
        assert (2, 3) == (told.acknowledged, told.refused["queue_full"])
        assert identity(told)
        configured.force_flush()
        assert [5.0] == [
            point.value
            for resource in _data(reader).resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == "business.revenue"
            for point in metric.data.data_points
        ]
    provider.shutdown()


def _data(reader: InMemoryMetricReader) -> Any:
    return reader.get_metrics_data()


def test_pending_is_of_one_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A batch that is acknowledged and handed over between two readings does not show as pending.
    """
    accounts = Accounts()

    class Overtaken(Tally):
        """Another thread runs just after the first reading."""

        @property
        def value(self) -> int:
            now = super().value
            if not now:
                for _ in range(50):
                    accounts.acknowledged.add()
                    self.add()
            return now

    monkeypatch.setattr(accounts, "handed_over", Overtaken())

    assert (50, 50) == accounts.flow()
