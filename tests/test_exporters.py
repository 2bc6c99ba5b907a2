"""The far end as `OTEL_*` says: endpoint, protocol and headers per signal, and a clear word for each mistake."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

import bizspan
from _collector import Receiver
from bizspan import MissingExtra, SetupError
from bizspan.sdk._exporters import PerProcess, from_environment
from tests.child import run

SIGNALS = ("traces", "metrics", "logs")
TELL = """
    import bizspan
    bizspan.configure(service_name="shop")
    with bizspan.operation("checkout", segment="gold") as op:
        op.revenue("42.00", "EUR")
"""


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """None of this machine's own settings."""
    for name in list(os.environ):
        if name.startswith("OTEL_"):
            monkeypatch.delenv(name)
    yield


def arrived(receiver: Receiver) -> tuple[int, list[float | int], int]:
    """How many spans and events came, and what revenue."""
    revenue = [point["value"] for point in receiver.last_points("business.revenue")]
    return len(receiver.spans("checkout")), revenue, len(receiver.events("business.operation"))


def test_http_is_the_default_protocol() -> None:
    """
    An endpoint is enough: all three signals go there over HTTP.
    """
    with Receiver() as receiver:
        ended = run(TELL, receiver)

        assert (0, "") == (ended.code, ended.err)
        assert (1, [42.0], 1) == arrived(receiver)
        assert {("http", signal) for signal in SIGNALS} == {(r.protocol, r.signal) for r in receiver.requests()}


def test_grpc_is_used_when_asked_for() -> None:
    """
    `OTEL_EXPORTER_OTLP_PROTOCOL=grpc` sends all three signals over gRPC.
    """
    pytest.importorskip("grpc")
    with Receiver(grpc=True) as receiver:
        endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_endpoint}
        ended = run(TELL, None, OTEL_EXPORTER_OTLP_PROTOCOL="grpc", **endpoint)

        assert 0 == ended.code
        assert (1, [42.0], 1) == arrived(receiver)
        assert {("grpc", signal) for signal in SIGNALS} == {(r.protocol, r.signal) for r in receiver.requests()}


def test_each_signal_may_have_its_own_protocol_and_endpoint() -> None:
    """
    Metrics over gRPC to one receiver, the rest over HTTP to another.
    """
    pytest.importorskip("grpc")
    with Receiver(grpc=True) as metrics, Receiver() as rest:
        ended = run(
            TELL,
            rest,
            OTEL_EXPORTER_OTLP_METRICS_PROTOCOL="grpc",
            OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=metrics.grpc_endpoint,
            OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=f"{rest.http_endpoint}/v1/logs",
        )

        assert 0 == ended.code
        assert {("grpc", "metrics")} == {(r.protocol, r.signal) for r in metrics.requests()}
        assert {("http", "traces"), ("http", "logs")} == {(r.protocol, r.signal) for r in rest.requests()}


@pytest.mark.parametrize("signal", SIGNALS)
def test_a_signal_that_is_switched_off_is_not_sent(signal: str) -> None:
    """
    `OTEL_TRACES_EXPORTER=none` and its siblings: the other two signals still leave.
    """
    with Receiver() as receiver:
        ended = run(TELL, receiver, **{f"OTEL_{signal.upper()}_EXPORTER": "none"})

        assert (0, "") == (ended.code, ended.err)
        assert {*SIGNALS} - {signal} == {request.signal for request in receiver.requests()}


def test_compression_and_headers_reach_the_wire() -> None:
    """
    gzip is used, and a header of many kinds of value is taken.
    """
    with Receiver() as receiver:
        ended = run(
            TELL,
            receiver,
            OTEL_EXPORTER_OTLP_COMPRESSION="gzip",
            OTEL_EXPORTER_OTLP_HEADERS="authorization=Basic%20abc=,x-tenant = t1 ,",
        )

        assert (0, "") == (ended.code, ended.err)
        assert {"gzip"} == {request.compression for request in receiver.requests()}


def test_metrics_may_go_to_the_console() -> None:
    """
    `OTEL_METRICS_EXPORTER=console` prints our histograms and counters as the SDK prints them.
    """
    off = {"OTEL_TRACES_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}
    ended = run(TELL, None, OTEL_METRICS_EXPORTER="console", **off)

    assert 0 == ended.code
    for name in ("business.revenue", "business.operation.duration", "business.events", "bizspan.events.offered"):
        assert f'"name": "{name}"' in ended.out


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector.example:4318", "has no scheme"),
        ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "collector.example/v1/logs", "has no scheme"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://me:s3cr3t@collector.example", "holds credentials"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=s3cr3t\nx: y", "line break"),
        ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "Bearer s3cr3t", "without '='"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "s3cr3t", "use gzip or none"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "s3cr3t", "a number above 0"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "-1", "a number above 0"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "use 'http/protobuf' or 'grpc'"),
        ("OTEL_TRACES_EXPORTER", "otlp,console", "name one"),
        ("OTEL_LOGS_EXPORTER", "jaeger", "use otlp, console or none"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/s3cr3t/nowhere.pem", ""),
    ],
)
def test_a_wrong_variable_is_refused_with_its_name_and_without_its_secret(
    variable: str, value: str, says: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """
    configure() raises before the first byte is sent, or the SDK falls back; no secret is written anywhere.
    """
    monkeypatch.setenv(variable, value)
    said = ""
    try:
        bizspan.configure().shutdown()
    except SetupError as error:
        said = str(error)
        assert variable in said

    assert says in said
    written = capfd.readouterr()
    assert "s3cr3t" not in said + written.out + written.err


@pytest.mark.parametrize("value", ["", " ", ","])
def test_empty_headers_are_no_headers(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A variable that is set to nothing is as good as unset.
    """
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", value)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", value.strip(","))
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", value.strip(","))

    exporters = from_environment()
    assert [PerProcess] * 3 == [type(exporters.spans), type(exporters.metrics), type(exporters.logs)]


def test_only_what_is_missing_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A wrong variable of a signal that the application has set up itself does no harm.
    """
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "carrier-pigeon")

    exporters = from_environment((False, True, False))
    assert (None, None) == (exporters.spans, exporters.logs)
    with pytest.raises(SetupError, match="OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"):
        from_environment()


@pytest.mark.parametrize(
    ("blocked", "variables", "extra"),
    [
        ("opentelemetry.sdk", {}, "otlp"),
        ("opentelemetry.exporter.otlp.proto.grpc", {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "grpc"),
        ("opentelemetry.exporter.otlp.proto.http", {}, "otlp"),
    ],
)
def test_a_missing_package_gives_the_pip_line(blocked: str, variables: dict[str, str], extra: str) -> None:
    """
    Without an extra, configure() says which one, and nothing stays set up.
    """
    ended = run(
        f"""
    import sys
    class Missing:
        def find_spec(self, name, path=None, target=None):
            if (name + ".").startswith("{blocked}."):
                raise ModuleNotFoundError("No module named " + repr(name), name=name)
    sys.meta_path.insert(0, Missing())
    import bizspan
    try:
        bizspan.configure()
    except bizspan.MissingExtra as error:
        print(error)
    print(bizspan.diagnostics().configured)
        """,
        None,
        **variables,
    )

    assert f'pip install "bizspan[{extra}]"' in ended.out
    assert ended.out.endswith("False\n")
    assert "" == ended.err
    assert issubclass(MissingExtra, ImportError)
