"""
What a request costs the server: real servers over real HTTP, OpenTelemetry alone against the same with bizspan.

Both servers run at the same time, on the same application, and take turns under load; CPU is the server process's own.
Two requests are measured: one whose view does next to nothing, and a checkout that reads and writes a database.
"""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

ALONE: Final = "OpenTelemetry alone"
WITH: Final = "with bizspan"
FRAMEWORKS: Final = ("flask", "django", "fastapi")
# By path.
REQUESTS: Final = {"/checkout": "empty view", "/orders": "checkout with a database"}
REQUEST_AT_MOST: Final = 1.10
_START_S: Final = 30.0
_ROOT: Final = Path(__file__).resolve().parent.parent.parent
_TICK_S: Final = 1.0 / os.sysconf("SC_CLK_TCK")
_COMMANDS: Final = {
    "flask": ("gunicorn", "--workers=1", "--worker-class=gthread", "--threads=4"),
    "django": ("gunicorn", "--workers=1", "--worker-class=gthread", "--threads=4"),
    "fastapi": ("uvicorn", "--log-level=warning", "--no-access-log"),
}


@dataclass(frozen=True, slots=True)
class Served:
    """
    What one framework's request costs.

    Args:
        name: The framework and the request.
        alone_us: CPU of the server process per request, OpenTelemetry's instrumentation alone.
        with_us: The same with bizspan and one operation per request.
        ratio: Median over the rounds of the two, each taken inside its own round.
    """

    name: str
    alone_us: float
    with_us: float
    ratio: float


def served(framework: str, *, rounds: int, requests: int) -> list[Served]:
    """
    Measure one framework: one result for each of `REQUESTS`.

    Args:
        framework: One of `FRAMEWORKS`.
        rounds: How often each server has its turn.
        requests: Requests in one turn.
    """
    costs = {(path, name): list[float]() for path in REQUESTS for name in (ALONE, WITH)}
    with ExitStack() as stack:
        servers = {name: stack.enter_context(_server(framework, name == WITH)) for name in (ALONE, WITH)}
        for server in servers.values():
            for path in REQUESTS:
                _buy(server.port, requests, path)  # warm
        for number in range(rounds):
            for path in REQUESTS:
                for name in (ALONE, WITH) if number % 2 else (WITH, ALONE):
                    before = _cpu_s(servers[name].pids)
                    _buy(servers[name].port, requests, path)
                    time.sleep(_SETTLE_S)  # what was told is handed over by then
                    costs[path, name].append((_cpu_s(servers[name].pids) - before) / requests * 1e6)
    return [
        Served(
            f"{framework}, {REQUESTS[path]}",
            median(costs[path, ALONE]),
            median(costs[path, WITH]),
            median(ours / theirs for ours, theirs in zip(costs[path, WITH], costs[path, ALONE], strict=True)),
        )
        for path in REQUESTS
    ]


_SETTLE_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class _Server:
    port: int
    pids: Sequence[int]


@contextmanager
def _server(framework: str, ours: bool) -> Generator[_Server]:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = int(held.getsockname()[1])
    program, *options = _COMMANDS[framework]
    application = f"tests.bench.applications.{framework}_shop:app"
    where = [f"--bind=127.0.0.1:{port}"] if program == "gunicorn" else ["--host=127.0.0.1", f"--port={port}"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "BIZSPAN_"))}
    with tempfile.TemporaryFile() as output, tempfile.TemporaryDirectory() as directory:
        told = {"BENCH_OURS": "1" if ours else "", "BENCH_DATABASE": directory, "OTEL_SEMCONV_STABILITY_OPT_IN": "http"}
        process = subprocess.Popen(
            [sys.executable, "-m", program, *options, *where, application],
            cwd=_ROOT, env=kept | told, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
        try:
            deadline = time.monotonic() + _START_S
            while not _answers(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    output.seek(0)
                    raise RuntimeError(output.read().decode("utf-8", "replace")[-2000:])
                time.sleep(0.05)
            yield _Server(port, _family(process.pid))
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(_START_S)


def _answers(port: int) -> bool:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
        _buy_once(connection, "/checkout")
        connection.close()
    except OSError:
        return False
    return True


def _family(pid: int) -> tuple[int, ...]:
    """A process and its children: gunicorn's worker is one."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return (pid, *map(int, children))


def _cpu_s(pids: Sequence[int]) -> float:
    """User and system time of these processes: of their threads, where the kernel tells it in nanoseconds."""
    files = [file for pid in pids for file in Path(f"/proc/{pid}/task").glob("*/schedstat")]
    nanoseconds = sum(int(file.read_text(encoding="ascii").split()[0]) for file in files)
    if nanoseconds:
        return nanoseconds / 1e9
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks * _TICK_S


def _buy(port: int, requests: int, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_START_S)
    for _ in range(requests):
        _buy_once(connection, path)
    connection.close()


HEADERS: Final = {
    "Content-Type": "application/json",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language": "de,en-US;q=0.7,en;q=0.3",
    "X-Segment": "gold",
    "CF-IPCountry": "DE",
}
BODY: Final = b'{"cart": [{"sku": "a-1", "quantity": 2}, {"sku": "b-7", "quantity": 1}]}'


def _buy_once(connection: http.client.HTTPConnection, path: str) -> None:
    connection.request("POST", path, body=BODY, headers=HEADERS)
    answer = connection.getresponse()
    answer.read()
    if answer.status != 200:
        raise RuntimeError(f"the server answered {answer.status}")
