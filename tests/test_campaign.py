"""The campaign that led to a request: utm_* parameters, kept in the application's own session."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest

import bizspan
from bizspan import names
from bizspan._accounts import Accounts
from bizspan.integrations import _campaign
from bizspan.integrations._campaign import KEPT_LIMIT, QUERY_LIMIT, SESSION_KEY, VALUE_LIMIT
from bizspan.testing import Capture
from tests.arrivals import Session, arrived, facts_of, refused, rules, send

CAMPAIGN, SOURCE, MEDIUM = names.CAMPAIGN, names.CAMPAIGN_SOURCE, names.CAMPAIGN_MEDIUM
LAST, FIRST, OFF = rules(), rules(campaign="first"), rules(campaign="off")
SPRING = "utm_campaign=spring&utm_source=news"
SPRING_FACTS = {CAMPAIGN: "spring", SOURCE: "news"}
SUMMER_FACTS = {CAMPAIGN: "summer"}


class Noticing(dict[str, Any]):
    """A session that notices reading and writing, as those of frameworks do."""

    def __init__(self, **content: Any) -> None:
        super().__init__(content)
        self.accessed = False
        self.written = 0

    def get(self, key: str, default: Any = None) -> Any:
        self.accessed = True
        return super().get(key, default)

    def keys(self) -> Any:
        self.accessed = True
        return super().keys()

    def __setitem__(self, key: str, value: Any) -> None:
        self.accessed = True
        self.written += 1
        super().__setitem__(key, value)


# --- the query --------------------------------------------------------------------------------------------------------


def told_by(query: str) -> tuple[dict[str, str], dict[str, int]]:
    """What a query says, and what was refused in it."""
    accounts = Accounts()
    return _campaign.told_by(query, accounts), accounts.values_refused.values()


def test_all_five_parameters_are_facts(capbiz: Capture) -> None:
    """
    Each under its own key; click ids and everything else in the query stay out.
    """
    query = "q=shoes&utm_campaign=c&utm_source=s&utm_medium=m&utm_content=x&utm_term=t&gclid=G1&fbclid=F1&utm_id=7"

    assert {
        CAMPAIGN: "c",
        SOURCE: "s",
        MEDIUM: "m",
        names.CAMPAIGN_CONTENT: "x",
        names.CAMPAIGN_TERM: "t",
    } == facts_of(capbiz, LAST, arrived(query=query))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", {}),
        ("utm_campaign=spring+sale", {"campaign": "spring sale"}),
        ("utm_campaign=spring%20sale%2B", {"campaign": "spring sale+"}),
        ("utm_campaign=gr%C3%BCn", {"campaign": "grün"}),
        ("utm_campaign=gr\xc3\xbcn", {"campaign": "grün"}),  # raw bytes, as WSGI and ASGI hand them over
        ("utm_campaign=100%25", {"campaign": "100%"}),
        ("utm_campaign=100%", {"campaign": "100%"}),
        ("utm_campaign=%zz", {"campaign": "%zz"}),
        ("utm_campaign=a=b", {"campaign": "a=b"}),
        ("utm_campaign=a;utm_source=b", {"campaign": "a;utm_source=b"}),  # & alone separates (WHATWG)
        ("utm_campaign=first&utm_campaign=second", {"campaign": "first"}),
        ("utm_campaign=&utm_campaign=second", {"campaign": "second"}),
        ("utm_campaign", {}),
        ("utm_campaign=%20+", {}),
        ("utm_campaign=+a+", {"campaign": "a"}),
        ("UTM_Campaign=a&xutm_campaign=b&utm_campaignx=c&redirect=utm_campaign%3Dd", {}),
        ("&&&utm_source=a&&", {"campaign_source": "a"}),
    ],
)
def test_a_query_is_read_as_browsers_write_it(query: str, expected: dict[str, str]) -> None:
    """
    Plus, percent, duplicates, semicolons and blanks; nothing of it is refused.
    """
    assert (expected, {}) == told_by(query)


@pytest.mark.parametrize(
    ("query", "expected", "reason"),
    [
        ("utm_campaign=a%FFb", "a�b", "surrogate"),
        ("utm_campaign=a%C3", "a�", "surrogate"),
        ("utm_campaign=a%ED%A0%80", "a���", "surrogate"),
        ("utm_campaign=a\xffb", "a�b", "surrogate"),
        ("utm_campaign=a\udcffb", "a���b", "surrogate"),
        ("utm_campaign=a\ud800€", "a���€", "surrogate"),
        ("utm_campaign=a%00b%1b[31mc", "abc", "control"),
        ("utm_campaign=a%0d%0ab", "a b", "control"),
        ("utm_campaign=a%E2%80%AEb", "ab", "control"),
        ("utm_campaign=" + "a" * 300, "a" * VALUE_LIMIT, "truncated"),
        ("utm_campaign=" + "%C3%BC" * 200, "ü" * (VALUE_LIMIT // 2), "truncated"),
    ],
)
def test_what_is_no_clean_text_is_cleaned_and_counted(query: str, expected: str, reason: str) -> None:
    """
    Bytes that are no UTF-8, controls and overlong values keep the rest, as every text that is told.
    """
    assert ({"campaign": expected}, {reason: 1}) == told_by(query)


def test_only_the_beginning_of_a_long_query_is_read() -> None:
    """
    Of a megabyte the first 8 KiB count, without the parameter that the limit cuts in two.
    """
    padding = "x" * (QUERY_LIMIT - 20)

    assert ({}, {}) == told_by(f"q={'x' * QUERY_LIMIT}&{SPRING}")
    assert ({"campaign": "a"}, {}) == told_by(f"utm_campaign=a&q={'x' * 2**20}")
    assert ({}, {}) == told_by(f"q={padding}&utm_campaign=cut-in-the-middle")
    assert ({}, {}) == told_by("utm_campaign=" + "a" * 2**20)
    assert ({"campaign": "a"}, {}) == told_by("utm_campaign=a&" + "utm_x&" * 2**18)


def test_off_takes_nothing(capbiz: Capture) -> None:
    """
    Neither query nor session is looked at.
    """
    session = Noticing(**{SESSION_KEY: {"campaign": "summer"}})

    assert {} == facts_of(capbiz, OFF, arrived(query=SPRING, session=session))
    assert not session.accessed


# --- the session ------------------------------------------------------------------------------------------------------


def test_a_later_request_of_the_session_has_the_campaign(capbiz: Capture) -> None:
    """
    The purchase is counted for the campaign of the visit.
    """
    session: Session = {"cart": 1}

    send(LAST, arrived(query=SPRING, session=session))

    assert SPRING_FACTS == facts_of(capbiz, LAST, arrived(session=session))
    assert {"cart": 1, SESSION_KEY: {"campaign": "spring", "campaign_source": "news"}} == session


def test_the_last_touch_replaces_the_one_before_as_a_whole(capbiz: Capture) -> None:
    """
    No source of one campaign stands beside the name of another.
    """
    session: Session = {"cart": 1}
    send(LAST, arrived(query=SPRING, session=session))
    send(LAST, arrived(query="utm_campaign=summer", session=session))

    assert SUMMER_FACTS == facts_of(capbiz, LAST, arrived(session=session))


def test_the_first_touch_stays(capbiz: Capture) -> None:
    """
    A later campaign changes neither its own request nor the session.
    """
    session: Session = {"cart": 1}
    send(FIRST, arrived(query=SPRING, session=session))

    assert SPRING_FACTS == facts_of(capbiz, FIRST, arrived(query="utm_campaign=summer", session=session))
    assert SPRING_FACTS == facts_of(capbiz, FIRST, arrived(session=session))


@pytest.mark.parametrize("ruled", [LAST, FIRST])
def test_no_session_is_begun_for_a_campaign(capbiz: Capture, ruled: Any) -> None:
    """
    A visitor without a session gets none from us; the campaign counts for its own request.
    """
    session = Noticing()

    assert SPRING_FACTS == facts_of(capbiz, ruled, arrived(query=SPRING, session=session))

    assert (0, False, {}) == (session.written, session.accessed, dict(session))


def test_a_session_that_the_application_begins_keeps_the_campaign_of_that_request(capbiz: Capture) -> None:
    """
    The cart that a landing page fills is the session that the campaign is kept in.
    """
    session: Session = {}

    def view() -> None:
        bizspan.event("landing")  # which asks for the request's facts before there is a session
        session.update(cart=1)

    send(LAST, arrived(query=SPRING, session=session), view)

    assert SPRING_FACTS == facts_of(capbiz, LAST, arrived(session=session))


def test_a_first_touch_that_the_application_brings_along_is_not_replaced(capbiz: Capture) -> None:
    """
    A log-in may restore a session with a campaign of its own.
    """
    session: Session = {}

    def view() -> None:
        bizspan.event("landing")
        session.update({SESSION_KEY: {"campaign": "summer"}})

    send(FIRST, arrived(query=SPRING, session=session), view)

    assert SUMMER_FACTS == facts_of(capbiz, FIRST, arrived(session=session))


def test_reading_is_not_the_applications_access(capbiz: Capture) -> None:
    """
    A framework adds `Vary: Cookie` to the answer of a request that read its session: ours may not.
    """
    session = Noticing(**{SESSION_KEY: {"campaign": "summer"}})

    assert SUMMER_FACTS == facts_of(capbiz, LAST, arrived(session=session))

    assert (0, False) == (session.written, session.accessed)


def test_an_access_by_the_application_stays_one(capbiz: Capture) -> None:
    """
    What it noticed before is not forgotten.
    """
    session = Noticing(cart=1)
    session.accessed = True

    send(LAST, arrived(session=session))

    assert session.accessed


def test_the_same_campaign_again_writes_nothing(capbiz: Capture) -> None:
    """
    A page that is loaded twice saves its session once.
    """
    session = Noticing(cart=1)

    send(LAST, arrived(query=SPRING, session=session))
    send(LAST, arrived(query=SPRING, session=session))

    assert 1 == session.written


@pytest.mark.parametrize(
    "kept",
    [
        None, 5, "spring", ["spring"], {}, {"campaign": None}, {"campaign": 5}, {"campaign": ["a"]}, {"other": "a"},
        {5: "a"}, {"campaign": ""}, {"segment": "vip", "customer": "c-1"}, {"campaign": {"a": "b"}},
    ],
)  # fmt: skip
def test_what_is_no_campaign_of_ours_is_ignored(capbiz: Capture, kept: object) -> None:
    """
    Sessions outlive versions, and other code may use the same key.
    """
    session: Session = {SESSION_KEY: kept}

    assert {} == facts_of(capbiz, LAST, arrived(session=session))
    assert SPRING_FACTS == facts_of(capbiz, FIRST, arrived(query=SPRING, session=session))


def test_what_a_session_holds_is_bounded_too(capbiz: Capture) -> None:
    """
    Of a megabyte in the session, as much counts as of a query; its lone surrogates are replaced.
    """
    session: Session = {SESSION_KEY: {"campaign": "a" * 2**20, "campaign_source": "\ud800", "x": "y" * 2**20}}

    assert {CAMPAIGN: "a" * VALUE_LIMIT, SOURCE: "�"} == facts_of(capbiz, LAST, arrived(session=session))


class Broken(dict[str, Any]):
    """A session that fails at one step."""

    def __init__(self, step: str) -> None:
        super().__init__(cart=1)
        self.step = step

    def get(self, key: str, default: Any = None) -> Any:
        self.fails("get")
        return super().get(key, default)

    def keys(self) -> Any:
        self.fails("keys")
        return super().keys()

    def __setitem__(self, key: str, value: Any) -> None:
        self.fails("set")

    def fails(self, step: str) -> None:
        """Raise where this is the step."""
        if step == self.step:
            raise OSError("10.1.2.3: connection refused")


@pytest.mark.parametrize("step", ["get", "keys", "set"])
def test_a_session_whose_store_is_down_leaves_the_campaign(
    capbiz: Capture, caplog: pytest.LogCaptureFixture, step: str
) -> None:
    """
    The query still counts for its own request, and the failure is counted without its text.
    """
    assert SPRING_FACTS == facts_of(capbiz, LAST, arrived(query=SPRING, session=Broken(step)))

    capbiz.allow("extractor_failed")
    assert {"extractor_failed": 1} == refused(capbiz)
    assert "10.1.2.3" not in caplog.text


def test_a_store_that_fails_after_the_view_harms_nothing(capbiz: Capture) -> None:
    """
    Keeping the campaign late is guarded as keeping it early.
    """
    sessions: list[Session] = [{}, Broken("get")]

    send(LAST, arrived(query=SPRING, session=lambda: sessions.pop(0)))

    capbiz.allow("extractor_failed")
    assert {"extractor_failed": 1} == refused(capbiz)
    assert 1 == len(capbiz.operations("checkout", outcome="success", campaign="spring"))


def test_what_is_kept_survives_json(capbiz: Capture) -> None:
    """
    Sessions are written as JSON by most stores: texts in one dict.
    """
    session: Session = {"cart": 1}
    query = urlencode({"utm_campaign": "grün €", "utm_term": "a" * 300}) + "&utm_source=%FF"
    send(LAST, arrived(query=query, session=session))
    capbiz.allow("truncated", "surrogate")

    assert session == json.loads(json.dumps(session))
    assert "grün €" == session[SESSION_KEY]["campaign"]


LONG = "&".join(f"utm_{name}={name[0] * 300}" for name in ("term", "content", "medium", "source", "campaign"))


def test_a_session_in_a_cookie_grows_by_little(capbiz: Capture) -> None:
    """
    Browsers drop cookies above 4 KB: of five long parameters a session keeps the campaign, whole, and says so.
    """
    session: Session = {"cart": 1}

    assert "m" * VALUE_LIMIT == facts_of(capbiz, LAST, arrived(query=LONG, session=session))[MEDIUM]

    assert {"campaign": "c" * VALUE_LIMIT} == session[SESSION_KEY]
    capbiz.allow("truncated")
    assert {"truncated": 5 + 4} == refused(capbiz)


@pytest.mark.parametrize("letter", ["a", "ü", "€", "\U0001f600", '"', "\\"])
@pytest.mark.parametrize("length", [40, 64, 100, 256])
def test_what_is_kept_is_bounded_as_it_is_written(capbiz: Capture, letter: str, length: int) -> None:
    """
    JSON escapes letters that are none of ASCII; what fits is whole, and in the order of its weight.
    """
    session: Session = {"cart": 1}
    told = {f"utm_{name}": letter * length for name in ("campaign", "source", "medium", "content", "term")}

    of_its_request = facts_of(capbiz, LAST, arrived(query=urlencode(told), session=session))
    capbiz.allow("truncated")

    kept = session.get(SESSION_KEY, {})
    assert len(json.dumps(kept)) <= KEPT_LIMIT
    assert set(kept.values()) <= {of_its_request[CAMPAIGN]}
    assert (
        list(kept)
        == ["campaign", "campaign_source", "campaign_medium", "campaign_content", "campaign_term"][: len(kept)]
    )
    assert len(kept) == 5 or len(json.dumps(kept)) + len(json.dumps(of_its_request[CAMPAIGN])) > KEPT_LIMIT - 24


def test_a_long_campaign_is_written_and_counted_once(capbiz: Capture) -> None:
    """
    The same one again changes nothing of the session.
    """
    session = Noticing(cart=1)
    query = f"utm_campaign={'a' * 250}&utm_source={'b' * 250}"

    send(LAST, arrived(query=query, session=session))
    send(LAST, arrived(query=query, session=session))

    capbiz.allow("truncated")
    assert (1, {"truncated": 1}) == (session.written, refused(capbiz))


def test_a_campaign_that_does_not_fit_leaves_nothing_of_the_one_before(capbiz: Capture) -> None:
    """
    The purchase is not counted for a campaign that another has replaced.
    """
    session: Session = {"cart": 1}
    send(LAST, arrived(query=SPRING, session=session))
    send(LAST, arrived(query=urlencode({"utm_campaign": "ü" * 128}), session=session))

    assert {} == facts_of(capbiz, LAST, arrived(session=session))
    capbiz.allow("truncated")
