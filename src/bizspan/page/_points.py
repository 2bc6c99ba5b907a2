"""
The points of a series: how long each of them is, and which one a moment belongs to.
"""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import Final

from bizspan.page._filter import Asked

DAY: Final = 86_400
_STEPS: Final = (60, 300, 600, 1800, 3600)
_POINTS_MOST: Final = 240
_CELLS: Final = (3600, 900, 60)


def step_of(asked: Asked) -> int:
    """How long each point of a series is, in seconds; a day is one of the calendar's, however long."""
    length = asked.until - asked.since
    return next((step for step in _STEPS if length / step <= _POINTS_MOST), DAY)


def cell_of(asked: Asked, step: int) -> int:
    """
    Over how many seconds the store may add up, so that each sum belongs to one point.

    Days begin where the calendar's zone says: at a quarter of an hour of UTC in some.
    """
    if step < DAY:
        return step
    midnights = times(asked, step)
    return next((cell for cell in _CELLS if all(at % cell == 0 for at in midnights)), _CELLS[-1])


def times(asked: Asked, step: int) -> list[int]:
    """The points of a series: every one of the period, also where nothing happened."""
    if step < DAY:
        return list(range(asked.since // step * step, asked.until, step))
    day = datetime.fromtimestamp(asked.since, asked.calendar.zone).date()
    found: list[int] = []
    while (at := int(datetime.combine(day, time(), asked.calendar.zone).timestamp())) < asked.until:
        found.append(at)
        day += timedelta(days=1)
    return found


def place(asked: Asked, step: int, second: int) -> int:
    """The point that a moment belongs to."""
    if step < DAY:
        return second // step * step
    day = datetime.fromtimestamp(second, asked.calendar.zone).date()
    return int(datetime.combine(day, time(), asked.calendar.zone).timestamp())
