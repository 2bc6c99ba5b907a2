"""
How a framework's requests become facts: the options that every integration takes, read once, at set-up.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final, Literal, cast

from bizspan._types import Plain
from bizspan.errors import SetupError
from bizspan.integrations._routes import Route, RouteMap

FactsOf = Callable[[Any], Mapping[str, Plain]]

_CAMPAIGNS: Final = ("first", "last", "off")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """
    The options of an integration. All of them are optional.

    Args:
        routes: Which operation a request is; see `RouteMap`.
        resolver: Who acts: a function of the framework's request that gives facts by keyword (segment, plan, tenant,
            customer, community). Asked once per request, after authentication.
        facts: Replaces all of the rest: a function of the framework's request that gives every fact by keyword.
        country_header: The one header whose country is trusted, such as ``"CF-IPCountry"``: your proxy sets it, and
            removes the client's own.
        region_header: The same for ISO 3166-2 regions.
        geo: The path of an MMDB file (GeoLite2, DB-IP): the client's address gives country and region. The address
            itself is not recorded. Needs the extra ``geo``.
        trusted_hops: How many proxies of yours append to ``X-Forwarded-For``; 0 takes the peer's address.
        campaign: ``"last"`` takes the latest ``utm_*`` of a session, ``"first"`` its first ones, ``"off"`` none. They
            are kept in the application's own session where there is one.
        channel: How customers come: a constant, or a function of the framework's request.
        session: Whether the application's session id is recorded, as a keyed hash; or a function of the request that
            gives an id.
        staff: Whether a request is the staff's: a function of the framework's request.
        test_header: A header whose presence says that a request is a test.
        bots: Whether bots are told by their user agents.
        exclude: Paths that are left alone, ``"/health"`` or with a last ``*``.

    Raises:
        SetupError: When an option can't be used; the text names it.
    """

    routes: RouteMap | Mapping[str, Route | Mapping[str, Any] | str] = field(default_factory=dict[str, str])
    resolver: FactsOf | None = None
    facts: FactsOf | None = None
    country_header: str | None = None
    region_header: str | None = None
    geo: str | None = None
    trusted_hops: int = 0
    campaign: Literal["first", "last", "off"] = "last"
    channel: str | Callable[[Any], str | None] | None = None
    session: bool | Callable[[Any], str | None] = False
    staff: Callable[[Any], bool] | None = None
    test_header: str | None = None
    bots: bool = True
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        routes = self.routes if isinstance(self.routes, (RouteMap, Mapping)) else None
        if routes is None:
            raise SetupError("routes= must be a dict such as {'POST /checkout/': 'checkout'}.")
        object.__setattr__(self, "routes", routes if isinstance(routes, RouteMap) else RouteMap(routes))
        for name in ("resolver", "facts", "staff"):
            value: object = getattr(self, name)
            if value is not None and not callable(value):
                raise SetupError(f"{name}= must be a function of the request, got {type(value).__name__}.")
        for name in ("country_header", "region_header", "test_header"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, str) or not value.strip()):
                raise SetupError(f"{name}= must be the name of one header, such as 'CF-IPCountry'.")
        hops: object = self.trusted_hops
        if isinstance(hops, bool) or not isinstance(hops, int) or hops < 0:
            raise SetupError("trusted_hops= must be a whole number from 0: how many proxies of yours are in front.")
        if self.campaign not in _CAMPAIGNS:
            raise SetupError(f"campaign={self.campaign!r} is unknown; use one of {', '.join(map(repr, _CAMPAIGNS))}.")
        exclude: object = self.exclude
        if isinstance(exclude, str) or not all(isinstance(path, str) for path in cast("tuple[object, ...]", exclude)):
            raise SetupError("exclude= must be a list of paths, such as ['/health', '/static/*'].")
        object.__setattr__(self, "exclude", tuple(self.exclude))

    @property
    def route_map(self) -> RouteMap:
        """The routes, ready for use."""
        return cast("RouteMap", self.routes)

    def leaves_alone(self, path: str) -> bool:
        """Whether requests of this path are none of ours."""
        return any(
            path.startswith(excluded[:-1]) if excluded.endswith("*") else path == excluded for excluded in self.exclude
        )


OPTIONS: Final = tuple(option.name for option in dataclasses.fields(Rules))


def rules_of(options: Mapping[str, Any]) -> Rules:
    """
    The rules of these options.

    Raises:
        SetupError: When an option is unknown (with the nearest known one) or can't be used.
    """
    for name in options:
        if name not in OPTIONS:
            near = get_close_matches(str(name), OPTIONS, n=1)
            question = f"Did you mean {near[0]!r}?" if near else f"Options are {', '.join(OPTIONS)}."
            raise SetupError(f"There is no option {name!r}. {question}")
    return Rules(**options)
