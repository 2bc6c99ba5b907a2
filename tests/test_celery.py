"""Celery: facts travel with a task, and a task is an operation, in whatever order OpenTelemetry was instrumented."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("celery")
pytest.importorskip("opentelemetry.instrumentation.celery")

import celery
from opentelemetry import baggage, trace
from opentelemetry import context as otel
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode

import bizspan
from bizspan import _entry, names
from bizspan.context import frame
from bizspan.errors import SetupError
from bizspan.integrations import celery as ours
from tests.celery_shop import (
    ORDERS,
    WAIT_S,
    CardDeclined,
    Ends,
    Leaving,
    Tracing,
    charged,
    instrumented,
    ran,
    shop,
    working,
)
from tests.providers import Application, joined, points, reader, take

canvas: Any = celery
SEGMENT, PLAN, ORDER, OUTCOME, REASON = (
    names.SEGMENT, names.PLAN, names.ORDER, names.OPERATION_OUTCOME, names.OPERATION_REASON,
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def root_logger() -> Iterator[None]:
    """A worker sets the root logger's level, and leaves it."""
    level = logging.getLogger().level
    yield
    logging.getLogger().setLevel(level)


@pytest.fixture(autouse=True)
def nothing_raised(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Celery logs what a receiver raises, and goes on: here that is a failure."""
    yield
    raised = [record for record in caplog.get_records("call") if "Signal handler" in record.getMessage()]
    assert [] == raised
    assert frame.get() is None


@pytest.fixture
def memory() -> InMemoryMetricReader:
    """The application's metric reader."""
    return reader()


@pytest.fixture
def application(memory: InMemoryMetricReader) -> Iterator[Application]:
    """An application's providers, joined."""
    with joined(memory, export="otlp") as running:
        Tracing.provider = running.tracer_provider
        yield running


@pytest.fixture(scope="module")
def solo() -> Iterator[Any]:
    """A shop with a worker, which takes seconds to stop."""
    app = shop()
    with working(app):
        yield app
    app.close()


@pytest.fixture(scope="module")
def threaded() -> Iterator[Any]:
    """The same with four threads."""
    app = shop()
    with working(app, "threads", 4):
        yield app
    app.close()


@pytest.fixture
def eager() -> Iterator[Any]:
    """A shop without a worker."""
    app = shop()
    yield app
    app.close()


def told(application: Application, name: str = names.EVENT_OPERATION) -> list[dict[str, Any]]:
    """The attributes of all events of a name, in their order."""
    take()
    return [dict(record.attributes) for record in application.logs() if record.event_name == name]


def spans(application: Application, name: str) -> list[Any]:
    return [span for span in application.spans() if span.name == name]


def operation_span(application: Application, order: str) -> Any:
    """The one span that carries the operation."""
    [span] = [span for span in application.spans() if names.OPERATION_NAME in span.attributes]
    assert ("charge", SpanKind.INTERNAL) if order == "alone" else ("run/charge", SpanKind.CONSUMER) == (
        span.name, span.kind,
    )  # fmt: skip
    return span


# --- facts, operation and span --------------------------------------------------------------------------------------


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


# --- tasks in tasks -------------------------------------------------------------------------------------------------


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


# --- messages -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("serializer", ["json", "pickle", "yaml", "msgpack"])
@pytest.mark.parametrize("protocol", [1, 2])
def test_every_serialiser_and_message_protocol_carries_the_facts(
    solo: Any, application: Application, serializer: str, protocol: int
) -> None:
    """
    They are in the message's headers, not in its body.
    """
    if serializer in ("yaml", "msgpack"):
        pytest.importorskip(serializer)
    sender = shop(task_protocol=protocol)
    sender.conf.task_default_queue = solo.conf.task_default_queue
    with instrumented("alone", application):
        with bizspan.context(segment="gold", customer="ann@example.org", attributes={"colours": ["a", "b"]}):
            bizspan.event("here")
            result: Any = sender.tasks["charge"].apply_async(serializer=serializer)
        ran(solo.AsyncResult(result.id))
    sender.close()
    [here], [there] = told(application, "here"), told(application, "card.charged")

    assert "gold" == there[SEGMENT]
    assert ("a", "b") == there["business.custom.colours"]
    assert here[names.CUSTOMER] == there[names.CUSTOMER]
    assert "ann" not in there[names.CUSTOMER]


def test_facts_travel_and_baggage_does_not_unless_opentelemetry_sends_it(solo: Any, application: Application) -> None:
    """
    Without its instrumentation there is a `traceparent` from us, and no baggage.
    """
    tracer = application.tracer_provider.get_tracer("web")
    with instrumented("alone", application), tracer.start_as_current_span("page"):
        token = otel.attach(baggage.set_baggage("secret", "1"))
        with bizspan.context(segment="gold"):
            headers: Any = solo.tasks["look"].delay().get(timeout=WAIT_S)
        otel.detach(token)

    assert {SEGMENT: "gold"} == headers["bizspan"]
    assert ["bizspan", "traceparent"] == sorted(headers)


@pytest.mark.parametrize(
    "header",
    [
        "text",
        ["a", "list"],
        {"a": {"b": [1] * 1000}},
        {names.MINOR_UNITS_KEYS[names.REVENUE]: 100},
        {names.OPERATION_OUTCOME: "success", names.OPERATION_ID: "secret"},
        {names.CUSTOMER: "secret@example.org"},
        {f"secret{number}": "x" * 100 for number in range(10_000)},
        {names.SEGMENT: "secret" * 100_000},
    ],
)
def test_a_hostile_header_is_counted_and_harms_nothing(
    solo: Any, application: Application, caplog: pytest.LogCaptureFixture, header: object
) -> None:
    """
    Nothing of it is on an event, and nothing is logged of its content; a segment that is too long is cut.
    """
    with caplog.at_level(logging.INFO), instrumented("after", application, tasks={"charge": "charge"}):
        result = solo.tasks["charge"].apply_async(headers={"bizspan": header, "bizspan_running": "x"})
        assert "SUCCESS" == ran(result)
    [operation] = told(application)

    ours_alone = {names.OPERATION_NAME, names.OPERATION_ID, OUTCOME, names.RECORD_UID, names.OPERATION_DURATION}
    assert ours_alone | {SEGMENT} >= {key for key in operation if not key.startswith("bizspan.")}
    assert 256 >= len(str(operation.get(SEGMENT, "")))
    assert "secret" != operation[names.OPERATION_ID]
    assert bizspan.diagnostics().values_refused or SEGMENT in operation
    assert "secret" not in caplog.text


def test_a_sender_that_knows_more_facts_than_the_worker_loses_those_alone(solo: Any, application: Application) -> None:
    """
    And a sender without bizspan is a task without facts; a worker without bizspan runs the task.
    """
    charge = solo.tasks["charge"]
    with instrumented("alone", application):
        ran(charge.apply_async(headers={"bizspan": {"crm.stage": "won", SEGMENT: "gold"}}))
        ran(charge.delay())
    assert "" == charge.apply_async(headers={"bizspan": {SEGMENT: "gold"}}).get(timeout=WAIT_S)

    assert ["gold", None, None] == [event.get(SEGMENT) for event in told(application, "card.charged")]
    assert {"invalid": 1} == bizspan.diagnostics().values_refused


def test_facts_stay_here_where_that_is_asked_for(solo: Any, application: Application) -> None:
    """
    Neither sent, nor taken from those who send them.
    """
    with instrumented("after", application, propagate_facts=False), bizspan.context(segment="gold"):
        charged(solo)
        ran(solo.tasks["charge"].apply_async(headers={"bizspan": {SEGMENT: "gold"}}))

    assert [None, None] == [event.get(SEGMENT) for event in told(application, "card.charged")]


# --- the process ----------------------------------------------------------------------------------------------------


def test_two_applications_and_many_tasks_keep_their_facts_apart(
    solo: Any, threaded: Any, application: Application
) -> None:
    """
    What a task leaves open inside does not reach the next one of its thread.
    """
    with instrumented("after", application):
        results: list[Any] = []
        for number in range(200):
            app = (solo, threaded)[number % 2]
            with bizspan.context(segment=f"s{number}"):
                results.append(app.tasks["charge"].delay("leak", f"o{number}"))
        assert {"SUCCESS"} == {ran(result) for result in results}
    events = told(application, "card.charged")

    assert {(f"s{number}", f"o{number}", f"o{number}") for number in range(200)} == {
        (event[SEGMENT], event[PLAN], event[ORDER]) for event in events
    }
    assert 200 == len(events)


def test_a_resolver_that_fails_costs_its_facts_alone(solo: Any, application: Application) -> None:
    """
    The facts that came with the task are there, and it is counted.
    """

    def broken(request: object) -> dict[str, str]:
        raise RuntimeError

    tasks = {"charge": "charge"}
    with instrumented("after", application, tasks=tasks, resolver=broken), bizspan.context(segment="gold"):
        charged(solo)

    assert [("gold", "success")] == [(event[SEGMENT], event[OUTCOME]) for event in told(application)]
    assert {"extractor_failed": 1} == bizspan.diagnostics().values_refused


def test_while_nothing_is_configured_tasks_run(solo: Any) -> None:
    """
    One check, no header.
    """
    with ours.instrument(tasks={"charge": "charge"}) as running, bizspan.context(segment="gold"):
        assert "" == solo.tasks["charge"].delay().get(timeout=WAIT_S)
        assert {} == running._running


def test_uninstrument_takes_every_hook_back(eager: Any, application: Application) -> None:
    """
    And then it can be switched on again, with other tasks.
    """
    current = ours.instrument(tasks={"charge": "charge"})
    ours.switch_on({"charge": "other"})  # the application's own wins
    with pytest.raises(SetupError, match="switched on"):
        ours.instrument()
    eager.tasks["charge"].apply()
    current.uninstrument()
    eager.tasks["charge"].apply()
    with ours.instrument(tasks={"charge": "again"}):
        eager.tasks["charge"].apply()

    assert ["charge", "again"] == [event[names.OPERATION_NAME] for event in told(application)]
    assert ours._current is None


def test_the_applications_own_call_wins_over_the_files(eager: Any, application: Application) -> None:
    """
    A worker that calls `instrument` starts under `opentelemetry-instrument` too.
    """
    ours.switch_on({"charge": "of.the.file"})
    with ours.instrument(tasks={"charge": "of.the.code"}):
        eager.tasks["charge"].apply()

    assert ["of.the.code"] == [event[names.OPERATION_NAME] for event in told(application)]


@pytest.mark.parametrize(
    "wrong", [{"tasks": ["charge"]}, {"tasks": {"charge": ""}}, {"tasks": {1: "charge"}}, {"resolver": "segment"}]
)
def test_wrong_options_are_refused_at_set_up(wrong: dict[str, Any]) -> None:
    """
    And nothing is switched on.
    """
    with pytest.raises(SetupError):
        ours.instrument(**wrong)

    assert ours._current is None


def test_a_failed_operation_without_instrumentation_has_a_failed_span(solo: Any, application: Application) -> None:
    """
    Its own; it is no longer current when the next task comes.
    """
    with instrumented("alone", application, tasks={"charge": "charge"}):
        charged(solo, "failed")
        charged(solo)
    failed, fine = spans(application, "charge")

    assert (StatusCode.ERROR, StatusCode.UNSET) == (failed.status.status_code, fine.status.status_code)
    assert failed.context.trace_id != fine.context.trace_id
