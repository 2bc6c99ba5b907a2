"""
HTML from plain values: everything passes `escaped`, unless `tag` has made it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape
from typing import Any, Final, cast

_VOID: Final = frozenset({"br", "hr", "img", "input", "link", "meta", "rect", "line"})
# What XML and HTML do not have, and what turns the direction of the text around it.
_UNSHOWN: Final = dict.fromkeys(
    [*(code for code in range(32) if code not in (9, 10, 13)), *range(0x7F, 0xA0), *range(0x202A, 0x202F),
     *range(0x2066, 0x206A), *range(0xD800, 0xE000)],
    "\N{REPLACEMENT CHARACTER}",
)  # fmt: skip


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def escaped(value: object) -> Html:
    """A value as HTML: a text that means nothing to a browser, whatever is in it."""
    if isinstance(value, Html):
        return value
    return Html(escape(str(value).translate(_UNSHOWN), quote=True))


def tag(name: str, /, *children: Any, **attributes: Any) -> Html:
    """
    An element.

    Args:
        name: Of the element.
        children: Texts, elements, or iterables of them; None is nothing.
        attributes: By name: ``class_`` is ``class``, ``aria_label`` is ``aria-label``; None and False are left out,
            True stands without a value.
    """
    told = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{escaped(value)}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in _VOID:
        return Html(f"<{name}{told}>" if name not in ("rect", "line") else f"<{name}{told}/>")
    return Html(f"<{name}{told}>{joined(children)}</{name}>")


def joined(children: Iterable[Any]) -> Html:
    """Several of them, one after the other."""
    parts: list[str] = []
    for each in children:
        if each is None or each is False:
            continue
        if isinstance(each, str):
            parts.append(escaped(each))
        elif isinstance(each, list | tuple | Iterator):
            parts.append(joined(cast("Iterable[object]", each)))
        else:
            parts.append(escaped(each))
    return Html("".join(parts))
