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
from bizspan.kpi._definition import (
    Conversion,
    Count,
    Definition,
    Quantile,
    Ratio,
    Recurring,
    Retention,
    Sum,
    is_additive,
)
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
    now_ns = time.time_ns() if as_of_ns is None else as_of_ns
    shown = _Guard(kpi, source, by, answer.period, now_ns).shown(answer)
    if answer.previous is None:
        return shown
    return replace(shown, previous=_Guard(kpi, source, by, answer.previous.period, now_ns).shown(answer.previous))


class _Guard:
    """
    Says which values of a filtered answer may be shown.

    Args:
        kpi: Before it was filtered.
        source: Where from.
        by: The filter.
        period: Of the answer.
        now_ns: What is now.
    """

    def __init__(self, kpi: KPI, source: Source, by: Filter, period: Period, now_ns: int) -> None:
        self._kpi, self._by, self._where = kpi, by, dict(by.where)
        self._source, self._period, self._now_ns = source, period, now_ns
        everything = (*self._where, *(name for name in kpi.by if name not in self._where))
        # Customers are a part of everybody, so what is hidden of theirs is hidden there as well.
        of = [kpi.of] if by.traffic == EVERYBODY else []
        self._breakdowns = [
            _Breakdowns(replace(kpi, of=each, target=None, per=""), source, period, now_ns, everything)
            for each in (*of, narrowed(kpi.of, by.of_traffic))
        ]

    def shown(self, answer: Answer) -> Answer:
        """The answer without what would tell of a small group."""
        # That two facts never meet would tell that one of them is a part of the other.
        total = [each for each in answer.total if not each.n and len(self._where) < 2]
        total += self._visible([each for each in answer.total if each.n], ())
        withheld = len(answer.total) - len(total)
        of_groups = [] if withheld else self._visible(answer.groups, self._kpi.by)
        kept = replace(
            answer,
            total=tuple(each for each in answer.total if each in total),
            groups=tuple(of_groups),
            suppressed=answer.suppressed + len(answer.groups) - len(of_groups),
            withheld=withheld,
        )
        if not withheld:
            return kept
        # What stands beside it would tell how small it is.
        return replace(
            kept, hidden=None, missing=None, unnamed=None, late=None, unmatched=None, pending=None, suppressed=0
        )  # fmt: skip

    def _visible(self, figures: Sequence[Figure], by: tuple[str, ...]) -> list[Figure]:
        """Those of the filtered figures, broken down by these facts, that may be shown."""
        named = tuple(name for name in by if name not in self._where)
        kept = list(figures)
        for each in self._breakdowns if self._where or named else ():
            if not kept:
                break
            light = each.light((tuple(self._where), named))
            kept = [one for one in kept if (one.currency, *self._where.values(), *_values(one, named)) in light]
            if len(self._kpi.by) > 1 and not self._where.keys().isdisjoint(self._kpi.by):
                kept = self._within(kept, each, named)
        return self._apart(kept, by) if self._by.traffic and kept else kept

    def _within(self, figures: Sequence[Figure], of: _Breakdowns, named: tuple[str, ...]) -> list[Figure]:
        """
        Those that are the sum of what the KPI's own breakdown shows anyway, by several facts of which some are in the
        filter: it hides other groups than the breakdown by one of them does, and both together would tell more.
        """
        further = tuple(name for name in self._where if name not in self._kpi.by)
        facts = (*further, *self._kpi.by)
        dark = of.sizes(facts).keys() - of.light((further, self._kpi.by))
        kept: list[Figure] = []
        for each in figures:
            told = {**self._where, **dict(zip(named, _values(each, named), strict=True))}
            is_part = (
                currency == each.currency
                and all(value == told.get(name, value) for name, value in zip(facts, values, strict=True))
                for currency, *values in dark
            )
            kept += [] if any(is_part) else [each]
        return kept

    def _apart(self, figures: Sequence[Figure], by: tuple[str, ...]) -> list[Figure]:
        """Those of which the others than customers, who can be worked out from both, are no small group."""
        named = tuple(name for name in by if name != "traffic")
        least, others = self._kpi.minimum_group, self._others(named)
        kept: list[Figure] = []
        for each in figures:
            kinds = others.get(_cell(each, named), {})
            if self._by.traffic == EVERYBODY:
                is_fit = not kinds or sum(kinds.values()) >= least
            else:
                is_fit = self._by.traffic in kinds.keys() - too_small(kinds, least, lambda _: ("all",))
            kept += [each] if is_fit else []
        return kept

    def _others(self, named: tuple[str, ...]) -> Mapping[Cell, dict[str, int]]:
        """By cell, how many there are of each kind of traffic that is no customer's."""
        of = narrowed(self._kpi.of, Filter(self._by.where, EVERYBODY).conditions)
        everybody = replace(self._kpi, of=of, minimum_group=1, target=None, per="")
        found: dict[Cell, dict[str, int]] = {}
        for each in groups(everybody, self._source, self._period, ("traffic", *named), self._now_ns, self._now_ns)[0]:
            (kind,) = _values(each, ("traffic",))
            if kind not in _CUSTOMERS and each.n:
                cell = found.setdefault(_cell(each, named), {})
                cell[str(kind)] = cell.get(str(kind), 0) + each.n
        return found


Split = tuple[tuple[str, ...], tuple[str, ...]]


class _Breakdowns:
    """
    How large the groups of a KPI are, by any of some facts, and which of them may be shown.

    Args:
        kpi: What is broken down.
        source: Where from.
        period: Of which time.
        now_ns: What is now.
        facts: All that it may be broken down by.
    """

    def __init__(self, kpi: KPI, source: Source, period: Period, now_ns: int, facts: tuple[str, ...]) -> None:
        self._minimum = kpi.minimum_group
        counted = _counted(kpi.of)
        self._kpi = replace(kpi, of=counted or kpi.of, by=(), minimum_group=1)
        self._is_additive = counted is not None
        self._source, self._period, self._now_ns, self._facts = source, period, now_ns, facts
        self._sizes: dict[tuple[str, ...], dict[Cell, int]] = {}
        self._light: dict[Split, frozenset[Cell]] = {}

    def sizes(self, facts: tuple[str, ...]) -> dict[Cell, int]:
        """By currency and values, how many each group has."""
        if facts not in self._sizes:
            if self._is_additive and facts != self._facts:
                self._sizes[facts] = self._added_up(facts)
            else:
                found, _ = groups(self._kpi, self._source, self._period, facts, self._now_ns, self._now_ns)
                self._sizes[facts] = {_cell(each, facts): each.n for each in found}
        return self._sizes[facts]

    def _added_up(self, facts: tuple[str, ...]) -> dict[Cell, int]:
        """From the groups by all facts, so that the events are read once."""
        places = [self._facts.index(name) + 1 for name in facts]
        found: dict[Cell, int] = {}
        for cell, size in self.sizes(self._facts).items():
            key = (cell[0], *(cell[at] for at in places))
            found[key] = found.get(key, 0) + size
        return found

    def light(self, facts: Split) -> frozenset[Cell]:
        """
        The groups that may be shown.

        Args:
            facts: Those of the filter, and those of the KPI's own breakdown.
        """
        if facts in self._light:
            return self._light[facts]
        where, named = facts
        sizes = dict(self.sizes((*where, *named)))
        # Without one fact of the filter; and without those of the breakdown, which are there or not.
        fewer: list[Split] = [((*where[:at], *where[at + 1 :]), named) for at in range(len(where))]
        fewer += [(where, ())] if where and named else []
        for less in fewer:
            if any(less):
                light = self.light(less)
                kept = [(*where, *named).index(name) + 1 for part in less for name in part]
                # What is hidden without a fact counts for nothing here: it can't be what others hide behind.
                sizes |= {cell: 0 for cell in sizes if (cell[0], *(cell[at] for at in kept)) not in light}
        self._light[facts] = frozenset(sizes.keys() - too_small(sizes, self._minimum, totals))
        return self._light[facts]


def _counted(definition: Definition) -> Definition | None:
    """What says how large the groups are, where those by fewer facts are their sums; None where they are not."""
    match definition:
        case Count() | Sum() | Conversion() | Quantile():
            return definition
        case Ratio(of=Count(), to=Count() as to) if definition.is_rate:
            return to
        case _:
            return None


def _values(figure: Figure, named: Iterable[str]) -> Cell:
    told = dict(figure.group)
    return tuple(told[name] for name in named)


def _cell(figure: Figure, named: Iterable[str]) -> Cell:
    return (figure.currency, *_values(figure, named))
