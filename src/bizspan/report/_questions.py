"""
What a report asks beside its KPIs: outcomes and what is at risk, what does not count, surveys, versions, stalled leads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from bizspan import names
from bizspan.vocabulary import Vocabulary

if TYPE_CHECKING:
    from bizspan.kpi import Period, Records, Source, Statement
    from bizspan.kpi._definition import MoneyKind
    from bizspan.kpi._emit import Cell, Emitter

_LOOK_BACK_NS: Final = 30 * 86_400 * 10**9
_RISKY: Final = (names.FAILED, names.REJECTED)
_KINDS: Final[tuple[MoneyKind, ...]] = ("revenue", "refund", "cost", "value", "tax")
MOST_ROWS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Time:
    """
    What is looked at.

    Args:
        period: When it happened.
        as_of_ns: What happened, or arrived, later is not.
    """

    period: Period
    as_of_ns: int

    @property
    def until_ns(self) -> int:
        """The end, as far as it has gone by."""
        return min(self.period.until_ns, max(self.as_of_ns, self.period.since_ns + 1))


def ended(time: Time, source: Source) -> list[dict[str, Any]]:
    """
    Customers' operations: ``operation``, ``outcome``, ``reason``, ``currency``, ``minor`` units at risk, told by
    ``priced`` of them, and ``n`` operations. The money is of those that failed or were rejected.
    """
    from bizspan.kpi._records import Records

    emit = _emitter(source)
    minor = f"coalesce({emit.minor('value')}, {emit.minor('revenue')})"
    currency = (
        f"CASE WHEN {emit.minor('value')} IS NOT NULL THEN {emit.currency('value')}"
        f" WHEN {emit.minor('revenue')} IS NOT NULL THEN {emit.currency('revenue')} END"
    )
    is_risky = emit.among(emit.fact("outcome"), _RISKY)
    columns = {
        "op": emit.fact("operation"),
        "ending": emit.fact("outcome"),
        "why": f"coalesce({emit.fact('reason')}, {emit.fact('error_type')})",
        "cur": f"CASE WHEN {is_risky} THEN {currency} END",
        "units": f"CASE WHEN {is_risky} THEN {minor} END",
        # A second currency of an operation is an event of its own, and no further operation.
        "one": f"CASE WHEN {source.dialect.event_name} = {emit.bind(names.EVENT_OPERATION)} THEN 1 ELSE 0 END",
    }
    named = emit.among(source.dialect.event_name, [names.EVENT_OPERATION, names.EVENT_REVENUE])
    conditions = [*_within(emit, time), named, f"{emit.fact('operation')} IS NOT NULL", emit.customers(Records())]
    select = (
        f"SELECT op, ending, why, cur, {source.dialect.total('coalesce(units, 0)')} AS at_risk,\n"
        "    count(units) AS priced, sum(one) AS runs\nFROM records\nGROUP BY op, ending, why, cur\n"
        f"ORDER BY runs DESC, op, ending, why, cur\nLIMIT {MOST_ROWS}"
    )
    cells: list[tuple[str, Cell]] = [
        ("operation", "text"), ("outcome", "text"), ("reason", "text"), ("currency", "text"), ("minor", "int"),
        ("priced", "int"), ("n", "int"),
    ]  # fmt: skip
    return _ask(source, emit.statement("outcomes", {"records": emit.read(columns, conditions)}, select, cells))


def beside(time: Time, source: Source) -> dict[str, Any]:
    """How many events are ``hidden``, lack an amount (``missing``), or are ``late`` (None where that is not known)."""
    from bizspan.kpi._records import Records

    emit = _emitter(source)
    received = source.dialect.received
    is_over = time.period.until_ns <= time.as_of_ns
    customers = emit.customers(Records())
    # As KPIs count them.
    lacks = " OR ".join(f"{emit.lacks(kind)} OR {emit.is_of_no_currency(kind)}" for kind in _KINDS)
    late = f"{received} >= {emit.bind(time.period.until_ns)}" if received and is_over else "1 = 0"
    columns = {
        "other": f"CASE WHEN {customers} THEN 0 ELSE 1 END",
        "lacks": f"CASE WHEN {lacks} THEN 1 ELSE 0 END",
        "late": f"CASE WHEN {late} THEN 1 ELSE 0 END",
    }
    named = f"{source.dialect.event_name} <> ''"
    tables = {"records": emit.read(columns, [*_within(emit, time), named])}
    select = (
        "SELECT sum(other) AS n_other, sum((1 - other) * lacks) AS n_lacks,\n"
        "    sum((1 - other) * late) AS n_late\nFROM records"
    )
    cells: list[tuple[str, Cell]] = [("hidden", "int"), ("missing", "int"), ("late", "int")]
    (found,) = _ask(source, emit.statement("beside", tables, select, cells)) or [{}]
    told = {name: value or 0 for name, value in found.items()}
    return {**told, "late": told.get("late", 0) if received else None}


def surveys(time: Time, source: Source) -> list[dict[str, Any]]:
    """The questions that customers answered: ``question``, ``n``, and the ``total`` of all scores."""
    from bizspan.kpi._records import Records

    emit = _emitter(source)
    columns = {"asked": emit.fact("question"), "points": emit.fact("score")}
    is_answer = emit.among(source.dialect.event_name, [names.EVENT_FEEDBACK])
    conditions = [*_within(emit, time), is_answer, f"{emit.fact('score')} IS NOT NULL", emit.customers(Records())]
    select = (
        "SELECT asked, count(*) AS n, sum(points) AS total\nFROM records\nGROUP BY asked\n"
        f"ORDER BY n DESC, asked\nLIMIT {MOST_ROWS}"
    )
    cells: list[tuple[str, Cell]] = [("question", "text"), ("n", "int"), ("total", "float")]
    return _ask(source, emit.statement("surveys", {"records": emit.read(columns, conditions)}, select, cells))


def versions(time: Time, source: Source) -> list[dict[str, Any]]:
    """
    The versions whose first event of the last 30 days lies in the time: ``service``, ``version``, ``first`` moment.
    """
    emit = _emitter(source)
    since_ns = max(0, time.period.since_ns - _LOOK_BACK_NS)
    columns = {"serv": emit.fact("service"), "vers": emit.fact("version"), "happened": source.dialect.time}
    conditions = [*_within(emit, time, since_ns), f"{emit.fact('version')} IS NOT NULL"]
    select = (
        "SELECT serv, vers, min(happened) AS first_seen\nFROM records\nGROUP BY serv, vers\n"
        f"HAVING min(happened) >= {emit.bind(time.period.since_ns)}\n"
        f"ORDER BY first_seen, serv, vers\nLIMIT {MOST_ROWS}"
    )
    cells: list[tuple[str, Cell]] = [("service", "text"), ("version", "text"), ("first", "int")]
    return _ask(source, emit.statement("versions", {"records": emit.read(columns, conditions)}, select, cells))


def stalled(
    time: Time, source: Source, first: Records, then: Records, subject: str, within_ns: int,
    vocabularies: Sequence[Vocabulary] = (),
) -> list[str]:  # fmt: skip
    """
    The subjects that did the first thing in the time, and not the other one within this long; sorted.

    Args:
        time: When the first thing happened.
        source: Where from.
        first: What they did, the last time that counts.
        then: What they did not do.
        subject: The fact that tells them apart.
        within_ns: How long they had; who still has time is not in it.
        vocabularies: Declare facts of yours that are named.
    """
    from bizspan.kpi._facts import FactTable

    table = FactTable(vocabularies)
    conditions = [each.fact for records in (first, then) for each in records.where]
    emit = _emitter(source, {name: table[name] for name in (subject, *conditions)})
    fits = [" AND ".join(each for each in (emit.records(of), emit.customers(of)) if each) for of in (first, then)]
    since, until = emit.bind(time.period.since_ns), emit.bind(min(time.until_ns, time.as_of_ns - within_ns))
    columns = {
        "subject": emit.fact(subject),
        "happened": source.dialect.time,
        "entry": f"CASE WHEN {fits[0]} THEN 1 ELSE 0 END",
        "follow": f"CASE WHEN {fits[1]} THEN 1 ELSE 0 END",
    }
    read = emit.read(
        columns,
        [*_within(emit, time, until_ns=time.as_of_ns), f"(({fits[0]}) OR ({fits[1]}))",
         f"{emit.fact(subject)} IS NOT NULL"],
    )  # fmt: skip
    # Who came back later than allowed has moved on all the same, and is not waiting any more.
    select = (
        "SELECT subject\nFROM records\nGROUP BY subject\n"
        "HAVING max(CASE WHEN entry = 1 THEN happened END) IS NOT NULL\n"
        f"    AND max(CASE WHEN entry = 1 THEN happened END) < {until}\n"
        f"    AND max(CASE WHEN entry = 1 THEN happened END) >= {since}\n"
        "    AND coalesce(max(CASE WHEN follow = 1 THEN happened END), -1)\n"
        "        < max(CASE WHEN entry = 1 THEN happened END)\n"
        f"ORDER BY subject\nLIMIT {MOST_ROWS}"
    )
    found = _ask(source, emit.statement("stalled", {"records": read}, select, [("subject", "text")]))
    return [each["subject"] for each in found]


def _emitter(source: Source, facts: Mapping[str, Any] | None = None) -> Emitter:
    from bizspan.kpi._emit import Emitter
    from bizspan.kpi._facts import RECORD_FACTS

    return Emitter(source.dialect, {**RECORD_FACTS, **(facts or {})})


def _within(emit: Emitter, time: Time, since_ns: int | None = None, until_ns: int | None = None) -> list[str]:
    since = emit.bind(time.period.since_ns if since_ns is None else since_ns)
    conditions = [emit.dialect.between(since, emit.bind(time.until_ns if until_ns is None else until_ns))]
    received = emit.dialect.received
    if received:
        conditions.append(f"({received} IS NULL OR {received} <= {emit.bind(time.as_of_ns)})")
    return conditions


_CASTS: Final[Mapping[str, Any]] = {"text": str, "int": int, "float": float}


def _ask(source: Source, statement: Statement) -> list[dict[str, Any]]:
    (rows,) = source.rows([statement])
    return [_named(statement, row) for row in rows]


def _named(statement: Statement, row: Sequence[Any]) -> dict[str, Any]:
    return {
        name: None if value is None else _CASTS[kind](value)
        for (name, kind), value in zip(statement.columns, row, strict=True)
    }
