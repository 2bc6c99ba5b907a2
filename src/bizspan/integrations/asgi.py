"""
Business context for ASGI applications: FastAPI, Starlette, and every other. No framework is imported.

::

    app = FastAPI()
    app.add_middleware(Bizspan, routes={"POST /checkout": "checkout"}, country_header="CF-IPCountry")

or ``Starlette(middleware=[Middleware(Bizspan, routes=...)])``, or ``app = Bizspan(app, routes=...)``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from functools import wraps
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Literal

from bizspan import _active, _guard
from bizspan.configure import current_configuration
from bizspan.integrations import _exchange
from bizspan.integrations._asgi_connection import (
    Application,
    Connection,
    Http,
    Message,
    Receive,
    Scope,
    Send,
    Websocket,
)
from bizspan.integrations._asgi_routes import places_of
from bizspan.integrations._asgi_views import WEBSOCKET, Request, Response, header_of
from bizspan.integrations._http import Arrived
from bizspan.integrations._routes import Route, RouteMap
from bizspan.integrations._rules import Rules, rules_of
from bizspan.integrations._unmatched import say_unmatched

if TYPE_CHECKING:
    from bizspan._types import Plain

__all__ = ["Bizspan", "Request", "Response", "Route", "switch_on"]

_MARK: Final = "bizspan.request"
_BEFORE: Final = "bizspan.endpoint_before"
_ON: Final = "_bizspan"
_DEEPEST: Final = 100
_THROUGH: Final = ("lifespan.shutdown.complete", "lifespan.shutdown.failed")
_FLUSH_S: Final = 2.0


class Bizspan:
    """
    The middleware. It adds the facts of each request or websocket to everything that is recorded inside.

    Args:
        app: The application inside.
        routes: Which operation a request is, by ``"POST /orders/{id}"``, ``"WEBSOCKET /chat"``, or the name of an
            endpoint; see `bizspan.integrations._routes.RouteMap`.
        resolver: Who acts: a function of a `Request` that gives facts by keyword. Asked once per request, with
            Starlette and FastAPI not before the route is known, so that middlewares have authenticated.
        facts: Replaces all of the rest: a function of a `Request` that gives every fact by keyword.
        country_header: The one header whose country is trusted, such as ``"CF-IPCountry"``.
        region_header: The same for ISO 3166-2 regions.
        geo: The path of an MMDB file, for the client's address. Needs the extra ``geo``.
        trusted_hops: How many proxies of yours append to ``X-Forwarded-For``; 0, the default, takes the peer's address.
        campaign: Which ``utm_*`` count: ``"last"`` (default) or ``"first"`` of a session, or ``"off"``.
        channel: How customers come: a constant, or a function of a `Request`.
        session: A function of a `Request` that gives a session's id: it is recorded as a keyed hash.
        staff: Whether a request is the staff's: a function of a `Request`.
        test_header: A header whose presence says that a request is a test.
        bots: Whether bots are told by their user agents. Default: yes.
        exclude: Paths that are left alone, ``"/health"`` or with a last ``*``.
        trust_baggage: Whether facts are taken of the header ``baggage``: of all requests, or of the listed paths,
            ``"POST /internal/*"``. Default: no.

    Raises:
        SetupError: When an option is unknown or can't be used; the text says what to write instead.
    """

    if TYPE_CHECKING:
        app: Application
        _rules: Rules
        _inside: _Inside | None

        def __init__(
            self, app: Application, *, routes: RouteMap | Mapping[str, Route | Mapping[str, Any] | str] = ...,
            resolver: Callable[[Request], Mapping[str, Plain]] | None = None,
            facts: Callable[[Request], Mapping[str, Plain]] | None = None,
            country_header: str | None = None, region_header: str | None = None,
            geo: str | os.PathLike[str] | None = None, trusted_hops: int = 0,
            campaign: Literal["first", "last", "off"] = "last",
            channel: str | Callable[[Request], str | None] | None = None,
            session: bool | Callable[[Request], str | None] = False,
            staff: Callable[[Request], bool] | None = None, test_header: str | None = None, bots: bool = True,
            exclude: Iterable[str] = (), trust_baggage: bool | Iterable[str] = False,
        ) -> None: ...  # fmt: skip

    else:

        def __init__(self, app, **options):
            self.app = app
            self._rules = rules_of(options)
            self._inside = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, websocket or lifespan."""
        kind = scope["type"]
        if kind == "lifespan":
            await self.app(scope, receive, _flushing(send))
            return
        # Twice in one application, the outer one does it all.
        if kind not in ("http", "websocket") or _MARK in scope or (_active.current or _active.pipeline()) is None:
            await self.app(scope, receive, send)
            return
        connection = self._begun(scope, receive, send)
        if connection is None:
            await self.app(scope, receive, send)
            return
        scope[_MARK] = True
        try:
            await self.app(scope, connection.receive, connection.send)
        except BaseException as error:
            connection.over(error)
            raise
        else:
            connection.over(None)
        finally:
            scope.pop(_MARK, None)  # something around may try again, with the same scope

    def _begun(self, scope: Scope, receive: Receive, send: Send) -> Connection | None:
        try:
            if self._inside is None:
                self._inside = _Inside(self.app)
                say_unmatched(self._rules.route_map, places_of(self._inside.routes, str(scope.get("root_path") or "")))
            inside = self._inside
            path, whole_path = _paths(scope)
            arrived = _Arrived(scope, path)
            is_ready = arrived.has_endpoint if inside.has_routes or "app" in scope else _at_once
            exchange = _exchange.begin(_exchange.Exchange(self._rules, arrived), is_ready)
            if exchange is None:
                return None
            scope[_BEFORE] = arrived.before
            kind = Http if scope["type"] == "http" else Websocket
            connection = kind(exchange, scope, receive, send)
            if inside.is_instrumented and not exchange.entry.has_span:
                # The request's span begins further inside; it would not be a server's span inside one of ours.
                exchange.entry.on_attach = lambda: exchange.routed((whole_path,))
            else:
                exchange.routed((whole_path,))
            return connection
        except Exception as error:
            _guard.swallowed("an ASGI request: begin", error)
            return None


def _flushing(send: Send) -> Send:
    """
    The server's `send` of a lifespan. Before the server hears that the application is through, what waits is handed
    over: uvicorn's workers load the application when SIGTERM is theirs already, and end by it, without exit handlers.
    """

    async def flushing(message: Message) -> None:
        if message["type"] in _THROUGH:
            configuration = current_configuration()
            if configuration is not None:
                # It blocks the loop, with a bound, and when every connection is closed: so it works on any loop.
                configuration.force_flush(_FLUSH_S)
        await send(message)

    return flushing


class _Inside:
    """
    What is known of the application inside, by looking at it once.

    Args:
        app: The outermost of it.
    """

    __slots__ = ("has_routes", "is_instrumented", "routes")

    def __init__(self, app: object) -> None:
        self.has_routes = self.is_instrumented = False
        self.routes: object = None
        try:
            for _ in range(_DEEPEST):
                if app is None:
                    return
                middleware: Iterable[Any] | None = getattr(app, "user_middleware", None)
                if middleware is not None:  # Starlette, and FastAPI
                    self.has_routes = True
                    kinds = [getattr(each, "cls", None) for each in middleware]
                    self.is_instrumented |= any(_is_opentelemetrys(kind) for kind in kinds)
                    self.is_instrumented |= getattr(app, "_is_instrumented_by_opentelemetry", False) is True
                    native: Mapping[str, Any] = getattr(app, "_telemetry", None) or {}
                    self.is_instrumented |= bool(native.get("tracing", False))
                self.is_instrumented |= _is_opentelemetrys(type(app))
                if self.routes is None:
                    self.routes = getattr(app, "routes", None)
                app = getattr(app, "app", None) or getattr(app, "middleware_stack", None)
        except Exception:  # somebody's `__getattr__`; nothing is known then
            return


def _is_opentelemetrys(kind: object) -> bool:
    return getattr(kind, "__name__", "") == "OpenTelemetryMiddleware"


def _at_once() -> bool:
    return True


def _paths(scope: Scope) -> tuple[str, str]:
    """The path as the application's routes see it, and the whole one."""
    path = str(scope.get("path", ""))
    root = str(scope.get("root_path") or "")
    if not root:
        return path, path
    root = root.rstrip("/")
    return (path[len(root) :] if root and path.startswith(f"{root}/") else path), path


class _Arrived(Arrived):
    """The request of this scope, for the rules."""

    __slots__ = ("_scope", "before")

    def __init__(self, scope: Scope, path: str) -> None:
        self._scope = scope
        # Of the application around a mounted one; tried again, a request has that of its first time too.
        self.before = scope.get(_BEFORE, scope.get("endpoint"))
        method = str(scope.get("method", WEBSOCKET)) if scope["type"] == "http" else WEBSOCKET
        query: bytes = scope.get("query_string", b"")
        client: tuple[str, int] | None = scope.get("client")
        super().__init__(
            method, path, query.decode("latin-1") if query else "", client[0] if client else None, Request(scope, path)
        )

    def header(self, name: str, /) -> str | None:
        return header_of(self._scope.get("headers", ()), name)

    def session(self) -> MutableMapping[str, Any] | None:
        return self.request.session if "session" in self._scope else None

    def has_endpoint(self) -> bool:
        """Whether the framework found the route."""
        return self._scope.get("endpoint") is not self.before

    def is_authenticated(self) -> bool:
        return bool(self.request.is_authenticated)


def switch_on() -> None:
    """
    For starting without code: every application of Starlette and FastAPI gets the middleware, outermost, with the
    rules of the configuration file, unless its code added it.
    """
    for module, name in (("starlette.applications", "Starlette"), ("fastapi.applications", "FastAPI")):
        kind = getattr(sys.modules.get(module), name, None)
        # FastAPI has a method of its own; whichever an application calls, the second finds the middleware there.
        build = vars(kind).get("build_middleware_stack") if isinstance(kind, type) else None
        if build is not None and not hasattr(build, _ON):
            setattr(kind, "build_middleware_stack", _building(build))  # noqa: B010


def _building(build: Callable[..., Application]) -> Callable[..., Application]:
    @wraps(build)
    def build_middleware_stack(self: Any, *args: Any, **options: Any) -> Application:
        try:
            middleware: list[Any] = self.user_middleware
            if not any(getattr(each, "cls", None) is Bizspan for each in middleware):
                kind: Any = import_module("starlette.middleware").Middleware
                middleware.insert(0, kind(Bizspan))
        except Exception as error:
            _guard.swallowed("switching on Starlette", error)
        return build(self, *args, **options)

    setattr(build_middleware_stack, _ON, True)
    return build_middleware_stack
