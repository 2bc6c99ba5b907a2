"""Facts that leave with HTTP requests: real clients and servers, with OpenTelemetry's instrumentation and without."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Final

import pytest
import requests
import urllib3
from opentelemetry.instrumentation import httpx as httpx_instrumentation
from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.instrumentation.urllib3 import URLLib3Instrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON

import bizspan
from bizspan import _guard
from bizspan.configure import configure_by_file
from tests.far_services import (
    ALLOWED,
    ALSO,
    CLIENTS,
    OTHER,
    OURS,
    SHOP,
    Call,
    Service,
    configured,
    every_name_is_here,
    opentelemetrys,
    running,
)
from tests.providers import HASH_KEY

# Older versions do not know httpx2.
_HTTPX2: Final[Any] = getattr(httpx_instrumentation, "HTTPX2ClientInstrumentor", None)
INSTRUMENTORS: Final[dict[str, Any]] = {
    "requests": RequestsInstrumentor,
    "urllib3": URLLib3Instrumentor,
    "httpx": httpx_instrumentation.HTTPXClientInstrumentor,
    "httpx async": httpx_instrumentation.HTTPXClientInstrumentor,
    "httpx2": _HTTPX2,
    "httpx2 async": _HTTPX2,
    "aiohttp": AioHttpClientInstrumentor,
}


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """An HTTP service, reached by any name."""
    every_name_is_here(monkeypatch)
    yield from running()


@contextmanager
def instrumented(kind: str, *, sampled: bool) -> Generator[None]:
    """OpenTelemetry's instrumentation of one client."""
    provider = TracerProvider(sampler=ALWAYS_ON if sampled else ALWAYS_OFF, shutdown_on_exit=False)
    if INSTRUMENTORS[kind] is None:
        pytest.skip("OpenTelemetry has no instrumentation of it")
    instrumentor = INSTRUMENTORS[kind]()
    instrumentor.instrument(tracer_provider=provider)
    try:
        yield
    finally:
        instrumentor.uninstrument()


@pytest.mark.parametrize("sampled", [True, False], ids=["sampled", "unsampled"])
@pytest.mark.parametrize("first", ["bizspan", "opentelemetry"])
@pytest.mark.parametrize("kind", CLIENTS)
def test_declared_facts_travel_to_an_allowed_host_in_the_one_header(
    service: Service, kind: str, first: str, sampled: bool
) -> None:
    """
    Beside OpenTelemetry's own baggage, in either order of set-up, sampled or not; to any other host that alone.
    """
    call, around = CLIENTS[kind], instrumented(kind, sampled=sampled)
    with opentelemetrys(zone="7"):
        if first == "bizspan":
            with configured(ALLOWED), around:
                call(service.url(ALLOWED), {})
                call(service.url(OTHER), {})
        else:
            with around, configured(ALLOWED):
                call(service.url(ALLOWED), {})
                call(service.url(OTHER), {})

    assert [*OURS, "zone=7"] == service.members(0)
    assert ["zone=7"] == service.members(1)


@pytest.mark.parametrize("kind", CLIENTS)
def test_without_opentelemetry_they_travel_as_well(service: Service, kind: str) -> None:
    """
    Beside a header of the application's own, and alone.
    """
    with configured("*.shop.internal"):
        CLIENTS[kind](service.url(ALLOWED), {})
        CLIENTS[kind](service.url(ALLOWED), {"Baggage": "a=1"})

    assert [OURS, ["a=1", *OURS]] == [service.members(0), service.members(1)]


@pytest.mark.parametrize("kind", CLIENTS)
@pytest.mark.parametrize("with_opentelemetry", [True, False])
def test_a_redirect_to_another_host_does_not_carry_them(service: Service, kind: str, with_opentelemetry: bool) -> None:
    """
    One to an allowed host does; each hop is looked at by itself.
    """
    with configured("*.shop.internal"):
        if with_opentelemetry:
            with instrumented(kind, sampled=True):
                _redirected(service, CLIENTS[kind])
        else:
            _redirected(service, CLIENTS[kind])

    assert [ALLOWED, OTHER, ALLOWED, ALSO, OTHER, ALLOWED] == service.hosts
    assert [OURS, [], OURS, OURS, [], OURS] == [service.members(at) for at in range(6)]


def _redirected(service: Service, call: Call) -> None:
    call(service.url(ALLOWED, f"/to?url={service.url(OTHER)}"), {})
    call(service.url(ALLOWED, f"/to?url={service.url(ALSO)}"), {})
    call(service.url(OTHER, f"/to?url={service.url(ALLOWED)}"), {})


@pytest.mark.parametrize("kind", CLIENTS)
@pytest.mark.parametrize(
    ("url", "travels"),
    [
        ("http://API.Shop.Internal:{port}/", True),
        ("http://api.shop.internal.:{port}/", True),
        ("http://jane:secret@api.shop.internal:{port}/", True),
        ("http://api.shop.internal@tracker.example:{port}/", False),
        ("http://api.shop.internal%40tracker.example:{port}/", False),
        ("http://tracker.example:{port}/api.shop.internal?api.shop.internal#api.shop.internal", False),
        ("http://api.shop.internal.tracker.example:{port}/", False),
        ("http://tracker.example:{port}\\@api.shop.internal/", False),
        ("http://127.0.0.1:{port}/", False),
        ("http://bücher.shop.example:{port}/", False),
    ],
)
def test_the_host_is_the_one_that_is_called(service: Service, kind: str, url: str, travels: bool) -> None:
    """
    In any case, with the root's dot, behind credentials; not what only looks like it in a URL.
    """
    with configured(ALLOWED):
        try:
            CLIENTS[kind](url.format(port=service.port), {})
        except Exception:
            assert not travels  # a client may refuse such a URL

    assert [OURS] * travels == [service.members(at) for at in range(len(service.baggage)) if service.baggage[at]]


@pytest.mark.parametrize("kind", CLIENTS)
def test_another_script_is_allowed_by_what_goes_on_the_wire(service: Service, kind: str) -> None:
    """
    As ``xn--``, which every one of them makes of it.
    """
    with configured("xn--bcher-kva.example"):
        CLIENTS[kind](service.url("bücher.example"), {})

    assert OURS == service.members()


@pytest.mark.parametrize("kind", CLIENTS)
def test_off_is_off(service: Service, kind: str) -> None:
    """
    Without hosts nothing is done, whatever is declared; nor after the shutdown.
    """
    with configured(ALLOWED):
        pass
    with (
        bizspan.configure(export="none", hash_key=HASH_KEY, vocabulary=SHOP),
        bizspan.context(tier="gold"),
        instrumented(kind, sampled=True),
        opentelemetrys(**{"shop.tier": "theirs"}),
    ):
        CLIENTS[kind](service.url(ALLOWED), {})

    assert ["shop.tier=theirs"] == service.members()


@pytest.mark.parametrize("kind", CLIENTS)
def test_a_declared_fact_that_came_in_as_somebody_elses_baggage_is_not_passed_on(service: Service, kind: str) -> None:
    """
    To no host that is not allowed; and an allowed one gets what is in force here.
    """
    with (
        instrumented(kind, sampled=False),
        opentelemetrys(**{"shop.tier": "spoofed-canary", "zone": "7"}),
    ):
        with configured():
            CLIENTS[kind](service.url(OTHER), {})
        with configured(ALLOWED):
            CLIENTS[kind](service.url(ALLOWED), {})

    assert [["zone=7"], [*OURS, "zone=7"]] == [service.members(0), service.members(1)]


def test_a_personal_fact_travels_as_its_hash(service: Service) -> None:
    """
    The key's id and the hash; the value itself is on no wire.
    """
    with configured(ALLOWED), bizspan.context(customer="ann@example.org"):
        requests.get(service.url(ALLOWED), timeout=5)

    (customer,) = [member for member in service.members() if member.startswith("enduser.pseudo.id=")]
    assert customer.startswith("enduser.pseudo.id=k1%3A")
    assert len("enduser.pseudo.id=k1%3A") + 64 == len(customer)


def test_through_a_proxy_it_is_the_destination_that_counts(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A plain request that a proxy forwards goes to the host in its URL.
    """
    with configured(ALLOWED), urllib3.ProxyManager(service.url("proxy.example")) as proxy:
        proxy.request("GET", service.url(ALLOWED))
        proxy.request("GET", service.url(OTHER))
    with configured("proxy.example"), urllib3.ProxyManager(service.url("proxy.example")) as proxy:
        proxy.request("GET", service.url(OTHER))

    assert [OURS, [], []] == [service.members(at) for at in range(3)]


def test_an_absolute_url_on_a_connection_to_elsewhere_does_not_carry_them(service: Service) -> None:
    """
    Without a proxy, a request goes where its connection goes.
    """
    with configured(ALLOWED), urllib3.HTTPConnectionPool(OTHER, service.port) as pool:
        pool.urlopen("GET", service.url(ALLOWED), assert_same_host=False)

    assert [] == service.members()


@pytest.mark.parametrize("kind", CLIENTS)
def test_an_error_of_ours_does_not_reach_the_request(
    service: Service, kind: str, production_guard: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    It is sent as it is.
    """
    from bizspan import _baggage

    def broken(*_: object) -> list[str]:
        raise RuntimeError

    monkeypatch.setattr(_baggage, "_members", broken)
    with configured(ALLOWED):
        CLIENTS[kind](service.url(ALLOWED), {"Baggage": "a=1"})

    assert ["a=1"] == service.members()


def test_headers_that_the_application_keeps_stay_as_they_are(service: Service) -> None:
    """
    A session's own headers, and those of a prepared request, say nothing of ours afterwards.
    """
    with configured(ALLOWED), requests.Session() as session:
        session.headers["x-shop"] = "1"
        prepared = session.prepare_request(requests.Request("GET", service.url(ALLOWED)))
        session.send(prepared)

    assert OURS == service.members()
    assert not [name for name in (*session.headers, *prepared.headers) if name.lower() == "baggage"]


# --- set-up -----------------------------------------------------------------------------------------------------------


LATE: Final = """
import sys
import bizspan

vocabulary = bizspan.Vocabulary("shop", [bizspan.Attribute(name="tier", propagate=True)])
bizspan.configure(export="none", vocabulary=vocabulary, baggage_hosts=["127.0.0.1"])
assert not {"urllib3", "httpcore", "aiohttp", "grpc"} & set(sys.modules)

from tests.far_services import CLIENTS, Rpc, Service

with Service().serving() as service, bizspan.context(tier="gold"):
    for call in CLIENTS.values():
        call(service.url("127.0.0.1"), {})
with Rpc().serving() as rpc, bizspan.context(tier="gold"):
    rpc.call(f"127.0.0.1:{rpc.port}", "unary_unary")
    rpc.call_async(f"127.0.0.1:{rpc.port}", "unary_unary")
assert [["shop.tier=gold"]] * 9 == [*service.baggage, *rpc.baggage], (service.baggage, rpc.baggage)
"""


def test_clients_that_are_imported_after_configure_carry_them() -> None:
    """
    And `configure()` imports none of them.
    """
    ran = subprocess.run([sys.executable, "-c", LATE], capture_output=True, text=True, check=False, timeout=60)

    assert (0, "") == (ran.returncode, ran.stderr)


def test_a_client_of_no_known_version_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    """
    Its import goes on, and it is said.
    """
    from bizspan.integrations import _clients

    _guard.forget_said()
    _clients._imported(ModuleType("httpcore"), stand_in=_clients._CLIENTS["httpcore"])

    assert ["bizspan: httpcore is of no known version; no facts travel with it."] == caplog.messages


def test_the_applications_own_call_wins_over_the_files(service: Service) -> None:
    """
    In the hosts, and in switching it off again.
    """
    with configure_by_file({"export": "none", "vocabulary": SHOP, "baggage_hosts": ("tracker.example",)}) as by_file:
        bizspan.configure(baggage_hosts=[ALLOWED])
        with bizspan.context(tier="gold"):
            requests.get(service.url(ALLOWED), timeout=5)
            requests.get(service.url(OTHER), timeout=5)
        assert by_file.is_active

    assert [["shop.tier=gold"], []] == [service.members(0), service.members(1)]
