"""
Marks as rules of Prometheus, which can't read a store: when each begins and ends, and which hours they touch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from bizspan.kpi._design import Placed, countries_of
from bizspan.kpi._kpi import KPI
from bizspan.kpi._promql import matcher
from bizspan.kpi._yaml import Block, Node

GROUP: Final = "bizspan-marks"
NOW: Final = "now"
_WEEK_S: Final = 7 * 86_400
_HOUR_S: Final = 3_600
_SECOND_NS: Final = 10**9
_FROM, _TO, _TOUCHED = "bizspan:mark_from", "bizspan:mark_to", "bizspan:marked:1h"
_BACK_NS: Final = (4 * _WEEK_S + _HOUR_S) * _SECOND_NS
_AHEAD_NS: Final = 366 * 86_400 * _SECOND_NS


def current(marks: Iterable[Placed], now_ns: int) -> list[Placed]:
    """
    The marks that rules need: those of the last four weeks, and of the year that comes.

    Args:
        marks: Those that there are.
        now_ns: What is now.
    """
    return [each for each in marks if each.until_ns > now_ns - _BACK_NS and each.since_ns < now_ns + _AHEAD_NS]


def group(marks: Sequence[Placed], weeks: Sequence[str]) -> Node:
    """
    The rules of the marks.

    Args:
        marks: At least one.
        weeks: How Prometheus calls the times back that are gated, beside `NOW`: ``1w``, ``2w``, ...
    """
    rules: list[Node] = []
    for number, mark in enumerate(marks, 1):
        labels = {"number": str(number), "mark": mark.label}
        labels |= {"country": mark.country} if mark.country else {}
        # To whole seconds, outwards: a mark of a moment is one too.
        for name, at in ((_FROM, mark.since_ns // _SECOND_NS), (_TO, -(-mark.until_ns // _SECOND_NS))):
            rules.append({"record": name, "expr": Block(f"vector({at})"), "labels": labels})
    for back, week in enumerate((NOW, *weeks)):
        then = f"time() - {back * _WEEK_S}" if back else "time()"
        touched = f"{_FROM} < {then}\nand on (number) {_TO} > {then} - {_HOUR_S}"
        expression = f"count by (country) (\n{touched}\n)"
        rules.append({"record": _TOUCHED, "expr": Block(expression), "labels": {"week": week}})
    return {"name": GROUP, "interval": "1m", "rules": rules}


class Gate:
    """
    Conditions that leave marked hours of one KPI out.

    Args:
        kpi: Which one.
        is_open: Whether there is no mark at all.
    """

    def __init__(self, kpi: KPI, is_open: bool) -> None:
        countries = countries_of(kpi)
        self._place = matcher("country", ("", *countries)) if countries else ""
        self._is_open = is_open

    def weeks(self, series: str) -> str:
        """Of series with a label ``week``, those whose hour has no mark in it."""
        return series if self._is_open else f"({series}) unless on (week) {self._touched()}"

    def now(self) -> str:
        """The end of an expression that is to say nothing while the last hour has a mark in it."""
        week = f'week="{NOW}"'
        return "" if self._is_open else f"\nunless on () {self._touched(week)}"

    def _touched(self, *more: str) -> str:
        told = ", ".join(each for each in (*more, self._place) if each)
        return f"{_TOUCHED}{{{told}}}" if told else _TOUCHED
