"""
What a KPI measures, one class for each kind.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import ClassVar, Final, Literal, cast

from bizspan import names
from bizspan._currencies import EXPONENTS
from bizspan.errors import SetupError
from bizspan.kpi._records import Records
from bizspan.kpi._spans import span_ns

MoneyKind = Literal["revenue", "refund", "cost", "value", "tax"]
Unit = Literal["hour", "day", "week", "month"]

UNITS: Final = ("hour", "day", "week", "month")
MONEY: Final[Mapping[str, str]] = {kind.rpartition(".")[2]: kind for kind in names.MONEY_KINDS}
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_MOST_STEPS, _MOST_PERIODS = 20, 400
_EVERYTHING: Final = Records()


@dataclass(frozen=True, slots=True)
class Rates:
    """
    What one unit of other currencies was worth on a day; yours, never looked up.

    Args:
        to: The currency of the sum.
        date: When these rates held: ``"2026-03-01"``.
        per: By currency, what one unit is worth: ``{"USD": "0.92"}``.

    Raises:
        SetupError: When a currency, a rate or the date is none.
    """

    to: str
    date: str
    per: Mapping[str, str | int | Decimal] = field(hash=False)

    def __post_init__(self) -> None:
        if not _DATE.fullmatch(str(self.date)):
            raise SetupError(f"rates need the date that they are of, such as '2026-03-01'; got {self.date!r}.")
        rates: dict[str, Decimal] = {}
        for code, told in {**self.per, self.to: 1}.items():
            if code not in EXPONENTS:
                raise SetupError(f"{code!r} is no currency of ISO 4217.")
            try:
                # Of a text or a whole number: a float has digits that nobody wrote.
                rate = Decimal("NaN") if isinstance(cast("object", told), (float, bool)) else Decimal(told)
            except (InvalidOperation, TypeError, ValueError):
                rate = Decimal("NaN")
            if not (rate.is_finite() and 0 < rate < 10**12):
                raise SetupError(f"the rate of {code} is a number above 0 as a text, such as '0.92'; got {told!r}.")
            rates[code] = rate
        object.__setattr__(self, "per", rates)


@dataclass(frozen=True, slots=True)
class Count:
    """
    How many records there are.

    Args:
        of: Which ones. Events that a rollback took back are not counted; operations are, whatever their outcome.
    """

    of: Records
    kind: ClassVar[str] = "count"

    def __post_init__(self) -> None:
        if self.of.is_everything:
            raise SetupError("a count needs the name of an operation, an event or a feedback.")


@dataclass(frozen=True, slots=True)
class Sum:
    """
    A sum of money, for each currency apart.

    Args:
        money: Which amount: ``revenue``, ``refund``, ``cost``, ``value`` or ``tax``. Revenue, tax and refunds count
            with the outcome success, or without any.
        of: Which records; all that have such an amount, where it is not told.
        dated: Of refunds: ``record``, when the money went back, or ``order``, when the order was sold.
        rates: Converts into one currency.
    """

    money: MoneyKind = "revenue"
    of: Records = _EVERYTHING
    dated: Literal["record", "order"] = "record"
    rates: Rates | None = None
    kind: ClassVar[str] = "sum"

    def __post_init__(self) -> None:
        _check_money(self.money)
        if self.dated not in ("record", "order"):
            raise SetupError(f"dated is 'record' or 'order', got {self.dated!r}.")
        if self.dated == "order" and self.money != "refund":
            raise SetupError("dated='order' is for refunds: money='refund'.")
        if self.rates is not None and not isinstance(cast("object", self.rates), Rates):
            raise SetupError("rates are Rates(to=..., date=..., per={...}).")
        _check_outcome(self.money, self.of)


@dataclass(frozen=True, slots=True)
class AverageOrderValue:
    """
    Money per order, for each currency apart. A record without an order is an order of its own.

    Args:
        money: As for `Sum`.
        of: As for `Sum`.
    """

    money: MoneyKind = "revenue"
    of: Records = _EVERYTHING
    kind: ClassVar[str] = "average_order_value"

    def __post_init__(self) -> None:
        _check_money(self.money)
        _check_outcome(self.money, self.of)


@dataclass(frozen=True, slots=True)
class Distinct:
    """
    How many different customers, or values of another fact, there are.

    Args:
        subject: The fact: ``customer``, ``session``, ``order``.
        of: Among which records; all, where it is not told.
    """

    subject: str = "customer"
    of: Records = _EVERYTHING
    kind: ClassVar[str] = "distinct"

    def __post_init__(self) -> None:
        _check_name("subject", self.subject)


@dataclass(frozen=True, slots=True)
class Ratio:
    """
    One number by another.

    Args:
        of: The upper one. Where its records are some of those below, the ratio is a rate with an interval.
        to: The lower one: a `Count` or a `Distinct`; or a `Sum`, for a `Sum` in the same currency.
    """

    of: Count | Distinct | Sum
    to: Count | Distinct | Sum
    kind: ClassVar[str] = "ratio"

    def __post_init__(self) -> None:
        if not all(isinstance(cast("object", part), (Count, Distinct, Sum)) for part in (self.of, self.to)):
            raise SetupError("a ratio is made of two of Count, Distinct and Sum.")
        if isinstance(self.to, Sum) and not isinstance(self.of, Sum):
            raise SetupError("a number by money has no meaning for every currency; turn the ratio round.")
        if isinstance(self.to, Sum) and isinstance(self.of, Sum) and self.of.rates != self.to.rates:
            raise SetupError("both sums of a ratio need the same rates, or none.")

    @property
    def is_rate(self) -> bool:
        """Whether it is a part of a whole, between 0 and 1."""
        of, to = self.of, self.to
        if isinstance(of, Sum) or type(of) is not type(to):
            return False
        if isinstance(of, Distinct) and isinstance(to, Distinct) and of.subject != to.subject:
            return False
        return of.of.is_part_of(to.of)


@dataclass(frozen=True, slots=True)
class Conversion:
    """
    The part of the subjects that entered by the first step and reached the last, in order, within the window.

    A record is the first step that it fits. A later step may come at the same moment as the one before, not earlier.

    Args:
        steps: Two or more, in order. Entries are those of the period; later steps may fall after its end.
        subject: Who goes through: ``customer``, ``session``, ``order``.
        window: How long after the entry the last step may come: ``"30min"``, ``"1d"``, ``"7d"``.
        reentry: ``first``: one entry for each subject of a period, its first. ``each``: each entry counts, and ends
            the one before.
    """

    steps: tuple[Records, ...]
    subject: str = "customer"
    window: str = "1d"
    reentry: Literal["first", "each"] = "first"
    window_ns: int = field(init=False, compare=False, repr=False)
    kind: ClassVar[str] = "conversion"

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", tuple(self.steps))
        if not 2 <= len(self.steps) <= _MOST_STEPS:
            raise SetupError(f"a conversion has 2 to {_MOST_STEPS} steps, got {len(self.steps)}.")
        if any(step.is_everything for step in self.steps):
            raise SetupError("each step of a conversion names an operation, an event or a feedback.")
        _check_name("subject", self.subject)
        if self.reentry not in ("first", "each"):
            raise SetupError(f"reentry is 'first' or 'each', got {self.reentry!r}.")
        object.__setattr__(self, "window_ns", span_ns("window", self.window))


@dataclass(frozen=True, slots=True)
class Quantile:
    """
    What a part of the records stays at or below, by nearest rank: a value that was told, never one between two.

    Args:
        q: The part, above 0 and at most 1: 0.5 is the median.
        value: A fact with numbers: ``duration`` in seconds, ``score``, or one of yours.
        of: Which records.
    """

    q: float
    value: str = "duration"
    of: Records = _EVERYTHING
    per_million: int = field(init=False, compare=False, repr=False)
    kind: ClassVar[str] = "quantile"

    def __post_init__(self) -> None:
        if isinstance(self.q, bool) or not isinstance(cast("object", self.q), (int, float)) or not 0 < self.q <= 1:
            raise SetupError(f"q is a number above 0 and at most 1, got {self.q!r}.")
        _check_name("value", self.value)
        # In SQL by whole numbers: 0.95 as a double is a little less, and the rank could be the next one.
        object.__setattr__(self, "per_million", round(self.q * 1_000_000))
        if not self.per_million:
            raise SetupError("q is at least 0.000001.")


@dataclass(frozen=True, slots=True)
class Retention:
    """
    The part of a cohort that comes back. A subject's cohort is the period of its first qualifying record, ever.

    Args:
        first: What qualifies.
        again: What coming back is; by default, the same.
        subject: Who comes back.
        every: How long a period is: ``day``, ``week`` or ``month``.
        periods: How many periods after the cohort's own are looked at.
        at: The period whose retention is the KPI's value, over the cohorts for which it has ended.
    """

    first: Records
    again: Records | None = None
    subject: str = "customer"
    every: Unit = "month"
    periods: int = 6
    at: int = 1
    kind: ClassVar[str] = "retention"

    def __post_init__(self) -> None:
        if self.every not in ("day", "week", "month"):
            raise SetupError(f"every is 'day', 'week' or 'month', got {self.every!r}.")
        _check_name("subject", self.subject)
        if not _is_whole(self.periods) or not 1 <= self.periods <= _MOST_PERIODS:
            raise SetupError(f"periods is a whole number from 1 to {_MOST_PERIODS}, got {self.periods!r}.")
        if not _is_whole(self.at) or not 1 <= self.at <= self.periods:
            raise SetupError(f"at is one of the periods 1 to {self.periods}, got {self.at!r}.")

    @property
    def coming_back(self) -> Records:
        """What coming back is."""
        return self.first if self.again is None else self.again


@dataclass(frozen=True, slots=True)
class Recurring:
    """
    What a gauge says at the end of a period: the latest value of each set of facts, added up. Money by currency.

    Args:
        gauge: The gauge's name: ``"subscriptions.mrr"``.
        across: ``latest``: whichever process told it last, because each pulls the same system. ``services``: what
            each service told last, added up.
        stale: A value older than this at the period's end does not count any more.
    """

    gauge: str
    across: Literal["latest", "services"] = "latest"
    stale: str = "1h"
    stale_ns: int = field(init=False, compare=False, repr=False)
    kind: ClassVar[str] = "recurring"

    def __post_init__(self) -> None:
        _check_name("gauge", self.gauge)
        if self.across not in ("latest", "services"):
            raise SetupError(f"across is 'latest' or 'services', got {self.across!r}.")
        object.__setattr__(self, "stale_ns", span_ns("stale", self.stale))


Definition = (
    Count | Sum | AverageOrderValue | Distinct | Ratio | Conversion | Quantile | Retention | Recurring
)  # fmt: skip
KINDS: Final[tuple[type[Definition], ...]] = (
    Count, Sum, Ratio, Conversion, AverageOrderValue, Quantile, Distinct, Retention, Recurring,
)  # fmt: skip


def records_of(definition: Definition) -> tuple[Records, ...]:
    """The records that a definition reads; none where it reads a gauge."""
    match definition:
        case Count() | Sum() | AverageOrderValue() | Distinct() | Quantile():
            return (definition.of,)
        case Ratio():
            return (*records_of(definition.of), *records_of(definition.to))
        case Conversion():
            return definition.steps
        case Retention():
            return (definition.first, definition.coming_back)
        case Recurring():
            return ()


def subjects_of(definition: Definition) -> tuple[str, ...]:
    """The facts that a definition reads beside its conditions."""
    match definition:
        case Distinct() | Conversion() | Retention():
            return (definition.subject,)
        case Ratio():
            return (*subjects_of(definition.of), *subjects_of(definition.to))
        case Quantile():
            return (definition.value,)
        case Sum(dated="order") | AverageOrderValue():
            return ("order",)
        case _:
            return ()


def is_money(definition: Definition) -> bool:
    """Whether its value is money; of a gauge that shows only when it is read."""
    match definition:
        case Sum() | AverageOrderValue():
            return True
        case Ratio():
            return isinstance(definition.of, Sum) and not isinstance(definition.to, Sum)
        case _:
            return False


def is_additive(definition: Definition) -> bool:
    """Whether its value grows with the period's length."""
    return isinstance(definition, (Count, Sum, Distinct))


def _check_money(money: object) -> None:
    if money not in MONEY:
        raise SetupError(f"money is one of {', '.join(MONEY)}, got {money!r}.")


def _check_outcome(money: str, records: Records) -> None:
    if money in ("revenue", "refund", "tax") and records.asks("outcome"):
        raise SetupError(
            f"{money} counts with the outcome success alone; leave that condition out, or sum money='value'."
        )


def _check_name(what: str, name: object) -> None:
    if not isinstance(name, str) or not name.strip() or len(name) > 255:
        raise SetupError(f"{what} is a name, got {name!r}.")


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
