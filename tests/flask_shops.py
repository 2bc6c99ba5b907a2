"""A shop in Flask, for tests of what its requests carry."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import flask
import pytest
from flask import Flask, Request
from opentelemetry import context as otel

from bizspan.context import frame
from bizspan.integrations.flask import Bizspan
from tests.providers import Application, take

COUNTRY, PLAN = "geo.country.iso_code", "business.plan"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
GOLD = {"X-Segment": "gold", "CF-IPCountry": "DE", "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
ORDERS = ("alone", "before", "after", "class")


@contextmanager
def nothing_left() -> Generator[None]:
    """Whatever a request does, its thread is as it was: the next request must not start in it."""
    before = otel.get_current()
    yield
    assert frame.get() is None
    assert before == otel.get_current()


def segment_of(request: Request) -> Mapping[str, str | None]:
    """A resolver."""
    return {"segment": request.headers.get("X-Segment")}


def shop(**options: Any) -> Flask:
    """An application with one route that is an operation."""
    app = Flask(__name__)
    told: dict[str, Any] = {"routes": {"POST /checkout": "checkout"}, "resolver": segment_of, **options}
    Bizspan(app, **told)
    return app


def with_opentelemetry(application: Application, order: str) -> Flask:
    """The same, with OpenTelemetry's instrumentation before ours, after it, for all applications, or without it."""
    telemetry: Any = pytest.importorskip("opentelemetry.instrumentation.flask")
    options = {"tracer_provider": application.tracer_provider, "meter_provider": application.meter_provider}
    ours = Bizspan(routes={"POST /checkout": "checkout"}, resolver=segment_of, country_header="CF-IPCountry")
    if order == "class":
        telemetry.FlaskInstrumentor().instrument(**options)
        try:
            app = flask.Flask(__name__)
        finally:
            telemetry.FlaskInstrumentor().uninstrument()
    else:
        app = Flask(__name__)
    if order == "before":
        telemetry.FlaskInstrumentor().instrument_app(app, **options)
    ours.init_app(app)
    if order == "after":
        telemetry.FlaskInstrumentor().instrument_app(app, **options)
    return app


def exported(application: Application, name: str) -> Any:
    """An ended span."""
    [span] = [span for span in application.spans() if span.name == name]
    return span


def told(application: Application, name: str) -> dict[str, Any]:
    """The attributes of an event."""
    take()
    [record] = [record for record in application.logs() if record.event_name == name]
    return dict(record.attributes)
