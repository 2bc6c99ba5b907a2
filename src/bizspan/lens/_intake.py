"""
A request's bytes into the store: which decoder, and what became of it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final, Literal

from bizspan._protobuf import fields
from bizspan.errors import MissingExtra
from bizspan.lens import _json, _messages
from bizspan.lens._layout import Batch
from bizspan.lens._logs import Damaged, LogDecoder
from bizspan.lens._records import RECORDS_MOST, TooMany
from bizspan.lens._store import Store, Stored

Signal = Literal["logs", "traces", "metrics"]
Encoding = Literal["protobuf", "json"]

_LARGE: Final = 1 << 20
_KEYS: Final[dict[str, Signal]] = {"resourceLogs": "logs", "resourceSpans": "traces", "resourceMetrics": "metrics"}


def needs_protobuf(part: str = "bizspan lens") -> None:
    """
    Look whether the packages for spans and metrics are there.

    Args:
        part: What the user asked for.

    Raises:
        MissingExtra: They are not.
    """
    try:
        _request_class("traces")
    except ImportError:
        raise MissingExtra(part, "lens") from None


class _Turn:
    """
    What requests of one size wait for, and what then decodes their log records: what it has learned of those before
    is not another thread's to change meanwhile.
    """

    __slots__ = ("lock", "logs")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.logs = LogDecoder()


class Intake:
    """
    Takes export requests into a store.

    Args:
        store: Where they go.
        time_ns: The clock; by default that of the store.
    """

    def __init__(self, store: Store, *, time_ns: Callable[[], int] | None = None) -> None:
        self.store = store
        self._time_ns = time_ns or store.time_ns
        self._large = _Turn()
        self._small = _Turn()
        self._counting = threading.Lock()
        self.total = Stored()  # of all that was taken

    def take(self, signal: Signal, encoding: Encoding, data: bytes) -> Stored:
        """
        Store what a request brings. Returns when it is on the disk.

        Args:
            signal: Of the request.
            encoding: Of its body.
            data: Its body, decompressed.

        Raises:
            Damaged: It is no such request; nothing of it is stored.
            TooMany: It has more records than are taken at once; nothing of it is stored.
            StoreError: It is not stored; trying again later may help.
        """
        turn = self._turn(len(data))
        with turn.lock:
            batch = self._decoded(signal, encoding, data, turn.logs)
        return self._counted(self.store.write(batch))

    def take_line(self, data: bytes) -> Stored:
        """
        Store what a line of OTLP JSON brings, of whatever signal it is.

        Raises:
            Damaged: It is no such line; nothing of it is stored.
            TooMany: See `take`.
            StoreError: See `take`.
        """
        with self._turn(len(data)).lock:
            document = _json.document_of(data)
            signals: list[Signal] = [each for key, each in _KEYS.items() if key in document]
            if not signals:
                raise Damaged("not an OTLP export request")
            batch = self._from_json(signals[0], document, self._time_ns())
        return self._counted(self.store.write(batch))

    def _counted(self, stored: Stored) -> Stored:
        with self._counting:
            self.total += stored
        return stored

    def _turn(self, size: int) -> _Turn:
        """
        What requests wait for. One is decoded at a time: threads that only compute get in each other's way.

        Large ones have a turn of their own, so that small ones need not wait for them, and one of them is in memory:
        decoded, they may take a hundred times the room.
        """
        return self._large if size > _LARGE else self._small

    def _decoded(self, signal: Signal, encoding: Encoding, data: bytes, logs: LogDecoder) -> Batch:
        now = self._time_ns()
        if encoding == "json":
            return self._from_json(signal, _json.document_of(data), now)
        if signal == "logs":
            return logs.decode(data, now)
        return _rows_of(signal, _parsed(_request_class(signal), data), now)

    def _from_json(self, signal: Signal, document: dict[str, Any], now: int) -> Batch:
        if signal == "logs":
            return _json.logs(document, now)
        return _rows_of(signal, _json.message(document, _request_class(signal)), now)


def _rows_of(signal: Signal, message: Any, now: int) -> Batch:
    return _messages.spans(message, now) if signal == "traces" else _messages.points(message, now)


def _request_class(signal: Signal) -> Any:
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
