"""
Emits what the ledger has and the events lack, as the application would have.

Only events are sent: a metric has no past, and the application may have counted what its event lost.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from bizspan import _active, names
from bizspan._backfill import late_record
from bizspan.errors import MissingExtra, SetupError
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
_SPOOL_VARIABLE: Final = "BIZSPAN_SPOOL_DIR"


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
        emitted: How many were sent, or would be.
        acknowledged: How many of them the endpoint took.
        ambiguous_count: Lines that share one idempotency key with another missing one: they would be one fact.
        ambiguous: The first orders with such lines.
    """

    dry_run: bool
    emitted: int = 0
    acknowledged: int = 0
    ambiguous_count: int = 0
    ambiguous: list[str] = field(default_factory=list[str])


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


def emit(lines: Iterable[LedgerLine], sale: Name, result: Backfilled) -> None:
    """
    Emit these, to where the environment has events sent, until the endpoint refuses some.

    Raises:
        SetupError: There is no way out: the exporter is not installed, or a variable is wrong.
    """
    exporter = Watched(_exporter())
    configuration = _configured(exporter)
    try:
        pipeline = _active.pipeline()
        for line in lines:
            assert pipeline is not None
            _tell(pipeline, line, sale)
            result.emitted += 1
            if result.emitted % _FLUSH_EVERY == 0:
                configuration.force_flush(_FLUSH_S)
                if exporter.acknowledged < result.emitted:
                    break
        configuration.force_flush(_FLUSH_S)
    finally:
        configuration.shutdown()
        result.acknowledged = exporter.acknowledged


class Watched:
    """
    An exporter that counts what its endpoint acknowledges: the SDK keeps the answers to itself.

    Args:
        exporter: Of log records.
    """

    def __init__(self, exporter: Any) -> None:
        self._exporter = exporter
        self.acknowledged = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._exporter, name)

    def export(self, batch: Sequence[Any]) -> Any:
        """Export, and look at the answer."""
        answer = self._exporter.export(batch)
        if answer.name == "SUCCESS":
            self.acknowledged += len(batch)
        return answer


def _exporter() -> Any:
    try:
        exporters: Any = import_module("bizspan.sdk._exporters")
        providers: Any = import_module("bizspan.sdk._providers")
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("opentelemetry"):
            raise
        raise MissingExtra("--backfill", "otlp") from None
    exporter = None if providers.is_disabled() else exporters.from_environment((False, False, True)).logs
    if exporter is None:
        raise SetupError(
            "OTEL_SDK_DISABLED or OTEL_LOGS_EXPORTER switches events off here; unset it, or leave --backfill out."
        )
    return exporter


def _configured(exporter: Watched) -> Configuration:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.trace import TracerProvider

    from bizspan.configure import configure
    from bizspan.sdk._providers import build_logger_provider
    from bizspan.sdk._resource import build_resource

    # The application's spool would take the events, and give none of the answers that are counted here.
    directory = os.environ.pop(_SPOOL_VARIABLE, None)
    try:
        # Those of spans and metrics export nothing: events alone leave.
        return configure(
            tracer_provider=TracerProvider(shutdown_on_exit=False),
            meter_provider=MeterProvider(shutdown_on_exit=False),
            logger_provider=build_logger_provider(build_resource(None, None, {}), exporter),
        )
    finally:
        if directory is not None:
            os.environ[_SPOOL_VARIABLE] = directory


def _tell(pipeline: Pipeline, line: LedgerLine, sale: Name) -> None:
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
