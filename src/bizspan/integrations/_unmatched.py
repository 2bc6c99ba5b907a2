"""
Entries of a map of routes that no route of the application matches: said once, when the routes are known.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from bizspan import _guard
from bizspan.integrations._routes import ASKED_FOR_ONLY, PARAMETER, RouteMap

# Beyond either nothing is compared: it is the first request that waits for this.
_PLACES_LIMIT: Final = 2000
_ENTRIES_LIMIT: Final = 500
_SAID_LIMIT: Final = 5


@dataclass(frozen=True, slots=True)
class Place:
    """
    A route of the application.

    Args:
        names: What a map may call it: templates of its path, which begin with a slash, and names.
        methods: Of HTTP, or ``WEBSOCKET``; None is any.
    """

    names: tuple[str, ...]
    methods: frozenset[str] | None


def say_unmatched(route_map: RouteMap, places: Iterable[Place] | None) -> None:
    """
    Say in one warning which entries match nothing. Never raises.

    Args:
        route_map: The integration's.
        places: The application's routes; None where not all of them can be known.
    """
    try:
        if places is None or not route_map or len(route_map.entries) > _ENTRIES_LIMIT:
            return
        known = list(places)
        if not known or len(known) > _PLACES_LIMIT:
            return
        unmatched = _unmatched(route_map, known)
        if unmatched:
            more = len(unmatched) - _SAID_LIMIT
            listed = ", ".join(unmatched[:_SAID_LIMIT]) + (f", and {more} more" if more > 0 else "")
            _guard.say_once(f"routes:{listed}", f"bizspan: routes= match nothing in the application: {listed}.")
    except Exception as error:
        _guard.swallowed("comparing routes", error)


def _unmatched(route_map: RouteMap, known: list[Place]) -> list[str]:
    by_name: dict[str, list[Place]] = {}
    for place in known:
        for name in place.names:
            by_name.setdefault(name, []).append(place)
    templates = [(_lenient(name), places) for name, places in by_name.items() if name.startswith("/")]
    unmatched: list[str] = []
    for key, methods, name in route_map.entries:
        found = by_name.get(name, [])
        if name.startswith("/"):
            if name.endswith("*"):
                continue
            sample = PARAMETER.sub("1", name)
            found = [*found, *(place for like, places in templates if like.fullmatch(sample) for place in places)]
        if not found:
            near = get_close_matches(name, list(by_name), n=1)
            unmatched.append(f"{key!r} (did you mean {near[0]!r}?)" if near else repr(key))
        elif not any(_answers(place, methods) for place in found):
            there = sorted({method for place in found for method in place.methods or ()} - {"HEAD", "OPTIONS"})
            unmatched.append(f"{key!r} (it is there for {', '.join(there)} alone)")
    return unmatched


def _answers(place: Place, methods: frozenset[str]) -> bool:
    if place.methods is None:
        return True
    return bool(place.methods & methods if methods else place.methods - ASKED_FOR_ONLY)


def _lenient(template: str) -> re.Pattern[str]:
    # A parameter may match several segments: converters are the application's own.
    literals = PARAMETER.split(template)[::2]
    return re.compile(".+".join(map(re.escape, literals)), re.DOTALL)
