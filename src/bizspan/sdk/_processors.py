"""
Processors that put the ambient business facts onto every span and log record, those of other libraries too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk._logs import LogRecordProcessor
from opentelemetry.sdk.trace import Span, SpanProcessor

from bizspan import _active, _guard, names
from bizspan._entry import Entry
from bizspan._log_context import TEXT_FIELD, Text, attributes_for
from bizspan.context import Scope, frame
from bizspan.sdk._events import Ready
from bizspan.sdk._span_attributes import room_in

if TYPE_CHECKING:
    from opentelemetry.context import Context

    from bizspan._types import Attributes


class StampSpans(SpanProcessor):
    """
    Adds the facts in force to each span that starts; what the span says itself wins.
    """

    active = True

    _foreign: object = None  # whose spans started last, other than bizspan's

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Stamp, unless the span is bizspan's own, which carries its facts already."""
        innermost = frame.get()
        if innermost is None or not self.active:
            return
        try:
            scope = innermost if isinstance(innermost, Scope) else innermost.ambient
            if scope is None:
                return
            entry = scope if type(scope) is Entry else scope.entry  # which would be a call more
            # Where OpenTelemetry's middleware runs inside ours, the request's span begins after its scope, which puts
            # its facts there itself. A task may run inside of a request: its span is of another kind.
            if entry is not None and not entry.has_span and entry.kind is span.kind and entry.attach(span):
                return
            made_by = span.instrumentation_scope
            if made_by is not self._foreign:
                if made_by is not None and made_by.name == names.SCOPE:
                    return
                self._foreign = made_by
            pipeline = _active.current
            if pipeline is None:
                return
            facts = scope.resolve(pipeline).attributes
            # Straight into its attributes where the SDK's checks would change nothing: the values are clean, there is
            # room, and nobody else has a span that is just starting. `set_attributes` makes 35 calls for four facts.
            told = room_in(span, len(facts))
            if told is None:
                _set_missing(span, facts)
            elif told:
                for key, value in facts.items():
                    if key not in told:
                        told[key] = value
            else:
                told.update(facts)
        except Exception as error:
            _guard.swallowed("stamping a span", error)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing waits. Said here, because the base class of older SDKs says nothing, and that ends the flush."""
        return True


def _set_missing(span: Span, facts: Attributes) -> None:
    present: Mapping[str, Any] = span.attributes or {}
    missing = {key: value for key, value in facts.items() if key not in present}
    if missing:
        span.set_attributes(missing)


class StampLogs(LogRecordProcessor):
    """
    Adds the facts in force, and the open operation, to each log record; what the record says itself wins. Records of
    loggers that `bizspan.integrations.logging.instrument` excludes stay as they are.
    """

    active = True

    def on_emit(self, log_record: Any) -> None:
        """Stamp, unless the record is bizspan's own."""
        if type(log_record) is Ready or not self.active:
            return
        try:
            scope = log_record.instrumentation_scope
            facts = attributes_for("" if scope is None else scope.name, may_ask=False)
            record = log_record.log_record
            present: Mapping[str, Any] = record.attributes or {}
            if type(present.get(TEXT_FIELD)) is Text:  # for formatters; here it would say every fact a second time
                _drop(record, TEXT_FIELD)
            if facts:
                _add_missing(record, facts)
        except Exception as error:
            _guard.swallowed("stamping a log record", error)

    def enabled(self, **about: Any) -> bool:
        """Whether it wants a record: it only adds to those that others want."""
        return False

    def shutdown(self) -> None:
        """Nothing to stop."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing waits."""
        return True


def _add_missing(record: Any, facts: Mapping[str, Any]) -> None:
    present: Mapping[str, Any] = record.attributes or {}
    missing = {key: value for key, value in facts.items() if key not in present}
    try:
        for key, value in missing.items():
            record.attributes[key] = value
    except TypeError:  # SDKs before 1.40 make the attributes immutable, or leave them None
        record.attributes = {**present, **missing}


def _drop(record: Any, key: str) -> None:
    try:
        del record.attributes[key]
    except TypeError:
        record.attributes = {kept: value for kept, value in record.attributes.items() if kept != key}
