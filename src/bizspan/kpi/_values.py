"""
From rows to figures, by the kind of the KPI: everything that is divided, converted or put together outside SQL.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any, Final

from bizspan._currencies import EXPONENTS
from bizspan.kpi._calendar import Period
from bizspan.kpi._definition import Conversion, Count, Definition, Rates, Ratio, Retention, Sum
from bizspan.kpi._emit import Statement
from bizspan.kpi._figure import Figure, Group
from bizspan.kpi._small import wilson
from bizspan.kpi._writer import Asked

Rows = Mapping[str, list[dict[str, Any]]]

# Sums of 64-bit amounts times rates of 12 digits before the point: nothing is rounded before the end.
_EXACT: Final = Context(prec=120, rounding=ROUND_HALF_EVEN)


@dataclass(slots=True)
class Found:
    """
    Figures, and what was seen on the way.

    Args:
        figures: The values.
        cohorts: Of a retention, by cohort and age.
        pending: Of a conversion: entries that still have time.
        unconverted: Currencies without a rate.
        unknown: How many amounts are in what is no currency.
    """

    figures: list[Figure] = field(default_factory=list[Figure])
    cohorts: tuple[Figure, ...] = ()
    pending: int | None = None
    unconverted: tuple[str, ...] = ()
    unknown: int = 0


def figures_of(asked: Asked, by: tuple[str, ...], rows: Rows) -> Found:
    """
    The figures of a question's rows.

    Args:
        asked: The question.
        by: The facts of the groups.
        rows: By what each statement gives.
    """
    make: Mapping[str, Callable[[Asked, tuple[str, ...], Rows], Found]] = {
        "count": _numbers, "distinct": _numbers, "sum": _sums, "average_order_value": _averages, "ratio": _ratios,
        "quantile": _quantiles, "conversion": _conversions, "retention": _retention, "recurring": _recurring,
    }  # fmt: skip
    found = make[asked.kpi.kind](asked, by, rows)
    found.figures.sort(key=lambda each: (each.currency, [(value is None, value or "") for _, value in each.group]))
    return found


def is_additive(definition: Definition) -> bool:
    """Whether the rows of groups add up to those of the total: each record, or entry, is in one group."""
    if isinstance(definition, Ratio):
        return is_additive(definition.of) and is_additive(definition.to)
    return isinstance(definition, (Count, Sum, Conversion))


def together(statement: Statement, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """
    The rows of the total, by currency where there are any, from those of its groups.

    Args:
        statement: That gave them.
        rows: Of the groups.
    """
    numbers = [name for name, kind in statement.columns if kind == "int"]
    keys = ["currency"] if ("currency", "text") in statement.columns else []
    totals: dict[str | None, dict[str, Any]] = {} if keys else {None: dict.fromkeys(numbers, 0)}
    for row in rows:
        told = row["currency"] if keys else None
        total = totals.setdefault(told, {**dict.fromkeys(keys, told), **dict.fromkeys(numbers, 0)})
        for name in numbers:
            total[name] += row[name] or 0
    return list(totals.values())


def group_of(row: Mapping[str, Any], by: tuple[str, ...]) -> Group:
    """The facts of a row's group."""
    return tuple((name, row[f"g{index}"]) for index, name in enumerate(by))


def major(minor: int, currency: str) -> Decimal:
    """Minor units as major ones, with the currency's decimals."""
    return _EXACT.scaleb(Decimal(minor), -EXPONENTS[currency])


def _divided(minor: int, by: int, currency: str) -> Decimal:
    """A share of money, rounded half to even to the currency's decimals."""
    return _rounded(_EXACT.divide(major(minor, currency), Decimal(by)), currency)


def _rounded(amount: Decimal, currency: str) -> Decimal:
    return amount.quantize(Decimal(1).scaleb(-EXPONENTS[currency]), ROUND_HALF_EVEN, _EXACT)


def _numbers(asked: Asked, by: tuple[str, ...], rows: Rows) -> Found:
    return Found([Figure(row["value"], group=group_of(row, by), n=row["n"]) for row in rows["value"]])


def _quantiles(asked: Asked, by: tuple[str, ...], rows: Rows) -> Found:
    figures = [Figure(row["value"], group=group_of(row, by), n=row["n"]) for row in rows["value"]]
    return Found(figures if figures or by else [Figure(None)])


def _known(rows: list[dict[str, Any]], found: Found) -> list[dict[str, Any]]:
    """Rows in a currency; others are counted."""
    found.unknown += sum(row["n"] for row in rows if row["currency"] not in EXPONENTS)
    return [row for row in rows if row["currency"] in EXPONENTS]


def _sums(asked: Asked, by: tuple[str, ...], rows: Rows) -> Found:
    found = Found()
    definition = asked.kpi.of
    rates = definition.rates if isinstance(definition, Sum) else None
    for (currency, group), (amount, n) in _totals(rows["value"], by, rates, found).items():
        found.figures.append(Figure(_rounded(amount, currency), currency, group, n))
    if not found.figures and not by and rates is not None:
        found.figures.append(Figure(_rounded(Decimal(0), rates.to), rates.to))
    return found


def _totals(
    rows: list[dict[str, Any]], by: tuple[str, ...], rates: Rates | None, found: Found
) -> dict[tuple[str, Group], tuple[Decimal, int]]:
    """Exact amounts in major units, and how many, by currency and group; converted where there is a rate."""
    totals: dict[tuple[str, Group], tuple[Decimal, int]] = {}
    without: set[str] = set()
    for row in _known(rows, found):
        currency: str = row["currency"]
        amount = major(row["value"], currency)
        if rates is not None and currency in rates.per:
            amount, currency = _EXACT.multiply(amount, Decimal(rates.per[currency])), rates.to
        elif rates is not None:
            without.add(currency)
        key = (currency, group_of(row, by))
        before, n = totals.get(key, (Decimal(0), 0))
        totals[key] = (_EXACT.add(before, amount), n + row["n"])
    found.unconverted = tuple(sorted({*found.unconverted, *without}))
    return totals


def _averages(asked: Asked, by: tuple[str, ...], rows: Rows) -> Found:
    found = Found()
    for row in _known(rows["value"], found):
        value = _divided(row["value"], row["n"], row["currency"])
        parts = (row["value"], row["n"])
        found.figures.append(Figure(value, row["currency"], group_of(row, by), row["n"], parts=parts))
    return found


# --- ratios -----------------------------------------------------------------------------------------------------------


def _ratios(asked: Asked, by: tuple[str, ...], rows: Rows) -> Found:
    definition = asked.kpi.of
    assert isinstance(definition, Ratio)
    if not isinstance(definition.of, Sum):
        return _of_numbers(definition, by, rows)
    found = Found()
    of = _totals(rows["of"], by, definition.of.rates, found)
    if isinstance(definition.to, Sum):
        to = _totals(rows["to"], by, definition.to.rates, found)
        for key, (below, n) in to.items():
            above, _ = of.get(key, (Decimal(0), 0))
            value = float(_EXACT.divide(above, below)) if below else None
            found.figures.append(Figure(value, key[0], key[1], n))
        if not by:  # the upper one alone is not to be dropped in silence
            found.figures += [Figure(None, currency) for currency, group in of if (currency, group) not in to]
        return found
    counts = {group_of(row, by): row["value"] for row in rows["to"]}
    currencies = {currency for currency, _ in of}
    for group, count in counts.items():
        # A group that earned nothing shows as 0 where there is no doubt in which currency.
        told = {currency for currency, other in of if other == group} or (currencies if len(currencies) == 1 else set())
        for currency in told:
            amount, _ = of.get((currency, group), (Decimal(0), 0))
            share = _rounded(_EXACT.divide(amount, Decimal(count)), currency) if count else None
            found.figures.append(Figure(share, currency, group, count))
    return found


def _of_numbers(definition: Ratio, by: tuple[str, ...], rows: Rows) -> Found:
    above = {group_of(row, by): row["value"] for row in rows["of"]}
    figures: list[Figure] = []
    for row in rows["to"]:
        group, below = group_of(row, by), row["value"]
        hits = above.get(group, 0)
        interval = wilson(hits, below) if definition.is_rate else None
        value = hits / below if below else None
        figures.append(Figure(value, "", group, below, interval, (hits, below)))
    return Found(figures)


# --- subjects over time -----------------------------------------------------------------------------------------------


def _conversions(asked: Asked, by: tuple[str, ...], rows: Rows) -> Found:
    definition = asked.kpi.of
    assert isinstance(definition, Conversion)
    figures: list[Figure] = []
    for row in rows["value"]:
        # Sums over nothing are NULL.
        counts = tuple(row[f"n{step}"] or 0 for step in range(1, len(definition.steps) + 1))
        entries, through = counts[0], counts[-1]
        value = through / entries if entries else None
        interval = wilson(through, entries)
        figures.append(Figure(value, "", group_of(row, by), entries, interval, (through, entries), counts))
    return Found(figures, pending=sum(row["pending"] or 0 for row in rows["value"]))


def _retention(asked: Asked, by: tuple[str, ...], rows: Rows) -> Found:
    definition = asked.kpi.of
    assert isinstance(definition, Retention)
    counts = {(row["cohort"], row["age"]): row["n"] for row in rows["value"]}
    borders = asked.boundaries
    cohorts: list[Figure] = []
    hits = size_of_all = 0
    for index in range(asked.cohorts):
        size = counts.get((index, 0), 0)
        cohort = Period(borders[index], borders[index + 1], definition.every)
        for age in range(definition.periods + 1):
            if index + age + 1 >= len(borders):
                break
            is_mature = borders[index + age + 1] <= asked.as_of_ns
            back = counts.get((index, age), 0)
            if age == definition.at and is_mature:
                hits, size_of_all = hits + back, size_of_all + size
            cohorts.append(
                Figure(
                    back / size if size else None, "", (), size, wilson(back, size), (back, size),
                    cohort=cohort, age=age, is_mature=is_mature,
                )
            )  # fmt: skip
    value = hits / size_of_all if size_of_all else None
    total = Figure(value, "", (), size_of_all, wilson(hits, size_of_all), (hits, size_of_all), age=definition.at)
    return Found([total], tuple(cohorts))


def _recurring(asked: Asked, by: tuple[str, ...], rows: Rows) -> Found:
    found = Found()
    totals: dict[tuple[str, Group], tuple[Decimal, int]] = {}
    for row in rows["value"]:
        currency = row["currency"] or ""
        if (currency and currency not in EXPONENTS) or row["value"] is None:
            found.unknown += 1
            continue
        # The shortest text of a double: a gauge tells 41.90 as the double next to it.
        amount = Decimal(repr(row["value"]))
        if not amount.is_finite():
            found.unknown += 1
            continue
        key = (currency, group_of(row, by))
        before, n = totals.get(key, (Decimal(0), 0))
        totals[key] = (_EXACT.add(before, amount), n + 1)
    for (currency, group), (amount, n) in totals.items():
        value = _rounded(amount, currency) if currency else _plain(amount)
        found.figures.append(Figure(value, currency, group, n))
    return found


def _plain(amount: Decimal) -> int | float:
    return int(amount) if amount == amount.to_integral_value() else float(amount)
