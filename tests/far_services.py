"""Real servers on loopback that keep the headers of what comes, and the clients that call them."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import aiohttp
import grpc
import httpx
import httpx2
import pytest
import requests
import urllib3
from opentelemetry import baggage as otel_baggage
from opentelemetry import context as otel

import bizspan
from bizspan.vocabulary import Attribute, Vocabulary
from tests.providers import HASH_KEY

Call = Callable[[str, Mapping[str, str]], None]

SHOP: Final = Vocabulary(
    "shop",
    [Attribute(name="tier", propagate=True), Attribute(name="margin")],
    propagate=["segment", "customer"],
)
ALLOWED: Final = "api.shop.internal"
ALSO: Final = "stock.shop.internal"
OTHER: Final = "tracker.example"
OURS: Final = ["business.customer.segment=big%20%26%20loyal", "shop.tier=gold"]


class Service:
    """
    An HTTP service that answers everything, also for a proxy of it, and redirects from ``/to?<url>``.

    Attributes:
        port: Where it listens, on 127.0.0.1.
        baggage: Of each request its baggage headers, in order.
        hosts: Of each request the host that was asked for.
    """

    def __init__(self) -> None:
        self.baggage: list[list[str]] = []
        self.hosts: list[str] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                service.baggage.append(self.headers.get_all("baggage", []))
                service.hosts.append(str(urlsplit(f"//{self.headers.get('Host', '')}").hostname))
                to = urlsplit(self.path)
                self.send_response(302 if to.path == "/to" else 200)
                if to.path == "/to":
                    self.send_header("Location", parse_qs(to.query)["url"][0])
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]

    @contextmanager
    def serving(self) -> Generator[Service]:
        """In a thread of its own."""
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def url(self, host: str, path: str = "/") -> str:
        """The URL of this service under a name; see `every_name_is_here`."""
        return f"http://{host}:{self.port}{path}"

    def members(self, at: int = -1) -> list[str]:
        """The members of one request's baggage, which is one header or none."""
        headers = self.baggage[at]
        assert len(headers) <= 1
        return sorted(member for header in headers for member in header.split(","))


def every_name_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every host name means 127.0.0.1, as the resolver has it."""
    resolve = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        return resolve("127.0.0.1", port, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


# --- clients, each following redirects --------------------------------------------------------------------------------


def _requests(url: str, headers: Mapping[str, str]) -> None:
    with requests.Session() as session:
        session.trust_env = False
        session.get(url, headers=dict(headers), timeout=5)


def _urllib3(url: str, headers: Mapping[str, str]) -> None:
    with urllib3.PoolManager() as pool:
        pool.request("GET", url, headers=dict(headers), timeout=5)


def _httpx(url: str, headers: Mapping[str, str]) -> None:
    with httpx.Client(follow_redirects=True, trust_env=False) as client:
        client.get(url, headers=dict(headers))


def _httpx_async(url: str, headers: Mapping[str, str]) -> None:
    async def call() -> None:
        async with httpx.AsyncClient(follow_redirects=True, trust_env=False) as client:
            await client.get(url, headers=dict(headers))

    asyncio.run(call())


def _httpx2(url: str, headers: Mapping[str, str]) -> None:
    with httpx2.Client(follow_redirects=True, trust_env=False) as client:
        client.get(url, headers=dict(headers))


def _httpx2_async(url: str, headers: Mapping[str, str]) -> None:
    async def call() -> None:
        async with httpx2.AsyncClient(follow_redirects=True, trust_env=False) as client:
            await client.get(url, headers=dict(headers))

    asyncio.run(call())


def _aiohttp(url: str, headers: Mapping[str, str]) -> None:
    async def call() -> None:
        # Not aiodns, which some installations have and which does not ask the socket module.
        connector = aiohttp.TCPConnector(resolver=aiohttp.ThreadedResolver())
        async with aiohttp.ClientSession(connector=connector) as session, session.get(url, headers=dict(headers)):
            pass

    asyncio.run(call())


CLIENTS: Final[Mapping[str, Call]] = {
    "requests": _requests,
    "urllib3": _urllib3,
    "httpx": _httpx,
    "httpx async": _httpx_async,
    "httpx2": _httpx2,
    "httpx2 async": _httpx2_async,
    "aiohttp": _aiohttp,
}


# --- gRPC -------------------------------------------------------------------------------------------------------------

KINDS: Final = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")


class Rpc:
    """
    A gRPC service with one method of each kind, which send back what came.

    Attributes:
        port: Where it listens.
        baggage: Of each call its entries of metadata named baggage.
    """

    def __init__(self) -> None:
        self.baggage: list[list[str]] = []
        self._server = grpc.server(ThreadPoolExecutor(2))
        handlers: dict[str, Any] = {
            "unary_unary": grpc.unary_unary_rpc_method_handler(self._one),
            "unary_stream": grpc.unary_stream_rpc_method_handler(self._several),
            "stream_unary": grpc.stream_unary_rpc_method_handler(self._one),
            "stream_stream": grpc.stream_stream_rpc_method_handler(self._several),
        }
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.Stock", handlers),))
        self.port: int = self._server.add_insecure_port("127.0.0.1:0")

    def _one(self, _: object, context: Any) -> bytes:
        self.baggage.append([str(value) for key, value in context.invocation_metadata() if key == "baggage"])
        return b""

    def _several(self, _: object, context: Any) -> Iterator[bytes]:
        yield self._one(_, context)

    @contextmanager
    def serving(self) -> Generator[Rpc]:
        """In threads of its own."""
        self._server.start()
        try:
            yield self
        finally:
            self._server.stop(0).wait()

    def call(self, target: str, kind: str, metadata: Any = None, *, how: str = "call") -> None:
        """One call, as generated code makes it."""
        with grpc.insecure_channel(target) as channel:
            method: Any = getattr(channel, kind)(f"/shop.Stock/{kind}")
            request: Any = iter([b""]) if kind.startswith("stream") else b""
            if how == "with_call":
                method.with_call(request, timeout=5, metadata=metadata)
            elif how == "future":
                method.future(request, 5, metadata).result()
            else:
                answer: Any = method(request, timeout=5, metadata=metadata)
                if kind.endswith("stream"):
                    list(answer)

    def call_async(self, target: str, kind: str, metadata: Any = None) -> None:
        """The same through `grpc.aio`."""

        async def run() -> None:
            async with grpc.aio.insecure_channel(target) as channel:
                method: Any = getattr(channel, kind)(f"/shop.Stock/{kind}")
                request: Any = iter([b""]) if kind.startswith("stream") else b""
                answer: Any = method(request, timeout=5, metadata=metadata)
                if kind.endswith("stream"):
                    async for _ in answer:
                        pass
                else:
                    await answer

        asyncio.run(run())


def running(*, grpc: bool = False) -> Iterator[Any]:
    """For a fixture: a service under way."""
    with (Rpc() if grpc else Service()).serving() as service:
        yield service


# --- bizspan around them ----------------------------------------------------------------------------------------------


@contextmanager
def configured(*hosts: str, vocabulary: Vocabulary = SHOP) -> Generator[None]:
    """bizspan, with facts in force, some of them declared to travel."""
    with (
        bizspan.configure(export="none", hash_key=HASH_KEY, vocabulary=vocabulary, baggage_hosts=hosts),
        bizspan.context(segment="big & loyal", tier="gold", margin="0.4", country="DE", order="o-1"),
    ):
        yield


@contextmanager
def opentelemetrys(**entries: str) -> Generator[None]:
    """Baggage of OpenTelemetry's own."""
    context = otel.get_current()
    for key, value in entries.items():
        context = otel_baggage.set_baggage(key, value, context)
    token = otel.attach(context)
    try:
        yield
    finally:
        otel.detach(token)
