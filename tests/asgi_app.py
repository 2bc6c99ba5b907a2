"""An ASGI application, and a server's part of it: for tests that need no framework."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind

import bizspan
from bizspan import names
from tests.providers import Application, take

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

SEGMENT, COUNTRY, PLAN = names.SEGMENT, "geo.country.iso_code", "business.plan"
ROUTES: Final = {"POST /checkout": "checkout", "POST /orders/{id}/pay": "order.pay", "GET /slow": "slow"}
TRACEPARENT: Final = (b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
CALLER: Final = int("0af7651916cd43dd8448eb211c80319c", 16)

START: Final[dict[str, Any]] = {"type": "http.response.start", "status": 200, "headers": []}
BODY: Final[dict[str, Any]] = {"type": "http.response.body", "body": b"ok"}


def http(
    method: str = "POST", path: str = "/checkout", headers: Sequence[tuple[bytes, bytes]] = (), **more: Any
) -> Scope:
    """A request's scope, as a server makes it."""
    return {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": b"",
        "headers": list(headers),
        "client": ("203.0.113.7", 4711),
        **more,
    }


def run(app: App, scope: Scope | None = None, received: Sequence[Message] = ()) -> list[Message]:
    """Serve one request; gives what was sent."""
    sent: list[Message] = []
    waiting = list(received)

    async def receive() -> Message:
        return waiting.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    async def main() -> None:
        await app(scope if scope is not None else http(), receive, send)

    asyncio.run(main())
    return sent


async def shop(scope: Scope, receive: Receive, send: Send) -> None:
    """An application: one event, and an answer."""
    bizspan.event("seen")
    await send(dict(START))
    await send(dict(BODY))


def with_status(status: int) -> App:
    """An application that answers with this status."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({**START, "status": status})
        await send(dict(BODY))

    return app


class Server:
    """
    What OpenTelemetry's instrumentation of a server does: a SERVER span that ends with the last byte.

    Args:
        app: The application inside.
        tracer_provider: Makes its span.
    """

    def __init__(self, app: App, tracer_provider: TracerProvider) -> None:
        self.app = app
        self._tracer = tracer_provider.get_tracer("server")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        span = self._tracer.start_span("POST", kind=SpanKind.SERVER)

        async def sending(message: Message) -> None:
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                span.end()

        with trace.use_span(span, end_on_exit=False):
            try:
                await self.app(scope, receive, sending)
            finally:
                if span.is_recording():
                    span.end()


class OpenTelemetryMiddleware(Server):
    """The same, under the name by which an instrumentation inside is found."""


def span_of(application: Application, name: str) -> Any:
    """An ended span."""
    [span] = [span for span in application.spans() if span.name == name]
    return span


def event_of(application: Application, name: str) -> dict[str, Any]:
    """An event's attributes; of operations, by the operation's name."""
    take()
    [record] = [
        record
        for record in application.logs()
        if name in (record.event_name, record.attributes.get(names.OPERATION_NAME))
    ]
    return dict(record.attributes)
