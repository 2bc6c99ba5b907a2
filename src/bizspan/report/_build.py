"""
From a store to a report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from bizspan import names
from bizspan._currencies import EXPONENTS
from bizspan.errors import SetupError
from bizspan.report import _movers, _questions, _rows, _standard
from bizspan.report._model import Factor, Outcome, Report, Risk, Row, Span

if TYPE_CHECKING:
    from bizspan.kpi import KPI, Answer, Calendar, Period, Source
    from bizspan.lens import Mark

FACTS: Final = ("segment", "country", "campaign")
_MOST_BACK: Final = 12
_RISKY: Final = (names.FAILED, names.REJECTED)


@dataclass(frozen=True, slots=True)
class Request:
    """
    What is reported.

    Args:
        source: Where from.
        calendar: Whose days.
        period: Which time.
        as_of_ns: What happened or arrived later is not in it.
        kpis: By name; none for the standard ones.
        is_compared: Whether with the period before.
        skips_marked: Whether a period with a mark in it is no baseline: the one before it is, then.
        facts: What movers are told apart by.
        marks: Those that are known.
        most: How many movers, and rows of a table, at most.
    """

    source: Source
    calendar: Calendar
    period: Period
    as_of_ns: int
    kpis: Mapping[str, KPI]
    is_compared: bool = True
    skips_marked: bool = True
    facts: Sequence[str] = FACTS
    marks: Sequence[Mark] = ()
    most: int = 10


def build(request: Request) -> Report:
    """
    The report; the same for the same store, request and `as_of_ns`.

    Raises:
        SetupError: The source can't answer, or a fact is not known.
    """
    from bizspan.kpi._source import kept_since_ns

    baseline, skipped = _baseline(request)
    time = _questions.Time(request.period, request.as_of_ns)
    ended = _questions.ended(time, request.source)
    is_standard = not request.kpis
    kpis = request.kpis
    notes: list[str] = []
    if len(ended) >= _questions.MOST_ROWS:
        notes.append(f"Operations ended in over {len(ended):,} ways: the rarest are left out.")
    if is_standard:
        kpis = _standard_kpis(request, baseline, ended)
    asked = _rows.Asked(request.source, request.calendar, request.period, baseline, request.as_of_ns)
    rows: list[Row] = []
    answers: list[Answer] = []
    for kpi in kpis.values():
        try:
            answer = _rows.answered(kpi, asked)
            rows += _rows.rows_of(answer, asked)
            answers.append(answer)
        except SetupError as error:
            rows.append(_rows.failed_row(kpi, str(error)))
    moved: list[Any] = []
    too_small = 0
    if baseline is not None:
        compared = _movers.Comparison(request.source, request.period, baseline, request.as_of_ns)
        moved, too_small = _movers.movers(answers, request.facts, compared)
    elif request.is_compared:
        notes.append("There is no earlier period to compare with: each of the last ones has a mark in it.")
    beside = _questions.beside(time, request.source)
    kept = kept_since_ns(request.source, "events")
    period = request.period.elapsed(request.as_of_ns)
    return Report(
        time_zone=request.calendar.time_zone,
        span=Span(period.since_ns, period.until_ns),
        label=request.period.label,
        as_of_ns=request.as_of_ns,
        baseline=None if baseline is None else _span(baseline),
        skipped=skipped,
        is_standard=is_standard,
        rows=tuple(rows),
        movers=tuple(moved[: request.most]),
        too_small=too_small,
        outcomes=tuple(_outcomes(ended)),
        risks=tuple(_risks(ended)),
        factors=_factors(request, baseline),
        hidden=beside.get("hidden", 0),
        missing=beside.get("missing", 0),
        late=beside["late"],
        notes=tuple(notes),
        kept_since_ns=kept if kept > period.since_ns else None,
    )


def _standard_kpis(request: Request, baseline: Period | None, ended: Sequence[Mapping[str, Any]]) -> dict[str, KPI]:
    """By what there was in either period: an operation that nobody calls any more is news."""
    times = [_questions.Time(each, request.as_of_ns) for each in (request.period, baseline) if each is not None]
    told = [ended, *(_questions.ended(each, request.source) for each in times[1:])]
    operations = dict.fromkeys(str(each["operation"]) for rows in told for each in rows if each["operation"].strip())
    surveys = dict.fromkeys(
        str(each["question"])
        for time in times
        for each in _questions.surveys(time, request.source)
        if (each["question"] or "").strip()
    )
    return _standard.standard(list(operations), list(surveys))


def _span(period: Period) -> Span:
    return Span(period.since_ns, period.until_ns)


# --- what it is compared with ---------------------------------------------------------------------------------------


def _baseline(request: Request) -> tuple[Period | None, tuple[str, ...]]:
    """The period that it is compared with, as long as what has gone by; and those that were left out."""
    if not request.is_compared:
        return None, ()
    period, calendar = request.period, request.calendar
    skipped: list[str] = []
    whole = calendar.before(period)
    for _ in range(_MOST_BACK if request.skips_marked else 1):
        earlier = whole
        if period.has(request.as_of_ns):
            earlier = earlier.first(max(1, request.as_of_ns - period.since_ns))
        found = [mark for mark in request.marks if _overlaps(mark.since_ns, mark.until_ns, earlier)]
        if not found or not request.skips_marked:
            return earlier, tuple(skipped)
        labels = ", ".join(dict.fromkeys(mark.label for mark in found))
        skipped.append(f"{whole.label or 'an earlier period'} is no baseline: {labels}")
        if whole.since_ns == 0:
            break
        whole = calendar.before(whole)
    return None, tuple(skipped)


def _overlaps(since_ns: int, until_ns: int, period: Period) -> bool:
    return since_ns < period.until_ns and until_ns > period.since_ns


def _factors(request: Request, baseline: Period | None) -> tuple[Factor, ...]:
    """Marks of the period and its baseline, and releases of the period."""
    found = [
        Factor(mark.label, mark.kind, Span(mark.since_ns, mark.until_ns), mark.country)
        for mark in request.marks
        if any(_overlaps(mark.since_ns, mark.until_ns, each) for each in (request.period, baseline) if each)
    ]
    time = _questions.Time(request.period, request.as_of_ns)
    for each in _questions.versions(time, request.source):
        label = f"{each['service'] or 'service'} {each['version']}"
        found.append(Factor(label, "release", Span(each["first"], each["first"] + 1), is_automatic=True))
    return tuple(sorted(found, key=lambda each: (each.span.since_ns, each.label, each.kind)))


# --- outcomes and money at risk -------------------------------------------------------------------------------------


def _outcomes(ended: Sequence[Mapping[str, Any]]) -> list[Outcome]:
    from bizspan.kpi._small import wilson

    counts: dict[tuple[str, str, str], int] = {}
    totals: dict[str, int] = {}
    for each in ended:
        key = (each["operation"], each["outcome"] or "", each["reason"] or "")
        counts[key] = counts.get(key, 0) + each["n"]
        totals[key[0]] = totals.get(key[0], 0) + each["n"]
    found = [
        Outcome(*key, n, totals[key[0]], wilson(n, totals[key[0]])) for key, n in counts.items() if n
    ]  # fmt: skip
    return sorted(found, key=lambda each: (-each.of, each.operation, -each.n, each.outcome, each.reason))


def _risks(ended: Sequence[Mapping[str, Any]]) -> list[Risk]:
    """By currency, the largest amount first; then what nobody told an amount of, the most frequent first."""
    from bizspan.kpi._values import major

    unpriced: dict[tuple[str, str, str], int] = {}
    for each in ended:
        if each["outcome"] in _RISKY and each["currency"] not in EXPONENTS:  # none, or one that is none
            key = (each["operation"], each["outcome"], each["reason"] or "")
            unpriced[key] = unpriced.get(key, 0) + each["n"]
    found: list[Risk] = []
    for each in ended:
        if each["outcome"] not in _RISKY or each["currency"] not in EXPONENTS:
            continue
        key = (each["operation"], each["outcome"], each["reason"] or "")
        amount = major(each["minor"], each["currency"])
        found.append(Risk(*key, each["currency"], amount, each["priced"], unpriced=0))
    found.sort(key=lambda each: (each.currency, -(each.amount or 0), each.operation, each.outcome, each.reason))
    without = [Risk(*key, currency="", amount=None, n=0, unpriced=n) for key, n in unpriced.items() if n]
    without.sort(key=lambda each: (-each.unpriced, each.operation, each.outcome, each.reason))
    return [*found, *without]
