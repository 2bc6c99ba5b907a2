"""Buttons of the page, where a program offers some: over HTTP, with and without a token, and from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from html import unescape
from pathlib import Path

import pytest

from bizspan.errors import SetupError
from bizspan.lens import Lens
from bizspan.page import Action, add_page
from tests.lens.asking import Answer, ask

TOKEN = "s3cret"
FORM = "application/x-www-form-urlencoded"


class Shop:
    """Counts what was done."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def actions(self) -> list[Action]:
        """One that works, and one that says something nasty."""
        return [
            Action("roll-back", "Roll back", "All get the old one.", lambda: self._do("rolled back")),
            Action("kill", "kill <-9>", "It <dies>.", lambda: self._do("<script>dead</script>")),
        ]

    def _do(self, what: str) -> str:
        self.done.append(what)
        return what


@pytest.fixture
def shop() -> Shop:
    """What the buttons do."""
    return Shop()


@pytest.fixture
def lens(tmp_path: Path, shop: Shop) -> Generator[Lens]:
    """A lens whose page has buttons."""
    with Lens(tmp_path / "lens.db") as started:
        add_page(started, actions=shop.actions())
        yield started.start(0)


def token_of(lens: Lens, headers: Mapping[str, str] | None = None) -> str:
    """What the forms of the page carry."""
    page = ask(lens, "/", method="GET", headers=headers).body.decode()
    (token,) = set(re.findall(r'name="token" value="(\w+)"', page))
    return str(token)


def press(lens: Lens, path: str, token: str, **headers: str) -> Answer:
    """As a browser does that shows the page."""
    told = {"Origin": lens.url, "Sec-Fetch-Site": "same-origin"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    return ask(lens, path, f"token={token}".encode(), kind=FORM, headers={k: v for k, v in told.items() if v})


def test_a_button_does_it_and_the_page_says_so(lens: Lens, shop: Shop) -> None:
    """
    Once, then the page is shown anew: the last thing first, and nothing in it is markup.
    """
    first = press(lens, "/do/roll-back", token_of(lens))
    press(lens, "/do/kill", token_of(lens))
    page = ask(lens, "/", method="GET")

    assert (303, "/#actions") == (first.status, first.headers["location"])
    assert ["rolled back", "<script>dead</script>"] == shop.done
    text = page.body.decode()
    assert re.search(r'role="status">\d\d:\d\d:\d\d  kill &lt;-9&gt;: &lt;script&gt;dead', text), text
    assert re.search(r"<li>\d\d:\d\d:\d\d  Roll back: rolled back</li>", text)
    assert "All get the old one." in unescape(text)
    assert "form-action 'self'" in page.headers["content-security-policy"]
    assert "same-origin" == page.headers["referrer-policy"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "none"},
        {"Content_Type": "text/plain"},
    ],
    ids=str,
)
def test_another_site_presses_nothing(lens: Lens, shop: Shop, headers: dict[str, str]) -> None:
    """
    Also with the right token: 403, and a sentence. So does a program that does not say where it comes from.
    """
    refused = press(lens, "/do/kill", token_of(lens), **headers)

    assert (403, []) == (refused.status, shop.done)
    assert b"This was not pressed on the page of this lens" in refused.body
    assert "default-src 'none'" in refused.headers["content-security-policy"]


@pytest.mark.parametrize("body", [b"", b"token=", b"token=" + b"0" * 64, b"token=\xff", b"a=1&" * 9, b"x" * 5_000])
def test_without_the_token_of_the_page_nothing_happens(lens: Lens, shop: Shop, body: bytes) -> None:
    """
    Whatever is in its place.
    """
    refused = ask(lens, "/do/kill", body, kind=FORM, headers={"Origin": lens.url})

    assert (403, []) == (refused.status, shop.done)


def test_a_link_presses_nothing(lens: Lens, shop: Shop) -> None:
    """
    GET and HEAD are not taken; other names are not there.
    """
    assert [405, 405] == [ask(lens, "/do/kill", method=method).status for method in ("GET", "HEAD")]
    assert 404 == press(lens, "/do/everything", token_of(lens)).status
    assert [] == shop.done


def test_a_lens_by_itself_has_no_buttons(tmp_path: Path) -> None:
    """
    Neither on the page nor at the path, and its pages tell no address to others.
    """
    with Lens(tmp_path / "plain.db") as lens:
        add_page(lens)
        lens.start(0)
        page = ask(lens, "/", method="GET")

        assert (b"/do/" in page.body, "no-referrer") == (False, page.headers["referrer-policy"])
        assert 404 == press(lens, "/do/kill", "").status


def test_a_session_presses_with_its_own_token(tmp_path: Path, shop: Shop) -> None:
    """
    One without a session does not, nor one session with what another was given; and a session still stores no events.
    """
    with Lens(tmp_path / "guarded.db", token=TOKEN) as lens:
        add_page(lens, actions=shop.actions())
        lens.start(0)
        sessions = [
            ask(lens, "/login", f"token={TOKEN}".encode(), kind=FORM).headers["set-cookie"].partition(";")[0]
            for _ in "ab"
        ]
        mine, theirs = (token_of(lens, {"Cookie": each}) for each in sessions)

        assert mine != theirs
        assert 401 == press(lens, "/do/kill", mine).status
        assert 403 == press(lens, "/do/kill", theirs, Cookie=sessions[0]).status
        assert 401 == ask(lens, "/v1/logs", b"", headers={"Cookie": sessions[0]}).status
        assert [] == shop.done
        assert 303 == press(lens, "/do/kill", mine, Cookie=sessions[0]).status
    assert 1 == len(shop.done)


@pytest.mark.parametrize("name", ["", "Roll", "a/b", "a b", "ä", "../x"])
def test_a_name_fits_into_an_address(name: str) -> None:
    """
    Anything else is refused when it is made.
    """
    with pytest.raises(SetupError, match="small letters and hyphens"):
        Action(name, "x", "x", str)
