"""
Flask: every request knows who, where from and which campaign it is, and routes are operations.

::

    bizspan.configure(service_name="shop")
    Bizspan(app, routes={"POST /checkout": "checkout"}, resolver=lambda request: {"segment": ...})

Works before or after OpenTelemetry's instrumentation of Flask, and without it.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any, Final, Literal, cast

from bizspan import _active, _guard
from bizspan._entry import attach_current
from bizspan._types import Plain
from bizspan.errors import MissingExtra, SetupError
from bizspan.integrations._exchange import Exchange, begin
from bizspan.integrations._http import Arrived
from bizspan.integrations._routes import Route, RouteMap
from bizspan.integrations._rules import Rules, rules_of
from bizspan.integrations._unmatched import say_unmatched

try:
    from flask.app import Flask
    from flask.wrappers import Request, Response

    from bizspan.integrations._flask import IS_ONE_CONTEXT, ArrivedAtFlask, context_of, current_context, places_of
except ImportError as error:
    raise MissingExtra("bizspan.integrations.flask", "flask") from error

__all__ = ["Bizspan", "Installed", "Route", "install", "switch_on"]

EXTENSION: Final = "bizspan"
SETTING: Final = "BIZSPAN"
_CLIENT_ERROR: Final = 400
_SERVER_ERROR: Final = 500
_KEPT: Final = "_bizspan"  # on Flask's context of the request: copies of that context do not have it


class Bizspan:
    """
    Business telemetry for each request of an application: `Bizspan(app, ...)`, or `init_app` in a factory.

    Options may also stand in ``app.config["BIZSPAN"]``, a dict; what is told here wins over it. None means "not told".

    Args:
        app: The application; without one, call `init_app`.
        routes: Which operation a request is, by ``"POST /orders/<int:id>"`` or by endpoint.
        resolver: Who acts: facts by keyword, of the request. Asked once per request, after the functions that
            ``before_request`` registered, so that ``g.user`` is there.
        facts: Replaces all of the rest: every fact by keyword, of the request.
        country_header: The one header whose country is trusted, such as ``"CF-IPCountry"``.
        region_header: The same for ISO 3166-2 regions.
        geo: The path of an MMDB file: the client's address gives country and region.
        trusted_hops: How many proxies of yours append to ``X-Forwarded-For``. Default: 0, the peer's address.
        campaign: Which ``utm_*`` of a visitor count: ``"last"`` (default), ``"first"`` or ``"off"``. They are kept in
            Flask's session, where the visitor has one.
        channel: How customers come: a constant, or a function of the request.
        session: Whether the id of a server-side session is recorded, as a keyed hash (default: no); or a function of
            the request that gives an id.
        staff: Whether a request is the staff's: a function of the request.
        test_header: A header whose presence says that a request is a test.
        bots: Whether bots are told by their user agents. Default: yes.
        exclude: Paths that are left alone, ``"/health"`` or with a last ``*``.
        trust_baggage: Whether facts are taken of the header ``baggage``: of all requests, or of the listed paths,
            ``["POST /internal/*"]``. Default: no.

    Raises:
        SetupError: When an option is unknown or can't be used, or when the application has bizspan already.
    """

    def __init__(
        self,
        app: Flask | None = None,
        *,
        routes: RouteMap | Mapping[str, Route | Mapping[str, Any] | str] | None = None,
        resolver: Callable[[Request], Mapping[str, Plain]] | None = None,
        facts: Callable[[Request], Mapping[str, Plain]] | None = None,
        country_header: str | None = None,
        region_header: str | None = None,
        geo: str | None = None,
        trusted_hops: int | None = None,
        campaign: Literal["first", "last", "off"] | None = None,
        channel: str | Callable[[Request], str | None] | None = None,
        session: bool | Callable[[Request], str | None] | None = None,
        staff: Callable[[Request], bool] | None = None,
        test_header: str | None = None,
        bots: bool | None = None,
        exclude: tuple[str, ...] | list[str] | None = None,
        trust_baggage: bool | tuple[str, ...] | list[str] | None = None,
    ) -> None:
        options: dict[str, Any] = {
            "routes": routes, "resolver": resolver, "facts": facts, "country_header": country_header,
            "region_header": region_header, "geo": geo, "trusted_hops": trusted_hops, "campaign": campaign,
            "channel": channel, "session": session, "staff": staff, "test_header": test_header, "bots": bots,
            "exclude": exclude, "trust_baggage": trust_baggage,
        }  # fmt: skip
        self._told = {name: value for name, value in options.items() if value is not None}
        if app is not None:
            self.init_app(app)
        else:
            rules_of(self._told)  # wrong options are told here, where they are written

    def init_app(self, app: Flask) -> None:
        """
        Add it to an application, before its first request. One `Bizspan` may serve several applications.

        Raises:
            SetupError: See `Bizspan`.
        """
        settings = cast("Mapping[str, object]", app.config)
        configured = settings.get(SETTING)
        if configured is not None and not isinstance(configured, Mapping):
            raise SetupError(f"app.config[{SETTING!r}] must be a dict of options such as {{'routes': {{...}}}}.")
        install(app, rules_of({**cast("Mapping[str, Any]", configured or {}), **self._told}))


def install(app: Flask, rules: Rules, *, is_default: bool = False) -> None:
    """
    Add these rules to an application.

    Args:
        app: The application.
        rules: Read already.
        is_default: Whether rules that come from code win over them, earlier or later.

    Raises:
        SetupError: When the application has rules from code already.
    """
    installed = app.extensions.get(EXTENSION)
    if not isinstance(installed, Installed):
        app.extensions[EXTENSION] = Installed(app, rules, is_default)
    elif installed.is_default:
        installed.rules, installed.is_default = rules, is_default
    elif not is_default:
        raise SetupError("This application has bizspan already; call Bizspan(app) or init_app(app) once for each.")


_switching: Final = threading.Lock()


def switch_on() -> None:
    """
    Add the rules of the configuration file to every application that is made from now on; what its code says wins.
    """
    with _switching:
        made = Flask.__init__
        if hasattr(made, _KEPT):
            return

        @wraps(made)
        def make(self: Flask, *args: Any, **options: Any) -> None:
            made(self, *args, **options)
            try:
                install(self, rules_of({}), is_default=True)
            except Exception as error:
                _guard.swallowed("switching on Flask", error)

        setattr(make, _KEPT, True)
        setattr(Flask, "__init__", make)  # noqa: B010 - mypy refuses the assignment


class _Exchange(Exchange):
    """A request until its context is torn down."""

    __slots__ = ("is_streaming", "was_routed")

    def __init__(self, rules: Rules, arrived: Arrived) -> None:
        super().__init__(rules, arrived)
        self.was_routed = self.is_streaming = False

    def route(self) -> None:
        """The request's own span is current now, where there is one."""
        self.was_routed = True
        try:
            if not self.entry.has_span:
                attach_current(self.entry)
            request: Request = self.arrived.request
            rule = request.url_rule
            self.routed(() if rule is None else (rule.endpoint, rule.rule))
        except Exception as error:
            _guard.swallowed("a Flask request: its route", error)


def _route() -> None:
    """A function of `before_request`."""
    exchange: _Exchange | Literal[False] | None = getattr(current_context(), _KEPT, None)
    if exchange:
        exchange.route()


class Installed:
    """
    What ``app.extensions["bizspan"]`` holds: the rules in force, and the steps around Flask's own.

    Three methods of the application are wrapped, those that Flask documents as the places to override. Functions
    registered by `before_request` and its like would run at a place that depends on the order of set-up.
    """

    def __init__(self, app: Flask, rules: Rules, is_default: bool = False) -> None:
        self.rules = rules
        self.is_default = is_default
        self._app = app
        self._has_compared = False
        self._lock = threading.Lock()
        self._ordered: tuple[list[Any], int] = ([], 0)
        self._preprocess = _replace(app, "preprocess_request", self._around_preprocess)
        self._process = _replace(app, "process_response", self._around_process)
        self._teardown = _replace(app, "do_teardown_request", self._around_teardown)

    # --- the steps ------------------------------------------------------------------------------------------------

    def _around_preprocess(self, *args: Any) -> Any:
        """Begin; the functions that load the user run; then who acts is known."""
        exchange = self._begun(args)  # a test may call it twice in one context
        value = self._preprocess(*args)
        if exchange is not None:
            exchange.ready()
        return value

    def _around_process(self, *args: Any) -> Any:
        """The last moment for the session, then the functions of `after_request`, which may commit, then the answer."""
        exchange = self._begun(args)  # not before, where the session's interface failed
        if exchange is None:
            return self._process(*args)
        if not exchange.was_routed:
            exchange.route()
        exchange.settle()
        response = self._process(*args)
        self._responded(exchange, response)
        return response

    def _around_teardown(self, *args: Any, **options: Any) -> Any:
        """End before OpenTelemetry ends the request's span; leave after the application's own functions."""
        exchange = self._taken(args)
        if exchange is None:
            return self._teardown(*args, **options)
        error = sys.exc_info()[1] if not options and len(args) == IS_ONE_CONTEXT else None
        for told in (*args, *options.values()) if options else args:
            if isinstance(told, BaseException):
                error = told
        if error is not None:
            exchange.raised(error)
        if not exchange.is_streaming:
            exchange.end(or_abandoned=True)
        try:
            return self._teardown(*args, **options)
        finally:
            exchange.leave()

    # --- ours, guarded --------------------------------------------------------------------------------------------

    def _begun(self, args: tuple[Any, ...]) -> _Exchange | None:
        try:
            context = context_of(args) if IS_ONE_CONTEXT else current_context()
            kept: _Exchange | Literal[False] | None = getattr(context, _KEPT, None)
            if kept is not None:
                return kept or None
            if (_active.current or _active.pipeline()) is None:
                return None
            if not self._has_compared:
                self._has_compared = True  # not at set-up: rules are added later
                say_unmatched(self.rules.route_map, places_of(self._app))
            functions, (ordered, count) = self._app.before_request_funcs[None], self._ordered
            if functions is not ordered or len(functions) != count:
                self._put_in_order()
            exchange = begin(_Exchange(self.rules, ArrivedAtFlask(self._app, context)))
            if exchange is not None:
                exchange.entry.ends_first = True  # OpenTelemetry's instrumentation ends its span in the teardown
            setattr(context, _KEPT, exchange or False)
            return exchange
        except Exception as error:
            _guard.swallowed("a Flask request: begin", error)
            return None

    def _taken(self, args: tuple[Any, ...]) -> _Exchange | None:
        try:
            context = context_of(args) if IS_ONE_CONTEXT else current_context()
            kept: _Exchange | Literal[False] | None = getattr(context, _KEPT, None)
            if kept is not None:
                setattr(context, _KEPT, None)  # a cycle otherwise; and a test client's `with` tears it down once more
            return kept or None
        except Exception as error:
            _guard.swallowed("a Flask request: its context", error)
            return None

    def _responded(self, exchange: _Exchange, response: Response) -> None:
        try:
            status = response.status_code
            if status < _SERVER_ERROR:  # or its database session may be of no use any more
                exchange.ask_again()
            exchange.responded(status, response)
            body: Iterable[Any] = response.response
            # A passed-through body is a file: no code of the application makes it, and servers know its type.
            if type(body) is not list and response.is_streamed and not response.direct_passthrough:
                response.response = exchange.stream(body)
                # Flask's own error pages are streams too, and a test client reads none that it is not asked for.
                exchange.is_streaming = status < _CLIENT_ERROR
        except Exception as error:
            _guard.swallowed("a Flask request: its response", error)

    def _put_in_order(self) -> None:
        """
        `_route` stands first, or behind OpenTelemetry's, which begins the request's span: an operation that began
        before it would make that span its child, and cut it off from the caller's trace.
        """
        functions = self._app.before_request_funcs[None]
        ordered, count = self._ordered
        if functions is ordered and len(functions) == count:
            return
        with self._lock:
            functions = self._app.before_request_funcs[None]
            others = [function for function in functions if function is not _route]
            first = max((at for at, function in enumerate(others, 1) if _is_opentelemetrys(function)), default=0)
            # A new list: another thread may be going through the old one.
            ordered = [*others[:first], _route, *others[first:]]
            self._app.before_request_funcs[None] = ordered
            self._ordered = (ordered, len(ordered))


def _is_opentelemetrys(function: object) -> bool:
    return str(getattr(function, "__module__", "")).startswith("opentelemetry.")


def _replace(app: Flask, name: str, around: Callable[..., Any]) -> Callable[..., Any]:
    """Put this in the place of a method of this one application; what was there."""
    inner: Callable[..., Any] = getattr(app, name)
    setattr(app, name, around)
    return inner
