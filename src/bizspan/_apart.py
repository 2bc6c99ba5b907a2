"""
Requests that only look as if they were inside another one.

An event loop may run a connection's next request in the context of an earlier one (CPython issue 140947; pipelined
requests). The facts and the span in that context are another request's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.trace import Span, SpanKind

    from bizspan.context import Frame


def outside_of_requests(innermost: Frame | None) -> Frame | None:
    """
    The nearest frame around this one that belongs to no request or task.
    """
    scope = None if innermost is None else innermost.ambient
    if scope is None or scope.entry is None:
        return innermost
    while scope is not None and scope.entry is not None:
        scope = scope.outer
    return scope


def is_new_span(span: Span, kind: SpanKind) -> bool:
    """
    Whether a server's or consumer's instrumentation just opened this span. Not, where it ended, or is of what happens
    inside.
    """
    return span.is_recording() and getattr(span, "kind", None) is kind
