"""What a request says: channel, session, the resolver; each part guarded by itself."""

from __future__ import annotations

from typing import Any

import pytest

import bizspan
from bizspan import names
from bizspan.errors import SetupError
from bizspan.integrations import _exchange
from bizspan.integrations._exchange import Exchange
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

    def header(name: str) -> str | None:
        return None if name in TRACING else fails()

    request = arrived(header)

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

    exchange = _exchange.begin(Exchange(rules({option: interrupted}), arrived()))
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
        noted,
        session=lambda: noted("session"),
        session_id=lambda: noted("session id"),
        is_authenticated=lambda: noted("authenticated"),
    )

    send(rules(), request)

    assert ["session", "User-Agent"] == [name for name in asked if name not in TRACING]


@pytest.mark.parametrize("paths", [["/checkout"], ["/health", "/check*"], ["/*"]])
def test_a_path_that_is_excluded_is_left_alone(capbiz: Capture, paths: list[str]) -> None:
    """
    Its requests are no operations and cost one comparison.
    """
    assert _exchange.begin(Exchange(rules(exclude=paths), arrived())) is None
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
