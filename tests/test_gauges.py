"""Gauges: pulled at their own interval, off the export thread, cached, bounded in time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

import bizspan
from bizspan import Money, SetupError, gauges
from bizspan.gauges import Gauge
from bizspan.testing import Capture


@pytest.fixture(autouse=True)
def own_gauges(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test declares its own."""
    monkeypatch.setattr(gauges, "_gauges", {})
    yield
    for declared in gauges.declared_gauges().values():
        declared.retire()


def test_the_example_yields_a_number_with_its_plan(capbiz: Capture) -> None:
    """
    The gauge of product.md, pulled when the test asks.
    """

    @bizspan.gauge("subscriptions.active", every_s=60, unit="{subscription}")
    def active_subscriptions() -> Iterator[object]:
        yield 1042, {"plan": "pro"}
        yield 17, {"plan": "team"}

    assert 1042.0 == capbiz.gauge("subscriptions.active", plan="pro")
    assert 17.0 == capbiz.gauge("subscriptions.active", plan="team")
    assert capbiz.gauge("subscriptions.active", plan="free") is None
    assert 2 == len(list(active_subscriptions()))


@pytest.mark.parametrize(
    ("gives", "expected"),
    [
        (lambda: 7, [(7, None)]),
        (lambda: 7.5, [(7.5, None)]),
        (lambda: Money("9.90", "EUR"), [(9.9, "EUR")]),
        (lambda: (Money("9.90", "EUR"), {"plan": "pro"}), [(9.9, "EUR")]),
        (lambda: [Money("9.90", "EUR"), Money(5, "JPY")], [(9.9, "EUR"), (5, "JPY")]),
        (lambda: iter([1]), [(1, None)]),
        (list, []),
    ],
)
def test_a_gauge_gives_a_number_or_money_or_several(
    capbiz: Capture, gives: Callable[[], object], expected: list[tuple[float, str | None]]
) -> None:
    """
    Currencies are attributes, and stay apart.
    """
    bizspan.gauge("pipeline")(gives)
    capbiz.gauge("pipeline")

    assert expected == [
        (point.value, point.attributes.get("business.value.currency")) for point in capbiz.points("pipeline")
    ]


@pytest.mark.parametrize("wrong", [None, True, "7", float("nan"), object()])
def test_a_value_that_is_no_number_is_dropped_and_counted(capbiz: Capture, wrong: Any) -> None:
    """
    The other values stay.
    """
    capbiz.allow("type")

    bizspan.gauge("pipeline")(lambda: [wrong, (3, {"plan": "pro"})])

    assert 3.0 == capbiz.gauge("pipeline", plan="pro")
    assert 1 == len(capbiz.points("pipeline"))


def test_only_dimensions_go_onto_a_gauge(capbiz: Capture) -> None:
    """
    An order's id would make a point per order.
    """
    capbiz.allow("no_dimension")
    bizspan.gauge("pipeline")(lambda: (3, {"plan": "pro", "order": "o-1"}))
    capbiz.gauge("pipeline")

    assert [{"business.plan": "pro"}] == [dict(point.attributes) for point in capbiz.points("pipeline")]


def test_a_gauge_that_raises_keeps_its_last_values_and_is_counted(
    capbiz: Capture, caplog: pytest.LogCaptureFixture
) -> None:
    """
    The system of record is away for a moment; nothing raises into the collection.
    """
    capbiz.allow("gauge_failed")
    answers = iter([5])
    bizspan.gauge("pipeline")(lambda: next(answers))

    assert [5.0, 5.0] == [capbiz.gauge("pipeline"), capbiz.gauge("pipeline")]
    assert {"gauge_failed": 1} == bizspan.diagnostics().values_refused
    assert ["bizspan: pipeline was refused (gauge_failed). It raised StopIteration."] == [
        record.message for record in caplog.records
    ]


class Hands:
    """A monotonic clock that a test moves by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Hands:
    hands = Hands()
    monkeypatch.setattr(gauges, "time", hands)
    return hands


def test_a_pull_that_took_too_long_is_dropped_and_counted(capbiz: Capture, hands: Hands) -> None:
    """
    A value of half an hour ago is no current value.
    """
    capbiz.allow("gauge_timeout")

    @bizspan.gauge("pipeline", timeout_s=2)
    def slow() -> int:
        hands.now += 2.5
        return 5

    assert capbiz.gauge("pipeline") is None
    assert {"gauge_timeout": 1} == bizspan.diagnostics().values_refused


def test_values_older_than_three_intervals_are_no_longer_given(capbiz: Capture, hands: Hands) -> None:
    """
    A gauge whose source hangs goes silent rather than lie.
    """
    bizspan.gauge("pipeline", every_s=60, timeout_s=10)(lambda: 5)
    capbiz.gauge("pipeline")

    hands.now += 190
    still = len(capbiz.points("pipeline"))
    hands.now += 1

    assert (1, 0) == (still, len(capbiz.points("pipeline")))


# --- in production: threads ---------------------------------------------------------------------------------


@pytest.fixture
def reader() -> Iterator[InMemoryMetricReader]:
    """A configured process with a reader that collects when it is asked."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    with bizspan.configure(export="none", meter_provider=provider):
        yield reader
    provider.shutdown()


def values(reader: InMemoryMetricReader, name: str) -> list[float]:
    data: Any = reader.get_metrics_data()
    if data is None:
        return []
    return [
        point.value
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == name
        for point in metric.data.data_points
    ]


def test_a_gauge_is_pulled_in_its_own_thread_at_its_own_interval(reader: InMemoryMetricReader) -> None:
    """
    The collection only reads what the last pull gave; it never calls the function.
    """
    callers: list[str] = []
    thrice = threading.Event()

    @bizspan.gauge("stock", every_s=0.1)
    def stock() -> int:
        callers.append(threading.current_thread().name)
        if len(callers) == 3:
            thrice.set()
        return len(callers)

    assert thrice.wait(10)
    gauges.declared_gauges()["stock"].retire()
    pulled = len(callers)
    for _ in range(5):
        reader.collect()

    assert ({"bizspan-gauge-stock"}, pulled) == (set(callers), len(callers))


def test_a_gauge_that_hangs_holds_up_neither_the_collection_nor_other_gauges(
    reader: InMemoryMetricReader,
) -> None:
    """
    Each has a thread of its own.
    """
    release, hanging, other = threading.Event(), threading.Event(), threading.Event()

    @bizspan.gauge("hangs", every_s=0.1)
    def hangs() -> int:
        hanging.set()
        release.wait(30)
        return 1

    @bizspan.gauge("works", every_s=0.1)
    def works() -> Iterator[int]:
        yield 7
        other.set()

    assert hanging.wait(10)
    assert other.wait(10)
    gauges.declared_gauges()["works"].pull(_served("works"))
    try:
        assert ([], [7]) == (values(reader, "hangs"), values(reader, "works"))
    finally:
        release.set()


def test_a_gauge_that_never_returns_is_counted_when_it_is_overdue(reader: InMemoryMetricReader) -> None:
    """
    Once, at a collection: the thread that hangs can't tell it any more.
    """
    release, hanging = threading.Event(), threading.Event()

    @bizspan.gauge("hangs", every_s=0.1, timeout_s=0.001)
    def hangs() -> int:
        hanging.set()
        release.wait(30)
        return 1

    assert hanging.wait(10)
    declared = gauges.declared_gauges()["hangs"]
    overdue = threading.Event()
    try:
        while declared._due_at is not None and not overdue.wait(0.002):
            assert [] == values(reader, "hangs")
        values(reader, "hangs")
        counted = bizspan.diagnostics().values_refused
    finally:
        release.set()
    assert {"gauge_timeout": 1} == counted


def _served(name: str) -> Any:
    return gauges.declared_gauges()[name]._served


def test_a_gauge_declared_before_configure_is_served_from_then_on() -> None:
    """
    Modules are imported before the program is set up.
    """
    pulled = threading.Event()

    @bizspan.gauge("early", every_s=0.1)
    def early() -> int:
        pulled.set()
        return 5

    assert not pulled.is_set()
    provider = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False)
    with bizspan.configure(export="none", meter_provider=provider):
        assert pulled.wait(10)
    provider.shutdown()


def test_declaring_a_name_again_replaces_the_gauge(reader: InMemoryMetricReader) -> None:
    """
    Reloading a module leaves no second thread, and one value.
    """
    bizspan.gauge("stock", every_s=3600)(lambda: 1)
    first: Gauge = gauges.declared_gauges()["stock"]
    second_pulled = threading.Event()

    @bizspan.gauge("stock", every_s=3600)
    def second() -> Iterator[int]:
        yield 2
        second_pulled.set()

    assert second_pulled.wait(10)
    gauges.declared_gauges()["stock"].pull(_served("stock"))
    assert (True, [2]) == (first._stop.is_set(), values(reader, "stock"))


# --- declarations -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": " stock"},
        {"name": None},
        {"name": "stock", "every_s": 0.01},
        {"name": "stock", "every_s": True},
        {"name": "stock", "every_s": "60"},
        {"name": "stock", "timeout_s": 0},
    ],
)
def test_a_wrong_declaration_is_a_set_up_error(wrong: dict[str, Any]) -> None:
    """
    Told where it is written.
    """
    with pytest.raises(SetupError, match="needs"):
        bizspan.gauge(**wrong)


def test_a_gauge_decorates_functions_only() -> None:
    """
    A number would never change.
    """
    wrong: Any = 5

    with pytest.raises(SetupError, match="decorates a function without arguments"):
        bizspan.gauge("stock")(wrong)
