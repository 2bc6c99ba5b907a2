"""
Tables in the width of a terminal: a course gets shorter, then cells take more lines.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import zip_longest
from typing import Final

_INDENT: Final = "  "
_GAP: Final = "  "
_NARROWEST: Final = 4


def shortened(series: Sequence[float | None], most: int) -> tuple[float | None, ...]:
    """
    The course in so many points at most: each one the mean of those that it stands for, None where none is known.

    Args:
        series: The values.
        most: How many points.
    """
    count = len(series)
    if count <= most:
        return tuple(series)
    parts = (series[number * count // most : (number + 1) * count // most] for number in range(most))
    known = ([value for value in part if value is not None] for part in parts)
    return tuple(sum(part) / len(part) if part else None for part in known)


def needed(rows: Sequence[Sequence[str]]) -> int:
    """How wide a table is."""
    return len(_INDENT) + sum(_widths(rows)) + len(_GAP) * (len(rows[0]) - 1)


def laid_out(rows: Sequence[Sequence[str]], to_right: Sequence[bool], width: int) -> list[list[str]]:
    """
    The lines of each row.

    Args:
        rows: Cells; the head is one of them.
        to_right: By column, whether it stands to the right.
        width: Of the terminal; 0 is any. Narrower than a word, cells break inside words.
    """
    widths = _widths(rows)
    if width:
        words = [
            max(len(word) for cell in column for word in cell.split() or [""]) for column in zip(*rows, strict=True)
        ]
        _narrow(widths, words, width)
        _narrow(widths, [_NARROWEST] * len(widths), width)
    return [_lines(row, widths, to_right) for row in rows]


def folded(text: str, width: int, indent: str = "") -> list[str]:
    """A sentence in lines that are not wider; 0 is any width."""
    if not width or len(indent) + len(text) <= width:
        return [indent + text]
    return textwrap.wrap(text, max(width, 2 * len(indent) + 1), initial_indent=indent, subsequent_indent=indent + _GAP)


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*rows, strict=True)]


def _narrow(widths: list[int], least: Sequence[int], width: int) -> None:
    """Take from the widest columns what is too much, as long as they have more than the least."""
    room = width - len(_INDENT) - len(_GAP) * (len(widths) - 1)
    while sum(widths) > room:
        wide = [number for number, each in enumerate(widths) if each > least[number]]
        if not wide:
            return
        widths[max(wide, key=widths.__getitem__)] -= 1


def _lines(cells: Sequence[str], widths: Sequence[int], to_right: Sequence[bool]) -> list[str]:
    folds = [
        [cell] if len(cell) <= width else textwrap.wrap(cell, width, break_on_hyphens=False)
        for cell, width in zip(cells, widths, strict=True)
    ]
    return [
        (_INDENT + _GAP.join(
            part.rjust(width) if right else part.ljust(width)
            for part, width, right in zip(parts, widths, to_right, strict=True)
        )).rstrip()
        for parts in zip_longest(*folds, fillvalue="")
    ]  # fmt: skip
