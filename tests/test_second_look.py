"""What a second look at the core found, each once broken: races, retries, wrappers, late facts, accounts."""

from __future__ import annotations

import asyncio
import contextvars
import functools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

import bizspan
from bizspan import Attribute, Money, SetupError, Vocabulary, _guard
from bizspan.testing import Capture
from tests.child import run


def test_a_failed_attempt_and_the_success_of_its_retry_are_two_facts(capbiz: Capture) -> None:
    """
    One idempotency key; the failure does not hide the revenue, neither in the book nor in the metric.
    """
    for outcome in ("failed", "rejected", "success", "success"):
        with bizspan.operation("pay", idempotency_key="p-1") as op:
            if outcome == "failed":
                op.fail("timeout")
            elif outcome == "rejected":
                op.reject("declined")
            else:
                op.revenue("100.00", "EUR")

    uids = [operation.uid for operation in capbiz.operations("pay")]
    assert (3, uids[2]) == (len(set(uids)), uids[3])
    assert (Money("100", "EUR"), 100.0) == (capbiz.revenue("EUR"), capbiz.metric("business.revenue"))
    capbiz.assert_consistent()


def test_two_questions_under_one_key_are_two_answers(capbiz: Capture) -> None:
    """
    A survey's answers share its id, each question is a fact of its own.
    """
    for _ in range(2):
        bizspan.feedback("nps", 9, idempotency_key="r-1")
        bizspan.feedback("csat", 4, idempotency_key="r-1")

    assert 2 == len({event.uid for event in capbiz.events("business.feedback")})
    assert 2.0 == capbiz.metric("business.feedback.score")


def test_a_second_currency_is_not_touched_by_the_first_ones_consumer() -> None:
    """
    The thread that takes records races the one that tells them, 3,000 times: no event is lost, none is changed.
    """
    told = run("""
        import sys, threading
        import bizspan
        from bizspan import _active
        from opentelemetry.sdk._logs import LoggerProvider
        from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
        from bizspan.sdk._memory import InMemoryLogRecordExporter

        far = InMemoryLogRecordExporter()
        provider = LoggerProvider(shutdown_on_exit=False)
        provider.add_log_record_processor(SimpleLogRecordProcessor(far))
        sys.setswitchinterval(1e-6)
        done = threading.Event()
        with bizspan.configure(export="none", logger_provider=provider) as configured:
            def take():
                while not done.is_set():
                    _active.current.take()
            taker = threading.Thread(target=take)
            taker.start()
            for _ in range(3000):
                with bizspan.operation("pay") as op:
                    op.revenue("1.00", "EUR")
                    op.revenue("2.00", "USD")
            done.set()
            taker.join()
            configured.force_flush()
            swallowed = bizspan.diagnostics().swallowed
        second = [f.log_record for f in far.get_finished_logs() if f.log_record.event_name == "business.revenue"]
        timed = sum("business.operation.duration" in record.attributes for record in second)
        print(len(second), timed, swallowed)
    """)
    assert "3000 0 {}" in str(told)


def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator as people write them: it hides that the function is async."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return call


def test_a_coroutine_function_behind_a_plain_wrapper_is_awaited_inside_the_operation(capbiz: Capture) -> None:
    """
    Its outcome, its duration, and what is told inside are the operation's.
    """

    async def pay(amount: int) -> int:
        bizspan.annotate(plan="pro")
        capbiz.tick(2)
        if amount < 0:
            raise ValueError("negative")
        return amount

    paid = bizspan.operation("pay", revenue=lambda result: (result, "EUR"))(wrapped(pay))

    assert 5 == asyncio.run(paid(5))
    with pytest.raises(ValueError, match="negative"):
        asyncio.run(paid(-1))
    first, second = capbiz.operations("pay", plan="pro")
    assert ("success", Money("5", "EUR"), "failed") == (first.outcome, first.revenue, second.outcome)
    assert 2.0 == first.attributes["business.operation.duration"]
    capbiz.assert_consistent()


def test_an_object_with_an_async_call_is_awaited(capbiz: Capture) -> None:
    """
    What decides is what calling it gives.
    """

    class Pays:
        async def __call__(self) -> None:
            raise LookupError

    with pytest.raises(LookupError):
        asyncio.run(bizspan.operation("pay")(Pays())())
    assert ["failed"] == [operation.outcome for operation in capbiz.operations("pay")]


def test_a_generator_that_no_signature_shows_is_counted(capbiz: Capture) -> None:
    """
    The call is recorded, and it is said that the work comes after it; an object that generates is refused at once.
    """
    capbiz.allow("generator")

    def rows() -> Iterator[int]:
        yield 1

    class Rows:
        def __call__(self) -> Iterator[int]:
            yield 1

    assert [1] == list(bizspan.operation("rows")(wrapped(rows))())
    assert {"generator": 1} == bizspan.diagnostics().values_refused
    with pytest.raises(SetupError, match="generator"):
        bizspan.operation("rows")(Rows())


def test_a_payload_may_have_a_key_that_is_called_name(capbiz: Capture) -> None:
    """
    It is a fact like another, and never a TypeError in business code.
    """
    bizspan.event("signup", name="Bob")
    bizspan.feedback("nps", 9, name="Bob", score=1)
    with bizspan.operation("signup", name="Bob"):
        pass

    assert 3 == len([*capbiz.events(), *capbiz.operations()])


def test_annotating_after_the_operation_ended_lands_on_the_context_that_goes_on(capbiz: Capture) -> None:
    """
    A task outlives the operation that it was made in; what it learns is not lost.
    """

    async def main() -> None:
        ended = asyncio.Event()

        async def background() -> None:
            with bizspan.context(segment="gold"):
                await ended.wait()
                bizspan.annotate(plan="pro")
                bizspan.event("late")

        with bizspan.operation("request"):
            task = asyncio.create_task(background())
            await asyncio.sleep(0)
        ended.set()
        await task

    asyncio.run(main())
    assert 1 == len(capbiz.events("late", plan="pro", segment="gold"))


def test_what_was_told_too_early_is_in_the_metrics_too() -> None:
    """
    `diagnostics()` and `bizspan.events.offered` say the same.
    """
    told = run("""
        import bizspan
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader
        bizspan.event("early")
        bizspan.event("early")
        reader = InMemoryMetricReader()
        bizspan.configure(export="none", meter_provider=MeterProvider([reader], shutdown_on_exit=False))
        bizspan.event("late")
        bizspan._active.current.take()
        points = {
            metric.name: sum(point.value for point in metric.data.data_points)
            for resource in reader.get_metrics_data().resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name.startswith("bizspan.events.")
        }
        print(points["bizspan.events.offered"], points["bizspan.events.refused"], bizspan.diagnostics().offered)
    """)
    assert "3 3 3" in str(told)


@pytest.mark.parametrize("where", ["resource_attributes", "provider", "old key", "capital"])
def test_production_is_known_wherever_it_stands(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Without a key, its personal facts are dropped, not hashed with one that nobody keeps.
    """
    monkeypatch.delenv("BIZSPAN_HASH_KEY", raising=False)
    monkeypatch.delenv("OTEL_RESOURCE_ATTRIBUTES", raising=False)
    key = "deployment.environment" if where == "old key" else "deployment.environment.name"
    resource = Resource({} if where in ("resource_attributes", "capital") else {key: "production"})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    options: dict[str, Any] = {"export": "none", "tracer_provider": provider}
    if where == "resource_attributes":
        options["resource_attributes"] = {key: "production"}
    if where == "capital":
        options["environment"] = "Production"
    meters = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False)
    with bizspan.configure(meter_provider=meters, **options):
        bizspan.event("signup", customer="c-17")
        refused = bizspan.diagnostics().values_refused
    assert {"no_key": 1} == refused


@pytest.mark.parametrize(
    "key", ["business.operation.name", "business.mine", "log.record.uid", "error.type", "bizspan.seq", "otel.x"]
)
def test_a_vocabulary_can_not_take_a_key_that_bizspan_writes(key: str) -> None:
    """
    An operation could otherwise be recorded under another's name.
    """
    with pytest.raises(SetupError, match="reserved"):
        Vocabulary("shop", [Attribute(name="mine", key=key)])


def test_wrong_declarations_are_set_up_errors() -> None:
    """
    Each says what to do, none is a bare TypeError.
    """
    wrong: list[Callable[[], Any]] = [
        lambda: Attribute(name="a", format="nonsense"),  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
        lambda: Attribute(name="a", allowed=5),  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
        lambda: Attribute(name="a", allowed=[["x"]]),  # type: ignore[list-item] # pyright: ignore[reportArgumentType]
        lambda: Vocabulary("shop", 5),  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
        lambda: bizspan.configure(service_name=5),  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
        lambda: bizspan.configure(environment=5),  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    ]
    for declare in wrong:
        with pytest.raises(SetupError):
            declare()


def test_an_async_gauge_is_refused() -> None:
    """
    It would be pulled in a thread, where nothing awaits it.
    """

    async def pulled() -> int:
        return 1

    with pytest.raises(SetupError, match="async"):
        bizspan.gauge("async.gauge")(pulled)


@pytest.mark.parametrize("export", ["console", "none"])
def test_ambient_facts_are_stamped_on_the_applications_spans_without_otlp_too(export: Any) -> None:
    """
    The SDK is there because the application uses it; `configure()` of any kind joins it.
    """
    told = run(f"""
        import bizspan
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        provider = TracerProvider(shutdown_on_exit=False)
        trace.set_tracer_provider(provider)
        bizspan.configure(export="{export}")
        with bizspan.context(segment="gold"), trace.get_tracer("lib").start_as_current_span("work") as span:
            print(dict(span.attributes))
    """)
    assert "{'business.customer.segment': 'gold'}" in str(told)


def test_a_decorator_without_its_parentheses_is_a_set_up_error() -> None:
    """
    It would otherwise take the function for a name, and never call it.
    """

    def checkout() -> None: ...

    with pytest.raises(SetupError, match=r"@operation\('checkout'\)"):
        bizspan.operation(checkout)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def test_annotating_where_everything_has_ended_is_counted(capbiz: Capture) -> None:
    """
    Nothing is left that could carry the fact, and that is said.
    """
    capbiz.allow("no_target")
    with bizspan.operation("parent"):
        inside = contextvars.copy_context()
    inside.run(bizspan.annotate, channel="late")

    assert {"no_target": 1} == bizspan.diagnostics().values_refused


def test_configure_of_several_threads_is_one_set_up() -> None:
    """
    All get the same handle, and the process has one set of providers.
    """
    told = run("""
        import threading
        import bizspan
        handles, ready = [], threading.Barrier(6)
        def configure():
            ready.wait()
            handles.append(bizspan.configure(export="none"))
        threads = [threading.Thread(target=configure) for _ in range(6)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        print(len({id(handle) for handle in handles}))
    """)
    assert "1\n" == told.out


def test_an_event_that_waits_does_not_keep_its_span() -> None:
    """
    With the collector away, 20,000 events may wait; the SDK's span is 4 kB each.
    """
    told = run("""
        import gc
        import bizspan
        from bizspan import _active
        from opentelemetry.sdk._logs import LoggerProvider
        from opentelemetry.sdk.trace import Span, TracerProvider
        tracer = TracerProvider(shutdown_on_exit=False)
        bizspan.configure(export="none", tracer_provider=tracer, logger_provider=LoggerProvider(shutdown_on_exit=False))
        pipeline = _active.pipeline()
        with pipeline._emitting:
            for _ in range(200):
                with bizspan.operation("c"):
                    pass
            gc.collect()
            print(sum(isinstance(found, Span) for found in gc.get_objects()), pipeline.pending)
    """)
    assert "0 200" in str(told)


def test_refused_events_are_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """
    The count goes on, the sentence does not.
    """
    _guard.forget_said()
    meters = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False)
    with bizspan.configure(export="none", meter_provider=meters):
        for _ in range(5):
            bizspan.event("lost")
        refused = bizspan.diagnostics().refused
    said = [record.message for record in caplog.records if "no_logger_provider" in record.message]
    assert (5, 1) == (refused["no_logger_provider"], len(said))
