"""Attributes on spans of the SDK: written without its checks, with the same result."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.trace import NonRecordingSpan, Span

import bizspan
from bizspan import names
from bizspan.sdk._span_attributes import write
from tests.providers import HASH_KEY, Application, reader

CLEAN: dict[str, Any] = {"text": "gold", "whole": 42, "double": 1.5, "yes": True, "notes": ("a", "b")}


def started(limits: SpanLimits | None = None) -> Span:
    """A span that has an attribute already."""
    return TracerProvider(span_limits=limits).get_tracer("shop").start_span("checkout", attributes={"text": "silver"})


def attributes_of(span: Any) -> dict[str, Any]:
    """What an exporter would get."""
    return dict(span.attributes)


@pytest.mark.parametrize(
    "limits", [None, SpanLimits(max_span_attribute_length=2), SpanLimits(max_span_attributes=2), SpanLimits(0, 0, 0)]
)
def test_a_span_gets_what_the_sdk_would_give_it(limits: SpanLimits | None) -> None:
    """
    With the limits of the application or without, it ends up with the attributes that `set_attributes` gives.
    """
    by_sdk, written = started(limits), started(limits)
    by_sdk.set_attributes(CLEAN)

    write(written, CLEAN)

    assert attributes_of(by_sdk) == attributes_of(written)


def test_a_span_that_ended_stays_as_it_was_exported() -> None:
    """
    What comes after its end reaches nobody who reads it.
    """
    span = started()
    span.end()

    write(span, CLEAN)

    assert {"text": "silver"} == attributes_of(span)


def test_a_span_of_another_library_is_told_by_the_api() -> None:
    """
    Only OpenTelemetry's own kind of span is known from inside.
    """

    class Foreign(NonRecordingSpan):
        def is_recording(self) -> bool:
            return True

        def set_attributes(self, attributes: Any) -> None:
            told.update(attributes)

    told: dict[str, Any] = {}

    write(Foreign(started().get_span_context()), CLEAN)

    assert CLEAN == told


def test_an_operation_ends_within_the_limits_of_the_application() -> None:
    """
    A provider that cuts long values cuts those that an operation learns at its end.
    """
    application = Application(reader())
    provider = TracerProvider(span_limits=SpanLimits(max_span_attribute_length=4))
    options: dict[str, Any] = {**application.providers, "tracer_provider": provider, "hash_key": HASH_KEY}
    with bizspan.configure(**options), bizspan.operation("checkout") as op:
        op.reject("card_declined")
        span = trace.get_current_span()
    application.shutdown()

    assert "reje" == attributes_of(span)[names.OPERATION_OUTCOME]
