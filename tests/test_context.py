"""Ambient facts: scopes, what wins over what, and facts that are learned late."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import pytest
from opentelemetry import trace

import bizspan
from bizspan import SetupError
from bizspan.context import frame
from bizspan.testing import Capture

SEGMENT = "business.customer.segment"
PLAN = "business.plan"


def test_facts_are_on_every_operation_event_and_metric_point_inside(capbiz: Capture) -> None:
    """
    Told once, carried by all three signals of whatever is recorded in the block, and by nothing after it.
    """
    with bizspan.context(segment="gold", country="DE"):
        with bizspan.operation("checkout") as op:
            op.revenue(5, "EUR")
        bizspan.event("newsletter.signup")
        bizspan.refund(1, "EUR")
        bizspan.cost(1, "EUR")
        bizspan.feedback("nps", 9)
    bizspan.event("after")

    told = [capbiz.operations(segment="gold", country="DE"), capbiz.events(segment="gold", country="DE")]
    assert [1, 4] == [len(events) for events in told]
    assert SEGMENT not in capbiz.events("after")[0].attributes
    for metric in ("operation.duration", "revenue", "refund", "cost", "feedback.score"):
        assert ["gold"] == [point.attributes[SEGMENT] for point in capbiz.points(f"business.{metric}")]
    assert 5 == capbiz.metric("business.events", segment="gold", country="DE")
    capbiz.assert_consistent()


def test_the_inner_scope_wins_and_the_outer_one_comes_back(capbiz: Capture) -> None:
    """
    Nested scopes add up; the same fact told inside replaces the outer one, within the block.
    """
    with bizspan.context(segment="outer", plan="pro"):
        with bizspan.context(segment="inner"):
            bizspan.event("in")
        bizspan.event("out")

    (inner,), (outer,) = capbiz.events("in"), capbiz.events("out")
    assert [("inner", "pro"), ("outer", "pro")] == [
        (event.attributes[SEGMENT], event.attributes[PLAN]) for event in (inner, outer)
    ]


def test_none_is_not_told_and_does_not_erase(capbiz: Capture) -> None:
    """
    An inner None leaves the outer fact in force.
    """
    with bizspan.context(segment="outer"), bizspan.context(segment=None):
        bizspan.event("in", segment=None)

    assert 1 == len(capbiz.events("in", segment="outer"))


def test_context_decorates_functions_and_coroutines(capbiz: Capture) -> None:
    """
    Each call is a scope of its own, recursion included.
    """

    @bizspan.context(segment="gold")
    def plain(left: int) -> int:
        bizspan.event("plain")
        return left if left == 0 else plain(left - 1)

    @bizspan.context(segment="silver")
    async def waiting() -> str:
        await asyncio.sleep(0)
        bizspan.event("waiting")
        return "done"

    async def main() -> list[str]:
        return [*await asyncio.gather(waiting(), waiting())]

    assert (0, ["done", "done"]) == (plain(2), asyncio.run(main()))
    assert 3 == len(capbiz.events("plain", segment="gold"))
    assert 2 == len(capbiz.events("waiting", segment="silver"))
    assert frame.get() is None


def test_a_generator_is_refused_with_the_reason() -> None:
    """
    Its scope would leak into the caller between two values.
    """

    def numbers() -> Iterator[int]:
        yield 1

    with pytest.raises(SetupError, match=r"numbers is a generator; wrap the loop that uses it in context\(\)"):
        bizspan.context(segment="gold")(numbers)


def test_an_exception_goes_through_and_the_scope_ends(capbiz: Capture) -> None:
    """
    The same exception, and no scope left.
    """
    error = ValueError("business")

    with pytest.raises(ValueError, match="business") as caught, bizspan.context(segment="gold"):
        raise error

    assert (error, None) == (caught.value, frame.get())


def test_a_scope_that_is_open_can_t_be_entered_again() -> None:
    """
    Two scopes need two calls of context().
    """
    scope = bizspan.context(segment="gold")

    with scope, pytest.raises(SetupError, match="already open; make a new one"):
        scope.__enter__()

    with scope:
        assert frame.get() is not None
    assert frame.get() is None


# --- what wins ----------------------------------------------------------------------------------------------


def test_precedence_from_the_run_down_to_the_outer_context(capbiz: Capture) -> None:
    """
    Told in the run > at the call > annotate > inner > outer context: each wins where no stronger one told.
    """
    with (
        bizspan.context(segment="outer", plan="outer", channel="outer", feature="outer", category="outer"),
        bizspan.context(segment="inner", plan="inner", channel="inner", feature="inner"),
        bizspan.operation("checkout", segment="call", plan="call") as op,
    ):
        bizspan.annotate(segment="annotate", plan="annotate", channel="annotate")
        op.annotate(segment="run")

    (checkout,) = capbiz.operations("checkout")
    (point,) = capbiz.points("business.operation.duration")
    expected = {
        SEGMENT: "run",
        PLAN: "call",
        "business.channel": "annotate",
        "business.feature": "inner",
        "business.product.category": "outer",
    }
    assert expected == {key: checkout.attributes[key] for key in expected}
    assert expected == {key: point.attributes[key] for key in expected}
    capbiz.assert_consistent()


def test_the_run_wins_whatever_the_order_of_telling(capbiz: Capture) -> None:
    """
    A later `bizspan.annotate()` does not overrule what the run was told.
    """
    with bizspan.operation("checkout") as op:
        op.annotate(segment="run")
        bizspan.annotate(segment="annotate")

    assert 1 == len(capbiz.operations("checkout", segment="run"))


def test_precedence_of_a_decorated_function(capbiz: Capture) -> None:
    """
    Extractors, of arguments and of the result, count as told at the call.
    """

    @bizspan.operation("checkout", segment=lambda result: result, plan=lambda cart: cart)
    def checkout(cart: str) -> str:
        bizspan.annotate(segment="annotate", plan="annotate", channel="annotate")
        return "result"

    with bizspan.context(segment="context", plan="context", channel="context"):
        checkout("argument")

    assert 1 == len(capbiz.operations("checkout", segment="result", plan="argument", channel="annotate"))


# --- learned late -------------------------------------------------------------------------------------------


def test_annotate_reaches_the_innermost_open_operation(capbiz: Capture) -> None:
    """
    Also through a scope in it, and never one that has ended.
    """
    with bizspan.operation("outer"):
        with bizspan.operation("inner"), bizspan.context(channel="web"):
            bizspan.annotate(plan="inner")
        bizspan.annotate(plan="outer")

    assert ["inner", "outer"] == [run.attributes[PLAN] for run in capbiz.operations()]


def test_annotate_outside_of_operations_applies_to_the_rest_of_the_scope(capbiz: Capture) -> None:
    """
    What came before it stays as it was.
    """
    with bizspan.context(segment="gold"):
        bizspan.event("before")
        bizspan.annotate(plan="pro")
        bizspan.event("after")
        with bizspan.context(channel="web"):
            bizspan.event("nested")

    assert [False, True, True] == [PLAN in event.attributes for event in capbiz.events()]


def test_annotate_without_either_reaches_the_current_span(capbiz: Capture) -> None:
    """
    The span of another library gets the fact under its key.
    """
    tracer = capbiz._memory.tracer_provider.get_tracer("other")

    with tracer.start_as_current_span("request"):
        bizspan.annotate(plan="pro")

    assert "pro" == capbiz.spans("request")[0].attributes[PLAN]


def test_annotate_with_nowhere_to_go_is_counted(capbiz: Capture) -> None:
    """
    It never raises, and says what to do instead.
    """
    capbiz.allow("no_target")

    bizspan.annotate(plan="pro")

    assert {"no_target": 1} == bizspan.diagnostics().values_refused


def test_facts_are_on_spans_and_log_records_of_other_libraries(capbiz: Capture) -> None:
    """
    What such a span says itself wins.
    """
    from opentelemetry._logs import SeverityNumber

    tracer = capbiz._memory.tracer_provider.get_tracer("other")
    logger = capbiz._memory.logger_provider.get_logger("other")

    with (
        bizspan.context(segment="gold", plan="pro"),
        tracer.start_as_current_span("db", attributes={PLAN: "own"}),
    ):
        logger.emit(severity_number=SeverityNumber.INFO, body="query", attributes={PLAN: "own"})
    with tracer.start_as_current_span("after"):
        pass

    (span,) = capbiz.spans("db")
    (record,) = [record for record in capbiz._memory.logs() if record.body == "query"]
    assert ("gold", "own") == (span.attributes[SEGMENT], span.attributes[PLAN])
    assert ("gold", "own") == (record.attributes[SEGMENT], record.attributes[PLAN])
    assert SEGMENT not in capbiz.spans("after")[0].attributes


# --- attributes= --------------------------------------------------------------------------------------------


class Endless(Mapping[str, str]):
    def __getitem__(self, key: str) -> str:
        return "gold"

    def __iter__(self) -> Iterator[str]:
        while True:
            yield "segment"

    def __len__(self) -> int:
        return 1


class RaisingItems(dict[str, str]):
    def items(self) -> Any:
        raise RuntimeError("items")

    def __bool__(self) -> bool:
        raise RuntimeError("bool")


@pytest.mark.parametrize("mapping", [{"segment": "gold"}, MappingProxyType({"segment": "gold"}), Endless()])
def test_attributes_takes_any_mapping(capbiz: Capture, mapping: Mapping[str, str]) -> None:
    """
    For names that clash with an option; a mapping that never ends is cut.
    """
    with bizspan.context(attributes=mapping):
        bizspan.event("in scope")
    bizspan.event("of event", attributes=mapping)
    with bizspan.operation("checkout", attributes=mapping):
        pass

    assert 2 == len(capbiz.events(segment="gold"))
    assert 1 == len(capbiz.operations(segment="gold"))


@pytest.mark.parametrize("wrong", [RaisingItems(a="b"), 3, "segment", [("segment", "gold")], object()])
def test_attributes_that_is_no_readable_mapping_is_dropped_and_counted(capbiz: Capture, wrong: Any) -> None:
    """
    Row 30: nothing raises, the events are kept.
    """
    capbiz.allow("type", "no_target")

    with bizspan.context(attributes=wrong):
        bizspan.event("told", attributes=wrong)
        bizspan.annotate(attributes=wrong)
    with bizspan.operation("checkout", attributes=wrong) as op:
        op.annotate(attributes=wrong)

    assert (1, 1) == (len(capbiz.events("told")), len(capbiz.operations("checkout")))
    assert 5 == bizspan.diagnostics().values_refused["type"]


def test_the_global_span_is_untouched_by_scopes() -> None:
    """
    A scope is bizspan's own; OpenTelemetry's context is not moved.
    """
    before = trace.get_current_span()

    with bizspan.context(segment="gold"):
        assert before is trace.get_current_span()
