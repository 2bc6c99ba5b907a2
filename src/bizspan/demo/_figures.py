"""
What the demo shows, computed from the lens's store by KPIs as any user's are.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bizspan.demo._goods import COUNTRIES

if TYPE_CHECKING:
    from bizspan.kpi import KPI

_OWNER: Final = "shop"
_LEAST: Final = 10
_HOUR_NS: Final = 3_600_000_000_000
Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Rate:
    """
    A part of checkouts.

    Args:
        paid: How many were paid.
        of: Of how many.
    """

    paid: int
    of: int

    def __str__(self) -> str:
        return f"{100 * self.paid / self.of:.0f} % ({self.of:,})" if self.of else "-"


@dataclass(frozen=True, slots=True)
class Table:
    """
    The state of the shop.

    Args:
        revenue: By currency.
        baskets: How many.
        rates: The checkout conversion by country and version.
    """

    revenue: Mapping[str, Decimal]
    baskets: int
    rates: Mapping[tuple[str, ...], Rate]


@dataclass(frozen=True, slots=True)
class Hurt:
    """
    The country in which the checkout conversion fell furthest beyond chance.

    Args:
        country: ISO 3166-1 alpha-2.
        before: The conversion of the release that is known.
        after: That of the new one.
        n: How many checkouts both had there.
        lost: By currency: the difference in revenue for each checkout, times the new one's checkouts in an hour.
    """

    country: str
    before: float
    after: float
    n: int
    lost: Mapping[str, float]


def table(store: Path, span: Span) -> Table:
    """
    What the store says.

    Args:
        store: Of the lens.
        span: From when to when, in nanoseconds since the epoch.
    """
    from bizspan.kpi import KPI, Count, Period, SqliteSource, evaluate, operations

    source, period = SqliteSource(store), Period(*span)
    baskets = KPI("baskets", Count(operations("basket")), owner=_OWNER, meaning="Baskets that were filled.")
    (filled,) = evaluate(baskets, source, period).total
    return Table(
        {
            each.currency: Decimal(each.value or 0)
            for each in evaluate(_revenue(), source, period).total
            if each.currency
        },
        int(filled.value or 0),
        rates(store, span, ("country", "version")),
    )


def rates(store: Path, span: Span, by: tuple[str, ...]) -> dict[tuple[str, ...], Rate]:
    """
    The checkout conversion by the values of facts.

    Args:
        store: Of the lens.
        span: See `table`.
        by: Names of facts.
    """
    from bizspan.kpi import Period, SqliteSource, evaluate

    answer = evaluate(_conversion(), SqliteSource(store), Period(*span), by=by)
    return {tuple(value or "" for _, value in each.group): Rate(*each.parts) for each in answer.groups if each.parts}


def hurt(store: Path, baseline: str, candidate: str, span: Span) -> Hurt | None:
    """
    Where the new release hurts; None where nothing stands out, or there is too little to say so.

    Args:
        store: Of the lens.
        baseline: The version that is known.
        candidate: The new one.
        span: While both ran.
    """
    from bizspan.kpi import Calendar, CompareOptions, Period, SqliteSource, compare, concurrent

    design = concurrent("version", baseline, candidate, Period(*span), Calendar())
    source = SqliteSource(store)
    options = CompareOptions(minimum=_LEAST, slices=("country",))
    lines = compare([_conversion()], source, design, options, as_of_ns=span[1]).lines
    fallen = [
        each
        for line in lines
        for each in line.slices
        if each.value and (each.difference.value or 0) < 0 and not each.difference.too_few
    ]
    if not fallen:
        return None
    # How far below 0, measured by what chance can do there.
    worst = min(fallen, key=lambda each: (each.difference.value or 0.0) / (each.difference.high - each.difference.low))
    there = CompareOptions(minimum=_LEAST, where=(("country", worst.value or ""),))
    hours = (span[1] - span[0]) / _HOUR_NS
    lost = {
        line.currency: -line.difference.value * line.difference.of_candidate / hours
        for line in compare([_revenue()], source, design, there, as_of_ns=span[1]).lines
        if line.currency and line.difference is not None and line.difference.value is not None
    }
    found = worst.difference
    before, after = found.baseline or 0.0, found.candidate or 0.0
    return Hurt(worst.value or "", before, after, found.of_baseline + found.of_candidate, lost)


def sentence(release: str, found: Hurt | None) -> str:
    """
    What a person should see, in one sentence.

    Args:
        release: The new version.
        found: See `hurt`.
    """
    if found is None:
        return f"release {release}: no country's checkout conversion has fallen so far"
    money = "".join(
        f", about {_rounded(abs(amount)):,} {currency}/h {'lost' if amount > 0 else 'gained'}"
        for currency, amount in sorted(found.lost.items())
    )
    country = COUNTRIES.get(found.country, found.country)
    return (
        f"release {release}: checkout conversion in {country} {100 * found.before:.0f} -> {100 * found.after:.0f} %"
        f" (n={found.n:,}){money}"
    )


def _rounded(amount: float) -> int:
    """To three digits: more would claim to be known."""
    return round(float(f"{amount:.2e}"))


def _conversion() -> KPI:
    from bizspan.kpi import KPI, Count, Ratio, operations

    paid = Count(operations("checkout", outcome="success"))
    return KPI(
        "checkout_conversion", Ratio(paid, Count(operations("checkout"))), owner=_OWNER,
        meaning="Checkouts that end with an order.", minimum_group=1,
    )  # fmt: skip


def _revenue() -> KPI:
    from bizspan.kpi import KPI, Sum, operations

    return KPI("revenue", Sum(of=operations("checkout")), owner=_OWNER, meaning="What customers paid.")


def shown() -> tuple[KPI, ...]:
    """What the page shows."""
    return _conversion(), _revenue()


def until_now(since_ns: int) -> Span:
    """From then until now."""
    return since_ns, max(time.time_ns(), since_ns + 1)
