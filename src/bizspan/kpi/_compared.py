"""
What a comparison found.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from bizspan.kpi._calendar import Period
from bizspan.kpi._design import Design
from bizspan.kpi._kpi import KPI
from bizspan.kpi._plan import Plan
from bizspan.kpi._sequential import Difference, Verdict

NOTHING_WORSE, WORSE, NOT_SHOWN = 0, 1, 3
_NONE: Final[Mapping[str, int]] = {}


def good_of(kpi: KPI, plan: Plan | None) -> Literal["up", "down"]:
    """Which way of the value that is compared is good: within its limit, whichever way a quantile should go."""
    return "up" if plan is not None and plan.limit is not None else kpi.direction


@dataclass(frozen=True, slots=True)
class Slice:
    """
    The difference among records that have one value of a fact. It has no verdict.

    Args:
        fact: Its name.
        value: Its value; None where it was not told.
        difference: What was found.
    """

    fact: str
    value: str | None
    difference: Difference


@dataclass(frozen=True, slots=True)
class Line:
    """
    One KPI, in one currency.

    Args:
        kpi: Which one.
        currency: Of money; empty otherwise.
        verdict: The one word.
        reason: Why there is none of better and worse, where it is not the interval.
        plan: How it is compared; None where it can't be.
        difference: What was found.
        crude: The values of both arms without any matching.
        slices: The same by the values of facts.
        suppressed: How many slices are not shown, because they are small or would give a small one away.
        beside: How many records are ``hidden`` (other traffic than customers'), lack an amount (``missing``) or a unit
            (``unnamed``); how many units are in both arms (``crossed``).
        per_hour: Of a sum of money: what the difference comes to in an hour of the candidate.
        hours: Of before and after: how many hours, by weekday, have records on both sides, and how many there are.
    """

    kpi: KPI
    currency: str
    verdict: Verdict
    reason: str = ""
    plan: Plan | None = None
    difference: Difference | None = None
    crude: tuple[float | None, ...] = ()
    slices: tuple[Slice, ...] = ()
    suppressed: int = 0
    beside: Mapping[str, int] = field(default_factory=lambda: _NONE)
    per_hour: float | None = None
    hours: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """
    Two arms, compared by KPIs.

    Args:
        design: What is compared with what.
        alpha: The probability of an error, over all KPIs and looks.
        tests: How many KPIs, by currency, share it.
        as_of_ns: What is now.
        seen: How many records each value of the fact has.
        lines: The KPIs.
        windows: How many records each window of the design has.
        kept_since_ns: Since when the source has all that happened; 0 where nothing is known to have been dropped.
    """

    design: Design
    alpha: float
    tests: int
    as_of_ns: int
    seen: Mapping[str, int]
    lines: tuple[Line, ...]
    windows: tuple[int, ...]
    kept_since_ns: int = 0

    @property
    def absent(self) -> tuple[str, ...]:
        """The arms that have no record."""
        return tuple(arm for arm in (self.design.baseline, self.design.candidate) if not self.seen.get(arm))

    def is_incomplete(self, period: Period) -> bool:
        """Whether the source has dropped a part of a period."""
        return period.since_ns < self.kept_since_ns

    @property
    def before(self) -> tuple[tuple[Period, int], ...]:
        """Of before and after: the times before, each with its records."""
        told = zip(self.design.windows, self.windows, strict=True)
        return () if self.design.is_concurrent else tuple((each, n) for (_, each), n in told)[1:]

    def exit_code(self, is_better_required: bool = False) -> int:
        """
        For a pipeline: 0 nothing is worse, 1 something is, 3 it is not shown yet.

        Args:
            is_better_required: Every KPI must be better.
        """
        if any(line.verdict == "worse" for line in self.lines):
            return WORSE
        if self.absent or not self.lines:
            return NOT_SHOWN
        if is_better_required and any(line.verdict != "better" for line in self.lines):
            return NOT_SHOWN
        return NOTHING_WORSE
