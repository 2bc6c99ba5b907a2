"""
Where a request comes from: its trusted headers, and the address of its client. No I/O.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Final

from bizspan import _guard
from bizspan._regions import is_country, is_region

if TYPE_CHECKING:
    from bizspan._accounts import Accounts
    from bizspan.integrations._http import Arrived
    from bizspan.integrations._rules import Rules

Address = IPv4Address | IPv6Address

_CODE_LIMIT: Final = 16
_ADDRESS_LIMIT: Final = 64  # a full IPv6 address with brackets, zone and port is shorter
_UNKNOWN: Final = frozenset({"", "-", "--", "?", "??", "XX", "ZZ"})
# What Cloudflare (T1: Tor) and the older GeoIP databases answer for networks that hide where their users are: the
# address says no more than they do.
_HIDDEN: Final = frozenset({"T1", "A1", "A2"})
_NO_COUNTRY: Final = frozenset({"EU", "AP", "O1"})  # GeoIP's "Europe", "Asia/Pacific" and "other"

UNKNOWN_PLACE: Final = "unknown_place"
_NO_ADDRESS: Final = (
    "bizspan: a request had no readable client address for geo= (no_address). Check that trusted_hops= is the number of"
    " your proxies that append to X-Forwarded-For."
)


def country_of(value: str, accounts: Accounts) -> tuple[str | None, bool]:
    """
    The country that the trusted header names, and whether the client's address may be asked where it names none.

    Args:
        value: Of the header.
        accounts: Where a value that is no country is counted.
    """
    code = _single(value, "country", accounts)
    if code is None or is_country(code):
        return code, True
    if code in _UNKNOWN or code in _HIDDEN or code in _NO_COUNTRY:
        accounts.values_refused.add("unknown_place")
        return None, code not in _HIDDEN
    accounts.refuse_value("country", "iso_3166_1", "The header country_header= must hold two letters, such as 'DE'.")
    return None, True


def region_of(rules: Rules, arrived: Arrived, country: str | None, accounts: Accounts) -> str | None:
    """
    The region that the trusted header names: ``DE-BY``, or its second part alone, which then gets the country.
    """
    value = None if rules.region_header is None else arrived.header(rules.region_header)
    code = None if value is None else _single(value, "region", accounts)
    if code is None:
        return None
    if code in _UNKNOWN or (country is None and "-" not in code):
        accounts.values_refused.add("unknown_place")
        return None
    region = whole_region(country, code)
    if region is None:
        accounts.refuse_value("region", "iso_3166_2", "The header region_header= must hold 'DE-BY', or 'BY'.")
    return region


def whole_region(country: str | None, code: str) -> str | None:
    """
    ISO 3166-2 of a region that may come without its country; None where it is none.
    """
    code = code.upper()
    if is_region(code):
        return code
    if country is None:
        return None
    if len(code) > 3 and code.startswith(country):  # Unicode's form of the same code: USCA
        code = code[len(country) :]
    whole = f"{country}-{code}"
    return whole if is_region(whole) else None


def _single(value: str, name: str, accounts: Accounts) -> str | None:
    """The value of a header that came once, in capitals."""
    if "," in value:
        # One of them is the client's own, and nothing says which.
        accounts.refuse_value(
            name, "duplicate_header", "Its header came more than once; let your proxy replace the client's."
        )
        return None
    return value[:_CODE_LIMIT].strip().upper()


def client_address(rules: Rules, arrived: Arrived, accounts: Accounts) -> Address | None:
    """
    The client's address: the peer's, or the one that the outermost trusted proxy saw. None, counted, without one.
    """
    hops = rules.trusted_hops
    text = arrived.client
    if hops:
        # From the right: what stands further left is what the client itself sent.
        forwarded = (arrived.header("X-Forwarded-For") or "").rsplit(",", hops)
        text = forwarded[-hops] if len(forwarded) >= hops else None
    address = parsed_address(text)
    if address is None:
        accounts.values_refused.add("no_address")
        _guard.say_once("value:geo: no_address", _NO_ADDRESS)
    return address


def parsed_address(text: object) -> Address | None:
    """
    The address in this text, without port, brackets and zone; an IPv4 address inside an IPv6 one as IPv4.
    """
    if type(text) is not str or len(text) > _ADDRESS_LIMIT:
        return None
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return address
    return address.ipv4_mapped or IPv6Address(int(address))
