"""
One business record: plain slots, what every signal is made from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext

    from bizspan._types import Attributes

# (kind, minor units, currency): ("business.revenue", 4200, "EUR")
AmountLine = tuple[str, int, str]


class Record:
    """
    What happened, once.

    Args:
        event_name: The event's name: ``business.operation``, or the caller's.
        name: What metrics file it under: the operation's name, or the event's.
        uid: ``log.record.uid``; the same business fact has the same.
        time_ns: When it happened, nanoseconds since the epoch.
        attributes: Everything that is known, by attribute key.
        amounts: Money, in minor units.
        span_context: Of the span at that moment; it links the event to its trace. Not the span: an event that waits
            would keep its 4 kB alive.
        outcome: Of an operation; None for a plain event.
        duration_ns: Of an operation, from the monotonic clock.
        score: Of a feedback.
        idempotent: The uid comes from the caller's key, so a repeat adds nothing to metrics.
    """

    __slots__ = (
        "amounts", "attributes", "duration_ns", "event_name", "idempotent",
        "kept", "name", "outcome", "score", "span_context", "time_ns", "uid",
    )  # fmt: skip

    def __init__(
        self,
        event_name: str,
        name: str,
        uid: str,
        time_ns: int,
        attributes: Attributes,
        amounts: tuple[AmountLine, ...],
        span_context: SpanContext | None,
        outcome: str | None = None,
        duration_ns: int | None = None,
        score: float | None = None,
        idempotent: bool = False,
    ) -> None:
        self.event_name = event_name
        self.name = name
        self.uid = uid
        self.time_ns = time_ns
        self.attributes = attributes
        self.amounts = amounts
        self.span_context = span_context
        self.outcome = outcome
        self.duration_ns = duration_ns
        self.score = score
        self.idempotent = idempotent
        self.kept = True  # False: the event was refused, metrics still count
