"""`bizspan doctor`: each answer of a server explained."""

from __future__ import annotations

import datetime
from email.utils import format_datetime
from typing import Any, Final

import pytest

from bizspan.doctor._answers import explain
from bizspan.doctor._outcome import Outcome
from bizspan.doctor._settings import Target, targets
from tests.doctor_server import GRPC, PARTIAL, PROTOBUF, WARNED, Answer, assert_all_red, doctor, endpoints, serving

pytestmark = pytest.mark.server


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
