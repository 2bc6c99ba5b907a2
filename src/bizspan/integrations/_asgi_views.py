"""
What functions of yours get of an ASGI request and its answer: the same for every framework.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from functools import lru_cache
from typing import Any, Final, TypeVar, cast, overload

BODY_LIMIT: Final = 1024 * 1024
WEBSOCKET: Final = "WEBSOCKET"
_JOINTS: Final = {b"cookie": "; "}  # RFC 9113, 8.2.3; all others RFC 9110, 5.3

T = TypeVar("T")
Pairs = Iterable[tuple[bytes, bytes]]


def header_of(pairs: Pairs, name: str) -> str | None:
    """
    The value of this header, all of its lines as one; None where it is missing.
    """
    wanted = _encoded(name)
    found: bytes | None = None
    for key, value in pairs:
        if key == wanted:  # ASGI has the names in lower case
            if found is not None:
                return _all_of(pairs, wanted)
            found = value
    return None if found is None else found.decode("latin-1")


def _all_of(pairs: Pairs, wanted: bytes) -> str:
    return _JOINTS.get(wanted, ", ").join([value.decode("latin-1") for key, value in pairs if key == wanted])


@lru_cache(maxsize=256)
def _encoded(name: str) -> bytes:
    return name.lower().encode("latin-1", "replace")


class Headers(Mapping[str, str]):
    """
    Headers by their name, in any case.

    Args:
        pairs: As ASGI has them.
    """

    __slots__ = ("_pairs",)

    def __init__(self, pairs: Pairs) -> None:
        self._pairs = pairs

    def __getitem__(self, name: str) -> str:
        value = header_of(self._pairs, name)
        if value is None:
            raise KeyError(name)
        return value

    @overload
    def get(self, key: str, default: None = None, /) -> str | None: ...
    @overload
    def get(self, key: str, default: str | T, /) -> str | T: ...
    def get(self, key: str, default: object = None, /) -> object:
        """The value of this header, else the default."""
        value = header_of(self._pairs, key)
        return default if value is None else value

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(key.decode("latin-1") for key, _ in self._pairs))

    def __len__(self) -> int:
        return len({key for key, _ in self._pairs})


class Request:
    """
    An HTTP request or a websocket, for `resolver=` and the other functions of yours.

    Args:
        scope: ASGI's own. What middlewares and frameworks put there is found when it is asked for.
        path: As routes see it.
    """

    __slots__ = ("path", "scope")

    def __init__(self, scope: MutableMapping[str, Any], path: str) -> None:
        self.scope = scope
        self.path = path

    @property
    def method(self) -> str:
        """Of HTTP, in capitals; ``WEBSOCKET`` for a websocket."""
        return str(self.scope.get("method", WEBSOCKET))

    @property
    def query(self) -> str:
        """The raw query string."""
        raw: bytes = self.scope.get("query_string", b"")
        return raw.decode("latin-1")

    @property
    def headers(self) -> Headers:
        """Its headers."""
        return Headers(self.scope.get("headers", ()))

    @property
    def cookies(self) -> dict[str, str]:
        """Its cookies."""
        parts = (part.partition("=") for part in self.headers.get("cookie", "").split(";"))
        return {name.strip(): value.strip().strip('"') for name, _, value in parts if name.strip()}

    @property
    def client(self) -> str | None:
        """The peer's address."""
        client: tuple[str, int] | None = self.scope.get("client")
        return client[0] if client else None

    @property
    def path_params(self) -> Mapping[str, Any]:
        """The parameters of the route, once the framework knows it."""
        return self.scope.get("path_params") or {}

    @property
    def state(self) -> Mapping[str, Any]:
        """What was put onto Starlette's ``request.state``."""
        return self.scope.get("state") or {}

    @property
    def session(self) -> MutableMapping[str, Any] | None:
        """The application's session, where a middleware outside of this one provides it."""
        session: Any = self.scope.get("session")
        if session is None or not isinstance(session, MutableMapping):
            return None
        return cast("MutableMapping[str, Any]", session)

    @property
    def user(self) -> Any:
        """Who Starlette's `AuthenticationMiddleware` found; None without it."""
        return self.scope.get("user")

    @property
    def is_authenticated(self) -> bool:
        """Whether that is somebody."""
        return bool(getattr(self.user, "is_authenticated", False))


class Response:
    """
    A whole answer, for a route's ``revenue``.

    Args:
        status: Of HTTP.
        pairs: Its headers, as ASGI has them.
        body: None where it was longer than 1 MiB, or is a file.
    """

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, pairs: Pairs, body: bytes | None) -> None:
        self.status = status
        self.headers = Headers(pairs)
        self.body = body

    def json(self) -> Any:
        """
        The body, read as JSON with numbers as exact as they were sent: those with a point as `Decimal`.

        Raises:
            ValueError: When it is none, or was not kept.
        """
        from decimal import Decimal

        if self.body is None:
            raise ValueError("The body was not kept: it is a file, or longer than 1 MiB; tell the revenue in the view.")
        return json.loads(self.body, parse_float=Decimal)
