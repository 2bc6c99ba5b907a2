"""What it costs to make a request of spans: the SDK's encoder and gzip's ninth level, against those of our exporter."""

from __future__ import annotations

import gzip
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from bizspan import names
from bizspan.sdk._span_bytes import SpanBytes

from .shop import COUNTRY, ORDER, SEGMENT

_SPANS = 512  # of one batch


@dataclass(frozen=True, slots=True)
class Encoding:
    """
    Microseconds per span of a batch, and bytes of the batch.

    Args:
        sdk_us: The SDK's encoder.
        ours_us: Ours.
        gzip_9_us: To compress what came out, as the SDK's exporter does.
        gzip_1_us: The same as ours does.
        gzip_9_bytes: What came out of that.
        gzip_1_bytes: And of ours.
    """

    sdk_us: float
    ours_us: float
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
    spans, ours = memory.get_finished_spans(), SpanBytes()
    data = ours.encode(spans)

    def by_the_sdk() -> bytes:
        return encode_spans(spans).SerializePartialToString()

    return Encoding(
        _us(by_the_sdk, rounds),
        _us(lambda: ours.encode(spans), rounds),
        _us(lambda: gzip.compress(data, 9), rounds),
        _us(lambda: zlib.compress(data, 1, zlib.MAX_WBITS | 16), rounds),
        len(gzip.compress(data, 9)),
        len(zlib.compress(data, 1, zlib.MAX_WBITS | 16)),
    )


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
