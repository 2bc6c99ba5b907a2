"""
What is said around a comparison: its title, and what to know of what it compares.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from bizspan._plain import clean_text
from bizspan.kpi._calendar import Period
from bizspan.kpi._compared import Comparison, Line
from bizspan.kpi._design import Design
from bizspan.kpi._render import moment

_LIMIT: Final = 80
_HOUR_NS: Final = 3_600 * 10**9
BESIDE: Final = (
    ("hidden", "records of others than customers are left out"),
    ("missing", "amounts are missing, because they were refused"),
    ("unnamed", "records do not tell the unit"),
    ("crossed", "units were in both arms, and count for the one that they met first"),
)
_NOT_RANDOMISED: Final = "not randomised: whatever else changed at that moment is in these differences"


def clean(text: str) -> str:
    """What a store holds as one line, without controls, of bounded length."""
    return clean_text(text, _LIMIT)[0]


def name_of(line: Line) -> str:
    """The KPI's name, with its currency."""
    return f"{line.kpi.name} {line.currency}".rstrip()


def title_of(comparison: Comparison) -> str:
    """What is compared with what."""
    design = comparison.design
    _, period = design.windows[0]
    until = until_ns_of(period, comparison)
    when = " to ".join(moment(at, design.calendar) for at in (period.since_ns, until))
    if design.is_concurrent:
        return f"{design.by} {clean(design.candidate)} against {clean(design.baseline)}, the same minutes of {when}"
    before = len(design.windows) - 1
    return f"{when} against the same weekdays and hours, {before} times before"


def until_ns_of(period: Period, comparison: Comparison) -> int:
    """How far it has gone by; nothing of it, where it has not begun."""
    return max(period.since_ns, min(period.until_ns, comparison.as_of_ns))


def notes_of(comparison: Comparison) -> Iterator[str]:
    """What to know of it, a sentence each."""
    design = comparison.design
    if comparison.absent:
        seen = ", ".join(f"{clean(name)} ({n:,})" for name, n in comparison.seen.items()) or "none"
        what = " and ".join(clean(arm) for arm in comparison.absent)
        where = f" of {design.by}" if design.by else ""
        yield f"no record{where} {what} in this time; records: {seen}"
        yield from _left_out(design)
        return
    if not design.is_concurrent:
        yield _NOT_RANDOMISED
        yield from _left_out(design)
        yield from _not_there(comparison)
    many = f" of all {comparison.tests} together" if comparison.tests > 1 else ""
    what = "hold" if design.is_concurrent else "cover chance, and how weeks differ by themselves,"
    yield f"the intervals{many} {what} with {(1 - comparison.alpha) * 100:g} %, however often one looks"
    if any(line.slices for line in comparison.lines):
        yield "slices describe; they have no verdict"
    suppressed = sum(line.suppressed for line in comparison.lines)
    if suppressed:
        yield f"{suppressed} slices are not shown: too small, or they would give a small one away"
    yield from (said for line in comparison.lines for said in _unmatched(line))
    for what, said in BESIDE:
        told: dict[int, list[str]] = {}
        for line in comparison.lines:
            if line.beside.get(what):
                told.setdefault(line.beside[what], []).append(name_of(line))
        yield from (f"{n:,} {said}: {', '.join(names)}" for n, names in told.items())


def _unmatched(line: Line) -> Iterator[str]:
    if line.difference is None or not line.difference.unmatched:
        return
    units = f"{line.difference.unmatched:,} units"
    if line.hours is None:
        yield f"{name_of(line)}: {units} had nobody of the other arm beside them"
        return
    matched, many = line.hours
    alone = many - matched
    yield (
        f"{name_of(line)}: {alone} of {many} hours (by weekday) {'has' if alone == 1 else 'have'} records on one side"
        f" alone, so that {units} are left out"
    )


def _left_out(design: Design) -> Iterator[str]:
    if not design.left_out:
        return
    n, left = len(design.windows) - 1, len(design.left_out)
    hours = sum(hours_of(each.period) for each in design.left_out)
    yield (
        f"marked, so left out of what came before: {left} {'time' if left == 1 else 'times'} ({hours:g} h); {n} without"
        f" a mark {'is' if n == 1 else 'are'} compared with"
    )
    for each in design.left_out:
        since, until = (moment(at, design.calendar) for at in (each.period.since_ns, each.period.until_ns))
        labels = ", ".join(clean(label) for label in each.labels)
        yield f"left out: {since} to {until} ({hours_of(each.period):g} h), {labels}"


def _not_there(comparison: Comparison) -> Iterator[str]:
    """Times before that have nothing, or not everything."""
    calendar = comparison.design.calendar
    many = len(comparison.before)
    empty = [period for period, n in comparison.before if not n]
    if empty:
        told = ", ".join(moment(each.since_ns, calendar) for each in empty)
        yield f"no record in {len(empty)} of {many} times before, so nothing to compare with: from {told}"
    partial = [period for period, n in comparison.before if n and comparison.is_incomplete(period)]
    if partial:
        told = ", ".join(moment(each.since_ns, calendar) for each in partial)
        since = moment(comparison.kept_since_ns, calendar)
        yield (
            f"the store has dropped what happened before {since}: {len(partial)} of {many} times before"
            f" {'is' if len(partial) == 1 else 'are'} incomplete: from {told}"
        )


def hours_of(period: Period) -> float:
    """How long it is."""
    return round((period.until_ns - period.since_ns) / _HOUR_NS, 2)
