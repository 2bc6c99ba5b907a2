"""Events told at odd moments: by finalizers, signal and logging handlers, while others are taken."""

from __future__ import annotations

import gc
import logging
import signal
from typing import Any

import pytest

import bizspan
from bizspan.testing import Capture


class TellsWhenCollected:
    def __init__(self) -> None:
        self.cycle = self

    def __del__(self) -> None:
        bizspan.event("collected")


def test_an_event_told_by_a_finalizer_while_events_are_taken_is_kept(capbiz: Capture) -> None:
    """
    Row 51: the collection runs inside the take, on the very thread that holds its locks.
    """
    pipeline = capbiz._pipeline
    sink = pipeline.sinks[0]

    def collecting(record: Any, sequence: int) -> None:
        if record.name == "first":
            TellsWhenCollected()
            gc.collect()
        sink(record, sequence)

    pipeline.sinks = (collecting,)
    pipeline._immediate = True
    bizspan.event("first")
    pipeline._immediate = False

    assert ["first", "collected"] == [event.name for event in capbiz.events()]
    capbiz.assert_consistent()


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="no SIGUSR1 on this platform")
@pytest.mark.parametrize("immediate", [False, True])
def test_an_event_told_by_a_signal_handler_while_events_are_taken_is_kept(capbiz: Capture, immediate: bool) -> None:
    """
    Row 52: no deadlock, with receipts (taken at once) and without.
    """
    pipeline = capbiz._pipeline
    sink = pipeline.sinks[0]

    def interrupted(record: Any, sequence: int) -> None:
        if record.name == "first":
            signal.raise_signal(signal.SIGUSR1)
        sink(record, sequence)

    previous = signal.signal(signal.SIGUSR1, lambda number, at: bizspan.event("signal"))
    try:
        pipeline.sinks = (interrupted,)
        pipeline._immediate = immediate
        bizspan.event("first")
        pipeline.take()
    finally:
        pipeline._immediate = False
        signal.signal(signal.SIGUSR1, previous)

    assert ["first", "signal"] == [event.name for event in capbiz.events()]
    capbiz.assert_consistent()


@pytest.mark.parametrize("immediate", [False, True])
def test_a_logging_handler_that_tells_events_makes_no_endless_recursion(capbiz: Capture, immediate: bool) -> None:
    """
    Row 53: the exporter logs, and the application's handler makes an event of each log line.
    """
    pipeline = capbiz._pipeline
    sink = pipeline.sinks[0]
    logger = logging.Logger("exporter")

    class Telling(logging.Handler):
        left = 3

        def emit(self, record: logging.LogRecord) -> None:
            if self.left:
                self.left -= 1
                bizspan.event("log.line")

    logger.addHandler(Telling())

    def logging_sink(record: Any, sequence: int) -> None:
        logger.warning("exporting %s", record.name)
        sink(record, sequence)

    pipeline.sinks = (logging_sink,)
    pipeline._immediate = immediate
    bizspan.event("first")
    for _ in range(3):
        pipeline.take()
    pipeline._immediate = False

    assert ["first", "log.line", "log.line", "log.line"] == [event.name for event in capbiz.events()]
    capbiz.assert_consistent()
