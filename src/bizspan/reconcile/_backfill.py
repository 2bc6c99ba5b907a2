"""
Emits what the ledger has and the events lack, as the application would have.

Only events are sent: a metric has no past, and the application may have counted what its event lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from bizspan import _active, names
from bizspan.errors import SetupError
from bizspan.reconcile._compare import Difference

if TYPE_CHECKING:
    from bizspan._pipeline import Pipeline
    from bizspan.configure import Configuration
    from bizspan.reconcile._events import Selection
    from bizspan.reconcile._ledger import LedgerLine

# The SDK's batch processor keeps 2,048 records and drops the oldest in silence.
_FLUSH_EVERY: Final = 500
_FLUSH_S: Final = 30.0
_NAMED: Final = 20


@dataclass(frozen=True, slots=True)
class Name:
    """
    How the application names its sales.

    Args:
        event_name: ``business.operation``, or the event's own name.
        name: The operation's name, or the event's.
    """

    event_name: str
    name: str


@dataclass(slots=True)
class Backfilled:
    """
    What became of the missing ones.

    Args:
        dry_run: Nothing was sent.
        emitted: Handed over, or would be.
        ambiguous: Orders with several missing lines under one idempotency key: they would be one fact.
        flushed: Whether everything was handed over in time.
    """

    dry_run: bool
    emitted: int = 0
    ambiguous_count: int = 0
    ambiguous: list[str] = field(default_factory=list[str])
    flushed: bool = True


def sale_name(selection: Selection) -> Name | None:
    """What sales are called; None where they have no name, or several."""
    if len(selection.names) != 1:
        return None
    (name,) = selection.names
    return Name(names.EVENT_OPERATION if selection.operations else name, name)


def unambiguous(differences: Iterable[Difference], result: Backfilled) -> Iterator[LedgerLine]:
    """
    Yield the lines that no event tells, without those that would share one uid.
    """
    pending: dict[str, list[LedgerLine]] = {}
    unit: tuple[str, bool] | None = None
    for difference in differences:
        if (difference.order, difference.is_refund) != unit:
            yield from _of_one_order(pending, result)
            pending, unit = {}, (difference.order, difference.is_refund)
        for line in difference.lines:
            pending.setdefault(line.key, []).append(line)
    yield from _of_one_order(pending, result)


def _of_one_order(pending: dict[str, list[LedgerLine]], result: Backfilled) -> Iterator[LedgerLine]:
    for lines in pending.values():
        if len(lines) == 1:
            yield lines[0]
            continue
        result.ambiguous_count += len(lines)
        if len(result.ambiguous) < _NAMED:
            result.ambiguous.append(lines[0].order)


def emit(lines: Iterable[LedgerLine], name: Name, result: Backfilled) -> None:
    """
    Emit these, through `bizspan.configure()` as the environment has it.

    Raises:
        SetupError: There is no way out: the exporter is not installed, or a variable is wrong.
    """
    configuration = _configured()
    try:
        pipeline = _active.pipeline()
        if pipeline is None or not pipeline.sinks:
            raise SetupError(
                "Nothing takes events here: OTEL_SDK_DISABLED or OTEL_LOGS_EXPORTER switches them off; unset it."
            )
        for line in lines:
            _tell(pipeline, line, name)
            result.emitted += 1
            if result.emitted % _FLUSH_EVERY == 0:
                result.flushed = configuration.force_flush(_FLUSH_S)
                if not result.flushed:
                    return
        result.flushed = configuration.force_flush(_FLUSH_S)
    finally:
        configuration.shutdown()


def _configured() -> Configuration:
    from bizspan.configure import configure
    from bizspan.errors import MissingExtra

    try:
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.trace import TracerProvider
    except ModuleNotFoundError:
        raise MissingExtra("--backfill", "otlp") from None
    # Of their own and without exporters, so that logs alone leave.
    silent: Any = MeterProvider(shutdown_on_exit=False)
    return configure(tracer_provider=TracerProvider(shutdown_on_exit=False), meter_provider=silent)


def _tell(pipeline: Pipeline, line: LedgerLine, sale: Name) -> None:
    from bizspan._backfill import late_record

    event_name, name = (names.EVENT_REFUND,) * 2 if line.is_refund else (sale.event_name, sale.name)
    pipeline.accept(
        late_record(
            pipeline,
            event_name,
            name,
            order=line.order,
            key=line.key,
            kind=names.REFUND if line.is_refund else names.REVENUE,
            units=line.minor,
            currency=line.currency,
            time_ns=line.time_ns,
        )
    )
