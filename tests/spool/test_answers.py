"""What a server's answer means: each row of the table, told by a real server."""

from __future__ import annotations

import gzip
import json
import time
from email.utils import formatdate

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

from bizspan.spool._answers import FIXES, Answer, Backoff, Kind, Verdict, judge, retry_after
from bizspan.spool._post import Poster
from bizspan.spool._target import Target
from tests.spool.far_end import OK, PROTOBUF, FarEnd, http

JSON = "application/json; charset=utf-8"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"2\r\n\x0a\x00\r\n0\r\n\r\n"
)
NOW = 1_800_000_000.0


def partial(rejected: int, message: str = "") -> bytes:
    """A response with partial_success, from the protobuf package."""
    response = ExportLogsServiceResponse()
    response.partial_success.rejected_log_records = rejected
    response.partial_success.error_message = message
    return response.SerializeToString()


def delivered(rejected: int = 0, warned: bool = False) -> Verdict:
    return Verdict(Kind.DELIVERED, rejected=rejected, warned=warned)


def held(reason: str, retry_after_s: float | None = None) -> Verdict:
    return Verdict(Kind.HOLD, reason=reason, retry_after_s=retry_after_s)


def split(reason: str) -> Verdict:
    return Verdict(Kind.SPLIT, reason=reason)


def in_json(count: object, **more: object) -> bytes:
    return json.dumps({"partialSuccess": {"rejectedLogRecords": count, **more}, "unknown": []}).encode()


ROWS: list[tuple[str, bytes, Verdict]] = [
    ("empty protobuf", OK, delivered()),
    ("empty, no type", http(200), delivered()),
    ("204", b"HTTP/1.1 204 No Content\r\n\r\n", delivered()),
    ("202", http(202, b"", "text/html"), delivered()),
    ("empty json", http(200, b"{}", JSON), delivered()),
    ("null partial json", http(200, b'{"partialSuccess":null}', JSON), delivered()),
    ("protobuf", http(200, partial(0) or b"\x0a\x00", PROTOBUF), delivered()),
    ("protobuf by its other name", http(200, b"\x0a\x00", "Application/Protobuf"), delivered()),
    ("chunked", CHUNKED, delivered()),
    ("rejected", http(200, partial(3, "no"), PROTOBUF), delivered(3, True)),
    ("warned", http(200, partial(0, "careful"), PROTOBUF), delivered(0, True)),
    ("negative count", http(200, partial(-3), PROTOBUF), delivered()),
    ("unknown fields", http(200, b"\x10\x05\x1d\0\0\0\0\x21\0\0\0\0\0\0\0\0" + partial(2), PROTOBUF), delivered(2)),
    ("gzipped", http(200, gzip.compress(partial(4)), PROTOBUF, Content_Encoding="gzip"), delivered(4)),
    ("json text", http(200, in_json("7", errorMessage="no"), JSON), delivered(7, True)),
    ("json number", http(200, in_json(7), JSON), delivered(7)),
    ("json float", http(200, in_json(7.0), JSON), delivered(7)),
    ("json snake", http(200, b'{"partial_success":{"rejected_log_records":"7"}}', JSON), delivered(7)),
    ("html", http(200, b"<html>Welcome</html>", "text/html"), held("not_otlp")),
    ("text", http(200, b"OK", "text/plain"), held("not_otlp")),
    ("no type", http(200, b"OK"), held("not_otlp")),
    ("broken protobuf", http(200, b"<html>", PROTOBUF), held("unreadable")),
    ("cut protobuf", http(200, partial(3, "a message")[:-4], PROTOBUF), held("unreadable")),
    ("zeros", http(200, bytes(64), PROTOBUF), held("unreadable")),
    ("broken json", http(200, b"{", JSON), held("unreadable")),
    ("json list", http(200, b"[]", JSON), held("unreadable")),
    ("json count is a list", http(200, in_json([]), JSON), held("unreadable")),
    ("json count is true", http(200, in_json(True), JSON), held("unreadable")),
    ("json count is a half", http(200, in_json(0.5), JSON), held("unreadable")),
    ("json count is a word", http(200, in_json("many"), JSON), held("unreadable")),
    ("json count is endless", http(200, b'{"partialSuccess":{"rejectedLogRecords":1e999}}', JSON), held("unreadable")),
    ("deep json", http(200, b"[" * 60_000, JSON), held("unreadable")),
    ("invalid gzip", http(200, b"\x1f\x8bgarbage", PROTOBUF, Content_Encoding="gzip"), held("unreadable")),
    ("cut gzip", http(200, gzip.compress(partial(4))[:-9], PROTOBUF, Content_Encoding="gzip"), held("unreadable")),
    ("brotli", http(200, b"\x0b", PROTOBUF, Content_Encoding="br"), held("unreadable")),
    ("400", http(400, b"bad", "text/plain"), split("http_400")),
    ("413", http(413), split("http_413")),
    ("plain to TLS", http(400, b"Client sent an HTTP request to an HTTPS server.\n"), held("wants_tls")),
    ("401", http(401), held("http_401")),
    ("403", http(403), held("http_403")),
    ("404", http(404, b"<html>", "text/html"), held("http_404")),
    ("301", http(301, Location="http://127.0.0.1:1/"), held("http_3xx")),
    ("304", http(304), held("http_3xx")),
    ("307", http(307, Location="http://127.0.0.1:1/"), held("http_3xx")),
    ("405", http(405), held("http_4xx")),
    ("422", http(422), held("http_4xx")),
    ("500", http(500, Retry_After="5"), held("http_5xx")),
    ("502", http(502, b"<html>", "text/html"), held("http_5xx")),
    ("599", http(599), held("http_5xx")),
    ("101", b"HTTP/1.1 101 Switching Protocols\r\n\r\n", held("not_otlp")),
    ("600", http(600), held("not_otlp")),
    ("429", http(429), held("http_429")),
    ("503", http(503), held("http_503")),
    ("503 5", http(503, Retry_After="5"), held("http_503", 5.0)),
    ("429 5", http(429, Retry_After=" 5 "), held("http_429", 5.0)),
    ("429 1e9", http(429, Retry_After="1e9"), held("http_429", 300.0)),
    ("429 inf", http(429, Retry_After="inf"), held("http_429", 300.0)),
    ("429 nan", http(429, Retry_After="nan"), held("http_429")),
    ("429 -1", http(429, Retry_After="-1"), held("http_429")),
    ("429 0", http(429, Retry_After="0"), held("http_429")),
    ("429 digits", http(429, Retry_After="9" * 5_000), held("http_429", 300.0)),
    ("429 garbage", http(429, Retry_After="soon"), held("http_429")),
    ("429 past", http(429, Retry_After=formatdate(NOW - 60, usegmt=True)), held("http_429")),
    ("429 future", http(429, Retry_After=formatdate(NOW + 60, usegmt=True)), held("http_429", 60.0)),
    ("503 far future", http(503, Retry_After="Fri, 31 Dec 9999 23:59:59 GMT"), held("http_503", 300.0)),
    ("503 no such date", http(503, Retry_After="Fri, 99 Dec 2026 23:59:59 GMT"), held("http_503")),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "verdict"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_each_answer_has_its_meaning(answer: bytes, verdict: Verdict) -> None:
    """
    Only a readable OTLP answer is a delivery; only 400 and 413 are the events' fault; the rest waits.
    """
    with FarEnd(answer) as server:
        poster = Poster(Target(server.url, timeout_s=5))
        found = judge(poster.post(b"a request"), NOW)
        poster.close()

        assert verdict == found
        assert 1 == len(server.requests)
        assert found.kind is Kind.DELIVERED or found.reason in FIXES


def test_a_long_message_does_not_hide_what_was_rejected() -> None:
    """
    Of a protobuf answer that is longer than is read, the count is known; a JSON answer counts as unreadable.
    """
    long = http(200, partial(3, "x" * 200_000), PROTOBUF)
    in_text = http(200, in_json(3, errorMessage="x" * 200_000), JSON)
    with FarEnd(long, in_text) as server:
        poster = Poster(Target(server.url, timeout_s=5))
        found = [judge(poster.post(b""), NOW) for _ in range(2)]
        poster.close()

    assert [delivered(3, True), held("unreadable")] == found


def test_a_gzip_bomb_is_not_unpacked() -> None:
    """
    100 MB of zeros in an answer are unpacked to 64 KiB at most, at once.
    """
    bomb = gzip.compress(bytes(100 << 20), 9)[:60_000]
    before = time.perf_counter()

    assert held("unreadable") == judge(Answer(200, content_type=PROTOBUF, content_encoding="gzip", body=bomb), NOW)
    assert time.perf_counter() - before < 1


def test_nothing_that_a_server_wrote_is_in_a_repr() -> None:
    """
    A server may repeat a personal value, so an answer shows only its status.
    """
    assert "s3cr3t" not in repr(Answer(200, "", "s3cr3t", "s3cr3t", "s3cr3t", b"s3cr3t"))


def test_a_back_off_doubles_up_to_its_limit_and_starts_again() -> None:
    """
    Between half and all of 1, 2, 4 ... 30 seconds, and 1 after a success.
    """
    longest = Backoff(chance=lambda: 1.0)
    shortest = Backoff(chance=lambda: 0.0)

    assert [1, 2, 4, 8, 16, 30, 30] == [longest.after_failure() for _ in range(7)]
    assert [0.5, 1, 2, 4, 8, 15, 15] == [shortest.after_failure() for _ in range(7)]
    longest.after_success()
    assert 1 == longest.after_failure()
    assert 1 < len({Backoff().after_failure() for _ in range(20)})


def test_a_server_s_wish_is_kept_but_for_the_extremes() -> None:
    """
    What it asks for is waited, at least as long as the first back-off, at most 5 minutes.
    """
    backoff = Backoff()

    assert [5, 1, 300] == [backoff.after_failure(asked) for asked in (5, 0.001, 1e9)]
    assert None is retry_after("", NOW)
