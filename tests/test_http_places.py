"""Where a request comes from: country and region by a trusted header, and how addresses are read."""

from __future__ import annotations

from typing import Any

import pytest

from bizspan import names
from bizspan.integrations._place import parsed_address
from bizspan.testing import Capture
from tests.arrivals import arrived, facts_of, refused, rules

COUNTRY, REGION, CHANNEL = names.COUNTRY, names.REGION, names.CHANNEL
TRACING = ("traceparent", "tracestate")  # read for the caller's span
TRUSTED = {"country_header": "CF-IPCountry"}
BOTH = {"country_header": "CloudFront-Viewer-Country", "region_header": "CloudFront-Viewer-Country-Region"}


def fails(*_: object) -> Any:
    """Somebody else's code that is broken."""
    raise RuntimeError("secret-in-the-text")


# --- country and region by header -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    ["CF-IPCountry", "CloudFront-Viewer-Country", "X-AppEngine-Country", "X-Vercel-IP-Country", "X-Our-Country"],
)
def test_the_country_comes_from_the_header_that_is_named(capbiz: Capture, header: str) -> None:
    """
    Whichever proxy is in front, its header gives the country, in capitals.
    """
    assert {COUNTRY: "DE"} == facts_of(capbiz, rules(country_header=header), arrived({header: " de "}))


def test_a_header_that_is_not_named_says_nothing(capbiz: Capture) -> None:
    """
    A client that sends another proxy's header chooses no country.
    """
    assert {} == facts_of(capbiz, rules(), arrived({"CF-IPCountry": "DE"}))
    assert {COUNTRY: "FR"} == facts_of(
        capbiz, rules(TRUSTED), arrived({"CF-IPCountry": "FR", "X-Vercel-IP-Country": "DE"})
    )


@pytest.mark.parametrize("code", ["XX", "T1", "ZZ", "A1", "A2", "O1", "EU", "AP", "", "-", "?", "xx"])
def test_an_unknown_country_is_absent_and_counted_in_silence(
    capbiz: Capture, caplog: pytest.LogCaptureFixture, code: str
) -> None:
    """
    What proxies answer for networks without a place is no country and no problem either.
    """
    assert {} == facts_of(capbiz, rules(TRUSTED), arrived({"CF-IPCountry": code}))

    assert {"unknown_place": 1} == refused(capbiz)
    assert [] == caplog.messages


def test_a_missing_header_is_not_counted(capbiz: Capture) -> None:
    """
    A request that came without the proxy has no country, and nothing was refused.
    """
    assert {} == facts_of(capbiz, rules(BOTH), arrived())

    assert {} == refused(capbiz)


@pytest.mark.parametrize("code", ["Germany", "D", "D3", "<script>", "ÄÖ", "DEU", "\udcff\udcff", "UK"])
def test_what_is_no_country_is_absent_counted_and_said_without_its_content(
    capbiz: Capture, caplog: pytest.LogCaptureFixture, code: str
) -> None:
    """
    A wrong header is told once, by its option, never by what it held.
    """
    assert {} == facts_of(capbiz, rules(TRUSTED), arrived({"CF-IPCountry": code}))

    capbiz.allow("iso_3166_1")
    assert {"iso_3166_1": 1} == refused(capbiz)
    [said] = caplog.messages
    assert "country_header=" in said
    assert len(code) < 3 or code not in said


@pytest.mark.parametrize("value", ["DE, FR", "DE,DE", "US,", ",US"])
def test_a_header_that_came_twice_is_not_trusted(capbiz: Capture, value: str) -> None:
    """
    One of the two is the client's own, and nothing says which: neither counts.
    """
    assert {} == facts_of(capbiz, rules(TRUSTED), arrived({"CF-IPCountry": value}))

    capbiz.allow("duplicate_header")
    assert {"duplicate_header": 1} == refused(capbiz)


@pytest.mark.parametrize(
    ("country", "region", "expected"),
    [
        ("DE", "BY", "DE-BY"),
        ("DE", "DE-BY", "DE-BY"),
        ("us", "ca", "US-CA"),
        ("US", "USCA", "US-CA"),
        ("GB", "ENG", "GB-ENG"),
        ("AT", "9", "AT-9"),
        ("BR", "AP", "BR-AP"),  # unknown as a country, a state of Brazil
    ],
)
def test_a_region_gets_its_country(capbiz: Capture, country: str, region: str, expected: str) -> None:
    """
    Proxies that send the second part alone and those that send all of ISO 3166-2 give the same region.
    """
    request = arrived({BOTH["country_header"]: country, BOTH["region_header"]: region})

    assert expected == facts_of(capbiz, rules(BOTH), request)[REGION]


def test_a_whole_region_needs_no_country_header(capbiz: Capture) -> None:
    """
    ``DE-BY`` says its country itself.
    """
    assert {REGION: "DE-BY"} == facts_of(capbiz, rules(region_header="X-Region"), arrived({"X-Region": "de-by"}))


@pytest.mark.parametrize(("country", "region"), [("XX", "BY"), ("DE", "?"), ("DE", ""), ("DE", "ZZ")])
def test_a_region_that_nobody_knows_is_absent(capbiz: Capture, country: str, region: str) -> None:
    """
    Without its country, or unknown itself, a region is left out and counted in silence.
    """
    request = arrived({BOTH["country_header"]: country, BOTH["region_header"]: region})

    assert REGION not in facts_of(capbiz, rules(BOTH), request)
    assert {"unknown_place"} == refused(capbiz).keys()


def test_a_wrong_region_leaves_the_country(capbiz: Capture) -> None:
    """
    Each header is judged alone.
    """
    request = arrived({BOTH["country_header"]: "DE", BOTH["region_header"]: "Bavaria"})

    assert {COUNTRY: "DE"} == facts_of(capbiz, rules(BOTH), request)
    capbiz.allow("iso_3166_2")


# --- addresses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.7", "192.0.2.7"),
        (" 192.0.2.7 ", "192.0.2.7"),
        ("192.0.2.7:4711", "192.0.2.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("[2001:db8::7]:443", "2001:db8::7"),
        ("fe80::7%eth0", "fe80::7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("[::ffff:192.0.2.7]:80", "192.0.2.7"),
    ],
)
def test_an_address_is_read_without_what_stands_around_it(text: str, expected: str) -> None:
    """
    Port, brackets and zone go, and an IPv4 address inside an IPv6 one is the IPv4 address.
    """
    assert expected == str(parsed_address(text))


@pytest.mark.parametrize(
    "text",
    ["", "unknown", "_hidden", "testclient", "unix:", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "192.0.2.7%eth0",
     "[192.0.2.7:80", "::g", "1" * 65, "１.2.3.4", "\udcff", None, ("192.0.2.7", 80), 3232235777],
)  # fmt: skip
def test_what_is_no_address_is_none(text: object) -> None:
    """
    Socket paths, obfuscated nodes and garbage are no address.
    """
    assert parsed_address(text) is None
