"""Durations that go into a histogram of the SDK's without its checks: the same points as through `record`."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import pytest
from opentelemetry.sdk.metrics import AlwaysOnExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics import Histogram as HistogramInstrument
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.metrics.view import View

from bizspan import _guard
from bizspan.sdk import _replay
from bizspan.sdk._replay import Replay

Told = dict[str, Any]

GOLD: Told = {"segment": "gold", "country": "DE"}
FREE: Told = {"segment": "free"}
VALUES = (0.004, 0.3, 2.0, 70.0)

needs_sets = pytest.mark.skipif(_replay._hashed is None, reason="an older SDK: durations go through `record`")


@contextmanager
def pair(reader: InMemoryMetricReader, **options: Any) -> Generator[tuple[Callable[..., None], Replay]]:
    """A histogram's own `record`, and a replay into another one of the same provider."""
    provider = MeterProvider([reader], shutdown_on_exit=False, **options)
    meter = provider.get_meter("test")
    yield meter.create_histogram("theirs").record, Replay(meter.create_histogram("ours"))
    provider.shutdown()


def points(reader: InMemoryMetricReader) -> dict[str, list[tuple[object, ...]]]:
    """What was collected of each histogram, without its times."""
    data: Any = reader.get_metrics_data()
    metrics = [] if data is None else [m for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics]
    return {
        metric.name: [
            (dict(p.attributes), p.count, p.sum, p.bucket_counts, p.min, p.max, len(p.exemplars))
            for p in metric.data.data_points
        ]
        for metric in metrics
    }


def tell(theirs: Callable[..., None], ours: Replay) -> None:
    """The same measurements to both."""
    for value in VALUES:
        for attributes in (GOLD, FREE):
            theirs(value, attributes)
            ours(value, attributes)


def reader(temporality: AggregationTemporality = AggregationTemporality.CUMULATIVE) -> InMemoryMetricReader:
    """A reader with this temporality for histograms."""
    return InMemoryMetricReader({HistogramInstrument: temporality})


@pytest.mark.parametrize("temporality", [AggregationTemporality.CUMULATIVE, AggregationTemporality.DELTA])
def test_it_counts_as_the_histogram_itself(temporality: AggregationTemporality) -> None:
    """
    Count, sum, buckets and extremes of each set are equal, in this interval and in the next.
    """
    memory = reader(temporality)
    with pair(memory) as (theirs, ours):
        for _ in range(2):
            tell(theirs, ours)
            found = points(memory)

            assert 2 == len(found["theirs"])
            assert found["theirs"] == found["ours"]


@needs_sets
def test_a_set_is_looked_up_once() -> None:
    """
    From the second measurement on, nothing is checked or hashed again.
    """
    with pair(reader()) as (_, ours):
        ours(1.0, GOLD)
        before = ours._places[id(GOLD)]
        ours(1.0, GOLD)

        assert ours._places[id(GOLD)] is before


def test_a_view_that_takes_attributes_away_is_kept() -> None:
    """
    Then measurements go the SDK's own way.
    """
    memory = reader()
    with pair(memory, views=[View(instrument_name="*", attribute_keys={"country"})]) as (theirs, ours):
        tell(theirs, ours)
        found = points(memory)

        assert [{"country": "DE"}, {}] == [point[0] for point in found["ours"]]
        assert found["theirs"] == found["ours"]


def test_exemplars_by_a_rule_of_the_applications_are_taken() -> None:
    """
    A provider that takes an exemplar of each measurement gets them.
    """
    memory = reader()
    with pair(memory, exemplar_filter=AlwaysOnExemplarFilter()) as (theirs, ours):
        tell(theirs, ours)
        found = points(memory)

        assert all(point[-1] for point in found["ours"])
        assert found["theirs"] == found["ours"]


@needs_sets
def test_a_set_that_the_sdk_let_go_of_is_begun_again() -> None:
    """
    No measurement goes where nobody collects it any more.
    """
    memory = reader()
    with pair(memory) as (_, ours):
        for _ in range(2):
            ours(1.0, GOLD)
        for place in ours._places[id(GOLD)][1]:
            place.sets.clear()  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue]
        ours(1.0, GOLD)
        ours(1.0, GOLD)

        [point] = points(memory)["ours"]
        assert 2 == point[1]


@pytest.mark.skipif(not hasattr(MeterProvider, "add_metric_reader"), reason="an older SDK")
def test_a_reader_that_comes_later_gets_what_comes_later() -> None:
    """
    A provider that takes readers while it runs loses nothing for them.
    """
    first, second = reader(), reader()
    provider = MeterProvider([first], shutdown_on_exit=False)
    ours = Replay(provider.get_meter("test").create_histogram("ours"))
    ours(1.0, GOLD)
    ours(1.0, GOLD)
    provider.add_metric_reader(second)
    ours(1.0, GOLD)
    counts = points(first)["ours"][0][1], points(second)["ours"][0][1]
    provider.shutdown()

    assert (3, 1) == counts


@needs_sets
@pytest.mark.parametrize("value", [-1.0, math.inf, math.nan])
def test_what_is_no_measurement_is_left_to_the_sdk(value: float) -> None:
    """
    A value that is negative or not finite goes where the SDK's own go, whether the set is known or not.
    """
    memory = reader()
    with pair(memory) as (theirs, ours):
        tell(theirs, ours)
        new: Told = {"segment": "new"}
        for attributes in (GOLD, new):
            theirs(value, attributes)
            ours(value, attributes)
        found = points(memory)

        assert repr(found["theirs"]) == repr(found["ours"])


@needs_sets
def test_a_set_that_is_known_is_counted_when_another_cannot_be() -> None:
    """
    Once sets are no longer looked for, all measurements go the SDK's own way.
    """
    memory = reader()
    with pair(memory) as (theirs, ours):
        tell(theirs, ours)
        ours._consumer._sdk_config.exemplar_filter = AlwaysOnExemplarFilter()
        theirs(1.0, {"segment": "new"})
        ours(1.0, {"segment": "new"})
        tell(theirs, ours)
        found = points(memory)

        assert found["theirs"] == found["ours"]
        assert 3 == len(found["ours"])


@needs_sets
@pytest.mark.parametrize("broken", ["_are_there", "_Clean"])
def test_a_measurement_whose_replay_fails_is_recorded(
    broken: str, monkeypatch: pytest.MonkeyPatch, production_guard: None
) -> None:
    """
    Whatever is another one inside the SDK: it is counted, and the measurement is there once.
    """

    def fails(*_: object) -> None:
        raise RuntimeError("secret-in-the-text")

    memory = reader()
    with pair(memory) as (theirs, ours):
        tell(theirs, ours)
        with monkeypatch.context() as patch:
            patch.setattr(Replay if hasattr(Replay, broken) else _replay, broken, fails)
            before = _guard.swallowed_errors.values().get("replaying a measurement", 0)
            theirs(1.0, GOLD)
            ours(1.0, GOLD)
        tell(theirs, ours)
        found = points(memory)

    assert found["theirs"] == found["ours"]
    assert before + 1 == _guard.swallowed_errors.values()["replaying a measurement"]


def test_another_sdk_gets_measurements_through_its_record() -> None:
    """
    Nothing is known from inside of a histogram of somebody else's.
    """

    class Foreign:
        def record(self, value: float, attributes: Told) -> None:
            told.append((value, attributes))

    told: list[tuple[float, Told]] = []
    ours = Replay(Foreign())
    ours(1.0, GOLD)
    ours(2.0, GOLD)

    assert [(1.0, GOLD), (2.0, GOLD)] == told


@needs_sets
def test_a_search_that_fails_is_counted_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, production_guard: None
) -> None:
    """
    The measurement is there all the same.
    """

    def fails(attributes: Told) -> object:
        raise RuntimeError("secret-in-the-text")

    monkeypatch.setattr(_replay, "_hashed", fails)
    before = _guard.swallowed_errors.values().get("looking for a histogram's sets", 0)
    memory = reader()
    with pair(memory) as (theirs, ours):
        tell(theirs, ours)
        found = points(memory)

    assert found["theirs"] == found["ours"]
    assert before + 1 == _guard.swallowed_errors.values()["looking for a histogram's sets"]


def test_an_sdk_without_what_is_private_gets_each_measurement_its_own_way() -> None:
    """
    It imports, and records: what a quicker way needs may be elsewhere in another version.
    """
    program = """
import sys
import opentelemetry.sdk.metrics
sys.modules["opentelemetry.sdk.metrics._internal.measurement"] = None
from bizspan.sdk._replay import Replay
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
reader = InMemoryMetricReader()
replay = Replay(MeterProvider([reader]).get_meter("shop").create_histogram("duration"))
for _ in range(3):
    replay(1.0, {"a": "b"})
[point] = reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics[0].data.data_points
print(point.count)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)

    assert ("3\n", 0) == (ended.stdout, ended.returncode), ended.stderr
