"""
What bizspan reads of a Django request.
"""

# pyright: basic
# Django ships no types.
from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

from bizspan.integrations._http import Arrived

_USER_KEY: Final = "_auth_user_id"  # django.contrib.auth.SESSION_KEY, whose import needs installed apps
_NOT_PREFIXED: Final = frozenset({"CONTENT_TYPE", "CONTENT_LENGTH"})


class ArrivedAtDjango(Arrived):
    """
    This request, for the rules.
    """

    __slots__ = ("_meta",)

    def __init__(self, request: Any) -> None:
        self._meta = meta = request.META
        query, client = meta.get("QUERY_STRING", ""), meta.get("REMOTE_ADDR")
        super().__init__(request.method or "", request.path_info, query, client, request)

    def header(self, name: str, /) -> str | None:
        """See `Arrived`."""
        value: str | None = self._meta.get(_variable(name))
        return value

    def session(self) -> Any:
        """See `Arrived`."""
        return self.request.__dict__.get("session")

    def session_id(self) -> str | None:
        """See `Arrived`."""
        return _session_id(self.request)

    def is_authenticated(self) -> bool:
        """See `Arrived`."""
        return _is_authenticated(self.request)


@lru_cache(maxsize=256)
def _variable(header: str) -> str:
    name = header.upper().replace("-", "_")
    return name if name in _NOT_PREFIXED else f"HTTP_{name}"


def names_of(request: Any) -> Iterator[str | None]:
    """
    What Django calls the view of this request: ``shop:checkout``, ``/checkout/``, ``shop.views.checkout``; nothing
    before it is known.
    """
    match = getattr(request, "resolver_match", None)
    if match is not None:
        yield match.view_name
        yield f"/{match.route}"
        yield view_path(match.func)
        if match.url_name and match.app_names:
            yield ":".join((*match.app_names, match.url_name))


def view_path(callback: Any) -> str:
    """A view's dotted path; of a class-based one, the class's."""
    view = getattr(callback, "view_class", None) or getattr(callback, "cls", None) or callback
    name = getattr(view, "__qualname__", None) or type(view).__qualname__
    module = getattr(view, "__module__", None) or type(view).__module__
    return f"{module}.{name}"


def _session(request: Any) -> Any:
    return request.__dict__.get("session")


def _session_id(request: Any) -> str | None:
    session = _session(request)
    key: str | None = getattr(session, "session_key", None)
    return key


def _is_authenticated(request: Any) -> bool:
    # Not by `request.user`, whose first reading goes to the database.
    if request.META.get("HTTP_AUTHORIZATION"):
        return True
    session = _session(request)
    if session is None:
        return False
    accessed = session.accessed
    try:
        return _USER_KEY in session
    finally:
        session.accessed = accessed  # the answer does not depend on it, so it must not get `Vary: Cookie`


def loads_session(request: Any) -> bool:
    """Whether reading the request's session would go to where sessions are kept."""
    return _session_id(request) is not None and "_session_cache" not in request.session.__dict__
