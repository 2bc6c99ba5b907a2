"""
What was counted in a time, by the values of dimensions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from bizspan import names
from bizspan._currencies import EXPONENTS
from bizspan.page._statements import Statements

OPERATIONS: Final = "operations"
SOLD: Final = ("", names.SUCCESS)


@dataclass(slots=True)
class Group:
    """
    What was counted for one value of one dimension.

    Args:
        events: All of them.
        operations: By operation and outcome.
        timed: By operation: events with a duration, and the microseconds of these.
        money: By kind, currency, operation and outcome: events and minor units. Without currency: amounts missing.
        first: The first minute, in seconds since 1970.
        last: The last one.
    """

    events: int = 0
    operations: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    timed: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    money: dict[tuple[str, str, str, str], tuple[int, int]] = field(
        default_factory=dict[tuple[str, str, str, str], tuple[int, int]]
    )
    first: int = 0
    last: int = 0

    def add(self, other: Group) -> None:
        """Add another's."""
        self.events += other.events
        self.operations.update(other.operations)
        for operation, (number, micros) in other.timed.items():
            before = self.timed.get(operation, (0, 0))
            self.timed[operation] = before[0] + number, before[1] + micros
        for key, told in other.money.items():
            self.add_money(key, *told)
        self.first = min(self.first or other.first, other.first or self.first)
        self.last = max(self.last, other.last)

    def count(self, *outcomes: str) -> int:
        """Operations; with these outcomes, or all."""
        return sum(n for (_, outcome), n in self.operations.items() if not outcomes or outcome in outcomes)

    def sums(self, kind: str, *outcomes: str) -> dict[str, int]:
        """Minor units by currency; those that count, or of these outcomes."""
        found: Counter[str] = Counter()
        for (which, currency, _, outcome), (_, minor) in self.money.items():
            if which == kind and currency and outcome in (outcomes or SOLD):
                found[currency] += minor
        return dict(found)

    def numbers(self, kind: str) -> dict[str, int]:
        """How many amounts that count, by currency."""
        found: Counter[str] = Counter()
        for (which, currency, _, outcome), (number, _) in self.money.items():
            if which == kind and currency and outcome in SOLD:
                found[currency] += number
        return dict(found)

    def missing(self, kind: str = "revenue") -> int:
        """How many amounts that would count were told and refused, or are in no currency; of a value, all do."""
        return sum(
            n
            for (which, currency, _, outcome), (n, _) in self.money.items()
            if which == kind and not currency and (kind == "value" or outcome in SOLD)
        )

    def add_money(self, key: tuple[str, str, str, str], count: int, minor: int) -> None:
        """Add to one sum; what is in no currency is missing."""
        if key[1] not in EXPONENTS:
            key, minor = (key[0], "", *key[2:]), 0
        before = self.money.get(key, (0, 0))
        self.money[key] = before[0] + count, before[1] + minor


@dataclass(slots=True)
class Counted:
    """
    What a period holds.

    Args:
        groups: By dimension and value; all together under ``("", "")``.
        hidden: Events of other traffic, which are in nothing else.
        hidden_of: How many of these are `OPERATIONS`, and how many tell a dimension.
        step: Of the series, in seconds.
        outcomes: By time and outcome: operations.
        revenue: By time and currency: minor units.
        basis: Where it was read from.
        statements: How people may read it.
        sql: How the series was read, where that is from the minutes.
        is_exact: Whether sums are; otherwise more came up in one minute than 64 bits hold.
    """

    step: int
    basis: str
    statements: Statements
    groups: dict[str, dict[str, Group]] = field(default_factory=dict[str, dict[str, Group]])
    hidden: int = 0
    hidden_of: Counter[str] = field(default_factory=Counter[str])
    outcomes: Counter[tuple[int, str]] = field(default_factory=Counter[tuple[int, str]])
    revenue: Counter[tuple[int, str]] = field(default_factory=Counter[tuple[int, str]])
    sql: list[str] = field(default_factory=list[str])
    is_exact: bool = True

    @property
    def all(self) -> Group:
        """Everything together."""
        return self.groups.get("", {}).get("") or Group()

    @property
    def cells(self) -> int:
        """How large it is."""
        groups = [group for values in self.groups.values() for group in values.values()]
        return (
            sum(4 + len(each.operations) + len(each.money) for each in groups) + len(self.outcomes) + len(self.revenue)
        )

    def add(self, other: Counted) -> None:
        """Add what another time holds."""
        for dimension, values in other.groups.items():
            for value, group in values.items():
                self.group(dimension, value).add(group)
        self.hidden += other.hidden
        self.hidden_of.update(other.hidden_of)
        self.outcomes.update(other.outcomes)
        self.revenue.update(other.revenue)
        self.is_exact = self.is_exact and other.is_exact

    def series_sql(self, codes: Sequence[str]) -> list[str]:
        """How the series is read, of revenue in these currencies."""
        return self.sql or [self.statements.over_time(codes)]

    def by(self, dimension: str) -> dict[str, Group]:
        """By the values of a dimension; ``""`` is what does not tell it."""
        return self.groups.get(dimension, {})

    def group(self, dimension: str, value: str) -> Group:
        """One of them, to add to."""
        return self.groups.setdefault(dimension, {}).setdefault(value, Group())
