"""
What the pages show, read from the store: from the counts per minute and hour where they can tell it, from the events
otherwise.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import replace

from bizspan.page._blocks import Blocks
from bizspan.page._counted import Counted
from bizspan.page._filter import NOT_TOLD, Asked
from bizspan.page._of_events import from_events, kinds_of
from bizspan.page._of_minutes import add_untold, from_minutes
from bizspan.page._points import cell_of, step_of
from bizspan.page._queries import BASE, DIMENSIONS, Reader, Unasked, facts_of


def count(
    connection: sqlite3.Connection, asked: Asked, dimensions: Sequence[str], blocks: Blocks | None = None
) -> Counted:
    """
    What the period holds, altogether and by these dimensions.

    Args:
        connection: That reads, in a transaction.
        asked: The period and the filters.
        dimensions: Of `DIMENSIONS`, or any column where the events are read.
        blocks: Where what was counted before is kept.
    """
    by_minutes = is_of_minutes(asked) and set(dimensions) <= {*DIMENSIONS}
    step = step_of(asked)
    cell_s = cell_of(asked, step)
    facts, kinds = (None, []) if by_minutes else (facts_of(connection), kinds_of(connection))

    def read(reader: Reader, part: Asked) -> Counted:
        if by_minutes:
            return from_minutes(reader, part, dimensions, cell_s)
        return from_events(reader, part, dimensions, cell_s, None if reader is not connection else facts, kinds)

    def of_piece(since: int, until: int) -> Counted:
        return read(connection, replace(asked, since=since, until=until))

    found = read(Unasked(), asked)
    found.step = step
    question = by_minutes, asked.where, asked.traffic, tuple(dimensions), cell_s

    kept = blocks or Blocks()
    for piece in kept.over(connection, question, (asked.since, asked.until), of_piece, lambda each: each.cells):
        found.add(piece)
    if by_minutes:
        add_untold(found, dimensions)
    return found


def is_of_minutes(asked: Asked) -> bool:
    """Whether the minutes know what is asked for, as far as the filters go."""
    return asked.filters.keys() <= BASE and NOT_TOLD not in asked.filters.values()
