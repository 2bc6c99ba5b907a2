"""
What a request costs the server: real servers over real HTTP, OpenTelemetry alone against the same with bizspan.

Each round starts both servers anew, on the same application: two processes of one program differ by several
hundredths, because of where their memory lies, for as long as they live. Inside a round they take short turns under
load; CPU is the server process's own. Two requests are measured: one whose view does next to nothing, and a checkout
that reads and writes a database, which lies in memory where the system has room for files there: a disk's own work is
charged to whoever waits for it, and differs by half from minute to minute.

What is told is sent over OTLP/HTTP to a collector in a process of its own, as in production; or, to see the request
alone, exporters do nothing.
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
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Final

from .collector import collector

ALONE: Final = "OpenTelemetry alone"
WITH: Final = "with bizspan"
FRAMEWORKS: Final = ("flask", "django", "fastapi")
# By path.
REQUESTS: Final = {"/checkout": "empty view", "/orders": "checkout with a database"}
REQUEST_AT_MOST: Final = 1.10
_IN_MEMORY: Final = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
_START_S: Final = 30.0
_SETTLE_S: Final = 0.2
_DELAY_MS: Final = 1000  # between batches of spans, and of events: of these it is the SDK's own default
_SENT_S: Final = 1.5  # until the last batch has left
_WARM: Final = 400  # requests before the first that counts
_TURN: Final = 50  # requests to one server before the other one has its turn
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
        low: The lower quartile of the rounds' ratios.
        high: The upper quartile.
    """

    name: str
    alone_us: float
    with_us: float
    ratio: float
    low: float
    high: float


def served(framework: str, *, rounds: int, requests: int, sent: bool) -> list[Served]:
    """
    Measure one framework: one result for each of `REQUESTS`.

    Args:
        framework: One of `FRAMEWORKS`.
        rounds: How often both servers are started.
        requests: To each server in one round, for each path.
        sent: Whether what is told is sent to a collector; else exporters do nothing.
    """
    costs = {(path, name): list[float]() for path in REQUESTS for name in (ALONE, WITH)}
    for number in range(rounds):
        with ExitStack() as stack:
            endpoint = stack.enter_context(collector()) if sent else ""
            order = (ALONE, WITH) if number % 2 else (WITH, ALONE)
            servers = {name: stack.enter_context(_server(framework, name == WITH, endpoint)) for name in order}
            for path in REQUESTS:
                for name, cost_us in _turns(servers, path, requests, _SENT_S if sent else _SETTLE_S).items():
                    costs[path, name].append(cost_us)
    return [_result(f"{framework}, {REQUESTS[path]}", costs[path, ALONE], costs[path, WITH]) for path in REQUESTS]


def _turns(servers: Mapping[str, _Server], path: str, requests: int, settle_s: float) -> dict[str, float]:
    """The servers take turns: microseconds per request of each."""
    for server in servers.values():
        _buy(server.port, _WARM, path)
    time.sleep(settle_s)
    before = {name: _cpu_s(server.pids) for name, server in servers.items()}
    turns = max(1, requests // _TURN)
    for _ in range(turns):
        for server in servers.values():
            _buy(server.port, _TURN, path)
    time.sleep(settle_s)  # what was told is handed over by then
    return {name: (_cpu_s(server.pids) - before[name]) / (turns * _TURN) * 1e6 for name, server in servers.items()}


def _result(name: str, alone: Sequence[float], ours: Sequence[float]) -> Served:
    ratios = [one / other for one, other in zip(ours, alone, strict=True)]
    low, _, high = quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3
    return Served(name, median(alone), median(ours), median(ratios), low, high)


@dataclass(frozen=True, slots=True)
class _Server:
    port: int
    pids: Sequence[int]


@contextmanager
def _server(framework: str, ours: bool, endpoint: str) -> Generator[_Server]:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = int(held.getsockname()[1])
    program, *options = _COMMANDS[framework]
    application = f"tests.bench.applications.{framework}_shop:app"
    where = [f"--bind=127.0.0.1:{port}"] if program == "gunicorn" else ["--host=127.0.0.1", f"--port={port}"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "BIZSPAN_"))}
    with tempfile.TemporaryFile() as output, tempfile.TemporaryDirectory(dir=_IN_MEMORY) as directory:
        told = {
            "BENCH_OURS": "1" if ours else "", "BENCH_DATABASE": directory, "BENCH_ENDPOINT": endpoint,
            "OTEL_SEMCONV_STABILITY_OPT_IN": "http", "OTEL_BSP_SCHEDULE_DELAY": str(_DELAY_MS),
            "OTEL_BLRP_SCHEDULE_DELAY": str(_DELAY_MS),
        }  # fmt: skip
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
