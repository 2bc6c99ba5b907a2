"""
What is said beside a KPI's value: how many records count, are hidden, lack an amount or a subject, or came late.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from bizspan.kpi import _folds, _folds_of_orders
from bizspan.kpi._definition import (
    AverageOrderValue,
    Conversion,
    Count,
    Definition,
    Distinct,
    MoneyKind,
    Quantile,
    Ratio,
    Recurring,
    Retention,
    Sum,
)
from bizspan.kpi._dialect import Dialect
from bizspan.kpi._emit import Cell, Statement
from bizspan.kpi._facts import Fact
from bizspan.kpi._fold import Fold
from bizspan.kpi._records import Records
from bizspan.kpi._slices import Column
from bizspan.kpi._writer import Asked, Writer, any_of, bit, flag

Selected = Sequence[tuple[Records, "MoneyKind | None"]]


def accounts(asked: Asked, dialect: Dialect, facts: Mapping[str, Fact]) -> tuple[Statement, ...]:
    """
    The statements that give what is said beside a KPI's value; none for a gauge.

    Args:
        asked: What is asked.
        dialect: The engine's.
        facts: What it reads, by the names that the KPI uses.
    """
    definition = asked.kpi.of
    told = selected(definition)
    if not told:
        return ()
    by_order = isinstance(definition, Sum) and definition.dated == "order"
    subject = definition.subject if isinstance(definition, (Distinct, Conversion, Retention)) else ""
    return (_accounts(Writer(dialect, asked, facts), told, subject, by_order),)


def selected(definition: Definition) -> list[tuple[Records, MoneyKind | None]]:
    """The records that a definition reads, and the amount that it reads of them."""
    match definition:
        case Sum() | AverageOrderValue():
            return [(definition.of, definition.money)]
        case Count() | Distinct() | Quantile():
            return [(definition.of, None)]
        case Ratio():
            return [*selected(definition.of), *selected(definition.to)]
        case Conversion():
            return [(step, None) for step in definition.steps]
        case Retention():
            return [(definition.first, None), (definition.coming_back, None)]
        case Recurring():
            return []


def _accounts(writer: Writer, told: Selected, subject: str, by_order: bool) -> Statement:
    emit, dialect, asked = writer.emit, writer.dialect, writer.asked
    fits = [emit.records(records, money) for records, money in told]
    customers = [emit.customers(records) for records, _ in told]
    if len(set(customers)) == 1:
        shown = customers[0]  # the rest of it is what is read
    else:
        pairs = zip(fits, customers, strict=True)
        shown = _either(["(" + " AND ".join(each for each in pair if each) + ")" for pair in pairs])
    missing = _either([emit.lacks(money) for _, money in told if money is not None])
    is_over = asked.period.until_ns <= asked.as_of_ns
    beside = {
        "missing": missing,
        "unnamed": f"{emit.fact(subject)} IS NULL" if subject else "",
        "late": f"{dialect.received} >= {emit.bind(asked.period.until_ns)}" if dialect.received and is_over else "",
    }
    # A condition is written out wherever its column is used: what can't be so is left out.
    columns = {
        "shown": flag(shown) if shown else "1",
        **{name: flag(condition) for name, condition in beside.items() if condition},
    }
    among = any_of(fits)
    cells: list[tuple[str, Cell]] = [(name, "int") for name in ("n", "hidden", *beside)]
    weight, fold = "shown", None
    sums = ["sum(shown) AS n", "count(*) - sum(shown) AS hidden"]
    if by_order:
        tables, sold = writer.sold(columns, among)
        kind = partial(_folds_of_orders.DatedAccounts, told=[*map(bool, beside.values())])
        rest = [Column(bit(each), "digit") for each in (shown or "1 = 1", *beside.values()) if each]
        fold = writer.fold_of_dated(among, kind, rest, by=False)
        since, until = emit.bind(asked.period.since_ns), emit.bind(writer.until_ns)
        # Refunds of the period whose order was never sold, as far as is known.
        unsold = f"sold IS NULL AND time >= {since} AND time < {until}"
        tables["records"] = f"SELECT *, {flag(sold)} AS inside, {flag(unsold)} AS unsold FROM dated WHERE fits = 1"
        weight = "shown * inside"
        sums = ["sum(shown * inside) AS n", "sum(inside) - sum(shown * inside) AS hidden"]
    else:
        tables = {"records": emit.read(columns, [*writer.within(), among])}
        fold = _fold(writer, among, shown, [*beside.values()])
    for name, condition in beside.items():
        sums.append(f"sum(CASE WHEN {name} = 1 THEN {weight} ELSE 0 END) AS {name}" if condition else f"0 AS {name}")
    if by_order:
        sums.append("sum(shown * unsold) AS unmatched")
        cells.append(("unmatched", "int"))
    return emit.statement("accounts", tables, f"SELECT {', '.join(sums)}\nFROM records", cells, fold)


def _fold(writer: Writer, among: str, shown: str, beside: Sequence[str]) -> Fold | None:
    """The same numbers of what a KPI reads anyway."""
    told = [f"({shown or '1 = 1'})", *(f"({each}) AND ({shown or '1 = 1'})" for each in beside if each)]
    numbers = [Column(f"count(CASE WHEN {each} THEN 1 END)", "number") for each in told]
    start = partial(_folds.Accounts, [*map(bool, beside)])
    return writer.fold([Column("count(*)", "number"), *numbers], [among], start, by=False, is_beside=True)


def _either(conditions: Sequence[str]) -> str:
    return " OR ".join(dict.fromkeys(conditions))
