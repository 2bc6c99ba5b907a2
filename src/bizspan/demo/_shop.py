"""
The demo's shop as a whole: its processes, which release a customer gets, and where its files are.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Final

from bizspan.demo._goods import NEW, OLD, Visit
from bizspan.demo._post import NotAnswered, post
from bizspan.demo._processes import Process, environment
from bizspan.demo._service import READY
from bizspan.errors import SetupError

SHARE: Final = 0.5  # of the customers, who get the new release while it runs beside the old one
_KEPT_RECEIPTS: Final = 200
_DRAIN_S: Final = 20


class Shop:
    """
    A web shop in one release or two, and its payment service.

    Args:
        directory: Where its files go.
        endpoint: Where its telemetry goes.
    """

    def __init__(self, directory: Path, endpoint: str) -> None:
        self.ledger = directory / "ledger.db"
        self.receipts: deque[str] = deque(maxlen=_KEPT_RECEIPTS)
        self.released_ns = 0
        self.rolled_back_ns = 0
        self._directory = directory
        self._spool = directory / "spool"
        self._environment = environment(endpoint, os.urandom(16).hex())
        self._payment: Process | None = None
        self._ports: dict[str, int] = {}  # also of a shop that is closed: customers may still be on their way
        self._web: dict[str, Process] = {}

    def start(self) -> None:
        """Open it, in the release that is known."""
        self._payment = self._process("_payment", "payment", [])
        self._open(OLD)

    @property
    def is_ready(self) -> bool:
        """Whether all of its processes answer."""
        processes = [*self._web.values(), *([self._payment] if self._payment else [])]
        with suppress(NotAnswered):
            for process in processes:
                post(process.port, READY, {})
            return True
        gone = [process for process in processes if not process.is_running]
        if gone:
            raise SetupError(f"a process of the demo's shop ended at once; {gone[0].log} says why.")
        return False

    def prepare(self) -> None:
        """Start the new release; nobody gets it yet."""
        self._open(NEW)

    def release(self) -> None:
        """Give the new release to a part of the customers."""
        self.released_ns = time.time_ns()

    def roll_back(self) -> None:
        """Give the new release to nobody any more."""
        self.rolled_back_ns = time.time_ns()

    def kill(self) -> tuple[str, int]:
        """``kill -9`` of the newest release in use, which is started again; which one it was, and the process's id."""
        version = NEW if self.is_released else OLD
        return version, self._web[version].kill()

    @property
    def is_released(self) -> bool:
        """Whether customers get the new release."""
        return bool(self.released_ns) and not self.rolled_back_ns

    def port_of(self, visit: Visit) -> int:
        """The port of the shop that this visit gets."""
        return self._ports[NEW if self.is_released and visit.draw < SHARE else OLD]

    def close(self, *, in_order: bool) -> None:
        """
        Close it; afterwards no process of it is left.

        Args:
            in_order: Have them finish, and send what waits on disk.
        """
        # The web shop first: it asks the payment service.
        processes = [*self._web.values(), *([self._payment] if self._payment else [])]
        self._web, self._payment = {}, None
        for process in processes:
            process.close()
        for process in processes:
            process.wait() if in_order else process.wait(0.0)
        if in_order and self._spool.is_dir():
            self._drain()

    def _drain(self) -> None:
        """Send what a process that was killed has left, and nobody took over yet."""
        from bizspan.spool._inspect import status_of

        if not status_of(str(self._spool)).waiting:
            return
        command = [sys.executable, "-m", "bizspan", "spool", "drain", str(self._spool), "--timeout-s", str(_DRAIN_S)]
        subprocess.run(
            command, env=self._environment, cwd=self._directory, stdin=subprocess.DEVNULL, capture_output=True,
            check=False, timeout=3 * _DRAIN_S,
        )  # fmt: skip

    def _open(self, version: str) -> None:
        assert self._payment is not None
        words = ["--version", version, "--ledger", str(self.ledger), "--payment", str(self._payment.port)]
        self._web[version] = process = self._process("_web", f"web-{version}", words)
        self._ports[version] = process.port

    def _process(self, module: str, name: str, words: list[str]) -> Process:
        words = [*words, "--spool", str(self._spool)]
        return Process(module, words, self._environment, self._directory / f"{name}.log", self.receipts)
