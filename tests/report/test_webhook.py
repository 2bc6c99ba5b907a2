"""What a webhook gets, against a real server on loopback: shape, signature, bounds, and what stays secret."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from bizspan.errors import SetupError
from bizspan.report import Webhook, WebhookError, message, signature
from tests.certificates import certificate, needs_openssl
from tests.report.hooks import Hook, listening

SECRET = "a secret of 16 or more"


def posted(hook: Hook, **more: float) -> Webhook:
    return Webhook(hook.url, SECRET, again_after_s=0.01, **more)  # type: ignore[arg-type]


@pytest.mark.server
def test_what_is_posted_is_signed() -> None:
    """
    By HMAC-SHA256 of version, timestamp and body, as the reference says; the address is kept as it is.
    """
    with listening(Hook()) as hook:
        posted(hook).post(message("Report", ["revenue"]), time_s=lambda: 1_700_000_000.9)

    ((path, headers, body),) = hook.got
    assert "/services/T0/s3cret?token=hidden" == path
    assert "application/json" == headers["content-type"]
    assert "1700000000" == headers["x-bizspan-timestamp"]
    expected = hmac.new(SECRET.encode(), b"v1:1700000000:" + body, hashlib.sha256).hexdigest()
    assert f"v1={expected}" == headers["x-bizspan-signature"] == signature(SECRET, 1_700_000_000, body)
    assert {"text", "blocks"} == json.loads(body).keys()


@pytest.mark.server
def test_without_a_secret_nothing_is_signed() -> None:
    """
    There is no header that looks as if it were.
    """
    with listening(Hook()) as hook:
        Webhook(hook.url).post(message("Report", []))

    assert "x-bizspan-signature" not in hook.got[0][1]


@pytest.mark.server
@pytest.mark.parametrize("code", [408, 425, 429, 500, 503])
def test_a_passing_trouble_is_tried_once_more(code: int) -> None:
    """
    As the same delivery.
    """
    with listening(Hook((code, 200))) as hook:
        posted(hook).post(message("Report", []))

    first, second = (headers["x-bizspan-delivery"] for _, headers, _ in hook.got)
    assert first == second


@pytest.mark.server
def test_after_the_second_time_it_gives_up() -> None:
    """
    And says what was answered.
    """
    with listening(Hook((503,))) as hook, pytest.raises(WebhookError, match="tried 2 times: HTTP 503"):
        posted(hook).post(message("Report", []))

    assert 2 == len(hook.got)


@pytest.mark.server
@pytest.mark.parametrize(("code", "said"), [(302, "redirects are not followed"), (307, "redirects"), (403, "HTTP 403")])
def test_what_will_not_pass_is_tried_once(code: int, said: str) -> None:
    """
    A redirect is not followed: it would take the message elsewhere.
    """
    with listening(Hook()) as elsewhere:
        hook = Hook((code,), {"Location": elsewhere.url})
        with listening(hook), pytest.raises(WebhookError, match=said):
            posted(hook).post(message("Report", []))

    assert (1, 0) == (len(hook.got), len(elsewhere.got))


@pytest.mark.server
def test_a_server_that_says_nothing_is_left() -> None:
    """
    Each try has its time, and no thread stays.
    """
    before = time.monotonic()
    with (
        listening(Hook((0,))) as hook,
        pytest.raises(WebhookError, match=r"no answer within 0.2 s|TimeoutError"),
    ):
        posted(hook, timeout_s=0.2).post(message("Report", []))

    assert time.monotonic() - before < 5
    deadline = time.monotonic() + 5
    for thread in threading.enumerate():
        if thread.name == "bizspan-webhook":
            thread.join(max(0.0, deadline - time.monotonic()))
            assert not thread.is_alive()


@pytest.mark.server
def test_a_server_that_drips_is_left() -> None:
    """
    One byte now and then keeps no socket's timeout from starting again; the whole try has a bound of its own.
    """
    over = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def drip() -> None:
        for _ in range(2):
            taken, _address = listener.accept()
            with taken:
                taken.recv(65_536)
                try:
                    while not over.wait(0.02):
                        taken.sendall(b"H")
                except OSError:
                    pass

    thread = threading.Thread(target=drip)
    thread.start()
    before = time.monotonic()
    try:
        hook = Webhook(f"http://127.0.0.1:{listener.getsockname()[1]}/", SECRET, 0.3, 0.01)
        with pytest.raises(WebhookError, match=r"no answer within 0.3 s"):
            hook.post(message("Report", []))
        assert time.monotonic() - before < 5
    finally:
        over.set()
        thread.join()
        listener.close()


@contextmanager
def answering(*parts: bytes) -> Generator[Webhook]:
    """A server that sends these bytes, once or as often as somebody takes them, and never ends its answer."""
    over = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    taken: list[socket.socket] = []

    def run() -> None:
        while not over.is_set():
            client, _ = listener.accept()
            taken.append(client)
            with suppress(OSError):
                client.recv(65_536)
                client.sendall(parts[0])
                while parts[1:] and not over.is_set():
                    client.sendall(parts[1])

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield Webhook(f"http://127.0.0.1:{listener.getsockname()[1]}/", SECRET, 2.0, 0.01)
    finally:
        over.set()
        socket.create_connection(listener.getsockname()).close()  # ends the wait for another one
        for client in taken:
            client.close()
        thread.join()
        listener.close()


@pytest.mark.server
@pytest.mark.parametrize("more", [(), (b"x" * 65_536,)], ids=["hangs", "huge"])
def test_what_was_taken_is_taken_whatever_the_answer_says(more: tuple[bytes, ...]) -> None:
    """
    The status counts: an answer whose body never comes, or never ends, is no reason to post once more.
    """
    before = time.monotonic()
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\nabc", *more) as webhook:
        webhook.post(message("Report", []))

    assert time.monotonic() - before < 2


@pytest.mark.server
@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ((b"HTTP/1.1 200 OK\r\n", b"X-A: " + b"y" * 60_000 + b"\r\n"), "HTTPException"),
        ((b"hello\r\n\r\n",), "BadStatusLine"),
        ((b"HTTP/1.1 101 Switching Protocols\r\n\r\n",), "HTTP 101"),
    ],
    ids=["endless headers", "no HTTP", "another protocol"],
)
def test_an_answer_that_is_none_is_said(parts: tuple[bytes, ...], said: str) -> None:
    """
    With the kind of what went wrong, and nothing of what the server sent.
    """
    with answering(*parts) as webhook, pytest.raises(WebhookError, match=said):
        webhook.post(message("Report", []))


@pytest.mark.server
def test_nobody_there_is_said_without_the_address() -> None:
    """
    The error's own text, its repr and the webhook's show nothing of it.
    """
    with listening(Hook()) as hook:
        webhook = posted(hook)
    with pytest.raises(WebhookError) as caught:
        webhook.post(message("Report", []))

    assert "ConnectionRefusedError" in str(caught.value)
    for shown in (str(caught.value), repr(caught.value), repr(webhook)):
        assert "s3cret" not in shown
        assert "hidden" not in shown
        assert SECRET not in shown


@pytest.mark.server
@needs_openssl
def test_over_https_the_certificate_counts(tmp_path: Path) -> None:
    """
    One that is trusted is, another one is refused at once.
    """
    pem, tls = certificate(tmp_path, "127.0.0.1")
    with listening(Hook(), tls) as hook:
        Webhook(hook.url, SECRET, trust=str(pem)).post(message("Report", []))
        with pytest.raises(WebhookError, match="certificate is not valid"):
            Webhook(hook.url, SECRET).post(message("Report", []))

    assert 1 == len(hook.got)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://example.com/s3cret", "needs https://"),
        ("http://10.0.0.1/s3cret", "needs https://"),
        ("http://localhost.example.com/s3cret", "needs https://"),
        ("ftp://example.com/s3cret", "begins with https://"),
        ("https:///s3cret", "begins with https://"),
        ("https://example.com:99999/s3cret", "begins with https://"),
        ("https://[::1/s3cret", "begins with https://"),
        ("https://example.com/s3cret\r\nX: y", "begins with https://"),
        ("https://user:s3cret@example.com/", "no user, password"),
        ("https://example.com/ s3cret", "no user, password or space"),
        ("s3cret", "begins with https://"),
    ],
)
def test_an_address_that_is_none_is_refused_unshown(url: str, said: str) -> None:
    """
    Before anything is sent.
    """
    with pytest.raises(SetupError) as caught:
        Webhook(url)

    assert said in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://localhost:1/", "http://127.9.9.9:1/", "http://[::1]:1/", "https://x.example/"])
def test_loopback_may_be_without_https(url: str) -> None:
    """
    Everything else may not.
    """
    assert url == Webhook(url).url


def test_a_short_secret_is_refused() -> None:
    """
    Unshown.
    """
    with pytest.raises(SetupError, match="16 characters") as caught:
        Webhook("https://x.example/", "short-one")

    assert "short-one" not in str(caught.value)


def test_what_applications_told_is_no_markup_for_slack() -> None:
    """
    No mention, no link, no end of the block; and the message is bounded.
    """
    told = message("<!channel>", ["<https://evil.example|click> & ```", *("x" * 10_000 for _ in range(100))])

    assert "&lt;!channel&gt;" in told["text"]
    assert "```&lt;https://evil.example|click&gt; &amp; ` ` ````" == told["blocks"][1]["text"]["text"]
    assert len(told["blocks"]) <= 50
    assert all(len(block["text"]["text"]) <= 3_000 for block in told["blocks"])


@pytest.mark.server
def test_a_message_that_is_too_long_is_not_sent() -> None:
    """
    Nobody's webhook takes it.
    """
    with listening(Hook()) as hook, pytest.raises(WebhookError, match="over 64 KiB"):
        posted(hook).post({"text": "x" * 70_000})

    assert [] == hook.got
