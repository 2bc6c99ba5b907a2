"""
Statements about subjects over time: conversion and retention.

Written with window functions alone, without a join: one pass over the events, and the same answer on a second run.
ClickHouse 26.9 gives another one for joins of such tables when its cache of conditions is warm.
"""

from __future__ import annotations

from functools import partial

from bizspan.kpi import _folds_of_subjects as folds
from bizspan.kpi._definition import Conversion, Retention
from bizspan.kpi._emit import Cell, Statement
from bizspan.kpi._fold import Fold
from bizspan.kpi._slices import Column, digit
from bizspan.kpi._writer import Writer, any_of, bit, both, flag


def paths(writer: Writer, definition: Conversion) -> dict[str, str]:
    """
    The tables of attempts: the last one, ``paths``, has a row for each, with the earliest time of each step, ``at1``
    and so on (NULL where it was not reached, later than the window where it came too late), and the entry's groups,
    ``of_g0`` and so on.
    """
    emit, dialect = writer.emit, writer.dialect
    subject, fits, conditions = _steps(writer, definition)
    step = "CASE " + " ".join(f"WHEN {fit} THEN {number}" for number, fit in enumerate(fits, 1)) + " END"
    columns = {"subject": subject, "time": dialect.time, "row_id": dialect.row, "step": step, **writer.grouped()}
    within = writer.within(until_ns=_until(writer, definition))
    tables = {"records": emit.read(columns, [*within, *conditions])}

    # At one moment an entry comes first: what happens then belongs to it.
    order = "ORDER BY time, CASE WHEN step = 1 THEN 0 ELSE 1 END, row_id"
    entry = (
        f"sum(CASE WHEN step = 1 THEN 1 ELSE 0 END) OVER (PARTITION BY subject {order}"
        " ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"
    )
    tables["entries"] = f"SELECT subject, time, step, {writer.by()}{entry} AS entry\n  FROM records"
    # Entries are counted through; where only the first counts, all that follows belongs to it.
    attempt = "entry" if definition.reentry == "each" else "1"
    told = f"subject, time, step, {writer.by()}entry, attempt"
    # Further entries say nothing where only the first counts: what is not kept need not be sorted by subject again.
    kept = "entry > 0" if definition.reentry == "each" else "entry = 1 OR (entry > 1 AND step > 1)"
    tables["reached1"] = f"SELECT {told.removesuffix('attempt')}{attempt} AS attempt\n  FROM entries\n  WHERE {kept}"
    last = len(definition.steps)
    for number in range(2, last):
        reached = f"min({_at(number)}) OVER (PARTITION BY subject, attempt) AS time{number}"
        tables[f"reached{number}"] = f"SELECT {told}, {reached}\n  FROM reached{number - 1}"
        told += f", time{number}"
    # Under names of their own: an alias that is also a column's name is taken for the aggregate by ClickHouse.
    times = [
        f"min({_at(1)}) AS at1",
        *(f"min(time{number}) AS at{number}" for number in range(2, last)),
        f"min({_at(last)}) AS at{last}",
    ]
    groups = "".join(
        f"max(CASE WHEN step = 1 AND entry = attempt THEN {alias} END) AS of_{alias}, " for alias in writer.groups
    )
    tables["paths"] = (
        f"SELECT subject, attempt, {groups}{', '.join(times)}\n  FROM reached{last - 1}\n  GROUP BY subject, attempt"
    )
    return tables


def _steps(writer: Writer, definition: Conversion) -> tuple[str, list[str], list[str]]:
    """The subject, the condition of each step, and the conditions of records that are one."""
    emit = writer.emit
    fits = [both([emit.records(step), emit.customers(step)]) for step in definition.steps]
    subject = emit.fact(definition.subject)
    return subject, fits, ["(" + " OR ".join(f"({fit})" for fit in fits) + ")", f"{subject} IS NOT NULL"]


def _until(writer: Writer, definition: Conversion) -> int:
    """Later steps may fall after the period's end."""
    return min(writer.until_ns + definition.window_ns + 1, max(writer.asked.as_of_ns, writer.until_ns))


def _fold_of_paths(writer: Writer, definition: Conversion) -> Fold | None:
    emit, subject = writer.emit, writer.emit.fact(definition.subject)
    among = [emit.records(step) for step in definition.steps]
    customers = [emit.customers(step) for step in definition.steps]
    cases = " ".join(
        f"WHEN {fit} THEN '{digit(number)}'"
        for number, fit in enumerate((both(pair) for pair in zip(among, customers, strict=True)), 1)
    )
    step = f"CASE WHEN {subject} IS NULL THEN '0' {cases} ELSE '0' END"
    if len(set(customers)) == 1:
        # What is read is one of them: the last need not be looked at again.
        cases = " ".join(f"WHEN {fit} THEN '{digit(number)}'" for number, fit in enumerate(among[:-1], 1))
        is_one = both([*customers[:1], f"{subject} IS NOT NULL"])
        step = f"CASE WHEN {is_one} THEN CASE {cases} ELSE '{digit(len(among))}' END ELSE '0' END"
    asked = folds.Steps(len(definition.steps), definition.window_ns, writer.until_ns, writer.asked.as_of_ns)
    kind = folds.EachConversion if definition.reentry == "each" else folds.FirstConversion
    return writer.fold(
        [Column(f"coalesce({subject}, '')", is_told=True), Column(writer.dialect.time, is_told=True),
         Column(step, "digit"), Column(writer.dialect.row, "int", is_told=True, is_seldom=True)], [any_of(among)],
        partial(kind, asked, has_groups=bool(writer.groups)),
        until_ns=_until(writer, definition), facts=[definition.subject],
    )  # fmt: skip


def conversion(writer: Writer, definition: Conversion, what: str) -> Statement:
    """How many entered, and how many reached each step, by group of the entry."""
    emit, asked = writer.emit, writer.asked
    tables = paths(writer, definition)
    last = len(definition.steps)
    # The earliest of a step decides: when it is outside the window, so are all others.
    window = emit.bind(definition.window_ns)
    counts = ", ".join(f"sum({flag(f'at{number} <= at1 + {window}')}) AS n{number}" for number in range(1, last + 1))
    is_open = f"(at{last} IS NULL OR at{last} > at1 + {window}) AND at1 + {window} >= {emit.bind(asked.as_of_ns)}"
    shown = "".join(f"of_{alias} AS {alias}, " for alias in writer.groups)
    select = (
        f"SELECT {shown}{counts}, sum({flag(is_open)}) AS pending\nFROM paths\nWHERE at1 < {emit.bind(writer.until_ns)}"
    )
    if writer.groups:
        select += "\nGROUP BY " + ", ".join(f"of_{alias}" for alias in writer.groups)
    cells: list[tuple[str, Cell]] = [*((f"n{number}", "int") for number in range(1, last + 1)), ("pending", "int")]
    return emit.statement(what, tables, select, writer.cells(*cells), _fold_of_paths(writer, definition))


def _at(step: int) -> str:
    """The time of a record that is this step; of a later one, where it does not come before the one before it."""
    after = f" AND time >= time{step - 1}" if step > 2 else ""  # an attempt begins with its first step
    return f"CASE WHEN step = {step}{after} THEN time END"


def retention(writer: Writer, definition: Retention, what: str) -> Statement:
    """How many subjects of each cohort were seen at each age; at age 0, all."""
    emit, asked = writer.emit, writer.asked
    subject = emit.fact(definition.subject)
    first, again = definition.first, definition.coming_back
    fits = [both([emit.records(records), emit.customers(records)]) for records in (first, again)]
    columns = {
        "subject": subject,
        "time": writer.dialect.time,
        "is_first": flag(fits[0]),
        "is_back": flag(fits[1]),
    }
    until_ns = min(asked.boundaries[-1], asked.as_of_ns)
    either = " OR ".join(f"({fit})" for fit in dict.fromkeys(fits))
    conditions = [f"({either})", f"{subject} IS NOT NULL"]
    records = emit.read(columns, [*writer.within(0, until_ns), *conditions])
    entered = "min(CASE WHEN is_first = 1 THEN time END) OVER (PARTITION BY subject) AS entered"
    tables = {
        "records": records,
        "subjects": f"SELECT subject, time, is_back, {entered}\n  FROM records",
        "visits": (
            f"SELECT subject, is_back, {_index(asked.boundaries, 'entered')} AS cohort,\n"
            f"    {_index(asked.boundaries, 'time')} AS seen\n  FROM subjects\n  WHERE entered IS NOT NULL"
        ),
    }
    select = (
        "SELECT cohort, seen - cohort AS age, count(DISTINCT subject) AS n\nFROM visits\n"
        f"WHERE cohort >= 0 AND cohort < {asked.cohorts} AND seen >= cohort AND seen - cohort <= {definition.periods}\n"
        "    AND (is_back = 1 OR seen = cohort)\nGROUP BY cohort, seen - cohort"
    )
    is_known = f"{subject} IS NOT NULL"
    fold = writer.fold(
        [Column(f"coalesce({subject}, '')", is_told=True), Column(writer.dialect.time, "int", is_told=True),
         *(Column(bit(both([is_known, fit])), "digit") for fit in fits)],
        [any_of([emit.records(records) for records in (first, again)])],
        partial(folds.Retention, asked.boundaries, asked.cohorts, definition.periods),
        since_ns=0, until_ns=until_ns, facts=[definition.subject],
    )  # fmt: skip
    return emit.statement(what, tables, select, [("cohort", "int"), ("age", "int"), ("n", "int")], fold)


def _index(borders: tuple[int, ...], time: str) -> str:
    """Which of the periods a time lies in; -1 before the first."""
    told = " ".join(f"WHEN {time} < {border} THEN {index - 1}" for index, border in enumerate(borders))
    return f"CASE {told} ELSE {len(borders)} END"
