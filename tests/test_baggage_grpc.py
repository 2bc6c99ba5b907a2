"""Facts that leave with gRPC calls: real channels and servers, with OpenTelemetry's instrumentation and without."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from opentelemetry.instrumentation import grpc as instrumentation
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON

from bizspan._hosts import Hosts
from bizspan.integrations._clients import hosts_of
from tests.far_services import KINDS, OURS, Rpc, configured, opentelemetrys, running


@pytest.fixture
def rpc() -> Iterator[Rpc]:
    """A gRPC service."""
    yield from running(grpc=True)


@contextmanager
def grpc_instrumented(sampled: bool) -> Generator[None]:
    """OpenTelemetry's instrumentation of both kinds of channels."""
    provider = TracerProvider(sampler=ALWAYS_ON if sampled else ALWAYS_OFF, shutdown_on_exit=False)
    kinds: Any = instrumentation
    instrumentors: list[Any] = [kinds.GrpcInstrumentorClient(), kinds.GrpcAioInstrumentorClient()]
    for each in instrumentors:
        each.instrument(tracer_provider=provider)
    try:
        yield
    finally:
        for each in instrumentors:
            each.uninstrument()


@pytest.mark.parametrize("sampled", [True, False], ids=["sampled", "unsampled"])
@pytest.mark.parametrize("first", ["bizspan", "opentelemetry"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_grpc_carries_them_in_the_metadata(rpc: Rpc, kind: str, first: str, sampled: bool, is_async: bool) -> None:
    """
    Every kind of call, beside OpenTelemetry's baggage, in either order of set-up; to another host that alone.
    """
    call: Any = rpc.call_async if is_async else rpc.call

    def calls() -> None:
        call(f"localhost:{rpc.port}", kind)
        call(f"127.0.0.1:{rpc.port}", kind)

    with opentelemetrys(zone="7"):
        if first == "bizspan":
            with configured("localhost"), grpc_instrumented(sampled):
                calls()
        else:
            with grpc_instrumented(sampled), configured("localhost"):
                calls()

    assert [["zone=7", *OURS], ["zone=7"]] == [",".join(each).split(",") for each in rpc.baggage]
    assert [1, 1] == [len(each) for each in rpc.baggage]


@pytest.mark.parametrize("how", ["call", "with_call", "future"])
def test_grpc_in_each_way_of_calling(rpc: Rpc, how: str) -> None:
    """
    Without OpenTelemetry, beside metadata of the application's own.
    """
    with configured("localhost"):
        rpc.call(f"dns:///localhost:{rpc.port}", "unary_unary", (("baggage", "a=1"), ("x-shop", "1")), how=how)

    assert [[",".join(["a=1", *OURS])]] == rpc.baggage


@pytest.mark.parametrize(
    ("target", "hosts"),
    [
        ("api.shop.internal:50051", ["api.shop.internal"]),
        ("api.shop.internal", ["api.shop.internal"]),
        (b"dns:api.shop.internal:1", ["api.shop.internal"]),
        ("dns:///api.shop.internal", ["api.shop.internal"]),
        ("dns://8.8.8.8:53/api.shop.internal:443", ["api.shop.internal"]),
        ("ipv4:10.0.0.7:1,10.0.0.8", ["10.0.0.7", "10.0.0.8"]),
        ("ipv6:[::1]:1", ["[::1]"]),
        ("[::1]:50051", ["[::1]"]),
    ],
)
def test_the_hosts_of_a_grpc_target(target: Any, hosts: list[str]) -> None:
    """
    As gRPC's naming has them.
    """
    assert hosts == hosts_of(target)


@pytest.mark.parametrize(
    "target", ["unix:/run/shop.sock", "unix:///run/x", "xds:///shop", "vsock:1:2", "dns:///", "", "passthrough:///x"]
)
def test_a_grpc_target_without_a_host_gets_nothing(target: str) -> None:
    """
    A socket, or a name that somebody else resolves.
    """
    assert all(host not in Hosts(["shop", "x", "run", "*.internal"]) for host in hosts_of(target))
