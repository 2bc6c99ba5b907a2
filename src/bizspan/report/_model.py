"""
What a report says, before anybody writes it as text, Markdown, HTML, JSON or CSV.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

Number = int | float | Decimal


@dataclass(frozen=True, slots=True)
class Span:
    """
    A time.

    Args:
        since_ns: Its start, in nanoseconds since the epoch.
        until_ns: Its end, which is not part of it.
    """

    since_ns: int
    until_ns: int


@dataclass(frozen=True, slots=True)
class Factor:
    """
    A mark in the time that the report is about.

    Args:
        label: What it is called.
        kind: ``holiday``, ``price``, ``outage``, ``release``, ``campaign`` or ``other``.
        span: When.
        country: Where; empty for everywhere.
        is_automatic: Whether nobody set it: the first event of a ``service.version``.
    """

    label: str
    kind: str
    span: Span
    country: str = ""
    is_automatic: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """
    One KPI, in one currency.

    Args:
        kpi: Its name.
        meaning: What it means.
        owner: Who answers for it.
        playbook: A link; may be empty.
        currency: Of money; empty otherwise.
        is_rate: Whether it is a part of a whole.
        direction: Whether ``up`` or ``down`` is good.
        value: None where there is nothing to divide by.
        shown: The value, for people.
        n: From how many records.
        interval: Of a rate, 95 %.
        target: What it should be.
        per: The period that the target is for; empty where it is for any.
        mean: Where the target is for a shorter period: what a whole one of these had on average.
        met: Whether the target is met; None without one, or while that is open.
        met_parts: Where the target is for a shorter period: how many of these met it, and how many there are.
        before: The value that it is compared with.
        before_shown: This, for people.
        change: Of a rate the difference, else the relative one; None where there is nothing to compare with.
        series: By hour, day, week or month; None where there is no value.
        unit: What the series is by.
        bounds: When each of its parts starts, and when the last one ends, in nanoseconds since the epoch.
        hidden: Records that do not count, as their traffic is no customer's.
        missing: Records whose amount was refused.
        late: Records that arrived after the period was over.
        pending: Of a conversion: how many entries still have time to reach the last step.
        is_exact: Whether it is exact.
        kept_since_ns: Where it is incomplete: since when the store has all that happened.
        error: Why it can't be evaluated; empty where it is.
        before_kept_since_ns: The same of the value that it is compared with; there is no change then.
    """

    kpi: str
    meaning: str
    owner: str
    playbook: str
    currency: str
    is_rate: bool
    direction: Literal["up", "down"]
    value: Number | None
    shown: str
    n: int
    interval: tuple[float, float] | None = None
    target: Decimal | None = None
    target_shown: str = ""
    per: str = ""
    mean: Decimal | None = None
    met: bool | None = None
    met_parts: tuple[int, int] | None = None
    before: Number | None = None
    before_shown: str = ""
    change: float | None = None
    series: tuple[float | None, ...] = ()
    unit: str = ""
    bounds: tuple[int, ...] = ()
    hidden: int | None = None
    missing: int | None = None
    late: int | None = None
    pending: int | None = None
    is_exact: bool = True
    kept_since_ns: int | None = None
    error: str = ""
    before_kept_since_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Mover:
    """
    A group whose value is another one than before.

    Args:
        kpi: Of which KPI.
        fact: What groups are told apart by.
        value: The group's; None is "not told".
        currency: Of money.
        now: The KPI's value in the group.
        now_shown: For people.
        before: The one that it is compared with.
        before_shown: For people.
        n: From how many records.
        n_before: From how many the other one is.
        impact: By how much it moves the KPI, in parts of the KPI's earlier value.
        is_clear: Of counts and rates: whether it is more than chance at 95 %; None where that is not known.
        is_good: Whether it moved in the KPI's good direction.
    """

    kpi: str
    fact: str
    value: str | None
    currency: str
    now: Number
    now_shown: str
    before: Number
    before_shown: str
    n: int
    n_before: int
    impact: float
    is_clear: bool | None
    is_good: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """How often an operation ended in a way: `reason` is empty where none was told, `rate` of all its runs."""

    operation: str
    outcome: str
    reason: str
    n: int
    of: int
    interval: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Risk:
    """
    What failed or was refused, and the money that was told on it.

    Args:
        operation: Its name.
        outcome: ``failed`` or ``rejected``.
        reason: Empty where none was told.
        currency: Empty where no amount was told.
        amount: In major units; the operation's value, or the revenue that was told on it.
        n: How many of these operations told it.
        unpriced: Of the row without a currency: how many of these operations told no amount.
    """

    operation: str
    outcome: str
    reason: str
    currency: str
    amount: Decimal | None
    n: int
    unpriced: int


@dataclass(frozen=True, slots=True)
class Report:
    """
    All of it. Given the same store, request and `as_of_ns`, it is the same.

    Args:
        time_zone: Whose days.
        span: Which time; cut where it has not gone by.
        label: For people.
        as_of_ns: What happened, or arrived, later is not in it.
        baseline: What it is compared with; as much of it as has gone by of `span`.
        skipped: Earlier times that are no baseline, and why.
        is_standard: Whether the KPIs are the standard ones, because none are declared.
        rows: The KPIs.
        movers: The biggest first.
        too_small: How many groups are too small to be compared.
        outcomes: By operation.
        risks: By currency, the largest first.
        factors: Marks of the time and its baseline.
        hidden: Events that do not count, as their traffic is no customer's.
        missing: Events whose amount was refused.
        late: Events that arrived after the time was over; None where the engine does not know.
        notes: What else must be said.
        source: Where the events are.
        kept_since_ns: Where the time is incomplete: since when the store has all that happened.
    """

    time_zone: str
    span: Span
    label: str
    as_of_ns: int
    baseline: Span | None = None
    skipped: tuple[str, ...] = ()
    is_standard: bool = False
    rows: tuple[Row, ...] = ()
    movers: tuple[Mover, ...] = ()
    too_small: int = 0
    outcomes: tuple[Outcome, ...] = ()
    risks: tuple[Risk, ...] = ()
    factors: tuple[Factor, ...] = ()
    hidden: int = 0
    missing: int = 0
    late: int | None = None
    notes: tuple[str, ...] = field(default=())
    source: str = ""
    kept_since_ns: int | None = None
