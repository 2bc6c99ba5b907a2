"""The end of a process: what was told arrives, the exit is bounded, signals keep their meaning, stderr is clean."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Iterator

import pytest

from _collector import Behaviour, Receiver
from tests.child import Ended, environment, run, run_for, started

EXIT_BOUND_S = 2.5
SLACK_S = 1.0  # for a busy machine: flushing is bounded, the interpreter goes down after it
LEAVE = "    print(time.monotonic(), flush=True); sys.exit(7)"

# What the exporters say of a collector that does not answer is theirs; older ones add a traceback.
INTERPRETER_NOISE = ("Exception ignored", "Exception in thread", "Error in atexit", "Fatal Python error")

BEGIN = """
    import atexit, gc, os, signal, sys, threading, time
    import bizspan
    configuration = bizspan.configure(service_name="shop")
    def tell(times=1, name="checkout"):
        for _ in range(times):
            with bizspan.operation(name, segment="gold") as op:
                op.revenue("1.00", "EUR")
"""
READY = """
    print("ready", flush=True)
    signal.pause()
"""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A running receiver."""
    with Receiver() as running:
        yield running


def outcomes(receiver: Receiver) -> list[tuple[object, object]]:
    """Outcome and reason of each operation that arrived."""
    key = "business.operation.outcome"
    events = receiver.events("business.operation")
    return [(event["attributes"].get(key), event["attributes"].get(f"{key}_reason")) for event in events]


def revenue(receiver: Receiver) -> list[float]:
    return [point["value"] for point in receiver.last_points("business.revenue")]


def terminated(program: str, receiver: Receiver | None, **variables: str) -> Ended:
    """Run a program until it says "ready", send SIGTERM, and wait for its end; `out` says when it was sent."""
    with started(BEGIN + program, receiver, **variables) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said == "ready\n", process.communicate(timeout=10)[1]
        sent = time.monotonic()
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
        return Ended(process.returncode, out or str(sent), err, time.monotonic())


# --- the ordinary exit ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ("pass", 0),
        ("sys.exit(3)", 3),
        ("raise SystemExit", 0),
        ("raise KeyboardInterrupt", -signal.SIGINT),
        ("1 / 0", 1),
    ],
)
def test_everything_told_just_before_the_exit_arrives(ending: str, code: int, receiver: Receiver) -> None:
    """
    However the program ends, 500 operations told in its last milliseconds are delivered, and it ends as it would.
    """
    ended = run(BEGIN + f"    tell(500)\n    {ending}", receiver)

    assert code == ended.code
    assert "bizspan" not in ended.err
    assert [("success", None)] * 500 == outcomes(receiver)
    assert 500 == len(receiver.spans("checkout"))
    assert [500.0] == revenue(receiver)


@pytest.mark.parametrize("behaviour", ["hang", "unavailable", "html"])
def test_an_exit_is_bounded_whatever_the_collector_does(behaviour: Behaviour, receiver: Receiver) -> None:
    """
    A black hole, a 503 and a web page: the process ends within 2.5 seconds, with its own exit code.
    """
    receiver.behaviour = behaviour
    ended = run(BEGIN + "    tell(50)\n" + LEAVE, receiver)

    assert 7 == ended.code
    assert ended.at - float(ended.out) < EXIT_BOUND_S + SLACK_S
    assert [] == [noise for noise in INTERPRETER_NOISE if noise in ended.err]


def test_an_exit_is_bounded_where_nothing_listens() -> None:
    """
    Connection refused: the same.
    """
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused
        endpoint = f"http://127.0.0.1:{taken.getsockname()[1]}"
        ended = run(BEGIN + "    tell(50)\n" + LEAVE, None, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)

    assert 7 == ended.code
    assert ended.at - float(ended.out) < EXIT_BOUND_S + SLACK_S
    assert [] == [noise for noise in INTERPRETER_NOISE if noise in ended.err]


def test_a_black_hole_over_grpc_is_bounded_too() -> None:
    """
    The same with the gRPC exporters, whose threads are not Python's.
    """
    pytest.importorskip("grpc")
    with Receiver(grpc=True, behaviour="hang") as receiver:
        variables = {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_endpoint}
        ended = run(BEGIN + "    tell(50)\n" + LEAVE, None, **variables)

    assert 7 == ended.code
    assert ended.at - float(ended.out) < EXIT_BOUND_S + SLACK_S


def test_operations_that_are_open_at_the_exit_arrive_as_abandoned(receiver: Receiver) -> None:
    """
    In the main thread, in a generator and in a daemon thread: outcome cancelled, reason abandoned.
    """
    ended = run(
        BEGIN
        + """
    def rows():
        with bizspan.operation("import"):
            yield 1
    running = rows(); next(running)
    started = threading.Event()
    def work():
        with bizspan.operation("work"):
            started.set()
            time.sleep(60)
    threading.Thread(target=work, daemon=True).start()
    started.wait()
    op = bizspan.operation("checkout").__enter__()
    op.revenue("5.00", "EUR")
        """,
        receiver,
    )

    assert (0, "") == (ended.code, ended.err)
    assert [("cancelled", "abandoned")] * 3 == outcomes(receiver)
    assert {"import", "work", "checkout"} == {span["name"] for span in receiver.spans()}
    assert [] == revenue(receiver)


def test_an_exit_handler_may_tell(receiver: Receiver) -> None:
    """
    What it tells before ours runs is delivered; what it tells afterwards is refused and counted; stderr stays clean.
    """
    ended = run(
        """
    import atexit
    import bizspan
    atexit.register(lambda: print(bizspan.diagnostics().refused))
    atexit.register(bizspan.event, "too.late")
    bizspan.configure()
    atexit.register(bizspan.event, "last.words")
        """,
        receiver,
    )

    assert (0, "", "{'shut_down': 1}\n") == (ended.code, ended.err, ended.out)
    assert ["last.words"] == [event["event_name"] for event in receiver.events()]


def test_finalizers_and_daemon_threads_may_tell_while_the_interpreter_goes_down(receiver: Receiver, long: bool) -> None:
    """
    `__del__` at module teardown and daemon threads that never stop: nothing on stderr, no hang.
    """
    for _ in range(10 if long else 2):
        ended = run(
            BEGIN
            + """
    class Noisy:
        def __del__(self):
            bizspan.event("gone")
            with bizspan.operation("gone") as op:
                op.revenue("1.00", "EUR")
    kept, cycle = Noisy(), [Noisy()]
    cycle.append(cycle)
    sys.noisy = Noisy()
    def forever():
        while True:
            tell()
            time.sleep(0.001)
    for _ in range(3):
        threading.Thread(target=forever, daemon=True).start()
    tell(20)
    print(time.monotonic())
            """,
            receiver,
        )
        assert (0, "") == (ended.code, ended.err)
        assert ended.at - float(ended.out) < EXIT_BOUND_S + SLACK_S


@pytest.mark.parametrize("configure", ["", "bizspan.configure(export='none')", "bizspan.configure(export='console')"])
def test_without_providers_an_exit_is_silent(configure: str) -> None:
    """
    Told in exit handlers, in `__del__` and in an operation that nobody leaves: no traceback, and a refusal said once.
    """
    ended = run(
        f"""
    import atexit, sys
    import bizspan
    class Noisy:
        def __del__(self):
            bizspan.event("gone")
    sys.noisy = Noisy()
    atexit.register(bizspan.event, "late")
    {configure}
    op = bizspan.operation("open").__enter__()
    bizspan.event("kept")
        """
    )

    assert 0 == ended.code
    said = [line for line in ended.err.splitlines() if "no_logger_provider" in line]
    receipts = {line.split()[0] for line in ended.err.splitlines() if line not in said}
    assert receipts <= {"kept", "late", "open", "gone"}
    assert len(said) == ("none" in configure)  # once, and it says what to do
    assert ("console" in configure) == ("kept" in receipts)


# --- SIGTERM ----------------------------------------------------------------------------------------------------------


def test_sigterm_flushes_and_the_process_dies_of_it(receiver: Receiver) -> None:
    """
    Where nothing else handles SIGTERM, what was told arrives, and the exit status is the signal's.
    """
    ended = terminated("    tell(100); open_one = bizspan.operation('open').__enter__()" + READY, receiver)

    assert (-signal.SIGTERM, "") == (ended.code, ended.err)
    assert [("success", None)] * 100 + [("cancelled", "abandoned")] == sorted(outcomes(receiver), reverse=True)
    assert [100.0] == revenue(receiver)


def test_sigterm_is_bounded_with_a_black_hole(receiver: Receiver) -> None:
    """
    The process dies of the signal within 2.5 seconds although nothing can be delivered.
    """
    receiver.behaviour = "hang"
    ended = terminated("    tell(100)" + READY, receiver)

    assert -signal.SIGTERM == ended.code
    assert ended.at - float(ended.out) < EXIT_BOUND_S + SLACK_S


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_handler_of_the_application_is_never_replaced(when: str, receiver: Receiver) -> None:
    """
    Set before or after configure(): it runs, alone, and what was told arrives at its ordinary exit.
    """
    handler = "    signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))\n"
    imports, rest = BEGIN.split("    configuration", 1)
    rest = f"    configuration{rest}"
    program = imports + handler + rest if when == "before" else imports + rest + handler
    text = program + "    tell(10)" + READY
    with started(text, receiver) as process:
        assert process.stdout is not None
        assert "ready\n" == process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=20)

    assert (9, "") == (process.returncode, err)
    assert 10 == len(outcomes(receiver))


def test_an_ignored_sigterm_stays_ignored(receiver: Receiver) -> None:
    """
    SIG_IGN is a handler too.
    """
    ended = run(
        """
    import os, signal
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    import bizspan
    bizspan.configure()
    os.kill(os.getpid(), signal.SIGTERM)
    bizspan.event("survived")
        """,
        receiver,
    )

    assert (0, "") == (ended.code, ended.err)
    assert 1 == len(receiver.events("survived"))


HEAVY = """
    import random
    def heavy(seed):
        def forever():
            while True:
                tell(50)
                with bizspan.context(segment="silver"):
                    bizspan.event("seen", customer="c-17")
        def end():
            time.sleep(random.Random(seed).random() / 5)
            os.kill(os.getpid(), signal.SIGTERM)
        signal.alarm(8)  # a process that hangs dies of another signal
        for target in (forever, forever, end):
            threading.Thread(target=target, daemon=True).start()
        while True:
            tell(50)
            configuration.force_flush(0.5)
"""
OFTEN = {"OTEL_METRIC_EXPORT_INTERVAL": "50", "OTEL_BSP_SCHEDULE_DELAY": "50", "OTEL_BLRP_SCHEDULE_DELAY": "50"}


def test_a_sigterm_in_the_middle_of_heavy_telling_never_hangs(receiver: Receiver, long: bool) -> None:
    """
    Wherever it interrupts the main thread, with two more threads telling, the process dies of it in time.
    """
    for seed in range(20 if long else 2):
        ended = run(f"{BEGIN}{HEAVY}\n    heavy({seed})", receiver, **OFTEN)
        assert (seed, -signal.SIGTERM) == (seed, ended.code)


def test_a_sigterm_to_a_forked_worker_that_is_telling_never_hangs(receiver: Receiver, long: bool) -> None:
    """
    The same in six workers (200 in the long form) of one preloaded master.
    """
    workers = 200 if long else 6
    ended = run_for(
        600 if long else 60,
        f"""{BEGIN}{HEAVY}
    codes = []
    for seed in range({workers}):
        child = os.fork()
        if not child:
            heavy(seed)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    print(codes)
        """,
        receiver,
        **OFTEN,
    )

    assert f"{[-signal.SIGTERM] * workers}\n" == ended.out


def test_the_environment_of_children_has_no_telemetry_settings_of_ours() -> None:
    """
    A test of the tests: this machine's own settings do not leak into the programs above.
    """
    assert ["OTEL_EXPORTER_OTLP_ENDPOINT"] == [
        name for name in environment(None, OTEL_EXPORTER_OTLP_ENDPOINT="x") if name.startswith("OTEL_")
    ]
