"""
Events as tests see them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bizspan import names
from bizspan.money import Money

if TYPE_CHECKING:
    from bizspan._types import Value


@dataclass(frozen=True, slots=True)
class CapturedEvent:
    """
    One event, as a log record would carry it.

    Args:
        name: The event's name; of an operation, the operation's.
        event_name: ``business.operation`` for operations, else the same as `name`.
        attributes: By attribute key.
        time_ns: Nanoseconds since the epoch.
        trace_id: Hex, 32 digits; zeros without a trace.
        span_id: Hex, 16 digits; zeros without a span.
    """

    name: str
    event_name: str
    attributes: Mapping[str, Value]
    time_ns: int
    trace_id: str
    span_id: str

    @property
    def uid(self) -> str:
        """``log.record.uid``."""
        return str(self.attributes[names.RECORD_UID])

    @property
    def outcome(self) -> str | None:
        """Of an operation: success, rejected, failed or cancelled. Of an event: failed where its commit never came."""
        return self._text(names.OPERATION_OUTCOME)

    @property
    def took_place(self) -> bool:
        """False for an event, no operation, whose database transaction was rolled back: it counts nowhere."""
        return self.outcome in (None, names.SUCCESS) or names.OPERATION_NAME in self.attributes

    @property
    def reason(self) -> str | None:
        """Why the outcome is not success, as a code."""
        return self._text(names.OPERATION_REASON)

    @property
    def revenue(self) -> Money | None:
        """What was told as revenue, whatever the outcome."""
        return self.money(names.REVENUE)

    def money(self, kind: str) -> Money | None:
        """The amount of one kind, such as ``business.refund``; None where none was told."""
        units = self.attributes.get(names.MINOR_UNITS_KEYS[kind])
        if not isinstance(units, int):
            return None
        return Money.from_minor(units, str(self.attributes[names.CURRENCY_KEYS[kind]]))

    def counted(self, kind: str) -> Money | None:
        """The amount of one kind that metrics and KPIs count: revenue with success only, cost with every outcome."""
        if self.took_place and (kind != names.REVENUE or self.outcome in (None, names.SUCCESS)):
            return self.money(kind)
        return None

    def _text(self, key: str) -> str | None:
        value = self.attributes.get(key)
        return None if value is None else str(value)


def captured_event(record: Any) -> CapturedEvent:
    """The event that a log record carries."""
    attributes: dict[str, Value] = dict(record.attributes)
    event_name = str(record.event_name)
    return CapturedEvent(
        name=str(attributes.get(names.OPERATION_NAME, event_name)),
        event_name=event_name,
        attributes=attributes,
        time_ns=record.timestamp,
        trace_id=f"{record.trace_id or 0:032x}",
        span_id=f"{record.span_id or 0:016x}",
    )
