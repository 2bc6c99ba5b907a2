"""
Whether a rule has something to say.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from bizspan.report import _questions
from bizspan.report._rows import Asked, answered, rows_of
from bizspan.report._tables import clean

if TYPE_CHECKING:
    from bizspan.kpi import Calendar, Source
    from bizspan.report._rules import Rule

_MOST_NAMES: Final = 10


@dataclass(frozen=True, slots=True)
class Alert:
    """
    What a rule says.

    Args:
        rule: Its name.
        since_ns: The start of the period in which it is said once.
        text: One line.
    """

    rule: str
    since_ns: int
    text: str


def alerts(rules: Iterable[Rule], source: Source, calendar: Calendar, as_of_ns: int) -> list[Alert]:
    """
    What the rules say at a moment.

    Args:
        rules: Which ones.
        source: Where from.
        calendar: Whose days.
        as_of_ns: The moment.

    Raises:
        SetupError: A period is none, or the source can't answer.
    """
    found: list[Alert] = []
    for rule in rules:
        since_ns = calendar.around(as_of_ns, rule.every).since_ns
        told = {"target": _target, "score": _score, "stalled": _stalled}[rule.kind]
        found += [Alert(rule.name, since_ns, text) for text in told(rule, source, calendar, as_of_ns)]
    return found


def _target(rule: Rule, source: Source, calendar: Calendar, as_of_ns: int) -> list[str]:
    assert rule.kpi is not None
    period = calendar.read(rule.period, as_of_ns)
    asked = Asked(source, calendar, period, None, as_of_ns)
    rows = rows_of(answered(rule.kpi, asked), asked)
    return [
        f"{row.kpi} missed its target: {_reached(row.mean, row.currency) or row.shown}, target {row.target_shown}"
        f"{f' a {row.per}' if row.per else ''} ({clean(period.label)}, n={row.n:,}; owner {clean(row.owner)})"
        f"{f'; {row.playbook}' if row.playbook else ''}"
        for row in rows
        if row.met is False
    ]


def _reached(mean: Decimal | None, currency: str) -> str:
    return "" if mean is None else f"{mean:,} {currency}".rstrip() + " on average"


def _score(rule: Rule, source: Source, calendar: Calendar, as_of_ns: int) -> list[str]:
    period = calendar.read(rule.period, as_of_ns)
    told = _questions.surveys(_questions.Time(period, as_of_ns), source)
    return [
        f"the score of {clean(rule.feedback)} is low: {each['total'] / each['n']:.2f} on average, below {rule.below}"
        f" ({clean(period.label)}, n={each['n']:,})"
        for each in told
        if each["question"] == rule.feedback
        and each["n"] >= rule.least
        and Decimal(repr(each["total"])) < rule.below * each["n"]
    ]


def _stalled(rule: Rule, source: Source, calendar: Calendar, as_of_ns: int) -> list[str]:
    assert rule.first is not None and rule.then is not None
    period = calendar.read(rule.period, as_of_ns)
    subjects = _questions.stalled(
        _questions.Time(period, as_of_ns),
        source,
        rule.first,
        rule.then,
        rule.subject,
        rule.within_ns,
        rule.vocabularies,
    )
    if not subjects:
        return []
    days = Decimal(rule.within_ns) / (86_400 * 10**9)
    after = f"{days.normalize():f} days" if days >= 1 else f"{rule.within_ns // (60 * 10**9)} minutes"
    what = f"{_named(rule.first)} without {_named(rule.then)} after {after}"
    text = f"{len(subjects):,} stalled by {rule.subject}: {what} ({clean(period.label)})"
    if rule.names:
        shown = ", ".join(clean(each, 60) for each in subjects[:_MOST_NAMES])
        text += f": {shown}{', ...' if len(subjects) > _MOST_NAMES else ''}"
    return [text]


def _named(records: object) -> str:
    from bizspan.kpi._records import Records

    assert isinstance(records, Records)
    return clean(" or ".join((*records.operations, *records.events, *records.questions)))
