"""
Processors that put the ambient business facts onto every span and log record, those of other libraries too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk._logs import LogRecordProcessor
from opentelemetry.sdk.trace import Span, SpanProcessor
from opentelemetry.trace import SpanKind

from bizspan import _guard, names
from bizspan._log_context import TEXT_FIELD, Text, attributes_for
from bizspan.context import ambient_attributes, ambient_scope

if TYPE_CHECKING:
    from opentelemetry.context import Context


_ENTRY_KINDS = (SpanKind.SERVER, SpanKind.CONSUMER)


class StampSpans(SpanProcessor):
    """
    Adds the facts in force to each span that starts; what the span says itself wins.
    """

    active = True

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Stamp, unless the span is bizspan's own, which carries its facts already."""
        if not self.active:
            return
        try:
            if span.kind in _ENTRY_KINDS and self._is_entry_span(span):
                return
            facts = ambient_attributes()
            if not facts:
                return
            scope = span.instrumentation_scope
            if scope is not None and scope.name == names.SCOPE:
                return
            present = span.attributes or {}
            span.set_attributes({key: value for key, value in facts.items() if key not in present})
        except Exception as error:
            _guard.swallowed("stamping a span", error)

    def _is_entry_span(self, span: Span) -> bool:
        """
        Where OpenTelemetry's middleware runs inside ours, the request's span begins after its scope, which puts its
        facts there itself.
        """
        scope = ambient_scope()
        entry = None if scope is None else scope.entry
        if entry is None or entry.kind is not span.kind:  # a task may run inside of a request
            return False
        entry.attach(span)
        return entry.span is span

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing waits. Said here, because the base class of older SDKs says nothing, and that ends the flush."""
        return True


class StampLogs(LogRecordProcessor):
    """
    Adds the facts in force, and the open operation, to each log record; what the record says itself wins. Records of
    loggers that `bizspan.integrations.logging.instrument` excludes stay as they are.
    """

    active = True

    def on_emit(self, log_record: Any) -> None:
        """Stamp, unless the record is bizspan's own."""
        if not self.active:
            return
        try:
            scope = log_record.instrumentation_scope
            facts = attributes_for("" if scope is None else scope.name)
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
