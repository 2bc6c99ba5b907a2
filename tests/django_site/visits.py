"""Requests to the project, over WSGI and over ASGI."""

# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportIndexIssue=false
# mypy: ignore-errors
# Django ships no types.
from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import pytest

if find_spec("django") is None:
    pytest.skip("needs Django", allow_module_level=True)

from tests.django_site import started

# isort: split
# Models can be imported once a project has started.
import django
from asgiref.sync import async_to_sync
from django.db import connections
from django.test import AsyncClient, Client, override_settings
from opentelemetry.instrumentation.django import DjangoInstrumentor
from opentelemetry.trace import SpanKind

from bizspan.context import frame
from bizspan.testing import Capture
from tests.django_site import telemetry

assert started

TELEMETRY = "tests.django_site.telemetry"
ROUTES: dict[str, Any] = {
    "checkout": {"operation": "checkout", "revenue": f"{TELEMETRY}.total"},
    "checkout-async": {"operation": "checkout", "revenue": f"{TELEMETRY}.total"},
}
SINCE_5 = pytest.mark.skipif(django.VERSION < (5, 0), reason="request.auser() came with Django 5.0")
BOTH = pytest.mark.parametrize("way", ["wsgi", "asgi"])


@contextmanager
def nothing_left() -> Generator[None]:
    """No request stays the scope of the thread that served it."""
    telemetry.asked.clear()
    yield
    assert frame.get() is None


@contextmanager
def site(**options: Any) -> Generator[None]:
    """The project with these options in ``BIZSPAN``."""
    with override_settings(BIZSPAN={"CONFIGURE": False, **options}):
        yield


@contextmanager
def instrumented(captured: Capture) -> Generator[None]:
    """OpenTelemetry's instrumentation of Django makes the entry spans."""
    instrumentor = DjangoInstrumentor()
    instrumentor.instrument(tracer_provider=captured._memory.tracer_provider)
    try:
        yield
    finally:
        instrumentor.uninstrument()


def client(way: str, **options: Any) -> Any:
    """Django's test client, or its asynchronous one behind the same calls."""
    return AwaitedClient(**options) if way == "asgi" else Client(**options)


class AwaitedClient(AsyncClient):
    """The asynchronous test client for tests that are not."""

    def request(self, **request: Any) -> Any:
        return async_to_sync(super().request)(**request)

    def generic(self, *args: Any, **kwargs: Any) -> Any:
        return super().generic(*args, **kwargs)

    def get(self, path: str, **options: Any) -> Any:
        return self.generic("GET", path, **options)

    def post(self, path: str, data: str = "", **options: Any) -> Any:
        return self.generic("POST", path, data, **options)


def buy(way: str, order: str = "o-1", **options: Any) -> Any:
    """Send one order of the segment s1."""
    path = "/checkout/async" if way == "asgi" else "/checkout"
    return client(way, **options).post(path, data=order, content_type="text/plain", headers={"X-Segment": "s1"})


def served(captured: Capture) -> list[Any]:
    """The entry spans."""
    return [span for span in captured.spans() if span.kind is SpanKind.SERVER]


async def call(app: Any, path: str, headers: Any = (), leave_after: int | None = None) -> list[Any]:
    """Send one GET to an ASGI application; hang up after so many messages."""
    scope = {
        "type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
        "headers": [(b"host", b"testserver"), *headers], "http_version": "1.1", "scheme": "http",
        "client": ("127.0.0.1", 1), "server": ("testserver", 80), "asgi": {"version": "3.0"},
    }  # fmt: skip
    sent: list[Any] = []
    gone = asyncio.Event()
    requests = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> Any:
        for message in requests:
            return message
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)
        if len(sent) == leave_after:
            gone.set()
            await asyncio.Event().wait()  # a client that reads no more

    await app(scope, receive, send)
    return sent


@contextmanager
def atomic_requests() -> Generator[None]:
    """Each view runs in a transaction."""
    database = connections.settings["default"]
    before = database["ATOMIC_REQUESTS"]
    database["ATOMIC_REQUESTS"] = True
    try:
        yield
    finally:
        database["ATOMIC_REQUESTS"] = before


def body_of(response: Any) -> bytes:
    """The whole body, as its server would read it."""
    if not response.is_async:
        return b"".join(response.streaming_content)

    async def read() -> bytes:
        return b"".join([part async for part in response])

    return asyncio.run(read())
