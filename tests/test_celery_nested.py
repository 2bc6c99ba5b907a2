"""Celery: tasks that are sent or run by other tasks."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("celery")
pytest.importorskip("opentelemetry.instrumentation.celery")

from opentelemetry import trace
from opentelemetry.trace import SpanKind

import bizspan
from bizspan import _entry, names
from tests.celery_fixtures import (
    OUTCOME,
    PLAN,
    REASON,
    SEGMENT,
    application,
    canvas,
    eager,
    memory,
    nothing_raised,
    root_logger,
    solo,
    spans,
    threaded,
    told,
)
from tests.celery_shop import (
    ORDERS,
    CardDeclined,
    Ends,
    instrumented,
    ran,
)
from tests.providers import Application

__all__ = ["application", "eager", "memory", "nothing_raised", "root_logger", "solo", "threaded"]  # fixtures


@pytest.mark.parametrize("pool", ["solo", "threaded"])
def test_facts_follow_tasks_that_tasks_send(
    request: pytest.FixtureRequest, application: Application, pool: str
) -> None:
    """
    By name, in a chain, a group and a chord, with links; what one of them learns goes on to those that it sends.
    """
    app: Any = request.getfixturevalue(pool)
    step = app.tasks["step"]
    with instrumented("after", application), bizspan.context(segment="gold"):
        ran(app.tasks["sender"].delay())
        ran(canvas.chain(step.si(plan="first"), step.s(), step.s()).apply_async())
        canvas.group(step.si(), step.si()).apply_async()
        ran(canvas.chord([step.si(), step.si()], step.s()).apply_async())
        ran(step.apply_async(link=step.s()))
        Ends.wait(number=12)
    events = told(application, "step.taken")

    assert {"gold"} == {event[SEGMENT] for event in events}
    assert [("web", "pro")] == [
        (event["business.channel"], event[PLAN]) for event in events if "business.channel" in event
    ]
    assert 3 == sum(event.get(PLAN) == "first" for event in events)


def test_tasks_that_run_at_once_are_operations_inside_what_calls_them(eager: Any, application: Application) -> None:
    """
    `apply()` in a request: the request's facts are on the task, the task's stay off the request and its span.
    """
    with instrumented("after", application, tasks={"charge": "charge"}):
        entry = _entry.begin(lambda: {"segment": "gold"})
        assert entry is not None
        with application.tracer_provider.get_tracer("web").start_as_current_span("GET /", kind=SpanKind.SERVER):
            entry.operate("checkout", {})
            eager.tasks["charge"].apply(("late",))
            entry.end()
        entry.leave()
    charge, checkout = told(application)
    [request], [consumer] = spans(application, "GET /"), spans(application, "run/charge")

    assert ["charge", "checkout"] == [event[names.OPERATION_NAME] for event in (charge, checkout)]
    assert ["charge", "checkout"] == [span.attributes[names.OPERATION_NAME] for span in (consumer, request)]
    assert [("gold", "pro"), ("gold", None)] == [(event[SEGMENT], event.get(PLAN)) for event in (charge, checkout)]
    assert PLAN not in request.attributes


@pytest.mark.parametrize("order", ["after", "before"])
def test_a_task_inside_a_request_without_a_span_does_not_lend_it_its_own(
    eager: Any, application: Application, order: str
) -> None:
    """
    Where the web framework is not instrumented: the request's operation has a span of its own.
    """
    with instrumented(order, application, tasks={"charge": "charge"}):
        entry = _entry.begin(lambda: {"segment": "gold"})
        assert entry is not None
        eager.tasks["charge"].apply()
        entry.operate("checkout", {})
        entry.end()
        entry.leave()

    assert ["run/charge", "checkout"] == [
        span.name for span in application.spans() if names.OPERATION_NAME in span.attributes
    ]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("how", "outcome"),
    [("failed", ("failed", None)), ("rejected", ("rejected", "card_declined")), ("exit", ("cancelled", "system_exit"))],
)
def test_a_task_that_runs_at_once_and_raises_is_over(
    eager: Any, application: Application, order: str, how: str, outcome: tuple[str, str | None]
) -> None:
    """
    Celery sends no signal but `task_postrun` when it hands the exception to the caller.
    """
    eager.conf.task_always_eager = eager.conf.task_eager_propagates = True
    with instrumented(order, application, tasks={"charge": "charge"}):
        with pytest.raises((RuntimeError, CardDeclined, SystemExit)):
            eager.tasks["charge"].delay(how)
        outside = trace.get_current_span().get_span_context()
    [operation] = told(application)

    assert outcome == (operation[OUTCOME], operation.get(REASON))
    assert not outside.is_valid


@pytest.mark.parametrize("order", ORDERS)
def test_a_task_that_retries_at_once_runs_inside_itself_under_one_id(
    eager: Any, application: Application, order: str
) -> None:
    """
    Two attempts, two operations, and nothing is left open.
    """
    eager.conf.task_always_eager = True
    with instrumented(order, application, tasks={"charge": "charge"}) as running, bizspan.context(segment="gold"):
        eager.tasks["charge"].delay("retry")
        assert {} == running._running
    found = told(application)

    assert [("failed", "retry"), ("success", None)] == [(event[OUTCOME], event.get(REASON)) for event in found]
    assert ["gold", "gold"] == [event[SEGMENT] for event in found]


def test_a_task_that_is_called_is_a_function(eager: Any, application: Application) -> None:
    """
    Its event is told in the caller's scope, and there is no operation.
    """
    with instrumented("after", application, tasks={"charge": "charge"}), bizspan.context(segment="gold"):
        eager.tasks["charge"]()

    assert ["gold"] == [event[SEGMENT] for event in told(application, "card.charged")]
    assert [] == told(application)
