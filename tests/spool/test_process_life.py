"""
Forks, signals, finalizers, stops and closed descriptors: nothing hangs, what was acknowledged arrives with its number,
and the application's files stay as they are.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from _collector import Receiver
from tests.child import started
from tests.spool.programs import END, LOAD, SET_UP, Spooling
from tests.spool.shelf import Shelf

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here"),
]


@pytest.fixture
def spooling(tmp_path: Path) -> Iterator[Spooling]:
    """A spool that sends to a running receiver."""
    with Receiver() as receiver:
        yield Spooling(tmp_path / "spool", receiver)


def numbered(by_writer: dict[str, list[int]]) -> list[int]:
    """How many each writer told, smallest first; each one's numbers go up from 1 without a gap."""
    for numbers in by_writer.values():
        assert list(range(1, len(numbers) + 1)) == numbers
    return sorted(map(len, by_writer.values()))


def test_forks_under_load_lose_nothing_and_never_hang(spooling: Spooling, long: bool) -> None:
    """
    Three threads tell while the process forks 30 times, 300 with --long; children end by os._exit, by sys.exit, or
    after a fork of their own.
    """
    forks = 300 if long else 30
    ended = spooling.run(
        f"""
    {LOAD}
    def double():
        child = os.fork()
        if not child:
            child_tells()
        wait(child)
        child_tells()
    for number in range({forks}):
        child = os.fork()
        if not child:
            (child_tells, double, lambda: child_tells(sys.exit))[number % 3]()
        wait(child)
        stop.wait(0.01)
    {END}
        """,
        bound_s=300.0 if long else 60.0,
    )
    parents, children = int(ended.out), forks + forks // 3
    assert sorted([7] * children + [parents]) == numbered(spooling.arrived(parents + 7 * children))


@pytest.mark.parametrize("way", ["daemon", "multiprocessing", "without hooks"])
def test_every_way_to_fork_leaves_a_child_that_tells(spooling: Spooling, way: str, long: bool) -> None:
    """
    A daemon closes all descriptors it has inherited; a fork in C runs no hooks: its first event says so. There
    is no load there: without hooks, Python itself survives a fork only where no other thread runs at that moment.
    """
    if way == "without hooks" and not sys.platform.startswith("linux"):
        pytest.skip("calls the C library of Linux")
    forks = 50 if long else 5
    code = {
        "daemon": """
        child = os.fork()
        if not child:
            os.setsid()
            grandchild = os.fork()
            if grandchild:
                os._exit(0)
            os.closerange(3, 256)
            child_tells()
        wait(child)
        """,
        "multiprocessing": """
        process = multiprocessing.get_context("fork").Process(target=child_tells)
        process.start()
        process.join()
        assert process.exitcode == 0
        """,
        "without hooks": """
        if not number:
            stop.set()
            for thread in threads:
                thread.join()
        configuration.force_flush(5.0)
        time.sleep(0.06)  # until our own threads have nothing to do
        child = ctypes.PyDLL(None).fork()
        if not child:
            bizspan.event("first")  # refused: until here the child has its parent's pipeline
            tell(7)
            account = bizspan.diagnostics()
            os._exit(0 if (7, {"forked": 1}, []) == (account.acknowledged, account.refused, inherited()) else 1)
        wait(child)
        """,
    }[way]
    ended = spooling.run(
        f"""
    {LOAD}
    for number in range({forks}):
        {code}
        stop.wait(0.01)
    {END}
        """
    )
    parents = int(ended.out)
    assert sorted([7] * forks + [parents]) == numbered(spooling.arrived(parents + 7 * forks))


def test_a_process_that_closes_all_descriptors_goes_on(spooling: Spooling, long: bool) -> None:
    """
    Its threads tell meanwhile; files that get the closed numbers hold what the application wrote, and nothing else.
    """
    rounds = 100 if long else 10
    ended = spooling.run(
        f"""
    {LOAD}
    for number in range({rounds}):
        stop.wait(0.05)
        os.closerange(3, 256)
        files = [os.open(f"{{DIR}}-application-{{n}}", os.O_RDWR | os.O_CREAT | os.O_APPEND) for n in range(20)]
        for file in files:
            os.write(file, b"the application's")
        stop.wait(0.02)
        for file in files:
            try:
                os.close(file)
            except OSError:
                pass
    {END}
        """,
        bound_s=120.0,
        may_say="does not take events",  # its connection was closed too
    )
    parents = int(ended.out)
    texts = {file.read_bytes() for file in spooling.path.parent.glob("spool-application-*")}
    assert {b"the application's" * rounds} == texts
    [numbers] = spooling.arrived(parents).values()
    assert list(range(1, parents + 1)) == numbers


@pytest.mark.parametrize("durability", ["process", "power"])
def test_signal_handlers_tell_while_the_same_thread_does(spooling: Spooling, durability: str, long: bool) -> None:
    """
    2,000 times, 20,000 with --long: no hang, and every event is acknowledged; a twentieth of it waits for the disk.
    """
    emits, every = (20_000 if long else 2_000), 0.0004
    if durability == "power":  # a call waits for the disk: handlers that come faster would nest without end
        emits, every = emits // 20, 0.02
    ended = spooling.run(
        f"""
    handled = told = 0
    def handler(*_):
        global handled
        handled += 1
        bizspan.event("handled")
    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, {every}, {every})
    while handled < {emits}:
        tell(1)
        told += 1
    signal.setitimer(signal.ITIMER_REAL, 0)
    configuration.force_flush(30.0)
    account = bizspan.diagnostics()
    assert account.offered == told + handled, (account, told, handled)
    assert account.refused == {{}}
    print(account.acknowledged)
        """,
        bound_s=200.0 if long else 60.0,
        durability=durability,
    )
    told = int(ended.out)
    assert [told] == numbered(spooling.arrived(told))


def test_finalizers_tell_while_the_same_thread_does(spooling: Spooling, long: bool) -> None:
    """
    The collection of garbage comes in the middle of whatever allocates, writing an event among it.
    """
    count = 20_000 if long else 2_000
    ended = spooling.run(
        f"""
    finalized = 0
    class Tells:
        def __init__(self):
            self.cycle = self
        def __del__(self):
            global finalized
            finalized += 1
            bizspan.event("finalized")
    gc.set_threshold(3)
    for _ in range({count}):
        Tells()
        tell(1)
    gc.collect()
    configuration.force_flush(30.0)
    account = bizspan.diagnostics()
    assert finalized == {count}
    assert account.offered == account.acknowledged == 2 * {count}, account
    print(account.acknowledged)
        """,
        bound_s=200.0 if long else 60.0,
    )
    told = int(ended.out)
    assert [told] == numbered(spooling.arrived(told))


def test_a_stopped_process_keeps_what_it_holds(spooling: Spooling) -> None:
    """
    SIGSTOP is no end: its lock is held, so nobody adopts. After SIGCONT it goes on, and after SIGKILL it is adopted.
    """
    spooling.receiver.behaviour = "unavailable"
    program = """
    tell(5)
    print("told", flush=True)
    sys.stdin.readline()
    """
    variables = {"DIR": str(spooling.path), "DURABILITY": "process"}
    with started(SET_UP + program + "time.sleep(60)", spooling.receiver, **variables) as process:
        assert process.stdout is not None
        assert "told\n" == process.stdout.readline()
        process.send_signal(signal.SIGSTOP)
        _wait_for_state(process.pid, "T")
        adopter = Shelf(spooling.path)
        assert 0 == adopter.store.adopt()
        process.send_signal(signal.SIGCONT)
        assert 0 == adopter.store.adopt()
        process.send_signal(signal.SIGSTOP)
        process.kill()
        process.wait(10)
        assert 1 == adopter.store.adopt()
        assert 5 == len([frame for batch in iter(lambda: _taken(adopter), None) for frame in batch])
        adopter.end()


def _taken(shelf: Shelf) -> list[object] | None:
    batch = shelf.store.batch(1 << 20, 100)
    if batch is None:
        return None
    batch.delivered()
    return [*batch.entries]


def _wait_for_state(pid: int, state: str) -> None:
    status = Path(f"/proc/{pid}/stat")
    deadline = time.monotonic() + 5
    while status.exists() and time.monotonic() < deadline:
        if status.read_text().rpartition(")")[2].split()[0] == state:
            return
        time.sleep(0.01)


def test_a_fork_in_the_middle_of_opening_a_file_leaves_no_lock_behind(tmp_path: Path) -> None:
    """
    Another thread opens a segment while this one forks: nobody has noted that descriptor yet, and the child closes it.
    """
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("this system can't tell which files are open")
    shelf = Shelf(tmp_path)
    shelf.tell(["a"])
    assert shelf.writer.segment is not None
    child = os.fork()
    if not child:
        try:
            shelf.directory.close_inherited()
            os._exit(int(shelf.writer.segment.is_intact))
        finally:
            os._exit(2)
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert shelf.writer.segment.is_intact
    shelf.end()
