"""
Who called, by the headers of distributed tracing: the parent of a request's span where nothing else has read them.
"""

from __future__ import annotations

from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import Getter
from opentelemetry.trace import Span

from bizspan import _guard
from bizspan.integrations._http import Header


class _Headers(Getter[Header]):
    def get(self, carrier: Header, key: str) -> list[str] | None:
        if key == "baggage":  # taken in where it was asked for; here a broken one would cost the caller's span
            return None
        value = carrier(key)
        return [value] if value is not None and value.isascii() else None  # as all of these headers are

    def keys(self, carrier: Header) -> list[str]:
        return []


_HEADERS: Final = _Headers()


def caller_of(header: Header) -> Span:
    """
    The caller's span as these headers tell it; an invalid one where they tell none. Never raises.

    Args:
        header: See `Arrived`.
    """
    try:
        # Where it is needed: importing it loads the propagators that the environment names.
        from opentelemetry import propagate

        return trace.get_current_span(propagate.extract(header, Context(), _HEADERS))
    except Exception as error:
        _guard.swallowed("reading who called", error)
        return trace.INVALID_SPAN
