"""Celery: facts travel with a task, and a task is an operation, in whatever order OpenTelemetry was instrumented."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("celery")
pytest.importorskip("opentelemetry.instrumentation.celery")

from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

import bizspan
from bizspan import names
from tests.celery_fixtures import (
    OUTCOME,
    PLAN,
    REASON,
    SEGMENT,
    application,
    eager,
    memory,
    nothing_raised,
    operation_span,
    root_logger,
    solo,
    spans,
    threaded,
    told,
)
from tests.celery_shop import (
    ORDERS,
    WAIT_S,
    Leaving,
    Tracing,
    charged,
    instrumented,
    ran,
)
from tests.providers import Application, points, reader

__all__ = ["application", "eager", "memory", "nothing_raised", "root_logger", "solo", "threaded"]  # fixtures


@pytest.mark.parametrize("order", ORDERS)
def test_a_task_carries_its_senders_facts_and_is_an_operation_on_the_consumers_span(
    solo: Any, application: Application, memory: InMemoryMetricReader, order: str
) -> None:
    """
    The first task of a process and the second: event, operation, its metric point, its span, and spans inside it.
    Without OpenTelemetry's instrumentation the operation has a span of its own.
    """
    for segment in ("gold", "basic"):
        with instrumented(order, application, tasks={"charge": "charge"}):
            with bizspan.context(segment=segment):
                charged(solo)
            charged(solo)
    operations = told(application)
    carrying = [span.attributes.get(SEGMENT) for span in application.spans() if names.OPERATION_NAME in span.attributes]

    assert ["gold", None, "basic", None] == [event.get(SEGMENT) for event in operations]
    assert ["gold", None, "basic", None] == [event.get(SEGMENT) for event in told(application, "card.charged")]
    assert ["gold", None, "basic", None] == [span.attributes.get(SEGMENT) for span in spans(application, "inside")]
    assert ["gold", None, "basic", None] == carrying
    assert ["success"] * 4 == [event[OUTCOME] for event in operations]
    assert [event[names.OPERATION_ID] for event in operations] == [
        event[names.OPERATION_ID] for event in told(application, "card.charged")
    ]
    assert {"gold": 1, "basic": 1, None: 2} == {
        point.attributes.get(SEGMENT): point.count for point in points(memory.get_metrics_data(), names.METRIC_DURATION)
    }


@pytest.mark.parametrize("order", ORDERS)
def test_the_operation_is_in_the_senders_trace(solo: Any, application: Application, order: str) -> None:
    """
    Below the producer's span where OpenTelemetry makes one, else below the sender's; with links, beside it.
    """
    tracer = application.tracer_provider.get_tracer("web")
    with instrumented(order, application, tasks={"charge": "charge"}), tracer.start_as_current_span("page") as page:
        charged(solo)
    span = operation_span(application, order)
    senders = [page.get_span_context().span_id, *(s.context.span_id for s in spans(application, "apply_async/charge"))]

    if order.endswith("links"):
        assert senders[-1:] == [link.context.span_id for link in span.links]
    else:
        assert page.get_span_context().trace_id == span.context.trace_id
        assert senders[-1] == span.parent.span_id
    assert [span.context.span_id] == [inside.parent.span_id for inside in spans(application, "inside")]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("how", "outcomes"),
    [
        ("", [("success", None)]),
        ("failed", [("failed", None)]),
        ("unpicklable", [("failed", None)]),
        ("rejected", [("rejected", "card_declined")]),
        ("ignored", [("rejected", "ignored")]),
        ("refused", [("rejected", "rejected")]),
        ("retry", [("failed", "retry"), ("success", None)]),
    ],
)
def test_how_a_task_ends_is_its_outcome(
    solo: Any, application: Application, order: str, how: str, outcomes: list[tuple[str, str | None]]
) -> None:
    """
    On the event, on the metric and on the span, also where Celery tells by `task_postrun` alone.
    """
    with instrumented(order, application, tasks={"charge": "charge"}):
        charged(solo, how)

    operations = told(application)
    carrying = [span for span in application.spans() if names.OPERATION_NAME in span.attributes]
    assert sorted(map(str, outcomes)) == sorted(str((event[OUTCOME], event.get(REASON))) for event in operations)
    assert sorted(map(str, outcomes)) == sorted(
        str((span.attributes[OUTCOME], span.attributes.get(REASON))) for span in carrying
    )
    if how == "unpicklable":
        assert ["tests.celery_shop.Unpicklable"] == [event[names.ERROR_TYPE] for event in operations]


@pytest.mark.parametrize("order", ["after", "before"])
def test_a_span_that_is_not_sampled_changes_nothing_but_the_span(solo: Any, order: str) -> None:
    """
    The operation of the very first task too, whose consumer's span it never sees.
    """
    application = Application(reader())
    application.tracer_provider.sampler = ALWAYS_OFF
    Tracing.provider = application.tracer_provider
    with (
        bizspan.configure(hash_key=b"0" * 16, **application.providers),
        instrumented(order, application, tasks={"charge": "charge"}),
    ):
        with bizspan.context(segment="gold"):
            charged(solo)
            charged(solo)
        found = told(application)

    application.shutdown()
    assert [("gold", "success")] * 2 == [(event[SEGMENT], event[OUTCOME]) for event in found]
    assert [] == list(application.spans())


@pytest.mark.parametrize("order", ORDERS)
def test_what_a_task_learns_late_reaches_its_operation_and_the_consumers_span(
    solo: Any, application: Application, order: str
) -> None:
    """
    From `annotate()` and from an inner `context()`.
    """
    with instrumented(order, application, tasks={"charge": "charge"}):
        charged(solo, "late")
    [operation] = told(application)
    span = operation_span(application, order)

    assert ("pro", "DE") == (operation[PLAN], operation[names.COUNTRY])
    assert ("pro", "DE") == (span.attributes[PLAN], span.attributes[names.COUNTRY])


def test_without_an_operation_the_consumers_span_still_carries_the_facts(solo: Any, application: Application) -> None:
    """
    Those that came with the task, those of the resolver, and what the task learns.
    """

    def community(request: Any) -> dict[str, str]:
        return {"community": request.task}

    with (
        instrumented("before", application, resolver=community),
        bizspan.context(segment="gold"),
    ):
        charged(solo, "late")
    [span] = spans(application, "run/charge")

    assert ("gold", "pro", "charge") == tuple(span.attributes[key] for key in (SEGMENT, PLAN, names.COMMUNITY))
    assert [] == told(application)


def test_what_comes_after_the_end_of_a_task_is_counted(solo: Any, application: Application) -> None:
    """
    A thread that a task left behind: events still carry it, the span has ended.
    """
    with instrumented("after", application, tasks={"leave": "leave"}):
        with bizspan.context(segment="gold"):
            ran(solo.tasks["leave"].delay())
        Leaving.go.set()
        assert Leaving.done.wait(WAIT_S)
    [event] = told(application, "left.behind")

    assert ("gold", "pro") == (event[SEGMENT], event[PLAN])
    assert 1 == bizspan.diagnostics().values_refused["late"]
    assert PLAN not in told(application)[0]
