"""A collector that keeps what it is sent, and answers as it is told: what the tests of whole spools share."""

from __future__ import annotations

import gzip
import os
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord


class Collector:
    """
    What arrived at ``/v1/logs``.
    """

    def __init__(self, port: int) -> None:
        self.endpoint = f"http://127.0.0.1:{port}"
        self.status = 200
        self.requests: list[ExportLogsServiceRequest] = []
        self.arrived = threading.Condition()

    def records(self) -> list[LogRecord]:
        """Every log record, in the order of arrival."""
        with self.arrived:
            return [
                record
                for request in self.requests
                for resource in request.resource_logs
                for scope in resource.scope_logs
                for record in scope.log_records
            ]

    def wait_for(self, count: int, timeout_s: float = 20.0) -> list[LogRecord]:
        """The same, as soon as there are so many."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.records()) >= count, timeout_s), len(self.records())
        return self.records()


def facts(record: LogRecord) -> dict[str, Any]:
    """The attributes of a record."""
    return {
        pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "string_value") for pair in record.attributes
    }


@contextmanager
def collector() -> Generator[Collector]:
    """One that runs on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            if self.path.endswith("/v1/logs") and running.status == 200:
                with running.arrived:
                    running.requests.append(ExportLogsServiceRequest.FromString(body))
                    running.arrived.notify_all()
            self.send_response(running.status)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class says so
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    running = Collector(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield running
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def until(true: Callable[[], bool], timeout_s: float = 5.0) -> bool:
    """Whether it comes true in time."""
    end = time.monotonic() + timeout_s
    while not true() and time.monotonic() < end:
        os.sched_yield()
    return true()
