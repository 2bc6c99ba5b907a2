"""
From a KPI and a source to figures.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import islice
from typing import Any, Final, Literal

from bizspan.errors import SetupError
from bizspan.kpi._accounts import accounts
from bizspan.kpi._calendar import Calendar, Period
from bizspan.kpi._compile import compiled
from bizspan.kpi._definition import Conversion, Definition, Ratio, Recurring, Retention, Sum
from bizspan.kpi._emit import Statement
from bizspan.kpi._facts import Fact, FactTable
from bizspan.kpi._figure import Answer, Figure
from bizspan.kpi._kpi import KPI, is_converted
from bizspan.kpi._small import too_small, totals
from bizspan.kpi._source import Row, Source, kept_since_ns
from bizspan.kpi._values import Rows, figures_of, is_additive, together
from bizspan.kpi._writer import Asked
from bizspan.vocabulary import Vocabulary

_MOST_BORDERS: Final = 420
_CASTS: Final[Mapping[str, Any]] = {"text": str, "int": int, "float": float}


def evaluate(
    kpi: KPI,
    source: Source,
    period: Period,
    *,
    calendar: Calendar | None = None,
    by: Iterable[str] | None = None,
    compare: Literal["previous"] | Period | None = None,
    as_of_ns: int | None = None,
    beside: bool = True,
) -> Answer:
    """
    The KPI's values in a period.

    Args:
        kpi: What is measured.
        source: Where from.
        period: Of which time; what of it has not gone by is cut off.
        calendar: Whose days; by default UTC's.
        by: Facts to break down by; by default, the KPI's own. Empty for none.
        compare: Also another period: the one before, or this one; as much of it as has gone by of `period`.
        as_of_ns: What was known at this moment; by default, what is known now. Where the engine does not keep when an
            event arrived, what had happened by then.
        beside: Whether also what is said beside them: hidden, missing, late and so on. Without it half of the work is
            saved, and these are None.

    Raises:
        SetupError: When `by` names a fact that is not known, or the source can't answer.
    """
    calendar = calendar or Calendar()
    names_of = tuple(kpi.by if by is None else (by,) if isinstance(by, str) else by)
    now_ns = time.time_ns() if as_of_ns is None else as_of_ns
    facts = _facts(kpi, names_of)
    asked = Asked(kpi, period, now_ns, known_ns=as_of_ns)
    if isinstance(kpi.of, Retention):
        asked = _with_boundaries(asked, kpi.of, calendar)
    answer = _answer(asked, names_of, source, calendar, facts, beside=beside)
    if compare is None:
        return answer
    other = calendar.before(period) if compare == "previous" else compare
    if period.has(now_ns):
        other = other.first(max(1, now_ns - period.since_ns))
    earlier = Asked(kpi, other, earlier_as_of_ns(kpi, period, other, now_ns), known_ns=as_of_ns)
    if isinstance(kpi.of, Retention):
        earlier = _with_boundaries(earlier, kpi.of, calendar)
    return replace(answer, previous=_answer(earlier, names_of, source, calendar, facts, beside=beside))


def earlier_as_of_ns(kpi: KPI, period: Period, other: Period, now_ns: int) -> int:
    """
    As of when a figure of an earlier period stands beside that of a running one.

    Entries and cohorts of today still have time; those of yesterday get no more of it.

    Args:
        kpi: What is measured.
        period: The period that may be running.
        other: The earlier one.
        now_ns: What is now.
    """
    if not (isinstance(kpi.of, (Conversion, Retention)) and period.has(now_ns)):
        return now_ns
    return min(now_ns, other.since_ns + max(1, now_ns - period.since_ns))


def statements(
    kpi: KPI,
    source: Source,
    period: Period,
    *,
    calendar: Calendar | None = None,
    by: Iterable[str] = (),
    as_of_ns: int | None = None,
) -> tuple[Statement, ...]:
    """
    What would be asked of a source, without asking it.

    Args:
        kpi: What is measured.
        source: Only its dialect is used.
        period: Of which time.
        calendar: As for `evaluate`.
        by: As for `evaluate`; by default none.
        as_of_ns: As for `evaluate`.

    Raises:
        SetupError: As `evaluate`.
    """
    names_of = tuple(by)
    asked = Asked(kpi, period, time.time_ns() if as_of_ns is None else as_of_ns, names_of, as_of_ns)
    if isinstance(kpi.of, Retention):
        asked = _with_boundaries(asked, kpi.of, calendar or Calendar())
    facts = _facts(kpi, names_of)
    return (*compiled(asked, source.dialect, facts), *accounts(asked, source.dialect, facts))


def groups(
    kpi: KPI, source: Source, period: Period, by: Iterable[str], as_of_ns: int, known_ns: int
) -> tuple[list[Figure], int]:
    """
    The KPI's values by group alone, without what `evaluate` says beside them: a third of its work.

    Args:
        kpi: What is measured; no retention.
        source: Where from.
        period: Of which time.
        by: Facts to break down by.
        as_of_ns: What happened later is not looked at.
        known_ns: What arrived later is not looked at either.

    Returns:
        The groups that are large enough, and how many are not shown.

    Raises:
        SetupError: As `evaluate`.
    """
    names_of = tuple(by)
    facts = _facts(kpi, names_of)
    asked = Asked(kpi, period, as_of_ns, names_of, known_ns)
    told = compiled(asked, source.dialect, facts)
    rows = [_cast(each, found) for each, found in zip(told, source.rows(told), strict=True)]
    return _shown(kpi, figures_of(asked, names_of, _named(told, rows)).figures)


def _facts(kpi: KPI, by: Sequence[str]) -> Mapping[str, Fact]:
    """What is read, with the facts of this breakdown."""
    if by and isinstance(kpi.of, Retention):
        raise SetupError(f"KPI {kpi.name!r}: retention is broken down by cohorts, not by facts.")
    table = FactTable((kpi.vocabulary,) if isinstance(kpi.vocabulary, Vocabulary) else kpi.vocabulary)
    facts = {**kpi.facts, **{name: table[name] for name in by}}
    wrong = [name for name in by if facts[name].kind == "float"]
    if wrong:
        raise SetupError(f"KPI {kpi.name!r}: the fact {wrong[0]!r} has too many values to break down by.")
    return facts


def _with_boundaries(asked: Asked, definition: Retention, calendar: Calendar) -> Asked:
    """The periods of the cohorts, whole ones, and those that come after them until now."""
    unit = definition.every
    first = calendar.around(asked.period.since_ns, unit)
    borders = [first.since_ns]
    cohorts = 0
    at = first
    while len(borders) <= _MOST_BORDERS:
        borders.append(at.until_ns)
        if at.since_ns < asked.period.until_ns:
            cohorts = len(borders) - 1
        elif len(borders) - 1 >= cohorts + definition.periods:
            break
        if at.until_ns > asked.as_of_ns and at.until_ns >= asked.period.until_ns:
            break
        at = calendar.around(at.until_ns, unit)
    else:
        raise SetupError(f"KPI {asked.kpi.name!r}: over {_MOST_BORDERS} periods; ask for fewer cohorts.")
    return replace(asked, boundaries=tuple(borders), cohorts=cohorts)


def _answer(
    asked: Asked, by: tuple[str, ...], source: Source, calendar: Calendar, facts: Mapping[str, Fact], *, beside: bool
) -> Answer:
    dialect = source.dialect
    total = compiled(asked, dialect, facts)
    grouped = compiled(replace(asked, by=by), dialect, facts) if by else ()
    said = accounts(asked, dialect, facts) if beside else ()
    # Where the groups make up the total, the events are not read a second time.
    adds_up = bool(by) and is_additive(asked.kpi.of)
    asked_for = (*grouped, *said) if adds_up else (*total, *grouped, *said)
    rows = iter(
        [_cast(each, found) for each, found in zip(asked_for, source.rows(asked_for), strict=True)]
    )  # fmt: skip
    rows_of_total: Rows = {} if adds_up else _named(total, islice(rows, len(total)))
    rows_of_groups = _named(grouped, islice(rows, len(grouped)))
    if adds_up:
        rows_of_total = {each.what: together(each, rows_of_groups[each.what]) for each in grouped}
    of_total = figures_of(asked, (), rows_of_total)
    of_groups = figures_of(asked, by, rows_of_groups) if by else None
    said_of = {each.what: found for each, found in zip(said, rows, strict=True)}
    groups, suppressed = _shown(asked.kpi, of_groups.figures if of_groups else ())
    told = _first(said_of.get("accounts"))
    definition: Definition = asked.kpi.of
    # After the rows: what is dropped between both is said too much, not too little.
    kept = kept_since_ns(source, "gauges" if isinstance(definition, Recurring) else "events")
    is_complete = kept <= _needed_since_ns(definition, asked)
    figures, cohorts = of_total.figures, of_total.cohorts
    if not is_complete and isinstance(definition, Retention):
        # Whose first record is dropped looks like somebody new, in each of the cohorts.
        figures, cohorts = [_not_known(each) for each in figures], tuple(_not_known(each) for each in cohorts)
    return Answer(
        kpi=asked.kpi,
        period=asked.period.elapsed(asked.as_of_ns),
        calendar=calendar,
        as_of_ns=asked.as_of_ns,
        known_ns=asked.known_ns if dialect.received else None,
        basis="gauge" if isinstance(definition, Recurring) else "events",
        is_exact=is_complete and not (is_converted(definition) or isinstance(definition, Recurring)),
        total=tuple(_judged(asked, calendar, each) if is_complete else each for each in figures),
        groups=tuple(groups),
        cohorts=cohorts,
        suppressed=suppressed,
        hidden=told.get("hidden"),
        missing=None if told.get("missing") is None else told["missing"] + of_total.unknown,
        unnamed=told.get("unnamed"),
        late=told.get("late") if dialect.received else None,
        unmatched=told.get("unmatched"),
        pending=of_total.pending,
        unconverted=of_total.unconverted,
        kept_since_ns=None if is_complete else kept,
        statements=(*total, *grouped, *said),
    )


def _needed_since_ns(definition: Definition, asked: Asked) -> int:
    """From when on a figure needs what happened: 0 where it looks for the first record ever."""
    if isinstance(definition, Ratio):
        return min(_needed_since_ns(part, asked) for part in (definition.of, definition.to))
    if isinstance(definition, Retention) or (isinstance(definition, Sum) and definition.dated == "order"):
        return 0
    if isinstance(definition, Recurring):
        return max(0, min(asked.period.until_ns, asked.as_of_ns) - definition.stale_ns)
    return asked.period.since_ns


def _not_known(figure: Figure) -> Figure:
    return replace(figure, value=None, n=0, interval=None, parts=None, is_mature=False, is_known=False)


def _named(asked_for: Sequence[Statement], found: Iterable[list[dict[str, Any]]]) -> Rows:
    return {each.what: rows for each, rows in zip(asked_for, found, strict=True)}


def _cast(statement: Statement, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The cells as what they are: engines give whole numbers as texts, or booleans as numbers."""
    return [
        {
            name: None if value is None else _CASTS[kind](value)
            for (name, kind), value in zip(statement.columns, row, strict=True)
        }
        for row in rows
    ]


def _first(rows: Sequence[Mapping[str, Any]] | None) -> dict[str, int]:
    """The one row of a statement without groups; sums over nothing are NULL."""
    return {name: value or 0 for name, value in rows[0].items()} if rows else {}


def _shown(kpi: KPI, figures: Sequence[Figure]) -> tuple[list[Figure], int]:
    """The groups that are not too small, and how many are."""
    if isinstance(kpi.of, Recurring):  # of sets of facts, not of people
        return list(figures), 0
    sizes = {(each.currency, *(value for _, value in each.group)): each.n for each in figures}
    hidden = too_small(sizes, kpi.minimum_group, totals)
    kept = [each for each in figures if (each.currency, *(value for _, value in each.group)) not in hidden]
    return kept, len(figures) - len(kept)


def _judged(asked: Asked, calendar: Calendar, figure: Figure) -> Figure:
    """With whether its target is met."""
    kpi, period = asked.kpi, asked.period
    target = kpi.target_in(figure.currency)
    if target is None or figure.value is None:
        return figure
    if kpi.per:
        whole = calendar.around(period.since_ns, kpi.per)
        if (whole.since_ns, whole.until_ns) != (period.since_ns, period.until_ns):
            return figure
    value = Decimal(str(figure.value)) if isinstance(figure.value, float) else figure.value
    is_met = value >= target if kpi.direction == "up" else value <= target
    is_over = period.until_ns <= asked.as_of_ns
    # While it goes on, what grows has reached its target, or broken its limit, for good.
    is_final = is_over or not kpi.per or (is_met if kpi.direction == "up" else not is_met)
    return replace(figure, met=is_met) if is_final else figure
