"""configure(): joins what is set, builds what is missing, once, and takes everything back."""

from __future__ import annotations

import gc
import logging
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any, cast

import pytest
from opentelemetry import _logs, metrics, trace

import bizspan
from _collector import Receiver
from bizspan import SetupError, _active, _guard, _signals
from bizspan.sdk._exit import AtEnd
from tests.child import run
from tests.providers import Application, reader, take


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """None of this machine's own settings, and nothing that leaves it."""
    for name in list(os.environ):
        if name.startswith(("OTEL_", "BIZSPAN_")):
            monkeypatch.delenv(name)
    for name in ("TRACES", "METRICS", "LOGS"):
        monkeypatch.setenv(f"OTEL_{name}_EXPORTER", "none")
    yield
    assert _active.current is None


def global_providers() -> tuple[object, object, object]:
    return trace.get_tracer_provider(), metrics.get_meter_provider(), _logs.get_logger_provider()


def checkout(**facts: Any) -> None:
    with bizspan.operation("checkout", attributes=facts) as op:
        op.revenue("42.00", "EUR")


# --- joins, builds ----------------------------------------------------------------------------------------------------


def test_missing_providers_are_built_and_set() -> None:
    """
    With nothing set, all three global providers are the SDK's, on one resource.
    """
    with bizspan.configure(service_name="shop", environment="staging", resource_attributes={"team": "a"}):
        tracer, meter, logger = cast("tuple[Any, Any, Any]", global_providers())
        assert (True, True, True) == _signals.providers_set()
        resources: list[Any] = [tracer.resource, logger.resource, meter._sdk_config.resource]

    expected = {"service.name": "shop", "deployment.environment.name": "staging", "team": "a"}
    for resource in resources:
        assert expected == {key: resource.attributes[key] for key in expected}
    assert 1 == len({resource.attributes["service.instance.id"] for resource in resources})


@pytest.mark.parametrize("present", ["tracer_provider", "meter_provider", "logger_provider"])
def test_each_signal_is_joined_or_built_on_its_own(present: str) -> None:
    """
    A provider that is given is used, and the two that are missing are built and set.
    """
    application = Application(reader())
    try:
        with bizspan.configure(**{present: application.providers[present]}):
            checkout()
            take()
            assert tuple(name != present for name in application.providers) == _signals.providers_set()
        assert (1 if present == "tracer_provider" else 0) == len(application.spans())
        assert (1 if present == "logger_provider" else 0) == len(application.logs())
    finally:
        application.shutdown()


def test_global_providers_of_the_application_are_joined_and_stay() -> None:
    """
    What the application set globally gets the records, and is still there, alive, after shutdown().
    """
    ended = run(
        """
    from opentelemetry import _logs, metrics, trace
    from tests.providers import Application, amounts, reader, take
    import bizspan
    memory = reader()
    application = Application(memory)
    trace.set_tracer_provider(application.tracer_provider)
    metrics.set_meter_provider(application.meter_provider)
    _logs.set_logger_provider(application.logger_provider)
    before = (trace.get_tracer_provider(), metrics.get_meter_provider(), _logs.get_logger_provider())
    with bizspan.configure():
        bizspan.event("paid", revenue=("42.00", "EUR"))
    print(amounts(memory, "business.revenue"), len(application.logs()))
    print(before == (trace.get_tracer_provider(), metrics.get_meter_provider(), _logs.get_logger_provider()))
    """
    )

    assert "[42.0] 1\nTrue\n" == ended.out


def test_a_disabled_sdk_builds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    `OTEL_SDK_DISABLED=true`: business code runs, events are refused and counted.
    """
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    with bizspan.configure():
        assert (False, False, False) == _signals.providers_set()
        checkout()
        assert 1 == bizspan.diagnostics().refused["no_logger_provider"]


def test_service_name_and_resource_come_from_the_environment_too() -> None:
    """
    `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` apply, and what is told in code wins.
    """
    variables = {"OTEL_SERVICE_NAME": "by-env", "OTEL_RESOURCE_ATTRIBUTES": "team=b,service.instance.id=mine"}
    with Receiver() as receiver:
        for told in ("", "service_name='by-code', resource_attributes={'team': 'c'}"):
            run(f"import bizspan; bizspan.configure({told}); bizspan.event('e')", receiver, **variables)
        first, second = (event["origin"].resource for event in receiver.events("e"))

    assert ("by-env", "b") == (first["service.name"], first["team"])
    assert ("by-code", "c") == (second["service.name"], second["team"])
    assert first["service.instance.id"] != second["service.instance.id"]


# --- once, and back ---------------------------------------------------------------------------------------------------


def test_a_second_call_changes_nothing_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    """
    The handle is the first one's, one sentence says how to change it.
    """
    _guard.forget_said()
    with caplog.at_level(logging.WARNING, "bizspan"), bizspan.configure(service_name="one") as first:
        assert first is bizspan.configure(service_name="two", export="console")
        assert first is bizspan.configure()
    said = [record.getMessage() for record in caplog.records if "configure()" in record.getMessage()]

    assert 1 == len(said)
    assert "shutdown()" in said[0]


def test_shutdown_leaves_nothing_behind() -> None:
    """
    API globals, threads, exit handlers and the SIGTERM handler are as before, five times in a row.
    """
    before = (set(threading.enumerate()), signal.getsignal(signal.SIGTERM))
    for _ in range(5):
        set_up_and_shut_down()
        assert (False, False, False) == _signals.providers_set()
        for thread in set(threading.enumerate()) - before[0]:
            thread.join(1)
        assert set() == set(threading.enumerate()) - before[0]

    gc.collect()
    assert before[1] is signal.getsignal(signal.SIGTERM)
    assert [] == [found for found in gc.get_objects() if type(found) is AtEnd]  # atexit would keep it


def set_up_and_shut_down() -> None:
    configuration = bizspan.configure()
    checkout()
    assert configuration.is_active
    configuration.shutdown()
    configuration.shutdown()
    assert not configuration.is_active


def test_after_shutdown_everything_is_refused_and_counted_until_the_next_configure() -> None:
    """
    Told in between: not_configured. An operation that was open: shut_down.
    """
    with bizspan.configure():
        late = bizspan.operation("late")
        run = late.__enter__()
        accounts = _active.current.accounts if _active.current else None
    before = bizspan.diagnostics().refused.get("not_configured", 0)
    run.ended(None, ())
    bizspan.event("lost")

    assert accounts is not None
    assert {} == accounts.refused.values()  # shutdown() ended it as abandoned, so nothing was left to refuse
    assert before + 1 == bizspan.diagnostics().refused["not_configured"]
    with bizspan.configure():
        bizspan.event("kept")
        assert 1 == bizspan.diagnostics().acknowledged


def test_what_waits_is_handed_over_by_shutdown() -> None:
    """
    Leaving the block delivers all that was told in it.
    """
    with Receiver() as receiver, pytest.MonkeyPatch.context() as patch:
        for name in ("TRACES", "METRICS", "LOGS"):
            patch.delenv(f"OTEL_{name}_EXPORTER")
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.http_endpoint)
        with bizspan.configure():
            for _ in range(100):
                checkout()

        assert (100, 100) == (len(receiver.spans("checkout")), len(receiver.events("business.operation")))
        assert [4200.0] == [point["value"] for point in receiver.last_points("business.revenue")]


def test_force_flush_says_whether_everything_went() -> None:
    """
    True with a healthy collector, False in bounded time with one that never answers.
    """
    with Receiver() as receiver, pytest.MonkeyPatch.context() as patch:
        for name in ("TRACES", "METRICS", "LOGS"):
            patch.delenv(f"OTEL_{name}_EXPORTER")
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.http_endpoint)
        with bizspan.configure() as configuration:
            checkout()
            assert configuration.force_flush(5.0)
            assert 1 == len(receiver.events("business.operation"))
            receiver.behaviour = "hang"
            checkout()
            assert not configuration.force_flush(0.2)
            receiver.behaviour = "accept"


def test_a_failed_set_up_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    After the error nothing is set, no thread runs, and a corrected call works.
    """
    before = set(threading.enumerate())
    monkeypatch.setenv("OTEL_LOGS_EXPORTER", "carrier-pigeon")
    with pytest.raises(SetupError, match="OTEL_LOGS_EXPORTER"):
        bizspan.configure()
    assert (False, False, False) == _signals.providers_set()
    for thread in set(threading.enumerate()) - before:
        thread.join(1)
    assert set() == set(threading.enumerate()) - before

    monkeypatch.setenv("OTEL_LOGS_EXPORTER", "none")
    with bizspan.configure():
        assert bizspan.diagnostics().configured


def test_configure_off_the_main_thread_works_without_a_signal_handler() -> None:
    """
    Python allows signal handlers in the main thread only; everything else is set up.
    """
    handler = signal.getsignal(signal.SIGTERM)
    told: list[int] = []

    def elsewhere() -> None:
        with bizspan.configure():
            bizspan.event("kept")
            told.append(bizspan.diagnostics().acknowledged)
            assert handler is signal.getsignal(signal.SIGTERM)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()

    assert [1] == told
