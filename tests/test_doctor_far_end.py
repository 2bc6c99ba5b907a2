"""`bizspan doctor` asks the far end: real exporters, real servers, and each answer explained."""

from __future__ import annotations

import datetime
import socket
import ssl
import threading
import time
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pytest

from _collector import Receiver, Rotel
from bizspan.doctor import Finding, Report, Request, examine
from bizspan.doctor._answers import explain
from bizspan.doctor._outcome import CANARY, Outcome
from bizspan.doctor._settings import Target, targets
from tests.certificates import certificate, needs_openssl
from tests.child import environment

pytestmark = pytest.mark.server

SIGNALS: Final = ("traces", "metrics", "logs")
PROTOBUF: Final = "application/x-protobuf"
GRPC: Final = {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
# protobuf: field 1 (partial_success) { field 1: rejected, field 2: message }
PARTIAL: Final = b"\x0a\x0d\x08\x01\x12\x09secret-42"
WARNED: Final = b"\x0a\x0b\x12\x09deprecate"


@dataclass(frozen=True, slots=True)
class Answer:
    """How the server answers every request; `None` as status never answers."""

    status: int = 200
    body: bytes = b""
    content_type: str = PROTOBUF
    headers: tuple[tuple[str, str], ...] = ()
    length: int | None = None


class Handler(BaseHTTPRequestHandler):
    """Answers as the server was told."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass

    def send_response(self, code: int, message: str | None = None) -> None:
        # Without its own Date where a test has one.
        if any(name == "Date" for name, _ in self.answer.headers):
            self.send_response_only(code, message)
        else:
            super().send_response(code, message)

    @property
    def answer(self) -> Answer:
        answer: Answer = getattr(self.server, "answer")  # noqa: B009 - the base class does not know it
        return answer

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        answer = self.answer
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body) if answer.length is None else answer.length))
        for name, value in answer.headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)
        if answer.length is not None:
            self.wfile.flush()
            getattr(self.server, "over").wait(30)  # noqa: B009


def say_nothing(request: object, address: object) -> None:
    """The base class would print a traceback."""


@contextmanager
def serving(answer: Answer, tls: ssl.SSLContext | None = None) -> Generator[str]:
    """A server on a free port, and its base URL."""
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = False
    server.answer, server.over = answer, threading.Event()
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        server.handle_error = say_nothing  # a client that does not trust us hangs up
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_port}"
    finally:
        server.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


def doctor(endpoint: str | None, timeout_s: float = 5.0, /, **variables: str) -> Report:
    """The report about this endpoint."""
    if endpoint is not None:
        variables["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoint
    told = environment(None, **variables)
    for bundle in {"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"} - {*variables}:
        told.pop(bundle, None)
    return examine(Request(told, timeout_s=timeout_s))


def endpoints(report: Report) -> list[Finding]:
    """What it says about the endpoints, one for each signal."""
    found = [each for each in report.findings if each.check in {f"endpoint.{signal}" for signal in SIGNALS}]
    assert [f"endpoint.{signal}" for signal in SIGNALS] == [each.check for each in found]
    return found


def assert_all_red(report: Report, said: str, step: str) -> None:
    """Every endpoint is red for this reason, and the next step is this one."""
    for found in endpoints(report):
        assert ("red", True, True) == (found.level, said in found.text, step in found.next_step), found


# --- it works -----------------------------------------------------------------------------------------------------


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


# --- what a server may answer -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "said", "step"),
    [
        (
            Answer(301, headers=(("Location", "http://elsewhere/v1/logs"),)),
            "redirect to http://elsewhere",
            "export OTEL",
        ),
        (
            Answer(302, headers=(("Location", "https://me:pw-9@login/x?token=tk-9"),)),
            "redirect to https://***@login",
            "",
        ),
        (Answer(400), "does not understand", "export OTEL_EXPORTER_OTLP_ENDPOINT="),
        (Answer(401), "wants credentials", "export OTEL_EXPORTER_OTLP_HEADERS="),
        (Answer(403), "may not send", "OTEL_EXPORTER_OTLP_HEADERS"),
        (Answer(404), "nothing takes OTLP", "export OTEL_EXPORTER_OTLP_ENDPOINT="),
        (Answer(405, b"<html>", "text/html"), "no POST", "export OTEL_EXPORTER_OTLP_ENDPOINT="),
        (Answer(407), "proxy", "export NO_PROXY="),
        (Answer(413), "too large", "_MAX_EXPORT_BATCH_SIZE"),
        (Answer(415), "protobuf", "receiver"),
        (Answer(426), "another protocol", "export OTEL_EXPORTER_OTLP_PROTOCOL=grpc"),
        (Answer(429, headers=(("Retry-After", "7"),)), "Retry-After 7", "wait"),
        (Answer(500), "failed", "log"),
        (Answer(503), "down or overloaded", "log"),
        (Answer(200, b"<html>hi", "text/html; charset=utf-8"), "a web page", "export OTEL_EXPORTER_OTLP_ENDPOINT="),
        (Answer(200, b"ok", "text/plain"), "text/plain", "export OTEL_EXPORTER_OTLP_ENDPOINT="),
        (Answer(200, b"\xff\xff\xff", PROTOBUF), "no OTLP receiver", "export OTEL_EXPORTER_OTLP_ENDPOINT="),
        (Answer(200, PARTIAL), "left the canary", "log"),
        (Answer(200, b'{"partialSuccess": {"rejectedSpans": "2"}}', "application/json"), "left the canary", "log"),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Answer) else "",
)
def test_a_bad_answer_is_explained(answer: Answer, said: str, step: str) -> None:
    """
    Each answer that loses data is red, in words, with the next step; what stock exporters take for success as well.
    """
    with serving(answer) as endpoint:
        report = doctor(endpoint)

    assert_all_red(report, said, step)
    assert 1 == report.exit_code
    assert not {"pw-9", "tk-9"} & {word for word in ("pw-9", "tk-9") if word in report.as_json()}


@pytest.mark.parametrize(
    "answer",
    [Answer(), Answer(202), Answer(204), Answer(200, b"{}", "application/json"), Answer(200, b"", "text/plain")],
    ids=["empty", "202", "204", "json", "empty text"],
)
def test_a_good_answer_is_green(answer: Answer) -> None:
    """
    An empty answer, and one in protobuf or JSON that rejects nothing, is a delivery.
    """
    with serving(answer) as endpoint:
        assert ["green"] * 3 == [found.level for found in endpoints(doctor(endpoint))]


def test_a_warning_of_the_server_is_yellow() -> None:
    """
    A partial success that rejects nothing and says something is passed on.
    """
    with serving(Answer(200, WARNED)) as endpoint:
        found = endpoints(doctor(endpoint))

    assert [("yellow", True)] * 3 == [(each.level, "deprecate" in each.text) for each in found]


def test_secrets_are_never_printed() -> None:
    """
    Neither a header's value, which the server repeats, nor a password in a URL gets into the report; names do.
    """
    with serving(Answer(200, PARTIAL)) as endpoint:
        told = doctor(endpoint, OTEL_EXPORTER_OTLP_HEADERS="x-api-key=secret-42,authorization=Bearer%20abc-token")
        refused = doctor("http://shopkeeper:pass-word@127.0.0.1:4318/?k=v-secret")

    for report in (told, refused):
        for text in (report.as_json(), report.as_text(colour=False)):
            for secret in ("secret-42", "abc-token", "pass-word", "v-secret", "k" * 32):
                assert secret not in text
    assert "x-api-key, authorization" in told.as_text(colour=False)
    assert_all_red(refused, "a user or a password", "OTEL_EXPORTER_OTLP_HEADERS")


def test_a_clock_that_is_off_is_yellow() -> None:
    """
    A server whose Date is ten minutes ahead is named, one in step is green.
    """
    ahead = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=10)
    with serving(Answer(headers=(("Date", format_datetime(ahead, usegmt=True)),))) as endpoint:
        off = doctor(endpoint)
    with serving(Answer()) as endpoint:
        right = doctor(endpoint)

    assert ["yellow"] == [found.level for found in off.findings if found.check == "clock" and "behind" in found.text]
    assert ["green"] == [found.level for found in right.findings if found.check == "clock"]


# --- no answer ----------------------------------------------------------------------------------------------------


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


# --- TLS ----------------------------------------------------------------------------------------------------------


@needs_openssl
def test_a_self_signed_certificate_is_named_and_can_be_trusted(tmp_path: Path) -> None:
    """
    Self-signed is red with the variable that names the authority; with that variable it is green.
    """
    pem, context = certificate(tmp_path, "127.0.0.1")
    with serving(Answer(), context) as endpoint:
        report = doctor(endpoint)
        trusted = doctor(endpoint, OTEL_EXPORTER_OTLP_CERTIFICATE=str(pem))

    assert_all_red(report, "self-signed", "export OTEL_EXPORTER_OTLP_CERTIFICATE=")
    assert ["green"] * 3 == [found.level for found in endpoints(trusted)]


@needs_openssl
def test_a_bundle_of_requests_that_hides_the_certificate_is_named(tmp_path: Path) -> None:
    """
    REQUESTS_CA_BUNDLE wins over OpenTelemetry's variable, so the right certificate does not help; the doctor says so.
    """
    (tmp_path / "other").mkdir()
    other, _ = certificate(tmp_path / "other", "other.example")
    pem, context = certificate(tmp_path, "127.0.0.1")
    with serving(Answer(), context) as endpoint:
        report = doctor(endpoint, OTEL_EXPORTER_OTLP_CERTIFICATE=str(pem), REQUESTS_CA_BUNDLE=str(other))

    assert ["yellow"] == [found.level for found in report.findings if found.check == "tls-files"]
    if "green" in {found.level for found in endpoints(report)}:
        pytest.skip("this version of the exporter prefers OpenTelemetry's own variable")
    assert_all_red(report, "self-signed", "unset that")


@needs_openssl
@pytest.mark.parametrize(
    ("name", "expired", "said"),
    [("127.0.0.1", True, "has expired"), ("other.example", False, "is for another name")],
    ids=["expired", "another name"],
)
def test_a_certificate_that_is_wrong_is_named(name: str, expired: bool, said: str, tmp_path: Path) -> None:
    """
    Expired, and for another name: each is told, although the authority is trusted.
    """
    pem, context = certificate(tmp_path, name, expired=expired)
    with serving(Answer(), context) as endpoint:
        report = doctor(endpoint, OTEL_EXPORTER_OTLP_CERTIFICATE=str(pem))

    assert_all_red(report, said, "certificate" if expired else "export OTEL_EXPORTER_OTLP_ENDPOINT=https://")


@needs_openssl
def test_a_self_signed_certificate_is_named_over_grpc(tmp_path: Path) -> None:
    """
    gRPC's own word for it is UNAVAILABLE; the doctor says what is wrong.
    """
    _, context = certificate(tmp_path, "127.0.0.1")
    with serving(Answer(), context) as endpoint:
        report = doctor(endpoint, **GRPC)

    assert_all_red(report, "self-signed", "export OTEL_EXPORTER_OTLP_CERTIFICATE=")


@needs_openssl
def test_plain_text_at_a_port_for_tls_is_named(tmp_path: Path) -> None:
    """
    http:// against a TLS port says https://.
    """
    _, context = certificate(tmp_path, "127.0.0.1")
    with serving(Answer(), context) as endpoint:
        report = doctor(endpoint.replace("https://", "http://"))

    for found in endpoints(report):
        assert "red" == found.level
        assert "TLS" in found.text or "hangs up" in found.text


def test_tls_at_a_plain_port_is_named() -> None:
    """
    https:// against a port without TLS says http://.
    """
    with Receiver() as receiver:
        report = doctor(receiver.http_endpoint.replace("http://", "https://"))

        assert_all_red(report, "does not speak TLS", f"export OTEL_EXPORTER_OTLP_ENDPOINT={receiver.http_endpoint}")


def test_a_certificate_file_that_is_missing_is_named(tmp_path: Path) -> None:
    """
    The variable of the missing file is told.
    """
    report = doctor("https://127.0.0.1:9", OTEL_EXPORTER_OTLP_CERTIFICATE=str(tmp_path / "none.pem"))

    (found,) = [each for each in report.findings if each.check == "tls-files"]
    assert ("red", True) == (found.level, "OTEL_EXPORTER_OTLP_CERTIFICATE" in found.text)


# --- answers that a small server cannot give ----------------------------------------------------------------------


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


HTTP_LOGS: Final = targets({"OTEL_EXPORTER_OTLP_HEADERS": "api-key=hush"})[-1]
GRPC_LOGS: Final = targets({**GRPC, "OTEL_EXPORTER_OTLP_HEADERS": "api-key=hush"})[-1]


@pytest.mark.parametrize(
    ("target", "outcome", "said", "step"),
    [
        (GRPC_LOGS, {"grpc_code": "UNAUTHENTICATED"}, "wants credentials; the headers sent were api-key", "HEADERS="),
        (GRPC_LOGS, {"grpc_code": "PERMISSION_DENIED"}, "may not send logs", "a token that may write"),
        (GRPC_LOGS, {"grpc_code": "RESOURCE_EXHAUSTED"}, "no more for now", "quota"),
        (GRPC_LOGS, {"grpc_code": "NOT_FOUND"}, "answered NOT_FOUND", "log"),
        (GRPC_LOGS, {"grpc_code": "OK", "rejected": 1}, "left the canary event out", "log"),
        (GRPC_LOGS, {"grpc_code": "UNKNOWN", "stage": "answer", "problem": "http2"}, "(UNKNOWN)", "log"),
        (HTTP_LOGS, {"setup_error": "X has no scheme; do Y."}, "X has no scheme; do Y.", "export OTEL_EXPORTER"),
        (HTTP_LOGS, {"not_made": "OSError"}, "refuses its settings (OSError)", "certificate files"),
        (HTTP_LOGS, {"status": 418}, "answered 418: it refuses", "log"),
        (HTTP_LOGS, {"status": 200, "accepted": False}, "counts it as failed", "log"),
        (HTTP_LOGS, {"status": 308}, "somewhere else", "export OTEL_EXPORTER"),
        (HTTP_LOGS, {"error": "ProxyError"}, "no answer from localhost:4318 (ProxyError)", "export NO_PROXY=localhost"),
        (HTTP_LOGS, {}, "nothing within 2 s", "again"),
        (HTTP_LOGS, {"stage": "connect", "problem": "timeout"}, "swallows connections", "firewall"),
        (HTTP_LOGS, {"stage": "connect", "problem": "unreachable"}, "not reachable", "export OTEL_EXPORTER"),
        (HTTP_LOGS, {"stage": "connect", "problem": "refused"}, "this is the default", "export OTEL_EXPORTER"),
        (HTTP_LOGS, {"stage": "tls", "problem": "not_yet_valid"}, "not valid yet", "clocks"),
        (HTTP_LOGS, {"stage": "tls", "problem": "untrusted"}, "not trusted here", "CERTIFICATE="),
        (HTTP_LOGS, {"stage": "tls", "problem": "files"}, "cannot be read", "CERTIFICATE"),
        (HTTP_LOGS, {"stage": "tls", "problem": "timeout"}, "never answers the TLS handshake", "export OTEL_EXPORTER"),
        (HTTP_LOGS, {"stage": "tls", "problem": "other"}, "handshake with localhost:4318 fails", "client certificate"),
        (HTTP_LOGS, {"stage": "answer", "problem": "tls"}, "wants TLS", "=https://localhost:4318"),
        (HTTP_LOGS, {"stage": "answer", "problem": "nothing"}, "hangs up", "log"),
        (HTTP_LOGS, {"stage": "answer", "problem": "other", "error": "X"}, "does not answer the canary (X)", "again"),
    ],
    ids=str,
)
def test_each_outcome_has_its_words(target: Target, outcome: dict[str, Any], said: str, step: str) -> None:
    """
    Whatever a canary's process may write has one red line, with a next step and without values of headers.
    """
    found = explain(target, Outcome("logs", **outcome), 2.0)

    assert ("red", True, True) == (found.level, said in found.text, step in found.next_step), found
    assert "hush" not in found.text + found.next_step
