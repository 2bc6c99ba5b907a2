"""The end of a process whose collector never answers: one line says how many events may be lost, and what to do."""

from __future__ import annotations

import re
import signal
import socket
import time
from collections.abc import Iterator

import pytest

import bizspan
from _collector import Receiver
from tests.child import BOUND_S, run, started

BEGIN = """
    import os, signal, time
    import bizspan
    configuration = bizspan.configure(service_name="shop")
    def tell(times):
        for _ in range(times):
            with bizspan.operation("checkout") as op:
                op.revenue("1.00", "EUR")
"""


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a real socket whose connections are taken, and never answered."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def lines(err: str) -> list[str]:
    """What bizspan said."""
    return [line for line in err.splitlines() if "bizspan: " in line]


def numbers(line: str) -> tuple[int, int]:
    """How many may be lost, of how many."""
    found = re.search(r"not confirm (\d+) of (\d+) events", line)
    assert found is not None, line
    return int(found[1]), int(found[2])


@pytest.mark.parametrize("ending", ["pass", "configuration.shutdown()", "raise SystemExit"])
def test_an_exit_with_a_collector_that_never_answers_is_said_once(ending: str, silent: str) -> None:
    """
    One line, with the number of events that may be lost and what to do.
    """
    ended = run(BEGIN + f"    tell(50)\n    {ending}", None, OTEL_EXPORTER_OTLP_ENDPOINT=silent)

    assert 0 == ended.code
    (line,) = lines(ended.err)
    assert (50, 50) == numbers(line)
    assert "bizspan doctor" in line


def test_sigterm_says_it_too(silent: str) -> None:
    """
    Within the bound, before the signal ends the process.
    """
    with started(
        BEGIN + "    tell(7)\n    print('ready', flush=True); signal.pause()", None, OTEL_EXPORTER_OTLP_ENDPOINT=silent
    ) as process:
        assert process.stdout is not None
        assert "ready\n" == process.stdout.readline()
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=20)
        took_s = time.monotonic() - began

    assert -signal.SIGTERM == process.returncode
    assert [(7, 7)] == [numbers(line) for line in lines(err)]
    assert 3.5 > took_s


def test_events_that_arrived_are_not_counted_as_lost(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """
    Of a collector that falls silent, only those after it.
    """
    with Receiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.http_endpoint)
        with bizspan.configure(service_name="shop") as configuration:
            for _ in range(30):
                bizspan.event("order.placed")
            assert configuration.force_flush(BOUND_S)
            receiver.behaviour = "hang"
            for _ in range(4):
                bizspan.event("order.placed")

    assert [(4, 34)] == [numbers(line) for line in lines(caplog.text)]


def test_what_a_collector_refused_is_counted_too() -> None:
    """
    A collector that is down answers, and takes nothing.
    """
    with Receiver(behaviour="unavailable") as receiver:
        ended = run(BEGIN + "    tell(5)", receiver)

    assert [(5, 5)] == [numbers(line) for line in lines(ended.err)]


def test_a_forked_worker_says_its_own(silent: str) -> None:
    """
    A child of multiprocessing counts what it told itself, and its parent what the parent did.
    """
    ended = run(
        BEGIN
        + """
    import multiprocessing
    tell(3)
    child = multiprocessing.get_context("fork").Process(target=tell, args=(2,))
    child.start()
    child.join()
        """,
        None,
        OTEL_EXPORTER_OTLP_ENDPOINT=silent,
    )

    assert [(2, 2), (3, 3)] == sorted(numbers(line) for line in lines(ended.err)), ended.err


@pytest.mark.parametrize("variables", [{"OTEL_LOGS_EXPORTER": "none"}, {"OTEL_SDK_DISABLED": "true"}], ids=str)
def test_events_that_go_nowhere_are_not_called_lost(variables: dict[str, str], silent: str) -> None:
    """
    Without an exporter of events there is nobody to confirm them.
    """
    ended = run(BEGIN + "    tell(5)", None, OTEL_EXPORTER_OTLP_ENDPOINT=silent, **variables)

    assert [] == [line for line in lines(ended.err) if "confirm" in line]
