"""
What a change of a vocabulary breaks: for those who tell its facts, and for those who read them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from bizspan.errors import SetupError
from bizspan.vocabulary import Attribute, Vocabulary

_UNCHECKED: Final = "text"


@dataclass(frozen=True, slots=True)
class Change:
    """
    One difference.

    Args:
        fact: The fact's keyword; empty where it is about a whole vocabulary.
        change: What kind: ``removed``, ``type``, ``key``, ``allowed``, ...
        breaking: Whether something that worked no longer does.
        text: A sentence.
    """

    fact: str
    change: str
    breaking: bool
    text: str


def differences(old: Iterable[Vocabulary], new: Iterable[Vocabulary]) -> tuple[Change, ...]:
    """
    What changed from some vocabularies to others; what breaks comes first.

    Args:
        old: As they were.
        new: As they are.

    Raises:
        SetupError: When two of one side share a keyword or a key.
    """
    old, new = tuple(old), tuple(new)
    before, after = _facts(old), _facts(new)
    found: list[Change] = []
    for name, fact in before.items():
        if name not in after:
            found.append(_removed(fact, after))
        else:
            found += _changed(fact, after[name])
    by_key = {fact.key for fact in before.values()}
    found += [
        Change(name, "added", False, f"{name} ({fact.key}) is new")
        for name, fact in after.items()
        if name not in before and fact.key not in by_key
    ]
    found += _whole(old, new)
    return tuple(sorted(found, key=lambda each: (not each.breaking, each.fact, each.change)))


def _facts(vocabularies: tuple[Vocabulary, ...]) -> dict[str, Attribute]:
    found: dict[str, Attribute] = {}
    keys: dict[str, str] = {}
    for fact in (fact for vocabulary in vocabularies for fact in vocabulary):
        if fact.name in found or fact.key in keys:
            raise SetupError(f"the fact {fact.name!r} ({fact.key}) is declared twice; rename one of them.")
        found[fact.name] = fact
        keys[fact.key] = fact.name
    return found


def _removed(fact: Attribute, after: Mapping[str, Attribute]) -> Change:
    renamed = next((each.name for each in after.values() if each.key == fact.key), None)
    if renamed is not None:
        text = f"{fact.name} is told as {renamed} now: calls that say {fact.name}= tell an undeclared fact"
        return Change(fact.name, "renamed", True, text)
    return Change(fact.name, "removed", True, f"{fact.name} ({fact.key}) is gone")


def _changed(old: Attribute, new: Attribute) -> Iterator[Change]:
    name = old.name

    def change(what: str, breaking: bool, text: str) -> Change:
        return Change(name, what, breaking, f"{name}: {text}")

    if old.key != new.key:
        yield change("key", True, f"its key was {old.key} and is {new.key}: what reads the old one finds nothing")
    if old.type is not new.type:
        yield change("type", True, f"its type was {old.type.__name__} and is {new.type.__name__}")
    else:
        yield from _allowed(old, new, change)
    if old.format != new.format:
        breaking = new.format != _UNCHECKED
        yield change("format", breaking, f"its format was {old.format} and is {new.format}")
    if old.personal != new.personal:
        yield change("personal", True, f"its values are {'hashes' if new.personal else 'no hashes'} from now on")
    if old.dimension != new.dimension:
        text = (
            "metrics have it from now on" if new.dimension else "metrics no longer have it: alerts on it find nothing"
        )
        yield change("dimension", old.dimension, text)
    elif old.dimension and old.budget != new.budget:
        yield change("budget", False, f"its budget was {old.budget} and is {new.budget}")
    if old.propagate != new.propagate:
        text = "it travels to other services" if new.propagate else "it no longer travels to other services"
        yield change("propagate", old.propagate, text)
    for what in ("owner", "meaning"):
        was, now = getattr(old, what), getattr(new, what)
        if was != now:
            yield change(what, False, f"its {what} was {was!r} and is {now!r}")


def _allowed(old: Attribute, new: Attribute, change: Callable[[str, bool, str], Change]) -> Iterator[Change]:
    before, after = (
        None if each.allowed is None else set(cast("Iterable[Any]", each.allowed)) for each in (old, new)
    )  # fmt: skip
    if before == after:
        return
    if after is None:
        yield change("allowed", False, "any value is taken from now on")
    elif before is None:
        yield change("allowed", True, f"taken from now on: only {_listed(after)}")
    else:
        if before - after:
            yield change("allowed", True, f"no longer taken: {_listed(before - after)}")
        if after - before:
            yield change("allowed", False, f"taken as well: {_listed(after - before)}")


def _listed(values: set[Any]) -> str:
    return ", ".join(map(repr, sorted(values)))


def _whole(old: tuple[Vocabulary, ...], new: tuple[Vocabulary, ...]) -> Iterator[Change]:
    was, now = ({name for each in side for name in each.propagate} for side in (old, new))
    for name in sorted(was - now):
        yield Change(name, "propagate", True, f"{name}: it no longer travels to other services")
    for name in sorted(now - was):
        yield Change(name, "propagate", False, f"{name}: it travels to other services")
    versions = {each.prefix: each.version for each in old}
    for vocabulary in new:
        before = versions.get(vocabulary.prefix, vocabulary.version)
        if before != vocabulary.version:
            text = f"the version of {vocabulary.prefix} was {before} and is {vocabulary.version}"
            yield Change("", "version", False, text)
