"""
What a request says about who, where from and which campaign. No I/O: a framework's integration fills in `Arrived`.

Each part is guarded by itself: one that fails is counted, and leaves the others.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Final, cast

from bizspan._regions import COUNTRIES
from bizspan.errors import SetupError, type_name
from bizspan.integrations._campaign import campaign_facts
from bizspan.integrations._place import client_address, country_of, region_of
from bizspan.integrations._rules import FactsOf, Rules
from bizspan.integrations._traffic import LONGEST, is_bot

if TYPE_CHECKING:
    from bizspan._accounts import Accounts
    from bizspan._pipeline import Pipeline
    from bizspan.integrations._geo import Geo

Header = Callable[[str], str | None]

# Any scheme. The second is no standard, but the custom of APIs for partners.
_CREDENTIALS: Final = ("Authorization", "X-Api-Key")


class Arrived:
    """
    One request, as far as its facts are concerned. Each framework's integration has a kind of its own; what costs is a
    method, called when it is needed.

    Args:
        method: Of HTTP, in capitals.
        path: Decoded, without the query.
        query: The raw query string: percent-encoded, its bytes as latin-1.
        client: The peer's address.
        request: The framework's own, for the user's functions.
    """

    __slots__ = ("client", "failed", "knows_nobody", "method", "path", "query", "request", "touch")

    def __init__(self, method: str, path: str, query: str, client: str | None, request: object) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.client = client
        self.request: Any = request
        self.touch: Mapping[str, str] | None = None  # a campaign that waits for the application to begin a session
        self.failed: tuple[str, ...] = ()  # what is missing, because a function raised
        self.knows_nobody = False  # the function that says who acts was asked, and gave no fact

    def header(self, name: str, /) -> str | None:
        """
        The value of one header by its name, in any case; None where it is missing. A header that came more than once is
        joined by commas.
        """
        return None

    def session(self) -> MutableMapping[str, Any] | None:
        """
        The application's session of this request, where it has one. Should not count as an access by the application;
        None where reading it now would do I/O that the application does not do itself.
        """
        return None

    def session_id(self) -> str | None:
        """Its id; None where there is none yet."""
        return None

    def is_authenticated(self) -> bool:
        """Whether somebody is logged in. Asked after authentication."""
        return False


def request_facts(rules: Rules, arrived: Arrived, pipeline: Pipeline) -> dict[str, object]:
    """
    What the request itself says, by keyword: place, campaign, a constant channel.
    """
    accounts = pipeline.accounts
    facts: dict[str, object] = {}
    if rules.country_header is not None or rules.region_header is not None or rules.geo is not None:
        _add_place(facts, rules, arrived, accounts)
    if rules.campaign != "off":
        try:
            campaign = campaign_facts(rules, arrived, accounts)
            if campaign:
                facts.update(campaign)
        except Exception as error:
            _failed(arrived, "campaign", error, accounts)
    if rules.channel is not None and isinstance(rules.channel, str):
        facts["channel"] = rules.channel
    return facts


def visitor_facts(rules: Rules, arrived: Arrived, pipeline: Pipeline) -> dict[str, object]:
    """
    What is known once authentication ran, by keyword: traffic, session, and what functions of the user's say. The
    resolver wins.
    """
    accounts = pipeline.accounts
    facts: dict[str, object] = {}
    if rules.bots or rules.staff is not None or rules.test_header is not None:
        facts["traffic"] = _traffic(rules, arrived, accounts)
    if rules.channel is not None and callable(rules.channel):
        try:
            facts["channel"] = rules.channel(arrived.request)
        except Exception as error:
            _failed(arrived, "channel", error, accounts)
    if rules.session is not False:
        try:
            facts["session"] = _session(rules, arrived)
        except Exception as error:
            _failed(arrived, "session", error, accounts)
    if rules.resolver is not None:
        try:
            facts = {**facts, **who_acts(rules.resolver, arrived)}
        except Exception as error:
            _failed(arrived, "resolver", error, accounts)
    return facts


def who_acts(function: FactsOf, arrived: Arrived) -> Mapping[str, object]:
    """
    What this function of the user's says; raises what it raised.
    """
    facts: Mapping[str, object] = function(arrived.request) or {}
    knows_nobody = True
    for value in facts.values():  # not all(): a generator is a call for each
        if value is not None:
            knows_nobody = False
            break
    arrived.knows_nobody = knows_nobody
    return facts


def _failed(arrived: Arrived, part: str, error: Exception, accounts: Accounts) -> None:
    # A set-up error is ours and says what to do; any other text may hold a personal value.
    arrived.failed = (*arrived.failed, part)
    said = str(error) if isinstance(error, SetupError) else f"Its function raised {type_name(error)}."
    accounts.refuse_value(part, "extractor_failed", said)


# --- where from -------------------------------------------------------------------------------------------------------


def _add_place(facts: dict[str, object], rules: Rules, arrived: Arrived, accounts: Accounts) -> None:
    country = region = None
    may_ask_geo = True
    if rules.country_header is not None:
        try:
            country = arrived.header(rules.country_header)
            if country is not None and country not in COUNTRIES:  # else it is one, as proxies write it
                country, may_ask_geo = country_of(country, accounts)
        except Exception as error:
            _failed(arrived, "country", error, accounts)
    if rules.region_header is not None:
        try:
            region = region_of(rules, arrived, country, accounts)
        except Exception as error:
            _failed(arrived, "region", error, accounts)
    if rules.geo is not None and may_ask_geo and (country is None or region is None):
        try:
            country, region = _filled_by(cast("Geo", rules.geo), rules, arrived, country, region, accounts)
        except Exception as error:
            _failed(arrived, "geo", error, accounts)
    facts["country"] = country
    facts["region"] = region


def _filled_by(
    geo: Geo, rules: Rules, arrived: Arrived, country: str | None, region: str | None, accounts: Accounts
) -> tuple[str | None, str | None]:
    address = client_address(rules, arrived, accounts)
    if address is None:
        return country, region
    found, found_region = geo.place_of(address)
    if found is None:
        accounts.values_refused.add("unknown_place")
    # Never a country from one source with a region from the other, where the two disagree.
    if country is None:
        country = found if region is None or found is None or region.startswith(found) else None
    if region is None and found == country:
        region = found_region
    return country, region


# --- who --------------------------------------------------------------------------------------------------------------


def _traffic(rules: Rules, arrived: Arrived, accounts: Accounts) -> str | None:
    """``test`` before ``staff`` before ``bot``; None for a customer."""
    try:
        if rules.test_header is not None and arrived.header(rules.test_header) is not None:
            return "test"
    except Exception as error:
        _failed(arrived, "test_header", error, accounts)
    try:
        if rules.staff is not None and _is_staff(rules.staff(arrived.request), accounts):
            return "staff"
    except Exception as error:
        _failed(arrived, "staff", error, accounts)
    try:
        if rules.bots:
            user_agent = arrived.header("User-Agent")
            if (
                user_agent
                and is_bot(user_agent[:LONGEST])
                and not (_has_credentials(arrived) or arrived.is_authenticated())
            ):
                return "bot"
    except Exception as error:
        _failed(arrived, "bots", error, accounts)
    return None


def _has_credentials(arrived: Arrived) -> bool:
    """Whether it carries credentials, right or wrong: crawlers have none, whatever framework they come to."""
    return any((arrived.header(name) or "").strip() for name in _CREDENTIALS)


def _is_staff(answer: object, accounts: Accounts) -> bool:
    if isinstance(answer, Awaitable):  # true, whatever it would have said
        close = getattr(cast("object", answer), "close", None)
        if callable(close):
            close()  # or Python warns that it was never awaited
        accounts.refuse_value("staff", "type", "Make it a plain function that answers True or False.")
        return False
    return bool(answer)


def _session(rules: Rules, arrived: Arrived) -> object:
    """The session's id, which leaves as a keyed hash: the vocabulary has it as personal."""
    told: object = rules.session(arrived.request) if callable(rules.session) else arrived.session_id()
    return None if told == "" else told
