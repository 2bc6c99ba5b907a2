"""
Facts in the header ``baggage``: which of those in force leave, and what is taken of one that arrives.

Facts that are declared ``propagate=`` alone, as W3C Baggage has it: ``key=value,key=value``, percent-encoded. They
never become OpenTelemetry's baggage, which its propagator sends to every host.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from bizspan import _active
from bizspan._facts import FACTS_LIMIT
from bizspan._travel import HASHED, LIMIT
from bizspan.context import ambient_scope

if TYPE_CHECKING:
    from bizspan._hosts import Hosts
    from bizspan._pipeline import Pipeline
    from bizspan._types import Attributes, Value
    from bizspan.vocabulary import Attribute

HEADER: Final = "baggage"

# Where facts may go; None: nothing is done about any request that leaves. `configure()` sets it.
hosts: Hosts | None = None

_SEPARATOR: Final = ","
_NO_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_WHOLE: Final = re.compile(r"-?[0-9]{1,19}")
_RESERVED: Final = ("business.", "bizspan.", "log.record.")
_SIZE: Final = f"Let less travel: {LIMIT} bytes of baggage do."
_OPENTELEMETRYS_LOGGER: Final = "opentelemetry.baggage.propagation"


# --- outwards ---------------------------------------------------------------------------------------------------------


def carried(present: Iterable[str], destinations: Iterable[object]) -> str | None:
    """
    The header of a request that leaves now.

    Args:
        present: The baggage headers that it has: OpenTelemetry's, or the application's own.
        destinations: The hosts that it goes to, as its client knows them; none, where that does not tell.

    Returns:
        What the one header must be; empty for none, None where the request can stay as it is.
    """
    allowed, pipeline = hosts, _active.current or _active.pipeline()
    if allowed is None or pipeline is None or not pipeline.facts.travelling:
        return None
    before = list(present)
    members = [member for header in before for member in header.split(_SEPARATOR) if member.strip()]
    # What came in from elsewhere may hold them too, in OpenTelemetry's own baggage: it does not pass on either.
    others = [member for member in members if _key(member) not in pipeline.facts.travelling]
    to = list(destinations)
    ours = _members(pipeline, others) if to and all(each in allowed for each in to) else []
    if not ours and len(others) == len(members):
        return None
    return _SEPARATOR.join([*(member.strip() for member in others), *ours])


def _members(pipeline: Pipeline, others: list[str]) -> list[str]:
    """Those of the facts in force that travel and fit beside the others."""
    scope = ambient_scope()
    if scope is None:
        return []
    attributes = scope.resolve(pipeline).attributes
    room = LIMIT - sum(len(other.encode("utf-8", "replace")) + 1 for other in others)
    members: list[str] = []
    for key in pipeline.facts.travelling:
        value = attributes.get(key)
        if value is None:
            continue
        member = f"{key}={_written(value)}"
        if len(member) > room or len(members) >= FACTS_LIMIT:
            pipeline.accounts.refuse_value(HEADER, "size", _SIZE)
            continue
        room -= len(member) + 1
        members.append(member)
    return members


def _key(member: str) -> str:
    return member.partition(";")[0].partition("=")[0].strip()


def _written(value: Value) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    from urllib.parse import quote  # a millisecond, for those who send none

    return quote(text, safe="")  # the plus sign too: OpenTelemetry's propagator reads a bare one as a space


# --- inwards ----------------------------------------------------------------------------------------------------------


def received(pipeline: Pipeline, header: str | None) -> Attributes:
    """
    What is taken of a header that came from a trusted place: declared keys and good values alone, of the first 8 KiB
    and 64 members.

    Args:
        pipeline: Knows what is declared.
        header: All baggage headers of the request, with commas between; None is nothing.
    """
    travelling, accounts = pipeline.facts.travelling, pipeline.accounts
    if not header or not travelling:
        return {}
    if len(header) > LIMIT:
        accounts.refuse_value(HEADER, "size", _SIZE)
        header = header[:LIMIT].rpartition(_SEPARATOR)[0]  # whole members
    members = header.split(_SEPARATOR, FACTS_LIMIT)
    if len(members) > FACTS_LIMIT:
        accounts.refuse_value(HEADER, "too_many", f"Send at most {FACTS_LIMIT} members.")
    found: dict[str, Value | None] = {}
    for member in members[:FACTS_LIMIT]:
        key = _key(member)
        slot = travelling.get(key)
        if slot is None:
            if key in pipeline.facts.slots_by_key or key.startswith(_RESERVED):
                accounts.refuse_value(HEADER, "reserved", "Declare the fact with propagate=True in both services.")
            continue  # or it is somebody else's
        value = _read(pipeline, slot.attribute, member.partition(";")[0].partition("=")[2].strip())
        if value is None:
            accounts.refuse_value(HEADER, "invalid", "Declare the same vocabulary in both services.")
        elif key in found and found[key] != value:
            accounts.refuse_value(HEADER, "duplicate", "One of its services sends a fact twice, with two values.")
            value = None  # nothing says which is right
        found[key] = value
    return {key: value for key, value in found.items() if value is not None}


def _read(pipeline: Pipeline, attribute: Attribute, written: str) -> Value | None:
    """The value of a member, as good as one that was told here; None for any other."""
    if not written.isascii() or _NO_PERCENT.search(written):
        return None
    try:
        from urllib.parse import unquote_to_bytes

        text = unquote_to_bytes(written.replace("+", " ")).decode()
    except UnicodeDecodeError:
        return None
    if attribute.personal:
        return text if HASHED.fullmatch(text) else None
    typed = text if attribute.type is str else _typed(attribute.type, text)
    if typed is None or typed == "":
        return None
    clean, note = pipeline.facts.accept(attribute, typed)
    return clean if note is None else None


def _typed(kind: type, text: str) -> int | float | bool | None:
    if kind is bool:
        return {"true": True, "false": False}.get(text)
    if kind is int:
        return int(text) if _WHOLE.fullmatch(text) else None
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


# --- what others write ------------------------------------------------------------------------------------------------


class _Unread(logging.Filter):
    """Takes the content of headers out of warnings."""

    def filter(self, record: logging.LogRecord) -> bool:
        arguments = record.args
        if arguments and not isinstance(arguments, Mapping):
            record.args = tuple("..." if isinstance(each, str) else each for each in arguments)
        return True


_unread: Final = _Unread()


def keep_out_of_logs() -> None:
    """
    OpenTelemetry's propagator warns of headers that it can't read with what stands in them, which anybody sends.
    """
    logging.getLogger(_OPENTELEMETRYS_LOGGER).addFilter(_unread)  # once: the same one is not added again
