"""One POST at a time: what is on the wire, and that nothing a far end does can hold it, fill it or mislead it."""

from __future__ import annotations

import os
import socket
import ssl
import tempfile
import threading
import time
import zlib
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from bizspan.errors import SetupError
from bizspan.spool._answers import MOST_ANSWER
from bizspan.spool._post import Poster
from bizspan.spool._target import Target
from tests.certificates import certificate, needs_openssl
from tests.spool.far_end import OK, PROTOBUF, FarEnd, http

TIMEOUT_S = 0.4
SLACK_S = 1.5


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def problem_of(target: Target, most_s: float = TIMEOUT_S + SLACK_S) -> str:
    """What one request fails with, within its time."""
    poster = Poster(target)
    began = time.monotonic()
    answer = poster.post(b"x" * 1000)
    took = time.monotonic() - began
    poster.close()
    assert took < most_s
    assert 0 == answer.status
    return answer.problem


# --- the request ----------------------------------------------------------------------------------------------------


def test_a_request_is_what_otlp_asks_for() -> None:
    """
    POST to the whole URL, protobuf, gzip, the user's headers; the body's form is ours to tell.
    """
    with FarEnd(OK) as server:
        headers = (("api-key", "k"), ("content-type", "text/html"), ("Content-Length", "1"), ("x-tenant", "t é"))
        poster = Poster(Target(f"{server.url}?a=b#part", headers))
        assert 200 == poster.post(b"body" * 1000).status
        poster.close()

        (request,) = server.requests
        line, *rest = request.head.split("\r\n")
        assert "POST /v1/logs?a=b HTTP/1.1" == line
        assert [
            f"Host: 127.0.0.1:{server.port}", "api-key: k", "x-tenant: t é", "User-Agent: bizspan-spool",
            "Accept-Encoding: identity", "Content-Type: application/x-protobuf", "Content-Encoding: gzip",
            f"Content-Length: {len(request.body)}",
        ] == rest  # fmt: skip
        assert b"body" * 1000 == request.plain


@pytest.mark.parametrize("compression", ["none", "deflate"])
def test_other_compressions_are_respected(compression: str) -> None:
    """
    `none` sends the bytes as they are, without a Content-Encoding.
    """
    with FarEnd(OK) as server:
        poster = Poster(Target(server.url, compression=compression))
        poster.post(b"body")
        poster.close()

        (request,) = server.requests
        assert b"body" == (request.body if compression == "none" else zlib.decompress(request.body))
        assert (compression != "none") == ("Content-Encoding: deflate" in request.head)


def test_a_connection_is_kept_and_made_anew_when_the_server_closed_it() -> None:
    """
    Three requests over one connection; after `Connection: close`, and after a server hung up, over another.
    """
    with FarEnd(OK, OK, http(200, Connection="close"), OK, lambda connection: None, OK) as server:
        poster = Poster(Target(server.url))
        statuses = [poster.post(b"").status for _ in range(5)]
        poster.close()

        assert [200] * 5 == statuses
        assert [1, 1, 1, 2, 2, 3] == [request.connection for request in server.requests]


def test_an_answer_nobody_asked_for_is_not_taken_for_the_next_one() -> None:
    """
    What a server says after its answer makes the connection useless.
    """
    with FarEnd(http(503) + OK, http(503)) as server:
        poster = Poster(Target(server.url))
        assert [503, 503] == [poster.post(b"").status for _ in range(2)]
        poster.close()


def test_a_redirect_is_not_followed() -> None:
    """
    The server that it points to sees no request.
    """
    with FarEnd(OK) as second, FarEnd(http(307, Location=second.url)) as first:
        poster = Poster(Target(first.url, headers=(("authorization", "s3cr3t"),)))
        assert 307 == poster.post(b"").status
        poster.close()

        assert (1, 0, 0) == (len(first.requests), len(second.requests), second.accepted)


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    HTTP_PROXY changes nothing.
    """
    with FarEnd(OK) as server, FarEnd(OK) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        poster = Poster(Target(server.url))
        assert 200 == poster.post(b"").status
        poster.close()

        assert 0 == proxy.accepted


# --- no answer ------------------------------------------------------------------------------------------------------


def test_nothing_listens() -> None:
    """
    A refused connection is told at once.
    """
    assert "refused" == problem_of(Target(f"http://127.0.0.1:{unused_port()}/", timeout_s=30), SLACK_S)


def test_a_name_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    DNS that is gone is told by its word.
    """
    assert "dns" == problem_of(Target("http://collector.invalid/v1/logs", timeout_s=10), 10)


def test_a_name_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The look-up is waited for as long as the request may take, never started twice, and used when it is there.
    """
    answering = threading.Event()
    asked: list[str] = []
    whole = socket.getaddrinfo

    def slowly(host: str, port: int, *more: Any) -> Any:
        if len(more) == 2:
            asked.append(host)
            answering.wait(10)
            host = "127.0.0.1"
        return whole(host, port, *more)

    monkeypatch.setattr(socket, "getaddrinfo", slowly)
    with FarEnd(OK) as server:
        poster = Poster(Target(f"http://collector.invalid:{server.port}/", timeout_s=0.2))
        assert ["timeout"] * 3 == [poster.post(b"").problem for _ in range(3)]
        assert ["collector.invalid"] == asked
        answering.set()
        assert 200 == poster.post(b"").status
        poster.close()


def drip(connection: Any, data: bytes, over: threading.Event) -> None:
    for byte in data:
        if over.wait(0.05):
            return
        connection.sendall(bytes([byte]))


@pytest.mark.parametrize(
    "say",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 100,
    ],
    ids=["black hole", "drip", "endless 100"],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_nothing_hangs_longer_than_its_time(say: bytes, scheme: str) -> None:
    """
    A black hole, a drip of bytes in head or handshake, and endless interim answers end with the time-out.
    """
    with FarEnd() as server:

        def slowly(connection: Any) -> None:
            drip(connection, say, server.over)
            server.over.wait(10)

        server.steps.append(slowly)
        if scheme == "https":
            server.instead = slowly  # it never speaks TLS
        problem = problem_of(Target(f"{scheme}://127.0.0.1:{server.port}/", timeout_s=TIMEOUT_S))

    assert problem in ("timeout", "tls" if scheme == "https" and say else "timeout")


def test_a_body_that_drips_ends_with_the_time() -> None:
    """
    A status that came in time does not make the rest of it wait for ever.
    """
    with FarEnd() as server:

        def slowly(connection: Any) -> None:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            drip(connection, b"x" * 1000, server.over)

        server.steps.append(slowly)
        assert "timeout" == problem_of(Target(server.url, timeout_s=TIMEOUT_S))


def test_a_server_that_does_not_read_ends_with_the_time() -> None:
    """
    A request that does not fit into the buffers in between is given up.
    """
    with FarEnd() as server:
        server.instead = lambda connection: server.over.wait(10)
        poster = Poster(Target(server.url, timeout_s=TIMEOUT_S, compression="none"))
        began = time.monotonic()
        assert "timeout" == poster.post(bytes(32 << 20)).problem
        assert time.monotonic() - began < TIMEOUT_S + SLACK_S


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 10485760\r\n\r\n",
        b"\r\n",
        b"Transfer-Encoding: chunked\r\n\r\nA00000\r\n",
        b"X: ",
        b"X: y\r\n" * 20_000,
    ],
    ids=["length", "no length", "chunked", "a line", "lines"],
)
def test_a_huge_answer_is_read_to_64_kib(head: bytes) -> None:
    """
    10 MB as body or head: 64 KiB are read, and the connection is given up.
    """
    sent: list[int] = []

    def much(connection: Any) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\n" + head)
        for _ in range(160):
            connection.sendall(b"x" * 65536)
            sent.append(65536)

    with FarEnd(much) as server:
        poster = Poster(Target(server.url, timeout_s=10))
        answer = poster.post(b"")
        assert len(answer.body) <= MOST_ANSWER
        assert answer.is_cut or answer.problem in ("garbled", "closed")
        assert None is poster._connection
    assert 160 > len(sent)


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (b"", "closed"),
        (b"HTTP/1.1 200", "closed"),
        (b"HTTP/1.1 200 OK\r\n", "closed"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "closed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n123", "closed"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n123", "closed"),
        (b"\0\0\x18\x04\0\0\0\0\0", "garbled"),  # the first frame of a gRPC server
        (b"SSH-2.0-OpenSSH\r\n", "garbled"),
    ],
)
def test_an_answer_that_breaks_off_is_none(said: bytes, problem: str) -> None:
    """
    A head or a body that is not whole is never a status: http.client alone would take some of them for 200.
    """
    with FarEnd(lambda connection: connection.sendall(said)) as server:
        assert problem == problem_of(Target(server.url))


def test_a_server_that_refuses_before_it_has_read_is_heard() -> None:
    """
    413 with the connection closed is 413, although the request could not be sent as a whole.
    """
    with FarEnd() as server:

        def early(connection: Any) -> None:
            connection.recv(1000)
            connection.sendall(http(413, Connection="close"))
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(1 << 20):  # as servers linger: a reset would take the answer away
                pass

        server.instead = early
        poster = Poster(Target(server.url, compression="none"))
        assert 413 == poster.post(bytes(8 << 20)).status
        poster.close()


def test_an_interrupt_ends_what_another_thread_waits_for() -> None:
    """
    A request into a black hole ends when the poster is told to; no further one waits.
    """
    with FarEnd() as server:
        server.steps.append(lambda connection: (server.over.wait(20), None)[1])
        poster = Poster(Target(server.url, timeout_s=20))
        problems: list[str] = []
        waiting = threading.Thread(target=lambda: problems.append(poster.post(b"").problem))
        waiting.start()
        assert server.wait(1)
        poster.interrupt()
        waiting.join(5)

        assert ["closed"] == problems
        assert "closed" == poster.post(b"").problem


# --- TLS ------------------------------------------------------------------------------------------------------------


@needs_openssl
def test_a_certificate_is_checked(tmp_path: Path) -> None:
    """
    An unknown one is refused before anything is sent; with its authority it is taken.
    """
    pem, context = certificate(tmp_path, "127.0.0.1")
    with FarEnd(OK, tls=context) as server:
        assert "certificate" == problem_of(Target(server.url, timeout_s=5))
        assert [] == server.requests

        poster = Poster(Target(server.url, ca_file=str(pem)))
        assert [200, 200] == [poster.post(b"").status for _ in range(2)]
        poster.close()
        assert 1 == len({request.connection for request in server.requests})


@needs_openssl
def test_an_expired_certificate_and_one_for_another_name_are_refused(tmp_path: Path) -> None:
    """
    Trusting the authority does not help there.
    """
    for name, expired in (("127.0.0.1", True), ("other.example", False)):
        folder = tmp_path / name
        folder.mkdir()
        pem, context = certificate(folder, name, expired=expired)
        with FarEnd(OK, tls=context) as server:
            assert "certificate" == problem_of(Target(server.url, ca_file=str(pem), timeout_s=5))


@needs_openssl
def test_a_client_certificate_is_shown(tmp_path: Path) -> None:
    """
    A server that wants one takes it; without it there is no answer.
    """
    pem, context = certificate(tmp_path, "127.0.0.1")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(pem)
    with FarEnd(OK, tls=context) as server:
        assert problem_of(Target(server.url, ca_file=str(pem), timeout_s=5)) in ("tls", "closed")
        key = str(tmp_path / "key.pem")
        poster = Poster(Target(server.url, ca_file=str(pem), client_certificate=str(pem), client_key=key))
        assert 200 == poster.post(b"").status
        poster.close()


def test_tls_to_a_plain_server_is_told() -> None:
    """
    https:// where HTTP is spoken is a handshake that fails.
    """
    with FarEnd() as server:
        server.instead = lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        assert "tls" == problem_of(Target(f"https://127.0.0.1:{server.port}/", timeout_s=5), 5)


# --- processes and descriptors --------------------------------------------------------------------------------------


def in_a_child(check: Callable[[], bool]) -> bool:
    """Whether a forked child says so."""
    pid = os.fork()
    if not pid:
        try:
            os._exit(0 if check() else 1)
        finally:
            os._exit(2)
    return 0 == os.waitpid(pid, 0)[1]


def test_a_forked_child_has_a_connection_of_its_own() -> None:
    """
    Parent and child never write into one connection, and the parent's lives on.
    """
    with FarEnd(OK) as server:
        poster = Poster(Target(server.url))
        assert 200 == poster.post(b"parent").status
        assert in_a_child(lambda: poster.post(b"child").status == 200)
        assert 200 == poster.post(b"parent").status
        poster.close()

        assert [(b"parent", 1), (b"child", 2), (b"parent", 1)] == [(r.plain, r.connection) for r in server.requests]


def test_a_descriptor_that_became_a_file_is_left_alone() -> None:
    """
    An application that closed all descriptors and opened its own finds nothing of ours in them, nor are they closed.
    """
    with FarEnd(OK) as server, tempfile.TemporaryFile() as file:
        poster = Poster(Target(server.url))
        poster.post(b"first")
        connection = poster._connection
        assert connection is not None
        descriptor = connection._raw.fileno()
        os.dup2(file.fileno(), descriptor)  # closes ours, and the number is the file's
        assert in_a_child(lambda: poster.post(b"child").status == 200)
        assert 200 == poster.post(b"second").status
        poster.close()

        assert 0 == os.fstat(descriptor).st_size
        os.close(descriptor)


# --- secrets --------------------------------------------------------------------------------------------------------


def test_no_secret_is_written_anywhere(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Header values, tokens in a URL, and bodies are in no repr, log or output, not even where HTTP is debugged.
    """
    caplog.set_level(0)
    monkeypatch.setattr(HTTPConnection, "debuglevel", 9)
    with FarEnd(http(401, b"s3cr3t"), http(302, Location="http://s3cr3t/"), lambda connection: None) as server:
        url = f"{server.url}/s3cr3t?token=s3cr3t"
        target = Target(url, headers=(("authorization", "s3cr3t"),), ca_file="s3cr3t", client_key="s3cr3t")
        poster = Poster(target)
        answers = [poster.post(b"s3cr3t") for _ in range(3)]
        poster.close()

    said = capfd.readouterr()
    assert "s3cr3t" not in f"{said.out}{said.err}{caplog.text}{target!r}{target}{poster!r}{poster.shown}{answers!r}"
    assert 4 == len(server.requests)  # a kept connection that is closed gets one more chance


@pytest.mark.parametrize("given", ["ca_file", "client_certificate"])
def test_certificate_files_are_read_early(given: str) -> None:
    """
    A file that is not there is a set-up error that does not repeat its name.
    """
    settings: dict[str, Any] = {given: "/s3cr3t/nowhere.pem"}
    with pytest.raises(SetupError, match="CERTIFICATE") as raised:
        Poster(Target("https://127.0.0.1/", **settings))

    assert "s3cr3t" not in str(raised.value)
    assert (None, None) == (raised.value.__cause__, raised.value.__context__)


@needs_openssl
def test_a_key_with_a_passphrase_is_refused_and_not_asked_for(tmp_path: Path) -> None:
    """
    Nobody sits at the terminal of a server: an encrypted key is a set-up error.
    """
    import subprocess

    pem, _ = certificate(tmp_path, "127.0.0.1")
    locked = tmp_path / "locked.pem"
    key = tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "pkey", "-in", key, "-aes256", "-passout", "pass:abcd", "-out", locked],
        check=True,
        capture_output=True,
    )
    with pytest.raises(SetupError, match="passphrase"):
        Poster(Target("https://127.0.0.1/", client_certificate=str(pem), client_key=str(locked)))


def test_a_body_of_an_answer_has_its_type() -> None:
    """
    What a verdict needs is on the answer.
    """
    with FarEnd(http(200, b"{}", PROTOBUF, Retry_After="5", Content_Encoding="gzip")) as server:
        poster = Poster(Target(server.url))
        answer = poster.post(b"")
        poster.close()

    assert (PROTOBUF, "5", "gzip", b"{}", False) == (
        answer.content_type,
        answer.retry_after,
        answer.content_encoding,
        answer.body,
        answer.is_cut,
    )
