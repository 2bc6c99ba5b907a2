"""Where the rest goes: the SDK's part of one operation, step by step, and what a span of ours would save."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from opentelemetry import context as context_api
from opentelemetry._logs import SeverityNumber
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import set_span_in_context

from bizspan._clock import Ids
from bizspan._record import Record
from bizspan._signals import context_of
from bizspan._types import Value
from bizspan.names import EVENT_OPERATION
from bizspan.sdk._events import ReadyEventSink
from bizspan.sdk._span_attributes import write

from .light_span import one_light_span
from .measure import Cost, Subject, interleaved, medians
from .pipelines import NEVER_MS, QUEUE_SIZE, RECORDING, Exporters, NullSpans, build_providers
from .shop import COUNTRY, ORDER, SEGMENT

STARTED: Final = "span: start, attributes known at the start"
SET: Final = "span: attributes added at the end"
ENDED: Final = "span: end, hand over to the batch processor"
CURRENT: Final = "span: made current and back"
SPAN: Final = (STARTED, SET, ENDED, CURRENT)
EVENT: Final = "event: to the SDK's logger, on bizspan's thread"
BY_EMIT: Final = "  (the same through Logger.emit)"
LIGHT: Final = "experiment: a span object of our own, all four steps"


@dataclass(frozen=True, slots=True)
class Step:
    """One step of an operation and its cost."""

    name: str
    cost: Cost


# The attributes of one checkout: what bizspan gives the span at its start, and at its end.
KNOWN: Final[dict[str, Value]] = {
    "business.operation.name": "checkout",
    "business.operation.id": "0af7651916cd43dd8448eb211c80319c",
    "business.customer.segment": SEGMENT,
    "geo.country.iso_code": COUNTRY,
    "business.order.id": ORDER,
}
LEARNED: Final[dict[str, Value]] = {
    "business.operation.outcome": "success",
    "business.revenue.amount": 42.0,
    "business.revenue.minor_units": 4200,
    "business.revenue.currency": "EUR",
}


def sdk_steps(*, rounds: int, operations: int) -> list[Step]:
    """
    The SDK's part of one operation: its span in four steps, its log record, then the experiment.

    A span's step is the difference between a loop with it and a loop without it, so the four add up.

    Args:
        rounds: Interleaved rounds.
        operations: Operations per round.
    """
    providers = build_providers(RECORDING, Exporters())
    tracer = providers.tracer.get_tracer("bench")
    logger = providers.logger.get_logger("bench")
    sink = ReadyEventSink(logger, Ids())
    attributes: dict[str, Value] = {**KNOWN, **LEARNED, "log.record.uid": KNOWN["business.operation.id"]}
    record = Record(EVENT_OPERATION, "checkout", "", time.time_ns(), attributes, (), None)
    processor = BatchSpanProcessor(NullSpans(), max_queue_size=QUEUE_SIZE, schedule_delay_millis=NEVER_MS)
    scope = InstrumentationScope("bench")
    resource = providers.tracer.resource

    def start() -> None:
        tracer.start_span("checkout", attributes=KNOWN)

    def start_set() -> None:
        write(tracer.start_span("checkout", attributes=KNOWN), LEARNED)

    def start_set_end() -> None:
        span = tracer.start_span("checkout", attributes=KNOWN)
        write(span, LEARNED)
        span.end()

    def whole() -> None:
        span = tracer.start_span("checkout", attributes=KNOWN)
        token = context_api.attach(set_span_in_context(span))
        context_api.detach(token)
        write(span, LEARNED)
        span.end()

    def light() -> None:
        one_light_span(processor, scope, resource, "checkout", KNOWN, LEARNED)

    def event() -> None:
        sink.emit(record)

    def by_emit() -> None:
        logger.emit(
            event_name=EVENT_OPERATION,
            timestamp=record.time_ns,
            context=context_of(record),
            severity_number=SeverityNumber.INFO,
            attributes=record.attributes,
        )

    def flush() -> None:
        providers.logger.force_flush()
        providers.tracer.force_flush()
        processor.force_flush()

    runs = {
        STARTED: start,
        SET: start_set,
        ENDED: start_set_end,
        CURRENT: whole,
        EVENT: event,
        BY_EMIT: by_emit,
        LIGHT: light,
    }
    try:
        costs = medians(
            interleaved(
                [Subject(name, run, flush) for name, run in runs.items()],
                rounds=rounds,
                operations=operations,
            )
        )
    finally:
        providers.close()
        processor.shutdown()  # type: ignore[no-untyped-call]
    steps: list[Step] = []
    before = Cost(0.0, 0.0)
    for name in SPAN:
        cost = costs[name]
        steps.append(Step(name, Cost(cost.app_us - before.app_us, cost.total_us - before.total_us)))
        before = cost
    # The event is emitted on bizspan's thread: no part of it is the application's.
    steps += [Step(name, Cost(0.0, costs[name].total_us)) for name in (EVENT, BY_EMIT)]
    return [*steps, Step(LIGHT, costs[LIGHT])]
