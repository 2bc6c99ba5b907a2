"""
The processes of the demo's shop: started, killed and started again, and ended at the latest with the demo.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

_RECEIPT: Final = "checkout "
_ORDERLY_S: Final = 8.0
_BACKLOG: Final = 256


class Process:
    """
    One service. Its socket belongs to the demo: while it is started again, customers wait, and are not turned away.

    Args:
        module: What runs, below ``bizspan.demo``.
        words: Its arguments, without the socket.
        variables: Its environment.
        log: Where its messages go.
        receipts: Where its receipts of checkouts go.
    """

    def __init__(
        self, module: str, words: Sequence[str], variables: Mapping[str, str], log: Path, receipts: deque[str]
    ) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
        self.port: int = self._listener.getsockname()[1]
        descriptor = str(self._listener.fileno())
        self._command = [sys.executable, "-m", f"bizspan.demo.{module}", "--descriptor", descriptor, *words]
        self._variables = {**variables}
        self.log = log
        self._receipts = receipts
        self._child = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=self._variables,
            cwd=self.log.parent,
            pass_fds=[self._listener.fileno()],
            start_new_session=True,  # Ctrl-C is the demo's, which ends its processes in order
        )
        self._reader = threading.Thread(target=self._read, args=(child,), daemon=True)
        self._reader.start()
        return child

    def _read(self, child: subprocess.Popen[bytes]) -> None:
        assert child.stderr is not None
        with self.log.open("a", encoding="utf-8") as log, child.stderr as lines:
            for line in lines:
                text = line.decode("utf-8", "replace").rstrip()
                if text.startswith(_RECEIPT):
                    self._receipts.append(text)
                elif not text.startswith("basket "):
                    log.write(text + "\n")
                    log.flush()

    @property
    def pid(self) -> int:
        """Of the process that serves now."""
        return self._child.pid

    @property
    def is_running(self) -> bool:
        """Whether it serves."""
        return self._child.poll() is None

    def kill(self) -> int:
        """``kill -9``, and start it again; the id of the process that was killed."""
        killed = self._child.pid
        self._ended_hard()
        self._child = self._started()
        return killed

    def close(self) -> None:
        """Have it end. Does not wait."""
        if self._child.stdin is not None and not self._child.stdin.closed:
            self._child.stdin.close()

    def wait(self, timeout_s: float = _ORDERLY_S) -> None:
        """
        Wait until it has ended, and kill it after that.

        Args:
            timeout_s: How long.
        """
        self.close()
        try:
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(timeout_s)
        finally:
            self._ended_hard()
            self._listener.close()

    def _ended_hard(self) -> None:
        self.close()
        self._child.kill()
        self._child.wait()
        self._reader.join()


def environment(endpoint: str, hash_key: str) -> dict[str, str]:
    """
    The environment of the shop's processes: this one, without telemetry settings of its own.

    Args:
        endpoint: The lens's address.
        hash_key: For customers' names.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "BIZSPAN_"))}
    return {
        **kept,
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_BSP_SCHEDULE_DELAY": "1000",
        "OTEL_METRIC_EXPORT_INTERVAL": "5000",
        "BIZSPAN_HASH_KEY": hash_key,
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
        "PYTHONIOENCODING": "utf-8",
    }
