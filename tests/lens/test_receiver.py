"""OTLP over HTTP by real sockets: what is answered, and what every kind of bad request gets."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import socket
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

import bizspan
from bizspan import names
from bizspan.errors import SetupError
from bizspan.lens import Lens, Request, Response, Stored, StoreError
from bizspan.lens import _bodies as bodies
from bizspan.lens import _server as serving
from tests.lens.asking import JSON, PROTOBUF, TIMEOUT_S, ask, raw, rows
from tests.lens.requests import Shop
from tests.wire import events


def count(lens: Lens) -> int:
    (found,) = rows(lens.store, "SELECT count(*) FROM events")
    return int(found)


def document(*names: Any) -> bytes:
    """An export request in JSON, with events of these names."""
    records = [{"eventName": name} for name in names]
    return json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}).encode()


# --- what it takes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("coding", ["", "identity", "gzip", "deflate", "raw deflate", "two members"])
def test_a_request_is_taken_however_it_is_compressed(lens: Lens, coding: str) -> None:
    """
    Nothing, gzip, and what different senders call deflate.
    """
    (request,) = Shop().requests(5)
    deflating = zlib.compressobj(wbits=-15)
    body = {
        "gzip": gzip.compress(request),
        "deflate": zlib.compress(request),
        "raw deflate": deflating.compress(request) + deflating.flush(),
        "two members": gzip.compress(request[:100]) + gzip.compress(request[100:]),
    }.get(coding, request)
    header = {"two members": "gzip", "raw deflate": "deflate"}.get(coding, coding)

    answer = ask(lens, "/v1/logs", body, headers={"Content-Encoding": header} if header else {})

    assert (200, PROTOBUF, b"") == (answer.status, answer.headers["content-type"], answer.body)
    assert 5 == count(lens)


def test_json_is_answered_in_json(lens: Lens) -> None:
    """
    Also with a charset behind the type; nothing refused is an empty object.
    """
    answer = ask(lens, "/v1/logs", document("a", "b"), kind="application/json; charset=utf-8")

    assert (200, JSON, {}) == (answer.status, answer.headers["content-type"], json.loads(answer.body))
    assert 2 == count(lens)


def test_what_is_refused_is_told_in_partial_success(lens: Lens) -> None:
    """
    With 200, because the rest is stored, and in the encoding of the request.
    """
    as_json = ask(lens, "/v1/logs", document("a", 7), kind=JSON)
    large = events("big", {"text": "x" * (1 << 20)}) + events("small", {})
    as_bytes = ask(lens, "/v1/logs", large)

    told = json.loads(as_json.body)["partialSuccess"]
    partial = ExportLogsServiceResponse.FromString(as_bytes.body).partial_success
    assert (200, "1") == (as_json.status, told["rejectedLogRecords"])
    assert "not one of OTLP/JSON" in told["errorMessage"]
    assert (200, 1, "a log record of more than 1,048,576 bytes") == (
        as_bytes.status, partial.rejected_log_records, partial.error_message,
    )  # fmt: skip
    assert 2 == count(lens)


def test_a_connection_is_kept(lens: Lens) -> None:
    """
    Several requests, also refused ones, go over one connection.
    """
    parts = urlsplit(lens.url)
    client = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=TIMEOUT_S)
    statuses: list[int] = []
    for path, body in (("/v1/logs", events("a", {})), ("/nowhere", b"x" * 1000), ("/v1/logs", events("b", {}))):
        client.request("POST", path, body, {"Content-Type": PROTOBUF})
        sock = client.sock
        answer = client.getresponse()
        answer.read()
        statuses.append(answer.status)
        assert sock is client.sock
    client.close()

    assert ([200, 404, 200], 2) == (statuses, count(lens))


def test_a_chunked_body_is_taken(lens: Lens) -> None:
    """
    As exporters on Node send it: in pieces, without a length.
    """
    parts = urlsplit(lens.url)
    client = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=TIMEOUT_S)
    body = gzip.compress(events("a", {"n": 1}))

    def pieces() -> Iterator[bytes]:
        yield body[:7]
        yield body[7:]

    client.request(
        "POST", "/v1/logs", pieces(), {"Content-Type": PROTOBUF, "Content-Encoding": "gzip"}, encode_chunked=True
    )
    status = client.getresponse().status
    client.close()

    assert (200, 1) == (status, count(lens))


@pytest.mark.server
def test_an_application_that_is_pointed_at_it_is_stored(lens: Lens, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    bizspan with OTEL_EXPORTER_OTLP_ENDPOINT: its events, spans and metrics arrive.
    """
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", lens.url)
    with bizspan.configure(service_name="shop") as telemetry:
        with bizspan.operation("checkout", segment="smb", country="DE", order="o-1") as op:
            op.revenue("42.00", "EUR")
        assert telemetry.force_flush(10.0)

    assert [("shop", "checkout", "success", "smb", "DE", "o-1", 4200, "EUR")] == rows(
        lens.store,
        "SELECT service, operation, outcome, segment, country, order_id, revenue_minor, revenue_currency FROM events",
    )
    assert [("checkout", 1)] == rows(
        lens.store,
        "SELECT s.operation, e.trace_id = s.trace_id AND e.span_id = s.span_id FROM spans s, events e",
    )
    assert [42.0] == rows(lens.store, "SELECT DISTINCT value FROM sums WHERE name = 'business.revenue'")


# --- what it refuses ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [
        ("POST", "/", 404, "OTLP goes to /v1/logs"),
        ("POST", "/v1/profiles", 404, "nothing at this path"),
        ("GET", "/v1/logs", 405, "takes POST"),
        ("OPTIONS", "/v1/logs", 405, "takes POST"),
        ("DELETE", "/v1/traces", 405, "takes POST"),
        ("POST", "/v1/logs/../../etc/passwd", 404, "nothing at this path"),
    ],
)
def test_a_wrong_path_or_method_is_told(lens: Lens, method: str, path: str, status: int, said: str) -> None:
    """
    404 without the path; 405 with the methods that it takes.
    """
    answer = ask(lens, path, events("a", {}), method=method)

    assert (status, 0) == (answer.status, count(lens))
    assert said in answer.body.decode()
    if status == 405:
        assert "POST" == answer.headers["allow"]


@pytest.mark.parametrize(
    ("kind", "headers", "body", "status"),
    [
        ("text/plain", {}, b"", 415),
        ("", {}, b"", 415),
        ("application/x-www-form-urlencoded", {}, b"a=1", 415),
        (PROTOBUF, {"Content-Encoding": "br"}, b"", 415),
        (PROTOBUF, {"Content-Encoding": "gzip"}, b"not gzip", 400),
        (PROTOBUF, {"Content-Encoding": "gzip"}, gzip.compress(b"abc", mtime=0)[:-4], 400),
        (PROTOBUF, {"Content-Encoding": "deflate"}, b"\xff\xff", 400),
        (PROTOBUF, {}, b"\xff\xff\xff", 400),
        (PROTOBUF, {}, events("a", {"b": "c"})[:-2], 400),
        (JSON, {}, b"{", 400),
        (JSON, {}, b"[" * 100_000, 400),
        (JSON, {}, b'{"a": "\xff"}', 400),
        (JSON, {}, events("a", {}), 400),
        (PROTOBUF, {}, document("a"), 400),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_bad_body_is_told_and_nothing_stored(
    lens: Lens, kind: str, headers: dict[str, str], body: bytes, status: int
) -> None:
    """
    With one code for each kind of wrong, a sentence in it, and the next request works.
    """
    answer = ask(lens, "/v1/logs", body, kind=kind, headers=headers)

    assert status == answer.status
    assert answer.body
    assert (200, 1) == (ask(lens, "/v1/logs", events("good", {})).status, count(lens))


def test_errors_of_otlp_are_a_status_message(lens: Lens) -> None:
    """
    google.rpc.Status, with its message in field 2, or as JSON, as the specification wants it.
    """
    as_bytes, as_json = ask(lens, "/v1/logs", b"\xff"), ask(lens, "/v1/logs", b"{", kind=JSON)

    assert PROTOBUF == as_bytes.headers["content-type"]
    assert b"\x12" == as_bytes.body[:1] and len(as_bytes.body) - 2 == as_bytes.body[1]
    assert "not an ExportLogsServiceRequest" in as_bytes.body[2:].decode()
    assert "not JSON" in json.loads(as_json.body)["message"]


def test_a_bomb_is_not_unpacked(lens: Lens) -> None:
    """
    A body that grows beyond the limit is refused when it gets there.
    """
    bomb = gzip.compress(bytes(bodies.PLAIN_MOST + 1))

    answer = ask(lens, "/v1/logs", bomb, headers={"Content-Encoding": "gzip"})

    assert len(bomb) < 100_000
    assert (413, True) == (answer.status, b"32 MiB decompressed" in answer.body)


@pytest.mark.parametrize(("signal", "kind"), [("logs", JSON), ("traces", PROTOBUF), ("metrics", JSON)])
def test_what_takes_more_room_has_a_lower_limit(lens: Lens, signal: str, kind: str) -> None:
    """
    JSON, spans and metrics: 8 MiB.
    """
    answer = ask(
        lens, f"/v1/{signal}", gzip.compress(bytes((8 << 20) + 1)), kind=kind, headers={"Content-Encoding": "gzip"}
    )

    assert 413 == answer.status


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"Content-Length: 99999999", 413),
        (b"Content-Length: 5", 400),
        (b"Content-Length: -5", 400),
        (b"Content-Length: 0x5", 400),
        (b"Content-Length: 1\r\nContent-Length: 2", 400),
        (b"Transfer-Encoding: gzip", 400),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 3", 400),
        (b"Transfer-Encoding: chunked\r\n\r\nxyz", 400),
        (b"Transfer-Encoding: chunked\r\n\r\n-1\r\n", 400),
        (b"Transfer-Encoding: chunked\r\n\r\nfffffff\r\n", 413),
        (b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n", 400),
    ],
)
def test_a_length_that_cannot_be_ends_the_connection(lens: Lens, head: bytes, status: int) -> None:
    """
    Where the next request would begin is unknown then.
    """
    heard = raw(
        lens, b"POST /v1/logs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" + head + b"\r\n\r\nabc"
    )

    assert f"HTTP/1.1 {status} ".encode() == heard[:13]
    assert b"connection: close" in heard.lower()
    assert 1 == heard.count(b"HTTP/1.1 ")


@pytest.mark.parametrize(
    "data",
    [b"", b"\r\n\r\n", b"nonsense\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET " + b"a" * 70_000,
     b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 1_000, b"GET / HTTP/9.9\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
    ids=lambda data: str(data)[:30],
)  # fmt: skip
def test_what_is_no_http_harms_nobody(lens: Lens, data: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    """
    It is answered or cut; others are served, and nothing is printed.
    """
    raw(lens, data)

    assert 200 == ask(lens, "/v1/logs", events("a", {})).status
    assert ("", "") == capfd.readouterr()


HOSTILE = (
    "'; DROP TABLE events; --",
    '" OR 1=1 --',
    "<script>alert(1)</script>",
    '=HYPERLINK("http://evil")',
    "../../../etc/passwd",
    "a\x00b",
    "\u202e\u2066abc",
    "{{7*7}}",
    "%s%n",
    "__proto__",
    "k" * 5_000,
    "",
)


@pytest.mark.parametrize("kind", [PROTOBUF, JSON])
def test_hostile_names_are_text_and_nothing_else(lens: Lens, kind: str) -> None:
    """
    As keys, values and names of events: they are stored as they are, and every table is still there.
    """
    for name in HOSTILE:
        body = events(name or "empty", {name: name, names.SEGMENT: name, names.ORDER: name})
        if kind == JSON:
            attributes = [{"key": key, "value": {"stringValue": name}} for key in (name, names.SEGMENT, names.ORDER)]
            record = {"eventName": name or "empty", "attributes": attributes}
            body = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}).encode()
        assert 200 == ask(lens, "/v1/logs", body, kind=kind).status

    found = rows(lens.store, "SELECT name, segment, order_id, attributes FROM events ORDER BY id")
    assert [(name or "empty", name, name, {name: name}) for name in HOSTILE] == [
        (*row[:3], json.loads(row[3])) for row in found
    ]
    assert [len(HOSTILE)] == rows(lens.store, "SELECT count(*) FROM otel_logs")


def test_invalid_text_is_replaced_not_lost(lens: Lens) -> None:
    """
    Bytes that are not UTF-8 become U+FFFD; the event counts.
    """
    body = events("plain", {"k": "abc"}).replace(b"abc", b"\xff\xfec").replace(b"plain", b"p\xffain")

    assert 200 == ask(lens, "/v1/logs", body).status
    assert [("p\ufffdain", {"k": "\ufffd\ufffdc"})] == [
        (name, json.loads(told)) for name, told in rows(lens.store, "SELECT name, attributes FROM events")
    ]


def test_a_store_that_cannot_write_says_when_to_come_again(lens: Lens, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    503 with Retry-After, which exporters honour.
    """

    def full(batch: object) -> Stored:
        raise StoreError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(lens.store, "write", full)
        answer = ask(lens, "/v1/logs", events("a", {}), kind=PROTOBUF)

    assert (503, "1") == (answer.status, answer.headers["retry-after"])
    assert b"the disk is full" in answer.body


def test_a_handler_that_fails_is_an_answer(lens: Lens, capfd: pytest.CaptureFixture[str]) -> None:
    """
    500, a line on the error stream, and the connection goes on.
    """

    def failing(request: Request) -> Response:
        raise LookupError(request.path)

    lens.routes.add("GET", "/broken", failing)
    answer = ask(lens, "/broken", method="GET")

    assert (500, True) == (answer.status, b"its terminal says more" in answer.body)
    assert "LookupError" in capfd.readouterr().err
    assert 200 == ask(lens, "/v1/logs", events("a", {})).status


# --- who may ask ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_beyond_loopback_a_token_is_needed(tmp_path: Path, host: str) -> None:
    """
    It is refused before a socket or a file is there.
    """
    with pytest.raises(SetupError, match="lets other machines in; pass a token"):
        Lens(tmp_path / "lens.db", host=host)

    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ("Bearer secret-of-the-lens-1", 200),
        ("bearer secret-of-the-lens-1", 200),
        ("Bearer secret-of-the-lens-2", 401),
        ("Bearer secret-of-the-lens-1x", 401),
        ("Basic secret-of-the-lens-1", 401),
        ("secret-of-the-lens-1", 401),
        ("Bearer caf\xe9", 401),
        (None, 401),
    ],
)
def test_with_a_token_every_request_needs_it(tmp_path: Path, told: str | None, status: int) -> None:
    """
    Under any host name; what came without it is not stored.
    """
    headers = {"Host": "shop.example", **({} if told is None else {"Authorization": told})}
    with Lens(tmp_path / "lens.db", host="0.0.0.0", token="secret-of-the-lens-1").start(0) as lens:
        answer = ask(lens, "/v1/logs", events("a", {}), headers=headers)
        stored = count(lens)

    assert (status, int(status == 200)) == (answer.status, stored)
    if status == 401:
        assert "Bearer" == answer.headers["www-authenticate"]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:4318", 200),
        ("127.0.0.1:1", 200),
        ("[::1]:4318", 200),
        ("lens.internal:80", 200),
        ("evil.example", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("", 403),
    ],
)
def test_a_page_that_points_its_name_here_is_refused(tmp_path: Path, host: str, status: int) -> None:
    """
    Only names of this machine, and those that were allowed, are answered without a token (DNS rebinding).
    """
    with Lens(tmp_path / "lens.db", allow_hosts=["lens.internal"]).start(0) as lens:
        assert status == ask(lens, "/v1/logs", events("a", {}), headers={"Host": host}).status


@pytest.mark.parametrize("token", ["two words", "caf\xe9"])
def test_a_token_that_cannot_travel_is_refused(tmp_path: Path, token: str) -> None:
    """
    It has to fit into a header.
    """
    with pytest.raises(SetupError, match="ASCII without spaces"):
        Lens(tmp_path / "lens.db", token=token)


def test_a_port_that_is_taken_is_told(lens: Lens, tmp_path: Path) -> None:
    """
    With what may have it, and what to do.
    """
    other = Lens(tmp_path / "other.db")
    try:
        with pytest.raises(SetupError, match=r"can't be used \(.*in use\).*choose another one with --port"):
            other.start(urlsplit(lens.url).port or 0)
    finally:
        other.stop()


def test_ipv6_is_answered(tmp_path: Path) -> None:
    """
    On its loopback.
    """
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    try:
        lens = Lens(tmp_path / "lens.db", host="::1").start(0)
    except SetupError as error:
        pytest.skip(str(error))
    with lens:
        assert "http://[::1]:" == lens.url[:13]
        assert 200 == ask(lens, "/v1/logs", events("a", {})).status


# --- others, unharmed -----------------------------------------------------------------------------------------------


def test_clients_that_hang_do_not_shut_others_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    More connections than there may be, each waiting in the middle of its request: they are cut, and others are served.
    """
    monkeypatch.setattr(serving, "REQUEST_S", 0.5)
    with Lens(tmp_path / "lens.db").start(0) as lens:
        parts = urlsplit(lens.url)
        hanging = [
            socket.create_connection((str(parts.hostname), parts.port), timeout=TIMEOUT_S)
            for _ in range(serving.CONNECTIONS_MOST)
        ]
        for each in hanging:
            each.sendall(b"POST /v1/logs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nabc")
        deadline = time.monotonic() + TIMEOUT_S
        status = 0
        while status != 200 and time.monotonic() < deadline:
            try:
                status = ask(lens, "/v1/logs", events("a", {})).status
            except OSError:  # cut while it was being sent
                status = 0
        for each in hanging:
            each.close()

        assert (200, 1) == (status, count(lens))


def test_idle_connections_give_way(lens: Lens) -> None:
    """
    Where there are as many as there may be, the one that has waited longest for nothing is cut.
    """
    parts = urlsplit(lens.url)
    clients = [
        http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=TIMEOUT_S)
        for _ in range(serving.CONNECTIONS_MOST)
    ]
    for number, client in enumerate(clients):
        client.request("POST", "/v1/logs", events("a", {"n": number}), {"Content-Type": PROTOBUF})
        client.getresponse().read()
    answer = ask(lens, "/v1/logs", events("b", {}))
    still = ask(lens, "/v1/logs", events("c", {}))
    for client in clients:
        client.close()

    assert (200, 200) == (answer.status, still.status)
    assert serving.CONNECTIONS_MOST + 2 == count(lens)


def test_a_client_that_drips_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A byte now and then does not hold a connection for ever.
    """
    monkeypatch.setattr(serving, "REQUEST_S", 0.5)
    with Lens(tmp_path / "lens.db").start(0) as lens:
        parts = urlsplit(lens.url)
        with socket.create_connection((str(parts.hostname), parts.port), timeout=0.05) as client:
            client.sendall(b"POST /v1/logs HTTP/1.1\r\nHost: localhost\r\n")
            began = time.monotonic()
            is_cut = False
            while not is_cut and time.monotonic() - began < TIMEOUT_S:
                try:
                    client.sendall(b"x")
                    is_cut = client.recv(1) == b""
                except TimeoutError:
                    continue
                except OSError:
                    is_cut = True

    assert is_cut


def test_many_clients_at_once_are_all_stored(lens: Lens) -> None:
    """
    Each with requests of its own, some of them sent twice by another client at the same time.
    """
    requests = list(Shop().requests(4_000, size=100))
    statuses: list[int] = []

    def send(number: int) -> None:
        for request in requests[number::4] + requests[(number + 1) % 4 :: 4]:
            statuses.append(ask(lens, "/v1/logs", request).status)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert ({200}, 4_000) == (set(statuses), count(lens))
    assert [4_000] == rows(lens.store, "SELECT sum(count) FROM minute_counts WHERE dimension = ''")


# --- the seam for pages ---------------------------------------------------------------------------------------------


def test_a_page_is_a_handler_in_the_table(lens: Lens) -> None:
    """
    With the query's parameters; HEAD has its headers alone; everything below a path may be one handler.
    """
    lens.routes.add("GET", "/hello", lambda request: Response(repr(request.parameters).encode(), "text/html"))
    lens.routes.add("GET", "/static/*", lambda request: Response(request.path.encode()))

    page = ask(lens, "/hello?a=1&b=%3Cx%3E", method="GET")
    head = ask(lens, "/hello?a=1", method="HEAD")
    below = ask(lens, "/static/a/b.js", method="GET")
    refused = ask(lens, "/hello", b"x")

    assert (200, "text/html", b"[('a', '1'), ('b', '<x>')]") == (page.status, page.headers["content-type"], page.body)
    assert (200, b"", "12") == (head.status, head.body, head.headers["content-length"])
    assert b"/static/a/b.js" == below.body
    assert (405, "GET, HEAD") == (refused.status, refused.headers["allow"])


def test_a_live_answer_is_sent_as_it_comes(lens: Lens) -> None:
    """
    A handler may give parts for as long as the client listens, woken by what is stored; its end is noticed.
    """
    ended = threading.Event()

    def live(request: Request) -> Response:
        def parts() -> Iterator[bytes]:
            try:
                version = -1
                while True:
                    version = lens.store.wait_for_change(version, 0.05)
                    yield b"data: %d\n\n" % version
            finally:
                ended.set()

        return Response(parts(), "text/event-stream")

    lens.routes.add("GET", "/live", live)
    parts = urlsplit(lens.url)
    client = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=TIMEOUT_S)
    client.request("GET", "/live")
    stream = client.getresponse()
    first = stream.readline()
    ask(lens, "/v1/logs", events("a", {}))
    line = first
    while line == first or line == b"\n":
        line = stream.readline()
    stream.close()
    client.close()

    assert (b"data: 0\n", b"data: 1\n") == (first, line)
    assert ended.wait(TIMEOUT_S)


def test_stopping_ends_every_connection(tmp_path: Path) -> None:
    """
    Also one that is in the middle of a request; threads are gone, and what was answered is stored.
    """
    before = threading.active_count()
    lens = Lens(tmp_path / "lens.db").start(0)
    parts = urlsplit(lens.url)
    client = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=TIMEOUT_S)
    client.request("POST", "/v1/logs", events("a", {}), {"Content-Type": PROTOBUF})
    status = client.getresponse().status
    hanging = socket.create_connection((str(parts.hostname), parts.port), timeout=TIMEOUT_S)
    hanging.sendall(b"POST /v1/logs HTTP/1.1\r\n")

    lens.stop()

    with contextlib.suppress(ConnectionResetError):
        assert b"" == hanging.recv(10)
    assert 200 == status
    hanging.close()
    client.close()
    assert before == threading.active_count()
    with Lens(tmp_path / "lens.db") as again:
        assert [1] == rows(again.store, "SELECT count(*) FROM events")


def test_the_default_store_is_in_the_users_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Below XDG_STATE_HOME where it is absolute, else below the home directory.
    """
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with Lens() as lens:
        assert tmp_path / "state" / "bizspan" / "lens.db" == lens.store.path
        assert Stored(1) == lens.intake.take("logs", "protobuf", events("a", {}))
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    with Lens() as lens:
        assert tmp_path / ".local" / "state" / "bizspan" / "lens.db" == lens.store.path
