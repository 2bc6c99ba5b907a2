"""
Figures and definitions as text for people, and as data for programs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, cast

from bizspan.kpi._calendar import Calendar, Period
from bizspan.kpi._figure import Answer, Figure
from bizspan.kpi._kpi import KPI
from bizspan.kpi._support import TARGETS, reason


def value_text(kpi: KPI, figure: Figure) -> str:
    """The value as people write it: ``1,042``, ``61.3 %``, ``42.00 EUR``."""
    value = figure.value
    if not figure.is_known:
        return "not known"
    # Money by money is a number: its currency tells the lines apart.
    label = f" ({figure.currency})" if kpi.kind == "ratio" and figure.currency and not kpi.is_money else ""
    if value is None:
        return f"nothing to divide by{label}" if kpi.kind in ("ratio", "conversion", "retention") else "no value"
    if kpi.is_rate and not figure.currency:
        return f"{value * 100:.1f} %"
    text = f"{value:,}" if isinstance(value, (int, Decimal)) else f"{value:,.6g}"
    own = "" if kpi.shown_unit == "%" else kpi.shown_unit
    unit = own if label else figure.currency or own
    return f"{text} {unit}".rstrip() + label


def moment(time_ns: int, calendar: Calendar) -> str:
    """A moment in the calendar's zone."""
    return datetime.fromtimestamp(time_ns // 1_000_000_000, calendar.zone).isoformat(timespec="seconds")


def certainty(answer: Answer) -> str:
    """How far its figures can be trusted."""
    if answer.kept_since_ns is not None:
        return f"incomplete: the store has dropped what happened before {moment(answer.kept_since_ns, answer.calendar)}"
    return "exact" if answer.is_exact else "an estimate"


def answer_text(answer: Answer) -> str:
    """An answer in a few lines."""
    kpi = answer.kpi
    lines = [f"{kpi.name}: {kpi.meaning}"]
    lines += [_line(answer, each) for each in answer.total] or ["  nothing in this period"]
    lines += [_line(answer, each) for each in answer.groups]
    if answer.suppressed:
        lines.append(
            f"  groups not shown: {answer.suppressed} (below {kpi.minimum_group}, or they would give one away)"
        )
    for each in answer.cohorts:
        if each.cohort is not None and each.n:
            mature = "" if each.is_mature else "  (not over)"
            start = moment(each.cohort.since_ns, answer.calendar)[:10]
            lines.append(f"  cohort {start} +{each.age}: {value_text(kpi, each)}  n={each.n}{mature}")
    period = " to ".join(moment(at, answer.calendar) for at in (answer.period.since_ns, answer.period.until_ns))
    lines.append(f"  {period}, {answer.calendar.time_zone}, as of {moment(answer.as_of_ns, answer.calendar)}")
    lines.append(f"  from {answer.basis}, {certainty(answer)}; owner {kpi.owner}{_beside(answer)}")
    return "\n".join(lines)


def _line(answer: Answer, figure: Figure) -> str:
    kpi = answer.kpi
    group = ", ".join(f"{name} {'not told' if value is None else value}" for name, value in figure.group)
    parts = [f"  {group + ': ' if group else ''}{value_text(kpi, figure)}", f"n={figure.n}"]
    if figure.interval is not None:
        low, high = figure.interval
        parts.append(f"95 %: {low * 100:.1f} to {high * 100:.1f} %")
    if figure.steps:
        parts.append("steps " + " > ".join(map(str, figure.steps)))
    target = kpi.target_in(figure.currency)
    if target is not None and not figure.group:
        shown = value_text(kpi, Figure(target, figure.currency)) + (f" per {kpi.per}" if kpi.per else "")
        parts.append(f"target {shown}" + {True: " met", False: " missed", None: ""}[figure.met])
    if answer.previous is not None:
        before = answer.previous.figure(figure.currency, dict(figure.group))
        is_whole = answer.previous.kept_since_ns is None
        parts.append(f"before {value_text(kpi, before) if before else 'none'}{'' if is_whole else ' (incomplete)'}")
    return "  ".join(parts)


def _beside(answer: Answer) -> str:
    told = (
        (answer.hidden, "hidden (traffic of others)"),
        (answer.missing, "amounts missing"),
        (answer.unnamed, "without the subject"),
        (answer.late, "late"),
        (answer.unmatched, "refunds of unknown orders"),
        (answer.pending, "still have time"),
    )
    said = "".join(f"; {number} {what}" for number, what in told if number)
    return said + (f"; no rate for {', '.join(answer.unconverted)}" if answer.unconverted else "")


# --- data -----------------------------------------------------------------------------------------------------------


def answer_data(answer: Answer) -> dict[str, Any]:
    """An answer for ``json.dumps``; money is text, because a double is not exact."""
    calendar = answer.calendar
    told: dict[str, Any] = {
        "kpi": answer.kpi.name,
        "period": _period(answer.period, calendar),
        "time_zone": calendar.time_zone,
        "as_of": moment(answer.as_of_ns, calendar),
        "basis": answer.basis,
        "exact": answer.is_exact,
        "kept_since": None if answer.kept_since_ns is None else moment(answer.kept_since_ns, calendar),
        "total": [_figure(each, calendar) for each in answer.total],
        "groups": [_figure(each, calendar) for each in answer.groups],
        "cohorts": [_figure(each, calendar) for each in answer.cohorts],
    }
    for name in ("suppressed", "hidden", "missing", "unnamed", "late", "unmatched", "pending", "unconverted"):
        told[name] = getattr(answer, name)
    told["sql"] = [{"gives": each.what, "sql": each.text} for each in answer.statements]
    if answer.previous is not None:
        told["previous"] = answer_data(answer.previous)
    return told


def _figure(figure: Figure, calendar: Calendar) -> dict[str, Any]:
    value = str(figure.value) if isinstance(figure.value, Decimal) else figure.value
    told: dict[str, Any] = {"value": value, "n": figure.n}
    if figure.currency:
        told["currency"] = figure.currency
    if figure.group:
        told["group"] = dict(figure.group)
    for name in ("interval", "parts", "steps", "met", "age"):
        if getattr(figure, name) not in (None, ()):
            told[name] = getattr(figure, name)
    if figure.cohort is not None:
        told |= {"cohort": _period(figure.cohort, calendar), "mature": figure.is_mature, "known": figure.is_known}
    return told


def _period(period: Period, calendar: Calendar) -> dict[str, str]:
    return {"since": moment(period.since_ns, calendar), "until": moment(period.until_ns, calendar)}


def kpi_data(kpi: KPI) -> dict[str, Any]:
    """A definition for ``json.dumps``, with what it compiles to."""
    return {
        "name": kpi.name,
        "kind": kpi.kind,
        "owner": kpi.owner,
        "meaning": kpi.meaning,
        "playbook": kpi.playbook,
        "unit": kpi.shown_unit,
        "direction": kpi.direction,
        "target": {currency: str(amount) for currency, amount in kpi.targets.items()},
        "per": kpi.per,
        "by": list(kpi.by),
        "minimum_group": kpi.minimum_group,
        "definition": _plain(kpi.of),
        "facts": {name: fact.key for name, fact in kpi.facts.items()},
        "targets": {target: reason(kpi, target) or "yes" for target in TARGETS},
    }


def kpi_text(kpi: KPI) -> str:
    """A definition in a few lines."""
    target = ", ".join(f"{amount:f} {currency}".rstrip() for currency, amount in kpi.targets.items())
    lines = [
        f"{kpi.name}: {kpi.meaning}",
        f"  {kpi.kind}; owner {kpi.owner}; {kpi.direction} is good",
        f"  of {_said(kpi.of)}",
    ]
    if target:
        lines.append(f"  target {target}{' per ' + kpi.per if kpi.per else ''}")
    if kpi.by:
        lines.append(f"  by {', '.join(kpi.by)}")
    if kpi.playbook:
        lines.append(f"  playbook {kpi.playbook}")
    lines += [f"  {name} is {fact.key}" for name, fact in kpi.facts.items()]
    lines += [f"  not in {target}: {why}" for target in TARGETS if (why := reason(kpi, target))]
    return "\n".join(lines)


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        told = {each.name: _plain(getattr(value, each.name)) for each in fields(value) if each.init}
        kind = getattr(value, "kind", None)
        return {"kind": kind, **told} if kind else told
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in cast("dict[str, Any]", value).items()}
    if isinstance(value, (tuple, list)):
        return [_plain(each) for each in cast("Iterable[Any]", value)]
    return str(value) if isinstance(value, Decimal) else value


def _said(value: Any) -> str:
    """A definition as one line: what is empty is left out."""
    if is_dataclass(value) and not isinstance(value, type):
        told = [(each.name, getattr(value, each.name)) for each in fields(value) if each.init]
        inside = ", ".join(f"{name}={_said(each)}" for name, each in told if each not in ((), None, "", False))
        return f"{type(value).__name__.lower()}({inside})"
    if isinstance(value, tuple):
        return "[" + ", ".join(_said(each) for each in cast("tuple[object, ...]", value)) + "]"
    return str(value)
