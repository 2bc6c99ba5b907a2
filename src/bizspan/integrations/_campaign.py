"""
The campaign that led to a request: its utm_* parameters, kept in the application's own session. No I/O.

The session is the application's. None is begun for this: where a visitor has none, the parameters count for their
own request, and are kept if the application itself begins a session in it. Reading does not count as the
application's access, which would add ``Vary: Cookie`` to its answers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import unquote_to_bytes

from bizspan._values import coerce
from bizspan.errors import type_name

if TYPE_CHECKING:
    from bizspan._accounts import Accounts
    from bizspan.integrations._http import Arrived
    from bizspan.integrations._rules import Rules

SESSION_KEY: Final = "bizspan.campaign"
QUERY_LIMIT: Final = 8192
VALUE_LIMIT: Final = 256
KEPT_LIMIT: Final = 512  # bytes of JSON: a session may be a cookie, and browsers drop those above 4 KB

_FACTS: Final = {
    "utm_campaign": "campaign",
    "utm_source": "campaign_source",
    "utm_medium": "campaign_medium",
    "utm_content": "campaign_content",
    "utm_term": "campaign_term",
}


def campaign_facts(rules: Rules, arrived: Arrived, accounts: Accounts) -> Mapping[str, str]:
    """
    The campaign of this request, or the one that its session remembers.
    """
    told = told_by(arrived.query, accounts) if arrived.query else {}
    try:
        session = arrived.session()
        kept, has_begun = ({}, False) if session is None else _look(session)
        if not told:
            return kept
        if kept and rules.campaign == "first":
            return kept
        if session is not None and has_begun:
            _keep(session, kept, told, accounts)
        else:
            arrived.touch = told
    except Exception as error:  # the application's session: its store may be down
        _count(error, accounts)
    return told


def keep_touch(rules: Rules, arrived: Arrived, accounts: Accounts) -> None:
    """
    Keep the campaign of a visitor who had no session, if the application began one in this request.
    """
    told, arrived.touch = arrived.touch, None
    if told is None:
        return
    try:
        session = arrived.session()
        kept, has_begun = ({}, False) if session is None else _look(session)
        if session is not None and has_begun and not (kept and rules.campaign == "first"):
            _keep(session, kept, told, accounts)
    except Exception as error:
        _count(error, accounts)


def told_by(query: str, accounts: Accounts) -> dict[str, str]:
    """
    What the utm_* parameters of a raw query say, by fact: the first of each name that is not empty.
    """
    if len(query) > QUERY_LIMIT:
        query = query[:QUERY_LIMIT].rpartition("&")[0]  # without the parameter that was cut
    found: dict[str, str] = {}
    if "utm_" not in query:
        return found
    for part in query.split("&"):
        if not part.startswith("utm_"):
            continue
        name, _, value = part.partition("=")
        fact = _FACTS.get(name)
        if fact is None or fact in found:
            continue
        clean, note = coerce(_decoded(value), limit=VALUE_LIMIT)
        if note is not None:
            accounts.refuse_value(fact, note, "The rest was kept.")
        if isinstance(clean, str) and clean.strip():
            found[fact] = clean.strip()
    return found


def _decoded(value: str) -> str:
    try:
        raw = value.encode("latin-1")  # as WSGI and ASGI hand over bytes
    except UnicodeEncodeError:
        raw = value.encode("utf-8", "surrogatepass")
    # Bytes that are no UTF-8 become lone surrogates, which `coerce` replaces and names.
    return unquote_to_bytes(raw.replace(b"+", b" ")).decode("utf-8", "surrogateescape")


def _look(session: MutableMapping[str, Any]) -> tuple[dict[str, str], bool]:
    """What a session remembers, and whether there is anything in it."""
    accessed: object = getattr(session, "accessed", None)
    try:
        return _remembered(session.get(SESSION_KEY)), bool(session.keys())
    finally:
        if accessed is False:
            cast("Any", session).accessed = False


def _remembered(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    remembered = cast("dict[object, object]", value)
    found: dict[str, str] = {}
    for fact in _FACTS.values():
        text = remembered.get(fact)
        clean, _ = coerce(text, limit=VALUE_LIMIT) if type(text) is str else (None, None)
        if isinstance(clean, str) and clean:
            found[fact] = clean
    return found


def _keep(
    session: MutableMapping[str, Any], kept: Mapping[str, str], told: Mapping[str, str], accounts: Accounts
) -> None:
    fitting = _fitting(told)
    if kept == fitting:  # a session that did not change is not written again
        return
    for fact in told:
        if fact not in fitting:
            accounts.refuse_value(fact, "truncated", f"A session keeps {KEPT_LIMIT} bytes of its campaign.")
    session[SESSION_KEY] = fitting


def _fitting(told: Mapping[str, str]) -> dict[str, str]:
    """What of a campaign is kept: whole values, as a shortened one would be another campaign in the next request."""
    fitting: dict[str, str] = {}
    for fact in _FACTS.values():  # by their weight
        if fact in told:
            longer = {**fitting, fact: told[fact]}
            if len(json.dumps(longer)) > KEPT_LIMIT:
                break
            fitting = longer
    return fitting


def _count(error: Exception, accounts: Accounts) -> None:
    accounts.refuse_value("campaign", "extractor_failed", f"The session raised {type_name(error)}.")
