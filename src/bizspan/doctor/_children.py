"""
Running a part of the diagnosis in a process of its own: it may hang, crash or print, and ends in time.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, cast

_LAUNCH: Final = "from opentelemetry.instrumentation.auto_instrumentation import run; run()"


@dataclass(frozen=True, slots=True)
class Answered:
    """
    What a process wrote: its JSON lines, and whether it came to its end in time with exit code 0.

    Args:
        lines: Each a JSON object.
        in_time: Whether it ended by itself.
        code: Its exit code; None when it was ended.
    """

    lines: tuple[dict[str, Any], ...]
    in_time: bool
    code: int | None


def ask(
    module: str,
    task: Mapping[str, object],
    environment: Mapping[str, str],
    bound_s: float,
    *,
    with_current_directory: bool = False,
    instrumented: bool = False,
) -> Answered:
    """
    Run the ``main()`` of a module as a program. Nothing of it is left when this returns, however it returns.

    Args:
        module: Its dotted name.
        task: Written to its standard input as JSON.
        environment: Of the process.
        bound_s: When it is ended, in seconds.
        with_current_directory: Whether it may import from there, as ``python manage.py`` may.
        instrumented: Whether OpenTelemetry's launcher starts it, as ``opentelemetry-instrument`` does.
    """
    # -P: a file random.py that lies around must not be imported instead of the standard library's.
    safe = [] if with_current_directory else ["-P"]
    launcher = [sys.executable, "-P", "-c", _LAUNCH] if instrumented else []
    process = subprocess.Popen(
        [*launcher, sys.executable, *safe, "-c", f"from {module} import main; main()"],
        env=dict(environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # libraries log there what may be secret
        text=True,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )
    in_time = True
    try:
        out, _ = process.communicate(json.dumps(task), timeout=bound_s)
    except subprocess.TimeoutExpired:
        in_time = False
        _end(process)
        out, _ = process.communicate()
    finally:
        _end(process)
    return Answered(tuple(_objects(out)), in_time, process.returncode if in_time else None)


def _end(process: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()


def _objects(out: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for line in out.splitlines():
        with suppress(ValueError):
            read = json.loads(line)
            if isinstance(read, dict):
                found.append(cast("dict[str, Any]", read))
    return found
