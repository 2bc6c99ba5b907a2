"""
What a request says about who, where from and which campaign. No I/O: a framework's integration fills in `Arrived`.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any

from bizspan.integrations._rules import Rules

Header = Callable[[str], str | None]


def _nothing() -> None:
    return None


def _no() -> bool:
    return False


class Arrived:
    """
    One request, as far as its facts are concerned. What costs is a function, called when it is needed.

    Args:
        method: Of HTTP, in capitals.
        path: Decoded, without the query.
        query: The raw query string.
        header: The value of one header by its name, in any case; None where it is missing.
        client: The peer's address.
        request: The framework's own, for the user's functions.
        session: The application's session of this request, where it has one.
        session_id: Its id.
        is_authenticated: Whether somebody is logged in.
    """

    __slots__ = ("client", "header", "is_authenticated", "method", "path", "query", "request", "session", "session_id")

    def __init__(
        self,
        *,
        method: str,
        path: str,
        query: str,
        header: Header,
        client: str | None,
        request: object,
        session: Callable[[], MutableMapping[str, Any] | None] = _nothing,
        session_id: Callable[[], str | None] = _nothing,
        is_authenticated: Callable[[], bool] = _no,
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.header = header
        self.client = client
        self.request = request
        self.session = session
        self.session_id = session_id
        self.is_authenticated = is_authenticated


def request_facts(rules: Rules, arrived: Arrived) -> dict[str, object]:
    """
    The facts of a request by keyword. Each part is guarded: one that fails leaves the others.
    """
    facts: dict[str, object] = {}
    if rules.country_header is not None:
        facts["country"] = arrived.header(rules.country_header)
    return facts
