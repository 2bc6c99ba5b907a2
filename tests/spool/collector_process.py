"""
A collector in a process of its own, for tests that kill it: what it acknowledged stands in a file.

    python -m tests.spool.collector_process FILE PORT [LINES]

With LINES, a file, it also writes there what it takes, as the Collector's file exporter does.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, Literal

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from bizspan import names
from tests.child import BOUND_S, environment
from tests.otlp_lines import otlp_json

ROOT: Final = Path(__file__).parents[2]
_BELOW_EPHEMERAL: Final = (20_000, 32_000)  # or a client that tries in vain is given the very port that it tries

# accept: write it down, then 200. unavailable: 503. hang: read it, and never answer. reset: by turns the connection is
# reset before anything is read, after it was written down, and not at all.
Behaviour = Literal["accept", "unavailable", "hang", "reset"]


@dataclass(frozen=True, slots=True)
class Arrived:
    """
    One event that a collector acknowledged.

    Args:
        uid: Its ``log.record.uid``.
        writer: Who wrote it.
        sequence: Its number among that writer's.
        order: Which order it is about.
        cents: Its revenue.
        name: Its event name.
    """

    uid: str
    writer: str
    sequence: int
    order: str
    cents: int
    name: str


class Collector:
    """
    A running collector, from ``with Collector(folder) as collector:`` until the block ends.

    Args:
        folder: Where its file lies.
        lines: Where OTLP JSON lines are written; None nowhere.
    """

    def __init__(self, folder: Path, lines: Path | None = None) -> None:
        self.file = folder / "arrived.jsonl"
        self._lines = lines
        self.port = _free_port()
        self._process: subprocess.Popen[str] | None = None
        self._behaviour: Behaviour = "accept"

    def __enter__(self) -> Collector:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def endpoint(self) -> str:
        """For ``OTEL_EXPORTER_OTLP_ENDPOINT``."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def is_up(self) -> bool:
        """Whether it listens."""
        return self._process is not None

    def start(self) -> None:
        """Start it, on the same port as before; it answers as it was told last."""
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.spool.collector_process",
                str(self.file),
                str(self.port),
                *([str(self._lines)] if self._lines else []),
            ],
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert "ready\n" == self._process.stdout.readline()
        self.behave(self._behaviour)

    def kill(self) -> None:
        """SIGKILL."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate(timeout=BOUND_S)

    def behave(self, behaviour: Behaviour) -> None:
        """How it answers from now on."""
        self._behaviour = behaviour
        if self._process is not None:
            assert self._process.stdin is not None and self._process.stdout is not None
            self._process.stdin.write(f"{behaviour}\n")
            self._process.stdin.flush()
            assert f"{behaviour}\n" == self._process.stdout.readline()

    def arrived(self) -> list[Arrived]:
        """What it acknowledged, or was about to, in order."""
        found: list[Arrived] = []
        for line in self.file.read_bytes().splitlines() if self.file.exists() else ():
            with suppress(ValueError):  # cut by a kill, so never acknowledged
                found += [Arrived(*each) for each in json.loads(line)]
        return found


def _free_port() -> int:
    for _ in range(100):
        with socket.socket() as held, suppress(OSError):
            held.bind(("127.0.0.1", random.randrange(*_BELOW_EPHEMERAL)))
            return int(held.getsockname()[1])
    raise RuntimeError("no free port")


# --- in its process -------------------------------------------------------------------------------------------------


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, descriptor: int, lines: int | None) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.descriptor = descriptor
        self.lines = lines
        self.behaviour: str = "accept"
        self.changed = threading.Condition()
        self._turn = 0

    def handle_error(self, request: object, client_address: object) -> None:
        """A program that is killed resets its connections."""

    def turn(self) -> int:
        """0, 1, 2, 0, ..."""
        with self.changed:
            self._turn += 1
            return self._turn % 3


class _Handler(BaseHTTPRequestHandler):
    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride]
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass

    def do_POST(self) -> None:
        behaviour = self.server.behaviour
        turn = self.server.turn() if behaviour == "reset" else 0
        if turn == 1:
            self._reset()
            return
        with suppress(OSError):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if behaviour == "hang":
                with self.server.changed:
                    self.server.changed.wait_for(lambda: self.server.behaviour != "hang")
                self._reset()
            elif behaviour == "unavailable":
                self._answer(503, "text/plain", b"later")
            else:
                if self.path == "/v1/logs":
                    plain = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
                    request = ExportLogsServiceRequest.FromString(plain)
                    _write(self.server.descriptor, json.dumps(told(request)))
                    if self.server.lines is not None:
                        _write(self.server.lines, otlp_json(request))
                if turn == 2:
                    self._reset()
                else:
                    self._answer(200, "application/x-protobuf", b"")

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _reset(self) -> None:
        self.close_connection = True
        with suppress(OSError):  # no lingering: the other side sees a reset, not an end
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()


def told(request: ExportLogsServiceRequest) -> Sequence[tuple[object, ...]]:
    """The events in a request, each as the values of an `Arrived`."""
    units = names.MINOR_UNITS_KEYS[names.REVENUE]
    found: list[tuple[object, ...]] = []
    for record in (record for by in request.resource_logs for scope in by.scope_logs for record in scope.log_records):
        values: dict[str, Any] = {each.key: each.value for each in record.attributes}
        texts = [values[key].string_value if key in values else "" for key in (names.RECORD_UID, names.WRITER_ID)]
        numbers = [values[key].int_value if key in values else 0 for key in (names.SEQUENCE, units)]
        order = values[names.ORDER].string_value if names.ORDER in values else ""
        found.append((*texts, numbers[0], order, numbers[1], record.event_name))
    return found


def _write(descriptor: int, line: str) -> None:
    data = line.encode() + b"\n"
    if os.write(descriptor, data) != len(data):
        raise OSError("cut short")


def _appended(file: str) -> int:
    return os.open(file, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)


def main(file: str, port: str, lines: str = "") -> None:
    """Serve until standard input ends; each line there says how to answer."""
    descriptor = _appended(file)
    os.write(descriptor, b"\n")  # a line that a kill cut ends here
    server = _Server(int(port), descriptor, _appended(lines) if lines else None)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    print("ready", flush=True)
    for line in sys.stdin:
        with server.changed:
            server.behaviour = line.strip()
            server.changed.notify_all()
        print(line, end="", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
