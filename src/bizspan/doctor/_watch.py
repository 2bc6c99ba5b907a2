"""
Seeing an exporter's request and the server's answer, which the exporter itself only turns into a yes or a no.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from email.utils import parsedate_to_datetime
from importlib import import_module
from typing import Any, Final

from bizspan.doctor._finding import one_line, shown_url, without
from bizspan.doctor._outcome import Outcome
from bizspan.doctor._settings import Target

_BODY_MOST: Final = 65_536
_RESPONSES: Final = {
    "traces": ("opentelemetry.proto.collector.trace.v1.trace_service_pb2", "ExportTraceServiceResponse"),
    "metrics": ("opentelemetry.proto.collector.metrics.v1.metrics_service_pb2", "ExportMetricsServiceResponse"),
    "logs": ("opentelemetry.proto.collector.logs.v1.logs_service_pb2", "ExportLogsServiceResponse"),
}
_REJECTED: Final = {"traces": "rejected_spans", "metrics": "rejected_data_points", "logs": "rejected_log_records"}


class Watch:
    """
    Sees the exporter's request and the server's answer.

    Args:
        target: Where it goes.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self.lock = threading.Lock()
        self.seen = threading.Event()
        self.outcome = Outcome(target.signal)

    @property
    def is_good(self) -> bool:
        """Whether the answer was one that ends the export."""
        with self.lock:
            return self.outcome.grpc_code == "OK" or 200 <= (self.outcome.status or 0) < 300

    def update(self, **changes: Any) -> None:
        """Note this."""
        with self.lock:
            self.outcome = replace(self.outcome, **changes)

    def partial(self, response: Any) -> None:
        """Note what the server left out."""
        if response.HasField("partial_success"):
            part = response.partial_success
            self.rejections(int(getattr(part, _REJECTED[self.target.signal])), part.error_message)

    def rejections(self, rejected: int, message: str) -> None:
        """Note this number and this text; the text without what was sent."""
        # Each word as well: of "Bearer abc", a server may repeat abc alone.
        secrets = [word for _, value in self.target.headers for word in (value, *value.split())]
        self.update(rejected=rejected, message=one_line(without(message, secrets))[:200])

    def head(self, response: Any) -> None:
        """Note the first answer's head. Later ones are those of a redirect's target, or of another attempt."""
        if self.outcome.status is not None:
            return
        headers = response.headers
        self.update(
            status=int(response.status_code),
            content_type=str(headers.get("content-type", "")).split(";")[0].strip().lower(),
            location=shown_url(str(headers.get("location", ""))),
            retry_after=one_line(str(headers.get("retry-after", "")))[:40],
            clock_skew_s=_skew(headers.get("date")),
        )

    def answered(self, response: Any) -> None:
        """Note an answer's head, and read its body."""
        self.head(response)
        if self.outcome.status != response.status_code:
            return
        self.update(is_whole=False)
        body: bytes = response.content
        self.update(is_empty=not body, is_whole=True)
        if 200 <= response.status_code < 300 and body and len(body) <= _BODY_MOST:
            self._read(body)

    def _read(self, body: bytes) -> None:
        try:
            if self.outcome.content_type == "application/json":
                part: dict[str, Any] = json.loads(body).get("partialSuccess") or {}
                counts = [int(value) for key, value in part.items() if key.startswith("rejected")]
                if part:
                    self.rejections(sum(counts), str(part.get("errorMessage", "")))
            elif "protobuf" in self.outcome.content_type:
                module, name = _RESPONSES[self.target.signal]
                self.partial(getattr(import_module(module), name).FromString(body))
        except Exception as error:  # an answer that is not what its head says
            self.update(error=type(error).__name__)


def watched_session(watch: Watch) -> Any:
    """A session of requests for an exporter over HTTP; the watch sees what goes through it."""
    session: Any = import_module("requests").Session

    class Watched(session):  # type: ignore[misc]
        def get_redirect_target(self, response: Any) -> Any:
            # Older exporters follow a redirect: this is the only look at the answer that sends them there.
            target: Any = session.get_redirect_target(self, response)
            if target:
                watch.head(response)
            return target

        def send(self, request: Any, **options: Any) -> Any:
            try:
                # The head first: a body may never end.
                response: Any = session.send(self, request, **{**options, "stream": True})
                watch.answered(response)
            except Exception as error:
                watch.update(error=type(error).__name__)
                raise
            finally:
                watch.seen.set()
            return response

    return Watched()


def watched_client(client: Any, watch: Watch) -> Any:
    """A stub of gRPC like this one; the watch sees what goes through it."""
    grpc: Any = import_module("grpc")

    class Watched:
        def Export(self, *arguments: Any, **options: Any) -> Any:  # noqa: N802 - the service's own name
            try:
                response = client.Export(*arguments, **options)
                watch.update(grpc_code="OK")
                watch.partial(response)
            except grpc.RpcError as error:
                watch.update(grpc_code=str(error.code().name))
                raise
            finally:
                watch.seen.set()
            return response

    return Watched()


def _skew(date: str | None) -> float | None:
    try:
        return None if date is None else parsedate_to_datetime(date).timestamp() - time.time()
    except (TypeError, ValueError, OverflowError):
        return None
