"""
Vocabularies as JSON, to be kept beside the code and compared with later ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, cast

from bizspan.errors import SetupError
from bizspan.vocabulary import Attribute, Vocabulary

FORMAT: Final = 1
_TYPES: Final[Mapping[str, type]] = {"str": str, "int": int, "float": float, "bool": bool}
_FACT: Final = (
    "name", "key", "type", "allowed", "dimension", "budget", "personal", "propagate", "format", "owner", "meaning",
)  # fmt: skip


def vocabularies_data(vocabularies: Iterable[Vocabulary]) -> dict[str, Any]:
    """Vocabularies as data, facts in the order of their keywords."""
    return {"format": FORMAT, "vocabularies": [_data(each) for each in vocabularies]}


def _data(vocabulary: Vocabulary) -> dict[str, Any]:
    facts = sorted(vocabulary, key=lambda fact: fact.name)
    return {
        "prefix": vocabulary.prefix,
        "version": vocabulary.version,
        "propagate": sorted(vocabulary.propagate),
        "facts": [_fact(each) for each in facts],
    }


def _fact(fact: Attribute) -> dict[str, Any]:
    told = {name: getattr(fact, name) for name in _FACT}
    allowed = None if fact.allowed is None else sorted(cast("Iterable[Any]", fact.allowed))
    return {**told, "type": fact.type.__name__, "allowed": allowed}


def read_vocabularies(path: str | Path) -> tuple[Vocabulary, ...]:
    """
    The vocabularies of a saved file.

    Args:
        path: What ``bizspan vocabulary show --format json`` printed.

    Raises:
        SetupError: When it can't be read, or is none.
    """
    try:
        document: Any = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise SetupError(f"{path}: it can't be read ({error.strerror}).") from None
    except (ValueError, RecursionError) as error:
        raise SetupError(f"{path}: it is no JSON ({error}).") from None
    told: Mapping[str, Any] = cast("Mapping[str, Any]", document) if isinstance(document, dict) else {}
    if told.get("format") != FORMAT:
        raise SetupError(
            f"{path}: it is no saved vocabulary of format {FORMAT}; save one with"
            " `bizspan vocabulary show --format json`."
        )
    try:
        return tuple(_read(each) for each in told["vocabularies"])
    except (KeyError, TypeError, AttributeError) as error:
        raise SetupError(f"{path}: a part is missing or is something else ({error}).") from None
    except SetupError as error:
        raise SetupError(f"{path}: {error}") from None


def _read(told: Mapping[str, Any]) -> Vocabulary:
    facts = [_attribute({name: fact[name] for name in _FACT}) for fact in told["facts"]]
    return Vocabulary(told["prefix"], facts, told["version"], told["propagate"])


def _attribute(told: dict[str, Any]) -> Attribute:
    told["type"] = _TYPES[told["type"]]
    return Attribute(**told)
