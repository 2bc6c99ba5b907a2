"""What it costs to make a request of spans or events: the SDK's encoders and gzip's ninth level, against ours."""

from __future__ import annotations

import gzip
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from bizspan import names
from bizspan.sdk._log_bytes import LogBytes
from bizspan.sdk._span_bytes import SpanBytes

from .shop import COUNTRY, ORDER, SEGMENT

_SPANS = 512  # of one batch


@dataclass(frozen=True, slots=True)
class Encoding:
    """
    Microseconds per span or event of a batch, and bytes of the batch of spans.

    Args:
        sdk_us: The SDK's encoder of spans.
        ours_us: Ours.
        events_sdk_us: The SDK's encoder of log records.
        events_ours_us: Ours.
        gzip_9_us: To compress what came out, as the SDK's exporter does.
        gzip_1_us: The same as ours does.
        gzip_9_bytes: What came out of that.
        gzip_1_bytes: And of ours.
    """

    sdk_us: float
    ours_us: float
    events_sdk_us: float
    events_ours_us: float
    gzip_9_us: float
    gzip_1_us: float
    gzip_9_bytes: int
    gzip_1_bytes: int


def encoding(rounds: int) -> Encoding:
    """
    Measure.

    Args:
        rounds: Every figure is a median over them.
    """
    memory = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer(names.SCOPE)
    for number in range(_SPANS):
        tracer.start_span("checkout", attributes=_attributes(number)).end()
    events, our_events = _events(), LogBytes()
    spans, ours = memory.get_finished_spans(), SpanBytes()
    data = ours.encode(spans)

    def by_the_sdk() -> bytes:
        return encode_spans(spans).SerializePartialToString()

    return Encoding(
        _us(by_the_sdk, rounds),
        _us(lambda: ours.encode(spans), rounds),
        _us(lambda: encode_logs(events).SerializePartialToString(), rounds),
        _us(lambda: our_events.encode(events), rounds),
        _us(lambda: gzip.compress(data, 9), rounds),
        _us(lambda: zlib.compress(data, 1, zlib.MAX_WBITS | 16), rounds),
        len(gzip.compress(data, 9)),
        len(zlib.compress(data, 1, zlib.MAX_WBITS | 16)),
    )


def _events() -> list[Any]:
    taken: list[Any] = []

    class Taking(LogRecordProcessor):
        def on_emit(self, log_record: Any) -> None:
            taken.append(log_record)

        def shutdown(self) -> None:
            pass

        def force_flush(self, timeout_millis: int = 30_000) -> bool:
            return True

    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(Taking())
    logger = provider.get_logger(names.SCOPE)
    for number in range(_SPANS):
        logger.emit(
            timestamp=time.time_ns(), severity_number=SeverityNumber.INFO, event_name=names.EVENT_OPERATION,
            attributes={**_attributes(number), names.RECORD_UID: f"{number:032x}", names.SEQUENCE: number},
        )  # fmt: skip
    return taken


def _attributes(number: int) -> dict[str, str | int | float]:
    return {
        names.OPERATION_NAME: "checkout",
        names.OPERATION_ID: f"{number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128:032x}",
        names.SEGMENT: SEGMENT,
        names.COUNTRY: COUNTRY,
        names.ORDER: f"{ORDER}-{number}",
        names.OPERATION_OUTCOME: names.SUCCESS,
        names.AMOUNT_KEYS[names.REVENUE]: 42.0,
        names.MINOR_UNITS_KEYS[names.REVENUE]: 4200,
        names.CURRENCY_KEYS[names.REVENUE]: "EUR",
    }


def _us(run: Callable[[], object], rounds: int) -> float:
    taken: list[float] = []
    for _ in range(rounds):
        began = time.thread_time()
        run()
        taken.append((time.thread_time() - began) / _SPANS * 1e6)
    return median(taken)
