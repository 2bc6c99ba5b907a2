"""
A KPI, compiled to statements of one engine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from bizspan import names
from bizspan._columns import COLUMNS
from bizspan.kpi import _folds
from bizspan.kpi._definition import AverageOrderValue, Count, Definition, Distinct, Quantile, Ratio, Recurring, Sum
from bizspan.kpi._dialect import Dialect
from bizspan.kpi._emit import Statement, written_out
from bizspan.kpi._facts import Fact
from bizspan.kpi._slices import Column
from bizspan.kpi._subjects import conversion, retention
from bizspan.kpi._writer import ORDER, Asked, Writer, any_of, both

_MILLION: Final = 1_000_000


def count(writer: Writer, definition: Count, what: str) -> Statement:
    emit = writer.emit
    columns = {**writer.grouped(), "time": writer.dialect.time}
    read = emit.read(
        columns, [*writer.within(), emit.records(definition.of), emit.customers(definition.of)]
    )  # fmt: skip
    select = f"SELECT {writer.by()}count(*) AS value, count(*) AS n\nFROM records{writer.group_by()}"
    return emit.statement(what, {"records": read}, select, writer.cells(("value", "int"), ("n", "int")))


def distinct(writer: Writer, definition: Distinct, what: str) -> Statement:
    emit = writer.emit
    subject = emit.fact(definition.subject)
    conditions = [emit.records(definition.of), emit.customers(definition.of), f"{subject} IS NOT NULL"]
    read = emit.read({**writer.grouped(), "subject": subject}, [*writer.within(), *conditions])
    number = "count(DISTINCT subject)"
    select = f"SELECT {writer.by()}{number} AS value, {number} AS n\nFROM records{writer.group_by()}"
    fold = writer.fold(
        [Column(f"coalesce({subject}, '')", is_told=True)], [any_of(conditions[:1])],
        partial(_folds.Distinct, has_groups=bool(writer.groups)),
        fits=conditions[1:], facts=[definition.subject], knows_total=True,
    )  # fmt: skip
    return emit.statement(what, {"records": read}, select, writer.cells(("value", "int"), ("n", "int")), fold)


def sum_of(writer: Writer, definition: Sum, what: str) -> Statement:
    tables = writer.amounts(definition.money, definition.of, definition.dated)
    total = writer.dialect.total("minor")
    select = f"SELECT {writer.by('currency')}{total} AS value, count(*) AS n\nFROM records{writer.group_by('currency')}"
    cells = writer.cells(("value", "int"), ("n", "int"), currency=True)
    fold = writer.fold_of_sold(definition.money, definition.of) if definition.dated == "order" else None
    return writer.emit.statement(what, tables, select, cells, fold)


def average_order_value(writer: Writer, definition: AverageOrderValue, what: str) -> Statement:
    tables = writer.amounts(definition.money, definition.of)
    # A record without an order is one of its own.
    orders = "count(DISTINCT coalesce('o' || ord, 'r' || row_id))"
    select = (
        f"SELECT {writer.by('currency')}{writer.dialect.total('minor')} AS value, {orders} AS n\n"
        f"FROM records{writer.group_by('currency')}"
    )
    cells = writer.cells(("value", "int"), ("n", "int"), currency=True)
    minor = Column(f"coalesce({writer.emit.minor(definition.money)}, 0)", "int", is_told=True)
    columns = [minor, Column(writer.dialect.fact(ORDER)), Column(writer.emit.currency(definition.money))]
    among, *fits = writer.of_amounts(definition.money, definition.of)
    fold = writer.fold(columns, [any_of([among])], _folds.Orders, fits=fits, knows_total=True)
    return writer.emit.statement(what, tables, select, cells, fold)


def quantile(writer: Writer, definition: Quantile, what: str) -> Statement:
    emit = writer.emit
    value = emit.fact(definition.value)
    conditions = [emit.records(definition.of), emit.customers(definition.of), f"{value} IS NOT NULL"]
    read = emit.read({**writer.grouped(), "told": value}, [*writer.within(), *conditions])
    keys = ", ".join(writer.groups)
    partition = f"PARTITION BY {keys} " if keys else ""
    ranked = (
        f"SELECT {writer.by()}told, row_number() OVER ({partition}ORDER BY told) AS place,\n"
        f"    count(*) OVER ({partition.strip()}) AS n\n  FROM records"
    )
    rank = writer.dialect.whole_part(f"n * {definition.per_million} + {_MILLION - 1}", str(_MILLION))
    select = f"SELECT {writer.by()}told AS value, n\nFROM ranked\nWHERE place = {rank}"
    cells = writer.cells(("value", "float"), ("n", "int"))
    fold = None
    if any(column.name == value and column.kind == "REAL" for column in COLUMNS.values()):
        # The nearest: most durations were told in them.
        billionths = f"CAST({value} * {_folds.PLACES} + 0.5 AS INTEGER)"
        is_between = f"{billionths} / {float(_folds.PLACES)} <> {value}"
        among, *fits = conditions
        start = partial(
            _folds.Quantile, value, billionths, [*writer.grouped().values()], definition.per_million,
            written_out(both(fits), emit.parameters, writer.dialect),
        )  # fmt: skip
        columns = [
            Column(f"coalesce({billionths}, 0)", "int", is_told=True),
            Column(f"count(CASE WHEN {is_between} THEN 1 END)", "number"),
        ]
        fold = writer.fold(columns, [any_of([among])], start, fits=fits, knows_total=True)
    return emit.statement(what, {"records": read, "ranked": ranked}, select, cells, fold)


def recurring(writer: Writer, definition: Recurring, what: str) -> Statement:
    emit, dialect = writer.emit, writer.dialect
    until = writer.until_ns
    currency = dialect.gauge_fact(Fact("currency", names.CURRENCY_KEYS[names.VALUE]))
    grouped = {alias: emit.gauge_fact(name) for alias, name in writer.groups.items()}
    service = "service_name, " if definition.across == "services" else ""
    columns = {
        "currency": currency, **grouped, "told": dialect.gauge_value, "time": dialect.gauge_time,
        "service_name": dialect.gauge_service, "facts": dialect.gauge_set,
    }  # fmt: skip
    written = ", ".join(f"{expression} AS {name}" for name, expression in columns.items())
    time = dialect.gauge_time
    points = (
        f"SELECT {written}\n  FROM {dialect.gauges}\n  WHERE {emit.among(dialect.gauge_name, [definition.gauge])}\n"
        f"    AND {time} >= {emit.bind(max(0, until - definition.stale_ns))} AND {time} < {emit.bind(until)}"
    )
    latest = (
        f"SELECT {writer.by('currency')}told,\n    row_number() OVER (PARTITION BY {service}facts"
        " ORDER BY time DESC, service_name, told) AS place\n  FROM points"
    )
    select = f"SELECT {writer.by('currency')}told AS value\nFROM latest\nWHERE place = 1"
    cells = writer.cells(("value", "float"), currency=True)
    return emit.statement(what, {"points": points, "latest": latest}, select, cells)


_WRITE: Final[Mapping[str, Callable[[Writer, Any, str], Statement]]] = {
    "count": count, "distinct": distinct, "sum": sum_of, "average_order_value": average_order_value,
    "quantile": quantile, "conversion": conversion, "retention": retention, "recurring": recurring,
}  # fmt: skip


def compiled(asked: Asked, dialect: Dialect, facts: Mapping[str, Fact]) -> tuple[Statement, ...]:
    """
    The statements that give a KPI's value.

    Args:
        asked: What is asked.
        dialect: The engine's.
        facts: What it reads, by the names that the KPI and `by` use.
    """
    definition = asked.kpi.of
    parts: list[tuple[str, Definition]] = [("value", definition)]
    if isinstance(definition, Ratio):
        parts = [("of", definition.of), ("to", definition.to)]
    return tuple(_written(Writer(dialect, asked, facts), what, part) for what, part in parts)


def _written(writer: Writer, what: str, definition: Any) -> Statement:
    return _WRITE[definition.kind](writer, definition, what)
