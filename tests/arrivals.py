"""Requests without a framework: what an integration would fill in, sent through the real steps of a request."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, TypedDict, Unpack

from bizspan import names
from bizspan.integrations import _exchange
from bizspan.integrations._exchange import Exchange
from bizspan.integrations._http import Arrived
from bizspan.integrations._rules import Rules, rules_of
from bizspan.testing import Capture

Session = MutableMapping[str, Any]
Header = Callable[[str], str | None]

BROWSER = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0 Safari/537.36"

_OF_THE_OPERATION = {
    names.OPERATION_NAME,
    names.OPERATION_ID,
    names.OPERATION_OUTCOME,
    names.OPERATION_REASON,
    names.RECORD_UID,
    names.WRITER_ID,
    names.SEQUENCE,
    names.METRIC_DURATION,
}


class Options(TypedDict, total=False):
    """What these tests set, for the types of their lambdas."""

    facts: Callable[[Any], Any]
    resolver: Callable[[Any], Any]
    country_header: str
    region_header: str
    geo: object
    trusted_hops: int
    campaign: str
    channel: str | Callable[[Any], Any]
    session: bool | Callable[[Any], Any]
    staff: Callable[[Any], Any]
    test_header: str
    bots: bool
    exclude: list[str]


def rules(shared: Mapping[str, Any] | None = None, /, **options: Unpack[Options]) -> Rules:
    """These options, with a route that makes each request an operation."""
    return rules_of({"routes": {"POST /checkout": "checkout"}, **(shared or {}), **options})


def arrived(
    headers: Mapping[str, str] | Header | None = None,
    *,
    query: str = "",
    client: str | None = "192.0.2.7",
    session: Session | Callable[[], Session | None] | None = None,
    session_id: Callable[[], str | None] = lambda: None,
    is_authenticated: Callable[[], bool] = lambda: False,
    request: object = None,
) -> Arrived:
    """A request to the checkout."""
    asked = session if callable(session) else lambda: session
    header = headers if callable(headers) else _header_of(headers or {})
    return _Told(query, client, request, header, asked, session_id, is_authenticated)


def _header_of(headers: Mapping[str, str]) -> Header:
    lower = {name.lower(): value for name, value in headers.items()}
    return lambda name: lower.get(name.lower())


class _Told(Arrived):
    """A request that answers with what it was made from."""

    def __init__(
        self,
        query: str,
        client: str | None,
        request: object,
        header: Header,
        session: Callable[[], Session | None],
        session_id: Callable[[], str | None],
        is_authenticated: Callable[[], bool],
    ) -> None:
        super().__init__("POST", "/checkout", query, client, request)
        self._header, self._asked = header, (session, session_id, is_authenticated)

    def header(self, name: str, /) -> str | None:
        return self._header(name)

    def session(self) -> Session | None:
        return self._asked[0]()

    def session_id(self) -> str | None:
        return self._asked[1]()

    def is_authenticated(self) -> bool:
        return self._asked[2]()


def send(ruled: Rules, request: Arrived, view: Callable[[], object] | None = None, status: int = 200) -> None:
    """One request from its arrival to its last byte."""
    exchange = _exchange.begin(Exchange(ruled, request))
    if exchange is None:
        return
    exchange.routed()
    exchange.ready()
    if view is not None:
        view()
    exchange.responded(status)
    exchange.leave()
    exchange.end()


def missing(*parts: str) -> dict[str, Any]:
    """The note about functions that raised."""
    return {names.NOTES: tuple(f"{part}:extractor_failed" for part in parts)}


def facts_of(told: Capture, ruled: Rules, request: Arrived) -> dict[str, Any]:
    """The facts on the event of one request, by their keys."""
    before = len(told.operations())
    send(ruled, request)
    [event] = told.operations()[before:]
    return {key: value for key, value in event.attributes.items() if key not in _OF_THE_OPERATION}


def refused(told: Capture) -> dict[str, int]:
    """What was refused so far, by reason."""
    return told._pipeline.accounts.values_refused.values()  # pyright: ignore[reportPrivateUsage]
