"""
From the keyword that tells a fact to the attribute that a store keeps it under.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final, Literal

from bizspan import names
from bizspan._columns import COLUMNS, ENVIRONMENT, SERVICE_NAME, SERVICE_VERSION
from bizspan.errors import SetupError
from bizspan.vocabulary import Vocabulary, merged

Kind = Literal["text", "int", "float", "bool"]

_KINDS: Final[Mapping[type, Kind]] = {str: "text", int: "int", float: "float", bool: "bool"}


@dataclass(frozen=True, slots=True)
class Fact:
    """
    One fact that a KPI reads.

    Args:
        name: The keyword.
        key: The attribute's key.
        kind: What its values are.
    """

    name: str
    key: str
    kind: Kind = "text"


# What every record has, or may have, beside the facts of a vocabulary.
RECORD_FACTS: Final[Mapping[str, Fact]] = {
    fact.name: fact
    for fact in (
        Fact("operation", names.OPERATION_NAME),
        Fact("operation_id", names.OPERATION_ID),
        Fact("outcome", names.OPERATION_OUTCOME),
        Fact("reason", names.OPERATION_REASON),
        Fact("error_type", names.ERROR_TYPE),
        Fact("duration", names.OPERATION_DURATION, "float"),
        Fact("question", names.FEEDBACK_NAME),
        Fact("score", names.FEEDBACK_SCORE, "float"),
        Fact("refund_reason", names.REFUND_REASON),
        Fact("service", SERVICE_NAME),
        Fact("version", SERVICE_VERSION),
        Fact("environment", ENVIRONMENT),
    )
}


class FactTable:
    """
    Knows every fact by its keyword.

    Args:
        vocabularies: The user's; the standard facts are there anyway.

    Raises:
        SetupError: When two of them share a keyword or a key.
    """

    __slots__ = ("_known",)

    def __init__(self, vocabularies: Iterable[Vocabulary] = ()) -> None:
        declared = {name: Fact(name, each.key, _KINDS[each.type]) for name, each in merged(vocabularies).items()}
        self._known = {**RECORD_FACTS, **declared}

    def __getitem__(self, name: str) -> Fact:
        """
        The fact of this keyword, or of this attribute key, where the name has a dot.

        Raises:
            SetupError: There is none.
        """
        known = self._known.get(name)
        if known is not None:
            return known
        if "." in name and _is_key(name):
            return next((fact for fact in self._known.values() if fact.key == name), _by_key(name))
        near = get_close_matches(name, self._known, n=1)
        question = f"did you mean {near[0]!r}?" if near else "declare it in a Vocabulary, or write its attribute key."
        raise SetupError(f"the fact {name!r} is not known; {question}")


def _is_key(name: str) -> bool:
    # What a key may hold is what goes into a JSON path and into a map's key without quotes of its own.
    return len(name) <= 200 and name.isascii() and all(letter.isalnum() or letter in "._-" for letter in name)


def _by_key(key: str) -> Fact:
    column = COLUMNS.get(key)
    kinds: Mapping[str, Kind] = {"INTEGER": "int", "REAL": "float"}
    return Fact(key, key, "text" if column is None else kinds.get(column.kind, "text"))
