"""
What bizspan reads of a Django request.
"""

# pyright: basic
# Django ships no types.
from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from bizspan.integrations._http import Arrived

_USER_KEY: Final = "_auth_user_id"  # django.contrib.auth.SESSION_KEY, whose import needs installed apps
_NOT_PREFIXED: Final = frozenset({"CONTENT_TYPE", "CONTENT_LENGTH"})


def arrived(request: Any) -> Arrived:
    """
    This request, for the rules.
    """
    meta = request.META

    def header(name: str) -> str | None:
        value: str | None = meta.get(_variable(name))
        return value

    return Arrived(
        method=request.method or "",
        path=request.path_info,
        query=meta.get("QUERY_STRING", ""),
        header=header,
        client=meta.get("REMOTE_ADDR"),
        request=request,
        session=lambda: _session(request),
        session_id=lambda: _session_id(request),
        is_authenticated=lambda: _is_authenticated(request),
    )


@lru_cache(maxsize=256)
def _variable(header: str) -> str:
    name = header.upper().replace("-", "_")
    return name if name in _NOT_PREFIXED else f"HTTP_{name}"


def names_of(request: Any) -> tuple[str | None, ...]:
    """
    What Django calls the view of this request: ``shop:checkout``, ``/checkout/``, ``shop.views.checkout``; nothing
    before it is known.
    """
    match = getattr(request, "resolver_match", None)
    if match is None:
        return ()
    names = (match.view_name, f"/{match.route}", view_path(match.func))
    return (*names, ":".join((*match.app_names, match.url_name))) if match.url_name and match.app_names else names


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
