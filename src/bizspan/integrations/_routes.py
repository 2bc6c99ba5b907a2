"""
Which operation a request is: a map from routes, as the framework or the URL calls them, to operations.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from bizspan.errors import SetupError

if TYPE_CHECKING:
    from bizspan._types import Plain

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
_PARAMETER: Final = re.compile(r"\{[^/{}]*\}|<[^/<>]*>")
_FIELDS: Final = ("operation", "feature", "facts", "revenue")


@dataclass(frozen=True, slots=True)
class Route:
    """
    What the business calls a route.

    Args:
        operation: The operation that each of its requests is; None is none.
        feature: The feature that it belongs to.
        facts: Further facts of its requests, constants by keyword.
        revenue: What a successful request earned: a function of the request and the response.
    """

    operation: str | None = None
    feature: str | None = None
    facts: Mapping[str, Plain] = field(default_factory=dict[str, "Plain"])
    revenue: Callable[[Any, Any], Any] | None = None

    def all_facts(self) -> dict[str, object]:
        """Its constant facts, the feature among them."""
        return {**({"feature": self.feature} if self.feature else {}), **self.facts}


class RouteMap:
    """
    Finds the route of a request.

    Args:
        routes: By ``"POST /orders/{id}"``, ``"/orders/<int:id>"`` (any method), or the name of a view or endpoint. A
            parameter stands for one segment of the path, a last ``*`` for the rest. Values are a `Route`, its fields
            as a dict, or the operation's name.

    Raises:
        SetupError: When an entry can't be read; the text names it.
    """

    def __init__(self, routes: Mapping[str, Route | Mapping[str, Any] | str]) -> None:
        self._by_name: dict[str, Route] = {}
        self._patterns: list[tuple[frozenset[str], re.Pattern[str], Route]] = []
        for key, told in routes.items():
            route = _route(key, told)
            methods, rest = _split(key)
            if not rest.startswith("/"):
                self._by_name[rest] = route
                continue
            for method in methods or {""}:
                self._by_name[f"{method} {rest}"] = route
            if "*" in rest or _PARAMETER.search(rest):
                self._patterns.append((methods, _compiled(rest), route))

    def __bool__(self) -> bool:
        return bool(self._by_name)

    def find(self, method: str, path: str, names: Iterable[str | None] = ()) -> Route | None:
        """
        The route of this request; None where the map has none.

        Args:
            method: Of HTTP.
            path: As requested.
            names: What the framework calls it: its view or endpoint, and its own template of the path.
        """
        if not self._by_name:
            return None
        for name in (path, *names):
            if not name:
                continue
            route = self._by_name.get(f"{method} {name}") or self._by_name.get(f" {name}") or self._by_name.get(name)
            if route is not None:
                return route
        for methods, pattern, route in self._patterns:
            if (not methods or method in methods) and pattern.fullmatch(path):
                return route
        return None


def _split(key: str) -> tuple[frozenset[str], str]:
    first, _, rest = key.strip().partition(" ")
    methods = frozenset(method for method in first.upper().split(",") if method)
    if rest and methods <= _METHODS:
        return methods, rest.strip()
    if rest:
        raise SetupError(f"The route {key!r} can't be read; write it as 'POST /checkout/' or as the name of a view.")
    return frozenset(), first


def _compiled(template: str) -> re.Pattern[str]:
    open_end = template.endswith("*")
    parts = _PARAMETER.split(template.removesuffix("*"))
    return re.compile("[^/]+".join(map(re.escape, parts)) + (".*" if open_end else ""), re.DOTALL)


def _route(key: object, told: object) -> Route:
    if not isinstance(key, str) or not key.strip():
        raise SetupError(f"The route {key!r} must be a text such as 'POST /checkout/'.")
    if isinstance(told, Route):
        return told
    if isinstance(told, str):
        return Route(operation=told)
    if not isinstance(told, Mapping):
        raise SetupError(f"The route {key!r} needs the name of an operation, or a dict of {', '.join(_FIELDS)}.")
    fields: dict[str, Any] = dict(told)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    unknown = sorted(map(str, fields.keys() - {*_FIELDS}))
    if unknown:
        raise SetupError(f"The route {key!r} has no field {unknown[0]!r}; it has {', '.join(_FIELDS)}.")
    for name in ("operation", "feature"):
        if fields.get(name) is not None and not isinstance(fields[name], str):
            raise SetupError(f"The route {key!r}: {name} must be a text.")
    if not isinstance(fields.get("facts", {}), Mapping):
        raise SetupError(f"The route {key!r}: facts must be a dict of values by keyword.")
    if fields.get("revenue") is not None and not callable(fields["revenue"]):
        raise SetupError(f"The route {key!r}: revenue must be a function of the request and the response.")
    return Route(**fields)
