"""Stamping: spans and log records of other libraries, made inside a context, carry its facts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry._logs import SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import bizspan
from _collector import Receiver
from bizspan.sdk._providers import stamp_logs, stamp_spans
from tests.child import run
from tests.providers import Application, joined, log_exporter, reader, take

SEGMENT = "business.customer.segment"
COUNTRY = "geo.country.iso_code"


@pytest.fixture
def application() -> Iterator[Application]:
    """An application's providers, joined."""
    with joined(reader(), export="otlp") as running:
        yield running


def span(application: Application, name: str, scope: str = "requests", **attributes: Any) -> Any:
    """A span of another library, as it was exported."""
    with application.tracer_provider.get_tracer(scope).start_as_current_span(name, attributes=attributes):
        pass
    return application.spans()[-1]


def log(application: Application, scope: str = "app.checkout", **attributes: Any) -> Any:
    """A log record of another library, as it was exported."""
    logger = application.logger_provider.get_logger(scope)
    logger.emit(severity_number=SeverityNumber.INFO, body="hello", attributes=attributes or None)
    return application.logs()[-1]


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (SpanLimits(max_span_attribute_length=3), {SEGMENT: "gol", COUNTRY: "DE"}),
        (SpanLimits(max_span_attributes=1), {COUNTRY: "DE"}),
        (SpanLimits(max_span_attributes=2), {SEGMENT: "gold", COUNTRY: "DE"}),
    ],
)
def test_limits_of_the_application_hold_for_what_is_added(
    application: Application, limits: SpanLimits, expected: dict[str, str]
) -> None:
    """
    The SDK cuts and drops as it does with attributes of its own.
    """
    exporter = InMemorySpanExporter()
    provider = TracerProvider(span_limits=limits)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    stamp_spans(provider)
    with bizspan.context(segment="gold", country="DE"), provider.get_tracer("app").start_as_current_span("GET"):
        pass
    provider.shutdown()

    assert [expected] == [dict(found.attributes or {}) for found in exporter.get_finished_spans()]


def test_spans_and_log_records_inside_carry_the_facts(application: Application) -> None:
    """
    Inside they do, before and after they don't.
    """
    before = span(application, "GET"), log(application)
    with bizspan.context(segment="gold", country="DE"):
        inside = span(application, "GET"), log(application)
    after = span(application, "GET"), log(application)

    assert [{}, {}] == [dict(record.attributes or {}) for record in before]
    assert [{SEGMENT: "gold", COUNTRY: "DE"}] * 2 == [dict(record.attributes) for record in inside]
    assert [{}, {}] == [dict(record.attributes or {}) for record in after]


def test_what_a_span_or_record_says_itself_wins(application: Application) -> None:
    """
    An explicit attribute of the same key is kept; the other facts are added.
    """
    with bizspan.context(segment="gold", country="DE"):
        records = span(application, "GET", **{SEGMENT: "own"}), log(application, **{SEGMENT: "own"})

    assert [{SEGMENT: "own", COUNTRY: "DE"}] * 2 == [dict(record.attributes) for record in records]


def test_the_inner_scope_wins_and_the_outer_comes_back(application: Application) -> None:
    """
    Nested scopes: facts add up, the same fact is the innermost one's.
    """
    seen: list[dict[str, Any]] = []
    with bizspan.context(segment="gold", country="DE"):
        with bizspan.context(segment="silver"):
            with bizspan.context(country="FR"):
                seen.append(dict(span(application, "a").attributes))
            seen.append(dict(log(application).attributes))
        seen.append(dict(span(application, "c").attributes))

    assert [("silver", "FR"), ("silver", "DE"), ("gold", "DE")] == [(s[SEGMENT], s[COUNTRY]) for s in seen]


def test_facts_learned_late_reach_what_is_made_after(application: Application) -> None:
    """
    annotate() outside of an operation adds to the scope.
    """
    with bizspan.context(segment="gold"):
        early = span(application, "early")
        bizspan.annotate(plan="pro")
        late = span(application, "late")

    assert "business.plan" not in early.attributes
    assert "pro" == late.attributes["business.plan"]


def test_an_operation_inside_a_scope_does_not_hide_it(application: Application) -> None:
    """
    A library's span inside an operation carries the context's facts, not the operation's own.
    """
    with bizspan.context(segment="gold"), bizspan.operation("checkout", order="o-1"):
        client = span(application, "POST")

    assert {SEGMENT: "gold"} == dict(client.attributes)


def test_bizspans_own_records_are_not_stamped_twice(application: Application) -> None:
    """
    Where the call says another value than the context, span and event both keep the call's.
    """
    with bizspan.context(segment="gold", country="DE"), bizspan.operation("checkout", segment="own") as op:
        op.annotate(country="FR")
    take()

    (own,), (event,) = application.spans(), application.logs()
    assert [("own", "FR")] * 2 == [(r.attributes[SEGMENT], r.attributes[COUNTRY]) for r in (own, event)]


def test_an_event_is_stamped_with_its_own_scope_only(application: Application) -> None:
    """
    Events are handed over later, on another thread: the facts then in force are not theirs.
    """
    bizspan.event("plain")
    with bizspan.context(segment="gold"):
        take()

    (event,) = application.logs()
    assert SEGMENT not in event.attributes


def test_personal_facts_are_stamped_as_pseudonyms(application: Application) -> None:
    """
    The raw value reaches no other library's span.
    """
    with bizspan.context(customer="c-17"):
        client = span(application, "GET")

    assert str(client.attributes["enduser.pseudo.id"]).startswith("k1:")
    assert "c-17" not in str(dict(client.attributes))


@pytest.mark.parametrize("scope", ["opentelemetry.instrumentation.flask", "opentelemetry.instrumentation.celery", ""])
def test_instrumentation_scopes_are_stamped(application: Application, scope: str) -> None:
    """
    Server, client and task spans of OpenTelemetry's own instrumentations carry the facts too.
    """
    with bizspan.context(segment="gold"):
        assert "gold" == span(application, "GET /", scope).attributes[SEGMENT]


def test_tasks_keep_their_own_facts(application: Application) -> None:
    """
    Two tasks side by side, each in a scope of its own.
    """

    async def request(segment: str) -> None:
        with bizspan.context(segment=segment):
            await asyncio.sleep(0)
            with application.tracer_provider.get_tracer("http").start_as_current_span(segment):
                await asyncio.sleep(0)

    async def both() -> None:
        await asyncio.gather(request("gold"), request("silver"))

    asyncio.run(both())
    assert {"gold": "gold", "silver": "silver"} == {s.name: s.attributes[SEGMENT] for s in application.spans()}


def test_a_record_that_is_exported_at_once_is_stamped_before() -> None:
    """
    A SimpleLogRecordProcessor that was added before configure(): what leaves the process carries the facts.
    """
    with Receiver() as receiver:
        ended = run(
            """
    from opentelemetry import _logs
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
    provider = LoggerProvider()
    provider.add_log_record_processor(SimpleLogRecordProcessor(OTLPLogExporter()))
    _logs.set_logger_provider(provider)
    import bizspan
    bizspan.configure()
    with bizspan.context(segment="gold"):
        provider.get_logger("app").emit(body="hello", event_name="app.event")
            """,
            receiver,
        )
        (event,) = receiver.events("app.event")

    assert (0, "") == (ended.code, ended.err)
    assert {SEGMENT: "gold"} == event["attributes"]


def test_a_provider_is_stamped_once_however_often_it_is_joined() -> None:
    """
    configure(), shutdown() and configure() again add one processor each, and none works after shutdown().
    """
    application = Application(reader())
    try:
        for _ in range(3):
            with bizspan.configure(**application.providers), bizspan.context(segment="gold"):
                assert SEGMENT in span(application, "inside").attributes
            with bizspan.context(segment="gold"):
                assert SEGMENT not in (span(application, "outside").attributes or {})
        processors = application.tracer_provider._active_span_processor._span_processors
        assert 2 == len(processors)
    finally:
        application.shutdown()


def test_stamps_come_before_processors_that_were_there() -> None:
    """
    The stamp is the first of the log processors, so that even a processor that exports at once sees it.
    """
    exported = log_exporter()
    spans = InMemorySpanExporter()
    logs, traces = LoggerProvider(shutdown_on_exit=False), TracerProvider(shutdown_on_exit=False)
    logs.add_log_record_processor(SimpleLogRecordProcessor(exported))
    traces.add_span_processor(SimpleSpanProcessor(spans))
    first, second = stamp_logs(logs), stamp_spans(traces)
    try:
        assert first is logs._multi_log_record_processor._log_record_processors[0]
        assert second is traces._active_span_processor._span_processors[-1]
        assert first is stamp_logs(logs)
    finally:
        logs.shutdown()
        traces.shutdown()
