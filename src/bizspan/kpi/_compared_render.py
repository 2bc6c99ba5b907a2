"""
A comparison as text for a terminal, as Markdown for a pull request, and as data for programs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isfinite
from typing import Any, Final

from bizspan._currencies import EXPONENTS
from bizspan.kpi._compared import Comparison, Line, Slice, good_of
from bizspan.kpi._compared_notes import BESIDE, clean, hours_of, name_of, notes_of, title_of, until_ns_of
from bizspan.kpi._render import moment

FORMAT: Final = 1  # of the JSON; grows when a key goes or changes its meaning


# --- one line ---------------------------------------------------------------------------------------------------------


def _number(line: Line, value: float | None, is_difference: bool = False) -> str:
    """A value as people write it."""
    if value is None or not isfinite(value):
        return "-"
    sign = "+" if is_difference else ""
    if line.plan is not None and (line.plan.measure == "rate" or line.kpi.is_rate):
        return f"{value * 100:{sign}.1f}{'' if is_difference else ' %'}"
    if line.currency and line.kpi.is_money:
        return f"{value:{sign},.{EXPONENTS[line.currency]}f}"
    return f"{value:{sign},.4g}"


def _unit(line: Line) -> str:
    """What a difference is in."""
    if line.plan is None:
        return ""
    is_rate = line.plan.measure == "rate" or line.kpi.is_rate
    return "points" if is_rate else line.currency if line.kpi.is_money else ""


def _interval(line: Line) -> str:
    found = line.difference
    if found is None or not isfinite(found.low):
        return "-"
    return f"{_number(line, found.low, True)} to {_number(line, found.high, True)}"


def _cells(line: Line) -> tuple[str, ...]:
    """What stands in a line: name, both values, difference, interval, units, verdict, and what explains it."""
    found = line.difference
    if found is None:
        return name_of(line), "-", "-", "-", "-", "-", line.verdict, line.reason
    per = line.plan.per if line.plan is not None else ""
    if line.per_hour is not None and line.verdict in ("better", "worse"):
        per += f", about {line.per_hour:+,.0f} {line.currency}/h"
    return (
        name_of(line),
        _number(line, found.baseline),
        _number(line, found.candidate),
        f"{_number(line, found.value, True)} {_unit(line)}".rstrip(),
        _interval(line),
        f"{found.of_baseline:,} / {found.of_candidate:,}",
        line.verdict,
        f"{per}{': ' if line.reason else ''}{line.reason}",
    )


def _slice_cells(line: Line, each: Slice) -> tuple[str, ...]:
    found = each.difference
    value = "not told" if each.value is None else clean(each.value)
    return (
        f"  {each.fact} {value}",
        _number(line, found.baseline),
        _number(line, found.candidate),
        f"{_number(line, found.value, True)} {_unit(line)}".rstrip(),
        "",
        f"{found.of_baseline:,} / {found.of_candidate:,}",
        "",
        "",
    )


def _rows(comparison: Comparison) -> Iterator[tuple[str, ...]]:
    design = comparison.design
    level = f"{(1 - comparison.alpha) * 100:g} %"
    yield "KPI", clean(design.baseline), clean(design.candidate), "difference", level, "n", "verdict", ""
    for line in comparison.lines:
        yield _cells(line)
        yield from (_slice_cells(line, each) for each in line.slices)


# --- the whole of it --------------------------------------------------------------------------------------------------


def verdict_of(comparison: Comparison) -> str:
    """The verdict over all: worse where anything is, better where something is and nothing is worse."""
    verdicts = {line.verdict for line in comparison.lines}
    return next((each for each in ("worse", "better", "unclear") if each in verdicts), "too few")


def _last(comparison: Comparison) -> str:
    verdict = verdict_of(comparison)
    those = [name_of(line) for line in comparison.lines if line.verdict == verdict]
    return f"{verdict}: {', '.join(those)}" if verdict in ("worse", "better") else verdict


def as_text(comparison: Comparison, encoding: str = "utf-8", source: str = "") -> str:
    """
    A line for each KPI, and the verdict in the last one.

    Args:
        comparison: What was found.
        encoding: Of the stream; what it can't write is replaced.
        source: Where the events are.
    """
    lines = [title_of(comparison), *([f"from {source}"] if source else []), ""]
    if comparison.lines:
        rows = list(_rows(comparison))
        widths = [max(len(row[column]) for row in rows) for column in range(7)]
        lines += ["  ".join(_aligned(row, widths)).rstrip() for row in rows]
        lines.append("")
    lines += [*notes_of(comparison), _last(comparison)]
    return "\n".join(lines).encode(encoding, "replace").decode(encoding)


def _aligned(row: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    for column, cell in enumerate(row):
        width = widths[column] if column < len(widths) else 0
        yield cell.rjust(width) if 1 <= column <= 5 else cell.ljust(width)


def as_markdown(comparison: Comparison, source: str = "") -> str:
    """The same as a table, for a pull request or a job's summary."""
    title = f"{title_of(comparison)}{', from ' if source else ''}{source}"
    lines = [f"**{_escaped(_last(comparison))}**", "", _escaped(title), ""]
    if comparison.lines:
        head, *rows = _rows(comparison)
        lines += [_row(head), "|---|---:|---:|---:|---:|---:|---|---|", *map(_row, rows), ""]
    lines += [f"- {_escaped(note)}" for note in notes_of(comparison)]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_escaped(cell) for cell in cells) + " |"


def _escaped(text: str) -> str:
    # What a store holds is anybody's text: no table cell, HTML or link of its own.
    for letter in "\\|<>[]*_`":
        text = text.replace(letter, f"\\{letter}" if letter not in "<>" else {"<": "&lt;", ">": "&gt;"}[letter])
    return text


# --- data -------------------------------------------------------------------------------------------------------------


def as_data(comparison: Comparison, exit_code: int) -> dict[str, Any]:
    """
    For ``json.dumps``; money is in major units.

    Args:
        comparison: What was found.
        exit_code: Of the process.
    """
    design = comparison.design
    return {
        "format": FORMAT,
        "exit_code": exit_code,
        "verdict": verdict_of(comparison),
        "by": design.by or None,
        "baseline": design.baseline,
        "candidate": design.candidate,
        "concurrent": design.is_concurrent,
        "windows": [
            {
                "arm": arm or None,
                "since": moment(period.since_ns, design.calendar),
                "until": moment(until_ns_of(period, comparison), design.calendar),
                "records": n,
                "incomplete": comparison.is_incomplete(period),
            }
            for (arm, period), n in zip(design.windows, comparison.windows, strict=True)
        ],
        "left_out": [
            {
                "since": moment(each.period.since_ns, design.calendar),
                "until": moment(each.period.until_ns, design.calendar),
                "hours": hours_of(each.period),
                "marks": list(each.labels),
            }
            for each in design.left_out
        ],
        "time_zone": design.calendar.time_zone,
        "as_of": moment(comparison.as_of_ns, design.calendar),
        "alpha": comparison.alpha,
        "tests": comparison.tests,
        "records": dict(comparison.seen),
        "notes": list(notes_of(comparison)),
        "kpis": [_line_data(line) for line in comparison.lines],
    }


def _line_data(line: Line) -> dict[str, Any]:
    plan, found = line.plan, line.difference
    told: dict[str, Any] = {
        "kpi": line.kpi.name,
        "meaning": line.kpi.meaning,
        "owner": line.kpi.owner,
        "playbook": line.kpi.playbook,
        "direction": good_of(line.kpi, plan),
        "currency": line.currency or None,
        "measure": plan.measure if plan else None,
        "unit": plan.unit if plan else None,
        "per": plan.per if plan else None,
        "verdict": line.verdict,
        "reason": line.reason or None,
    }
    if found is not None:
        crude = line.crude if line.crude else (None, None)
        told |= {
            "baseline": found.baseline, "candidate": found.candidate, "difference": found.value,
            "low": _finite(found.low), "high": _finite(found.high), "p": found.p,
            "n_baseline": found.of_baseline, "n_candidate": found.of_candidate, "unmatched": found.unmatched,
            "hours_matched": line.hours[0] if line.hours else None, "hours": line.hours[1] if line.hours else None,
            "per_hour": line.per_hour, "crude_baseline": crude[0], "crude_candidate": crude[1],
        }  # fmt: skip
        told |= {what: line.beside.get(what, 0) for what, _ in BESIDE}
        told["slices"] = [_slice_data(each) for each in line.slices]
        told["slices_suppressed"] = line.suppressed
    return told


def _slice_data(each: Slice) -> dict[str, Any]:
    found = each.difference
    return {
        "fact": each.fact, "value": each.value, "baseline": found.baseline, "candidate": found.candidate,
        "difference": found.value, "n_baseline": found.of_baseline, "n_candidate": found.of_candidate,
    }  # fmt: skip


def _finite(value: float) -> float | None:
    return value if isfinite(value) else None
