"""A client that leaves before the last byte of an ASGI answer: a cancelled operation, which earned nothing."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

import bizspan
from bizspan import names
from bizspan.integrations.asgi import Bizspan, Route
from bizspan.money import Money
from bizspan.testing import Capture, capture
from tests.asgi_app import BODY, START, App, Message, Receive, Scope, Send, http

GONE: Message = {"type": "http.disconnect"}
PART: Message = {**BODY, "more_body": True}
EARNING = Route(operation="checkout", revenue=lambda request, response: ("42.00", "EUR"))
LEFT = ("cancelled", "client_disconnected", "client_disconnected", None)


@pytest.fixture
def captured() -> Iterator[Capture]:
    """What the test tells."""
    with capture() as capturing:
        yield capturing


def serve(app: App, *, received: list[Message], send: Callable[[Message], None] = lambda message: None) -> None:
    """One request, of a client that says this."""

    async def receive() -> Message:
        return received.pop(0)

    async def sending(message: Message) -> None:
        send(message)

    async def main() -> None:
        await Bizspan(app, routes={"POST /checkout": EARNING})(http(), receive, sending)

    asyncio.run(main())


def end_of(captured: Capture) -> tuple[Any, ...]:
    """Outcome, reason, type of error and revenue."""
    [told] = captured.operations("checkout")
    return (told.outcome, told.reason, told.attributes.get(names.ERROR_TYPE), told.counted(names.REVENUE))


async def returning(scope: Scope, receive: Receive, send: Send) -> None:
    """It stops, as Starlette does at servers of ASGI before 2.4."""
    await receive()
    await send(dict(START))
    await send(dict(PART))
    if (await receive())["type"] != "http.disconnect":
        await send(dict(BODY))


def test_an_application_that_stops_when_the_client_left(captured: Capture) -> None:
    """
    It heard `http.disconnect`: the client left, and `error.type` is a word and no class of ours.
    """
    serve(returning, received=[{"type": "http.request"}, GONE])

    assert LEFT == end_of(captured)


def test_an_application_that_stops_by_itself(captured: Capture) -> None:
    """
    Nobody left: the answer is incomplete.
    """

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(dict(START))
        await send(dict(PART))

    serve(app, received=[])

    assert ("cancelled", "incomplete_response", "incomplete_response", None) == end_of(captured)


def test_a_server_that_refuses_what_is_sent(captured: Capture) -> None:
    """
    By an `OSError`, as ASGI 2.4 has it; it goes on as it is.
    """

    class ClosedError(OSError):
        pass

    def send(message: Message) -> None:
        if message == PART:
            raise ClosedError

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(dict(START))
        await send(dict(PART))

    with pytest.raises(ClosedError):
        serve(app, received=[], send=send)

    assert LEFT == end_of(captured)


def test_a_task_that_is_cancelled_because_the_client_left(captured: Capture) -> None:
    """
    The client is the reason, not the cancelling.
    """

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        serve(app, received=[GONE])

    assert LEFT == end_of(captured)


@pytest.mark.parametrize("error", [ValueError("x"), OSError("a file of the application's")])
def test_an_application_that_fails_by_itself_fails(captured: Capture, error: Exception) -> None:
    """
    Whatever the client does meanwhile: an error that sending did not raise is the application's.
    """

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        raise error

    with pytest.raises(type(error)):
        serve(app, received=[GONE])

    assert ("failed", None, type(error).__name__, None) == end_of(captured)


def test_a_client_that_leaves_after_the_answer_changes_nothing(captured: Capture) -> None:
    """
    Servers say `http.disconnect` at the end of every answer.
    """

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(dict(START))
        await send(dict(BODY))
        await receive()

    serve(app, received=[GONE])

    assert ("success", None, None, Money("42.00", "EUR")) == end_of(captured)


def test_a_websocket_whose_client_left_is_a_success(captured: Capture) -> None:
    """
    It is found gone by sending as by receiving: that is how conversations end.
    """

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        if message["type"] == "websocket.send":
            raise OSError

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "hello"})

    async def main() -> None:
        with pytest.raises(OSError):
            await Bizspan(app, routes={"WEBSOCKET /chat": "chat"})(
                {"type": "websocket", "path": "/chat", "headers": []}, receive, send
            )

    asyncio.run(main())

    assert ["success"] == [told.outcome for told in captured.operations("chat")]


@pytest.mark.parametrize("version", ["2.3", "2.4"])
def test_starlettes_streams(captured: Capture, version: str) -> None:
    """
    At both kinds of servers: neither revenue nor success.
    """
    pytest.importorskip("starlette")
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import StreamingResponse
    from starlette.routing import Route as Path

    left = asyncio.Event()

    async def parts() -> AsyncIterator[bytes]:
        for part in (b"a", b"b", b"c"):
            yield part

    async def view(request: Request) -> StreamingResponse:
        return StreamingResponse(parts())

    async def receive() -> Message:
        await left.wait()
        return GONE

    async def send(message: Message) -> None:
        if message.get("body") == b"b":
            left.set()
            if version == "2.4":
                raise OSError
            await asyncio.sleep(60)  # until it is cancelled

    app = Starlette(routes=[Path("/checkout", view, methods=["POST"])])
    app.add_middleware(Bizspan, routes={"POST /checkout": EARNING})

    async def main() -> None:
        try:
            await app(http(asgi={"version": "3.0", "spec_version": version}), receive, send)
        except Exception as error:
            assert version == "2.4" and type(error).__name__ == "ClientDisconnect"

    asyncio.run(main())

    assert LEFT == end_of(captured)


@pytest.mark.parametrize("closes", [False, True])
@pytest.mark.parametrize("version", ["2.3", "2.4"])
def test_what_the_clean_up_of_a_cut_starlette_stream_tells(captured: Capture, version: str, closes: bool) -> None:
    """
    Starlette closes no generator that was cut. Python does so when it collects it: in no request, or in whichever runs
    then. A background task that closes it runs in its own request, at servers of ASGI before 2.4, which uvicorn is.
    """
    pytest.importorskip("starlette")
    from starlette.applications import Starlette
    from starlette.background import BackgroundTask
    from starlette.requests import Request
    from starlette.responses import Response, StreamingResponse
    from starlette.routing import Route as Path

    async def parts() -> AsyncIterator[bytes]:
        try:
            for part in (b"a", b"b", b"c"):
                yield part
        finally:
            bizspan.event("closed")

    async def view(request: Request) -> StreamingResponse:
        body: Any = parts()

        async def close() -> None:
            await body.aclose()

        return StreamingResponse(body, background=BackgroundTask(close) if closes else None)

    async def other(request: Request) -> Response:
        gc.collect()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return Response()

    app = Starlette(routes=[Path("/checkout", view, methods=["POST"]), Path("/other", other, methods=["POST"])])
    app.add_middleware(Bizspan, routes={"POST /checkout": EARNING}, resolver=lambda request: {"segment": request.path})

    async def request(path: str) -> None:
        left = asyncio.Event()

        async def receive() -> Message:
            await left.wait()
            return GONE

        async def send(message: Message) -> None:
            if message.get("body") == b"b":
                left.set()
                if version == "2.4":
                    raise OSError
                await asyncio.sleep(60)  # until it is cancelled

        with contextlib.suppress(Exception):  # of ASGI 2.4
            await app(http(path=path, asgi={"version": "3.0", "spec_version": version}), receive, send)

    async def main() -> None:
        gc.disable()
        try:
            await asyncio.create_task(request("/checkout"))
            await asyncio.create_task(request("/other"))
        finally:
            gc.enable()

    asyncio.run(main())

    told_in = {("2.3", False): "/other", ("2.3", True): "/checkout", ("2.4", False): None, ("2.4", True): None}
    assert [told_in[version, closes]] == [told.attributes.get(names.SEGMENT) for told in captured.events("closed")]
    assert LEFT == end_of(captured)
