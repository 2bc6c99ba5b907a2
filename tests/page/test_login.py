"""With a token: the link that works once, the form, the cookie, and what they do not open."""

from __future__ import annotations

from collections.abc import Generator
from email.message import Message
from pathlib import Path

import pytest

from bizspan.lens import Access, Lens, Refusal
from bizspan.page import add_page
from tests.lens.asking import Answer, ask
from tests.wire import logs

TOKEN = "s3cret"
FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def guarded(tmp_path: Path) -> Generator[Lens]:
    """A lens with a token and a page."""
    with Lens(tmp_path / "lens.db", token=TOKEN) as started:
        add_page(started)
        yield started.start(0)


def cookie_of(answer: Answer) -> dict[str, str]:
    return {"Cookie": answer.headers["set-cookie"].partition(";")[0]}


def test_a_link_lets_in_once(guarded: Lens) -> None:
    """
    By a cookie that no script reads and no other site sends; the second time the link says that it was used.
    """
    first = ask(guarded, guarded.page_path, method="GET")
    second = ask(guarded, guarded.page_path, method="GET")

    assert (200, 401, True) == (first.status, second.status, b"was used already" in second.body)
    assert "set-cookie" not in second.headers
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= {*first.headers["set-cookie"].split("; ")}
    assert 200 == ask(guarded, "/", method="GET", headers=cookie_of(first)).status


def test_the_empty_page_says_that_senders_need_the_token(guarded: Lens) -> None:
    """
    With the variable for it, but not the token itself.
    """
    page = ask(guarded, "/", method="GET", headers={"Authorization": f"Bearer {TOKEN}"}).body

    assert b"OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20TOKEN python" in page
    assert TOKEN.encode() not in page


def test_looking_at_a_link_does_not_use_it(guarded: Lens) -> None:
    """
    Programs that preview a link ask with HEAD.
    """
    ask(guarded, guarded.page_path, method="HEAD")

    assert 200 == ask(guarded, guarded.page_path, method="GET").status


def test_the_token_lets_in(guarded: Lens) -> None:
    """
    In the form; another one does not, and neither is shown again.
    """
    wrong = ask(guarded, "/login", b"token=nonsense", kind=FORM)
    right = ask(guarded, "/login", f"token={TOKEN}".encode(), kind=FORM)

    assert (401, True) == (wrong.status, b"This token is wrong" in wrong.body)
    assert "set-cookie" not in wrong.headers and b"nonsense" not in wrong.body
    assert (200, 200) == (right.status, ask(guarded, "/csv/segment", method="GET", headers=cookie_of(right)).status)


def test_a_browser_without_a_session_is_led_to_the_login(guarded: Lens) -> None:
    """
    A program gets 401; files that hold nothing secret are open.
    """
    browser = ask(guarded, "/", method="GET", headers={"Accept": "text/html"})

    assert (303, "/login") == (browser.status, browser.headers["location"])
    for path in ("/", "/csv/segment", "/live", "/trace/" + "a" * 32):
        assert 401 == ask(guarded, path, method="GET").status, path
    assert 200 == ask(guarded, "/assets/page.css", method="GET").status
    assert 200 == ask(guarded, "/", method="GET", headers={"Authorization": f"Bearer {TOKEN}"}).status


def test_a_session_stores_nothing(guarded: Lens) -> None:
    """
    What a browser sends by itself may read; to send events needs the token.
    """
    session = cookie_of(ask(guarded, guarded.page_path, method="GET"))

    assert 401 == ask(guarded, "/v1/logs", logs("a"), headers=session).status
    assert 200 == ask(guarded, "/v1/logs", logs("a"), headers={"Authorization": f"Bearer {TOKEN}"}).status


@pytest.mark.parametrize("cookie", ["bizspan_lens=", "bizspan_lens=x", "other=1", '"; ;=', "bizspan_lens", "\xff" * 50])
def test_a_wrong_cookie_is_none(guarded: Lens, cookie: str) -> None:
    """
    Whatever it is.
    """
    assert 401 == ask(guarded, "/", method="GET", headers={"Cookie": cookie}).status


def test_sessions_end() -> None:
    """
    After twelve hours; and the oldest where there are too many.
    """
    now = [0.0]
    access = Access(TOKEN, (), clock=lambda: now[0])
    access.add_pages("/login")
    sessions: list[str] = []
    for number in range(101):
        now[0] = float(number)
        sessions.append(access.log_in(TOKEN) or "")

    def is_in(session: str) -> bool:
        headers = Message()
        headers["Cookie"] = f"a=1; bizspan_lens={session}"
        try:
            access.check(headers, "GET", "/")
        except Refusal:
            return False
        return True

    assert [False, True, True] == [is_in(sessions[each]) for each in (0, 1, 100)]
    now[0] = 100 + 12 * 3600.0
    assert not is_in(sessions[100])


def test_without_a_token_the_host_is_looked_at(tmp_path: Path) -> None:
    """
    A web page that points a name of its own here reads nothing.
    """
    with Lens(tmp_path / "lens.db") as lens:
        add_page(lens)
        lens.start(0)

        assert [403, 403, 200] == [
            ask(lens, path, method="GET", headers={"Host": host}).status
            for path, host in (("/", "evil.example"), ("/live", "evil.example"), ("/", "localhost"))
        ]
