"""Cumulative and delta, several readers at once, four threads: every reader gets every cent once."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    MetricsData,
    PeriodicExportingMetricReader,
)

import bizspan
from bizspan import _active, _signals
from bizspan.sdk._histograms import WithHistograms
from bizspan.vocabulary import merged
from tests.providers import (
    CUMULATIVE,
    DELTA,
    Application,
    Far,
    amounts,
    built,
    joined,
    metrics_of,
    points,
    reader,
    size,
)

DURATION = "business.operation.duration"
COUNTERS = ("business.revenue", "business.refund", "business.cost", "business.events")


def checkout(units: int = 1) -> None:
    with bizspan.operation("checkout", segment="gold") as op:
        op.revenue(units, "EUR")


def kinds(data: MetricsData | None) -> dict[str, AggregationTemporality]:
    """The temporality of each business metric in a collection."""
    return {
        metric.name: getattr(metric.data, "aggregation_temporality", CUMULATIVE)
        for metric in metrics_of(data)
        if metric.name.startswith("business.")
    }


@pytest.mark.parametrize("wanted", [CUMULATIVE, DELTA])
def test_built_providers_follow_the_exporters_temporality(wanted: AggregationTemporality) -> None:
    """
    Counters and our own histogram leave with the temporality that the exporter prefers.
    """
    far = Far(wanted)
    with built(far) as flush:
        checkout()
        flush()
        sent = kinds(far.exported[0])

    assert {"business.revenue": wanted, "business.events": wanted, DURATION: wanted} == sent


def test_cumulative_points_grow_and_delta_points_add_up() -> None:
    """
    The same four tells, collected after each: 1, 3, 6, 10 in one reader and 1, 2, 3, 4 in the other.
    """
    grows, steps = reader(CUMULATIVE), reader(DELTA)
    read: dict[str, list[tuple[float, float]]] = {"grows": [], "steps": []}
    with joined(grows, steps, export="none"):
        for units in (1, 2, 3, 4):
            checkout(units)
            for name, memory in (("grows", grows), ("steps", steps)):
                data = memory.get_metrics_data()
                (revenue,), (duration,) = points(data, "business.revenue"), points(data, DURATION)
                read[name].append((revenue.value, duration.count))

    assert [(1, 1), (3, 2), (6, 3), (10, 4)] == read["grows"]
    assert [(1, 1), (2, 1), (3, 1), (4, 1)] == read["steps"]


@pytest.mark.parametrize("export", ["none", "otlp"])
def test_readers_of_a_joined_provider_do_not_take_from_each_other(export: str) -> None:
    """
    Two cumulative and two delta readers, collected at different times, all come to the same sums.
    """
    readers = [reader(CUMULATIVE), reader(DELTA), reader(CUMULATIVE), reader(DELTA)]
    with joined(*readers, export=export):
        seen: list[list[tuple[float, int]]] = [[] for _ in readers]
        for step in range(12):
            checkout(step + 1)
            for number, memory in enumerate(readers):
                if step % (number + 1) == 0 or step == 11:
                    data = memory.get_metrics_data()
                    revenue, duration = points(data, "business.revenue"), points(data, DURATION)
                    seen[number].append((sum(p.value for p in revenue), sum(p.count for p in duration)))

    last = [seen[0][-1], seen[2][-1]]
    summed = [(sum(v for v, _ in seen[n]), sum(c for _, c in seen[n])) for n in (1, 3)]
    assert [(78, 12)] * 4 == last + summed


def test_two_readers_of_our_own_buckets_come_to_the_same_counts() -> None:
    """
    One cumulative and one delta exporter on the same totals: each keeps its own base.
    """
    fars = [Far(CUMULATIVE), Far(DELTA)]
    exporters = [WithHistograms(far, lambda: _active.current) for far in fars]
    application = Application(*[PeriodicExportingMetricReader(e, export_interval_millis=60_000) for e in exporters])
    providers = _signals.Providers(*application.providers.values(), own_buckets=True)
    settings = _signals.Settings(declared=merged(()), hasher=None)
    previous = _active.swap(_signals.build(settings, providers))
    try:
        for _ in range(3):
            checkout()
            application.meter_provider.force_flush()
        counts = [[point.count for data in far.exported for point in points(data, DURATION)] for far in fars]
    finally:
        ended = _active.swap(previous)
        assert ended is not None
        ended.close()
        application.shutdown()

    assert [[1, 2, 3], [1, 1, 1]] == counts


def test_a_failed_delta_export_loses_no_histogram_counts() -> None:
    """
    Three exports fail; the next one carries all that was told since the last success.
    """
    far = Far(DELTA)
    with built(far) as flush:
        checkout()
        flush()
        far.fails = True
        for _ in range(3):
            checkout()
            flush()
        far.fails = False
        checkout()
        flush()
        first, second = (points(data, DURATION)[0] for data in far.exported)

    assert [1, 4] == [first.count, second.count]
    assert 4 == sum(second.bucket_counts)
    assert first.time_unix_nano == second.start_time_unix_nano


def test_an_interval_without_operations_has_no_delta_point() -> None:
    """
    A delta histogram is silent when nothing happened, a cumulative one repeats its count.
    """
    for wanted, expected in ((DELTA, [[1], []]), (CUMULATIVE, [[1], [1]])):
        far = Far(wanted)
        with built(far) as flush:
            checkout()
            flush()
            flush()
            counts = [[point.count for point in points(data, DURATION)] for data in far.exported]
        assert expected == counts


@pytest.mark.parametrize("where", ["built", "none", "otlp"])
def test_four_threads_are_exact(where: str, long: bool) -> None:
    """
    Four threads tell while two readers collect: every count and every cent is there once, under both temporalities.
    """
    rounds = 5_000 if long else 500
    steps, grows = reader(DELTA), reader(CUMULATIVE)
    far = Far(DELTA)
    summed: dict[str, float] = dict.fromkeys((*COUNTERS, DURATION), 0)
    done = threading.Event()

    def tell() -> None:
        for _ in range(rounds):
            checkout()
            bizspan.refund("0.01", "EUR", order="o-1", segment="gold")
            bizspan.cost("0.02", "EUR", segment="gold")

    def collect(data: Any) -> None:
        for name in summed:
            summed[name] += sum(size(point) for point in points(data, name))

    def keep_collecting() -> None:
        while not done.is_set():
            grows.get_metrics_data()
            collect(steps.get_metrics_data())

    expected = {
        "business.revenue": 4 * rounds,
        "business.refund": 4 * rounds * 0.01,
        "business.cost": 4 * rounds * 0.02,
        "business.events": 12 * rounds,
        DURATION: 4 * rounds,
    }
    tellers = [threading.Thread(target=tell) for _ in range(4)]
    if where == "built":
        with built(far) as flush:
            for teller in tellers:
                teller.start()
            while any(teller.is_alive() for teller in tellers):
                flush()
            flush()
            for data in far.exported:
                collect(data)
    else:
        with joined(steps, grows, export=where):
            collecting = threading.Thread(target=keep_collecting)
            for thread in (*tellers, collecting):
                thread.start()
            for teller in tellers:
                teller.join()
            done.set()
            collecting.join()
            collect(steps.get_metrics_data())
            last = {name: sum(amounts(grows, name)) for name in summed}
        assert expected == last

    assert expected == {name: round(value, 6) for name, value in summed.items()}
