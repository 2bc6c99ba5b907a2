"""
Facts that travel with a task to another process: as clean attributes, personal ones already hashed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Final, cast

from bizspan import _active, names
from bizspan._facts import FACTS_LIMIT, TEXT_LIMIT
from bizspan._values import clean_name, coerce
from bizspan.context import Scope, ambient_scope

if TYPE_CHECKING:
    from bizspan._accounts import Accounts
    from bizspan._facts import FactTable
    from bizspan._pipeline import Pipeline
    from bizspan._types import Attributes, Value
    from bizspan.context import Frame

# In bytes, keys included: what W3C Baggage allows a header to have.
LIMIT: Final = 8192

_MESSAGE: Final = "a message's facts"
_NAME_LIMIT: Final = 64
# A personal fact, as it leaves.
HASHED: Final = re.compile(r"[ -~]{1,64}:[0-9a-f]{64}")


class Received(Scope):
    """
    Facts that came with a message or a request, clean already.

    Args:
        received: By attribute key.
        around: The frame around it.
        yields: Whether what is known around wins.
    """

    __slots__ = ("_received", "_yields")

    def __init__(self, received: Attributes, around: Frame | None, *, yields: bool = False) -> None:
        super().__init__({}, None if around is None else around.ambient, None if around is None else around.run)
        self._received = received
        self._yields = yields

    def _fill_own(self, facts: FactTable, attributes: Attributes) -> None:
        known = {**attributes} if self._yields else {}
        attributes.update(self._received)
        attributes.update(known)


def outgoing() -> Attributes:
    """
    The facts in force: what a message that is sent now should carry, 8 KiB at most. Never money, outcomes or ids of
    operations.
    """
    scope = ambient_scope()
    pipeline = None if scope is None else _active.pipeline()
    if scope is None or pipeline is None:
        return {}
    declared = pipeline.facts.slots_by_key
    return _bounded(
        {
            key: value
            for key, value in scope.resolve(pipeline).attributes.items()
            if key in declared or key.startswith(names.CUSTOM_PREFIX)
        },
        pipeline.accounts,
    )


def incoming(pipeline: Pipeline, told: object) -> Attributes:
    """
    The facts that a message carried, checked again: declared keys and good values alone, at most 64 and 8 KiB.

    Args:
        pipeline: Knows what is declared.
        told: As it arrived; anything. None is nothing.
    """
    if told is None:
        return {}
    if not isinstance(told, dict):
        pipeline.accounts.refuse_value(_MESSAGE, "type", "Leave the message header 'bizspan' to bizspan.")
        return {}
    entries = cast("Mapping[object, object]", told)
    attributes: Attributes = {}
    for key, value in islice(entries.items(), FACTS_LIMIT):
        clean = _checked(pipeline, key, value)
        if clean is None:
            pipeline.accounts.refuse_value(_MESSAGE, "invalid", "Declare the same vocabulary in both services.")
        else:
            attributes[cast("str", key)] = clean
    if len(entries) > FACTS_LIMIT:
        pipeline.accounts.refuse_value(_MESSAGE, "too_many", f"Send at most {FACTS_LIMIT} facts.")
    return _bounded(attributes, pipeline.accounts)


def _checked(pipeline: Pipeline, key: object, value: object) -> Value | None:
    if type(key) is not str or len(key) > len(names.CUSTOM_PREFIX) + 4 * _NAME_LIMIT:
        return None
    slot = pipeline.facts.slots_by_key.get(key)
    if slot is not None:
        if slot.attribute.personal:
            return value if type(value) is str and HASHED.fullmatch(value) else None
        return pipeline.facts.accept(slot.attribute, value)[0]
    custom = key.removeprefix(names.CUSTOM_PREFIX)
    if custom == key or clean_name(custom) != custom or len(custom) > _NAME_LIMIT:
        return None
    return coerce(value, limit=TEXT_LIMIT)[0]


def _bounded(attributes: Attributes, accounts: Accounts) -> Attributes:
    """The first of these that fit together."""
    room = LIMIT
    kept: Attributes = {}
    for key, value in attributes.items():
        size = len(key.encode()) + _size(value)
        if size > room:
            accounts.refuse_value(_MESSAGE, "size", f"Tell less in context(): {LIMIT} bytes travel.")
            continue
        room -= size
        kept[key] = value
    return kept


def _size(value: Value) -> int:
    if isinstance(value, tuple):
        return sum(len(str(each).encode()) + 2 for each in value)
    return len(str(value).encode())
