"""
The demo: a shop, its telemetry, and a release that hurts, on this machine and in a minute.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Final

from bizspan.demo._screen import Lines, Screen, Terminal, is_terminal
from bizspan.demo._story import Story
from bizspan.errors import MissingExtra, SetupError

__all__ = ["Options", "run"]

_PACKAGES: Final = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http", "opentelemetry.proto")
_ON_A_TERMINAL_S, _WITHOUT_S = 60.0, 15.0


@dataclass(frozen=True, slots=True)
class Options:
    """
    How the demo runs.

    Args:
        seed: The same customers come for the same one.
        seconds: How long they come; None is 60 on a terminal, and 15 without.
        keep: A directory for its files, which stays; without, they go with the demo.
    """

    seed: int = 5
    seconds: float | None = None
    keep: str | None = None


def run(options: Options, show: Callable[[str], None]) -> int:
    """
    Run it to its end, with a terminal where there is one.

    Args:
        options: How.
        show: Prints a line.

    Returns:
        0 when the shop's own book and the events agree, 1 when they differ; 128 and the signal's number after one.

    Raises:
        MissingExtra: An extra is not installed.
        SetupError: This system has no spool, or the directory can't be used.
    """
    _needs()
    with ExitStack() as stack:
        ended = stack.enter_context(_ended_by_signals())
        directory = stack.enter_context(_directory(options.keep))
        screen: Screen = Lines(show, ended.wait)
        if is_terminal():
            screen = stack.enter_context(Terminal(sys.stdin, sys.stdout))
        seconds = options.seconds or (_ON_A_TERMINAL_S if screen.has_keys else _WITHOUT_S)
        code = Story(options.seed, seconds, directory, screen, ended).run()
        if options.keep:
            screen.say(f"kept in {directory}")
        return 128 + ended.number if ended.number else code


class _Ended(threading.Event):
    number = 0
    """Of the signal; 0 for none."""


@contextmanager
def _ended_by_signals() -> Generator[_Ended]:
    """Have Ctrl-C and SIGTERM end it in order."""
    ended = _Ended()

    def end(number: int, frame: FrameType | None) -> None:
        ended.number = number
        ended.set()

    if threading.current_thread() is not threading.main_thread():
        yield ended
        return
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # which is nohup
        numbers.append(signal.SIGHUP)
    before = [(number, signal.signal(number, end)) for number in numbers]
    try:
        yield ended
    finally:
        for number, handler in before:
            signal.signal(number, handler)


@contextmanager
def _directory(keep: str | None) -> Generator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="bizspan-demo-") as name:
            yield Path(name)
        return
    path = Path(keep).absolute()
    try:
        path.mkdir(parents=True, exist_ok=True)
        is_used = any(path.iterdir())
    except OSError as error:
        raise SetupError(f"{keep} can't be used ({error.strerror}); name another directory.") from None
    if is_used:
        raise SetupError(f"{keep} is not empty; name a new directory.")
    yield path


def _needs() -> None:
    if os.name != "posix":
        raise SetupError("the demo kills a process and keeps its events on disk, which needs Linux or macOS.")
    if not all(map(_is_there, _PACKAGES)):
        raise MissingExtra("bizspan demo", "otlp,lens")


def _is_there(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # not even what it would be in
        return False
