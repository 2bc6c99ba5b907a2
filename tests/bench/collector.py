"""A real collector, with something behind it that takes all."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).resolve().parent.parent.parent


@contextmanager
def collector() -> Generator[str]:
    """Its HTTP endpoint. It runs in a process of its own, so that its CPU is not counted."""
    sys.path.append(str(_ROOT / "examples"))  # where pytest finds it by itself
    from _collector import Rotel

    command = [sys.executable, "-m", "tests.bench.sink"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=_ROOT, text=True) as behind:
        try:
            assert behind.stdout is not None
            with Rotel(f"http://127.0.0.1:{behind.stdout.readline().strip()}") as rotel:
                yield rotel.http_endpoint
        finally:
            behind.kill()
