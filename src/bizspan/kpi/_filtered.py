"""
A KPI over the records that a filter leaves, without giving a small group away.

What a filter leaves is a group of the breakdown by its facts, so it is shown where that breakdown shows it: not where
it is small, nor where it and the others that are shown would give a small one away by subtraction. Nor where that holds
for the filter without one of its facts: whoever adds a fact must not learn by it what is hidden without.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from bizspan.errors import SetupError
from bizspan.kpi._calendar import Calendar, Period
from bizspan.kpi._definition import Recurring, Retention, is_additive
from bizspan.kpi._evaluate import evaluate, groups
from bizspan.kpi._figure import Answer, Figure
from bizspan.kpi._kpi import KPI
from bizspan.kpi._plan import narrowed
from bizspan.kpi._records import Condition
from bizspan.kpi._small import too_small, totals
from bizspan.kpi._source import Source

MOST_FACTS: Final = 4
EVERYBODY: Final = "all"
_CUSTOMERS: Final = (None, "", "customer")

Cell = tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Filter:
    """
    Which records count.

    Args:
        where: Facts that are text, each with its value; None is what does not tell the fact.
        traffic: Whose: empty for customers, ``all``, or one kind.
    """

    where: tuple[tuple[str, str | None], ...] = ()
    traffic: str = ""

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """What records must meet."""
        return (*(Condition(fact, () if value is None else (value,)) for fact, value in self.where), *self.of_traffic)

    @property
    def of_traffic(self) -> tuple[Condition, ...]:
        """Those about traffic alone."""
        if not self.traffic:
            return ()
        return (_EVERYBODYS if self.traffic == EVERYBODY else Condition("traffic", (self.traffic,)),)


_EVERYBODYS: Final = Condition("traffic", ("",), is_not=True)


def filtered(
    kpi: KPI,
    source: Source,
    period: Period,
    by: Filter,
    *,
    calendar: Calendar | None = None,
    compare: Literal["previous"] | Period | None = None,
    as_of_ns: int | None = None,
) -> Answer:
    """
    The KPI's values over the records that a filter leaves; of a conversion, over such entries.

    Args:
        kpi: What is measured. A target of what grows with its records is of all of them, and is left out.
        source: As for `evaluate`.
        period: As for `evaluate`.
        by: Which records count.
        calendar: As for `evaluate`.
        compare: As for `evaluate`.
        as_of_ns: As for `evaluate`.

    Raises:
        SetupError: As `evaluate`; or the KPI can't be filtered, or not by this.
    """
    if not by.conditions:
        return evaluate(kpi, source, period, calendar=calendar, compare=compare, as_of_ns=as_of_ns)
    if isinstance(kpi.of, (Retention, Recurring)):
        what = "retention is about cohorts" if isinstance(kpi.of, Retention) else "a gauge is one value for all"
        raise SetupError(f"{what}, and is not filtered; remove the filters.")
    if len(by.where) > MOST_FACTS:
        raise SetupError(f"a KPI is filtered by at most {MOST_FACTS} facts; remove one.")
    narrow = replace(kpi, of=narrowed(kpi.of, by.conditions))
    if is_additive(kpi.of):
        narrow = replace(narrow, target=None, per="")
    answer = evaluate(narrow, source, period, calendar=calendar, compare=compare, as_of_ns=as_of_ns)
    guard = _Guard(kpi, source, by, time.time_ns() if as_of_ns is None else as_of_ns)
    shown = guard.shown(answer)
    return shown if answer.previous is None else replace(shown, previous=guard.shown(answer.previous))


class _Guard:
    """Says which values of a filtered answer may be shown."""

    def __init__(self, kpi: KPI, source: Source, by: Filter, now_ns: int) -> None:
        self._kpi, self._source, self._by, self._now_ns = kpi, source, by, now_ns

    def shown(self, answer: Answer) -> Answer:
        """The answer without what would tell of a small group."""
        period = answer.period
        # That two facts never meet would tell that one of them is a part of the other.
        total = [each for each in answer.total if not each.n and len(self._by.where) < 2]
        told = [each for each in answer.total if each.n]
        total += self._visible(told, period, ())
        of_groups = self._visible(answer.groups, period, self._kpi.by) if answer.groups else []
        withheld = len(answer.total) - len(total)
        kept = replace(
            answer,
            total=tuple(each for each in answer.total if each in total),
            groups=() if withheld else tuple(of_groups),
            suppressed=answer.suppressed + len(answer.groups) - (0 if withheld else len(of_groups)),
            withheld=withheld,
        )
        if not withheld:
            return kept
        # What stands beside it would tell how small it is.
        return replace(
            kept, hidden=None, missing=None, unnamed=None, late=None, unmatched=None, pending=None, suppressed=0
        )  # fmt: skip

    def _visible(self, figures: Sequence[Figure], period: Period, by: tuple[str, ...]) -> list[Figure]:
        """Those of the filtered figures, broken down by these facts, that may be shown."""
        where = dict(self._by.where)
        named = tuple(name for name in by if name not in where)
        kept = list(figures)
        for kpi in self._bases() if kept and (where or named) else ():
            light = _light(kpi, self._source, period, self._now_ns, (tuple(where), named), {})
            kept = [each for each in kept if (each.currency, *where.values(), *_values(each, named)) in light]
            if len(by_all := self._kpi.by) > 1 and not where.keys().isdisjoint(by_all):
                kept = self._within(kept, kpi, period, named)
        return self._apart(kept, period, by) if self._by.traffic and kept else kept

    def _within(self, figures: Sequence[Figure], kpi: KPI, period: Period, named: tuple[str, ...]) -> list[Figure]:
        """
        Those that are the sum of what the KPI's own breakdown shows anyway, by several facts of which some are in the
        filter: it hides other groups than the breakdown by one of them does, and both together would tell more.
        """
        where = dict(self._by.where)
        facts = (*(name for name in where if name not in kpi.by), *kpi.by)
        split = facts[: -len(kpi.by)], kpi.by
        light = _light(kpi, self._source, period, self._now_ns, split, {})
        found, _ = groups(replace(kpi, minimum_group=1), self._source, period, facts, self._now_ns)
        dark = [each for each in found if _cell(each, facts) not in light]
        kept: list[Figure] = []
        for each in figures:
            told = {**where, **dict(zip(named, _values(each, named), strict=True))}
            is_fit = not any(
                part.currency == each.currency and all(value == told.get(name, value) for name, value in part.group)
                for part in dark
            )
            kept += [each] if is_fit else []
        return kept

    def _bases(self) -> list[KPI]:
        """The KPI of the breakdowns: of this traffic; of everybody's, of which customers are a part, theirs as well."""
        conditions = self._by.of_traffic
        base = replace(self._kpi, of=narrowed(self._kpi.of, conditions), target=None, per="")
        return [self._kpi, base] if self._by.traffic == EVERYBODY else [base]

    def _apart(self, figures: Sequence[Figure], period: Period, by: tuple[str, ...]) -> list[Figure]:
        """Those of which the others than customers, who can be worked out from both, are no small group."""
        named = tuple(name for name in by if name != "traffic")
        least, others = self._kpi.minimum_group, self._others(period, named)
        kept: list[Figure] = []
        for each in figures:
            kinds = others.get(_cell(each, named), {})
            if self._by.traffic == EVERYBODY:
                is_fit = not kinds or sum(kinds.values()) >= least
            else:
                is_fit = self._by.traffic in kinds.keys() - too_small(kinds, least, lambda _: ("all",))
            kept += [each] if is_fit else []
        return kept

    def _others(self, period: Period, named: tuple[str, ...]) -> Mapping[Cell, dict[str, int]]:
        """By cell, how many there are of each kind of traffic that is no customer's."""
        conditions = Filter(self._by.where, EVERYBODY).conditions
        of = narrowed(self._kpi.of, conditions)
        everybody = replace(self._kpi, of=of, minimum_group=1, target=None, per="")
        found: dict[Cell, dict[str, int]] = {}
        for each in groups(everybody, self._source, period, ("traffic", *named), self._now_ns)[0]:
            (kind,) = _values(each, ("traffic",))
            if kind not in _CUSTOMERS and each.n:
                cell = found.setdefault(_cell(each, named), {})
                cell[str(kind)] = cell.get(str(kind), 0) + each.n
        return found


Split = tuple[tuple[str, ...], tuple[str, ...]]


def _light(
    kpi: KPI, source: Source, period: Period, now_ns: int, facts: Split, known: dict[Split, frozenset[Cell]]
) -> frozenset[Cell]:
    """
    The groups that may be shown, with their currency.

    Args:
        kpi: What is broken down.
        source: Where from.
        period: Of which time.
        now_ns: What is now.
        facts: Those of the filter, and those of the KPI's own breakdown.
        known: What was found for fewer of them.
    """
    if facts in known:
        return known[facts]
    where, named = facts
    every = replace(kpi, minimum_group=1)
    found, _ = groups(every, source, period, (*where, *named), now_ns)
    sizes = {_cell(each, (*where, *named)): each.n for each in found}
    # Without one fact of the filter; and without those of the breakdown, which are there or not.
    fewer: list[Split] = [((*where[:at], *where[at + 1 :]), named) for at in range(len(where))]
    fewer += [(where, ())] if where and named else []
    for less in fewer:
        if any(less):
            light = _light(kpi, source, period, now_ns, less, known)
            kept = [(*where, *named).index(name) + 1 for part in less for name in part]
            # What is hidden without a fact counts for nothing here: it can't be what others hide behind.
            sizes |= {cell: 0 for cell in sizes if (cell[0], *(cell[at] for at in kept)) not in light}
    known[facts] = frozenset(sizes.keys() - too_small(sizes, kpi.minimum_group, totals))
    return known[facts]


def _values(figure: Figure, named: Iterable[str]) -> Cell:
    told = dict(figure.group)
    return tuple(told[name] for name in named)


def _cell(figure: Figure, named: Iterable[str]) -> Cell:
    return (figure.currency, *_values(figure, named))
