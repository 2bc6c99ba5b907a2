"""
Which function answers which path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from typing import Final
from urllib.parse import parse_qsl


@dataclass(frozen=True, slots=True)
class Request:
    """
    What was asked.

    Args:
        method: In capitals.
        path: Without the query.
        query: As it was sent.
        headers: By name, in any case.
        body: Decompressed.
    """

    method: str
    path: str
    query: str
    headers: Message
    body: bytes = b""

    @property
    def parameters(self) -> list[tuple[str, str]]:
        """Names and values of the query, in order."""
        return parse_qsl(self.query, keep_blank_values=True, max_num_fields=200)


@dataclass(frozen=True, slots=True)
class Response:
    """
    What is answered.

    Args:
        body: Whole, or in parts that are sent as they come until the iterator ends or the client has gone; its
            ``close()`` is called in any case.
        content_type: Of the body.
        status: The code.
        headers: More of them.
    """

    body: bytes | Iterable[bytes] = b""
    content_type: str = "text/plain; charset=utf-8"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


class Refusal(Exception):  # noqa: N818 - an answer, not a failure
    """
    A request that is answered with an error.

    Args:
        status: The code.
        text: One sentence for people.
        headers: Of the answer.
        closes: The connection can't be used any more, because where the next request begins is unknown.
    """

    def __init__(
        self, status: int, text: str, headers: Mapping[str, str] | None = None, *, closes: bool = False
    ) -> None:
        super().__init__(status, text)
        self.status = status
        self.text = text
        self.headers: Final = dict(headers or {})
        self.closes = closes


Handler = Callable[[Request], Response]


class Routes:
    """A table of handlers by path and method. A GET handler answers HEAD as well."""

    def __init__(self) -> None:
        self._handlers: dict[str, dict[str, Handler]] = {}

    def add(self, method: str, path: str, handler: Handler) -> None:
        """
        Have a function answer.

        Args:
            method: In capitals.
            path: The whole path; or, with ``/*`` at its end, all below it.
            handler: Called on the connection's thread.
        """
        self._handlers.setdefault(path, {})[method] = handler

    def find(self, method: str, path: str) -> Handler:
        """
        The function for a request.

        Raises:
            Refusal: 404 without such a path, 405 without such a method.
        """
        by_method = self._handlers.get(path) or self._below(path)
        if by_method is None:
            raise Refusal(404, "There is nothing at this path; OTLP goes to /v1/logs, /v1/traces and /v1/metrics.")
        handler = by_method.get("GET" if method == "HEAD" else method)
        if handler is None:
            allowed = sorted({*by_method, *({"HEAD"} if "GET" in by_method else ())})
            raise Refusal(405, f"This path takes {' and '.join(allowed)}.", {"Allow": ", ".join(allowed)})
        return handler

    def _below(self, path: str) -> dict[str, Handler] | None:
        while "/" in path[1:]:
            path = path.rpartition("/")[0]
            if (found := self._handlers.get(f"{path}/*")) is not None:
                return found
        return None
