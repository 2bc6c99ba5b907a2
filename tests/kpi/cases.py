"""
KPIs of every kind, and what each must say of a list of events.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Final

from bizspan import Attribute, Vocabulary, names
from bizspan.kpi import (
    KPI,
    Answer,
    AverageOrderValue,
    Conversion,
    Count,
    Definition,
    Distinct,
    Figure,
    Quantile,
    Rates,
    Ratio,
    Recurring,
    Retention,
    Source,
    Sum,
    evaluate,
    events,
    feedback,
    operations,
    refunds,
)
from bizspan.money import EXPONENTS
from tests.kpi.oracle import Oracle, recurring, rounded
from tests.kpi.stores import Point, Told
from tests.kpi.strategies import BERLIN, DAY, HOSTILE

SHOP: Final = Vocabulary(
    "shop", [Attribute(name="bonus"), Attribute(name="points", type=int), Attribute(name="gift", type=bool)]
)
CHECKOUT: Final = operations("checkout")
PAID: Final = operations("checkout", outcome="success")
RATES: Final = Rates("EUR", "2026-10-01", {"USD": "0.8571", "JPY": "0.0061"})

DEFINITIONS: Final[dict[str, tuple[Definition, tuple[str, ...]]]] = {
    "count": (Count(CHECKOUT), ("country",)),
    "count_where": (Count(operations("checkout", "basket", country=["DE", "AT"], outcome="success")), ("operation",)),
    "count_unless": (Count(operations("checkout", unless={"country": "DE"}, gift=True)), ("segment", "country")),
    "count_own_facts": (Count(operations("checkout", points=[1, 2, 3], bonus=["x", HOSTILE])), ("gift", "points")),
    "count_events": (Count(events("signup")), ("service",)),
    "count_bots": (Count(operations("checkout", traffic="bot")), ()),
    "count_low_scores": (Count(feedback("nps", score=[0, 1, 2, 3])), ("country",)),
    "count_hostile": (Count(events("signup", segment=HOSTILE)), ("segment",)),
    "revenue": (Sum("revenue", CHECKOUT), ("country",)),
    "revenue_of_all": (Sum("revenue"), ("segment",)),
    "cost": (Sum("cost", operations("checkout", "basket")), ()),
    "at_risk": (Sum("value", operations("checkout", outcome=["failed", "rejected"])), ("country",)),
    "converted": (Sum("revenue", CHECKOUT, rates=RATES), ("country",)),
    "refunds": (Sum("refund", refunds()), ("country",)),
    "refunds_by_order": (Sum("refund", refunds(), dated="order"), ("country",)),
    "average": (AverageOrderValue(of=CHECKOUT), ("country",)),
    "customers": (Distinct("customer"), ("country",)),
    "buyers": (Distinct("customer", PAID), ()),
    "success": (Ratio(Count(PAID), Count(CHECKOUT)), ("country",)),
    "buyers_of_all": (Ratio(Distinct("customer", PAID), Distinct("customer", CHECKOUT)), ()),
    "refunded": (Ratio(Sum("refund", refunds()), Sum("revenue")), ()),
    "revenue_per_basket": (Ratio(Sum("revenue", CHECKOUT), Count(operations("basket"))), ("country",)),
    "median": (Quantile(0.5, of=CHECKOUT), ("country",)),
    "p95": (Quantile(0.95, of=CHECKOUT), ()),
    "score": (Quantile(0.1, "score", feedback("nps")), ()),
    "points": (Quantile(1, "points"), ("gift",)),
    "conversion": (Conversion((operations("basket"), PAID)), ("country",)),
    "three_steps": (
        Conversion((events("signup"), operations("basket"), PAID), window="12h", reentry="each"),
        ("segment",),
    ),
    "same_twice": (Conversion((CHECKOUT, operations("checkout", "basket")), "order", "3h", "each"), ()),
    "retention": (Retention(PAID, every="day", periods=3), ()),
    "retention_other": (Retention(events("signup"), operations("basket", "checkout"), every="week", periods=2), ()),
    "mrr": (Recurring("mrr"), ("plan",)),
    "mrr_of_services": (Recurring("mrr", across="services", stale="2h"), ()),
}


def kpi(name: str) -> KPI:
    """The KPI of this name, without a minimum for its groups."""
    definition, by = DEFINITIONS[name]
    return KPI(
        name, definition, owner="shop", meaning="What the tests measure.", by=by, minimum_group=1, vocabulary=SHOP
    )


def said(figures: Sequence[Figure]) -> dict[Any, Any]:
    """The values by currency and group."""
    return {(each.currency, tuple(value for _, value in each.group)): each.value for each in figures
            if each.value is not None}  # fmt: skip


def compare(name: str, source: Source, told: Sequence[Told], points: Sequence[Point], as_of_ns: int) -> Answer:
    """Evaluate, and have the same values as plain Python; the answer, for more."""
    measured = kpi(name)
    period = BERLIN.around(DAY.since_ns, "week") if measured.kind == "retention" else DAY
    answer = evaluate(measured, source, period, calendar=BERLIN, as_of_ns=as_of_ns)
    known = [each for each in told if not source.dialect.received or each.received_ns <= as_of_ns]
    for by, figures in ((), answer.total), (measured.by, answer.groups):
        oracle = Oracle(measured, known, period, as_of_ns, by)
        expected = _expected(oracle, points)
        if by or measured.kind not in ("count", "distinct"):
            assert expected == said(figures), (by, answer.statements[0].text)
        else:
            assert (expected or {("", ()): 0}) == said(figures), answer.statements[0].text
        if not measured.by:
            break
    _check_accounts(answer, Oracle(measured, known, period, as_of_ns, ()))
    return answer


def _expected(oracle: Oracle, points: Sequence[Point]) -> dict[Any, Any]:
    definition: Any = oracle.kpi.of
    match definition:
        case Sum():
            nothing = {(RATES.to, ()): 0} if definition.rates and not oracle.by else {}
            return dict(oracle.converted(definition)) or nothing
        case Ratio():
            return {key: value for key, value in oracle.ratio(definition).items() if value is not None}
        case Conversion():
            return {("", group): counts[-1] / counts[0] for group, counts in oracle.conversion(definition).items()}
        case Retention():
            return _retained(oracle, definition)
        case Recurring():
            key = names.PLAN if oracle.by else None
            found = recurring(definition, points, oracle.until, key)
            return {each: rounded(Fraction(value), each[0]) if each[0] else float(value)
                    for each, value in found.items()}  # fmt: skip
        case _:
            return dict(oracle.value(definition))


def _retained(oracle: Oracle, definition: Retention) -> dict[Any, Any]:
    """Over the cohorts that are in the period, and whose first period afterwards is over."""
    back = of = 0
    for (start, age), (hits, size) in oracle.retention(definition, BERLIN).items():
        after = BERLIN.around(BERLIN.around(start, definition.every).until_ns, definition.every)
        is_inside = oracle.since <= start < BERLIN.around(oracle.since, "week").until_ns
        if age == definition.at and is_inside and after.until_ns <= oracle.as_of:
            back, of = back + hits, of + size
    return {("", ()): back / of} if of else {}


def _check_accounts(answer: Answer, oracle: Oracle) -> None:
    definition: Any = oracle.kpi.of
    if not isinstance(definition, (Count, Sum)):
        return
    money = definition.money if isinstance(definition, Sum) else None
    among = oracle.dated(definition) if isinstance(definition, Sum) else oracle.within()
    fitting = [each for each in among if oracle.fits(each, definition.of, money)]
    shown = [each for each in fitting if oracle.is_customer(each, definition.of)]
    assert len(fitting) - len(shown) == answer.hidden
    assert sum(1 for each in shown if oracle.lacks(each, money)) == answer.missing
    if answer.late is not None and DAY.until_ns <= oracle.as_of:
        assert sum(1 for each in shown if each.received_ns >= DAY.until_ns) == answer.late
    if isinstance(definition, Sum) and definition.dated == "order":
        sold = oracle.sold()
        inside = [each for each in oracle.within() if oracle.counts(each, definition.of, money)]
        assert sum(1 for each in inside if each[names.ORDER] not in sold) == answer.unmatched
    if isinstance(definition, Sum) and definition.rates:
        currencies = {currency for currency, _ in oracle.amounts(definition)}
        assert tuple(sorted(currencies - {*definition.rates.per})) == answer.unconverted
    assert all(each.currency in EXPONENTS for each in answer.total if each.currency)
