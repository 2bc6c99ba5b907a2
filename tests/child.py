"""A Python process of its own, for tests of how a process begins, forks and ends. Always bounded."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _collector import Receiver

BOUND_S = 30.0


@dataclass(frozen=True, slots=True)
class Ended:
    """
    How a child process ended.

    Args:
        code: Its exit code; below 0 the signal that killed it.
        out: What it wrote to its standard output.
        err: What it wrote to its standard error stream.
        at: When, in seconds of the monotonic clock, which all processes share.
    """

    code: int
    out: str
    err: str
    at: float


def environment(receiver: Receiver | None = None, **variables: str) -> dict[str, str]:
    """
    This process's environment without any telemetry settings, and with those that are given. Coverage is not measured
    there: it holds a lock while it notes a line, and a signal handler in the middle of that waits for itself.

    Args:
        receiver: Where OTLP over HTTP goes.
        variables: Set on top.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OTEL_", "BIZSPAN_", "PYTEST_", "COVERAGE_"))
        and name.lower() not in ("http_proxy", "all_proxy")
    }
    if receiver is not None:
        kept["OTEL_EXPORTER_OTLP_ENDPOINT"] = receiver.http_endpoint
    kept["PYTHONFAULTHANDLER"] = "1"
    kept["PYTHONWARNINGS"] = "ignore::DeprecationWarning"  # 3.12 warns of each fork beside threads, the SDK's too
    return {**kept, "BIZSPAN_HASH_KEY": "k" * 32, **variables}


def run(code: str, receiver: Receiver | None = None, **variables: str) -> Ended:
    """
    Run this program to its end, for 30 seconds at most; see `run_for`.
    """
    return run_for(BOUND_S, code, receiver, **variables)


def run_for(bound_s: float, code: str, receiver: Receiver | None = None, **variables: str) -> Ended:
    """
    Run this program to its end.

    Args:
        bound_s: Seconds that it may run.
        code: Its source, indented as it likes.
        receiver: See `environment`.
        variables: See `environment`.

    Raises:
        subprocess.TimeoutExpired: When it runs for longer; it is killed then.
    """
    with started(code, receiver, **variables) as process:
        out, err = process.communicate(timeout=bound_s)
        return Ended(process.returncode, out, err, time.monotonic())


@contextmanager
def started(code: str, receiver: Receiver | None = None, /, **variables: str) -> Generator[subprocess.Popen[str]]:
    """Start this program; it and what it forked end with the block at the latest."""
    env: Mapping[str, str] = environment(receiver, **variables)
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        _kill_group(process.pid)
        process.communicate(timeout=BOUND_S)


def _kill_group(leader: int) -> None:
    try:
        os.killpg(leader, 9)
    except (ProcessLookupError, PermissionError):  # it ended, and so did all that it forked
        return
