"""
Whether a rule has something to say.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from bizspan.errors import SetupError
from bizspan.report import _questions
from bizspan.report._rows import Asked, rows_of
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


@dataclass(frozen=True, slots=True)
class Unjudged:
    """
    A rule that can't be judged.

    Args:
        rule: Its name.
        reason: Why.
    """

    rule: str
    reason: str


def alerts(
    rules: Iterable[Rule], source: Source, calendar: Calendar, as_of_ns: int
) -> tuple[list[Alert], list[Unjudged]]:
    """
    What the rules say at a moment, and which of them can't be judged: each by itself.

    Args:
        rules: Which ones.
        source: Where from.
        calendar: Whose days.
        as_of_ns: The moment.
    """
    found: list[Alert] = []
    unjudged: list[Unjudged] = []
    for rule in rules:
        told = {"target": _target, "score": _score, "stalled": _stalled}[rule.kind]
        try:
            since_ns = calendar.around(as_of_ns, rule.every).since_ns
            found += [Alert(rule.name, since_ns, text) for text in told(rule, source, calendar, as_of_ns)]
        except SetupError as error:
            unjudged.append(Unjudged(rule.name, str(error)))
        except Exception as error:  # a rule is no reason that another one is not heard
            unjudged.append(Unjudged(rule.name, f"{type(error).__name__}: {error}"))
    return found, unjudged


def _target(rule: Rule, source: Source, calendar: Calendar, as_of_ns: int) -> list[str]:
    assert rule.kpi is not None
    period = calendar.read(rule.period, as_of_ns)
    rows = rows_of(rule.kpi, Asked(source, calendar, period, None, as_of_ns))
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
