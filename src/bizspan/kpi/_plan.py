"""
How a KPI is compared between two arms, or why it can't be.

A unit is what chance gives to one arm or the other: the KPI's subject where it has one, else the record; or any fact
that the user names, such as the customer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final, cast

from bizspan.kpi._definition import (
    AverageOrderValue,
    Conversion,
    Count,
    Definition,
    Distinct,
    MoneyKind,
    Quantile,
    Ratio,
    Recurring,
    Retention,
    Sum,
)
from bizspan.kpi._records import Condition, Records
from bizspan.kpi._sequential import Measure

RECORD, OPERATION, ORDER = "record", "operation", "order"
# What became of a record: it may differ because of the arm, so that units are not chosen by it.
OUTCOMES: Final = frozenset({"outcome", "reason", "error_type"})


@dataclass(frozen=True, slots=True)
class Plan:
    """
    How a KPI is compared.

    Args:
        measure: What its value is of a unit.
        unit: ``record``, ``operation``, ``order``, or the fact that names the unit.
        money: The amount that is summed, for each currency apart.
        per: What the value is of or per, for people.
        limit: Of a quantile, its target: units are within it or not.
        is_fact: Whether the unit is what a fact names, such as the customer: it may be seen in both arms.
    """

    measure: Measure
    unit: str
    per: str
    money: MoneyKind | None = None
    limit: float | None = None
    is_fact: bool = True


def plan(definition: Definition, unit: str = "", target: Decimal | None = None) -> Plan | str:
    """
    How a KPI is compared, or why it can't be.

    Args:
        definition: What is measured.
        unit: The fact that names the unit; empty takes what fits the KPI.
        target: Of a quantile: a limit that is known beforehand, within which a part of the records is.
    """
    match definition:
        case Conversion():
            is_rate = definition.reentry == "first"
            return Plan("rate" if is_rate else "ratio", definition.subject, f"of {definition.subject}s that entered")
        case Distinct():
            if definition.of.is_everything and not definition.of.where:
                return f"every {definition.subject} counts: it says how many an arm got, not how they did"
            return Plan("rate", definition.subject, f"of all {definition.subject}s")
        case AverageOrderValue():
            return Plan("mean", ORDER, "per order", definition.money, is_fact=False)
        case Sum():
            return _plan_of_sum(definition, unit)
        case Count():
            if unit:
                return Plan("mean", unit, f"per {unit}")
            if not any(condition.fact in OUTCOMES for condition in definition.of.where):
                return "a count grows with its arm's traffic; pass --unit customer, or compare a ratio"
            return Plan("rate", RECORD, f"of {_called(definition.of)}", is_fact=False)
        case Ratio():
            return _plan_of_ratio(definition, unit)
        case Quantile():
            if target is None:
                return "a quantile has no units; give it a target, and the part within it is compared"
            per = f"of {_called(definition.of)} within {target:g}"
            return Plan("rate", RECORD, per, limit=float(target), is_fact=False)
        case Retention():
            return "retention needs whole periods; compare a conversion"
        case Recurring():
            return "a gauge is one value for all, and has no arms"


def _plan_of_sum(definition: Sum, unit: str) -> Plan | str:
    if definition.dated == "order":
        return "the arm that sold is not the one that refunds; date them by record"
    # An operation is also there when it earned nothing; of an event, how often it comes is half of its sum.
    is_attempted = bool(definition.of.operations) and not (definition.of.events or definition.of.questions)
    if is_attempted and not unit:
        return Plan("mean", OPERATION, f"per {_called(definition.of)}", definition.money, is_fact=False)
    unit = unit or "customer"
    return Plan("mean", unit, f"per {unit}", definition.money)


def _plan_of_ratio(definition: Ratio, unit: str) -> Plan | str:
    money = definition.of.money if isinstance(definition.of, Sum) else None
    subjects = {part.subject for part in (definition.of, definition.to) if isinstance(part, Distinct)}
    if any(isinstance(part, Sum) and part.dated == "order" for part in (definition.of, definition.to)):
        return "the arm that sold is not the one that refunds; date them by record"
    if len(subjects) > 1:
        return f"it counts different {' and '.join(sorted(subjects))}, which have no unit in common"
    unit = subjects.pop() if subjects else unit
    if definition.is_rate and (isinstance(definition.to, Distinct) or not unit):
        per = f"of {unit}s" if unit else f"of {_called(definition.to.of)}"
        return Plan("rate", unit or RECORD, per, is_fact=bool(unit))
    per = f"of {definition.to.money}" if isinstance(definition.to, Sum) else f"per {_called(definition.to.of)}"
    return Plan("ratio", unit or RECORD, per, money, is_fact=bool(unit))


def attempted(records: Records) -> Records:
    """These, whatever became of them."""
    return replace(records, where=tuple(each for each in records.where if each.fact not in OUTCOMES))


def _called(records: Records) -> str:
    told = (*records.operations, *records.events, *records.questions)
    return " / ".join(told) if told else "record"


def narrowed(definition: Definition, conditions: Iterable[Condition]) -> Definition:
    """
    The same KPI over records that also meet these conditions; of a conversion, its entries.

    Args:
        definition: What is measured.
        conditions: Which arms, and what the user filters by.
    """
    added = tuple(conditions)

    def more(records: Records) -> Records:
        where = tuple(sorted((*records.where, *added), key=lambda each: (each.fact, each.is_not, str(each.values))))
        return replace(records, where=where)

    match definition:
        case Count() | Sum() | AverageOrderValue() | Distinct() | Quantile():
            return replace(definition, of=more(definition.of))
        case Ratio():
            of, to = (cast("Count | Sum | Distinct", narrowed(part, added)) for part in (definition.of, definition.to))
            return Ratio(of, to)
        case Conversion():
            return replace(definition, steps=(more(definition.steps[0]), *definition.steps[1:]))
        case Retention() | Recurring():
            return definition
