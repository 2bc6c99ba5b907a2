"""A Redis server for a while: on loopback, in memory, gone at the end of the block."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager

BOUND_S = 10.0


def why_not() -> str:
    """Why there is none here; empty when there is."""
    return "" if shutil.which("redis-server") else "redis-server is not installed here (apt-get install redis-server)"


@contextmanager
def redis_server() -> Generator[str]:
    """
    A server of its own, on a port that was free.

    Yields:
        Its URL.

    Raises:
        RuntimeError: It is not installed, or it did not come up; with what it said.
    """
    if reason := why_not():
        raise RuntimeError(f"{reason}; use Celery's broker in the file system instead.")
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(3):  # a port that was free may be taken a moment later
            port = _free_port()
            process = subprocess.Popen(
                [
                    "redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", "",
                    "--appendonly", "no", "--daemonize", "no", "--logfile", "redis.log",
                ],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            try:
                if _answers(port, process):
                    yield f"redis://127.0.0.1:{port}/0"
                    return
            finally:
                process.terminate()
                try:
                    process.wait(BOUND_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        raise RuntimeError("redis-server does not come up; run it by hand to see why.")


def _answers(port: int, process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + BOUND_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=0.5) as connection:
                connection.sendall(b"PING\r\n")
                if connection.recv(7) == b"+PONG\r\n":
                    return True
        except OSError:
            pass
        time.sleep(0.01)  # nothing to wait on: a port does not tell when it opens
    return False


def _free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])
