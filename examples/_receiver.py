"""
A small OTLP receiver on loopback: what arrives stays in memory and can be awaited and read.

It exists so that examples and tests can look at the far end of the wire. It can also misbehave on purpose.
"""

from __future__ import annotations

import gzip
import importlib
import socket
import threading
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Literal

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from _otlp import Event, Point, Span, events_of, points_of, spans_of

Behaviour = Literal["accept", "unavailable", "hang", "html"]
"""
accept: keep it and say so. unavailable: 503, in gRPC UNAVAILABLE. hang: a black hole, no answer until the
behaviour changes or the receiver closes; then it hangs up, in gRPC with UNKNOWN. html: 200 with a web page,
as a captive portal or a wrong port gives it; in gRPC UNKNOWN. Only accept keeps anything.
"""

_HTML: Final = b"<!doctype html><title>Welcome</title><h1>It works!</h1>"
_PROTOBUF: Final = "application/x-protobuf"
_SERVICES: Final = {
    "traces": "opentelemetry.proto.collector.trace.v1.TraceService",
    "metrics": "opentelemetry.proto.collector.metrics.v1.MetricsService",
    "logs": "opentelemetry.proto.collector.logs.v1.LogsService",
}


@dataclass(frozen=True, slots=True)
class Request:
    """One export call as it came in; `size` in bytes on the wire. gRPC hides size (0) and compression."""

    protocol: Literal["http", "grpc"]
    signal: str
    compression: str
    size: int
    behaviour: Behaviour


class Receiver:
    """
    An OTLP receiver on free loopback ports, from `with Receiver() as receiver:` until the block ends.

    Args:
        grpc: Also listen for OTLP/gRPC; needs the `grpcio` package. Default: OTLP/HTTP only.
        behaviour: How it answers; assign `receiver.behaviour` to change it. Default: "accept".
    """

    def __init__(self, *, grpc: bool = False, behaviour: Behaviour = "accept") -> None:
        self._changed = threading.Condition()
        self._behaviour: Behaviour = behaviour
        self._closed = False
        self._wants_grpc = grpc
        self._requests: list[Request] = []
        self._spans: list[Span] = []
        self._events: list[Event] = []
        self._points: list[Point] = []

    def __enter__(self) -> Receiver:
        self._http = _HttpServer(self)
        self._grpc = _GrpcServer(self) if self._wants_grpc else None
        return self

    def __exit__(self, *exc_info: object) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._http.close()
        if self._grpc is not None:
            self._grpc.close()

    @property
    def http_endpoint(self) -> str:
        """The base address for OTEL_EXPORTER_OTLP_ENDPOINT; `/v1/traces` and the others are below it."""
        return f"http://127.0.0.1:{self._http.port}"

    @property
    def grpc_endpoint(self) -> str:
        """
        The address for OTLP/gRPC.

        Raises:
            RuntimeError: It was not asked for; use `Receiver(grpc=True)`.
        """
        if self._grpc is None:
            raise RuntimeError("This receiver does not speak gRPC; use Receiver(grpc=True).")
        return f"http://127.0.0.1:{self._grpc.port}"

    @property
    def behaviour(self) -> Behaviour:
        """How the next request is answered."""
        return self._behaviour

    @behaviour.setter
    def behaviour(self, behaviour: Behaviour) -> None:
        with self._changed:
            self._behaviour = behaviour
            self._changed.notify_all()

    def wait_for(self, predicate: Callable[[Receiver], bool], timeout_s: float = 5.0) -> bool:
        """
        Return True as soon as the predicate holds, False when the time is over.

        Args:
            predicate: Asked at once and after every request; gets the receiver.
            timeout_s: Seconds to wait at most. Default: 5.
        """
        with self._changed:
            return self._changed.wait_for(lambda: predicate(self), timeout_s)

    def requests(self) -> list[Request]:
        """Return every export call so far, also those that were not accepted."""
        with self._changed:
            return list(self._requests)

    def spans(self, name: str | None = None) -> list[Span]:
        """Return the spans so far in order of arrival, all of them or those with this name."""
        with self._changed:
            return [span for span in self._spans if name is None or span["name"] == name]

    def events(self, name: str | None = None) -> list[Event]:
        """Return the log records so far in order of arrival, all of them or those with this event name."""
        with self._changed:
            return [event for event in self._events if name is None or event["event_name"] == name]

    def points(self, metric: str | None = None) -> list[Point]:
        """Return the metric points so far in order of arrival, all of them or those of this metric."""
        with self._changed:
            return [point for point in self._points if metric is None or point["metric"] == metric]

    def last_points(self, metric: str) -> list[Point]:
        """
        Return the newest point of each series: one per resource, scope and attribute set.

        "Newest" goes by the point's own time, because a collector may send batches in another order.

        Raises:
            ValueError: The points are deltas: the last one is only a part; add up `points()` instead.
        """
        newest: dict[str, Point] = {}
        for point in self.points(metric):
            if point["temporality"] == "delta":
                raise ValueError(f"{metric} arrived as deltas; add up points({metric!r}) instead.")
            origin = point["origin"]
            series = (sorted(origin.resource.items()), origin.scope_name, sorted(point["attributes"].items()))
            known = newest.get(repr(series))
            if known is None or known["time_unix_nano"] <= point["time_unix_nano"]:
                newest[repr(series)] = point
        return list(newest.values())

    def take(self, request: Request, decode: Callable[[], Any]) -> Behaviour | None:
        """
        Keep one decoded export request, unless told to misbehave; for the two servers.

        Args:
            request: What came in.
            decode: Gives the protobuf request; called only when it is accepted.

        Returns:
            How to answer; None is no answer at all.

        Raises:
            DecodeError: The bytes are not the protobuf message of this signal.
        """
        message = decode() if request.behaviour == "accept" else None
        with self._changed:
            self._requests.append(request)
            match message:
                case ExportTraceServiceRequest():
                    self._spans.extend(spans_of(message))
                case ExportLogsServiceRequest():
                    self._events.extend(events_of(message))
                case ExportMetricsServiceRequest():
                    self._points.extend(points_of(message))
                case _:
                    pass
            self._changed.notify_all()
            if request.behaviour == "hang":
                self._changed.wait_for(lambda: self._closed or self._behaviour != "hang")
                return None
        return request.behaviour


_REQUESTS: Final[dict[str, Any]] = {
    "traces": ExportTraceServiceRequest,
    "metrics": ExportMetricsServiceRequest,
    "logs": ExportLogsServiceRequest,
}
_RESPONSES: Final[dict[str, Any]] = {
    "traces": ExportTraceServiceResponse,
    "metrics": ExportMetricsServiceResponse,
    "logs": ExportLogsServiceResponse,
}


class _HttpServer(ThreadingHTTPServer):
    # Not daemons: closing waits for every handler, so that nothing runs on after the block.
    daemon_threads = False
    request_queue_size = 128

    def __init__(self, receiver: Receiver) -> None:
        super().__init__(("127.0.0.1", 0), _HttpHandler)
        self.receiver = receiver
        self.port = int(self.server_address[1])
        self.connections: set[socket.socket] = set()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), name="otlp-receiver-http")
        self._thread.start()

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.connections.discard(request)
        super().shutdown_request(request)

    def close(self) -> None:
        self.shutdown()
        self._thread.join()
        # Handlers of kept-alive connections wait for a next request that may never come.
        for connection in list(self.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.server_close()


class _HttpHandler(BaseHTTPRequestHandler):
    server: _HttpServer  # pyright: ignore[reportIncompatibleVariableOverride]
    protocol_version = "HTTP/1.1"
    # Without it, head and body leave in two segments and the second one waits 40 ms for the client's ACK.
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass

    def do_POST(self) -> None:
        answer = self._take()
        if answer is None:
            self.close_connection = True
            return
        status, content_type, body = answer
        with suppress(OSError):  # the client may have hung up, which is its right
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def _take(self) -> tuple[int, str, bytes] | None:
        length = self.headers.get("Content-Length", "")
        if not length.isdigit():
            self.close_connection = True
            return 411, "text/plain", b"send a Content-Length"
        body = self.rfile.read(int(length))
        signal = self.path.removeprefix("/v1/")
        if signal not in _REQUESTS:
            return 404, "text/plain", b"use /v1/traces, /v1/metrics or /v1/logs"
        receiver = self.server.receiver
        compression = self.headers.get("Content-Encoding", "none")
        request = Request("http", signal, compression, len(body), receiver.behaviour)
        try:
            plain = gzip.decompress(body) if compression == "gzip" else body
            behaviour = receiver.take(request, lambda: _REQUESTS[signal].FromString(plain))
        except (DecodeError, OSError, EOFError, zlib.error):
            return 400, "text/plain", b"not an OTLP protobuf request"
        match behaviour:
            case "accept":
                return 200, _PROTOBUF, _RESPONSES[signal]().SerializeToString()
            case "unavailable":
                return 503, "text/plain", b"try again later"
            case "html":
                return 200, "text/html", _HTML
            case _:
                return None


class _GrpcServer:
    def __init__(self, receiver: Receiver) -> None:
        # Imported here and untyped: gRPC is optional, and publishes no types.
        self._grpc: Any = importlib.import_module("grpc")
        self._receiver = receiver
        self._pool = ThreadPoolExecutor(max_workers=8, thread_name_prefix="otlp-receiver-grpc")
        options = [("grpc.max_receive_message_length", -1), ("grpc.so_reuseport", 0)]
        self._server = self._grpc.server(self._pool, options=options)
        self._server.add_generic_rpc_handlers([self._handler(signal) for signal in _SERVICES])
        self.port = int(self._server.add_insecure_port("127.0.0.1:0"))
        self._server.start()

    def close(self) -> None:
        self._server.stop(grace=None).wait()
        self._pool.shutdown(wait=True)

    def _handler(self, signal: str) -> Any:
        def export(message: Any, call: Any) -> Any:
            request = Request("grpc", signal, "unknown", 0, self._receiver.behaviour)
            behaviour = self._receiver.take(request, lambda: message)
            if behaviour == "unavailable":
                call.abort(self._grpc.StatusCode.UNAVAILABLE, "try again later")
            if behaviour != "accept":
                call.abort(self._grpc.StatusCode.UNKNOWN, "not an OTLP collector")
            return _RESPONSES[signal]()

        method = self._grpc.unary_unary_rpc_method_handler(
            export,
            request_deserializer=_REQUESTS[signal].FromString,
            response_serializer=_RESPONSES[signal].SerializeToString,
        )
        return self._grpc.method_handlers_generic_handler(_SERVICES[signal], {"Export": method})
