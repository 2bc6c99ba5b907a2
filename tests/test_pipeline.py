"""The way of a record: full queues, accounts that add up, odd moments to tell, and a pipeline that is broken."""

from __future__ import annotations

import gc
import logging
import signal
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import Context
from typing import Any

import pytest
from opentelemetry.sdk._logs import LogRecordProcessor

import bizspan
from bizspan import _active, _consumer
from bizspan._accounts import idle
from bizspan._guard import Tallies
from bizspan._pipeline import Pipeline
from tests.providers import amounts, joined, reader, take


@pytest.fixture(autouse=True)
def no_refusals_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """What earlier tests told while nothing was configured is not counted here."""
    monkeypatch.setattr(idle, "refused", Tallies())


def checkout() -> None:
    with bizspan.operation("checkout", segment="gold") as op:
        op.revenue("1.00", "EUR")


class Held(LogRecordProcessor):
    """A logger provider's processor that holds every record until it is let go: a far end that is stuck."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.go_on = threading.Event()
        self.taken: list[Any] = []

    def on_emit(self, log_record: Any) -> None:
        """Wait."""
        self.reached.set()
        assert self.go_on.wait(20)
        self.taken.append(log_record)

    def shutdown(self) -> None:
        """Nothing to stop."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing waits here."""
        return True


@contextmanager
def bounded(seconds: float = 20.0) -> Generator[None]:
    """Fail, instead of hanging, when the block does not end."""

    def overdue(number: int, frame: object) -> None:
        raise TimeoutError("the block hangs")

    before = signal.signal(signal.SIGALRM, overdue)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# --- a queue that is full, and the accounts ---------------------------------------------------------------------------


def test_a_full_queue_refuses_events_and_counts_them_and_metrics_still_count() -> None:
    """
    With room for 10 and a far end that is stuck, 100 operations never wait: 100 in the metrics, the rest refused.
    """
    memory, held = reader(), Held()
    with joined(memory, export="none", capacity=10) as application, bounded():
        application.logger_provider.add_log_record_processor(held)
        checkout()
        assert held.reached.wait(5)
        for _ in range(99):
            checkout()
        full = bizspan.diagnostics()
        revenue, counts = amounts(memory, "business.revenue"), amounts(memory, "business.operation.duration")
        held.go_on.set()
        take()
        after = bizspan.diagnostics()

    assert (100, 10, {"queue_full": 90}) == (full.offered, full.acknowledged, full.refused)
    assert ([100.0], [100]) == (revenue, counts)
    assert (10, 0) == (after.handed_over, after.pending)
    assert 10 == len(held.taken)


def test_much_that_waits_is_taken_before_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The thread rests so that one switch serves many records; half a queue wakes it, each time.
    """
    monkeypatch.setattr(_consumer, "_REST_S", 60.0)
    held = Held()
    held.go_on.set()

    with joined(capacity=20) as application:
        application.logger_provider.add_log_record_processor(held)
        for _ in range(2):
            for _ in range(11):
                checkout()
            with bounded():
                while len(held.taken) < 10:
                    time.sleep(0.01)
            held.taken.clear()


def test_memory_stays_bounded_while_the_far_end_is_stuck() -> None:
    """
    Records whose events were refused do not pile up either, although nobody takes the intake.
    """
    memory, held = reader(), Held()
    with joined(memory, export="none", capacity=50) as application, bounded():
        application.logger_provider.add_log_record_processor(held)
        checkout()
        assert held.reached.wait(5)
        longest = 0
        for _ in range(2_000):
            checkout()
            assert _active.current is not None
            longest = max(longest, len(_active.current._intake) + len(_active.current._events))
        held.go_on.set()
        assert [2_001.0] == amounts(memory, "business.revenue")

    assert longest <= 200


@pytest.mark.parametrize("capacity", [25, 20_000])
def test_the_identity_holds_against_calls_counted_outside(capacity: int, long: bool) -> None:
    """
    Four threads tell events, operations and rubbish; every call is acknowledged or refused, at every moment.
    """
    rounds = 2_000 if long else 200
    stop = threading.Event()
    wrong: list[object] = []

    def tell() -> None:
        for number in range(rounds):
            bizspan.event("seen", segment="gold")
            checkout()
            bizspan.event("")  # no name
            bizspan.refund("1.00", "EUR", order=number)

    def watch() -> None:
        while not stop.is_set():
            d = bizspan.diagnostics()
            if d.offered != d.acknowledged + sum(d.refused.values()) or d.pending < 0 or d.pending > capacity + 4:
                wrong.append(d)
            if d.acknowledged != d.handed_over + d.pending:
                wrong.append(d)

    with joined(reader(), export="none", capacity=capacity) as application:
        before = sum(bizspan.diagnostics().refused.values())
        threads = [threading.Thread(target=tell) for _ in range(4)]
        watching = threading.Thread(target=watch)
        for thread in (*threads, watching):
            thread.start()
        for thread in threads:
            thread.join()
        stop.set()
        watching.join()
        take()
        d = bizspan.diagnostics()
        arrived = len(application.logs())

    assert [] == wrong
    assert 4 * 4 * rounds == d.offered - before
    assert 4 * rounds == d.refused["invalid_name"]
    assert (arrived, 0) == (d.handed_over, d.pending)
    assert {"invalid_name", "queue_full", "not_configured"} >= set(d.refused)


def test_the_accounts_are_exported() -> None:
    """
    offered = acknowledged + refused, and acknowledged = handed over + pending, in the metrics too.
    """
    memory = reader()
    with joined(memory, export="none"):
        checkout()
        bizspan.event("")
        take()
        data = [memory.get_metrics_data()]
        assert data[0] is not None
        read = {
            name: amounts([d for d in data if d is not None], f"bizspan.events.{name}")
            for name in ("offered", "acknowledged", "refused", "handed_over", "pending")
        }

    assert {"offered": [2], "acknowledged": [1], "refused": [1], "handed_over": [1], "pending": [0]} == read


def test_closing_refuses_first_and_takes_then() -> None:
    """
    What is told while the pipeline closes is either taken or refused, never lost.
    """
    stop, told = threading.Event(), [0]

    def tell(pipeline: Pipeline) -> None:
        while not stop.is_set():
            pipeline.accept(record())
            told[0] += 1

    def record() -> Any:
        from bizspan._record import Record

        return Record("seen", "seen", "uid", 0, {}, (), None)

    with joined(reader(), export="none") as application:
        bizspan.event("seen")
        assert _active.current is not None
        pipeline = _active.current
        thread = threading.Thread(target=tell, args=(pipeline,))
        thread.start()
        while told[0] < 500:
            time.sleep(0.001)
        pipeline.close()
        stop.set()
        thread.join()
        pipeline.take()
        accounts = pipeline.accounts

    assert told[0] + 1 == accounts.acknowledged.value + accounts.refused.values().get("shut_down", 0)
    assert accounts.acknowledged.value == accounts.handed_over.value == len(application.logs())


# --- odd moments to tell ----------------------------------------------------------------------------------------------


@pytest.mark.signals
def test_telling_inside_a_signal_handler_never_deadlocks() -> None:
    """
    A timer interrupts telling, taking and collecting a thousand times a second; each handler tells an event.
    """
    memory = reader()
    told = {"handler": 0, "main": 0}

    def handler(number: int, frame: object) -> None:
        told["handler"] += 1
        bizspan.event("tick", segment="gold")

    before = signal.signal(signal.SIGALRM, handler)
    try:
        with joined(memory, export="none", capacity=1_000_000):
            signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
            began = time.monotonic()
            while (elapsed := time.monotonic() - began) < 0.7 or (told["handler"] <= 20 and elapsed < 20):
                checkout()
                told["main"] += 1
                if not told["main"] % 50:
                    _active.current.take(1.0)  # type: ignore[union-attr]
                    memory.get_metrics_data()
            signal.setitimer(signal.ITIMER_REAL, 0)
            take()
            d = bizspan.diagnostics()
            counted = sum(amounts(memory, "business.events"))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    assert told["handler"] > 20
    assert told["handler"] + told["main"] == d.acknowledged == d.handed_over == counted


def test_telling_inside_a_finalizer_never_deadlocks() -> None:
    """
    With a collection at nearly every allocation, `__del__` tells events and abandons operations at every step of ours.
    """
    memory = reader()
    told = [0]

    class Cycle:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            told[0] += 1
            bizspan.event("collected", segment="gold")

    def abandon() -> None:
        cycle: list[Any] = [bizspan.operation("abandoned").__enter__()]
        cycle.append(cycle)

    threshold = gc.get_threshold()
    with joined(memory, export="none", capacity=1_000_000) as application, bounded():
        gc.set_threshold(3)
        try:
            for number in range(300):
                Cycle()
                Context().run(abandon)
                checkout()
                if not number % 20:
                    _active.current.take(1.0)  # type: ignore[union-attr]
                    memory.get_metrics_data()
        finally:
            gc.set_threshold(*threshold)
        gc.collect()
        take()
        d = bizspan.diagnostics()

    assert 300 == told[0]
    assert 900 == d.acknowledged == d.handed_over
    assert 300 == len([span for span in application.spans() if "abandoned" == span.name])


@pytest.mark.parametrize("export", ["none", "console"])
def test_telling_inside_a_logging_handler_that_the_sdk_calls_neither_recurses_nor_hangs(
    export: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    A processor that logs for each record, and a logging handler that tells an event for each line it gets.
    """

    class Chatty(LogRecordProcessor):
        def on_emit(self, log_record: Any) -> None:
            logging.getLogger("opentelemetry.test").warning("exporting")

        def shutdown(self) -> None:
            """Nothing to stop."""

        def force_flush(self, timeout_millis: int = 30_000) -> bool:
            return True

    depth = threading.local()
    deepest = [0]

    class Telling(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            depth.now = getattr(depth, "now", 0) + 1
            deepest[0] = max(deepest[0], depth.now)
            bizspan.event("log.line")
            depth.now -= 1

    logger, handler = logging.getLogger("opentelemetry.test"), Telling()
    logger.addHandler(handler)
    logger.propagate = False
    try:
        with joined(reader(), export=export) as application, bounded():
            application.logger_provider.add_log_record_processor(Chatty())
            for _ in range(20):
                bizspan.event("seen")
                _active.current.take(1.0)  # type: ignore[union-attr]
            d = bizspan.diagnostics()
    finally:
        logger.removeHandler(handler)
        logger.propagate = True

    assert 1 == deepest[0]
    assert 20 <= d.acknowledged <= 20 * 60
    assert d.acknowledged == d.handed_over + d.pending


def test_a_receipt_stream_that_tells_an_event_does_not_hang() -> None:
    """
    The console prints on the telling thread: a stream that tells something itself is served later, not nested.
    """
    written: list[str] = []

    class Stream:
        encoding = "utf-8"

        def write(self, text: str) -> None:
            written.append(text)
            if len(written) < 5:
                bizspan.event("written")

        def flush(self) -> None:
            """Nothing waits."""

    with pytest.MonkeyPatch.context() as patch, bounded():
        patch.setattr("sys.stderr", Stream())
        with bizspan.configure(export="console") as configuration:
            bizspan.event("first")
            for _ in range(6):
                configuration.force_flush(1.0)

    assert 5 == len(written)
