"""
The exporters that we build, made cheaper where they are the SDK's own over HTTP: spans are encoded by `SpanBytes`, and
gzip works at its first level instead of its ninth, which takes several times as long for a few percent.

Both reach into the exporter: where a version of the SDK has other insides, it works as it always does.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from bizspan.sdk._span_bytes import SpanBytes

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

_HTTP: Final = "opentelemetry.exporter.otlp.proto.http."
_SPANS: Final = (f"{_HTTP}trace_exporter", "OTLPSpanExporter")
# The exporter then counts its own exports, around its own encoding.
_COUNTS: Final = "OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED"


def quick(exporter: Any) -> Any:
    """
    The same exporter, or one that stands before it.

    Args:
        exporter: Of any signal, from any library.
    """
    kind: type[object] = type(exporter)
    client: Any = getattr(exporter, "_client", None)
    if not kind.__module__.startswith(_HTTP) or not callable(getattr(client, "export", None)):
        return exporter
    compression = getattr(client, "_compression", None)
    if getattr(compression, "value", "") == "gzip" and callable(getattr(client, "_compress", None)):
        client._compress = _gzip
    counts = os.environ.get(_COUNTS, "").strip().lower() == "true"
    if (kind.__module__, kind.__name__) != _SPANS or counts:
        return exporter
    return QuickSpans(exporter, client)


def _gzip(data: bytes) -> bytes:
    return zlib.compress(data, 1, zlib.MAX_WBITS | 16)


class QuickSpans(SpanExporter):
    """
    An OTLP/HTTP exporter of spans that takes half of what the SDK's takes.

    Args:
        exporter: The SDK's, which sends.
        client: Its client, which takes bytes.
    """

    def __init__(self, exporter: Any, client: Any) -> None:
        self._exporter = exporter
        self._client = client
        self._bytes = SpanBytes()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send them. What is out of the ordinary goes the SDK's own way."""
        data = self._encoded(spans)
        if data is None:
            result: SpanExportResult = self._exporter.export(spans)
            return result
        return SpanExportResult.SUCCESS if self._client.export(data).success else SpanExportResult.FAILURE

    def _encoded(self, spans: Sequence[ReadableSpan]) -> bytes | None:
        try:
            data = self._bytes.encode(spans)
            most = self._exporter._max_request_size
            return None if self._exporter._shutdown or 0 < most < len(data) else data
        except Exception:
            return None

    def shutdown(self) -> None:
        """Shut down."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing waits here."""
        return bool(self._exporter.force_flush(timeout_millis))
