"""
What is usual: the median of the same weekday and hour in the weeks before, without those that are marked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from statistics import median
from typing import TYPE_CHECKING, Final

from bizspan.report._model import Number
from bizspan.report._rows import figure_in

if TYPE_CHECKING:
    from bizspan.kpi import KPI, Answer, Calendar, Figure, Period, Source
    from bizspan.kpi._design import Placed
    from bizspan.lens import Mark

_LEAST_NS: Final = 60 * 10**9  # of a period that is still running


@dataclass(frozen=True, slots=True)
class Situation:
    """
    What rules are judged on.

    Args:
        source: Where from.
        calendar: Whose days.
        as_of_ns: The moment.
        marks: Those that are known: what is said of a time with a mark in it names the mark.
        skips_marked: Whether nothing is compared with what is usual where one of the two has a mark in it.
    """

    source: Source
    calendar: Calendar
    as_of_ns: int
    marks: Sequence[Mark] = ()
    skips_marked: bool = True


@dataclass(frozen=True, slots=True)
class Drop:
    """
    A value that is off the usual.

    Args:
        figure: The value.
        usual: The median of the times before, as the value is.
        weeks: Of how many.
        left_out: What other times before are marked with.
        label: Of which time.
    """

    figure: Figure
    usual: Number
    weeks: int
    left_out: tuple[str, ...]
    label: str


def drops(kpi: KPI, change: float, period: Period, now: Situation, marks: Sequence[Placed]) -> list[Drop]:
    """
    The values of a KPI that are off the usual, where so much is expected that chance does not do it.

    Args:
        kpi: Which one.
        change: From which part of the usual on.
        period: Of which time; what of it has gone by is compared.
        now: Where from, and what is now.
        marks: A time before with one of these in it does not count, and the one before it stands in. Of a period with
            one in it, nothing is said.

    Raises:
        SetupError: The source can't answer, or all times before are marked.
    """
    from bizspan.kpi import before_after
    from bizspan.kpi._design import marks_of, overlap
    from bizspan.kpi._usual import NEEDED_WEEKS, WEEKS

    mine = marks_of(kpi, marks)
    until_ns = min(period.until_ns, now.as_of_ns)
    if until_ns - period.since_ns < _LEAST_NS:
        return []  # it has only just begun
    if any(overlap(each, replace(period, until_ns=until_ns)) for each in mine):
        return []
    design = before_after(period.since_ns, until_ns, WEEKS, now.calendar, mine)
    (_, this), *before = design.windows
    answer, *usual = (_answer(kpi, each, now) for each in (this, *(each for _, each in before)))
    labels = tuple(dict.fromkeys(label for each in design.left_out for label in each.labels))
    found: list[Drop] = []
    for currency in sorted({each.currency for one in (answer, *usual) for each in one.total}):
        figure = figure_in(answer, currency)
        # A week without any record is one before the store began, rather than one of nothing.
        told = [figure_in(one, currency) for one in usual if one.kept_since_ns is None]
        weeks = [each for each in told if each.n and each.value is not None]
        if figure.value is None or len(weeks) < NEEDED_WEEKS or answer.kept_since_ns is not None:
            continue
        middle = median(Decimal(str(each.value)) for each in weeks)
        expected = median(each.n for each in weeks)
        if _is_off(kpi, figure, middle, change) and _is_enough(kpi, change, figure.n, middle, expected):
            found.append(Drop(figure, _like(middle, figure), len(weeks), labels, period.label))
    return found


def _answer(kpi: KPI, period: Period, now: Situation) -> Answer:
    from bizspan.kpi import evaluate

    return evaluate(
        kpi, now.source, period, calendar=now.calendar, by=(), as_of_ns=now.as_of_ns, beside=False
    )  # fmt: skip


def _is_off(kpi: KPI, figure: Figure, usual: Decimal, change: float) -> bool:
    value = Decimal(str(figure.value))
    part = Decimal(str(change))
    return value < (1 - part) * usual if kpi.direction == "up" else value > (1 + part) * usual


def _is_enough(kpi: KPI, change: float, n: int, usual: Decimal, expected: float) -> bool:
    """Whether as much is expected as makes such a change no accident."""
    from bizspan.kpi import Quantile
    from bizspan.kpi._usual import IN_THE_TAIL, least_expected

    least = least_expected(change)
    if isinstance(kpi.of, Quantile):
        return min(kpi.of.q, 1 - kpi.of.q) * n >= IN_THE_TAIL
    if kpi.kind == "recurring":
        return True  # a system of record counts, and does not sample
    if kpi.is_rate:
        return usual * n >= least * (1 - usual)
    if kpi.kind == "ratio" and not kpi.is_money:
        return usual * n >= least
    return expected >= least


def _like(value: Decimal, figure: Figure) -> Number:
    """The mean of two middle values, with no more digits than a value has."""
    if isinstance(figure.value, Decimal):
        return value.quantize(figure.value)
    return int(value) if value == value.to_integral_value() else float(value)
