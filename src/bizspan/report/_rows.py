"""
The KPIs of a report: value, target, what it was before, and its course.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING, Final

from bizspan._currencies import EXPONENTS
from bizspan.report._model import Number, Row

if TYPE_CHECKING:
    from bizspan.kpi import KPI, Answer, Calendar, Figure, Period, Source
    from bizspan.kpi._calendar import Length

_HOUR_NS: Final = 3_600 * 10**9
_DAY_NS: Final = 24 * _HOUR_NS
_MOST_PARTS: Final = 62
_DIGITS: Final = 9  # what is behind them is a double's, and nobody's
_NO_COURSE: Final = ("retention", "recurring")


@dataclass(frozen=True, slots=True)
class Asked:
    """
    What rows are about.

    Args:
        source: Where from.
        calendar: Whose days.
        period: Which time.
        baseline: What it is compared with; None for nothing.
        as_of_ns: What happened or arrived later is not in it.
    """

    source: Source
    calendar: Calendar
    period: Period
    baseline: Period | None
    as_of_ns: int


def answered(kpi: KPI, asked: Asked) -> Answer:
    """
    What a KPI was over all, and before.

    Raises:
        SetupError: The source can't answer.
    """
    from bizspan.kpi import evaluate

    return evaluate(
        kpi, asked.source, asked.period, calendar=asked.calendar, by=(), compare=asked.baseline,
        as_of_ns=asked.as_of_ns,
    )  # fmt: skip


def rows_of(answer: Answer, asked: Asked) -> list[Row]:
    """
    The rows of a KPI: one, or one for each currency.

    Args:
        answer: Of `answered`.
        asked: The same.

    Raises:
        SetupError: The source can't answer.
    """
    from bizspan.kpi import evaluate

    kpi = answer.kpi
    unit = _unit(kpi, asked)
    parts = _parts(kpi, asked, unit)
    course = [
        evaluate(kpi, asked.source, part, calendar=asked.calendar, by=(), as_of_ns=asked.as_of_ns, beside=False)
        for part in parts
    ]
    return [_row(answer, currency, unit, course, asked) for currency in _currencies(answer)]


def failed_row(kpi: KPI, why: str) -> Row:
    """
    The row of a KPI that can't be evaluated.

    Args:
        kpi: Which one.
        why: What was said.
    """
    return Row(
        kpi.name, kpi.meaning, kpi.owner, kpi.playbook, "", kpi.is_rate, kpi.direction, None, "can't be evaluated", 0,
        error=why.removeprefix(f"KPI {kpi.name!r}: "),
    )  # fmt: skip


def _currencies(answer: Answer) -> list[str]:
    told = [*answer.total, *(answer.previous.total if answer.previous else ())]
    found = sorted({each.currency for each in told} | set(answer.kpi.targets))
    # Without anything in a period, there is no currency either: one row says so.
    return [each for each in found if each] or found or [""]


def _row(answer: Answer, currency: str, unit: str, course: Sequence[Answer], asked: Asked) -> Row:
    from bizspan.kpi import Figure, value_text

    kpi = answer.kpi
    figure = figure_in(answer, currency)
    before, before_kept = None, None
    if answer.previous is not None:
        before = figure_in(answer.previous, currency)
        before_kept = answer.previous.kept_since_ns
    is_whole = answer.kept_since_ns is None and before_kept is None
    target = kpi.target_in(currency)
    mean, met, met_parts = _judged(kpi, figure, currency, unit, course, asked)
    if answer.kept_since_ns is not None and met_parts is None:
        met = None
    return Row(
        kpi=kpi.name,
        meaning=kpi.meaning,
        owner=kpi.owner,
        playbook=kpi.playbook,
        currency=currency,
        is_rate=kpi.is_rate,
        direction=kpi.direction,
        value=figure.value,
        shown=value_text(kpi, figure),
        n=figure.n,
        interval=figure.interval,
        target=target,
        target_shown="" if target is None else value_text(kpi, Figure(target, currency)),
        per=kpi.per,
        mean=mean,
        met=met,
        met_parts=met_parts,
        before=None if before is None else before.value,
        before_shown="" if before is None else value_text(kpi, before),
        change=None if before is None or not is_whole else change(figure.value, before.value, is_rate=kpi.is_rate),
        series=tuple(_number(each, currency) for each in course),
        unit=unit if course else "",
        bounds=tuple(each.period.since_ns for each in course) + tuple(each.period.until_ns for each in course[-1:]),
        hidden=answer.hidden,
        missing=answer.missing,
        late=answer.late,
        pending=answer.pending,
        is_exact=answer.is_exact,
        kept_since_ns=answer.kept_since_ns,
        before_kept_since_ns=before_kept,
    )


def change(now: Number | None, before: Number | None, *, is_rate: bool) -> float | None:
    """
    The difference of two rates, or the relative one of two amounts; None where there is none.

    Args:
        now: The one.
        before: The one that it is compared with.
        is_rate: Whether they are parts of a whole.
    """
    if now is None or before is None:
        return None
    moved = float(now) - float(before)
    if not is_rate:
        if not before:
            return None
        moved /= abs(float(before))
    return round(moved, _DIGITS)


def figure_in(answer: Answer, currency: str) -> Figure:
    """
    The value over all in a currency; where nobody told any, nothing of it.

    Args:
        answer: Of a KPI.
        currency: Which one; empty where there is none.
    """
    return answer.figure(currency) or _nothing(answer.kpi, currency)


def _nothing(kpi: KPI, currency: str) -> Figure:
    """The figure of a currency that nobody told: a sum of nothing is zero."""
    from bizspan.kpi import Figure

    if kpi.kind == "sum" and currency:
        return Figure(Decimal(0).scaleb(-EXPONENTS.get(currency, 0)), currency)
    return Figure(0 if kpi.kind in ("count", "distinct") else None, currency)


def _number(answer: Answer, currency: str) -> float | None:
    figure = figure_in(answer, currency)
    return None if figure.value is None or answer.kept_since_ns is not None else float(figure.value)


# --- targets --------------------------------------------------------------------------------------------------------


def _judged(
    kpi: KPI, figure: Figure, currency: str, unit: str, course: Sequence[Answer], asked: Asked
) -> tuple[Decimal | None, bool | None, tuple[int, int] | None]:
    """The mean of whole periods, whether the target is met, and how many periods met it."""
    target = kpi.target_in(currency)
    if target is None:
        return None, None, None
    if not kpi.per:
        return None, figure.met, None
    whole = asked.calendar.around(asked.period.since_ns, kpi.per)
    if (whole.since_ns, whole.until_ns) == (asked.period.since_ns, asked.period.until_ns):
        is_over = asked.period.until_ns <= asked.as_of_ns
        met = figure.met
        if met is None and is_over and figure.value is not None:  # nothing was told in this currency
            met = fits(kpi, figure.value, target)
        return None, met, None
    values: list[Decimal] = []
    for each in course:
        part = asked.calendar.around(each.period.since_ns, kpi.per)
        if (
            each.kept_since_ns is None
            and unit == kpi.per
            and (part.since_ns, part.until_ns) == (each.period.since_ns, each.period.until_ns)
        ):
            value = figure_in(each, currency).value
            values += [] if value is None else [Decimal(str(value))]
    if not values:
        return None, None, None
    exponent = Decimal(1).scaleb(-EXPONENTS.get(currency, 2))
    mean = (sum(values, Decimal(0)) / len(values)).quantize(exponent, ROUND_HALF_EVEN)
    # By the sum: a mean is rounded.
    is_met = fits(kpi, sum(values, Decimal(0)), target * len(values))
    return mean, is_met, (sum(fits(kpi, value, target) for value in values), len(values))


def fits(kpi: KPI, value: Number, target: Decimal) -> bool:
    """Whether a value is as good as a target."""
    exact = Decimal(str(value))
    return exact >= target if kpi.direction == "up" else exact <= target


# --- the course -----------------------------------------------------------------------------------------------------


def _unit(kpi: KPI, asked: Asked) -> Length:
    period = asked.period
    if kpi.per and sum(1 for _ in asked.calendar.split(period, kpi.per)) <= _MOST_PARTS:
        return kpi.per
    length = period.until_ns - period.since_ns
    if length <= 2 * _DAY_NS + _HOUR_NS:
        return "hour"
    if length <= _MOST_PARTS * _DAY_NS:
        return "day"
    return "week" if length <= 7 * _MOST_PARTS * _DAY_NS else "month"


def _parts(kpi: KPI, asked: Asked, unit: Length) -> list[Period]:
    """The parts that are over: half a day is no drop."""
    if kpi.kind in _NO_COURSE:
        return []
    parts = [part for part in asked.calendar.split(asked.period, unit) if part.until_ns <= asked.as_of_ns]
    return parts[-2 * _MOST_PARTS :]
