"""
The exporters that we build, made cheaper where they are the SDK's own over HTTP: spans are encoded by `SpanBytes`, log
records by `LogBytes`, and gzip works at its first level instead of its ninth, which takes several times as long for a
few percent.

Both reach into the exporter: where a version of the SDK has other insides, it works as it always does.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from opentelemetry.sdk._logs import export as _logs
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from bizspan.sdk._log_bytes import LogBytes
from bizspan.sdk._span_bytes import SpanBytes

if TYPE_CHECKING:
    from opentelemetry.sdk._logs import ReadableLogRecord
    from opentelemetry.sdk.trace import ReadableSpan

_HTTP: Final = "opentelemetry.exporter.otlp.proto.http."
_SPANS: Final = (f"{_HTTP}trace_exporter", "OTLPSpanExporter")
_LOGS: Final = (f"{_HTTP}_log_exporter", "OTLPLogExporter")
_READ: Final = ("_max_request_size", "_shutdown")  # of the exporter, for each batch
# The exporter then counts its own exports, around its own encoding.
_COUNTS: Final = "OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED"
# Of an SDK before 1.39 both have another name, and it is left as it is.
_LogRecordExporter: Any = getattr(_logs, "LogRecordExporter", object)
_Result: Any = getattr(_logs, "LogRecordExportResult", None)


def quick(exporter: Any) -> Any:
    """
    The same exporter, or one that stands before it.

    Args:
        exporter: Of any signal, from any library.
    """
    kind = cast("type[object]", type(exporter))
    client: Any = getattr(exporter, "_client", None)
    if not kind.__module__.startswith(_HTTP) or not callable(getattr(client, "export", None)):
        return exporter
    compression = getattr(client, "_compression", None)
    if getattr(compression, "value", "") == "gzip" and callable(getattr(client, "_compress", None)):
        client._compress = _gzip
    counts = os.environ.get(_COUNTS, "").strip().lower() == "true"
    if counts or not all(hasattr(exporter, name) for name in _READ):
        return exporter
    if (kind.__module__, kind.__name__) == _SPANS:
        return QuickSpans(exporter, client, SpanBytes().encode)
    if (kind.__module__, kind.__name__) == _LOGS and _Result is not None:
        return QuickLogs(exporter, client, LogBytes().encode)
    return exporter


def _gzip(data: bytes) -> bytes:
    return zlib.compress(data, 1, zlib.MAX_WBITS | 16)


class _Quick:
    """
    What stands before an OTLP/HTTP exporter of the SDK's.

    Args:
        exporter: The SDK's, which sends.
        client: Its client, which takes bytes.
        encode: Makes a request of a batch.
    """

    def __init__(self, exporter: Any, client: Any, encode: Callable[[Sequence[Any]], bytes]) -> None:
        self._exporter = exporter
        self._client = client
        self._encode = encode

    def _sent(self, batch: Sequence[Any]) -> bool | None:
        """Whether the far end took it; None where it is out of the ordinary and has to go the SDK's own way."""
        try:
            data = self._encode(batch)
            most = self._exporter._max_request_size
            if self._exporter._shutdown or 0 < most < len(data):
                return None
        except Exception:
            return None
        return bool(self._client.export(data).success)

    def shutdown(self) -> None:
        """Shut down."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing waits here."""
        return bool(self._exporter.force_flush(timeout_millis))


class QuickSpans(_Quick, SpanExporter):
    """An OTLP/HTTP exporter of spans that takes half of what the SDK's takes."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send them."""
        sent = self._sent(spans)
        if sent is None:
            result: SpanExportResult = self._exporter.export(spans)
            return result
        return SpanExportResult.SUCCESS if sent else SpanExportResult.FAILURE


class QuickLogs(_Quick, _LogRecordExporter):  # type: ignore[misc] # the SDK's class, where it has one
    """The same for log records."""

    def export(self, batch: Sequence[ReadableLogRecord]) -> Any:
        """Send them."""
        sent = self._sent(batch)
        if sent is None:
            return self._exporter.export(batch)
        return _Result.SUCCESS if sent else _Result.FAILURE
