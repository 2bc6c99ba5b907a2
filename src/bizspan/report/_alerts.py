"""
Whether a rule has something to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from bizspan.errors import SetupError
from bizspan.report import _questions
from bizspan.report._rows import Asked, answered, rows_of
from bizspan.report._tables import clean
from bizspan.report._usual import Situation, drops

if TYPE_CHECKING:
    from bizspan.kpi import Period
    from bizspan.kpi._design import Placed
    from bizspan.report._rules import Rule

_MOST_NAMES: Final = 10
_MOST_LABELS: Final = 3
_LONGEST_NAME: Final = 80  # a keyed hash has 67 characters, and half of one finds nobody


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


def alerts(rules: Iterable[Rule], now: Situation) -> tuple[list[Alert], list[Unjudged]]:
    """
    What the rules say at a moment, and which of them can't be judged: each by itself.

    Args:
        rules: Which ones.
        now: On what.
    """
    found: list[Alert] = []
    unjudged: list[Unjudged] = []
    judges = {"target": _target, "drop": _drop, "score": _score, "stalled": _stalled}
    for rule in rules:
        try:
            since_ns = now.calendar.around(now.as_of_ns, rule.every).since_ns
            found += [Alert(rule.name, since_ns, text) for text in judges[rule.kind](rule, now)]
        except SetupError as error:
            unjudged.append(Unjudged(rule.name, str(error)))
        except Exception as error:  # a rule is no reason that another one is not heard
            unjudged.append(Unjudged(rule.name, f"{type(error).__name__}: {error}"))
    return found, unjudged


def _target(rule: Rule, now: Situation) -> list[str]:
    from bizspan.kpi._design import marks_of

    assert rule.kpi is not None
    period = now.calendar.read(rule.period, now.as_of_ns)
    marked = _marked(marks_of(rule.kpi, now.marks), period)
    asked = Asked(now.source, now.calendar, period, None, now.as_of_ns)
    rows = rows_of(answered(rule.kpi, asked), asked)
    return [
        f"{row.kpi} missed its target: {_reached(row.mean, row.currency) or row.shown}, target {row.target_shown}"
        f"{f' a {row.per}' if row.per else ''} ({clean(period.label)}, n={row.n:,}; owner {clean(row.owner)})"
        f"{marked}{f'; {row.playbook}' if row.playbook else ''}"
        for row in rows
        if row.met is False
    ]


def _reached(mean: Decimal | None, currency: str) -> str:
    return "" if mean is None else f"{mean:,} {currency}".rstrip() + " on average"


def _drop(rule: Rule, now: Situation) -> list[str]:
    from bizspan.kpi import Figure, value_text

    assert rule.kpi is not None
    kpi = rule.kpi
    marks = now.marks if now.skips_marked else ()
    found = drops(kpi, rule.change, now.calendar.read(rule.period, now.as_of_ns), now, marks)
    verb = "dropped" if kpi.direction == "up" else "rose"
    return [
        f"{kpi.name} {verb}: {value_text(kpi, each.figure)}, usually"
        f" {value_text(kpi, Figure(each.usual, each.figure.currency))} ({clean(each.label)}, n={each.figure.n:,};"
        f" median of {each.weeks} times before{_left_out(each.left_out)}; owner {clean(kpi.owner)})"
        f"{f'; {kpi.playbook}' if kpi.playbook else ''}"
        for each in found
    ]


def _left_out(labels: Sequence[str]) -> str:
    return f", without {_labels(labels)}" if labels else ""


def _marked(marks: Sequence[Placed], period: Period) -> str:
    """What is marked in a period, for the end of a sentence."""
    from bizspan.kpi._design import overlap

    found = [each.label for each in marks if overlap(each, period)]
    return f"; marked: {_labels(found)}" if found else ""


def _labels(labels: Sequence[str]) -> str:
    told = list(dict.fromkeys(clean(each, 60) for each in labels))
    return ", ".join(told[:_MOST_LABELS]) + (", ..." if len(told) > _MOST_LABELS else "")


def _score(rule: Rule, now: Situation) -> list[str]:
    period = now.calendar.read(rule.period, now.as_of_ns)
    told = _questions.surveys(_questions.Time(period, now.as_of_ns), now.source)
    return [
        f"the score of {clean(rule.feedback)} is low: {each['total'] / each['n']:.2f} on average, below {rule.below}"
        f" ({clean(period.label)}, n={each['n']:,}){_marked(now.marks, period)}"
        for each in told
        if each["question"] == rule.feedback
        and each["n"] >= rule.least
        and Decimal(repr(each["total"])) < rule.below * each["n"]
    ]


def _stalled(rule: Rule, now: Situation) -> list[str]:
    assert rule.first is not None and rule.then is not None
    period = now.calendar.read(rule.period, now.as_of_ns)
    subjects = _questions.stalled(
        _questions.Time(period, now.as_of_ns),
        now.source,
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
        shown = ", ".join(clean(each, _LONGEST_NAME) for each in subjects[:_MOST_NAMES])
        text += f": {shown}{', ...' if len(subjects) > _MOST_NAMES else ''}"
    return [text]


def _named(records: object) -> str:
    from bizspan.kpi._records import Records

    assert isinstance(records, Records)
    return clean(" or ".join((*records.operations, *records.events, *records.questions)))
