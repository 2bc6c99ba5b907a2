"""
Clean attributes straight into a span of the SDK's, where its checks would change nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.attributes import BoundedAttributes

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from bizspan._types import Attributes


def dictionary_of(span: Span) -> dict[str, Any] | None:
    """
    What is behind the attributes of this span, to be read; None where it is another library's span.
    """
    attributes: Any = getattr(span, "_attributes", None)
    return getattr(attributes, "_dict", None) if type(attributes) is BoundedAttributes else None


def takes(span: Any, number: int) -> bool:
    """Whether as many clean attributes fit in without cutting one or dropping another."""
    attributes: BoundedAttributes = span._attributes
    return attributes.max_value_len is None and number <= (attributes.maxlen or 0)


def write(span: Span, attributes: Attributes) -> None:
    """
    What `span.set_attributes` does, for clean values: it makes 48 calls for six of them, at the end of each request.
    """
    told = dictionary_of(span)
    lock: Any = getattr(span, "_lock", None)
    if told is None or lock is None or not takes(span, len(told) + len(attributes)):
        span.set_attributes(attributes)
        return
    with lock:  # as the SDK does: another thread may end the span, and then it is the exporter's
        if span.is_recording():
            told.update(attributes)
