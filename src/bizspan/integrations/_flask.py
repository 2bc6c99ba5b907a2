"""
What Flask knows about a request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from functools import lru_cache
from typing import Any, Final, cast

# Not from the package itself: `switch_on` imports this in the middle of the package's own import.
from flask import globals as current
from flask.app import Flask
from flask.ctx import AppContext
from flask.wrappers import Request

from bizspan.integrations._http import Arrived
from bizspan.integrations._unmatched import Place

# From Flask 3.2 one context is both, and the methods of the application get it as their first argument.
IS_ONE_CONTEXT: Final = hasattr(AppContext, "request")
_NOT_PREFIXED: Final = frozenset({"CONTENT_TYPE", "CONTENT_LENGTH"})
_LOGGED_IN: Final = "_user_id"  # Flask-Login's


def _direct() -> Callable[[], Any]:
    """The current context: from Flask's own variable where it keeps one, else by its proxy, which takes three calls."""
    variable: Any = getattr(current, "_cv_app" if IS_ONE_CONTEXT else "_cv_request", None)
    if variable is not None:
        return cast("Callable[[], Any]", variable.get)
    proxy: Any = current.app_ctx if IS_ONE_CONTEXT else current.request_ctx
    return cast("Callable[[], Any]", proxy._get_current_object)


current_context: Final = _direct()


def context_of(args: tuple[Any, ...]) -> Any:
    """
    Flask's context of the request at hand.

    Args:
        args: What a method of the application was called with.
    """
    if IS_ONE_CONTEXT and args and isinstance(args[0], AppContext):
        return args[0]
    return current_context()


def places_of(app: Flask) -> Iterator[Place]:
    """Its routes."""
    for rule in app.url_map.iter_rules():
        yield Place((rule.endpoint, rule.rule), None if rule.methods is None else frozenset(rule.methods))


class ArrivedAtFlask(Arrived):
    """
    The request of this context, as far as its facts are concerned.
    """

    __slots__ = ("_app", "_context", "_environ")

    def __init__(self, app: Flask, context: Any) -> None:
        request: Request = context.request
        self._app = app
        self._context = context
        self._environ: dict[str, Any] = request.environ
        query = str(self._environ.get("QUERY_STRING", ""))
        super().__init__(request.method, request.path, query, request.remote_addr, request)

    def header(self, name: str, /) -> str | None:
        """See `Arrived`. By the environment: a third of the calls of `request.headers`."""
        value: str | None = self._environ.get(_variable(name))
        return value

    def session(self) -> MutableMapping[str, Any] | None:
        """See `Arrived`."""
        found = _session_of(self._context)
        return None if found is None or self._app.session_interface.is_null_session(found) else found

    def session_id(self) -> str | None:
        """See `Arrived`."""
        return getattr(_session_of(self._context), "sid", None)

    def is_authenticated(self) -> bool:
        """See `Arrived`."""
        found = self.session()
        return found is not None and _LOGGED_IN in found  # unlike reading, this is no access: no `Vary: Cookie`


@lru_cache(maxsize=256)
def _variable(header: str) -> str:
    """What WSGI calls a header."""
    name = header.upper().replace("-", "_")
    return name if name in _NOT_PREFIXED else f"HTTP_{name}"


def _session_of(context: Any) -> MutableMapping[str, Any] | None:
    # From 3.1.3 `session` notes that it was read; the attribute behind it does not.
    found: MutableMapping[str, Any] | None
    try:
        found = context._session
    except AttributeError:
        found = context.session
    return found
