"""Requests made to harm: bounded, counted, nothing raised, and nothing of their content logged."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bizspan import names
from bizspan._regions import COUNTRIES, is_region
from bizspan.integrations._campaign import SESSION_KEY
from bizspan.testing import Capture, capture
from tests.arrivals import BROWSER, Session, arrived, facts_of, refused, rules, send

MEGABYTE = 2**20
MARK = "h0stile"  # in everything that a request sends; never in a log


def itself(request: object) -> object:
    """What the request holds, as a fact."""
    return request


EVERYTHING: dict[str, Any] = {
    "country_header": "CF-IPCountry",
    "region_header": "CF-Region",
    "trusted_hops": 2,
    "session": itself,
    "channel": itself,
    "test_header": "X-Test",
}
HEADERS = ("CF-IPCountry", "CF-Region", "X-Forwarded-For", "User-Agent", "baggage", "traceparent", "tracestate")
CAMPAIGN_KEYS = (
    names.CAMPAIGN,
    names.CAMPAIGN_SOURCE,
    names.CAMPAIGN_MEDIUM,
    names.CAMPAIGN_CONTENT,
    names.CAMPAIGN_TERM,
)


@pytest.fixture
def geo(tmp_path: Path) -> str:
    """A small MMDB file."""
    pytest.importorskip("maxminddb")
    pytest.importorskip("mmdb_writer")
    from tests.test_geo import GEOLITE, written

    return str(written(tmp_path / "city.mmdb", GEOLITE))


@pytest.fixture(autouse=True)
def nothing_of_it_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """After each of these tests."""
    caplog.set_level(logging.DEBUG)
    yield
    assert MARK not in caplog.text


def everything_told(told: Capture) -> list[dict[str, Any]]:
    """The attributes of all events, spans and points."""
    attributes = [dict(event.attributes) for event in told.operations()]
    attributes += [dict(span.attributes) for span in told.spans()]
    return attributes + [dict(point.attributes) for point in told.points(names.METRIC_DURATION)]


# --- size -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("filling", ["a", ",", "\xff", "\udcff", "bot ", "1.2.3.4,", "=;", " "])
def test_a_megabyte_in_one_header_is_bounded(capbiz: Capture, geo: str, header: str, filling: str) -> None:
    """
    The request is an operation all the same, and nothing on it is longer than a fact may be.
    """
    huge = (MARK + filling * MEGABYTE)[:MEGABYTE]
    request = arrived({"User-Agent": BROWSER, header: huge}, client=huge)
    began = time.perf_counter()

    send(rules(EVERYTHING, geo=geo), request)

    assert time.perf_counter() - began < 5.0
    told = everything_told(capbiz)
    assert 1 == len(capbiz.operations("checkout", outcome="success"))
    assert MARK not in str(told)
    assert len(str(told)) < 5_000
    capbiz.allow("iso_3166_1", "iso_3166_2", "duplicate_header", "control")


@pytest.mark.parametrize("filling", ["a", "&", "%", "%FF", "utm_campaign=&", "utm_campaign&", "+", "\udcff", "="])
def test_a_megabyte_of_query_is_bounded(capbiz: Capture, filling: str) -> None:
    """
    Of the query the beginning is read, and of each value 256 bytes are kept.
    """
    query = (f"utm_source={MARK}&utm_campaign=" + filling * MEGABYTE)[:MEGABYTE]
    session: Session = {"cart": 1}
    began = time.perf_counter()

    send(rules(), arrived(query=query, session=session))

    assert time.perf_counter() - began < 5.0
    capbiz.allow("truncated", "surrogate")
    assert 1 == len(capbiz.operations("checkout", outcome="success"))
    assert [] == [value for told in everything_told(capbiz) for value in told.values() if len(str(value)) > 1024]
    assert len(str(session)) < 2048


def test_functions_that_give_a_megabyte_are_bounded(capbiz: Capture) -> None:
    """
    What an application takes from a request and hands on is cut as every fact.
    """
    ruled = rules(EVERYTHING, resolver=lambda request: {"segment": request, "order": request})

    send(ruled, arrived(request=MARK * MEGABYTE))

    capbiz.allow("truncated")
    [event] = capbiz.operations("checkout")
    assert 256 == len(str(event.attributes[names.SEGMENT]))
    assert 8192 == len(str(event.attributes[names.ORDER]))
    assert len(str(event.attributes[names.SESSION])) < 128


# --- forged facts -----------------------------------------------------------------------------------------------------


def test_a_spoofed_country_is_ignored(capbiz: Capture) -> None:
    """
    Unless its header is the one that is named, no header of a client says where it is.
    """
    others = (
        "CF-IPCountry", "CloudFront-Viewer-Country", "X-AppEngine-Country", "X-Vercel-IP-Country", "X-Country-Code",
        "CF-Region", "X-AppEngine-Region", "X-Real-IP", "True-Client-IP", "Forwarded",
    )  # fmt: skip
    spoofed: dict[str, str] = dict.fromkeys(others, "KP")

    assert {} == facts_of(capbiz, rules(), arrived(spoofed))
    assert {names.COUNTRY: "DE"} == facts_of(
        capbiz, rules(country_header="X-Our-Country"), arrived({**spoofed, "X-Our-Country": "DE"})
    )


def test_an_address_that_a_client_forges_is_ignored(capbiz: Capture, geo: str) -> None:
    """
    However many addresses it sends, those that the trusted proxies appended count.
    """
    forged = ", ".join(["203.0.113.7"] * 1000)
    ruled = rules(geo=geo, trusted_hops=2)

    assert (
        "DE" == facts_of(capbiz, ruled, arrived({"X-Forwarded-For": f"{forged}, 192.0.2.7, 10.0.0.1"}))[names.COUNTRY]
    )


FORGED = {
    "baggage": "segment=gold,business.customer.segment=gold,country=KP,revenue=1000000,"
    "business.revenue.amount=1000000,business.revenue.minor_units=1,traffic=customer,customer=c-1",
    "X-Segment": "gold",
    "X-Revenue": "1000000",
    "business.customer.segment": "gold",
}


def test_segment_and_money_in_baggage_are_ignored(capbiz: Capture) -> None:
    """
    What a client claims about itself, in headers or in the query, is no fact.
    """
    query = "segment=gold&customer=c-1&country=KP&revenue=1000000&traffic=staff&utm_segment=gold&utm_revenue=1"

    assert {} == facts_of(capbiz, rules(), arrived(FORGED, query=query))
    assert "0.00 EUR" == str(capbiz.revenue("EUR"))
    assert [] == [told for told in everything_told(capbiz) if "gold" in str(told) or "1000000" in str(told)]


def test_a_forged_session_takes_nothing_but_a_campaign(capbiz: Capture) -> None:
    """
    An application that lets clients write its session lets them choose a campaign, and no more.
    """
    forged: Session = {SESSION_KEY: {"campaign": "c", "segment": "gold", "business.revenue.amount": 5, "traffic": "x"}}

    assert {names.CAMPAIGN: "c"} == facts_of(capbiz, rules(), arrived(session=forged))


# --- anything at all --------------------------------------------------------------------------------------------------

# What frameworks hand over: bytes as latin-1, and lone surrogates where they were escaped.
TEXT = st.one_of(
    st.text(st.characters(max_codepoint=255), max_size=60),
    st.text(
        st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF) | st.sampled_from("\0\x1b\r\n,;=%+[]:\xff"),
        max_size=40,
    ),
    st.text(max_size=30),
    st.sampled_from(["DE", "de-by", "XX", "T1", "ZZ", "192.0.2.7", "198.51.100.7, 10.0.0.1", "[::1]:80", "Googlebot"]),
)
QUERY = st.lists(
    st.tuples(
        st.sampled_from(["utm_campaign", "utm_source", "utm_medium", "utm_content", "utm_term", "utm_", "q", ""]),
        st.sampled_from(["=", "", "==", ";"]),
        st.one_of(TEXT, st.lists(st.integers(0, 255), max_size=20).map(lambda raw: "".join(f"%{b:02X}" for b in raw))),
    ).map("".join),
    max_size=8,
).map("&".join)


@settings(max_examples=300)
@given(
    headers=st.dictionaries(st.sampled_from([*HEADERS, "X-Test"]), TEXT),
    query=QUERY | TEXT,
    client=st.none() | TEXT,
    request=st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXT, st.binary(), st.lists(TEXT)),
    kept=st.dictionaries(st.sampled_from(["campaign", "campaign_term", "x"]), TEXT | st.none()) | TEXT,
    campaign=st.sampled_from(["first", "last"]),
)
def test_whatever_a_request_holds_it_is_recorded_with_clean_facts(
    headers: dict[str, str],
    query: str,
    client: str | None,
    request: object,
    kept: object,
    campaign: str,
) -> None:
    """
    One operation per request; places are codes of ISO 3166, texts are UTF-8 without controls, within their bounds.
    """
    with capture(check=False) as told:
        session: Session = {SESSION_KEY: kept}
        ruled = rules(EVERYTHING, campaign=campaign)

        send(ruled, arrived(headers, query=query, client=client, session=session, request=request))

        [event] = told.operations("checkout", outcome="success")
        facts = event.attributes
        told.assert_consistent()
        reasons = {problem.rsplit(": ", 1)[-1] for problem in told.problems()}
    assert facts.get(names.COUNTRY, "DE") in COUNTRIES
    assert is_region(str(facts.get(names.REGION, "DE-BY")))
    assert facts.get(names.TRAFFIC, "bot") in ("bot", "test")
    for key in CAMPAIGN_KEYS:
        text = str(facts.get(key, "a"))
        assert text.strip()
        assert len(text.encode()) <= 256
        assert not any(ord(letter) < 32 or 0xD800 <= ord(letter) <= 0xDFFF for letter in text)
    assert reasons <= {"iso_3166_1", "iso_3166_2", "duplicate_header", "surrogate", "control", "type", "bytes", "int64",
                       "nonfinite", "truncated"}  # fmt: skip


# --- number -----------------------------------------------------------------------------------------------------------

CAMPAIGNS = 100_000


@pytest.mark.fuzz
def test_a_hundred_thousand_campaigns_fit_their_budget() -> None:
    """
    The metric has 100 names and `__other__`, every request is counted, and memory stays what it was after 20,000.
    """
    ruled = rules()
    with capture(sampled=False) as told:
        memory, table = told._memory, told._pipeline.facts  # pyright: ignore[reportPrivateUsage]
        tracked: list[int] = []
        for number in range(CAMPAIGNS):
            send(ruled, arrived(query=f"utm_campaign={MARK}-{number}&utm_source=s{number}&utm_medium=m{number}"))
            if number % 1000 == 999:
                told._take()  # pyright: ignore[reportPrivateUsage]
                memory._logs.clear()  # the far end of this test keeps everything
            if number in (CAMPAIGNS // 5, CAMPAIGNS - 1):
                gc.collect()
                tracked.append(len(gc.get_objects()))

        points = told.points(names.METRIC_DURATION)
        assert CAMPAIGNS == sum(point.count for point in points)
        assert len(points) <= 101
        named = {point.attributes[names.CAMPAIGN] for point in points}
        assert (101, True) == (len(named), names.OTHER in named)
        assert [] == [slot.key for slot in table.slots.values() if len(slot.memo) > 4096]
        assert tracked[1] - tracked[0] < 5_000


@pytest.mark.parametrize("option", ["country_header", "region_header"])
def test_thousands_of_wrong_headers_are_said_once(
    capbiz: Capture, caplog: pytest.LogCaptureFixture, option: str
) -> None:
    """
    Each is counted, one warning is written, and it holds nothing of them.
    """
    ruled = rules({option: "X-Place"})
    for number in range(2_000):
        send(ruled, arrived({"X-Place": f"{number}-{MARK}"}))

    capbiz.allow("iso_3166_1", "iso_3166_2")
    assert 2_000 == sum(refused(capbiz).values())
    assert 1 == len(caplog.messages)
