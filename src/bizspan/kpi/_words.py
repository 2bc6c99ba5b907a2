"""
What a KPI measures, in a sentence for people who read no code.
"""

from __future__ import annotations

from collections.abc import Iterable

from bizspan import names
from bizspan.kpi._definition import (
    AverageOrderValue,
    Conversion,
    Count,
    Definition,
    Distinct,
    Quantile,
    Ratio,
    Recurring,
    Retention,
    Sum,
)
from bizspan.kpi._records import Condition, Records


def in_words(definition: Definition) -> str:
    """
    A definition as part of a sentence.

    Args:
        definition: Of a KPI.
    """
    match definition:
        case Count(of=of):
            return f"how many {_records(of)}"
        case Sum():
            return _sum(definition)
        case AverageOrderValue(money=money, of=of):
            return f"{money} for each order of {_records(of)}, by currency"
        case Distinct(subject=subject, of=of):
            return f"how many different {subject}s in {_records(of)}"
        case Ratio(of=of, to=to):
            return f"{in_words(of)}, divided by {in_words(to)}"
        case Quantile(q=q, value=value, of=of):
            return f"the {value} that {q * 100:.6g} % of {_records(of)} stay at or below"
        case Conversion():
            return _conversion(definition)
        case Retention():
            return _retention(definition)
        case Recurring(gauge=gauge, across=across):
            over = ", added up over services" if across == "services" else ""
            return f'what the gauge "{gauge}" told last{over}'


def _retention(definition: Retention) -> str:
    again, every, at = definition.coming_back, definition.every, definition.at
    back = "that again" if again == definition.first else _records(again, one=True)
    subjects = f"the {definition.subject}s whose first {_records(definition.first, one=True)} is in one {every}"
    return f"the part of {subjects} that have {back} {at} {every}{_s(at)} later"


def _sum(definition: Sum) -> str:
    when = ", by the date of the order" if definition.dated == "order" else ""
    rates = definition.rates
    money = "by currency" if rates is None else f"in {rates.to} by the rates of {rates.date}"
    return f"{definition.money} of {_records(definition.of)}{when}, {money}"


def _conversion(definition: Conversion) -> str:
    first, *further = (_records(step, one=True) for step in definition.steps)
    entries = "a period's first entry" if definition.reentry == "first" else "each entry"
    return (
        f"the part of the {definition.subject}s with {first} that go on to {', then '.join(further)}"
        f" within {definition.window}; {entries} counts"
    )


def _records(records: Records, one: bool = False) -> str:
    told = [
        *_named("operation" if one else "operations", records.operations),
        *(["a refund" if one else "refunds"] if names.EVENT_REFUND in records.events else []),
        *_named("event" if one else "events", [name for name in records.events if name != names.EVENT_REFUND]),
        *(f"{'an answer' if one else 'answers'} to {each}" for each in _quoted(records.questions)),
    ]
    where = " and ".join(_condition(condition) for condition in records.where)
    return f"{' or '.join(told) or 'all that is told'}{f' where {where}' if where else ''}"


def _named(kind: str, called: Iterable[str]) -> list[str]:
    quoted = _quoted(called)
    return [f"{kind} {' or '.join(quoted)}"] if quoted else []


def _condition(condition: Condition) -> str:
    if not condition.values:
        return f"{condition.fact} is {'' if condition.is_not else 'not '}told"
    values = " or ".join(str(value).lower() if isinstance(value, bool) else str(value) for value in condition.values)
    return f"{condition.fact} is {'not ' if condition.is_not else ''}{values}"


def _quoted(told: Iterable[str]) -> list[str]:
    return [f'"{each}"' for each in told]


def _s(number: int) -> str:
    return "" if number == 1 else "s"
