"""
An experiment, not shipped: a span object of our own in front of the stock span processors.

It has what `BatchSpanProcessor` and the OTLP encoder read from a finished SDK span, and skips what the SDK
does for spans in general: limits, a lock per change, a copy and a check of every attribute, events, links.
It reads undocumented parts of the SDK, which is why it is measured here and not in the library.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from random import getrandbits

from opentelemetry import context as context_api
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    INVALID_SPAN,
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    TraceFlags,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.util.types import AttributeValue

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_UNSET = Status()


class LightSpan(NonRecordingSpan):
    """Current like any span, ended once, then read by an exporter."""

    kind = SpanKind.INTERNAL
    events = ()
    links: tuple[Link, ...] = ()
    status = _UNSET
    dropped_attributes = dropped_events = dropped_links = 0

    def __init__(
        self,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        scope: InstrumentationScope,
        resource: Resource,
    ) -> None:
        super().__init__(context)
        self.name = name
        self.context = context
        self.parent = parent
        self.instrumentation_scope = scope
        self.resource = resource
        self.start_time = time.time_ns()
        self.end_time = 0
        self.attributes: Mapping[str, AttributeValue] = {}

    def is_recording(self) -> bool:
        return True


def one_light_span(
    processor: SpanProcessor,
    scope: InstrumentationScope,
    resource: Resource,
    name: str,
    known: Mapping[str, AttributeValue],
    learned: Mapping[str, AttributeValue],
) -> None:
    """Start, make current, end and hand over one span, with the attributes of one operation."""
    outer = get_current_span()
    parent = None if outer is INVALID_SPAN else outer.get_span_context()
    trace_id = parent.trace_id if parent else getrandbits(128)
    span = LightSpan(name, SpanContext(trace_id, getrandbits(64), False, _SAMPLED), parent, scope, resource)
    token = context_api.attach(set_span_in_context(span))
    context_api.detach(token)
    span.attributes = {**known, **learned}
    span.end_time = time.time_ns()
    processor.on_end(_readable(span))


def _readable(span: LightSpan) -> ReadableSpan:
    # Duck-typed on purpose: building a ReadableSpan would cost most of what the experiment saves.
    return span  # type: ignore[return-value]  # pyright: ignore[reportReturnType]
