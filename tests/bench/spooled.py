"""What a spool costs: one event against the SDK's logger in memory, one operation against H, and both sent for real."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from tempfile import TemporaryDirectory
from typing import Any, Final

from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

from bizspan._clock import Ids
from bizspan._record import Record
from bizspan._types import Attributes
from bizspan.names import EVENT_OPERATION, REVENUE, SUCCESS
from bizspan.sdk._quick import quick
from bizspan.spool._batch import pack_scope
from bizspan.spool._book import DiskBook
from bizspan.spool._options import Spool
from bizspan.spool._target import Target

from . import ours
from .by_hand import ByHand
from .collector import collector
from .measure import Cost, Subject, interleaved, medians, ratios
from .pipelines import RECORDING, Exporters, signals
from .shop import COUNTRY, ORDER, SEGMENT
from .targets import BLOCK, BY_HAND, DECORATOR

EMIT: Final = "Logger.emit, in memory"
APPEND: Final = "spool, encoding included"
EMIT_AT_MOST: Final = 0.50
APP_AT_MOST: Final = 0.50
TOTAL_AT_MOST: Final = 0.45
TAIL_AT_MOST_US: Final = 250.0
_NOWHERE: Final = Target("http://127.0.0.1:9/v1/logs")
_ATTRIBUTES: Final[Attributes] = {
    "business.operation.name": "checkout",
    "business.operation.id": "0123456789abcdef0123456789abcdef",
    "business.customer.segment": SEGMENT,
    "geo.country.iso_code": COUNTRY,
    "business.order.id": ORDER,
    "business.operation.outcome": "success",
    "business.revenue.amount": 42.0,
    "business.revenue.minor_units": 4200,
    "business.revenue.currency": "EUR",
}


@dataclass(frozen=True, slots=True)
class Spooled:
    """
    What a spool costs.

    Args:
        emit: One event, by way.
        emit_ratio: The spool's in parts of the SDK's, on the application's thread.
        tail_us: The slowest thousandth of the spool's calls starts here, wall time, nothing else running.
        operation: One operation, by way, exporters doing nothing.
        operation_ratio: Ours with a spool in parts of H.
        sent: One operation, by way, everything sent over OTLP/HTTP to one collector.
        sent_ratio: Ours in parts of H.
    """

    emit: dict[str, Cost]
    emit_ratio: float
    tail_us: float
    operation: dict[str, Cost]
    operation_ratio: float
    sent: dict[str, Cost]
    sent_ratio: float


def spooled(*, rounds: int, operations: int) -> Spooled:
    """
    Measure.

    Args:
        rounds: Interleaved rounds; every figure is a median over them.
        operations: Operations per round and subject.
    """
    emit, tail_us = _events(rounds, operations)
    with _both(Exporters(), Exporters(), None) as subjects:
        operation = interleaved(subjects, rounds=rounds, operations=operations)
    with collector() as endpoint, _both(_sending(endpoint), _built(endpoint), endpoint) as subjects:
        sent = interleaved(subjects, rounds=rounds, operations=operations)
    return Spooled(
        medians(emit),
        ratios(emit, APPEND, EMIT).app_us,
        tail_us,
        medians(operation),
        max(ratios(operation, name, BY_HAND).app_us for name in (BLOCK, DECORATOR)),
        medians(sent),
        max(ratios(sent, name, BY_HAND).total_us for name in (BLOCK, DECORATOR)),
    )


def _events(rounds: int, operations: int) -> tuple[dict[str, list[Cost]], float]:
    with TemporaryDirectory() as directory:
        book = _quiet_book(directory)
        made = signals(RECORDING)
        append = partial(_append, book)
        subjects = [
            Subject(EMIT, partial(_emit, made.logger), made.flush),
            Subject(APPEND, append, _nothing),
        ]
        costs = interleaved(subjects, rounds=rounds, operations=operations)
        tail = _tail_us(append, rounds * operations)
        made.close()
        book.close(0.0)
    return costs, tail


def _emit(logger: Any) -> None:
    logger.emit(
        event_name="business.operation",
        timestamp=time.time_ns(),
        severity_number=SeverityNumber.INFO,
        attributes={**_ATTRIBUTES, "business.operation.duration": 0.031, "log.record.uid": "0123456789abcdef"},
    )


def _append(book: DiskBook) -> None:
    record = Record(
        EVENT_OPERATION, "checkout", "0123456789abcdef", time.time_ns(), {**_ATTRIBUTES}, ((REVENUE, 4200, "EUR"),),
        None, SUCCESS, 31_000_000,
    )  # fmt: skip
    assert book.append(record) is None


def _tail_us(run: Callable[[], None], calls: int) -> float:
    gc.collect()
    taken: list[int] = []
    for _ in repeat(None, calls):
        before = time.perf_counter_ns()
        run()
        taken.append(time.perf_counter_ns() - before)
    return sorted(taken)[int(len(taken) * 0.999)] / 1000


@contextmanager
def _both(stock: Exporters, built: Exporters, endpoint: str | None) -> Generator[list[Subject]]:
    """H on its providers, and ours with a spool on the same kind of providers."""
    by_hand = signals(RECORDING, stock)
    with TemporaryDirectory() as directory, ours.pipeline(RECORDING, built, _opens(directory, endpoint)) as pair:
        yield [Subject(BY_HAND, partial(ByHand(by_hand).checkout, SEGMENT, COUNTRY, ORDER), by_hand.flush), *pair]
    by_hand.close()


def _opens(directory: str, endpoint: str | None) -> Callable[[Ids], DiskBook]:
    def opened(ids: Ids) -> DiskBook:
        if endpoint is None:
            return _quiet_book(directory, ids.writer_id)
        return DiskBook(Spool(directory), Target(f"{endpoint}/v1/logs"), ids.writer_id, dict, pack_scope(b"", b""))

    return opened


class _Quiet(DiskBook):
    """Writes, and sends nothing: its thread does not start."""

    def flush(self, timeout_s: float) -> bool:
        return True


def _quiet_book(directory: str, writer_id: str = "0" * 20) -> DiskBook:
    book = _Quiet(Spool(directory), _NOWHERE, writer_id, dict, pack_scope(b"", b""))
    book._life.awake = True
    return book


def _sending(endpoint: str) -> Exporters:
    logs: Any = OTLPLogExporter(f"{endpoint}/v1/logs", compression=Compression.Gzip)
    return Exporters(
        OTLPSpanExporter(f"{endpoint}/v1/traces", compression=Compression.Gzip),
        logs,
        OTLPMetricExporter(f"{endpoint}/v1/metrics", compression=Compression.Gzip),
    )


def _built(endpoint: str) -> Exporters:
    """The same, as `configure()` builds them; events go through the spool."""
    made = _sending(endpoint)
    return Exporters(quick(made.spans), metrics=quick(made.metrics))


def _nothing() -> None:
    return None
