"""
YAML of texts, numbers, lists and tables: what a file of rules needs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

Node = str | int | Sequence["Node"] | Mapping[str, "Node"]

_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"}


class Block(str):
    """A text of several lines that is written as it stands: printable ASCII."""

    __slots__ = ()


def written(node: Node) -> str:
    """
    A document, with keys in the order in which they are given.

    Every text is quoted, so none of them is taken for a number, a boolean or a piece of YAML.
    """
    return "\n".join(_lines(node)) + "\n"


def _lines(node: Node) -> Iterator[str]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from _entry(f"{key}:", value, "  ")
    elif isinstance(node, Sequence) and not isinstance(node, str):
        for value in node:
            first, *others = _lines(value)
            yield f"- {first}"
            yield from (f"  {line}" for line in others)
    else:
        yield _scalar(node)


def _entry(key: str, value: Node, indent: str) -> Iterator[str]:
    if isinstance(value, Block):
        yield f"{key} |-"
        yield from (f"{indent}{line}" for line in value.split("\n"))
    elif isinstance(value, (str, int)):
        yield f"{key} {_scalar(value)}"
    else:
        yield key
        yield from (f"{indent}{line}" for line in _lines(value))


def _scalar(value: str | int) -> str:
    return quoted(value) if isinstance(value, str) else str(value)


def encodable(text: str) -> str:
    """A text with U+FFFD for each half of a pair that stands alone, as in events."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


def quoted(text: str) -> str:
    """A text between double quotes, on one line; what can't be printed is escaped."""
    return '"' + "".join(_ESCAPES.get(letter) or _letter(letter) for letter in encodable(text)) + '"'


def _letter(letter: str) -> str:
    if letter.isprintable():
        return letter
    return f"\\u{ord(letter):04x}" if ord(letter) < 0x10000 else f"\\U{ord(letter):08x}"
