"""
Events on the SDK's own logger, without checking every attribute a second time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk import _logs as sdk_logs

from bizspan._signals import EventSink, context_of

if TYPE_CHECKING:
    from bizspan._clock import Ids
    from bizspan._record import Record

# The SDK's default limit; a record of ours seldom comes near it.
_MOST_ATTRIBUTES: Final = 128
_Base: Any = getattr(sdk_logs, "ReadWriteLogRecord", object)


class _Event(LogRecord):
    """The SDK's batch processor copies each record, which takes 2 us where the copy is made by the rules of pickle."""

    def __copy__(self) -> _Event:
        copied = _Event.__new__(_Event)
        vars(copied).update(vars(self))
        return copied


class _Ready(_Base):  # type: ignore[misc] # the SDK's class, where it has one
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
        log_record = _Event(
            timestamp=record.time_ns,
            context=context_of(record),
            severity_number=SeverityNumber.INFO,
            attributes=record.attributes,
            event_name=record.event_name,
        )
        # The resource is asked for each time: in a forked child it is another one.
        self._logger.emit(_Ready(log_record, self._logger.resource, self._scope, self._limits))
