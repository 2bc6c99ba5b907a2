"""The sender: everything that waits arrives, however long it takes, and nobody waits longer than they said."""

from __future__ import annotations

import logging
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from bizspan import _guard
from bizspan.spool._answers import Answer, Backoff
from bizspan.spool._post import Poster
from bizspan.spool._sender import Outcome, Sender
from bizspan.spool._target import Target
from tests.spool.far_end import OK, PROTOBUF, FarEnd, Request, http
from tests.spool.memory import Memory, Slice, encode, names
from tests.spool.receiving import until

REJECTED_2 = b"\x0a\x02\x08\x02"


@pytest.fixture(autouse=True)
def nothing_said() -> None:
    _guard.forget_said()


@pytest.fixture
def senders() -> Iterator[list[Sender]]:
    """Stopped after the test."""
    made: list[Sender] = []
    yield made
    for sender in made:
        sender.stop(5)


class Time:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def sender_to(server: FarEnd, source: Memory, timeout_s: float = 5, first_s: float = 0.01, **more: Any) -> Sender:
    poster = Poster(Target(server.url, headers=(("authorization", "s3cr3t"),), timeout_s=timeout_s))
    more.setdefault("backoff", Backoff(first_s, chance=lambda: 1.0))
    more.setdefault("linger_s", 0.01)
    return Sender(source, poster, encode, **more)


def numbered(count: int) -> list[str]:
    return [f"e{number}" for number in range(count)]


def all_names(server: FarEnd) -> list[str]:
    return [name for request in server.requests for name in names(request.plain)]


def drained(sender: Sender, time: Time | None = None, most: int = 200) -> list[Outcome]:
    """Every outcome until nothing waits; a test's clock steps over each wait."""
    outcomes: list[Outcome] = []
    while (outcome := sender.run_once()) is not Outcome.NOTHING:
        outcomes.append(outcome)
        assert len(outcomes) < most
        if time is not None:
            time.now += sender.due_in_s
    sender.stop()
    return outcomes


# --- one step -------------------------------------------------------------------------------------------------------


def test_batches_go_out_in_order_and_the_ack_follows() -> None:
    """
    1,000 events are three requests of at most 400, oldest first, each settled after its answer.
    """
    source = Memory(*numbered(1000))
    with FarEnd(OK) as server:
        sender = sender_to(server, source, most_events=400)
        acked: list[int] = []
        while sender.run_once() is Outcome.MOVED:
            acked.append(source.acked)
        sender.stop()

        assert [400, 800, 1000] == acked
        assert numbered(1000) == all_names(server)
    assert (1000, 0, 0) == (source.delivered, source.rejected, source.waiting())


def test_rejected_events_are_counted_and_not_sent_again(caplog: pytest.LogCaptureFixture) -> None:
    """
    partial_success settles the whole batch; a count beyond it is cut.
    """
    source = Memory(*numbered(3))
    with FarEnd(http(200, REJECTED_2, PROTOBUF)) as server:
        sender = sender_to(server, source)
        drained(sender)
        source.add("one more")
        assert Outcome.MOVED is sender_to(server, source).run_once()

    assert (1, 3, 2) == (source.delivered, source.rejected, len(server.requests))
    assert 1 == len(caplog.messages)


@pytest.mark.parametrize("status", [400, 413])
def test_a_bad_event_is_found_by_halving(status: int, caplog: pytest.LogCaptureFixture) -> None:
    """
    Of 100 events one is refused: the 99 others are delivered once, in order, and it is a dead letter.
    """
    source = Memory(*numbered(100))

    def answer(request: Request) -> bytes:
        return http(status) if "e77" in names(request.plain) else OK

    with FarEnd() as server:
        server.by_request = answer
        drained(sender_to(server, source))
        taken = [name for r in server.requests if answer(r) == OK for name in names(r.plain)]

    assert [name for name in numbered(100) if name != "e77"] == taken
    assert (99, [(f"http_{status}")]) == (source.delivered, [reason for _, reason in source.dead])
    assert 1 == len(caplog.messages)


def test_requests_stay_as_small_as_a_server_wants_them() -> None:
    """
    After a 413 further requests are below what was refused, so that few are sent in vain.
    """
    source = Memory()
    source.entries = [entry * 100 for entry in Memory(*numbered(2000)).entries]

    def answer(request: Request) -> bytes:
        return http(413) if len(request.plain) > 50_000 else OK

    with FarEnd() as server:
        server.by_request = answer
        sender = sender_to(server, source)
        # The entries hold the same event a hundred times: only the sizes matter here.
        while sender.run_once() is Outcome.MOVED:
            pass
        sender.stop()
        refused = [answer(request) for request in server.requests].count(http(413))

    assert (2000, []) == (source.delivered, source.dead)
    assert refused <= 6


def hang_up(connection: Any) -> None:
    """Close the connection, and say nothing."""


HOLDS: dict[str, Any] = {
    "http_401": http(401),
    "http_403": http(403),
    "http_404": http(404),
    "http_3xx": http(308, Location="http://s3cr3t.example/"),
    "http_5xx": http(500),
    "http_503": http(503),
    "not_otlp": http(200, b"<html>", "text/html"),
    "closed": hang_up,
}


@pytest.mark.parametrize("reason", HOLDS)
def test_a_hold_loses_nothing_and_is_said_once(reason: str, caplog: pytest.LogCaptureFixture) -> None:
    """
    Fifty attempts in vain, then one that is taken: everything arrives, one line was written, without a secret.
    """
    source, time = Memory(*numbered(10)), Time()
    with FarEnd(*[HOLDS[reason]] * 50, OK) as server:
        sender = sender_to(server, source, clock=time)
        outcomes = drained(sender, time)

        assert [Outcome.HELD] * 50 + [Outcome.MOVED] == outcomes
        assert numbered(10) == names(server.requests[-1].plain)
    assert {reason: 50} == sender.holds.values()
    assert (10, 0) == (source.delivered, len(source.dead))
    (said,) = caplog.messages
    assert f"127.0.0.1:{server.port}" in said
    assert "s3cr3t" not in said


def test_the_waits_grow_and_a_server_s_wish_is_kept() -> None:
    """
    1, 2, 4 ... 30 seconds; Retry-After as it is, at most five minutes; and 1 again after a delivery.
    """
    source, time = Memory(*numbered(2)), Time()
    script = [http(500)] * 7 + [http(429, Retry_After="5"), http(503, Retry_After="1e9"), OK, http(500), OK]
    waits: list[float] = []
    with FarEnd(*script) as server:
        sender = sender_to(server, source, first_s=1.0, clock=time, most_events=1)
        for _ in script:
            sender.run_once()
            waits.append(sender.due_in_s)
            time.now += sender.due_in_s
        sender.stop()

    assert [1, 2, 4, 8, 16, 30, 30, 5, 300, 0, 1, 0] == pytest.approx(waits)


def test_no_attempt_is_made_during_a_back_off() -> None:
    """
    However often it is asked, before the wait is over nothing is sent.
    """
    source, time = Memory("e"), Time()
    with FarEnd(http(503, Retry_After="60")) as server:
        sender = sender_to(server, source, clock=time)
        for _ in range(60):
            assert Outcome.HELD is sender.run_once()
            time.now += 0.99
        assert 1 == len(server.requests)
        time.now += 1
        sender.run_once()
        sender.stop()

        assert 2 == len(server.requests)


def test_a_line_that_takes_no_large_request_takes_small_ones() -> None:
    """
    Where whoever stands in between hangs up on large requests without a word, smaller ones get through.
    """
    source, time = Memory(), Time()
    source.entries = [entry * 100 for entry in Memory(*numbered(2000)).entries]

    def answer(request: Request) -> bytes:
        if len(request.plain) > 60_000:
            raise OSError  # the server's thread ends, and the connection with it
        return OK

    with FarEnd() as server:
        server.by_request = answer
        drained(sender_to(server, source, clock=time), time)

    assert 2000 == source.delivered


def test_a_source_that_fails_is_survived(production_guard: None) -> None:
    """
    An I/O error of the disk is a hold, and is counted.
    """
    source, time = Memory("e"), Time()
    broken = [OSError(5, "s3cr3t"), OSError(5, "s3cr3t")]
    whole = source.batch

    def batch(most_bytes: int, most_events: int) -> Any:
        if broken:
            raise broken.pop()
        return whole(most_bytes, most_events)

    source.batch = batch  # type: ignore[method-assign]
    with FarEnd(OK) as server:
        assert [Outcome.HELD, Outcome.HELD, Outcome.MOVED] == drained(sender_to(server, source, clock=time), time)
    assert 1 == source.delivered


# --- its thread -----------------------------------------------------------------------------------------------------


def test_the_thread_starts_at_the_first_wake_and_delivers(senders: list[Sender]) -> None:
    """
    Nothing runs before; then one daemon thread, however often it is woken.
    """
    source = Memory(*numbered(5))
    with FarEnd(OK) as server:
        sender = sender_to(server, source)
        senders.append(sender)
        before = threading.active_count()
        for _ in range(100):
            sender.wake()
        assert server.wait(1)
        thread = sender.life.thread
        assert thread is not None
        assert thread.daemon
        assert before + 2 == threading.active_count()  # and the server's for its connection
        source.add("later")
        sender.wake()
        assert sender.flush(5)

        assert [*numbered(5), "later"] == all_names(server)


def test_no_wake_is_missed(senders: list[Sender]) -> None:
    """
    Events that come one by one, at any moment of the loop, all arrive without another wake.
    """
    source = Memory()
    chance = random.Random(1)
    with FarEnd(OK) as server:
        sender = sender_to(server, source, linger_s=0.0)
        senders.append(sender)
        for number in range(300):
            source.add(f"e{number}")
            sender.wake()
            if chance.random() < 0.5:
                assert until(lambda: not source.waiting())
        assert until(lambda: not source.waiting())

        assert numbered(300) == all_names(server)


def test_a_wake_does_not_cut_a_back_off_short(senders: list[Sender]) -> None:
    """
    A thousand wakes during a wait of 60 s send nothing.
    """
    source = Memory("e")
    held = threading.Event()
    backoff = Backoff(60.0, 60.0)
    with FarEnd(http(503)) as server:
        sender = sender_to(server, source, backoff=backoff)
        senders.append(sender)
        sender.wake()
        assert until(lambda: bool(sender.holds.values()))
        for _ in range(1000):
            sender.wake()
            held.wait(0.0002)

        assert 1 == len(server.requests)


def test_a_flush_during_an_outage_ends_in_time(senders: list[Sender]) -> None:
    """
    False after the time-out that was told, whether connections are refused, unanswered or held.
    """
    source = Memory("e")
    with FarEnd() as server:
        server.steps.append(http(503))
        server.steps.append(lambda connection: (server.over.wait(20), None)[1])
        sender = sender_to(server, source, timeout_s=20)
        senders.append(sender)
        sender.wake()
        began = time.monotonic()
        assert [False, False] == [sender.flush(0.2) for _ in range(2)]
        assert time.monotonic() - began < 1.5
        assert not sender.flush(0)
        sender.stop()

    assert 1 == source.waiting()


def test_a_flush_tries_once_more_during_our_own_back_off(senders: list[Sender]) -> None:
    """
    A collector that is back gets everything at the flush, not at the end of a long wait; a server's wish stands.
    """
    for answer, wanted in ((http(503), True), (http(503, Retry_After="60"), False)):
        source = Memory("e")
        with FarEnd(answer, OK) as server:
            backoff = Backoff(0.01, chance=lambda: 1.0)
            sender = sender_to(server, source, backoff=backoff)
            senders.append(sender)
            for _ in range(20):
                backoff.after_failure()
            sender.wake()
            assert until(lambda sender=sender: bool(sender.holds.values()))  # type: ignore[misc]
            assert sender.due_in_s > 10

            assert wanted is sender.flush(2 if wanted else 0.2)
            sender.stop()


def test_a_flush_does_not_wait_for_what_came_after_it(senders: list[Sender]) -> None:
    """
    True when what waited is settled, although more comes with every request.
    """
    source = Memory(*numbered(10))

    def answer(request: Request) -> bytes:
        source.add("one more", "and another")
        sender.wake()
        return OK

    with FarEnd() as server:
        server.by_request = answer
        sender = sender_to(server, source, most_events=1)
        senders.append(sender)

        assert sender.flush(5)
        assert set(numbered(10)) <= set(all_names(server))
        assert source.waiting()
        sender.stop()


def test_a_flush_with_nothing_to_do_starts_nothing() -> None:
    """
    True at once.
    """
    with FarEnd(OK) as server:
        sender = sender_to(server, Memory())
        assert sender.flush(0)
        assert None is sender.life.thread


def test_stop_is_bounded_even_in_a_black_hole() -> None:
    """
    A request that waits is given up; what was not settled keeps waiting, and no later wake sends it.
    """
    source = Memory("e")
    with FarEnd() as server:
        server.steps.append(lambda connection: (server.over.wait(20), None)[1])
        sender = sender_to(server, source, timeout_s=20)
        sender.wake()
        assert server.wait(1)
        flushed: list[bool] = []
        flushing = threading.Thread(target=lambda: flushed.append(sender.flush(20)))
        flushing.start()
        assert until(lambda: bool(sender.life.flushes))
        began = time.monotonic()
        sender.stop(5)
        flushing.join(5)
        took = time.monotonic() - began
        sender.wake()

        thread = sender.life.thread
        assert thread is not None
        assert not thread.is_alive()
        assert ([False], 1, 1) == (flushed, source.waiting(), len(server.requests))
        assert took < 1
        assert not sender.flush(1)


def test_a_flush_gives_up_where_no_attempt_comes_in_time(senders: list[Sender]) -> None:
    """
    A process that ends during an outage does not wait for a back-off that is longer than its last seconds.
    """
    source = Memory("e")
    with FarEnd(http(503, Retry_After="60")) as server:
        sender = sender_to(server, source)
        senders.append(sender)
        began = time.monotonic()
        assert [False, False] == [sender.flush(10) for _ in range(2)]
        assert time.monotonic() - began < 2
        assert 1 == len(server.requests)


def test_without_threads_a_flush_sends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    While the interpreter shuts down no thread starts: a wake is quiet, and a flush delivers on its caller's thread.
    """
    source = Memory(*numbered(3))
    with FarEnd(http(503), OK) as server:
        sender = sender_to(server, source, most_events=2)
        serving = threading.Thread.start

        def start(thread: threading.Thread) -> None:
            if thread.name == "bizspan-spool":
                raise RuntimeError("can't create new thread at interpreter shutdown")
            serving(thread)

        monkeypatch.setattr(threading.Thread, "start", start)
        sender.wake()
        sender.wake()
        assert sender.flush(5)
        sender.stop()

    assert 3 == source.delivered


def test_without_threads_a_flush_is_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The time of the flush is the time of its requests.
    """
    source = Memory("e")
    with FarEnd() as server:
        server.steps.append(lambda connection: (server.over.wait(20), None)[1])
        sender = sender_to(server, source, timeout_s=20)

        def no(life: object) -> bool:
            return False

        monkeypatch.setattr(sender, "_has_thread", no)
        began = time.monotonic()
        assert not sender.flush(0.3)
        assert time.monotonic() - began < 1.5
        sender.stop()


@pytest.mark.signals
def test_a_signal_handler_may_wake_and_flush(senders: list[Sender]) -> None:
    """
    Wherever it comes between: 200 signals during wakes, flushes and steps, and everything arrives.
    """
    source = Memory()
    told = iter(range(10_000))

    def handler(*_: object) -> None:
        source.add(f"e{next(told)}")
        sender.wake()
        if source.waiting() % 10 == 0:
            sender.flush(0.01)

    with FarEnd(OK) as server:
        sender = sender_to(server, source, linger_s=0.0)
        senders.append(sender)
        before = signal.signal(signal.SIGALRM, handler)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
            while len(source.entries) < 200:
                source.add("main")
                sender.wake()
                sender.flush(0.01)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        sender.wake()

        assert sender.flush(5)
        assert len(source.entries) == len(all_names(server))


# --- forks ----------------------------------------------------------------------------------------------------------


def test_a_forked_child_sends_by_itself(senders: list[Sender]) -> None:
    """
    The child has a thread and a connection of its own, while the parent's are in the midst of a request.
    """
    source = Memory("parent")
    answering = threading.Event()

    def slowly(connection: Any) -> None:
        answering.wait(10)
        connection.sendall(OK)

    with FarEnd(slowly, OK) as server:
        sender = sender_to(server, source)
        senders.append(sender)
        sender.wake()
        assert server.wait(1)
        pid = os.fork()
        if not pid:
            code = 2
            try:
                source.entries, source.acked = [], 0  # a source belongs to a process, and this one is a stand-in
                source.add("child")
                sender.wake()
                code = 0 if sender.flush(5) else 1
            finally:
                os._exit(code)
        assert 0 == os.waitpid(pid, 0)[1]
        answering.set()
        assert sender.flush(5)

        assert ["parent", "child"] == all_names(server)
    assert 1 == source.delivered


class Odd:
    """A poster that answers with something that no table knows."""

    shown = "odd"

    def post(self, body: bytes, timeout_s: float | None = None) -> Answer:
        return Answer(0, "unheard of")

    def interrupt(self) -> None: ...

    def close(self) -> None: ...


def test_only_one_thread_is_at_it() -> None:
    """
    A second caller is told so, and sends nothing.
    """
    source = Memory("e")
    sender = Sender(source, Odd(), encode)
    inner: list[Outcome] = []

    def batch(most_bytes: int, most_events: int) -> Slice | None:
        inner.append(sender.run_once())
        return None

    source.batch = batch  # type: ignore[method-assign]

    assert Outcome.NOTHING is sender.run_once()
    assert [Outcome.BUSY] == inner


def test_the_log_is_silent_while_all_is_well(caplog: pytest.LogCaptureFixture) -> None:
    """
    Deliveries write nothing.
    """
    caplog.set_level(logging.DEBUG)
    with FarEnd(OK) as server:
        drained(sender_to(server, Memory(*numbered(10))))

    assert [] == caplog.messages
