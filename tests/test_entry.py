"""The scope of a request or task: facts asked once and lazily, and what is learned late."""

from __future__ import annotations

import contextvars
import gc
import threading
import weakref
from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags

import bizspan
from bizspan import _entry, _guard, _streaming
from bizspan._entry import Entry
from bizspan.context import frame
from tests.providers import Application, joined, points, reader, take

SEGMENT, COUNTRY, PLAN = "business.customer.segment", "geo.country.iso_code", "business.plan"


@pytest.fixture
def memory() -> InMemoryMetricReader:
    """The application's metric reader."""
    return reader()


@pytest.fixture
def application(memory: InMemoryMetricReader) -> Iterator[Application]:
    """An application's providers, joined."""
    with joined(memory, export="otlp") as running:
        yield running


class Asked:
    """Facts of a request, and how often they were asked for."""

    def __init__(self, **facts: str) -> None:
        self.facts = facts
        self.times = 0

    def __call__(self) -> dict[str, str]:
        self.times += 1
        return self.facts


def begun(request: Asked | None = None, identity: Asked | None = None, ready: list[bool] | None = None) -> Entry:
    """A request that has begun here."""
    entry = _entry.begin(request, identity, lambda: ready is None or bool(ready))
    assert entry is not None
    return entry


def server_span(application: Application, name: str = "GET /") -> trace.Span:
    """The span that OpenTelemetry's instrumentation of a server opens."""
    return application.tracer_provider.get_tracer("server").start_span(name, kind=SpanKind.SERVER)


def exported(application: Application, name: str) -> dict[str, object]:
    """The attributes of an ended span."""
    [span] = [span for span in application.spans() if span.name == name]
    return dict(span.attributes)


def told(application: Application, name: str) -> dict[str, object]:
    """The attributes of an event."""
    take()
    [record] = [record for record in application.logs() if record.event_name == name]
    return dict(record.attributes)


def test_facts_are_asked_once_and_only_when_they_are_needed(application: Application) -> None:
    """
    Neither the beginning nor an operation around the whole asks; the first event does, and nothing after it.
    """
    asked = Asked(segment="gold")
    entry = begun(asked)
    entry.operate("checkout", {})
    before = asked.times
    bizspan.event("seen")
    bizspan.event("seen.again")
    with bizspan.context(plan="pro"):
        bizspan.event("inside")
    entry.end()
    entry.leave()

    assert (0, 1) == (before, asked.times)
    assert ["gold"] * 4 == [
        attributes[SEGMENT]
        for attributes in (
            told(application, "seen"),
            told(application, "seen.again"),
            told(application, "inside"),
            told(application, "business.operation"),
        )
    ]


def test_who_acts_is_not_asked_before_it_can_be_known(application: Application) -> None:
    """
    A span before authentication carries the request's facts alone; what comes after it carries both.
    """
    request, identity, ready = Asked(country="DE"), Asked(segment="gold"), list[bool]()
    entry = begun(request, identity, ready=ready)
    bizspan.event("before")
    with bizspan.context(channel="web"):
        bizspan.event("inside.before")
        ready.append(True)
        bizspan.event("inside.after")
    entry.end()
    entry.leave()

    assert (1, 1) == (request.times, identity.times)
    assert [None, None, "gold"] == [
        told(application, name).get(SEGMENT) for name in ("before", "inside.before", "inside.after")
    ]
    assert "DE" == told(application, "before")[COUNTRY]


def test_the_entry_span_carries_what_was_never_needed_by_anything_else(application: Application) -> None:
    """
    At the latest when the request is complete.
    """
    span = server_span(application)
    with trace.use_span(span):
        entry = begun(Asked(country="DE"), Asked(segment="gold"), ready=[])
        entry.complete()
        entry.leave()
    span.end()

    assert {COUNTRY: "DE", SEGMENT: "gold"} == exported(application, "GET /")


def test_what_is_learned_inside_reaches_the_entry_span_and_what_comes_later(
    application: Application, memory: InMemoryMetricReader
) -> None:
    """
    `annotate` deep inside, and an inner context: entry span, request operation and its points, later spans and events.
    """
    span = server_span(application)
    with trace.use_span(span):
        entry = begun(Asked(country="DE"))
        entry.operate("checkout", {})
        with bizspan.operation("reserve"), bizspan.context(region="DE-BY"):
            bizspan.annotate(plan="pro")
        with application.tracer_provider.get_tracer("db").start_as_current_span("later"):
            pass
        bizspan.event("later.event")
        entry.end()
        entry.leave()
    span.end()

    learned = {PLAN: "pro", "geo.region.iso_code": "DE-BY", COUNTRY: "DE"}
    take()
    [operation] = [r for r in application.logs() if r.attributes.get("business.operation.name") == "checkout"]
    assert learned.items() <= exported(application, "GET /").items()
    assert learned.items() <= exported(application, "later").items()
    assert learned.items() <= told(application, "later.event").items()
    assert learned.items() <= dict(operation.attributes).items()
    [point] = [
        p
        for p in points(memory.get_metrics_data(), "business.operation.duration")
        if p.attributes["business.operation.name"] == "checkout"
    ]
    assert learned.items() <= dict(point.attributes).items()


def test_annotate_wins_and_an_inner_context_only_adds(application: Application) -> None:
    """
    A batch's items don't overwrite what the request says of itself.
    """
    span = server_span(application)
    with trace.use_span(span):
        entry = begun(Asked(country="DE", segment="smb"))
        with bizspan.context(country="FR"):
            bizspan.event("item")
        bizspan.annotate(segment="gold")
        entry.end()
        entry.leave()
    span.end()

    assert {COUNTRY: "DE", SEGMENT: "gold"} == exported(application, "GET /")
    assert "FR" == told(application, "item")[COUNTRY]


def test_scopes_that_are_open_learn_what_the_request_learns(application: Application) -> None:
    """
    An annotation inside two contexts holds in the outer one, once the inner one ended.
    """
    entry = begun(Asked())
    with bizspan.context(channel="web"):
        bizspan.event("before")
        with bizspan.context(country="DE"):
            bizspan.annotate(plan="pro")
        bizspan.event("after")
    entry.end()
    entry.leave()

    assert "pro" == told(application, "after")[PLAN]


def test_facts_after_the_entry_spans_end_are_counted_late(application: Application) -> None:
    """
    They reach what comes after them, the request's own operation among it.
    """
    span = server_span(application)
    with trace.use_span(span):
        entry = begun(Asked())
        entry.operate("export", {})
    span.end()
    bizspan.annotate(plan="pro")
    bizspan.event("after")
    entry.end()
    entry.leave()

    assert PLAN not in exported(application, "GET /")
    assert "pro" == told(application, "after")[PLAN]
    assert "pro" == told(application, "business.operation")[PLAN]
    assert 1 == bizspan.diagnostics().values_refused["late"]


def test_a_span_that_was_never_sampled_is_no_late_one() -> None:
    """
    There was nothing to be late for.
    """
    with joined(reader(), export="otlp") as application:
        unsampled = TracerProvider(sampler=ALWAYS_OFF).get_tracer("server").start_span("GET /")
        with trace.use_span(unsampled):
            entry = begun(Asked())
            bizspan.annotate(plan="pro")
            assert _entry.entry_of(unsampled) is entry
            entry.end()
            entry.leave()
        take()
        assert {} == bizspan.diagnostics().values_refused
        assert [] == application.logs()


def test_a_server_span_that_begins_inside_is_the_entry_span(application: Application) -> None:
    """
    OpenTelemetry's middleware may run inside ours.
    """
    entry = begun(Asked(country="DE"))
    span = server_span(application)
    with trace.use_span(span):
        bizspan.annotate(plan="pro")
    span.end()
    entry.end()
    entry.leave()

    assert {COUNTRY: "DE", PLAN: "pro"} == exported(application, "GET /")


def test_a_span_of_another_process_is_not_the_entry_span(application: Application) -> None:
    """
    The caller's span, as a traceparent header tells it, can't be written to.
    """
    remote = trace.SpanContext(1, 1, is_remote=True, trace_flags=trace.TraceFlags(1))
    with trace.use_span(trace.NonRecordingSpan(remote)):
        entry = begun(Asked())
        assert entry.span is None
        entry.leave()


def test_the_request_operation_writes_on_the_entry_span(application: Application) -> None:
    """
    No span of its own: the server's has the name, the id and the outcome.
    """
    span = server_span(application)
    with trace.use_span(span):
        entry = begun()
        entry.operate("checkout", {"channel": "web"})
        assert entry.operation is not None
        entry.operation.revenue("42.00", "EUR")
        entry.end()
        entry.leave()
    span.end()

    attributes = exported(application, "GET /")
    assert ("checkout", "success", 4200, "web") == tuple(
        attributes[f"business.{key}"]
        for key in ("operation.name", "operation.outcome", "revenue.minor_units", "channel")
    )
    assert [] == [span for span in application.spans() if span.name == "checkout"]
    assert attributes["business.operation.id"] == told(application, "business.operation")["business.operation.id"]


def test_leaving_clears_what_the_application_left_open(application: Application) -> None:
    """
    A worker's next request does not start inside an operation that nobody closed.
    """
    entry = begun()
    bizspan.context(segment="gold").__enter__()
    bizspan.operation("never.closed").__enter__()
    entry.end()
    entry.leave()

    assert frame.get() is None


def test_nobody_waits_for_the_applications_function(application: Application) -> None:
    """
    A resolver that itself waits for another thread of the request, which records something, is no deadlock.
    """

    def resolver() -> dict[str, str]:
        context = contextvars.copy_context()
        thread = threading.Thread(target=lambda: context.run(bizspan.event, "in.the.pool"))
        thread.start()
        thread.join(5)
        assert not thread.is_alive()
        return {"segment": "gold"}

    entry = _entry.begin(Asked(country="DE"), resolver)
    assert entry is not None
    bizspan.event("after")
    entry.end()
    entry.leave()

    assert ("DE", None) == tuple(told(application, "in.the.pool").get(key) for key in (COUNTRY, SEGMENT))
    assert "gold" == told(application, "after")[SEGMENT]


def test_the_request_says_more_of_itself_than_what_is_around_it(application: Application) -> None:
    """
    On its own operation too, whether that has a span of its own or not.
    """
    for name in ("on.the.entry.span", "on.its.own"):
        span = server_span(application, name) if name == "on.the.entry.span" else trace.INVALID_SPAN
        with bizspan.context(segment="around", channel="web"), trace.use_span(span, end_on_exit=True):
            entry = begun(Asked(segment="gold"))
            entry.operate(name, {})
            bizspan.event(f"{name}.inside")
            entry.end()
            entry.leave()
        take()
        [operation] = [r for r in application.logs() if r.attributes.get("business.operation.name") == name]
        assert ("gold", "web") == (operation.attributes[SEGMENT], operation.attributes["business.channel"])
        assert "gold" == told(application, f"{name}.inside")[SEGMENT]
        assert "gold" == exported(application, name)[SEGMENT]


def test_a_span_around_the_server_is_nobodys_entry_span(application: Application) -> None:
    """
    A program's own span around its server would get the facts of every request.
    """
    with application.tracer_provider.get_tracer("app").start_as_current_span("main"):
        entry = begun(Asked(segment="gold"))
        entry.operate("checkout", {})
        with trace.use_span(server_span(application), end_on_exit=True):
            bizspan.event("inside")
        entry.end()
        entry.leave()

    assert {} == exported(application, "main")
    assert "gold" == exported(application, "checkout")[SEGMENT]


def test_a_span_that_ended_is_no_requests_entry_span(application: Application) -> None:
    """
    Somebody may have left it current on a worker's thread.
    """
    span = server_span(application)
    span.end()
    with trace.use_span(span):
        entry = begun(Asked(segment="gold"))
        entry.operate("checkout", {})
        entry.end()
        entry.leave()

    assert "gold" == exported(application, "checkout")[SEGMENT]


def test_a_source_that_raises_is_counted_and_never_asked_again(application: Application) -> None:
    """
    What the request itself says stays.
    """
    times = list[int]()

    def broken() -> dict[str, str]:
        times.append(1)
        raise LookupError

    entry = _entry.begin(Asked(country="DE"), broken)
    assert entry is not None
    bizspan.event("one")
    bizspan.event("two")
    entry.end()
    entry.leave()

    assert [1] == times
    assert "DE" == told(application, "two")[COUNTRY]
    assert {"extractor_failed": 1} == bizspan.diagnostics().values_refused


def test_a_source_may_itself_be_recorded(application: Application) -> None:
    """
    A resolver that reads a database makes spans; they carry what is known by then, and nothing is asked twice.
    """

    def resolver() -> dict[str, str]:
        bizspan.event("query")
        return {"segment": "gold"}

    entry = _entry.begin(Asked(country="DE"), resolver)
    assert entry is not None
    with bizspan.context(channel="web"):
        bizspan.event("one")
        bizspan.event("two")
    entry.end()
    entry.leave()

    assert ("DE", None) == tuple(told(application, "query").get(key) for key in (COUNTRY, SEGMENT))
    assert ["gold"] * 2 == [told(application, name)[SEGMENT] for name in ("one", "two")]


def test_a_log_handler_asks_nobody(application: Application) -> None:
    """
    It holds its lock, and the application's function may wait for a thread that logs: it carries what is known.
    """
    request, identity = Asked(country="DE"), Asked(segment="gold")
    entry = begun(request, identity)
    logger = application.logger_provider.get_logger("app")
    logger.emit(body="early")
    asked = (request.times, identity.times)
    bizspan.event("seen")
    logger.emit(body="later")
    entry.end()
    entry.leave()

    early, later = (r for r in application.logs() if r.body in ("early", "later"))
    assert (0, 0) == asked
    assert SEGMENT not in (early.attributes or {})
    assert ("DE", "gold") == (later.attributes[COUNTRY], later.attributes[SEGMENT])


def test_a_streamed_body_runs_in_the_scope_of_its_request(application: Application) -> None:
    """
    Each step does, after the scope was left, and its end is told once.
    """
    entry = begun(Asked(segment="gold"))

    def body() -> Iterator[bytes]:
        for number in range(2):
            bizspan.event(f"part.{number}")
            yield b"x"

    ends = list[BaseException | None]()
    parts = _streaming.Steps(entry, body(), ends.append)
    entry.leave()
    received = list[bytes]()
    for part in parts:
        received.append(part)
        bizspan.event(f"outside.{len(received)}")

    assert [b"x", b"x"] == received
    assert [None] == ends
    assert ["gold", None] == [told(application, name).get(SEGMENT) for name in ("part.1", "outside.1")]


def test_what_a_body_holds_open_over_a_step_is_current_in_the_next_and_nowhere_else(application: Application) -> None:
    """
    A span, an operation, a context: in the steps of the body, and not on the thread that serves others between them.
    """
    tracer = application.tracer_provider.get_tracer("app")
    entry = begun(Asked(segment="gold"))
    entry.operate("export", {})

    def body() -> Iterator[str]:
        with tracer.start_as_current_span("held"), bizspan.context(plan="pro"), bizspan.operation("part"):
            yield "first"
            bizspan.event("second.step")
            yield "second"

    parts = _streaming.Steps(entry, body(), lambda error: entry.end())
    entry.leave()
    between = [(part, frame.get(), trace.get_current_span()) for part in parts]

    assert [(part, None, trace.INVALID_SPAN) for part in ("first", "second")] == between
    assert (None, trace.INVALID_SPAN) == (frame.get(), trace.get_current_span())
    take()
    ids = {
        r.attributes["business.operation.name"]: r.attributes["business.operation.id"]
        for r in application.logs()
        if r.event_name == "business.operation"
    }
    second = told(application, "second.step")
    assert (ids["part"], "pro", "gold") == (second["business.operation.id"], second[PLAN], second[SEGMENT])
    by_name = {span.name: span for span in application.spans()}
    assert by_name["held"].context.span_id == by_name["part"].parent.span_id


def test_an_entry_goes_with_its_request(application: Application) -> None:
    """
    Neither a span nor a request is kept alive by the other.
    """
    with trace.use_span(server_span(application), end_on_exit=True) as span:
        entry: Entry | None = begun(Asked())
        assert entry is not None
        assert _entry.entry_of(span) is entry
        gone = weakref.ref(entry), weakref.ref(span)
        entry.end()
        entry.leave()
        del entry, span
    application._spans.clear()
    gc.collect()

    assert (None, None) == (gone[0](), gone[1]())


def test_a_span_that_takes_no_attributes_is_an_entry_span_all_the_same(production_guard: None) -> None:
    """
    Only who asks for the request by that span does not find it.
    """

    class Fixed(NonRecordingSpan):
        def __init__(self) -> None:
            object.__setattr__(self, "_context", SpanContext(1, 2, False, TraceFlags(0)))

        def __setattr__(self, name: str, value: object) -> None:
            raise AttributeError("secret-in-the-text")

    before = _guard.swallowed_errors.values().get("remembering a request by its span", 0)
    fixed = Fixed()
    with joined(reader(), export="otlp"), trace.use_span(fixed):
        entry = begun(Asked(segment="gold"))
        assert entry is not None
        entry.leave()

        assert (fixed, None) == (entry.span, _entry.entry_of(fixed))
    assert before + 1 == _guard.swallowed_errors.values()["remembering a request by its span"]


def test_a_request_that_was_an_operation_goes_without_the_garbage_collector(application: Application) -> None:
    """
    Its operation keeps neither its span nor itself alive; a cycle would be work for the collector on every request.
    """
    gc.collect()
    gc.disable()
    try:
        with trace.use_span(server_span(application), end_on_exit=True):
            entry: Entry | None = begun(Asked(segment="gold"), Asked(plan="pro"))
            assert entry is not None
            gone = weakref.ref(entry)
            entry.operate("checkout", {})
            bizspan.event("paid")
            entry.end()
            entry.leave()
            del entry
        application._spans.clear()

        assert gone() is None
    finally:
        gc.enable()


def test_nothing_begins_while_nothing_is_configured() -> None:
    """
    A request costs one check.
    """
    assert _entry.begin(Asked()) is None
