"""The demo as a process of its own, and what it may not leave behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from tests.child import environment

BOUND_S: Final = 60.0


@contextmanager
def started(
    *words: str, temporary: Path, keys: int | IO[bytes] = subprocess.DEVNULL, out: int | IO[bytes] = subprocess.PIPE
) -> Generator[subprocess.Popen[bytes]]:
    """``bizspan demo``, which ends with the block at the latest."""
    variables = environment(
        TMPDIR=str(temporary), PYTHONUTF8="1", TERM="xterm", NO_COLOR="1", COLUMNS="100", LINES="50"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "bizspan", "demo", *words],
        env=variables, cwd=temporary, stdin=keys, stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=BOUND_S)


def left(directory: Path) -> list[str]:
    """The command lines of living processes that have files in this directory."""
    listed = subprocess.run(["ps", "-ww", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if str(directory) in line and "bizspan.demo." in line]


def until(is_so: Callable[[], bool], bound_s: float = 20.0) -> bool:
    """Whether it became so in time."""
    deadline = time.monotonic() + bound_s
    while time.monotonic() < deadline:
        if is_so():
            return True
        time.sleep(0.05)
    return is_so()


def read_until(descriptor: int, *wanted: str, bound_s: float = BOUND_S) -> str:
    """What came, up to the first that has all of what is wanted in it."""
    text = b""
    os.set_blocking(descriptor, False)
    deadline = time.monotonic() + bound_s
    while time.monotonic() < deadline:
        try:
            piece = os.read(descriptor, 65_536)
        except BlockingIOError:
            time.sleep(0.02)
            continue
        except OSError:  # the terminal's other side has gone
            break
        if not piece:
            break
        text += piece
        if all(each in text.decode("utf-8", "replace") for each in wanted):
            break
    return text.decode("utf-8", "replace")
