"""
The routes of an application of Starlette or FastAPI, as far as they can be known from outside.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final, cast

from bizspan.errors import type_name
from bizspan.integrations._asgi_views import WEBSOCKET
from bizspan.integrations._unmatched import Place

_DEEPEST: Final = 20
_MOST: Final = 5000


class _UnknownKindError(Exception):
    """Some of them can't be known."""


def places_of(routes: object, root: str) -> list[Place] | None:
    """
    These routes and those of what is mounted; None where one of them is of an unknown kind.

    Args:
        routes: The application's own list.
        root: What a proxy or a mount around the application puts before their paths.
    """
    try:
        return list(_places(routes, root.rstrip("/"), 0))
    except _UnknownKindError:
        return None


def _places(routes: Any, prefix: str, depth: int) -> Iterator[Place]:
    if type(routes) is not list or depth > _DEEPEST:
        raise _UnknownKindError
    for route in islice(_each(routes), _MOST):
        path: object = getattr(route, "path", None)
        inner: object = getattr(route, "routes", None)
        endpoint: object = getattr(route, "endpoint", None)
        if endpoint is None and inner:  # a mount, or a host, which has no path
            yield from _places(inner, prefix + (path if isinstance(path, str) else ""), depth + 1)
        elif not isinstance(path, str):
            raise _UnknownKindError
        elif endpoint is None:  # another application, with routes of its own
            yield Place((path + "/{rest:path}", f"{prefix}{path}/{{rest:path}}"), None)
        else:
            yield Place(tuple(_names(route, path, prefix, endpoint)), _methods(route))


def _each(routes: Any) -> Iterable[Any]:
    # FastAPI from 0.14x keeps an included router as one, and has this to look inside.
    unfolded: Any = getattr(sys.modules.get("fastapi.routing"), "iter_route_contexts", None)
    return cast("Iterable[Any]", routes if unfolded is None else unfolded(routes))


def _names(route: Any, path: str, prefix: str, endpoint: object) -> Iterator[str]:
    yield from (path, prefix + path)
    name: object = getattr(route, "name", None)
    if isinstance(name, str) and name:
        yield name
    module, qualified = getattr(endpoint, "__module__", None), getattr(endpoint, "__qualname__", None)
    if isinstance(module, str) and isinstance(qualified, str):
        yield f"{module}.{qualified}"


def _methods(route: Any) -> frozenset[str] | None:
    methods: object = getattr(route, "methods", None)
    if methods:
        return frozenset(str(method).upper() for method in cast("Iterable[object]", methods))
    original: object = getattr(route, "original_route", route)  # of what FastAPI unfolded
    return frozenset({WEBSOCKET}) if "WebSocket" in type_name(original) else None
