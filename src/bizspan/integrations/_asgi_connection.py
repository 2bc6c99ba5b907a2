"""
One ASGI request or websocket under way: what its messages say about route, outcome and end.
"""

from __future__ import annotations

from abc import abstractmethod
from asyncio import CancelledError
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any, Final

from bizspan import _guard
from bizspan._departed import ClientDisconnected, IncompleteResponse
from bizspan.integrations._asgi_views import BODY_LIMIT, Response
from bizspan.integrations._exchange import Exchange

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_BODIES: Final = ("http.response.body", "http.response.zerocopysend")
_CLIENT_ERROR, _SERVER_ERROR, _FORBIDDEN, _SWITCHED = 400, 500, 403, 101
_ENDED_NORMALLY: Final = (None, 1000, 1001)
_SERVER_CLOSES: Final = (1011, 1012, 1013, 1014)  # IANA's registry: internal error, restart, try again, bad gateway


class Connection:
    """One request or websocket under way."""

    __slots__ = (
        "_body", "_exchange", "_has_trailers", "_headers", "_is_complete", "_is_gone", "_is_over", "_receive",
        "_refused", "_scope", "_send", "_status",
    )  # fmt: skip

    def __init__(self, exchange: Exchange, scope: Scope, receive: Receive, send: Send) -> None:
        self._exchange = exchange
        self._scope = scope
        self._receive = receive
        self._send = send
        self._status: int | None = None
        self._is_complete = self._is_over = self._is_gone = False
        self._refused: OSError | None = None
        # Of HTTP alone.
        self._has_trailers = False
        self._body: bytearray | None = None
        self._headers: list[tuple[bytes, bytes]] = []

    async def send(self, message: Message) -> None:
        """The application's `send`."""
        # What a task sends that outlived its request is none of the request's.
        if not self._is_over:
            try:
                self._sending(message)
            except Exception as error:
                _guard.swallowed("an ASGI request: send", error)
        try:
            await self._send(message)
        except OSError as error:  # what servers raise for a client that left, by ASGI 2.4
            if not self._is_over:
                self._refuses(error)
            raise

    @abstractmethod
    async def receive(self) -> Message:
        """The application's `receive`."""

    def over(self, error: BaseException | None) -> None:
        """The application returned, or raised this."""
        exchange = self._exchange
        try:
            if not self._is_complete and not self._exchange.is_routed:
                self._route()
            if error is not None:
                exchange.raised(ClientDisconnected() if self._is_departure(error) else error)
            elif not self._is_complete:
                self._returned_early()
        except Exception as problem:
            _guard.swallowed("an ASGI request: end", problem)
        self._is_over = True
        self._refused = None  # it leads back here
        exchange.leave()
        if not self._is_complete:
            exchange.end()

    def _is_departure(self, error: BaseException) -> bool:
        """Whether the application raised this because its client left."""
        if error is self._refused or (self._is_gone and isinstance(error, CancelledError)):
            return True
        # Starlette raises an exception of this name where the body or the answer finds nobody there any more.
        return type(error).__name__ == "ClientDisconnect"

    def _refuses(self, error: OSError) -> None:
        """The server refuses what is sent."""
        self._refused = error

    @abstractmethod
    def _sending(self, message: Message) -> None:
        """The application sends this message."""

    @abstractmethod
    def _returned_early(self) -> None:
        """The application returned, and there was no last message."""

    def _route(self) -> None:
        """The framework knows the route by now."""
        self._exchange.routed(_names(self._scope), late=True)

    def _complete(self) -> None:
        """The last message leaves now: what comes after it is background work, which may take hours."""
        if self._is_complete:
            return
        self._is_complete = True
        if self._exchange.wants_response:
            self._earn()
        self._exchange.end()

    def _earn(self) -> None:
        """The response is all there."""


class Http(Connection):
    __slots__ = ()

    async def receive(self) -> Message:
        """The application's `receive`."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self._is_gone = True
        return message

    def _sending(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start":
            if self._status is None:
                self._start(message)
        elif kind in _BODIES:
            if self._body is not None:
                self._keep(message)
            if not message.get("more_body", False) and not self._has_trailers:
                self._complete()
        elif kind == "http.response.pathsend":
            self._body = None
            if not self._has_trailers:
                self._complete()
        elif kind == "http.response.trailers" and not message.get("more_trailers", False):
            self._complete()

    def _start(self, message: Message) -> None:
        self._status = status = int(message["status"])
        self._has_trailers = bool(message.get("trailers", False))
        if status < _SERVER_ERROR:
            self._exchange.ask_again()
        if not self._exchange.is_routed:
            self._route()
        self._exchange.responded(status, is_whole=False)
        if self._exchange.wants_response:
            self._headers = list(message.get("headers", ()))
            self._body = bytearray()

    def _keep(self, message: Message) -> None:
        part = message.get("body", b"") if message["type"] == "http.response.body" else None
        if self._body is None or part is None or len(self._body) + len(part) > BODY_LIMIT:
            self._body = None
        else:
            self._body += part

    def _earn(self) -> None:
        status = self._status
        if status is not None and status < _CLIENT_ERROR:
            body = None if self._body is None else bytes(self._body)
            self._exchange.earned(Response(status, self._headers, body))

    def _returned_early(self) -> None:
        if self._status is None:
            self._exchange.responded(_SERVER_ERROR, reason="no_response")
        else:
            self._exchange.raised(ClientDisconnected() if self._is_gone else IncompleteResponse())


class Websocket(Connection):
    __slots__ = ()

    async def receive(self) -> Message:
        """The application's `receive`: a client that leaves ends the conversation, and not as a failure."""
        message = await self._receive()
        if message["type"] == "websocket.disconnect" and not self._is_over:
            self._close(_SWITCHED)
        return message

    def _refuses(self, error: OSError) -> None:
        try:
            self._close(_SWITCHED)
        except Exception as problem:
            _guard.swallowed("an ASGI websocket: send", problem)

    def _sending(self, message: Message) -> None:
        kind = message["type"]
        if kind == "websocket.accept":
            self._status = _SWITCHED
            self._route()
            self._exchange.settle()
        elif kind == "websocket.http.response.start":
            self._close(int(message["status"]))
        elif kind == "websocket.close":
            code = message.get("code", 1000)
            if self._status is None:
                self._close(_FORBIDDEN)  # what servers answer then, by the ASGI specification
            elif code in _ENDED_NORMALLY:
                self._close(_SWITCHED)
            else:
                self._close(_SERVER_ERROR if code in _SERVER_CLOSES else _CLIENT_ERROR, f"websocket_{code}")

    def _close(self, status: int, reason: str | None = None) -> None:
        if not self._is_complete:
            self._exchange.ask_again()  # who a client is, its first messages may say
            self._route()
            self._exchange.responded(status, reason=reason)
            self._complete()

    def _returned_early(self) -> None:
        if self._status is None:
            self._exchange.responded(_SERVER_ERROR, reason="no_response")
        else:
            self._exchange.responded(_SWITCHED)


def _names(scope: Scope) -> Iterator[str]:
    """What the framework calls the route: its template with and without what is around it, its name, its endpoint."""
    route, endpoint = scope.get("route"), scope.get("endpoint")
    template: object = getattr(route, "path", None)
    name: object = getattr(route, "name", None)
    if isinstance(name, str) and name:
        yield name
    if isinstance(template, str) and template:
        yield template
        yield str(scope.get("root_path") or "").rstrip("/") + template
    module, qualified = getattr(endpoint, "__module__", None), getattr(endpoint, "__qualname__", None)
    if isinstance(module, str) and isinstance(qualified, str):
        yield f"{module}.{qualified}"
