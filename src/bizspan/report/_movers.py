"""
Which groups moved a KPI the most.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Final

from bizspan.report._model import Mover

if TYPE_CHECKING:
    from bizspan.kpi import Answer, Figure, Period, Source

_Z: Final = 1.959963984540054  # 95 %, two-sided
_NOT_BY_GROUP: Final = ("retention", "recurring")


@dataclass(frozen=True, slots=True)
class Comparison:
    """
    Two periods of one store.

    Args:
        source: The store.
        period: Now.
        baseline: Before.
        as_of_ns: What happened or arrived later is not in it.
    """

    source: Source
    period: Period
    baseline: Period
    as_of_ns: int


def movers(answers: Iterable[Answer], facts: Sequence[str], of: Comparison) -> tuple[list[Mover], int]:
    """
    The groups whose value changed, the biggest first, and how many are too small to be compared.

    A group is compared where it has the KPI's minimum of records in both periods, and is shown in both.

    Args:
        answers: Of which KPIs: over all, with what they were before.
        facts: What groups are told apart by, each for itself.
        of: What is compared.

    Raises:
        SetupError: A fact is not known.
    """
    found: list[Mover] = []
    too_small = 0
    for answer in answers:
        if answer.kpi.kind in _NOT_BY_GROUP:
            continue
        if answer.previous is None or not any(each.n for each in answer.previous.total):
            continue  # nothing to compare with
        if answer.kept_since_ns is not None or answer.previous.kept_since_ns is not None:
            continue  # what is dropped did not move
        for fact in facts:
            moved, small = _by_fact(answer, fact, of)
            found += moved
            too_small += small
    found.sort(key=lambda each: (-abs(each.impact), each.kpi, each.fact, each.value or "", each.currency))
    return found, too_small


def _by_fact(answer: Answer, fact: str, of: Comparison) -> tuple[list[Mover], int]:
    from bizspan.kpi._evaluate import earlier_as_of_ns, groups

    kpi = answer.kpi
    figures, small = groups(kpi, of.source, of.period, (fact,), of.as_of_ns, of.as_of_ns)
    as_of_ns = earlier_as_of_ns(kpi, of.period, of.baseline, of.as_of_ns)
    earlier, small_before = groups(kpi, of.source, of.baseline, (fact,), as_of_ns, of.as_of_ns)
    small += small_before
    before_by = {(each.group, each.currency): each for each in earlier}
    small += len(before_by.keys() - {(each.group, each.currency) for each in figures})
    found: list[Mover] = []
    for now in figures:
        before = before_by.get((now.group, now.currency))
        if before is None or min(now.n, before.n) < kpi.minimum_group:
            small += 1
        elif (mover := _mover(answer, fact, now, before)) is not None:
            found.append(mover)
    return found, small


def _mover(answer: Answer, fact: str, now: Figure, before: Figure) -> Mover | None:
    from bizspan.kpi import value_text

    kpi = answer.kpi
    if now.value is None or before.value is None or now.value == before.value:
        return None
    impact = _impact(answer, now, before)
    if impact is None:
        return None
    return Mover(
        kpi=kpi.name,
        fact=fact,
        value=now.group[0][1],
        currency=now.currency,
        now=now.value,
        now_shown=value_text(kpi, now),
        before=before.value,
        before_shown=value_text(kpi, before),
        n=now.n,
        n_before=before.n,
        impact=impact,
        is_clear=is_clear(kpi.kind, now, before),
        is_good=(now.value > before.value) == (kpi.direction == "up"),
    )


def _impact(answer: Answer, now: Figure, before: Figure) -> float | None:
    """By which part of its earlier value the KPI moves with this group."""
    from bizspan.kpi._definition import is_additive

    assert answer.previous is not None and now.value is not None and before.value is not None
    total, earlier = answer.figure(now.currency), answer.previous.figure(now.currency)
    if total is None or earlier is None or not earlier.value:
        return None
    if (now.n, before.n) == (total.n, earlier.n):  # the group is all there is
        return None
    moved = float(now.value) - float(before.value)
    if not is_additive(answer.kpi.of):  # an average: a group has the weight of its records
        moved *= now.n / total.n if total.n else 0.0
    return round(moved / abs(float(earlier.value)), 9)


def is_clear(kind: str, now: Figure, before: Figure) -> bool | None:
    """
    Whether two counts, or two rates, differ by more than chance at 95 %: counts as Poisson's, rates by Newcombe's
    interval of the difference (1998, method 10). None for what is neither.
    """
    if kind == "count" and isinstance(now.value, int) and isinstance(before.value, int):
        return abs(now.value - before.value) > _Z * sqrt(now.value + before.value)
    if now.interval is None or before.interval is None or now.value is None or before.value is None:
        return None
    (low, high), (low_before, high_before) = now.interval, before.interval
    rate, rate_before = float(now.value), float(before.value)
    moved = rate - rate_before
    below = moved - sqrt((rate - low) ** 2 + (high_before - rate_before) ** 2)
    above = moved + sqrt((high - rate) ** 2 + (rate_before - low_before) ** 2)
    return below > 0 or above < 0
