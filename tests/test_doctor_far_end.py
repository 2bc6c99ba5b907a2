"""`bizspan doctor` asks the far end: real exporters, and servers that take a canary or never answer."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from _collector import Receiver, Rotel
from bizspan.doctor import Request, examine
from bizspan.doctor._outcome import CANARY
from tests.child import environment
from tests.doctor_server import GRPC, Answer, assert_all_red, doctor, endpoints, serving

pytestmark = pytest.mark.server


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_canary_of_each_signal_arrives(protocol: str) -> None:
    """
    A healthy receiver gets one event, one span and one metric point, under the configured service, marked as a test.
    """
    with Receiver(grpc=True) as receiver:
        endpoint = receiver.grpc_endpoint if protocol == "grpc" else receiver.http_endpoint
        report = doctor(
            endpoint,
            OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
            OTEL_SERVICE_NAME="shop",
            OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test",
            OTEL_TRACES_SAMPLER="always_off",
        )

        assert (["green"] * 3, 0) == ([found.level for found in endpoints(report)], report.exit_code)
        (event,) = receiver.events()
        (span,) = receiver.spans()
        (point,) = receiver.points()
        assert (CANARY, CANARY, CANARY) == (event["event_name"], span["name"], point["metric"])
        for one in (event, span, point):
            assert "test" == one["attributes"]["business.traffic"]
            assert "shop" == one["origin"].resource["service.name"]
            assert "test" == one["origin"].resource["deployment.environment.name"]


@pytest.mark.skipif(not Rotel.available(), reason=f"no native collector to test with: {Rotel.why_not()}")
@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_real_collector_takes_the_canary(protocol: str) -> None:
    """
    What a native collector took, it hands on.
    """
    with Receiver() as receiver, Rotel(receiver.http_endpoint) as rotel:
        endpoint = rotel.grpc_endpoint if protocol == "grpc" else rotel.http_endpoint
        report = doctor(endpoint, OTEL_EXPORTER_OTLP_PROTOCOL=protocol)

        assert ["green"] * 3 == [found.level for found in endpoints(report)]
        assert receiver.wait_for(lambda r: bool(r.events(CANARY) and r.spans(CANARY) and r.points(CANARY)))


def test_each_signal_is_asked_at_its_own_endpoint() -> None:
    """
    A signal with an endpoint of its own is judged by that one.
    """
    with Receiver() as good, serving(Answer(404)) as bad:
        report = doctor(good.http_endpoint, OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=f"{bad}/v1/logs")

        assert ["green", "green", "red"] == [found.level for found in endpoints(report)]
        assert [] == good.events()


def test_a_signal_that_goes_nowhere_is_not_asked() -> None:
    """
    With the exporter none there is no endpoint to check.
    """
    with Receiver() as receiver:
        report = doctor(receiver.http_endpoint, OTEL_TRACES_EXPORTER="none", OTEL_METRICS_EXPORTER="console")

        checks = {found.check: found.level for found in report.findings}
        assert {"exporter.traces": "yellow", "exporter.metrics": "yellow", "endpoint.logs": "green"}.items() <= (
            checks.items()
        )
        assert not {"endpoint.traces", "endpoint.metrics"} & {*checks}
        assert {"logs"} == {request.signal for request in receiver.requests()}


def test_no_canary_sends_nothing() -> None:
    """
    Without a canary nothing is sent, and the report says that it was not tried.
    """
    with Receiver() as receiver:
        variables = environment(receiver)
        report = examine(Request(variables, canary=False))

        assert ["yellow"] * 3 == [found.level for found in endpoints(report)]
        assert [] == receiver.requests()


@pytest.fixture
def closed_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        yield int(listening.getsockname()[1])


@pytest.mark.parametrize("variables", [{}, GRPC], ids=["http", "grpc"])
def test_a_closed_port_is_named(variables: dict[str, str], closed_port: int) -> None:
    """
    Refused connections are told apart from everything else.
    """
    report = doctor(f"http://127.0.0.1:{closed_port}", **variables)

    assert_all_red(report, f"127.0.0.1:{closed_port} refuses connections", "start the collector")


@pytest.mark.parametrize("variables", [{}, GRPC], ids=["http", "grpc"])
def test_an_unknown_name_is_named(variables: dict[str, str]) -> None:
    """
    A host that DNS does not know is named.
    """
    report = doctor("http://collector.invalid:4318", **variables)

    assert_all_red(report, "collector.invalid is not known (DNS)", "export OTEL_EXPORTER_OTLP_ENDPOINT=")


@pytest.mark.parametrize("variables", [{}, GRPC], ids=["http", "grpc"])
def test_a_black_hole_ends_in_time(variables: dict[str, str], silent_port: int) -> None:
    """
    A server that answers nothing is red after the time-out, also with a longer one in the environment.
    """
    began = time.monotonic()
    report = doctor(
        f"http://127.0.0.1:{silent_port}", 1.0, OTEL_EXPORTER_OTLP_TIMEOUT="60",
        OTEL_EXPORTER_OTLP_LOGS_TIMEOUT="60", **variables,
    )  # fmt: skip

    assert time.monotonic() - began < 20
    assert_all_red(report, "answers nothing within 1 s", "export OTEL_EXPORTER_OTLP_ENDPOINT=")


def test_an_answer_that_never_ends_is_ended() -> None:
    """
    A body that stops halfway does not hold the doctor.
    """
    with serving(Answer(200, b"\x0a", length=1000)) as endpoint:
        report = doctor(endpoint, 1.0)

    assert_all_red(report, "never came to an end", "proxy")


def test_a_grpc_port_is_recognised_over_http() -> None:
    """
    HTTP/protobuf against a gRPC port says so.
    """
    with Receiver(grpc=True) as receiver:
        report = doctor(receiver.grpc_endpoint)

    assert_all_red(report, "is a gRPC port", "export OTEL_EXPORTER_OTLP_PROTOCOL=grpc")


def test_an_http_port_is_recognised_over_grpc() -> None:
    """
    gRPC against an HTTP port says so.
    """
    with Receiver() as receiver:
        report = doctor(receiver.http_endpoint, **GRPC)

    assert_all_red(report, "speaks HTTP/1", "export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf")


def test_a_grpc_server_that_is_overloaded_is_told_apart() -> None:
    """
    UNAVAILABLE from a server that speaks gRPC is no wrong port.
    """
    with Receiver(grpc=True, behaviour="unavailable") as receiver:
        report = doctor(receiver.grpc_endpoint, **GRPC)

    assert_all_red(report, "answered UNAVAILABLE", "log")


def test_a_proxy_that_catches_the_endpoint_is_named(closed_port: int) -> None:
    """
    A proxy of the environment is yellow and its password is left out; with NO_PROXY the way is free.
    """
    proxy = f"http://me:proxy-pass@127.0.0.1:{closed_port}"
    with Receiver() as receiver:
        caught = doctor(receiver.http_endpoint, HTTP_PROXY=proxy, NO_PROXY="")
        free = doctor(receiver.http_endpoint, HTTP_PROXY=proxy, NO_PROXY="127.0.0.1")

    (said,) = [found for found in caught.findings if found.check == "proxy"]
    assert ("yellow", "export NO_PROXY=127.0.0.1") == (said.level, said.next_step)
    assert "proxy-pass" not in caught.as_json()
    assert ["red"] * 3 == [found.level for found in endpoints(caught)]
    assert ["green"] * 3 == [found.level for found in endpoints(free)]


def test_a_grpc_server_without_otlp_is_told_apart() -> None:
    """
    gRPC that has no receiver for a signal answers UNIMPLEMENTED.
    """
    grpc: Any = pytest.importorskip("grpc")
    with ThreadPoolExecutor(1) as pool:
        server = grpc.server(pool)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            report = doctor(f"http://127.0.0.1:{port}", **GRPC)
        finally:
            server.stop(None).wait()

    assert_all_red(report, "has no receiver for", "pipeline")
