"""
OpenTelemetry's current context, read and set without its three calls.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final, cast

from opentelemetry import context as otel
from opentelemetry import trace
from opentelemetry.context import Context


def _direct() -> tuple[Callable[[], Context], Callable[[Context], object]]:
    """
    How to read and set the current context: the API's own variable where it keeps one, else its functions, which take
    three calls instead of one, four times an operation.
    """
    variable: Any = getattr(getattr(otel, "_RUNTIME_CONTEXT", None), "_current_context", None)
    if isinstance(variable, ContextVar):
        current = cast("ContextVar[Context]", variable)
        return current.get, current.set
    return otel.get_current, otel.attach


get_current, attach = _direct()

# The name by which a context holds its span: `get_current().get(SPAN)` is `trace.get_current_span()` in two calls
# instead of seven, and None where there is no span.
SPAN: Final[str] = next(iter(trace.set_span_in_context(trace.INVALID_SPAN, Context())))
