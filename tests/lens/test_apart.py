"""Requests that another process decodes: the store has the same of them, and outlives that process."""

from __future__ import annotations

import os
import pickle
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from bizspan import names
from bizspan.lens import Damaged, Intake, Lens, Store, Stored, StoreError, TooMany, _apart, _intake
from bizspan.lens._apart import Apart
from bizspan.lens._decoding import Decoder, Encoding, Signal
from tests.child import BOUND_S, environment
from tests.lens.asking import ask, rows
from tests.lens.requests import Shop
from tests.lens.test_messages import as_json, metrics_request, trace_request
from tests.wire import events

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="waits for processes as Linux does")
_TABLES = ("events", "logs", "spans", "sums", "gauges", "histograms", "resources", "scopes", "minute_counts",
           "minute_money", "dimension_values")  # fmt: skip


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> Generator[Apart]:
    """A process that has every request, however small."""
    monkeypatch.setattr(_intake, "_APART_LEAST", 0)
    started = Apart()
    yield started
    started.close()


def ended(pid: int) -> int:
    """A descriptor that can be read once this process is over."""
    return os.pidfd_open(pid)


def wait_for(descriptor: int) -> None:
    """Wait until that process is over."""
    ready, _, _ = select.select([descriptor], [], [], BOUND_S)
    os.close(descriptor)
    assert ready


def a_bit_of_everything() -> list[tuple[Signal, Encoding, bytes]]:
    """Requests of each signal and encoding, some twice, and some with nothing but a name."""
    requests = [*Shop().requests(1_500, size=500)]
    again = requests[0] + events("later", {names.ORDER: "o-1"}) + events("", {"a": "b"})
    spans, points = trace_request(), metrics_request()
    return [
        *(("logs", "protobuf", each) for each in (*requests, again, b"")),
        ("traces", "protobuf", spans.SerializeToString()), ("traces", "json", as_json(spans)),
        ("metrics", "json", as_json(points)), ("metrics", "protobuf", points.SerializeToString()),
        ("logs", "json", b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"eventName":"x"},7]}]}]}'),
    ]  # fmt: skip


def test_the_store_has_the_same(tmp_path: Path, apart: Apart) -> None:
    """
    Answers, rows and minutes are those of a process that decodes by itself.
    """
    found: list[list[object]] = []
    for number, who in enumerate((None, apart)):
        with Store(tmp_path / f"{number}.db", time_ns=lambda: 1_790_000_000 * 10**9) as store:
            intake = Intake(store, apart=who)
            answers = [intake.take(*request) for request in a_bit_of_everything()]
            found.append([answers, *(rows(store, f"SELECT * FROM {table}") for table in _TABLES)])

    assert found[0] == found[1]
    assert all(found[1][1:])


def test_what_is_no_request_is_told_as_ever(store: Store, apart: Apart) -> None:
    """
    Damaged bytes, and too many records, are refused by the same process that goes on with the next.
    """
    intake, pid = Intake(store, apart=apart), apart.pid

    with pytest.raises(Damaged, match="not an ExportLogsServiceRequest"):
        intake.take("logs", "protobuf", b"\x0a\xff")
    with pytest.raises(Damaged, match="not JSON"):
        intake.take("traces", "json", b"{")
    with pytest.raises(TooMany):
        intake.take("metrics", "protobuf", b"\x0a\x00" * 50_001)
    assert Stored(1) == intake.take("logs", "protobuf", events("a", {}))
    assert pid == apart.pid


def test_each_of_many_at_once_has_its_own_answer(store: Store, apart: Apart) -> None:
    """
    Requests of several threads are answered in their order.
    """
    intake = Intake(store, apart=apart)
    answers: dict[int, list[Stored]] = {size: [] for size in range(1, 9)}

    def take(size: int) -> None:
        for data in Shop(size).requests(size * 40, size=size):
            answers[size].append(intake.take("logs", "protobuf", data))

    threads = [threading.Thread(target=take, args=(size,)) for size in answers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(BOUND_S)

    assert {size: [Stored(size)] * 40 for size in answers} == answers


def test_a_request_over_which_it_ends_is_not_stored(store: Store, apart: Apart) -> None:
    """
    Who sent it is told to try again, and the next request finds a new process.
    """
    intake, pid = Intake(store, apart=apart), apart.pid
    data = next(Shop().requests(500, size=500))
    assert Stored(1) == intake.take("logs", "protobuf", events("a", {}))
    failed: list[str] = []

    def take() -> None:
        try:
            intake.take("logs", "protobuf", data)
        except StoreError as error:
            failed.append(str(error))

    os.kill(pid, signal.SIGSTOP)
    thread = threading.Thread(target=take)
    thread.start()
    while not apart._turn.locked():  # or it would find that the process has ended already
        thread.join(0.01)
    os.kill(pid, signal.SIGKILL)
    thread.join(BOUND_S)

    assert ["the process that decodes requests has ended"] == failed
    assert [1] == rows(store, "SELECT count(*) FROM events")
    assert Stored(500) == intake.take("logs", "protobuf", data)
    assert pid != apart.pid


def test_one_that_ended_meanwhile_costs_nothing(store: Store, apart: Apart) -> None:
    """
    What comes next is stored at once, by a new process.
    """
    intake = Intake(store, apart=apart)
    assert Stored(1) == intake.take("logs", "protobuf", events("a", {}))
    descriptor = ended(apart.pid)
    os.kill(apart.pid, signal.SIGKILL)
    wait_for(descriptor)
    assert Stored(1) == intake.take("logs", "protobuf", events("b", {}))


@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_request_is_never_given_anothers_answer(
    store: Store, apart: Apart, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """
    Not even where something goes wrong between its first byte and the last one of its answer.
    """
    intake = Intake(store, apart=apart)
    assert Stored(1) == intake.take("logs", "protobuf", events("a", {}))
    calls: list[int] = []

    def failing(real: Any) -> Any:
        def call(*told: Any) -> Any:
            calls.append(1)
            if len(calls) == after:
                raise MemoryError
            return real(*told)

        return call

    for name in ("_is_written", "_read"):
        monkeypatch.setattr(_apart, name, failing(getattr(_apart, name)))
    with pytest.raises(MemoryError):
        intake.take("logs", "protobuf", events("b", {}))
    for number in range(2, 5):
        requests = [*Shop(number).requests(number, size=number)]
        assert [Stored(number)] == [intake.take("logs", "protobuf", data) for data in requests]
    assert [1 + 2 + 3 + 4] == rows(store, "SELECT count(*) FROM events")


def test_who_prints_there_is_not_in_the_way(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """
    Not even one that kept the standard output from before: it goes to the terminal.
    """
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys, threading\n"
        "if 'import main' in ' '.join(sys.orig_argv):\n"
        "    kept = sys.stdout\n"
        "    from bizspan.lens import _decoding\n"
        "    real = _decoding.Decoder.prepared\n"
        "    def prepared(*told):\n"
        "        print('hello', file=kept, flush=True)\n"
        "        os.write(1, b'again')\n"
        "        return real(*told)\n"
        "    _decoding.Decoder.prepared = prepared\n"
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path), Path("odd"), *sys.path])
    monkeypatch.setattr(_intake, "_APART_LEAST", 0)
    apart = Apart()
    try:
        intake = Intake(store, apart=apart)
        assert [Stored(1)] * 3 == [intake.take("logs", "protobuf", events(name, {})) for name in "abc"]
        assert apart.is_ready()
    finally:
        apart.close()
    assert 3 == capfd.readouterr().err.count("hello")


def test_one_that_is_killed_as_it_starts_is_started_again(store: Store, apart: Apart) -> None:
    """
    Meanwhile requests are decoded here; after three failures in a row they always are, and the terminal says so.
    """
    intake = Intake(store, apart=apart)
    os.kill(apart.pid, signal.SIGKILL)
    assert Stored(1) == intake.take("logs", "protobuf", events("a", {}))
    assert apart.is_ready()
    assert Stored(1) == intake.take("logs", "protobuf", events("b", {}))


@pytest.mark.parametrize("program", ["/nowhere/python", "/bin/false"])
def test_without_such_a_process_this_one_decodes(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], program: str
) -> None:
    """
    Where Python can't be started again, or not with the same packages.
    """
    monkeypatch.setattr(_intake, "_APART_LEAST", 0)
    monkeypatch.setattr(sys, "executable", program)
    apart = Apart()
    intake = Intake(store, apart=apart)

    assert [Stored(1)] * 5 == [intake.take("logs", "protobuf", events(name, {})) for name in "abcde"]
    assert not apart.is_ready()
    assert 0 == apart.pid
    assert 1 == capsys.readouterr().err.count("no second process can be started")


def test_ctrl_c_is_not_meant_for_it(store: Store, apart: Apart) -> None:
    """
    A terminal sends it to all; what has come is still decoded.
    """
    intake, pid = Intake(store, apart=apart), apart.pid
    assert apart.is_ready()

    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(pid, number)
    assert Stored(1) == intake.take("logs", "protobuf", events("a", {}))
    assert pid == apart.pid


def test_it_ends_with_whom_it_works_for() -> None:
    """
    Also when that one is killed.
    """
    code = "from bizspan.lens._apart import Apart; a = Apart(); a.is_ready(); print(a.pid, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()
    ) as process:
        assert process.stdout is not None
        descriptor = ended(int(process.stdout.readline()))
        process.kill()
    wait_for(descriptor)


def test_a_lens_that_stops_leaves_nothing(tmp_path: Path) -> None:
    """
    What is sent over HTTP is decoded apart, and the process is gone after `stop`.
    """
    with Lens(tmp_path / "lens.db", apart=True) as lens:
        lens.start(0)
        assert lens._apart is not None
        descriptor = ended(lens._apart.pid)
        data = next(Shop().requests(500, size=500))
        assert len(data) > _intake._APART_LEAST
        assert 200 == ask(lens, "/v1/logs", data).status
        assert Stored(500) == lens.intake.total
    wait_for(descriptor)
    assert not lens._apart.is_ready()


def test_what_fails_in_it_is_told_by_its_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    An error that nobody expects ends nothing.
    """

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Decoder, "prepared", fail)
    told = pickle.loads(_apart._answer(Decoder(), "logs", "protobuf", b"", 0))
    assert "ZeroDivisionError while decoding" == str(told)
    assert "bizspan lens: ZeroDivisionError while decoding\n" == capsys.readouterr().err
