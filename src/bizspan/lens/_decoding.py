"""
A request's bytes, ready to be written: by which decoder, and nothing of a store.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from bizspan._protobuf import fields
from bizspan.lens import _json, _messages
from bizspan.lens._layout import Batch
from bizspan.lens._logs import Damaged, LogDecoder
from bizspan.lens._prepared import Prepared
from bizspan.lens._records import RECORDS_MOST, TooMany

Signal = Literal["logs", "traces", "metrics"]
Encoding = Literal["protobuf", "json"]

_KEYS: Final[dict[str, Signal]] = {"resourceLogs": "logs", "resourceSpans": "traces", "resourceMetrics": "metrics"}


class Decoder:
    """
    Decodes requests, one after the other.

    Raises:
        ImportError: The protobuf library is not installed.
    """

    def __init__(self) -> None:
        self._logs = LogDecoder()

    def prepared(self, signal: Signal, encoding: Encoding, data: bytes, received_ns: int) -> Prepared:
        """
        What a request brings.

        Args:
            signal: Of the request.
            encoding: Of its body.
            data: Its body, decompressed.
            received_ns: When it came.

        Raises:
            Damaged: It is no such request.
            TooMany: It has more records than are taken at once.
        """
        return Prepared.of(self._decoded(signal, encoding, data, received_ns))

    def prepared_line(self, data: bytes, received_ns: int) -> Prepared:
        """
        What a line of OTLP JSON brings, of whatever signal it is.

        Raises:
            Damaged: It is no such line.
            TooMany: See `prepared`.
        """
        document = _json.document_of(data)
        signals: list[Signal] = [each for key, each in _KEYS.items() if key in document]
        if not signals:
            raise Damaged("not an OTLP export request")
        return Prepared.of(_from_json(signals[0], document, received_ns))

    def _decoded(self, signal: Signal, encoding: Encoding, data: bytes, received_ns: int) -> Batch:
        if encoding == "json":
            return _from_json(signal, _json.document_of(data), received_ns)
        if signal == "logs":
            return self._logs.decode(data, received_ns)
        return _rows_of(signal, _parsed(request_class(signal), data), received_ns)


def _from_json(signal: Signal, document: dict[str, Any], received_ns: int) -> Batch:
    if signal == "logs":
        return _json.logs(document, received_ns)
    return _rows_of(signal, _json.message(document, request_class(signal)), received_ns)


def _rows_of(signal: Signal, message: Any, received_ns: int) -> Batch:
    return _messages.spans(message, received_ns) if signal == "traces" else _messages.points(message, received_ns)


def request_class(signal: Signal) -> Any:
    """
    The protobuf library's class of a request with spans or metrics.

    Raises:
        ImportError: The library is not installed.
    """
    if signal == "traces":
        from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

        return trace_service_pb2.ExportTraceServiceRequest
    from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2

    return metrics_service_pb2.ExportMetricsServiceRequest


def _parsed(kind: Any, data: bytes) -> Any:
    from google.protobuf.message import DecodeError

    try:
        _look(data)
        return kind.FromString(data)
    except (DecodeError, ValueError) as why:
        raise Damaged(f"not an OTLP export request: {why}") from None


def _look(data: bytes) -> None:
    """Count what is inside three levels of messages, before objects of a hundred bytes are made of two."""
    count = 0
    level = [data]
    for _ in range(3):
        inner: list[bytes] = []
        for each in level:
            for number, value in fields(each):
                count += 1
                if count > RECORDS_MOST:
                    raise TooMany
                if number == 2 or each is data:
                    inner.append(value if isinstance(value, bytes) else b"")
        level = inner
