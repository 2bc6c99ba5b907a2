"""
Events on the SDK's own logger, without checking every attribute a second time.
"""

from __future__ import annotations

from collections.abc import Callable
from time import time_ns
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.sdk import _logs as sdk_logs

from bizspan._contexts import SPAN
from bizspan._record import Record
from bizspan._signals import EventSink, context_of

if TYPE_CHECKING:
    from bizspan._clock import Ids

# The SDK's default limit; a record of ours seldom comes near it.
_MOST_ATTRIBUTES: Final = 128
_INFO: Final = SeverityNumber.INFO
_Base: Any = getattr(sdk_logs, "ReadWriteLogRecord", object)


class _Event(LogRecord):
    """The SDK's batch processor copies each record, which takes 2 us where the copy is made by the rules of pickle."""

    def __copy__(self) -> _Event:
        copied = _Event.__new__(_Event)
        copied.__dict__ = self.__dict__.copy()  # pyright: ignore[reportAttributeAccessIssue]
        return copied


def _made(record: Record) -> _Event:
    """What `LogRecord` makes of a record: its own way goes four times through the context, for 2 us."""
    linked = record.span_context or trace.INVALID_SPAN_CONTEXT
    event = _Event.__new__(_Event)
    event.timestamp = record.time_ns
    event.observed_timestamp = time_ns()
    event.context = Context({SPAN: trace.NonRecordingSpan(linked)})
    event.trace_id = linked.trace_id
    event.span_id = linked.span_id
    event.trace_flags = linked.trace_flags
    event.severity_text = None
    event.severity_number = _INFO
    event.body = None
    event.attributes = record.attributes
    event.event_name = record.event_name
    event.exception = None
    return event


def _made_by_api(record: Record) -> _Event:
    return _Event(
        timestamp=record.time_ns,
        context=context_of(record),
        severity_number=_INFO,
        attributes=record.attributes,
        event_name=record.event_name,
    )


def _maker() -> Callable[[Record], _Event]:
    """Ours, where both make the same of a record; else that of an API with another `LogRecord`."""
    record = Record("business.operation", "checkout", "", 1, {"key": "value"}, (), trace.SpanContext(1, 2, False))
    try:
        ours, theirs = vars(_made(record)), vars(_made_by_api(record))
    except Exception:  # of a kind that is not known yet
        return _made_by_api
    ours["observed_timestamp"] = theirs.get("observed_timestamp")
    ours["context"] = theirs.get("context")
    return _made if ours == theirs else _made_by_api


_event: Final = _maker()


class Ready(_Base):  # type: ignore[misc] # the SDK's class, where it has one
    """A log record whose attributes are clean: the SDK's would copy and check each again, 8 us an event."""

    def __post_init__(self) -> None:
        """Nothing to check."""


class ReadyEventSink(EventSink):
    """
    Hands finished records to an SDK logger; any other logger gets them through the API.

    The SDK's checks are skipped only where they change nothing: with its default limits, on a record below them.

    Args:
        logger: OpenTelemetry's.
        ids: Names the writer.
        flush: See `EventSink`.
    """

    __slots__ = ("_limits", "_logger", "_ready", "_scope")

    def __init__(self, logger: Any, ids: Ids, flush: Callable[[], object] | None = None) -> None:
        super().__init__(logger, ids, flush)
        self._logger = logger
        self._limits: Any = getattr(logger, "_log_record_limits", None)
        self._scope: Any = getattr(logger, "instrumentation_scope", None)
        self._ready = (
            _Base is not object
            and isinstance(logger, sdk_logs.Logger)
            and self._scope is not None
            and hasattr(logger, "resource")
            and getattr(self._limits, "max_log_record_attributes", 0) == _MOST_ATTRIBUTES
            and getattr(self._limits, "max_log_record_attribute_length", 0) is None
        )

    def emit(self, record: Record) -> None:
        """Hand one event to the logger."""
        if not self._ready or len(record.attributes) > _MOST_ATTRIBUTES:
            super().emit(record)
            return
        # The resource is asked for each time: in a forked child it is another one.
        self._logger.emit(Ready(_event(record), self._logger.resource, self._scope, self._limits))
