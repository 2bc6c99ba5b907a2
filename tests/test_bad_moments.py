"""Rows 51 to 58 of the table of bad inputs: finalizers, signals, exits, forks."""

from __future__ import annotations

import gc
import logging
import re
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import bizspan
from bizspan.testing import Capture, capture
from tests import child


@pytest.fixture
def told() -> Iterator[Capture]:
    """The capture, without its own check: here refusals are expected, and counted by each test."""
    with capture(check=False) as captured:
        yield captured


class Interrupting:
    """
    A sink that does something while the pipeline holds its locks, before it hands the event on.

    Args:
        told: The capture whose pipeline it takes the place in.
        act: Done once, at the first event.
    """

    def __init__(self, told: Capture, act: Callable[[], object]) -> None:
        self._act = [act]
        self._inner = told._pipeline.sinks
        told._pipeline.sinks = (self,)

    def __call__(self, record: Any, sequence: int) -> None:
        while self._act:
            self._act.pop()()
        for sink in self._inner:
            sink(record, sequence)


class TellsWhenCollected:
    """A finalizer that tells an event."""

    def __init__(self) -> None:
        self.cycle = self

    def __del__(self) -> None:
        bizspan.event("told")


class TellingHandler(logging.Handler):
    """A logging handler that tells an event for each line."""

    def emit(self, record: logging.LogRecord) -> None:
        bizspan.event("told", attributes={"": record.levelname})  # a bad one: it has something to say itself


def collect() -> None:
    TellsWhenCollected()
    gc.collect()


def interrupt() -> None:
    previous = signal.signal(signal.SIGUSR1, lambda number, at: bizspan.event("told"))
    try:
        signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, previous)


def log() -> None:
    logger = logging.getLogger("bizspan")
    handler = TellingHandler()
    logger.addHandler(handler)
    try:
        logger.warning("said by the SDK")
    finally:
        logger.removeHandler(handler)


@pytest.mark.parametrize("immediate", [False, True], ids=["taken later", "taken at once"])
@pytest.mark.parametrize(
    "act",
    [
        pytest.param(collect, id="row 51: __del__"),
        pytest.param(
            interrupt,
            id="row 52: signal handler",
            marks=pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="no SIGUSR1 on this platform"),
        ),
        pytest.param(log, id="row 53: logging handler"),
    ],
)
def test_telling_while_events_are_handed_over_neither_hangs_nor_recurses(
    told: Capture, act: Callable[[], object], immediate: bool
) -> None:
    """
    The thread that holds the locks tells a further event: it is kept, and taken next.
    """
    Interrupting(told, act)
    told._pipeline._immediate = immediate
    bizspan.event("first")
    told._pipeline.take()

    # A logging handler hears once what bizspan says of the handler's own event, and tells that too.
    expected = ["first", "told", "told"] if act is log else ["first", "told"]
    assert expected == [event.name for event in told.events()]
    told.assert_consistent()


def test_row_54_telling_while_the_interpreter_goes_down_leaves_no_trace() -> None:
    """
    At exit, and in finalizers of modules that are torn down, the standard error stream gets receipts and nothing else.
    """
    ended = child.run(
        """
        import atexit, bizspan
        class Late:
            def __del__(self): bizspan.event("late", segment="gold")
        late = Late()
        late.me = late
        kept = Late()
        bizspan.configure(export="console")
        atexit.register(lambda: bizspan.event("at.exit"))
        bizspan.event("seen")
        """
    )

    receipts = ended.err.splitlines()
    assert 0 == ended.code
    assert ["seen ·", "at.exit ·"] == [line.strip() for line in receipts if not line.startswith("late ·")]


def test_row_55_before_and_after_set_up_events_are_refused_and_a_second_set_up_is_ignored() -> None:
    """
    Each event is counted by its reason, and the second configure() gives the first one's handle.
    """
    ended = child.run(
        """
        import bizspan
        bizspan.event("early")
        first = bizspan.configure(export="console")
        second = bizspan.configure(export="console", service_name="other")
        bizspan.event("seen")
        between = bizspan.diagnostics()
        first.shutdown()
        bizspan.event("late")
        after = bizspan.diagnostics()
        print(first is second, between.acknowledged, between.refused, after.refused, after.configured)
        """
    )

    assert "True 1 {'not_configured': 1} {'not_configured': 2} False\n" == ended.out
    assert ["bizspan: configure() was called again"] == re.findall(
        r"bizspan: configure\(\) was called again", ended.err
    )


_FORK = """
    import ctypes, os, threading, bizspan
    bizspan.configure(export="console")
    pipeline = bizspan._active.current
    held, release = threading.Event(), threading.Event()
    def hold():
        with pipeline._counting:
            held.set()
            release.wait()
    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    child = {fork}
    if child == 0:
        bizspan.event("child")
        account = bizspan.diagnostics()
        print(account.acknowledged, account.refused, flush=True)
        os._exit(0)
    os.waitpid(child, 0)
    release.set()
    thread.join()
    bizspan.event("parent")
    print(bizspan.diagnostics().acknowledged, flush=True)
"""
_needs_fork = pytest.mark.skipif(not hasattr(sys, "platform") or sys.platform == "win32", reason="no fork here")


@_needs_fork
def test_row_56_a_fork_while_another_thread_holds_the_lock_leaves_a_child_that_works() -> None:
    """
    The child has locks of its own, and tells its one event once.
    """
    ended = child.run(_FORK.format(fork="os.fork()"))

    assert "1 {}\n1\n" == ended.out
    assert (1, 1) == (ended.err.count("child"), ended.err.count("parent"))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="calls the C library of Linux")
def test_row_57_a_fork_that_runs_no_hooks_is_noticed_by_its_pid() -> None:
    """
    The first event says so; from then on the child has a pipeline of its own.
    """
    ended = child.run(_FORK.format(fork="ctypes.CDLL(None).fork()"))

    parent, inside = ended.out.splitlines()[::-1]
    assert "1" == parent
    assert "0 {'forked': 1}" == inside
    assert 1 == ended.err.count("parent")


@pytest.mark.parametrize("end", ["os._exit(3)", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_row_58_a_hard_end_keeps_its_code_and_what_was_handed_over(end: str) -> None:
    """
    Without a spool an event lives as long as the process; what a receipt was printed for was handed over.
    """
    ended = child.run(
        f"""
        import os, signal, bizspan
        bizspan.configure(export="console")
        bizspan.event("seen")
        {end}
        """
    )

    assert ended.code in (3, -9)
    assert 1 == ended.err.count("seen")
