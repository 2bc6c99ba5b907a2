"""
From keywords and raw values to attribute keys and clean values, by the vocabulary.

One `FactTable` is made per pipeline. Its `resolve` is on the hot path: a known value of a dimension is one
dictionary look-up, plain text is one check.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, cast

from bizspan import _guard, names
from bizspan._accounts import Accounts
from bizspan._regions import CONTINENTS, COUNTRIES, is_region
from bizspan._values import clean_name, coerce
from bizspan.vocabulary import Attribute

if TYPE_CHECKING:
    from bizspan._types import Attributes, Value

DIMENSION_LIMIT = 256
TEXT_LIMIT = 8192
FACTS_LIMIT = 64
_MEMO_LIMIT = 4096
_NO_FACTS = frozenset(
    {
        names.OPERATION_NAME,
        names.OPERATION_ID,
        names.OPERATION_OUTCOME,
        names.OPERATION_REASON,
        names.ERROR_TYPE,
        names.NOTES,
        names.DROPPED_FACTS,
    }
)
_KEPT = ("truncated", "control", "surrogate")
# By format: whether it is one, and the reason where it is none.
_PLACES: Final[Mapping[str, tuple[Callable[[str], bool], str]]] = {
    "country": (COUNTRIES.__contains__, "iso_3166_1"),
    "region": (is_region, "iso_3166_2"),
    "continent": (CONTINENTS.__contains__, "continent"),
}
# Why a value is missing, where a function gives it.
EXTRACTOR_FAILED = "extractor_failed"


_GENERATED_KEY = (
    "bizspan: no hash_key is configured, so personal facts are hashed with a generated key that changes with every"
    " process. Pass hash_key= to configure() to compare customers across processes."
)


class Hasher:
    """
    The keyed hash of personal facts.

    Args:
        key: The secret, at least 16 bytes; None generates one that lives as long as the process, and says so.
        key_id: Goes in front of each hash, so that a rotation shows.
    """

    __slots__ = ("_digest", "_generated", "_key", "key_id")

    def __init__(self, key: bytes | None = None, key_id: str = "dev") -> None:
        from hmac import digest  # with OpenSSL, 4 ms to import

        self._digest = digest
        self._generated = key is None
        self._key = os.urandom(32) if key is None else key
        self.key_id = key_id

    def __call__(self, text: str) -> str:
        """``<key id>:<HMAC-SHA-256 in hex>``."""
        if self._generated:
            _guard.say_once("hash_key", _GENERATED_KEY)
        return f"{self.key_id}:{self._digest(self._key, text.encode('utf-8', 'replace'), 'sha256').hex()}"

    def __repr__(self) -> str:
        return f"Hasher(key_id={self.key_id!r})"


class Slot:
    """
    One declared fact, ready for use: its key, and the values that were seen and found good.
    """

    __slots__ = ("attribute", "key", "memo", "plain")

    def __init__(self, attribute: Attribute) -> None:
        self.attribute = attribute
        self.key = attribute.key
        # Free text of type str: no list, no format, no hash.
        self.plain = (
            attribute.type is str
            and not attribute.dimension
            and not attribute.personal
            and attribute.allowed is None
            and attribute.format == "text"
        )
        self.memo: dict[str, Value] = {}


class FactTable:
    """
    Resolves keywords against the declared facts.

    Args:
        declared: The facts by keyword.
        accounts: Where refusals are counted.
        hasher: Hashes personal facts; None drops them (production without a key).
    """

    __slots__ = ("_hasher", "accounts", "slots", "slots_by_key", "travelling")

    def __init__(self, declared: Mapping[str, Attribute], accounts: Accounts, hasher: Hasher | None) -> None:
        self.slots = {name: Slot(attribute) for name, attribute in declared.items()}
        self.slots_by_key = {slot.key: slot for slot in self.slots.values()}
        self.travelling = {key: slot for key, slot in self.slots_by_key.items() if slot.attribute.propagate}
        self.accounts = accounts
        self._hasher = hasher

    def resolve(self, facts: Mapping[str, object], attributes: Attributes) -> None:
        """
        Put clean values under their keys.
        """
        slots = self.slots
        if len(facts) > FACTS_LIMIT:
            facts = self._first(facts, attributes)
        for name, value in facts.items():
            if value is None:
                continue
            slot = slots.get(name)
            if slot is None:
                self._undeclared(name, value, attributes)
            elif type(value) is str:
                known = slot.memo.get(value)
                if known is not None:
                    attributes[slot.key] = known
                elif slot.plain and value.isascii() and value.isprintable() and len(value) <= TEXT_LIMIT:
                    attributes[slot.key] = value
                else:
                    self._slow(slot, value, attributes)
            else:
                self._slow(slot, value, attributes)

    def _first(self, facts: Mapping[str, object], attributes: Attributes) -> dict[str, object]:
        first = dict(list(facts.items())[:FACTS_LIMIT])
        self._dropped(len(facts) - FACTS_LIMIT, attributes)
        return first

    def drop_surplus(self, attributes: Attributes, end: Attributes) -> None:
        """
        Take out of `end` what is beyond 64 facts on one record: an SDK would drop the oldest attributes instead, and
        those are the operation's name and id.

        Args:
            attributes: What is there already, within the bound.
            end: What is added; may be the same dictionary.
        """
        facts = [key for key in {**attributes, **end} if key not in _NO_FACTS]
        surplus = facts[FACTS_LIMIT:]
        for key in surplus:
            end.pop(key, None)
        if surplus:
            self._dropped(len(surplus), end)

    def _dropped(self, number: int, attributes: Attributes) -> None:
        before = cast("int", attributes.get(names.DROPPED_FACTS, 0))
        attributes[names.DROPPED_FACTS] = before + number
        self.accounts.refuse_value("facts", "too_many", f"Tell at most {FACTS_LIMIT} facts at once.")

    def _slow(self, slot: Slot, value: object, attributes: Attributes) -> None:
        clean, note = self.accept(slot.attribute, value)
        if note is not None:
            self._note(slot.attribute, note, value, attributes)
        if clean is None:
            return
        attributes[slot.key] = clean
        known = slot.memo
        if slot.attribute.dimension and type(value) is str and note is None and len(known) < _MEMO_LIMIT:
            known[value] = clean

    def _note(self, attribute: Attribute, note: str, value: object, attributes: Attributes) -> None:
        self.accounts.refuse_value(attribute.name, note, _hint(attribute, note))
        add_note(attributes, _on_record(attribute.name, note, value))

    def accept(self, attribute: Attribute, value: object) -> tuple[Value | None, str | None]:
        """
        The clean value and None, or what is left of it (None: nothing) and the reason.
        """
        limit = DIMENSION_LIMIT if attribute.dimension else TEXT_LIMIT
        clean, note = coerce(value, limit=limit)
        if clean is None:
            return None, note or ("empty" if value is None else "type")
        if attribute.type is str:
            return self._accept_text(attribute, clean, note)
        if attribute.type is float and type(clean) is int:
            clean = float(clean)
        if type(clean) is not attribute.type:
            return None, "type"
        if attribute.allowed is not None and clean not in cast("frozenset[Value]", attribute.allowed):
            return None, "not_allowed"
        return clean, note

    def _accept_text(self, attribute: Attribute, value: Value, note: str | None) -> tuple[Value | None, str | None]:
        if type(value) is int:  # ids are often whole numbers
            value = str(value)
        if not isinstance(value, str):
            return None, "type"
        if attribute.format != "text":
            value = value.upper()
            is_known, reason = _PLACES[attribute.format]
            if not is_known(value):
                return None, reason
        elif attribute.allowed is not None and value not in attribute.allowed:
            return None, "not_allowed"
        return self._hashed(value, note) if attribute.personal else (value, note)

    def _hashed(self, value: str, note: str | None) -> tuple[str | None, str | None]:
        """What may be stored of a personal fact: its hash, or nothing."""
        if self._hasher is None:
            return None, "no_key"
        try:
            return self._hasher(value), note
        except Exception as error:  # a guard of its own: one further out would take the record, or less than the fact
            _guard.swallowed("hashing a personal fact", error)
            return None, "not_hashed"

    def _undeclared(self, name: object, value: object, attributes: Attributes) -> None:
        slot = self.slots_by_key.get(name) if type(name) is str else None
        if slot is not None:
            self.resolve({slot.attribute.name: value}, attributes)
            return
        clean = clean_name(name)
        if clean is None or len(clean) > 64 or clean.startswith(("otel.", "bizspan.", "business.", "app.")):
            self.accounts.refuse_value("attribute name", "reserved", "Use a short name of your own.")
            return
        self.accounts.note_undeclared(clean, list(self.slots))
        good, note = coerce(value, limit=TEXT_LIMIT)
        if note is not None:
            hint = "The rest was kept." if note in _KEPT else "Tell text, a number or a boolean."
            self.accounts.refuse_value(clean, note, hint)
            add_note(attributes, _on_record(clean, note, value))
        if good is not None:
            attributes[names.CUSTOM_PREFIX + clean] = good


def _on_record(name: str, note: str, value: object) -> str:
    if note == "truncated" and issubclass(type(value), str):
        return f"{name}:{note}:{str.__len__(cast('str', value))}"  # how long it was
    return f"{name}:{note}"


def add_note(attributes: Attributes, note: str) -> None:
    """
    Keep on the record itself why one of its values is missing or was changed.
    """
    notes = cast("tuple[str, ...]", attributes.get(names.NOTES, ()))
    if len(notes) < 16:
        attributes[names.NOTES] = (*notes, note)


def write_missing(attributes: Attributes, reasons: Mapping[str, str]) -> None:
    """
    Say why facts or amounts are missing: sums over an amount must know that one is, facts have a note.

    Args:
        attributes: Takes it.
        reasons: By keyword, or by kind of money.
    """
    for name, reason in reasons.items():
        key = names.AMOUNT_INVALID_KEYS.get(name)
        if key is None:
            add_note(attributes, f"{name}:{reason}")
        else:
            attributes[key] = reason


def _hint(attribute: Attribute, note: str) -> str:
    if note == "no_key":
        return "Production drops personal facts without a key; pass hash_key= to configure()."
    if note == "not_hashed":
        return "The hash failed, and a personal fact is never stored as it was told."
    if note == "iso_3166_1":
        return "Tell a country as ISO 3166-1 alpha-2, for example 'DE'."
    if note == "iso_3166_2":
        return "Tell a region as ISO 3166-2, for example 'DE-BY'."
    if note == "not_allowed" and attribute.allowed is not None:
        return f"Tell one of {sorted(map(str, attribute.allowed))}."
    if note in _KEPT:
        return "The rest was kept."
    return f"Tell {attribute.type.__name__}."
