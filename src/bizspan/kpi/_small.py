"""
What small numbers may say: an interval around a rate, and which groups are too small to be shown.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from math import sqrt
from typing import Final, TypeVar

MINIMUM: Final = 5  # of a group, where nobody says another
_Z: Final = 1.959963984540054  # 95 %, two-sided
Cell = TypeVar("Cell", bound=Hashable)


def wilson(hits: int, of: int) -> tuple[float, float] | None:
    """
    The 95 % interval of a rate (Wilson, 1927); None without any.

    Args:
        hits: How many.
        of: Of how many.
    """
    if of <= 0:
        return None
    rate, square = hits / of, _Z * _Z
    middle = (rate + square / (2 * of)) / (1 + square / of)
    half = _Z / (1 + square / of) * sqrt(rate * (1 - rate) / of + square / (4 * of * of))
    return max(0.0, middle - half), min(1.0, middle + half)


def totals(cell: tuple[str | None, ...]) -> tuple[Hashable, ...]:
    """
    The totals that a group of a breakdown is part of: over all, and, with several facts, over each of them.

    Args:
        cell: Its currency, and its values.
    """
    currency, *values = cell
    over = [(index, *values[:index], *values[index + 1 :]) for index in range(len(values))] if values[1:] else []
    return ((currency,), *((currency, *each) for each in over))


def too_small(sizes: Mapping[Cell, int], minimum: int, lines: Callable[[Cell], tuple[Hashable, ...]]) -> set[Cell]:
    """
    The groups that are not shown: those below the minimum, and as many more as it takes so that none of them is what
    remains when the others are subtracted from a total.

    Args:
        sizes: By group, how many it has.
        minimum: The least that is shown.
        lines: The totals that a group is part of.
    """
    hidden = {cell for cell, size in sizes.items() if size < minimum}
    members: dict[Hashable, list[Cell]] = {}
    for cell in sizes:
        for line in lines(cell):
            members.setdefault(line, []).append(cell)
    is_settled = False
    while not is_settled:
        is_settled = True
        for cells in members.values():
            dark = [cell for cell in cells if cell in hidden]
            light = sorted((cell for cell in cells if cell not in hidden), key=lambda cell: (sizes[cell], repr(cell)))
            # One alone is the difference; several below the minimum are, together, a small group.
            if dark and light and (len(dark) == 1 or sum(sizes[cell] for cell in dark) < minimum):
                hidden.add(light[0])
                is_settled = False
    return hidden
