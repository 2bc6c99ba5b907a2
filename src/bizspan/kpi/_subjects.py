"""
Statements about subjects over time: conversion and retention.

Written with window functions alone, without a join: one pass over the events, and the same answer on a second run.
ClickHouse 26.9 gives another one for joins of such tables when its cache of conditions is warm.
"""

from __future__ import annotations

from bizspan.kpi._definition import Conversion, Retention
from bizspan.kpi._emit import Cell, Statement
from bizspan.kpi._writer import Writer, flag


def attempts(writer: Writer, definition: Conversion) -> dict[str, str]:
    """
    The tables of attempts: in the last one, the row of the entry has ``place`` 1 and the time of each step, ``time1``
    and so on; NULL for steps that were not reached.
    """
    emit, dialect, asked = writer.emit, writer.dialect, writer.asked
    fits = [
        " AND ".join(each for each in (emit.records(step), emit.customers(step)) if each) for step in definition.steps
    ]
    subject = emit.fact(definition.subject)
    columns = {
        "subject": subject,
        "time": dialect.time,
        "row_id": dialect.row,
        "step": "CASE " + " ".join(f"WHEN {fit} THEN {number}" for number, fit in enumerate(fits, 1)) + " END",
        **writer.grouped(),
    }
    # Later steps may fall after the period's end.
    until_ns = min(writer.until_ns + definition.window_ns + 1, max(asked.as_of_ns, writer.until_ns))
    any_step = "(" + " OR ".join(f"({fit})" for fit in fits) + ")"
    tables = {"records": emit.read(columns, [*writer.within(until_ns=until_ns), any_step, f"{subject} IS NOT NULL"])}

    # At one moment an entry comes first: what happens then belongs to it.
    order = "ORDER BY time, CASE WHEN step = 1 THEN 0 ELSE 1 END, row_id"
    before = f"sum(CASE WHEN step = 1 THEN 1 ELSE 0 END) OVER (PARTITION BY subject {order}"
    entry = f"{before} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"
    attempt = entry if definition.reentry == "each" else f"CASE WHEN {entry} > 0 THEN 1 ELSE 0 END"
    kept = f"subject, time, row_id, step, {writer.by()}"
    tables["attempts"] = f"SELECT {kept}{attempt} AS attempt\n  FROM records"
    each = "OVER (PARTITION BY subject, attempt"
    tables["reached1"] = (
        f"SELECT {kept}attempt, min(CASE WHEN step = 1 THEN time END) {each}) AS time1,\n"
        f"    row_number() {each} {order}) AS place\n  FROM attempts\n  WHERE attempt > 0"
    )
    told = f"{kept}attempt, place, time1, "
    for number in range(2, len(fits) + 1):
        reached = (
            f"min(CASE WHEN step = {number} AND time >= time{number - 1}"
            f" AND time <= time1 + {emit.bind(definition.window_ns)} THEN time END) {each}) AS time{number}"
        )
        tables[f"reached{number}"] = f"SELECT {told}{reached}\n  FROM reached{number - 1}"
        told += f"time{number}, "
    return tables


def conversion(writer: Writer, definition: Conversion, what: str) -> Statement:
    """How many entered, and how many reached each step, by group of the entry."""
    emit, asked = writer.emit, writer.asked
    tables = attempts(writer, definition)
    last = len(definition.steps)
    counts = ", ".join(f"count(time{number}) AS n{number}" for number in range(1, last + 1))
    pending = flag(f"time{last} IS NULL AND time1 + {emit.bind(definition.window_ns)} >= {emit.bind(asked.as_of_ns)}")
    select = (
        f"SELECT {writer.by()}{counts}, sum({pending}) AS pending\nFROM reached{last}\n"
        f"WHERE place = 1 AND time1 < {emit.bind(writer.until_ns)}{writer.group_by()}"
    )
    cells: list[tuple[str, Cell]] = [*((f"n{number}", "int") for number in range(1, last + 1)), ("pending", "int")]
    return emit.statement(what, tables, select, writer.cells(*cells))


def retention(writer: Writer, definition: Retention, what: str) -> Statement:
    """How many subjects of each cohort were seen at each age; at age 0, all."""
    emit, asked = writer.emit, writer.asked
    subject = emit.fact(definition.subject)
    first, again = definition.first, definition.coming_back
    fits = [
        " AND ".join(each for each in (emit.records(records), emit.customers(records)) if each)
        for records in (first, again)
    ]
    columns = {
        "subject": subject,
        "time": writer.dialect.time,
        "is_first": flag(fits[0]),
        "is_back": flag(fits[1]),
    }
    until_ns = min(asked.boundaries[-1], asked.as_of_ns)
    either = " OR ".join(f"({fit})" for fit in dict.fromkeys(fits))
    records = emit.read(columns, [*writer.within(0, until_ns), f"({either})", f"{subject} IS NOT NULL"])
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
    return emit.statement(what, tables, select, [("cohort", "int"), ("age", "int"), ("n", "int")])


def _index(borders: tuple[int, ...], time: str) -> str:
    """Which of the periods a time lies in; -1 before the first."""
    told = " ".join(f"WHEN {time} < {border} THEN {index - 1}" for index, border in enumerate(borders))
    return f"CASE {told} ELSE {len(borders)} END"
