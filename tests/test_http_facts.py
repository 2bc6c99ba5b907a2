"""What a request says: place by a trusted header, channel, session, the resolver; each part guarded by itself."""

from __future__ import annotations

from typing import Any

import pytest

import bizspan
from bizspan import names
from bizspan.errors import SetupError
from bizspan.integrations import _exchange
from bizspan.integrations._place import parsed_address
from bizspan.integrations._rules import rules_of
from bizspan.testing import Capture
from tests.arrivals import arrived, facts_of, missing, refused, rules, send

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


# --- channel, resolver, session ---------------------------------------------------------------------------------------


def test_a_constant_channel_is_on_every_request(capbiz: Capture) -> None:
    """
    An application that serves one channel says so once.
    """
    assert {CHANNEL: "web"} == facts_of(capbiz, rules(channel="web"), arrived())


def test_a_channel_by_function_is_asked_with_the_frameworks_request(capbiz: Capture) -> None:
    """
    The function gets what the framework calls a request; None is not told.
    """
    ruled = rules(channel=lambda request: request.get("app"))

    assert {CHANNEL: "ios"} == facts_of(capbiz, ruled, arrived(request={"app": "ios"}))
    assert {} == facts_of(capbiz, ruled, arrived(request={}))


def test_the_resolver_wins_over_what_the_request_says(capbiz: Capture) -> None:
    """
    Who acts is better known than what headers guess, community included.
    """
    ruled = rules(
        TRUSTED,
        channel="web",
        resolver=lambda request: {"segment": "smb", "community": "makers", "country": "AT", "plan": None},
    )

    assert {COUNTRY: "AT", CHANNEL: "web", names.SEGMENT: "smb", names.COMMUNITY: "makers"} == facts_of(
        capbiz, ruled, arrived({"CF-IPCountry": "DE"})
    )


def test_a_resolver_may_know_nothing(capbiz: Capture) -> None:
    """
    None for an anonymous visitor is an answer.
    """
    assert {} == facts_of(capbiz, rules(resolver=lambda request: None), arrived())


def test_one_function_replaces_everything(capbiz: Capture) -> None:
    """
    With ``facts`` no header, campaign, bot or session is looked at.
    """
    ruled = rules(TRUSTED, facts=lambda request: {"segment": request}, channel="web", session=True)
    request = arrived(
        {"CF-IPCountry": "DE", "User-Agent": "Googlebot/2.1"},
        query="utm_campaign=spring",
        session=fails,
        session_id=fails,
        request="vip",
    )

    assert {names.SEGMENT: "vip"} == facts_of(capbiz, ruled, request)


def test_the_session_id_leaves_as_a_keyed_hash(capbiz: Capture) -> None:
    """
    Whoever reads the telemetry cannot take over the session, and sees which requests belong together.
    """
    ruled = rules(session=True)

    first = facts_of(capbiz, ruled, arrived(session_id=lambda: "s3cr3t"))[names.SESSION]
    again = facts_of(capbiz, ruled, arrived(session_id=lambda: "s3cr3t"))[names.SESSION]
    other = facts_of(capbiz, ruled, arrived(session_id=lambda: "other"))[names.SESSION]

    assert first == again != other
    assert first.startswith("test:")
    assert "s3cr3t" not in str(capbiz.operations()) + str([span.attributes for span in capbiz.spans()])


def test_an_id_by_function_is_hashed_as_well(capbiz: Capture) -> None:
    """
    A function may give the id of another cookie; a whole number is an id.
    """
    by_function = facts_of(capbiz, rules(session=lambda request: 17), arrived())[names.SESSION]
    by_id = facts_of(capbiz, rules(session=True), arrived(session_id=lambda: "17"))[names.SESSION]

    assert by_id == by_function


def test_an_id_is_hashed_once_however_it_is_told(capbiz: Capture) -> None:
    """
    By the option, by `resolver`, by `facts` in place of everything, and by `context`: the same hash, and never the id.
    """
    by_option = facts_of(capbiz, rules(session=lambda request: "s3cr3t"), arrived())
    by_resolver = facts_of(capbiz, rules(resolver=lambda request: {"session": "s3cr3t"}), arrived())
    by_facts = facts_of(capbiz, rules(facts=lambda request: {"session": "s3cr3t"}), arrived())
    with bizspan.context(session="s3cr3t"):
        bizspan.event("inside")
    bizspan.event("by key", attributes={"session.id": "s3cr3t"})

    [inside, by_key] = capbiz.events()
    assert by_option == by_resolver == by_facts
    assert by_option[names.SESSION] == inside.attributes[names.SESSION] == by_key.attributes[names.SESSION]
    assert "s3cr3t" not in str(capbiz.operations()) + str(capbiz.events())


@pytest.mark.parametrize("nothing", [None, ""])
def test_a_visitor_without_a_session_has_no_id(capbiz: Capture, nothing: str | None) -> None:
    """
    Nothing is told for a session that does not exist.
    """
    assert {} == facts_of(capbiz, rules(session=True), arrived(session_id=lambda: nothing))


def test_an_id_that_is_no_text_is_dropped_and_counted(capbiz: Capture) -> None:
    """
    An object is not turned into text, which might hold anything.
    """
    told = facts_of(capbiz, rules(session=lambda request: object()), arrived())

    assert {names.NOTES: ("session:type",)} == told
    capbiz.allow("type")
    assert {"type": 1} == refused(capbiz)


def test_production_without_a_key_drops_the_session_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Like a customer, it is counted and never stored in plain.
    """
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=production")
    with bizspan.configure(service_name="shop", export="console"):  # pyright: ignore[reportUnknownMemberType]
        send(rules(session=True), arrived(session_id=lambda: "s3cr3t"))

        assert {"no_key": 1} == bizspan.diagnostics().values_refused


# --- each part is guarded ---------------------------------------------------------------------------------------------


def test_parts_that_fail_leave_the_others(capbiz: Capture, caplog: pytest.LogCaptureFixture) -> None:
    """
    With a broken channel, session, predicate and resolver, place and campaign are still there; each is counted.
    """
    ruled = rules(TRUSTED, channel=fails, session=True, staff=fails, resolver=fails, test_header="X-Test")
    request = arrived({"CF-IPCountry": "DE"}, query="utm_campaign=spring", session=fails, session_id=fails)

    noted = missing("staff", "channel", "session", "resolver")
    assert {COUNTRY: "DE", names.CAMPAIGN: "spring", **noted} == facts_of(capbiz, ruled, request)

    capbiz.allow("extractor_failed")
    assert {"extractor_failed": 5} == refused(capbiz)
    assert ["campaign", "channel", "resolver", "session", "staff"] == sorted(
        message.split()[1] for message in caplog.messages
    )
    assert "secret-in-the-text" not in caplog.text


def test_headers_that_raise_leave_what_needs_none(capbiz: Capture) -> None:
    """
    Without its headers a request has no place and no traffic, but its resolver's facts.
    """
    ruled = rules(BOTH, test_header="X-Test", resolver=lambda request: {"segment": "smb"})
    request = arrived()

    def header(name: str) -> str | None:
        return None if name in TRACING else fails()

    request.header = header

    noted = missing("country", "region", "test_header", "bots")
    assert {names.SEGMENT: "smb", **noted} == facts_of(capbiz, ruled, request)

    capbiz.allow("extractor_failed")
    assert {"extractor_failed": 4} == refused(capbiz)


@pytest.mark.parametrize("option", ["resolver", "staff", "channel", "session"])
def test_a_base_exception_passes(capbiz: Capture, option: str) -> None:
    """
    An interrupt is not telemetry's to swallow.
    """

    def interrupted(request: object) -> Any:
        raise KeyboardInterrupt

    exchange = _exchange.begin(rules({option: interrupted}), arrived())
    assert exchange is not None

    with pytest.raises(KeyboardInterrupt):
        exchange.responded(200)
    exchange.leave()


def test_nothing_is_looked_at_that_is_not_configured(capbiz: Capture) -> None:
    """
    A request under default options asks for its user agent and its session, and for each once.
    """
    asked: list[str] = []

    def noted(name: str) -> Any:
        asked.append(name)

    request = arrived(
        session=lambda: noted("session"),
        session_id=lambda: noted("session id"),
        is_authenticated=lambda: noted("authenticated"),
    )
    request.header = noted

    send(rules(), request)

    assert ["session", "User-Agent"] == [name for name in asked if name not in TRACING]


@pytest.mark.parametrize("paths", [["/checkout"], ["/health", "/check*"], ["/*"]])
def test_a_path_that_is_excluded_is_left_alone(capbiz: Capture, paths: list[str]) -> None:
    """
    Its requests are no operations and cost one comparison.
    """
    assert _exchange.begin(rules(exclude=paths), arrived()) is None
    assert {} == facts_of(capbiz, rules(exclude=["/check", "/checkout/"]), arrived())


# --- options ----------------------------------------------------------------------------------------------------------


async def later(request: object) -> dict[str, str]:
    """What can't be asked where nothing is awaited."""
    return {}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"country_header": ""}, "country_header= must be the name of one header"),
        ({"country_header": ["CF-IPCountry", "X-Country"]}, "country_header= must be the name of one header"),
        ({"region_header": "X Region"}, "region_header= must be the name of one header"),
        ({"test_header": "X-Test\r\nX"}, "test_header= must be the name of one header"),
        ({"country_header": "HTTP_CF_IPCOUNTRY"}, "write the header's own name: 'Cf-Ipcountry'"),
        ({"trusted_hops": -1}, "trusted_hops= must be a whole number from 0"),
        ({"trusted_hops": True}, "trusted_hops= must be a whole number from 0"),
        ({"trusted_hops": "1"}, "trusted_hops= must be a whole number from 0"),
        ({"campaign": "best"}, "campaign='best' is unknown; use one of 'first', 'last', 'off'"),
        ({"channel": ""}, "channel= must be a text such as 'web', or a function"),
        ({"channel": 5}, "channel= must be a text such as 'web', or a function"),
        ({"session": "cookie"}, "session= must be True, False, or a function"),
        ({"session": None}, "session= must be True, False, or a function"),
        ({"bots": "yes"}, "bots= must be True or False"),
        ({"staff": "admin"}, "staff= must be a function of the request, got str"),
        ({"resolver": {"segment": "smb"}}, "resolver= must be a function of the request, got dict"),
        ({"resolver": later}, "resolver= must be a plain function"),
        ({"facts": later}, "facts= must be a plain function"),
        ({"staff": later}, "staff= must be a plain function"),
        ({"channel": later}, "channel= must be a plain function"),
        ({"session": later}, "session= must be a plain function"),
        ({"exclude": "/health"}, "exclude= must be a list of paths"),
        ({"exclude": 5}, "exclude= must be a list of paths"),
        ({"exclude": [5]}, "exclude= must be a list of paths"),
        ({"exclude": ["health"]}, "exclude= must be a list of paths"),
        ({"country_heder": "X"}, "There is no option 'country_heder'. Did you mean 'country_header'?"),
        ({"qqq": 1}, "There is no option 'qqq'. Options are routes, resolver"),
    ],
)  # fmt: skip
def test_an_option_that_cannot_work_is_refused_at_set_up(options: dict[str, Any], said: str) -> None:
    """
    The text names the option and what to write instead.
    """
    with pytest.raises(SetupError) as refusal:
        rules_of(options)

    assert said in str(refusal.value)
