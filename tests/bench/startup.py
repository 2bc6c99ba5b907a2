"""What `import bizspan` and the first decoration cost, each in a fresh interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

API: Final = "from opentelemetry import trace, metrics, _logs"
BIZSPAN: Final = "import bizspan"
DECORATE: Final = "bizspan.operation('checkout')(lambda: None)"

# CPU of the child, not wall time: files are in the page cache after the first round, neighbours come and go.
_CHILD: Final = """
import time
{before}
started = time.process_time_ns()
{measured}
print(time.process_time_ns() - started)
"""


@dataclass(frozen=True, slots=True)
class Startup:
    """CPU in milliseconds, medians."""

    api_ms: float
    bizspan_ms: float
    added_ms: float
    first_decoration_ms: float


def startup(rounds: int = 15) -> Startup:
    """
    Import and first decoration, interleaved.

    Args:
        rounds: Fresh interpreters per figure.
    """
    api: list[float] = []
    both: list[float] = []
    decorated: list[float] = []
    with TemporaryDirectory() as cache:
        # An installed package has its bytecode; a checkout that forbids writing it would compile each time.
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": cache}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        _run(f"{API}\n{BIZSPAN}\n{DECORATE}", environment)
        for _ in range(rounds):
            api.append(_child_ms("", API, environment))
            both.append(_child_ms("", f"{API}\n{BIZSPAN}", environment))
            decorated.append(_child_ms(f"{API}\n{BIZSPAN}", DECORATE, environment))
    added = median(with_ours - without for with_ours, without in zip(both, api, strict=True))
    return Startup(median(api), median(both), added, median(decorated))


def _child_ms(before: str, measured: str, environment: dict[str, str]) -> float:
    return int(_run(_CHILD.format(before=before, measured=measured), environment)) / 1e6


def _run(code: str, environment: dict[str, str]) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
