"""
A report as tables of plain text: what the text, the Markdown and the HTML are made from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

from bizspan._plain import clean_text
from bizspan.report._model import Factor, Mover, Outcome, Report, Risk, Row, Span

_LONGEST: Final = 80
_MOST_ROWS: Final = 40
_NOT_TOLD: Final = "not told"
_NONE: Final = "-"


@dataclass(frozen=True, slots=True)
class Table:
    """
    One section.

    Args:
        title: Its heading.
        columns: Their headings; those that begin with ``>`` are numbers, and stand to the right.
        rows: Cells, without control characters.
        empty: What is said where there is no row.
        notes: What is said below.
        series: By row, the course of its value; empty where there is none.
        good: By row: whether it is good news, bad news (False), or neither.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    empty: str = ""
    notes: tuple[str, ...] = ()
    series: tuple[tuple[float | None, ...], ...] = ()
    good: tuple[bool | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """A report's head and its tables."""

    title: str
    head: tuple[str, ...]
    tables: tuple[Table, ...]
    notes: tuple[str, ...]


def page_of(report: Report) -> Page:
    """The tables of a report, in order."""
    when = _moments(report.time_zone)
    head = [f"{_span(report.span, when)}, {report.time_zone}, as of {_exactly(report)}"]
    if report.baseline is not None:
        head.append(f"compared with {_span(report.baseline, when)}")
    head += [clean(each) for each in report.skipped]
    if report.source:
        head.append(f"from {clean(report.source)}")
    notes = [*report.notes, _beside(report)]
    if report.kept_since_ns is not None:
        notes.append(f"The store has dropped what happened before {when(report.kept_since_ns)}: it is in none of this.")
    tables = (
        _kpis(report, when),
        _risks(report.risks),
        *(() if report.baseline is None else (_movers(report),)),
        _outcomes(report.outcomes),
        _factors(report.factors, when),
    )
    return Page(f"Report {clean(report.label)}".rstrip(), tuple(head), tables, tuple(notes))


def clean(text: str, limit: int = _LONGEST * 4) -> str:
    """Text of an application that a terminal and a page can show: one line, no controls, of bounded length."""
    plain, _ = clean_text(text, limit)
    return plain


def _exactly(report: Report) -> str:
    zone = _zone(report.time_zone)
    return datetime.fromtimestamp(report.as_of_ns // 10**9, zone).strftime("%Y-%m-%d %H:%M:%S")


def _zone(time_zone: str) -> tzinfo:
    return UTC if time_zone == "UTC" else ZoneInfo(time_zone)


def _moments(time_zone: str) -> Callable[[int], str]:
    zone = _zone(time_zone)

    def moment(time_ns: int) -> str:
        local = datetime.fromtimestamp(time_ns // 10**9, zone)
        return local.strftime("%Y-%m-%d %H:%M")

    return moment


def _span(span: Span, when: Callable[[int], str]) -> str:
    return f"{when(span.since_ns)} to {when(span.until_ns)}"


def _beside(report: Report) -> str:
    told = [f"hidden (traffic of staff, tests and bots) {report.hidden:,}", f"amounts missing {report.missing:,}"]
    if report.late is not None:
        told.append(f"arrived late {report.late:,}")
    return "From events, each counted once: " + ", ".join(told) + "."


# --- KPIs -----------------------------------------------------------------------------------------------------------


def _kpis(report: Report, when: Callable[[int], str]) -> Table:
    is_compared = report.baseline is not None
    columns = ("KPI", ">value", ">n", ">target", "verdict", *((">before", ">change") if is_compared else ()))
    rows = [
        (
            row.kpi,
            row.shown,
            f"{row.n:,}",
            _target(row),
            _verdict(row),
            *((row.before_shown or _NONE, change_text(row)) if is_compared else ()),
        )
        for row in report.rows
    ]
    notes = [f"{row.kpi}: {_interval(row.interval)} at 95 %" for row in report.rows if row.interval is not None]
    notes += _once(
        f"{row.kpi}: an estimate, as it is converted or a gauge's"
        for row in report.rows
        if not row.is_exact and row.kept_since_ns is None
    )
    for what, sinces in (
        ("incomplete, as", {row.kpi: row.kept_since_ns for row in report.rows}),
        ("no change, as", {row.kpi: row.before_kept_since_ns for row in report.rows if row.kept_since_ns is None}),
    ):
        lost = ((kpi, since_ns) for kpi, since_ns in sinces.items() if since_ns is not None)
        notes += (f"{kpi}: {what} the store has dropped what happened before {when(at)}" for kpi, at in lost)
    notes += (f"{row.kpi}: can't be evaluated: {clean(row.error)}" for row in report.rows if row.error)
    notes += _once(f"{row.kpi}: {row.missing:,} amounts missing" for row in report.rows if row.missing)
    notes += _once(f"{row.kpi}: {row.pending:,} still have time" for row in report.rows if row.pending)
    if report.is_standard:
        notes.append("No KPI is declared: these are the standard ones.")
    return Table(
        "KPIs", columns, tuple(rows), "No KPI has a value.", tuple(notes),
        tuple(row.series for row in report.rows), tuple(row.met for row in report.rows),
    )  # fmt: skip


def _once(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))


def _target(row: Row) -> str:
    return f"{row.target_shown}{f' a {row.per}' if row.per else ''}" if row.target is not None else _NONE


def _verdict(row: Row) -> str:
    if row.error:
        return "failed"
    if row.met is None:
        return "open" if row.target is not None else ""
    verdict = "met" if row.met else "missed"
    if row.met_parts is None:
        return verdict
    unit = row.currency and f" {row.currency}"
    return f"{verdict}: {row.mean:,}{unit} a {row.per}, {row.met_parts[0]} of {row.met_parts[1]} {row.per}s met"


def change_text(row: Row) -> str:
    """The change, for people."""
    if row.change is None:
        return _NONE
    return f"{row.change * 100:+.1f} {'points' if row.is_rate else '%'}"


def _interval(interval: tuple[float, float]) -> str:
    return f"{interval[0] * 100:.1f} to {interval[1] * 100:.1f} %"


# --- the others -----------------------------------------------------------------------------------------------------


def _risks(risks: Sequence[Risk]) -> Table:
    rows = tuple(
        (
            clean(each.operation), each.outcome, clean(each.reason) or _NOT_TOLD,
            _NONE if each.amount is None else f"{each.amount:,} {each.currency}",
            f"{each.n:,}", f"{each.unpriced:,}",
        )
        for each in risks[:_MOST_ROWS]
    )  # fmt: skip
    totals: dict[str, Decimal] = {}
    for each in risks:
        if each.amount is not None:
            totals[each.currency] = totals.get(each.currency, Decimal(0)) + each.amount
    notes = [f"{amount:,} {currency} in all" for currency, amount in sorted(totals.items())] + _more(risks)
    columns = ("operation", "outcome", "reason", ">at risk", ">with an amount", ">without")
    return Table("Revenue at risk", columns, rows, "Nothing failed or was rejected.", tuple(notes))


def _more(rows: Sequence[object]) -> list[str]:
    left = len(rows) - _MOST_ROWS
    return [f"{left:,} more lines in JSON and CSV"] if left > 0 else []


def _movers(report: Report) -> Table:
    rows = tuple(
        (
            each.kpi, f"{each.fact} {_NOT_TOLD if each.value is None else clean(each.value)}",
            each.before_shown, each.now_shown, f"{each.n_before:,} > {each.n:,}", f"{each.impact * 100:+.1f} %",
            _chance(each),
        )
        for each in report.movers
    )  # fmt: skip
    notes: list[str] = []
    if report.movers:
        notes.append("Impact is by how much the group moves the KPI. Slices describe; they prove no cause.")
    if report.too_small:
        notes.append(f"{report.too_small:,} groups are too small to be compared, in one of the two periods at least.")
    columns = ("KPI", "group", ">before", ">now", ">n", ">impact", "chance")
    good = tuple(each.is_good for each in report.movers)
    return Table("Movers", columns, rows, "No group that is large enough has moved.", tuple(notes), good=good)


def _chance(mover: Mover) -> str:
    return {True: "beyond", False: "within", None: ""}[mover.is_clear]


def _outcomes(outcomes: Sequence[Outcome]) -> Table:
    rows = tuple(
        (
            clean(each.operation), clean(each.outcome) or _NOT_TOLD, clean(each.reason) or _NONE, f"{each.n:,}",
            f"{each.n / each.of * 100:.1f} %", _NONE if each.interval is None else _interval(each.interval),
        )
        for each in outcomes[:_MOST_ROWS]
    )  # fmt: skip
    columns = ("operation", "outcome", "reason", ">n", ">share", ">95 %")
    return Table("Outcomes", columns, rows, "No operation in this time.", tuple(_more(outcomes)))


def _factors(factors: Sequence[Factor], when: Callable[[int], str]) -> Table:
    rows = tuple(
        (
            clean(each.label), each.kind,
            when(each.span.since_ns) if each.span.until_ns - each.span.since_ns <= 1 else _span(each.span, when),
            each.country or "everywhere",
        )
        for each in factors[:_MOST_ROWS]
    )  # fmt: skip
    return Table("Marks", ("what", "kind", "when", "where"), rows, "No mark in this time.", tuple(_more(factors)))
