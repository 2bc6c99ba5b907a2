"""A server that answers as it is told, and what `bizspan doctor` says of it."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from bizspan.doctor import Finding, Report, Request, examine
from tests.child import environment

SIGNALS: Final = ("traces", "metrics", "logs")
PROTOBUF: Final = "application/x-protobuf"
GRPC: Final = {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
# protobuf: field 1 (partial_success) { field 1: rejected, field 2: message }
PARTIAL: Final = b"\x0a\x0d\x08\x01\x12\x09secret-42"
WARNED: Final = b"\x0a\x0b\x12\x09deprecate"


@dataclass(frozen=True, slots=True)
class Answer:
    """How the server answers every request; `None` as status never answers."""

    status: int = 200
    body: bytes = b""
    content_type: str = PROTOBUF
    headers: tuple[tuple[str, str], ...] = ()
    length: int | None = None


class Handler(BaseHTTPRequestHandler):
    """Answers as the server was told."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass

    def send_response(self, code: int, message: str | None = None) -> None:
        # Without its own Date where a test has one.
        if any(name == "Date" for name, _ in self.answer.headers):
            self.send_response_only(code, message)
        else:
            super().send_response(code, message)

    @property
    def answer(self) -> Answer:
        answer: Answer = getattr(self.server, "answer")  # noqa: B009 - the base class does not know it
        return answer

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        answer = self.answer
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body) if answer.length is None else answer.length))
        for name, value in answer.headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)
        if answer.length is not None:
            self.wfile.flush()
            getattr(self.server, "over").wait(30)  # noqa: B009


def say_nothing(request: object, address: object) -> None:
    """The base class would print a traceback."""


@contextmanager
def serving(answer: Answer, tls: ssl.SSLContext | None = None) -> Generator[str]:
    """A server on a free port, and its base URL."""
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = False
    server.answer, server.over = answer, threading.Event()
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        server.handle_error = say_nothing  # a client that does not trust us hangs up
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_port}"
    finally:
        server.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


def doctor(endpoint: str | None, timeout_s: float = 5.0, /, **variables: str) -> Report:
    """The report about this endpoint."""
    if endpoint is not None:
        variables["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoint
    told = environment(None, **variables)
    for bundle in {"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"} - {*variables}:
        told.pop(bundle, None)
    return examine(Request(told, timeout_s=timeout_s))


def endpoints(report: Report) -> list[Finding]:
    """What it says about the endpoints, one for each signal."""
    found = [each for each in report.findings if each.check in {f"endpoint.{signal}" for signal in SIGNALS}]
    assert [f"endpoint.{signal}" for signal in SIGNALS] == [each.check for each in found]
    return found


def assert_all_red(report: Report, said: str, step: str) -> None:
    """Every endpoint is red for this reason, and the next step is this one."""
    for found in endpoints(report):
        assert ("red", True, True) == (found.level, said in found.text, step in found.next_step), found
