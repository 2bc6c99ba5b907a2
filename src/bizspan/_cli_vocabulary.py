"""
``bizspan vocabulary show`` and ``bizspan vocabulary diff``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path
from typing import Any, Final, cast

from bizspan._cli_declared import configuration, named_object
from bizspan._vocabulary_diff import Change, differences
from bizspan._vocabulary_json import read_vocabularies, vocabularies_data
from bizspan.errors import SetupError
from bizspan.vocabulary import STANDARD, Attribute, Vocabulary

_WELL, _BROKEN = 0, 1
_NONE: Final = (
    "no vocabulary is declared; add [tool.bizspan.vocabulary] to pyproject.toml, or name one: shop.telemetry:SHOP."
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions and their options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    show = actions.add_parser("show", help="the facts that are declared")
    diff = actions.add_parser("diff", help="what has changed, and whether it breaks anything")
    what = "a Python object as MODULE:OBJECT, or a file that `show --format json` printed"
    diff.add_argument("old", metavar="OLD", help=what)
    diff.add_argument("new", metavar="NEW", nargs="?", help="the same (default: the configured vocabulary)")
    show.add_argument("name", metavar="NAME", nargs="?", help=f"{what} (default: the configured vocabulary)")
    show.add_argument("--standard", action="store_true", help="also the standard facts, in the text")
    for action in (show, diff):
        action.add_argument("--config", metavar="FILE", help="the configuration file (default: the one that applies)")
        action.add_argument("--format", choices=("text", "json"), default="text", help="how to print (default: text)")
    parser.epilog = "Exit code: 0 nothing breaks, 1 a change breaks something, 2 wrong arguments or a wrong file."


def run(options: argparse.Namespace, show: Callable[[str], None]) -> int:
    """
    Do what was asked.

    Args:
        options: What was typed.
        show: Prints.

    Raises:
        SetupError: What was asked can not be done; the text says what to do instead.
    """
    return _diff(options, show) if options.action == "diff" else _show(options, show)


def _vocabularies(name: str | None, config: str | None) -> tuple[Vocabulary, ...]:
    if name is None:
        loaded = configuration(config)
        told = None if loaded is None else loaded.configure.get("vocabulary")
        if told is None:
            raise SetupError(_NONE)
        return (told,)
    if Path(name).is_file() or ":" not in name:
        return read_vocabularies(name)
    found = named_object(name)
    several = (found,) if isinstance(found, Vocabulary) else found
    if not isinstance(several, Iterable) or isinstance(several, (str, bytes)):
        raise SetupError(f"{name}: expected a Vocabulary, or a list of them.")
    vocabularies = tuple(cast("Iterable[object]", several))
    if not vocabularies or not all(isinstance(each, Vocabulary) for each in vocabularies):
        raise SetupError(f"{name}: expected a Vocabulary, or a list of them.")
    return cast("tuple[Vocabulary, ...]", vocabularies)


# --- show -----------------------------------------------------------------------------------------------------------


def _show(options: argparse.Namespace, show: Callable[[str], None]) -> int:
    vocabularies = _vocabularies(options.name, options.config)
    if options.format == "json":
        show(json.dumps(vocabularies_data(vocabularies), indent=2, ensure_ascii=False))
        return _WELL
    for vocabulary in (*((STANDARD,) if options.standard else ()), *vocabularies):
        show(f"{vocabulary.prefix}, version {vocabulary.version}")
        width = max((len(fact.name) for fact in vocabulary), default=0)
        keys = max((len(fact.key) for fact in vocabulary), default=0)
        for fact in sorted(vocabulary, key=lambda each: each.name):
            traits = ", ".join(_traits(fact))
            said = ": ".join(text for text in (fact.owner, fact.meaning) if text)
            show(f"  {fact.name:<{width}}  {fact.key:<{keys}}  {traits}{f'  {said}' if said else ''}")
    return _WELL


def _traits(fact: Attribute) -> list[str]:
    allowed = () if fact.allowed is None else sorted(map(str, cast("Iterable[Any]", fact.allowed)))
    return [
        fact.type.__name__,
        *([fact.format] if fact.format != "text" else []),
        *(["one of " + " ".join(allowed)] if allowed else []),
        *([f"dimension of {fact.budget}"] if fact.dimension else []),
        *(["personal"] if fact.personal else []),
        *(["travels"] if fact.propagate else []),
    ]


# --- diff -----------------------------------------------------------------------------------------------------------


def _diff(options: argparse.Namespace, show: Callable[[str], None]) -> int:
    old, new = _vocabularies(options.old, options.config), _vocabularies(options.new, options.config)
    changes = differences(old, new)
    broken = [each for each in changes if each.breaking]
    exit_code = _BROKEN if broken else _WELL
    if options.format == "json":
        show(json.dumps(_data(changes, exit_code), indent=2, ensure_ascii=False))
        return exit_code
    for each in changes:
        show(f"{'breaking  ' if each.breaking else 'compatible'}  {each.text}")
    show(f"{len(broken)} breaking, {len(changes) - len(broken)} compatible")
    return exit_code


def _data(changes: tuple[Change, ...], exit_code: int) -> dict[str, Any]:
    return {
        "format": 1,
        "bizspan": metadata.version("bizspan"),
        "exit_code": exit_code,
        "changes": [
            {"fact": each.fact, "change": each.change, "breaking": each.breaking, "text": each.text}
            for each in changes
        ],
    }  # fmt: skip
