"""Exporters that bizspan builds: quicker than the SDK's own, to the same end."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from _collector import Receiver
from bizspan.sdk._quick import QuickSpans, quick
from bizspan.sdk._span_bytes import SpanBytes
from tests.providers import log_exporter

pytestmark = pytest.mark.skipif(
    type(quick(OTLPSpanExporter("http://127.0.0.1:9/v1/traces"))) is OTLPSpanExporter,
    reason="this version of the exporter has other insides, and is used as it is",
)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A far end."""
    with Receiver() as running:
        yield running


def spans_of(exporter: Any, *values: object) -> list[ReadableSpan]:
    """Spans with one attribute each."""
    memory = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    for value in values:
        told: Any = value
        provider.get_tracer("shop").start_span("checkout", attributes={"value": told}).end()
    return list(memory.get_finished_spans())


def built(receiver: Receiver, **options: Any) -> Any:
    """As `configure()` builds it."""
    return quick(OTLPSpanExporter(f"{receiver.http_endpoint}/v1/traces", **options))


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip])
def test_spans_arrive_as_they_were(receiver: Receiver, compression: Compression) -> None:
    """
    Over real HTTP, however they are compressed.
    """
    exporter = built(receiver, compression=compression)

    assert SpanExportResult.SUCCESS == exporter.export(spans_of(exporter, "gold", 42, True))
    exporter.shutdown()

    assert isinstance(exporter, QuickSpans)
    assert ["gold", 42, True] == [span["attributes"]["value"] for span in receiver.spans("checkout")]


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip])
def test_log_records_arrive_as_they_were(receiver: Receiver, compression: Compression) -> None:
    """
    Over real HTTP, and a far end that refuses is a failure.
    """
    exporter: Any = quick(OTLPLogExporter(f"{receiver.http_endpoint}/v1/logs", compression=compression, timeout=0.2))
    if type(exporter) is OTLPLogExporter:
        pytest.skip("this version of the SDK names its exporters otherwise, and is used as it is")
    provider = LoggerProvider(shutdown_on_exit=False)
    memory = log_exporter()
    provider.add_log_record_processor(SimpleLogRecordProcessor(memory))
    for value in ("gold", 2**63, True):
        provider.get_logger("shop").emit(event_name="business.event", attributes={"value": value, "kept": 1})
    records: Any = memory.get_finished_logs()

    assert "SUCCESS" == exporter.export(records).name
    receiver.behaviour = "unavailable"
    assert "FAILURE" == exporter.export(records).name
    exporter.shutdown()
    assert "FAILURE" == exporter.export(records).name

    assert [{"value": "gold", "kept": 1}, {"kept": 1}, {"value": True, "kept": 1}] == [
        event["attributes"] for event in receiver.events("business.event")
    ]


def test_gzip_is_gzip() -> None:
    """
    At another level, and for the exporters of all signals.
    """
    logs: Any = quick(OTLPLogExporter("http://127.0.0.1:9/v1/logs", compression=Compression.Gzip))

    assert b"a" * 1000 == gzip.decompress(logs._client._compress(b"a" * 1000))


def test_a_value_beyond_64_bits_costs_itself_not_its_batch(receiver: Receiver) -> None:
    """
    The SDK's encoder raises for it, and the whole batch is lost.
    """
    exporter = built(receiver)

    assert SpanExportResult.SUCCESS == exporter.export(spans_of(exporter, 2**63, "gold"))
    assert [{}, {"value": "gold"}] == [span["attributes"] for span in receiver.spans("checkout")]


def test_what_is_out_of_the_ordinary_goes_the_way_of_the_sdk(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """
    An encoder that fails, a request beyond the limit, an exporter that was shut down: what the SDK says of them counts.
    """
    exporter = built(receiver)
    with monkeypatch.context() as patch:
        patch.setattr(SpanBytes, "encode", None)
        assert SpanExportResult.SUCCESS == exporter.export(spans_of(exporter, "gold"))
    small = built(receiver, max_request_size=10)
    assert SpanExportResult.FAILURE == small.export(spans_of(small, "silver"))
    assert "Dropping span batch" in caplog.text
    exporter.shutdown()
    assert SpanExportResult.FAILURE == exporter.export(spans_of(exporter, "bronze"))

    assert ["gold"] == [span["attributes"]["value"] for span in receiver.spans("checkout")]


def test_a_collector_that_refuses_is_a_failure(receiver: Receiver) -> None:
    """
    As the SDK's exporter reports it.
    """
    receiver.behaviour = "unavailable"
    exporter = built(receiver, timeout=0.2)

    assert SpanExportResult.FAILURE == exporter.export(spans_of(exporter, "gold"))


def test_other_exporters_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Of another kind, or one that counts its own exports.
    """

    class Other(SpanExporter):
        """Somebody's."""

    class Mine(OTLPSpanExporter):
        """Somebody's, on the SDK's."""

    monkeypatch.setenv("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED", "true")
    for exporter in (Other(), Mine("http://127.0.0.1:9"), OTLPSpanExporter("http://127.0.0.1:9")):
        assert exporter is quick(exporter)
