"""The request duration of OpenTelemetry's own web instrumentations, by segment and country."""

from __future__ import annotations

import json
import textwrap
from importlib.metadata import version
from importlib.util import find_spec
from typing import Final

import pytest

from tests.child import run

# The instrumentations read their opt-in once per process, and Django its settings: each case has a process of its own.
PRELUDE: Final = """
    import json
    import bizspan
    from bizspan import _guard
    from bizspan.sdk import with_business_context
    from opentelemetry import metrics, trace
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
    from tests.providers import points, reader

    _guard.fatal = True
    NAMES = ("http.server.request.duration", "http.server.duration")
    SEGMENT, COUNTRY = "business.customer.segment", "geo.country.iso_code"
    REQUESTS = [("gold", "DE"), ("gold", "DE"), ("silver", "FR"), ("gold", "FR"), (None, None)]
    memory = reader()
    inner = MeterProvider([memory], shutdown_on_exit=False)
    trace.set_tracer_provider(TracerProvider(sampler=ParentBased(TraceIdRatioBased(0.5)), shutdown_on_exit=False))
    metrics.set_meter_provider(with_business_context(inner, dict.fromkeys(NAMES, ("segment", "country"))))
    bizspan.configure(export="none", hash_key="k" * 32)

    def headers(segment, country):
        return {} if segment is None else {"X-Segment": segment, "X-Country": country}

    def who(request):
        return {"segment": request.headers.get("x-segment")}

    def show():
        data = memory.get_metrics_data()
        counts = {
            name: sorted(
                [p.attributes.get(SEGMENT, ""), p.attributes.get(COUNTRY, ""), p.count, len(p.attributes) > 2]
                for p in points(data, name)
            )
            for name in NAMES
        }
        active = [[p.value, sorted({SEGMENT, COUNTRY} & {*p.attributes})]
                  for p in points(data, "http.server.active_requests")]
        print(json.dumps([counts, active]))
"""

FLASK: Final = """
    from flask import Flask
    from bizspan.integrations.flask import Bizspan
    from opentelemetry.instrumentation.flask import FlaskInstrumentor

    app = Flask("shop")
    FIRST
    SECOND

    @app.get("/orders/<number>")
    def order(number):
        return number

    for segment, country in REQUESTS:
        assert 200 == app.test_client().get("/orders/1", headers=headers(segment, country)).status_code
    show()
"""
_OURS: Final = 'Bizspan(app, resolver=who, country_header="X-Country")'
_THEIRS: Final = "FlaskInstrumentor().instrument_app(app)"
FLASK_AFTER: Final = FLASK.replace("FIRST", _THEIRS).replace("SECOND", _OURS)
FLASK_BEFORE: Final = FLASK.replace("FIRST", _OURS).replace("SECOND", _THEIRS)

DJANGO: Final = """
    import django
    from django.conf import settings
    from django.http import HttpResponse
    from django.urls import path
    from opentelemetry.instrumentation.django import DjangoInstrumentor

    def order(request, number):
        return HttpResponse(number)

    urlpatterns = [path("orders/<number>", order)]
    settings.configure(
        ROOT_URLCONF=__name__,
        SECRET_KEY="known",
        ALLOWED_HOSTS=["testserver"],
        INSTALLED_APPS=["bizspan.integrations.django"],
        MIDDLEWARE=["bizspan.integrations.django.Middleware"],
        BIZSPAN={"RESOLVER": who, "COUNTRY_HEADER": "X-Country"},
    )
    DjangoInstrumentor().instrument()
    django.setup()

    REQUEST_ALL
    show()
"""
WSGI: Final = DJANGO.replace(
    "REQUEST_ALL",
    """
    from django.test import Client
    for segment, country in REQUESTS:
        assert 200 == Client().get("/orders/1", headers=headers(segment, country)).status_code
""",
)
ASYNC: Final = DJANGO.replace(
    "REQUEST_ALL",
    """
    import asyncio
    from django.test import AsyncClient

    async def ask(segment, country):
        return await AsyncClient().get("/orders/1", headers=headers(segment, country))

    async def main():
        responses = await asyncio.gather(*(ask(*each) for each in REQUESTS))
        assert {200} == {response.status_code for response in responses}

    asyncio.run(main())
""",
)

ASGI: Final = """
    import asyncio
    from bizspan.integrations.asgi import Bizspan
    from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

    async def shop(scope, receive, send):
        await asyncio.sleep(0)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"1"})

    app = ORDER(shop)

    async def ask(segment, country):
        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message):
            await asyncio.sleep(0)

        told = [(name.lower().encode(), value.encode()) for name, value in headers(segment, country).items()]
        await app({
            "type": "http", "method": "GET", "path": "/orders/1", "raw_path": b"/orders/1", "query_string": b"",
            "headers": told, "scheme": "http", "server": ("shop", 80), "client": ("10.0.0.1", 1), "http_version": "1.1",
        }, receive, send)

    async def main():
        await asyncio.gather(*(ask(*each) for each in REQUESTS))

    asyncio.run(main())
    show()
"""
_ASGI_OPTIONS: Final = 'resolver=who, country_header="X-Country"'
INSIDE: Final = ASGI.replace("ORDER(shop)", f"OpenTelemetryMiddleware(Bizspan(shop, {_ASGI_OPTIONS}))")
AROUND: Final = ASGI.replace("ORDER(shop)", f"Bizspan(OpenTelemetryMiddleware(shop), {_ASGI_OPTIONS})")

FASTAPI: Final = """
    from bizspan.integrations.asgi import Bizspan
    from fastapi import FastAPI
    from fastapi.testclient import TestClient

    app = FastAPI()
    app.add_middleware(Bizspan, resolver=who, country_header="X-Country")

    @app.get("/orders/{number}")
    def order(number: str) -> str:
        return number

    INSTRUMENT
    with TestClient(app) as client:
        for segment, country in REQUESTS:
            assert 200 == client.get("/orders/1", headers=headers(segment, country)).status_code
    show()
"""
CONTRIB: Final = FASTAPI.replace(
    "INSTRUMENT",
    "from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor; FastAPIInstrumentor.instrument_app(app)",
)
NATIVE: Final = FASTAPI.replace("INSTRUMENT", "")

CASES: Final = {
    "flask, ours after": (FLASK_AFTER, "flask"),
    "flask, ours before": (FLASK_BEFORE, "flask"),
    "django": (WSGI, "django"),
    "django, async": (ASYNC, "django"),
    "asgi, ours inside": (INSIDE, "asgi"),
    "asgi, ours around": (AROUND, "asgi"),
    "fastapi": (CONTRIB, "fastapi"),
}
FIRST_MINOR: Final = 61  # of the instrumentations: 0.61b0
EXPECTED: Final = [["", "", 1, False], ["gold", "DE", 2, True], ["gold", "FR", 1, True], ["silver", "FR", 1, True]]


def measured(program: str, **variables: str) -> tuple[dict[str, list[list[object]]], list[list[object]]]:
    """The requests by segment and country under each name, and the active requests at the end with ours among them."""
    ended = run(textwrap.dedent(PRELUDE) + textwrap.dedent(program), None, **variables)
    assert (0, "") == (ended.code, ended.err)
    counts, active = json.loads(ended.out)
    # Whether the instrumentation's own attributes are there, beside the two: for each set but the one without them.
    return {
        name: [[*each[:3], bool(each[0]) and each[3]] for each in counts[name]] for name in counts if counts[name]
    }, active


def needs(*modules: str) -> None:
    """Skip where one of them is not installed, or the instrumentations measure outside of their server span."""
    for module in modules:
        if not is_installed(module):
            pytest.skip(f"{module} is not installed")
    if any("instrumentation" in module for module in modules) and minor("opentelemetry-instrumentation") < FIRST_MINOR:
        pytest.skip(f"before 0.{FIRST_MINOR}b0 they measure after the span was left, and pass no context")


def is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of a package in between
        return False


def minor(distribution: str) -> int:
    return int(version(distribution).split(".")[1].partition("b")[0])


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    ("opt_in", "name"), [("http", "http.server.request.duration"), ("", "http.server.duration")], ids=["new", "old"]
)
def test_the_request_duration_is_told_by_segment_and_country(case: str, opt_in: str, name: str) -> None:
    """
    Each request counts under its own segment and country, half of the traces sampled; the up-down counter of active
    requests, which is not named, ends at 0 and carries neither.
    """
    program, framework = CASES[case]
    needs(f"opentelemetry.instrumentation.{framework}", *({framework} - {"asgi"}))

    counts, active = measured(program, OTEL_SEMCONV_STABILITY_OPT_IN=opt_in)

    assert ({name: EXPECTED}, [[0, []]]) == (counts, active)


def test_so_is_the_duration_that_fastapi_measures_itself() -> None:
    """
    FastAPI's native telemetry measures under the new name, and its points carry the same.
    """
    needs("fastapi.telemetry")

    counts, active = measured(NATIVE)

    assert ({"http.server.request.duration": EXPECTED}, [[0, []]]) == (counts, active)
