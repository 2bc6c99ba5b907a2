"""bizspan on providers that the application set: with configure(), without it, and set at any time."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from opentelemetry import _logs, metrics, trace

import bizspan
from bizspan import _active
from tests.child import run
from tests.providers import Application, amounts, joined, points, reader, take

SETS_PROVIDERS = """
    import bizspan
    from opentelemetry import _logs, metrics, trace
    from tests.providers import Application, amounts, points, reader, take
    memory = reader()
    application = Application(memory)

    def tell():
        with bizspan.operation("checkout", segment="gold") as op:
            op.revenue("42.00", "EUR")

    def read():
        take()
        revenue = amounts(memory, "business.revenue")
        counts = amounts(memory, "business.operation.duration")
        events = [record.event_name for record in application.logs()]
        return [span.name for span in application.spans()], revenue, counts, events

    def set_all():
        trace.set_tracer_provider(application.tracer_provider)
        metrics.set_meter_provider(application.meter_provider)
        _logs.set_logger_provider(application.logger_provider)
"""


@pytest.fixture(params=["none", "otlp"])
def export(request: pytest.FixtureRequest) -> Iterator[str]:
    """How `configure()` is called: for the API alone, or with the SDK."""
    yield request.param


def checkout() -> None:
    with bizspan.operation("checkout", segment="gold") as op:
        op.revenue("42.00", "EUR")


def test_the_applications_providers_get_all_three_signals(export: str) -> None:
    """
    One span, one point per metric and one event, with one id and one trace, on the application's own providers.
    """
    memory = reader()
    with joined(memory, export=export) as application:
        checkout()
        take()
        data = memory.get_metrics_data()

    ((span,), (event,)) = application.spans(), application.logs()
    assert ("checkout", "business.operation") == (span.name, event.event_name)
    assert (span.context.trace_id, span.context.span_id) == (event.trace_id, event.span_id)
    assert span.attributes["business.operation.id"] == event.attributes["business.operation.id"]
    assert [42.0] == [point.value for point in points(data, "business.revenue")]
    (duration,) = points(data, "business.operation.duration")
    assert "gold" == duration.attributes["business.customer.segment"]
    assert 0.005 == duration.explicit_bounds[0]
    assert 3600 == duration.explicit_bounds[-1]


def test_joined_providers_live_on_after_shutdown(export: str) -> None:
    """
    What was told before shutdown() is still in the application's next collection; its providers still work.
    """
    memory = reader()
    with joined(memory, export=export) as application:
        checkout()
        configuration = bizspan.configure()
        configuration.shutdown()
        assert [42.0] == amounts(memory, "business.revenue")
        with application.tracer_provider.get_tracer("app").start_as_current_span("later"):
            pass
        assert ["checkout", "later"] == [span.name for span in application.spans()]
        assert ["business.operation"] == [record.event_name for record in application.logs()]


def test_given_providers_win_over_global_ones() -> None:
    """
    Nothing global is touched where providers are passed in.
    """
    before = (trace.get_tracer_provider(), metrics.get_meter_provider(), _logs.get_logger_provider())
    with joined(reader()) as application:
        checkout()
        take()
        after = (trace.get_tracer_provider(), metrics.get_meter_provider(), _logs.get_logger_provider())

    assert [type(provider) for provider in before] == [type(provider) for provider in after]
    assert 1 == len(application.spans())


def test_without_configure_the_global_providers_are_joined() -> None:
    """
    Setting OpenTelemetry up is enough: the bare API finds the providers at the first record.
    """
    ended = run(SETS_PROVIDERS + "\n    set_all(); tell(); print(read())")

    assert "(['checkout'], [42.0], [1], ['business.operation'])\n" == ended.out
    assert "" == ended.err


def test_providers_set_after_the_first_record_are_joined_then() -> None:
    """
    What was told before is counted as refused; everything after arrives.
    """
    ended = run(
        SETS_PROVIDERS
        + """
    tell()
    set_all()
    tell(); tell()
    print(read())
    d = bizspan.diagnostics()
    print(d.offered, d.acknowledged, d.refused)
    """
    )

    assert "(['checkout', 'checkout'], [84.0], [2], ['business.operation', 'business.operation'])" in ended.out
    assert "3 2 {'not_configured': 1}" in ended.out


def test_each_provider_may_come_at_its_own_time() -> None:
    """
    Tracer first, then meter, then logger: metrics count from the first record that something took, events from theirs.
    """
    ended = run(
        SETS_PROVIDERS
        + """
    trace.set_tracer_provider(application.tracer_provider)
    tell()
    metrics.set_meter_provider(application.meter_provider)
    tell()
    _logs.set_logger_provider(application.logger_provider)
    tell()
    print(read())
    d = bizspan.diagnostics()
    print(d.offered, d.acknowledged, d.refused, d.handed_over)
    """
    )

    spans, revenue, counts, events = eval(ended.out.splitlines()[0])
    assert ["checkout"] * 3 == spans
    assert [126.0] == revenue
    assert counts[0] in (2, 3)  # a duration told before any meter provider was set has nowhere to go
    assert ["business.operation"] == events
    assert "3 1 {'no_logger_provider': 2} 1" == ended.out.splitlines()[1]


def test_a_logger_provider_set_later_is_joined_beside_the_console() -> None:
    """
    Receipts from the start, and events as soon as there is a logger provider.
    """
    ended = run(
        SETS_PROVIDERS
        + """
    bizspan.configure(export="console")
    tell()
    set_all()
    tell()
    print(read()[3])
    """
    )

    assert "['business.operation']\n" == ended.out
    assert 2 == ended.err.count("checkout ✓ 42.00 EUR")


def test_what_was_told_just_before_the_exit_reaches_joined_providers() -> None:
    """
    Without configure() too: the intake is taken before the application's providers shut down.
    """
    for configured in ("", "bizspan.configure(export='none')", "bizspan.configure()"):
        ended = run(
            SETS_PROVIDERS
            + f"""
    import atexit
    atexit.register(lambda: print([record.event_name for record in application.logs()]))
    set_all()
    {configured}
    tell()
    """
        )
        assert ("['business.operation']\n", "") == (ended.out, ended.err)


def test_a_provider_of_another_kind_is_joined_without_its_processors(caplog: pytest.LogCaptureFixture) -> None:
    """
    A provider that takes no processors gets records, and the missing stamps are said once.
    """
    with (
        caplog.at_level(logging.WARNING, "bizspan"),
        bizspan.configure(
            tracer_provider=trace.NoOpTracerProvider(),
            meter_provider=metrics.NoOpMeterProvider(),
            logger_provider=_logs.NoOpLoggerProvider(),
        ),
    ):
        checkout()
        take()
        accounts = bizspan.diagnostics()

    assert (1, 1) == (accounts.acknowledged, accounts.handed_over)
    assert {"NoOpTracerProvider", "NoOpLoggerProvider"} == {
        str(record.args).split(": ")[1].split()[0] for record in caplog.records if "processors" in str(record.args)
    }


def test_nothing_runs_in_this_process() -> None:
    """
    The tests above left bizspan unconfigured.
    """
    assert _active.current is None
    assert isinstance(Application, type)
