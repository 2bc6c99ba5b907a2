"""
What a KPI's value is given as: with everything that one must know to trust it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from bizspan.kpi._calendar import Calendar, Period
from bizspan.kpi._emit import Statement
from bizspan.kpi._kpi import KPI

Group = tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """
    One value.

    Args:
        value: A whole number, a number, or money in major units; None where there is nothing to divide by.
        currency: Of money; empty otherwise.
        group: The facts of its group, by name; nothing for the total. None is "not told".
        n: How many records it is made from; of a ratio, what is below the line; of an average order value, orders.
        interval: Of a rate, 95 %.
        parts: What was divided by what, as whole numbers.
        steps: Of a conversion, how many reached each step.
        met: Whether the target is met; None without one, or while the period goes on.
        cohort: Of a retention, the cohort.
        age: Of a retention, how many periods after the cohort's own.
        is_mature: Whether the time that it is about is over; of a retention, by cohort and age.
        is_known: False where the value can't be told, because what it is made from is dropped.
    """

    value: int | float | Decimal | None
    currency: str = ""
    group: Group = ()
    n: int = 0
    interval: tuple[float, float] | None = None
    parts: tuple[int, int] | None = None
    steps: tuple[int, ...] = ()
    met: bool | None = None
    cohort: Period | None = None
    age: int | None = None
    is_mature: bool = True
    is_known: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """
    The values of a KPI in one period, and what must be said beside them.

    Args:
        kpi: Which KPI.
        period: Of which time; cut where it has not gone by.
        calendar: Whose days.
        as_of_ns: What happened later is not in it.
        known_ns: What arrived later is not in it; None where all that was there was read.
        basis: ``events``, counted once each, or ``gauge``.
        is_exact: Whether it is exact; otherwise it was converted, is a gauge's, or is incomplete.
        total: Its values over all: one; of money, one for each currency.
        groups: Its values by group.
        cohorts: Of a retention, its values by cohort and age.
        suppressed: How many groups are not shown, because they are small or would give a small one away.
        withheld: Of a KPI that is filtered: how many of the values over all are not shown, for the same reason.
        hidden: How many records do not count, because their traffic is no customer's; None where nothing is known.
        missing: How many records lack an amount that was refused.
        unnamed: How many records count for nothing, because they do not tell the subject.
        late: How many records arrived after the period was over; None where the engine does not know.
        unmatched: Of refunds by the order's date: how many name no order that was sold.
        pending: Of a conversion: how many entries still have time to reach the last step.
        unconverted: Currencies without a rate; they stay by themselves.
        kept_since_ns: Where it is incomplete: since when the store has all that happened. None otherwise.
        statements: The SQL of all of it; that of a total stands there as well where it was added up from its groups.
        previous: The answer that it is compared with.
    """

    kpi: KPI
    period: Period
    calendar: Calendar
    as_of_ns: int
    known_ns: int | None
    basis: Literal["events", "gauge"]
    is_exact: bool
    total: tuple[Figure, ...]
    groups: tuple[Figure, ...] = ()
    cohorts: tuple[Figure, ...] = ()
    suppressed: int = 0
    withheld: int = 0
    hidden: int | None = None
    missing: int | None = None
    unnamed: int | None = None
    late: int | None = None
    unmatched: int | None = None
    pending: int | None = None
    unconverted: tuple[str, ...] = ()
    kept_since_ns: int | None = None
    statements: tuple[Statement, ...] = ()
    previous: Answer | None = None

    def figure(self, currency: str = "", group: Mapping[str, str | None] | None = None) -> Figure | None:
        """
        The value of this currency and group; None where there is none, or it is not shown.

        Args:
            currency: Of money.
            group: By name; None is the total.
        """
        wanted = tuple(group.items()) if group else ()
        among = self.groups if group else self.total
        return next((each for each in among if each.currency == currency and dict(each.group) == dict(wanted)), None)
