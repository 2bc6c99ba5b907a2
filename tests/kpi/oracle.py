"""
Every kind of KPI computed in plain Python from a list of events: what both engines must say.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction
from typing import Any, Final

from bizspan import names
from bizspan._currencies import EXPONENTS
from bizspan.kpi import (
    KPI,
    AverageOrderValue,
    Calendar,
    Conversion,
    Count,
    Distinct,
    Period,
    Quantile,
    Ratio,
    Records,
    Recurring,
    Retention,
    Sum,
)
from tests.kpi.stores import Point, Told

Key = tuple[str, tuple[str | None, ...]]
_FURTHER: Final = {"revenue": names.EVENT_REVENUE, "cost": names.EVENT_COST}


class Oracle:
    """
    Knows the answer.

    Args:
        kpi: Of which KPI.
        events: Each once.
        period: Of which time.
        as_of_ns: What is now.
    """

    def __init__(self, kpi: KPI, events: Iterable[Told], period: Period, as_of_ns: int, by: tuple[str, ...]) -> None:
        self.kpi = kpi
        self.events = sorted(events, key=lambda each: (each.time_ns, each.uid))
        self.since, self.until = period.since_ns, min(period.until_ns, as_of_ns)
        self.as_of = as_of_ns
        self.by = by

    def told(self, event: Told, fact: str) -> Any:
        return event[self.kpi.facts[fact].key]

    def group(self, event: Told) -> tuple[str | None, ...]:
        found = [self.told(event, name) for name in self.by]
        return tuple(None if value is None else str(value).lower() if value in (True, False) else str(value)
                     for value in found)  # fmt: skip

    def fits(self, event: Told, records: Records, money: str | None = None) -> bool:
        """Whether it is one of the records, whoever's traffic it is."""
        outcome = event[names.OPERATION_OUTCOME]
        took_place = outcome in (None, "success")
        names_outcome = any(condition.fact == "outcome" for condition in records.where)
        if records.is_everything:
            named = took_place or names_outcome or event[names.OPERATION_NAME] is not None
            if money is not None:
                told = {event[f"business.{money}.{what}"] for what in ("minor_units", "currency", "invalid")}
                named = named and told != {None}
        else:
            is_operation = event.name in (names.EVENT_OPERATION, _FURTHER.get(money or "", ""))
            named = is_operation and event[names.OPERATION_NAME] in records.operations
            if took_place or names_outcome:
                is_answer = event.name == names.EVENT_FEEDBACK and event[names.FEEDBACK_NAME] in records.questions
                named = named or event.name in records.events or is_answer
        if money in ("revenue", "refund", "tax") and not took_place:
            return False
        return named and all((self.told(event, each.fact) in each.values) is not each.is_not for each in records.where)

    def lacks(self, event: Told, money: str | None) -> bool:
        """Whether its amount was refused, or was told without its minor units."""
        minor, currency, invalid = (
            event[f"business.{money}.{what}"] for what in ("minor_units", "currency", "invalid")
        )
        return invalid is not None or (minor is None and currency is not None)

    def is_customer(self, event: Told, records: Records) -> bool:
        if any(condition.fact == "traffic" for condition in records.where):
            return True
        return event[names.TRAFFIC] in (None, "customer")

    def counts(self, event: Told, records: Records, money: str | None = None) -> bool:
        return self.fits(event, records, money) and self.is_customer(event, records)

    def within(self) -> list[Told]:
        return [event for event in self.events if self.since <= event.time_ns < self.until]

    # --- kinds ----------------------------------------------------------------------------------------------------

    def value(self, definition: Any) -> dict[Key, Any]:
        match definition:
            case Count():
                return self.count(definition)
            case Distinct():
                return self.distinct(definition)
            case Sum():
                return {key: sum(minors) for key, minors in self.amounts(definition).items()}
            case AverageOrderValue():
                return self.average(definition)
            case Quantile():
                return self.quantile(definition)
            case _:
                raise AssertionError(definition)

    def count(self, definition: Count) -> dict[Key, int]:
        found: dict[Key, int] = defaultdict(int)
        for event in self.within():
            if self.counts(event, definition.of):
                found["", self.group(event)] += 1
        return found

    def distinct(self, definition: Distinct) -> dict[Key, int]:
        found: dict[Key, set[Any]] = defaultdict(set)
        for event in self.within():
            subject = self.told(event, definition.subject)
            if subject is not None and self.counts(event, definition.of):
                found["", self.group(event)].add(subject)
        return {key: len(subjects) for key, subjects in found.items()}

    def amounts(self, definition: Sum) -> dict[Key, list[int]]:
        found: dict[Key, list[int]] = defaultdict(list)
        for event in self.dated(definition):
            minor = event[f"business.{definition.money}.minor_units"]
            if minor is not None and self.counts(event, definition.of, definition.money):
                found[event[f"business.{definition.money}.currency"], self.group(event)].append(minor)
        return found

    def sold(self) -> dict[str, int]:
        """When each order was sold first."""
        sold: dict[str, int] = {}
        for event in self.events:
            is_sale = event[names.MINOR_UNITS_KEYS[names.REVENUE]] is not None and event.time_ns < self.as_of
            if is_sale and event[names.OPERATION_OUTCOME] in (None, "success") and event[names.ORDER] is not None:
                sold.setdefault(event[names.ORDER], event.time_ns)
        return sold

    def dated(self, definition: Sum) -> list[Told]:
        if definition.dated == "record":
            return self.within()
        sold = self.sold()
        return [
            event
            for event in self.events
            if event.time_ns < self.as_of and self.since <= sold.get(event[names.ORDER], -1) < self.until
        ]

    def converted(self, definition: Sum) -> dict[Key, Decimal]:
        """In major units, rounded at the end."""
        rates = definition.rates
        found: dict[Key, Fraction] = defaultdict(Fraction)
        for (currency, group), minors in self.amounts(definition).items():
            amount = Fraction(sum(minors), 10 ** EXPONENTS[currency])
            if rates is not None and currency in rates.per:
                found[rates.to, group] += amount * Fraction(rates.per[currency])
            else:
                found[currency, group] += amount
        return {key: rounded(amount, key[0]) for key, amount in found.items()}

    def average(self, definition: AverageOrderValue) -> dict[Key, Decimal]:
        minors: dict[Key, int] = defaultdict(int)
        orders: dict[Key, set[str]] = defaultdict(set)
        for event in self.within():
            minor = event[f"business.{definition.money}.minor_units"]
            if minor is not None and self.counts(event, definition.of, definition.money):
                key = event[f"business.{definition.money}.currency"], self.group(event)
                minors[key] += minor
                orders[key].add(f"o{event[names.ORDER]}" if event[names.ORDER] is not None else f"r{event.uid}")
        return {
            key: rounded(Fraction(minor, 10 ** EXPONENTS[key[0]]) / len(orders[key]), key[0])
            for key, minor in minors.items()
        }

    def quantile(self, definition: Quantile) -> dict[Key, float]:
        found: dict[Key, list[float]] = defaultdict(list)
        for event in self.within():
            value = self.told(event, definition.value)
            if value is not None and self.counts(event, definition.of):
                found["", self.group(event)].append(float(value))
        # The least value that at least this part stays at or below.
        q = Fraction(definition.per_million, 1_000_000)
        return {
            key: next(
                value
                for value in sorted(values)
                if Fraction(sum(1 for each in values if each <= value), len(values)) >= q
            )
            for key, values in found.items()
        }

    def ratio(self, definition: Ratio) -> dict[Key, Any]:
        of, to = self.value(definition.of), self.value(definition.to)
        if not isinstance(definition.of, Sum):
            return {key: of.get(key, 0) / below for key, below in to.items() if below}
        if isinstance(definition.to, Sum):
            return {key: of.get(key, 0) / below if below else None for key, below in to.items()}
        currencies = {currency for currency, _ in of}
        found: dict[Key, Any] = {}
        for (_, group), count in to.items():
            told = {currency for currency, other in of if other == group}
            for currency in told or (currencies if len(currencies) == 1 else ()):
                share = Fraction(of.get((currency, group), 0), 10 ** EXPONENTS[currency]) / count
                found[currency, group] = rounded(share, currency)
        return found

    def conversion(self, definition: Conversion) -> dict[tuple[str | None, ...], list[int]]:
        """By group, how many reached each step."""
        steps: dict[Any, list[tuple[int, Told]]] = defaultdict(list)
        for event in self.events:
            if not self.since <= event.time_ns < self.as_of:
                continue
            step = next((n for n, each in enumerate(definition.steps, 1) if self.counts(event, each)), None)
            subject = self.told(event, definition.subject)
            if step is not None and subject is not None:
                steps[subject].append((step, event))
        found: dict[tuple[str | None, ...], list[int]] = defaultdict(lambda: [0] * len(definition.steps))
        for told in steps.values():
            entries = [event for step, event in told if step == 1]
            following: list[Told | None] = [*entries[1:], None]
            for position, (entry, after) in enumerate(zip(entries, following, strict=False)):
                if entry.time_ns >= self.until or (position and definition.reentry == "first"):
                    continue
                ends = entry.time_ns + definition.window_ns + 1
                if definition.reentry == "each" and after is not None:
                    ends = min(ends, after.time_ns)
                found[self.group(entry)][0] += 1
                at = entry.time_ns
                for step in range(2, len(definition.steps) + 1):
                    times = [e.time_ns for number, e in told if number == step and at <= e.time_ns < ends]
                    if not times:
                        break
                    at = min(times)
                    found[self.group(entry)][step - 1] += 1
        return found

    def retention(self, definition: Retention, calendar: Calendar) -> dict[tuple[int, int], tuple[int, int]]:
        """By the start of the cohort and age, how many came back, of how many."""
        first: dict[Any, int] = {}
        for event in self.events:
            subject = self.told(event, definition.subject)
            if subject is not None and event.time_ns < self.as_of and self.counts(event, definition.first):
                first.setdefault(subject, event.time_ns)
        cohorts: dict[int, set[Any]] = defaultdict(set)
        for subject, entered in first.items():
            cohorts[calendar.around(entered, definition.every).since_ns].add(subject)
        found: dict[tuple[int, int], tuple[int, int]] = {}
        for start, members in cohorts.items():
            period = calendar.around(start, definition.every)
            for age in range(definition.periods + 1):
                seen = {
                    self.told(event, definition.subject)
                    for event in self.events
                    if period.has(event.time_ns)
                    and event.time_ns < self.as_of
                    and self.counts(event, definition.coming_back)
                }
                found[start, age] = (len(members) if age == 0 else len(members & seen)), len(members)
                period = calendar.around(period.until_ns, definition.every)
        return found


def recurring(definition: Recurring, points: Sequence[Point], until: int, by_key: str | None) -> dict[Key, Decimal]:
    """The latest value of each set, added up."""
    latest: dict[Any, Point] = {}
    for point in sorted(points, key=lambda each: (each.time_ns, _reversed(each.service), -each.value)):
        if point.name == definition.gauge and until - definition.stale_ns <= point.time_ns < until:
            one = tuple(sorted(point.attributes.items()))
            latest[one if definition.across == "latest" else (point.service, one)] = point
    found: dict[Key, Decimal] = defaultdict(Decimal)
    for point in latest.values():
        currency = str(point.attributes.get(names.CURRENCY_KEYS[names.VALUE], ""))
        group = () if by_key is None else (point.attributes.get(by_key),)
        found[currency, group] += Decimal(repr(point.value))  # type: ignore[index]
    return found


def _reversed(text: str) -> tuple[int, ...]:
    return tuple(-ord(letter) for letter in text)


def rounded(amount: Fraction, currency: str) -> Decimal:
    """Half to even, to the currency's decimals."""
    with localcontext() as context:
        context.prec = 200
        scaled = amount * 10 ** EXPONENTS[currency]
        whole = round(scaled)  # Fraction rounds half to even
        return (
            Decimal(whole)
            .scaleb(-EXPONENTS[currency])
            .quantize(Decimal(1).scaleb(-EXPONENTS[currency]), ROUND_HALF_EVEN)
        )
