"""
One ASGI request or websocket under way: what its messages say about route, outcome and end.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from bizspan import _guard
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


# The names of these two are reasons of an outcome: client_disconnected, incomplete_response.
class ClientDisconnected(BaseException):
    """The client left before the answer was complete: the operation was cancelled."""


class IncompleteResponse(BaseException):
    """The application returned in the middle of an answer, as it does when its client left."""


class Connection:
    """One request or websocket under way."""

    __slots__ = ("_exchange", "_is_complete", "_is_over", "_receive", "_scope", "_send", "_status")

    def __init__(self, exchange: Exchange, scope: Scope, receive: Receive, send: Send) -> None:
        self._exchange = exchange
        self._scope = scope
        self._receive = receive
        self._send = send
        self._status: int | None = None
        self._is_complete = self._is_over = False

    async def send(self, message: Message) -> None:
        """The application's `send`."""
        # What a task sends that outlived its request is none of the request's.
        if not self._is_over:
            try:
                self._sending(message)
            except Exception as error:
                _guard.swallowed("an ASGI request: send", error)
        await self._send(message)

    async def receive(self) -> Message:
        """The application's `receive`."""
        return await self._receive()

    def over(self, error: BaseException | None) -> None:
        """The application returned, or raised this."""
        exchange = self._exchange
        try:
            if not self._is_complete:
                self._route()
            if error is not None:
                # Starlette raises an exception of this name where the body or the answer finds nobody there any more.
                is_gone = type(error).__name__ == "ClientDisconnect"
                exchange.raised(ClientDisconnected() if is_gone else error)
            elif not self._is_complete:
                self._returned_early()
        except Exception as problem:
            _guard.swallowed("an ASGI request: end", problem)
        self._is_over = True
        exchange.leave()
        exchange.end()

    @abstractmethod
    def _sending(self, message: Message) -> None:
        """The application sends this message."""

    @abstractmethod
    def _returned_early(self) -> None:
        """The application returned, and there was no last message."""

    def _route(self) -> None:
        """The framework knows the route by now."""
        if not self._exchange.is_routed:
            self._exchange.routed(*_names(self._scope), late=True)

    def _complete(self) -> None:
        """The last message leaves now."""
        if not self._is_complete:
            self._is_complete = True
            self._exchange.sealed()


class Http(Connection):
    __slots__ = ("_body", "_has_trailers", "_headers")

    def __init__(self, exchange: Exchange, scope: Scope, receive: Receive, send: Send) -> None:
        super().__init__(exchange, scope, receive, send)
        self._body: bytearray | None = None
        self._has_trailers = False
        self._headers: list[tuple[bytes, bytes]] = []

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

    def _complete(self) -> None:
        status = self._status
        if not self._is_complete and status is not None and status < _CLIENT_ERROR and self._exchange.wants_response:
            body = None if self._body is None else bytes(self._body)
            self._exchange.earned(Response(status, self._headers, body))
        super()._complete()

    def _returned_early(self) -> None:
        if self._status is None:
            self._exchange.responded(_SERVER_ERROR, reason="no_response")
        else:
            self._exchange.raised(IncompleteResponse())


class Websocket(Connection):
    __slots__ = ()

    async def receive(self) -> Message:
        """The application's `receive`: a client that leaves ends the conversation, and not as a failure."""
        message = await self._receive()
        if message["type"] == "websocket.disconnect" and not self._is_over:
            self._close(_SWITCHED)
        return message

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
            self._route()
            self._exchange.responded(status, reason=reason)
            self._complete()

    def _returned_early(self) -> None:
        if self._status is None:
            self._exchange.responded(_SERVER_ERROR, reason="no_response")
        else:
            self._exchange.responded(_SWITCHED)


def _names(scope: Scope) -> list[str]:
    """What the framework calls the route: its template with and without what is around it, its name, its endpoint."""
    route, endpoint = scope.get("route"), scope.get("endpoint")
    template: object = getattr(route, "path", None)
    names: list[object] = [getattr(route, "name", None)]
    if isinstance(template, str):
        names += [template, str(scope.get("root_path") or "").rstrip("/") + template]
    module, qualified = getattr(endpoint, "__module__", None), getattr(endpoint, "__qualname__", None)
    if isinstance(module, str) and isinstance(qualified, str):
        names.append(f"{module}.{qualified}")
    return [name for name in names if isinstance(name, str) and name]
