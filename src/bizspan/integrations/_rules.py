"""
How a framework's requests become facts: the options that every integration takes, read once, at set-up.
"""

from __future__ import annotations

import dataclasses
import inspect
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from bizspan._baggage import keep_out_of_logs
from bizspan._types import Plain
from bizspan.errors import SetupError
from bizspan.integrations._routes import Route, RouteMap

if TYPE_CHECKING:
    from bizspan.integrations._geo import Geo

FactsOf = Callable[[Any], Mapping[str, Plain]]

_CAMPAIGNS: Final = ("first", "last", "off")
_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")  # RFC 9110, token


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
        geo: The path of an MMDB file (GeoLite2, DB-IP, ipinfo): the client's address gives country and region where
            the headers give none. Read once, at set-up; the address itself is not recorded. Needs the extra ``geo``.
        trusted_hops: How many proxies of yours append to ``X-Forwarded-For``; 0 takes the peer's address.
        campaign: ``"last"`` takes the latest ``utm_*`` of a session, ``"first"`` its first ones, ``"off"`` none. They
            are kept in the application's own session where the visitor has one.
        channel: How customers come: a constant, or a function of the framework's request.
        session: Whether the application's session id is recorded; or a function of the framework's request that gives
            an id. Either goes out as a keyed hash.
        staff: Whether a request is the staff's: a function of the framework's request.
        test_header: A header whose presence says that a request is a test.
        bots: Whether bots are told by their user agents. Whoever is logged in is none.
        exclude: Paths that are left alone, ``"/health"`` or with a last ``*``.
        trust_baggage: Whether facts that are declared ``propagate=`` are taken of the header ``baggage``: of all
            requests, or of those whose paths are listed as in `routes`, ``"POST /internal/*"``. Whoever reaches these
            routes can say what he likes there.

    Functions of the request are plain ones, and are asked once per request, after authentication.

    Raises:
        MissingExtra: With ``geo``, without the package maxminddb.
        SetupError: When an option can't be used; the text names it.
    """

    routes: RouteMap | Mapping[str, Route | Mapping[str, Any] | str] = field(default_factory=dict[str, str])
    resolver: FactsOf | None = None
    facts: FactsOf | None = None
    country_header: str | None = None
    region_header: str | None = None
    geo: str | os.PathLike[str] | Geo | None = None
    trusted_hops: int = 0
    campaign: Literal["first", "last", "off"] = "last"
    channel: str | Callable[[Any], str | None] | None = None
    session: bool | Callable[[Any], str | None] = False
    staff: Callable[[Any], bool] | None = None
    test_header: str | None = None
    bots: bool = True
    exclude: tuple[str, ...] = ()
    trust_baggage: bool | RouteMap | Iterable[str] = False
    route_map: RouteMap = field(init=False, repr=False)  # the routes, ready for use

    def __post_init__(self) -> None:
        routes = self.routes if isinstance(self.routes, (RouteMap, Mapping)) else None
        if routes is None:
            raise SetupError("routes= must be a dict such as {'POST /checkout/': 'checkout'}.")
        route_map = routes if isinstance(routes, RouteMap) else RouteMap(routes)
        object.__setattr__(self, "routes", route_map)
        object.__setattr__(self, "route_map", route_map)
        self._check_functions()
        for name in ("country_header", "region_header", "test_header"):
            value: object = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _header_name(name, value))
        hops: object = self.trusted_hops
        if isinstance(hops, bool) or not isinstance(hops, int) or hops < 0:
            raise SetupError("trusted_hops= must be a whole number from 0: how many proxies of yours are in front.")
        if self.campaign not in _CAMPAIGNS:
            raise SetupError(f"campaign={self.campaign!r} is unknown; use one of {', '.join(map(repr, _CAMPAIGNS))}.")
        if not isinstance(self.bots, bool):
            raise SetupError("bots= must be True or False; tell traffic of your own by the resolver.")
        exclude: object = self.exclude
        if isinstance(exclude, str) or not isinstance(exclude, Iterable):
            raise SetupError("exclude= must be a list of paths, such as ['/health', '/static/*'].")
        paths = tuple(cast("Iterable[object]", exclude))
        if not all(isinstance(path, str) and path.startswith("/") for path in paths):
            raise SetupError("exclude= must be a list of paths, such as ['/health', '/static/*'].")
        object.__setattr__(self, "exclude", paths)
        object.__setattr__(self, "trust_baggage", _trusted(self.trust_baggage))
        if self.geo is not None:
            from bizspan.integrations._geo import opened  # where it is asked for: it reads a file

            object.__setattr__(self, "geo", opened(self.geo))

    def _check_functions(self) -> None:
        for name in ("resolver", "facts", "staff"):
            value: object = getattr(self, name)
            if value is not None and not callable(value):
                raise SetupError(f"{name}= must be a function of the request, got {type(value).__name__}.")
        if self.channel is not None and not callable(self.channel) and not _is_text(self.channel):
            raise SetupError("channel= must be a text such as 'web', or a function of the request.")
        if not isinstance(self.session, bool) and not callable(self.session):
            raise SetupError("session= must be True, False, or a function of the request that gives an id.")
        for name in ("resolver", "facts", "staff", "channel", "session"):
            if inspect.iscoroutinefunction(getattr(self, name)):
                raise SetupError(f"{name}= must be a plain function: facts are asked where nothing can be awaited.")

    def trusts_baggage(self, method: str, path: str) -> bool:
        """Whether facts are taken of the header of such a request."""
        trusted = self.trust_baggage
        return trusted.find(method, path) is not None if isinstance(trusted, RouteMap) else trusted is True

    def leaves_alone(self, path: str) -> bool:
        """Whether requests of this path are none of ours."""
        return bool(self.exclude) and any(
            path.startswith(excluded[:-1]) if excluded.endswith("*") else path == excluded for excluded in self.exclude
        )


def _trusted(told: object) -> bool | RouteMap:
    if isinstance(told, (bool, RouteMap)):
        if told:
            keep_out_of_logs()
        return told
    given = list(cast("Iterable[object]", told)) if isinstance(told, Iterable) and not isinstance(told, str) else [None]
    paths = [path for path in given if isinstance(path, str) and path.split()[-1:] and path.split()[-1][0] == "/"]
    if len(paths) < len(given):
        # Views have no names yet when a request arrives.
        raise SetupError("trust_baggage= must be True, False, or a list of paths, such as ['POST /internal/*'].")
    return _trusted(RouteMap({path: Route() for path in paths}))


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _header_name(option: str, value: object) -> str:
    name = value.strip() if isinstance(value, str) else ""
    if not _HEADER.fullmatch(name):
        raise SetupError(f"{option}= must be the name of one header, such as 'CF-IPCountry'.")
    if name.startswith("HTTP_"):
        plain = name.removeprefix("HTTP_").replace("_", "-").title()
        raise SetupError(f"{option}={name!r} is WSGI's spelling; write the header's own name: {plain!r}.")
    return name


OPTIONS: Final = tuple(option.name for option in dataclasses.fields(Rules) if option.init)


# What a configuration file says, for every integration of the process; an integration's own options win.
_defaults: dict[str, Any] = {}


def set_defaults(options: Mapping[str, Any]) -> None:
    """
    Take these options for every integration that is set up from now on.

    Raises:
        SetupError: When one of them can't be used.
    """
    rules_of(options)
    _defaults.clear()
    _defaults.update(options)


def rules_of(options: Mapping[str, Any]) -> Rules:
    """
    The rules of these options, over those of a configuration file.

    Raises:
        SetupError: When an option is unknown (with the nearest known one) or can't be used.
    """
    for name in options:
        if name not in OPTIONS:
            near = get_close_matches(str(name), OPTIONS, n=1)
            question = f"Did you mean {near[0]!r}?" if near else f"Options are {', '.join(OPTIONS)}."
            raise SetupError(f"There is no option {name!r}. {question}")
    return Rules(**{**_defaults, **options})
