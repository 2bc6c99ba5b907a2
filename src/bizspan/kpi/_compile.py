"""
A KPI, compiled to statements of one engine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bizspan import names
from bizspan.kpi._calendar import Period
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
from bizspan.kpi._emit import Cell, Emitter, Statement
from bizspan.kpi._facts import Fact
from bizspan.kpi._kpi import KPI
from bizspan.kpi._records import Records

_SALES: Final = Records()
_MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Asked:
    """
    What is asked of a KPI.

    Args:
        kpi: Which one.
        period: Of which time.
        by: Broken down by these facts.
        as_of_ns: What happened later is not looked at.
        known_ns: What arrived later is not looked at either; None takes whatever is there.
        boundaries: Of the periods of a retention: the start of each, and the end of the last.
        cohorts: How many of these periods are cohorts.
    """

    kpi: KPI
    period: Period
    as_of_ns: int
    by: tuple[str, ...] = ()
    known_ns: int | None = None
    boundaries: tuple[int, ...] = ()
    cohorts: int = 0


class _Writer:
    """
    Writes the statements of one question.

    Args:
        dialect: The engine's.
        asked: The question.
        facts: What it reads.
    """

    def __init__(self, dialect: Dialect, asked: Asked, facts: Mapping[str, Fact]) -> None:
        self.asked = asked
        self.emit = Emitter(dialect, facts)
        self.dialect = dialect
        self.until_ns = min(asked.period.until_ns, max(asked.as_of_ns, asked.period.since_ns + 1))
        self.groups = {f"g{index}": name for index, name in enumerate(asked.by)}

    # --- what all kinds share -------------------------------------------------------------------------------------

    def within(self, since_ns: int | None = None, until_ns: int | None = None) -> list[str]:
        """The conditions of time: by default, of the period as far as it has gone by."""
        bind = self.emit.bind
        since = self.asked.period.since_ns if since_ns is None else since_ns
        until = self.until_ns if until_ns is None else until_ns
        conditions = [self.dialect.between(bind(since), bind(until))]
        if self.asked.known_ns is not None and self.dialect.received:
            received = self.dialect.received
            conditions.append(f"({received} IS NULL OR {received} <= {bind(self.asked.known_ns)})")
        return conditions

    def grouped(self) -> dict[str, str]:
        """The columns of the breakdown."""
        return {alias: self.emit.fact(name) for alias, name in self.groups.items()}

    def cells(self, *columns: tuple[str, Cell], currency: bool = False) -> list[tuple[str, Cell]]:
        """The statement's columns: currency, groups, and these."""
        money: list[tuple[str, Cell]] = [("currency", "text")] if currency else []
        return [*money, *((alias, "text") for alias in self.groups), *columns]

    def by(self, *first: str) -> str:
        """The keys of a group, with a comma after each."""
        return "".join(f"{key}, " for key in (*first, *self.groups))

    def group_by(self, *first: str) -> str:
        """The last line of a statement that has groups."""
        keys = ", ".join((*first, *self.groups))
        return f"\nGROUP BY {keys}" if keys else ""

    # --- kinds ----------------------------------------------------------------------------------------------------

    def count(self, definition: Count, what: str) -> Statement:
        emit = self.emit
        columns = {**self.grouped(), "time": self.dialect.time}
        read = emit.read(
            columns, [*self.within(), emit.records(definition.of), emit.customers(definition.of)]
        )  # fmt: skip
        select = f"SELECT {self.by()}count(*) AS value, count(*) AS n\nFROM records{self.group_by()}"
        return emit.statement(what, {"records": read}, select, self.cells(("value", "int"), ("n", "int")))

    def distinct(self, definition: Distinct, what: str) -> Statement:
        emit = self.emit
        subject = emit.fact(definition.subject)
        conditions = [emit.records(definition.of), emit.customers(definition.of), f"{subject} IS NOT NULL"]
        read = emit.read({**self.grouped(), "subject": subject}, [*self.within(), *conditions])
        number = "count(DISTINCT subject)"
        select = f"SELECT {self.by()}{number} AS value, {number} AS n\nFROM records{self.group_by()}"
        return emit.statement(what, {"records": read}, select, self.cells(("value", "int"), ("n", "int")))

    def _amounts(self, money: MoneyKind, of: Records, dated: str = "record") -> dict[str, str]:
        """The tables of amounts; the last one is `records`."""
        emit = self.emit
        minor = emit.minor(money)
        columns = {
            "currency": emit.currency(money),
            **self.grouped(),
            "minor": minor,
            "row_id": self.dialect.row,
            "ord": self.dialect.fact(Fact("order", names.ORDER)),
        }
        tables, time = self.dated(dated)
        conditions = [*time, emit.records(of, money), emit.customers(of), f"{minor} IS NOT NULL"]
        return {**tables, "records": emit.read(columns, conditions)}

    def dated(self, dated: str) -> tuple[dict[str, str], list[str]]:
        """By which date a record is of the period: tables that are needed for it, and the conditions."""
        if dated != "order":
            return {}, self.within()
        emit = self.emit
        order = self.dialect.fact(Fact("order", names.ORDER))
        minor = emit.minor("revenue")
        conditions = [emit.records(_SALES, "revenue"), f"{minor} IS NOT NULL", f"{order} IS NOT NULL"]
        sales = emit.read(
            {"ord": order, "time": self.dialect.time}, [*self.within(0, self.asked.as_of_ns), *conditions]
        )
        first = "SELECT ord, min(time) AS sold FROM sales GROUP BY ord"
        since, until = emit.bind(self.asked.period.since_ns), emit.bind(self.until_ns)
        sold = f"SELECT ord FROM first_sales WHERE sold >= {since} AND sold < {until}"
        tables = {"sales": sales, "first_sales": first, "sold": sold}
        return tables, [*self.within(0, self.asked.as_of_ns), f"{order} IN (SELECT ord FROM sold)"]

    def sum(self, definition: Sum, what: str) -> Statement:
        tables = self._amounts(definition.money, definition.of, definition.dated)
        total = self.dialect.total("minor")
        select = f"SELECT {self.by('currency')}{total} AS value, count(*) AS n\nFROM records{self.group_by('currency')}"
        cells = self.cells(("value", "int"), ("n", "int"), currency=True)
        return self.emit.statement(what, tables, select, cells)

    def average_order_value(self, definition: AverageOrderValue, what: str) -> Statement:
        tables = self._amounts(definition.money, definition.of)
        # A record without an order is one of its own.
        orders = "count(DISTINCT coalesce('o' || ord, 'r' || row_id))"
        select = (
            f"SELECT {self.by('currency')}{self.dialect.total('minor')} AS value, {orders} AS n\n"
            f"FROM records{self.group_by('currency')}"
        )
        cells = self.cells(("value", "int"), ("n", "int"), currency=True)
        return self.emit.statement(what, tables, select, cells)

    def quantile(self, definition: Quantile, what: str) -> Statement:
        emit = self.emit
        value = emit.fact(definition.value)
        conditions = [emit.records(definition.of), emit.customers(definition.of), f"{value} IS NOT NULL"]
        read = emit.read({**self.grouped(), "told": value}, [*self.within(), *conditions])
        keys = ", ".join(self.groups)
        partition = f"PARTITION BY {keys} " if keys else ""
        ranked = (
            f"SELECT {self.by()}told, row_number() OVER ({partition}ORDER BY told) AS place,\n"
            f"    count(*) OVER ({partition.strip()}) AS n\n  FROM records"
        )
        rank = self.dialect.whole_part(f"n * {definition.per_million} + {_MILLION - 1}", str(_MILLION))
        select = f"SELECT {self.by()}told AS value, n\nFROM ranked\nWHERE place = {rank}"
        cells = self.cells(("value", "float"), ("n", "int"))
        return emit.statement(what, {"records": read, "ranked": ranked}, select, cells)

    def conversion(self, definition: Conversion, what: str) -> Statement:
        emit = self.emit
        bind = emit.bind
        window = definition.window_ns
        until_ns = min(self.until_ns + window + 1, max(self.asked.as_of_ns, self.until_ns))
        fits = [
            " AND ".join(each for each in (emit.records(step), emit.customers(step)) if each)
            for step in definition.steps
        ]
        step = " ".join(f"WHEN {fit} THEN {number}" for number, fit in enumerate(fits, 1))
        subject = emit.fact(definition.subject)
        columns = {
            "subject": subject,
            "time": self.dialect.time,
            "row_id": self.dialect.row,
            "step": f"CASE {step} END",
            **self.grouped(),
        }
        any_step = "(" + " OR ".join(f"({fit})" for fit in fits) + ")"
        records = emit.read(
            columns, [*self.within(until_ns=until_ns), any_step, f"{subject} IS NOT NULL"]
        )  # fmt: skip
        order = "OVER (PARTITION BY subject ORDER BY time, row_id"
        entries = (
            f"SELECT subject, {self.by()}time AS entered, row_number() {order}) AS attempt,\n"
            # NULL in one engine and 0 in the other, where no further entry follows.
            f"    nullif(min(time) {order} ROWS BETWEEN 1 FOLLOWING AND 1 FOLLOWING), 0) AS next_entry\n"
            "  FROM records\n  WHERE step = 1"
        )
        last = f"entered + {bind(window + 1)}"
        if definition.reentry == "each":
            deadline, which = f"CASE WHEN next_entry < {last} THEN next_entry ELSE {last} END", ""
        else:
            deadline, which = last, " AND attempt = 1"
        tables = {
            "records": records,
            "entries": entries,
            "step1": (
                f"SELECT subject, attempt, {self.by()}entered AS reached, {deadline} AS deadline\n  FROM entries\n"
                f"  WHERE entered < {bind(self.until_ns)}{which}"
            ),
        }
        for number in range(2, len(fits) + 1):
            tables[f"step{number}"] = self._step(number)
        open_ = f"sum(CASE WHEN deadline > {bind(self.asked.as_of_ns)} THEN 1 ELSE 0 END)"
        select = "\nUNION ALL\n".join(
            f"SELECT {number} AS step, {self.by()}count(*) AS n, {open_} AS pending\nFROM step{number}{self.group_by()}"
            for number in range(1, len(fits) + 1)
        )
        cells: list[tuple[str, Cell]] = [("step", "int"), *self.cells(("n", "int"), ("pending", "int"))]
        return emit.statement(what, tables, select, cells)

    def _step(self, number: int) -> str:
        before = f"step{number - 1}"
        carried = ["subject", "attempt", *self.groups, "deadline"]
        told = ", ".join(f"{before}.{column} AS {column}" for column in carried)
        keys = ", ".join(f"{before}.{column}" for column in carried)
        return (
            f"SELECT {told}, min(records.time) AS reached\n  FROM {before} JOIN records"
            f" ON records.subject = {before}.subject\n  WHERE records.step = {number}"
            f" AND records.time >= {before}.reached AND records.time < {before}.deadline\n  GROUP BY {keys}"
        )

    def retention(self, definition: Retention, what: str) -> Statement:
        emit, asked = self.emit, self.asked
        subject = emit.fact(definition.subject)
        first, again = definition.first, definition.coming_back
        columns = {"subject": subject, "time": self.dialect.time}
        told = f"{subject} IS NOT NULL"
        until = min(asked.boundaries[-1], asked.as_of_ns)
        qualifying = emit.read(
            columns, [*self.within(0, until), emit.records(first), emit.customers(first), told]
        )  # fmt: skip
        back = emit.read(
            columns,
            [*self.within(asked.boundaries[0], until), emit.records(again), emit.customers(again), told],
        )
        first_time = "SELECT subject, min(time) AS entered FROM qualifying GROUP BY subject"
        cohorts = f"SELECT subject, {self._index('entered')} AS cohort FROM first_time"
        visits = f"SELECT DISTINCT subject, {self._index('time')} AS seen FROM back"
        members = f"SELECT subject, cohort FROM cohorts WHERE cohort >= 0 AND cohort < {asked.cohorts}"
        tables = {
            "qualifying": qualifying, "back": back, "first_time": first_time, "cohorts": cohorts, "members": members,
            "visits": visits,
        }  # fmt: skip
        select = (
            "SELECT cohort, 0 AS age, count(*) AS n\nFROM members\nGROUP BY cohort\nUNION ALL\n"
            "SELECT members.cohort AS cohort, visits.seen - members.cohort AS age, count(*) AS n\n"
            "FROM members JOIN visits ON visits.subject = members.subject\n"
            f"WHERE visits.seen > members.cohort AND visits.seen - members.cohort <= {definition.periods}\n"
            "GROUP BY members.cohort, visits.seen - members.cohort"
        )
        return emit.statement(what, tables, select, [("cohort", "int"), ("age", "int"), ("n", "int")])

    def _index(self, time: str) -> str:
        """Which of the periods a time lies in; -1 before the first."""
        borders = self.asked.boundaries
        told = " ".join(f"WHEN {time} < {border} THEN {index - 1}" for index, border in enumerate(borders))
        return f"CASE {told} ELSE {len(borders)} END"

    def recurring(self, definition: Recurring, what: str) -> Statement:
        emit, dialect = self.emit, self.dialect
        until = self.until_ns
        currency = dialect.gauge_fact(Fact("currency", names.CURRENCY_KEYS[names.VALUE]))
        grouped = {alias: emit.gauge_fact(name) for alias, name in self.groups.items()}
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
            f"SELECT {self.by('currency')}told,\n    row_number() OVER (PARTITION BY {service}facts"
            " ORDER BY time DESC, service_name, told) AS place\n  FROM points"
        )
        select = f"SELECT {self.by('currency')}told AS value\nFROM latest\nWHERE place = 1"
        cells = self.cells(("value", "float"), currency=True)
        return emit.statement(what, {"points": points, "latest": latest}, select, cells)

    # --- what is said beside the value ----------------------------------------------------------------------------

    def accounts(self, told: Sequence[tuple[Records, MoneyKind | None]], subject: str, dated: str) -> Statement:
        """How many records count, are hidden, lack an amount or a subject, or came late."""
        emit, dialect = self.emit, self.dialect
        fits: list[str] = []
        shown: list[str] = []
        for records, money in told:
            fit = emit.records(records, money)
            fits.append(f"({fit})")
            shown.append("(" + " AND ".join(each for each in (fit, emit.customers(records)) if each) + ")")
        missing = [f"{emit.invalid(money)} IS NOT NULL" for _, money in told if money is not None]
        closed = self.asked.period.until_ns <= self.asked.as_of_ns
        columns = {
            "shown": _flag(" OR ".join(dict.fromkeys(shown))),
            "missing": _flag(" OR ".join(dict.fromkeys(missing)) or "1 = 0"),
            "unnamed": _flag(f"{emit.fact(subject)} IS NULL" if subject else "1 = 0"),
            "late": _flag(
                f"{dialect.received} >= {emit.bind(self.asked.period.until_ns)}"
                if dialect.received and closed
                else "1 = 0"
            ),
        }
        tables, time = self.dated(dated)
        either = f"({' OR '.join(dict.fromkeys(fits))})"
        read = emit.read(columns, [*time, either])
        select = (
            "SELECT sum(shown) AS n, sum(1 - shown) AS hidden, sum(shown * missing) AS missing,\n"
            "    sum(shown * unnamed) AS unnamed, sum(shown * late) AS late\nFROM records"
        )
        cells: list[tuple[str, Cell]] = [(name, "int") for name in ("n", "hidden", "missing", "unnamed", "late")]
        return emit.statement("accounts", {**tables, "records": read}, select, cells)

    def unmatched(self, definition: Sum) -> Statement:
        """Refunds of the period whose order was never sold, as far as is known."""
        emit = self.emit
        order = self.dialect.fact(Fact("order", names.ORDER))
        tables, _ = self.dated("order")
        of = definition.of
        conditions = [
            *self.within(), emit.records(of, definition.money), emit.customers(of),
            f"({order} IS NULL OR {order} NOT IN (SELECT ord FROM first_sales))",
        ]  # fmt: skip
        tables = {name: text for name, text in tables.items() if name != "sold"}
        read = emit.read({"row_id": self.dialect.row}, conditions)
        select = "SELECT count(*) AS n\nFROM records"
        return emit.statement("unmatched", {**tables, "records": read}, select, [("n", "int")])


def _flag(condition: str) -> str:
    return f"CASE WHEN {condition} THEN 1 ELSE 0 END"


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
    return tuple(_written(_Writer(dialect, asked, facts), what, part) for what, part in parts)


def _written(writer: _Writer, what: str, definition: Definition) -> Statement:
    write: Callable[[Any, str], Statement] = getattr(writer, definition.kind)
    return write(definition, what)


def accounts(asked: Asked, dialect: Dialect, facts: Mapping[str, Fact]) -> tuple[Statement, ...]:
    """
    The statements that give what is said beside a KPI's value; none for a gauge.
    """
    definition = asked.kpi.of
    told = _told(definition)
    if not told:
        return ()
    dated = definition.dated if isinstance(definition, Sum) else "record"
    subject = definition.subject if isinstance(definition, (Distinct, Conversion, Retention)) else ""
    statements = [_Writer(dialect, asked, facts).accounts(told, subject, dated)]
    if isinstance(definition, Sum) and dated == "order":
        statements.append(_Writer(dialect, asked, facts).unmatched(definition))
    return tuple(statements)


def _told(definition: Definition) -> list[tuple[Records, MoneyKind | None]]:
    match definition:
        case Sum() | AverageOrderValue():
            return [(definition.of, definition.money)]
        case Count() | Distinct() | Quantile():
            return [(definition.of, None)]
        case Ratio():
            return [*_told(definition.of), *_told(definition.to)]
        case Conversion():
            return [(step, None) for step in definition.steps]
        case Retention():
            return [(definition.first, None), (definition.coming_back, None)]
        case Recurring():
            return []
