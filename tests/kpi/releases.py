"""A shop with two versions at once, of which one may be worse."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any, Final, Literal

from bizspan import names
from bizspan._columns import SERVICE_VERSION
from bizspan.kpi import KPI, Count, Definition, Ratio, Sum, operations
from tests.kpi.stores import SECOND, Told

MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
WEEK: Final = 7 * 24 * HOUR
NOW: Final = 1_790_000_000 * SECOND  # 2026-09-21, a Monday, 14:13:20 UTC

CHECKOUT: Final = operations("checkout")
PAID: Final = operations("checkout", outcome="success")
_REVENUE: Final = names.MINOR_UNITS_KEYS[names.REVENUE], names.CURRENCY_KEYS[names.REVENUE]


def kpi(name: str, of: Definition, direction: Literal["up", "down"] = "up") -> KPI:
    """A KPI with an owner and a meaning."""
    return KPI(name, of, owner="shop", meaning="A test.", direction=direction)


SUCCESS: Final = kpi("success", Ratio(Count(PAID), Count(CHECKOUT)))
FAILED: Final = kpi("failed", Ratio(Count(operations("checkout", outcome="failed")), Count(CHECKOUT)), "down")
REVENUE: Final = kpi("revenue", Sum("revenue", CHECKOUT))


def always(rate: float) -> Callable[[float, bool], float]:
    """The same rate at any time, in both versions."""
    return lambda gone, is_new: rate


def checkout(
    uid: str, time_ns: int, version: str, *, paid: bool, minor: int = 0, currency: str = "EUR", **facts: Any
) -> Told:
    """One checkout."""
    keys = {
        "customer": names.CUSTOMER,
        "country": names.COUNTRY,
        "traffic": names.TRAFFIC,
        "order": names.ORDER,
        "flag": names.FLAG,
        "variant": names.VARIANT,
        "invalid": names.AMOUNT_INVALID_KEYS[names.REVENUE],
    }
    told: dict[str, Any] = {
        names.OPERATION_NAME: "checkout",
        names.OPERATION_ID: uid,
        names.OPERATION_OUTCOME: "success" if paid else "failed",
        SERVICE_VERSION: version,
        **{keys.get(name, name): value for name, value in facts.items()},
    }
    if minor and paid:
        told |= {_REVENUE[0]: minor, _REVENUE[1]: currency}
    return Told(uid, time_ns, names.EVENT_OPERATION, told)


def rollout(
    rate: Callable[[float, bool], float],
    share: Callable[[float], float] = lambda _: 0.5,
    *,
    per_minute: int = 40,
    minutes: int = 60,
    until_ns: int = NOW,
    seed: int = 1,
    **facts: Callable[[Random, int], Any],
) -> Iterator[Told]:
    """
    Checkouts of two versions.

    Args:
        rate: How many succeed, by the part of the time that has gone by, and whether it is the candidate.
        share: How many get the candidate, by the part of the time that has gone by.
        per_minute: How many there are.
        minutes: For how long.
        until_ns: Until when.
        seed: Of the random numbers.
        facts: Further facts, each by the random numbers and the number of the checkout.
    """
    random = Random(seed)
    many = per_minute * minutes
    for index in range(many):
        gone = index / many
        is_new = random.random() < share(gone)
        told = {name: make(random, index) for name, make in facts.items()}
        yield checkout(
            f"c-{seed}-{until_ns}-{index}", until_ns - minutes * MINUTE + index * MINUTE // per_minute,
            "1.5" if is_new else "1.4", paid=random.random() < rate(gone, is_new),
            minor=int(random.lognormvariate(8, 0.7)), **told,
        )  # fmt: skip
