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

_METHODS: Final = frozenset(
    {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "WEBSOCKET"}
)
# A preflight or a probe of a page is no business, unless the map says so.
ASKED_FOR_ONLY: Final = frozenset({"HEAD", "OPTIONS", "TRACE", "CONNECT", "WEBSOCKET"})
PARAMETER: Final = re.compile(r"(\{[^/{}]*\}|<[^/<>]*>)")
_MANY_SEGMENTS: Final = re.compile(r"\{[^/{}]*:path\}|<path:[^/<>]*>")
# What frameworks let through there. By its place alone, `/orders/<int:id>` would be `/orders/new` too.
_KIND: Final = re.compile(r"\{[^/{}:]*:(int|uuid)\}|<(int|uuid):[^/<>]*>")
_OF_KIND: Final = {"int": "[0-9]", "uuid": "[0-9A-Fa-f-]"}
_PATH_LIMIT: Final = 2048
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
        routes: By ``"POST /orders/{id}"``, ``"/orders/<int:id>"``, or the name of a view or endpoint, with methods
            before it or without: then it is any method but HEAD, OPTIONS, TRACE and CONNECT. A parameter stands for
            one segment of the path, one of ``int`` or ``uuid`` for no other text; ``{rest:path}``, ``<path:rest>`` and
            a last ``*`` stand for more. Values are a `Route`, its fields as a dict, or the operation's name.

    Raises:
        SetupError: When an entry can't be read; the text names it.
    """

    def __init__(self, routes: Mapping[str, Route | Mapping[str, Any] | str]) -> None:
        # As they are written, and read: methods, and the path or name.
        self.entries: list[tuple[str, frozenset[str], str]] = []
        self._by_name: dict[str, Route] = {}
        self._patterns: list[tuple[frozenset[str], re.Pattern[str], Route]] = []
        for key, told in routes.items():
            route = _route(key, told)
            methods, rest = _split(key)
            self.entries.append((key, methods, rest))
            for method in methods or {""}:
                self._by_name[f"{method} {rest}"] = route
            if rest.startswith("/") and ("*" in rest or PARAMETER.search(rest)):
                self._patterns.append((methods, _compiled(key, rest), route))

    def __bool__(self) -> bool:
        return bool(self._by_name)

    def find(self, method: str, path: str, names: Iterable[str | None] = ()) -> Route | None:
        """
        The route of this request; None where the map has none.

        Args:
            method: Of HTTP.
            path: As requested.
            names: What the framework calls it: its view or endpoint, and its own template of the path. Not read where
                the path is a name in the map already.
        """
        if not self._by_name:
            return None
        any_method = method not in ASKED_FOR_ONLY
        # A path without its slash is something else, or forged to look like the name of a view.
        if path.startswith("/"):
            route = self._by_name.get(f"{method} {path}")
            if route is None and any_method:
                route = self._by_name.get(f" {path}")
            if route is not None:
                return route
        for name in names:
            if name:
                route = self._by_name.get(f"{method} {name}")
                if route is None and any_method:
                    route = self._by_name.get(f" {name}")
                if route is not None:
                    return route
        if len(path) > _PATH_LIMIT:
            return None
        for methods, pattern, route in self._patterns:
            if (method in methods if methods else any_method) and pattern.fullmatch(path):
                return route
        return None


def _split(key: str) -> tuple[frozenset[str], str]:
    first, _, rest = key.strip().partition(" ")
    methods = frozenset(method for method in first.upper().split(",") if method)
    rest = rest.strip()
    if rest and methods <= _METHODS and (rest.startswith("/") or " " not in rest):
        return methods, rest
    if rest:
        raise SetupError(f"The route {key!r} can't be read; write it as 'POST /checkout/' or as the name of a view.")
    return frozenset(), first


def _compiled(key: str, template: str) -> re.Pattern[str]:
    open_end = template.endswith("*")
    first, *rest = PARAMETER.split(template.removesuffix("*"))
    parameters, literals = rest[::2], rest[1::2]
    if any("*" in literal for literal in (first, *literals)):
        raise SetupError(f"The route {key!r}: * stands at the end alone; write {{name}} for one segment of the path.")
    # Either would have a path of a few thousand letters tried in all its cuts.
    if "" in literals[:-1] or sum(_MANY_SEGMENTS.fullmatch(parameter) is not None for parameter in parameters) > 1:
        raise SetupError(f"The route {key!r} is ambiguous; put a text between its parameters, and one path at most.")
    pattern = re.escape(first)
    for at, (parameter, literal) in enumerate(zip(parameters, literals, strict=True), 1):
        after = re.escape(literal)
        kind = _KIND.fullmatch(parameter)
        letter = "[^/]" if kind is None else _OF_KIND[kind[1] or kind[2]]
        if _MANY_SEGMENTS.fullmatch(parameter):
            pattern += f".+{after}"
        elif at < len(parameters):
            pattern += f"(?>{letter}+?{after})"  # atomic, for the same reason: {a}-{b}-{c} against thousands of dashes
        else:
            pattern += f"{letter}+{after}"
    return re.compile(pattern + (".*" if open_end else ""), re.DOTALL)


def _route(key: object, told: object) -> Route:
    if not isinstance(key, str) or not key.strip():
        raise SetupError(f"The route {key!r} must be a text such as 'POST /checkout/'.")
    if isinstance(told, Route):
        return _checked(key, told)
    if isinstance(told, str):
        return _checked(key, Route(operation=told))
    if not isinstance(told, Mapping):
        raise SetupError(f"The route {key!r} needs the name of an operation, or a dict of {', '.join(_FIELDS)}.")
    fields: dict[str, Any] = dict(told)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    unknown = sorted(map(str, fields.keys() - {*_FIELDS}))
    if unknown:
        raise SetupError(f"The route {key!r} has no field {unknown[0]!r}; it has {', '.join(_FIELDS)}.")
    return _checked(key, Route(**fields))


def _checked(key: str, route: Route) -> Route:
    for name, text in (("operation", route.operation), ("feature", route.feature)):
        given: object = text
        if given is not None and not (isinstance(given, str) and given.strip()):
            raise SetupError(f"The route {key!r}: {name} must be a text.")
    facts: object = route.facts
    if not isinstance(facts, Mapping):
        raise SetupError(f"The route {key!r}: facts must be a dict of values by keyword.")
    if any(callable(value) for value in route.facts.values()):
        raise SetupError(f"The route {key!r}: facts are constants; let resolver= tell what depends on the request.")
    if route.revenue is not None and not callable(route.revenue):
        raise SetupError(f"The route {key!r}: revenue must be a function of the request and the response.")
    return route
