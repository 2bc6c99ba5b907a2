"""capture(): the real pipeline in memory, with a fixed clock and ids, and assertions in business words."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import bizspan
from bizspan import Attribute, Money, Vocabulary, _active
from bizspan.testing import START_NS, Capture, capture


def sell() -> None:
    with bizspan.operation("checkout", segment="gold") as op:
        op.revenue("42.00", "EUR")
    with bizspan.operation("checkout", segment="smb") as op:
        op.reject("card_declined")


def test_assertions_in_business_words(capbiz: Capture) -> None:
    """
    The examples of the issue.
    """
    sell()

    assert capbiz.revenue("EUR", segment="gold") == Money("42.00", "EUR")
    assert 1 == len(capbiz.operations("checkout", outcome="rejected"))
    assert 1 == len(capbiz.operations("checkout", outcome="rejected", reason="card_declined", segment="smb"))
    assert [] == capbiz.operations("checkout", outcome="rejected", segment="gold")
    capbiz.assert_consistent()


def test_two_captures_of_the_same_code_are_equal() -> None:
    """
    Ids and times repeat, so a test may compare whole events.
    """
    captured: list[list[object]] = []
    for _ in range(2):
        with capture() as told:
            sell()
            captured.append([*told.operations(), *(span.to_json() for span in told.spans())])

    assert captured[0] == captured[1]


def test_time_stands_still_until_it_is_told_to_move() -> None:
    """
    `tick()` moves durations and event times.
    """
    with capture() as told:
        with bizspan.operation("checkout"):
            told.tick(1.5)
        bizspan.event("later")

    assert [START_NS + 1_500_000_000] * 2 == [event.time_ns for event in (*told.operations(), *told.events())]
    assert 1.5 == told.points("business.operation.duration")[0].sum


def test_an_invalid_value_fails_the_block() -> None:
    """
    Production only counts it; the text names the value's place, the reason, and the way to expect it.
    """
    with pytest.raises(AssertionError, match=r"country: iso_3166_1\n.*capbiz.allow") as caught, capture():
        bizspan.event("told", country="Atlantis")

    assert "bizspan refused or changed what was told" in str(caught.value)


def test_an_allowed_reason_does_not_fail_the_block() -> None:
    """
    Only the reasons that were named.
    """
    with capture() as told:
        told.allow("iso_3166_1")
        bizspan.event("told", country="Atlantis")

    with pytest.raises(AssertionError, match="traffic: not_allowed"), capture() as told:
        told.allow("iso_3166_1")
        bizspan.event("told", country="Atlantis", traffic="robot")


def test_check_can_be_left_to_the_caller() -> None:
    """
    `check=False` never fails; `problems()` has them all, events that were refused too.
    """
    with capture(check=False) as told:
        bizspan.event("told", country="Atlantis")
        bizspan.event("")

    assert ["country: iso_3166_1", "event name: invalid", "event: invalid_name"] == told.problems()


def test_the_blocks_own_exception_is_not_hidden_by_problems() -> None:
    """
    A failing test shows why it fails.
    """
    with pytest.raises(ValueError, match="mine"), capture():
        bizspan.event("told", country="Atlantis")
        raise ValueError("mine")


def test_strict_fails_on_an_undeclared_fact_too() -> None:
    """
    Without it, that is no problem: tests may use facts that are declared later.
    """
    with capture():
        bizspan.event("told", segmnet="gold")
    with pytest.raises(AssertionError, match="segmnet: undeclared"), capture(strict=True):
        bizspan.event("told", segmnet="gold")


def test_captures_nest_and_the_outer_one_comes_back() -> None:
    """
    Each has what was told inside it.
    """
    before = _active.current
    with capture() as outer:
        bizspan.event("outer")
        with capture() as inner:
            bizspan.event("inner")
        bizspan.event("outer again")

    assert ["outer", "outer again"] == [event.name for event in outer.events()]
    assert ["inner"] == [event.name for event in inner.events()]
    assert before is _active.current


def test_an_unsampled_capture_has_events_and_metrics_and_no_spans() -> None:
    """
    Business numbers do not depend on trace sampling.
    """
    with capture(sampled=False) as told:
        sell()
        told.assert_consistent()

    assert (2, [], 42.0) == (len(told.operations()), told.spans(), told.metric("business.revenue"))


def test_a_vocabulary_of_your_own_applies() -> None:
    """
    One, or several.
    """
    shop = Vocabulary("shop", [Attribute(name="shelf", dimension=True)])
    crm = Vocabulary("crm", [Attribute(name="stage")])

    with capture(vocabulary=[shop, crm], strict=True) as told:
        bizspan.event("moved", shelf="a", stage="won")

    assert 1 == told.metric("business.events", shelf="a")


def test_an_unknown_gauge_is_named(capbiz: Capture) -> None:
    """
    With the ones that are declared.
    """
    with pytest.raises(KeyError, match="No gauge is called 'stockk'; declared are"):
        capbiz.gauge("stockk")


# --- assert_consistent --------------------------------------------------------------------------------------


def _lose_a_span(told: Capture) -> None:
    told._memory._spans.clear()
    told._memory.tracer_provider.get_tracer("bizspan").start_span("stray").end()


def _change_a_span(told: Capture) -> None:
    told.spans()[0]._attributes = {**told.spans()[0].attributes, "business.plan": "changed"}


def _lose_a_metric_point(told: Capture) -> None:
    told._take()
    told._pipeline.totals.money["business.revenue"].points.clear()


def _count_twice(told: Capture) -> None:
    told._take()
    for point in told._pipeline.totals.events.points.values():
        point.value += 1


def _lose_an_event(told: Capture) -> None:
    told._take()
    told._pipeline.accounts.acknowledged.add()


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (_lose_a_span, "has an event and no span"),
        (_change_a_span, "business.plan is 'changed' on the span, None on the event"),
        (_lose_a_metric_point, r"business.revenue .*: 4200 from events, 0 in the metric"),
        (_count_twice, r"business.events .*: 1 from events, 2 in the metric"),
        (_lose_an_event, "3 events were acknowledged, 2 handed over, 2 arrived"),
    ],
)
def test_assert_consistent_tells_what_disagrees(damage: object, text: str) -> None:
    """
    Span, metric, event and accounts are compared from outside: damage in any of them shows.
    """
    assert callable(damage)
    with capture() as told:
        sell()
        told.assert_consistent()
        damage(told)
        with pytest.raises(AssertionError, match=text):
            told.assert_consistent()


# --- beside other set-up ------------------------------------------------------------------------------------


@pytest.fixture
def application() -> Iterator[tuple[TracerProvider, InMemorySpanExporter, InMemoryMetricReader]]:
    """A process that is configured on providers of its own."""
    spans, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracer = TracerProvider()
    tracer.add_span_processor(SimpleSpanProcessor(spans))
    meter = MeterProvider([reader], shutdown_on_exit=False)
    with bizspan.configure(export="none", tracer_provider=tracer, meter_provider=meter):
        yield tracer, spans, reader
    tracer.shutdown()
    meter.shutdown()


def test_beside_other_set_up_nothing_of_a_capture_leaks_out(
    application: tuple[TracerProvider, InMemorySpanExporter, InMemoryMetricReader],
) -> None:
    """
    The application's providers see what is told outside of the capture, before and after.
    """
    tracer, spans, _ = application
    with bizspan.operation("before"):
        pass
    with capture() as told:
        with tracer.get_tracer("other").start_as_current_span("other"), bizspan.operation("captured"):
            pass
        told.assert_consistent()
    with bizspan.operation("after"):
        pass

    assert ["before", "other", "after"] == [span.name for span in spans.get_finished_spans()]
    assert ["captured"] == [span.name for span in told.spans()]
    assert told.spans()[0].parent is not None


def test_configure_inside_a_capture_is_checked_and_sends_nothing(capbiz: Capture) -> None:
    """
    A test may import the application's set-up module; its vocabulary applies from then on.
    """
    shop = Vocabulary("shop", [Attribute(name="shelf", dimension=True)])

    configured = bizspan.configure(service_name="shop", vocabulary=shop)
    bizspan.event("moved", shelf="a")

    assert 1 == capbiz.metric("business.events", shelf="a")
    assert configured.force_flush()
    configured.shutdown()
    bizspan.event("after")
    assert 1 == len(capbiz.events("after"))


def test_a_disabled_sdk_does_not_disable_a_capture(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Test runs often set OTEL_SDK_DISABLED so that nothing leaves them.
    """
    import os

    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")

    with capture() as told:
        sell()
        told.assert_consistent()

    assert (2, 2, "true") == (len(told.operations()), len(told.spans()), os.environ["OTEL_SDK_DISABLED"])
