"""
What the statements of all kinds share: time, groups, amounts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from bizspan import names
from bizspan.kpi import _folds_of_orders as _folds
from bizspan.kpi._calendar import Period
from bizspan.kpi._definition import MoneyKind
from bizspan.kpi._dialect import Dialect, Sqlite
from bizspan.kpi._emit import Cell, Emitter, written_out
from bizspan.kpi._facts import Fact
from bizspan.kpi._fold import Fold, Folding, LookUp
from bizspan.kpi._kpi import KPI
from bizspan.kpi._records import Records
from bizspan.kpi._slices import Column, Reading

ORDER = Fact("order", names.ORDER)
_SALES = Records()


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


class Writer:
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
        return [self.dialect.between(bind(since), bind(until)), *self._known()]

    def _known(self) -> list[str]:
        if self.asked.known_ns is None or not self.dialect.received:
            return []
        received = self.dialect.received
        return [f"({received} IS NULL OR {received} <= {self.emit.bind(self.asked.known_ns)})"]

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

    def fold(
        self,
        columns: Sequence[Column],
        conditions: Sequence[str],
        start: Callable[..., Folding],
        *,
        fits: Sequence[str] = (),
        since_ns: int | None = None,
        until_ns: int | None = None,
        facts: Sequence[str] = (),
        by: bool = True,
        knows_total: bool = False,
        is_beside: bool = False,
        looks_up: LookUp | None = None,
    ) -> Fold | None:
        """
        How a statement's rows are put together without a sort; None where the engine, or a fact, does not allow it.

        Args:
            columns: What is read beside the groups.
            conditions: Of which events, in that time: where they are the same, events are read once for several.
            start: What becomes of them.
            fits: Which of these the statement is of, besides; empty for all.
            since_ns: By default, as `within`.
            until_ns: By default, as `within`.
            facts: Those that are read as texts, beside the groups.
            by: Whether there are groups.
            knows_total: Whether what it becomes with groups knows the rows without them.
            is_beside: Whether it only goes along with what others read.
            looks_up: What is read afterwards.
        """
        named = (*facts, *(self.groups.values() if by else ()))
        if not isinstance(self.dialect, Sqlite) or not all(map(self.emit.is_text, named)):
            return None
        groups = [Column(expression) for expression in self.grouped().values()] if by else []
        chosen = both(fits)
        written = self._written

        return Fold(
            self.asked.period.since_ns if since_ns is None else since_ns,
            self.until_ns if until_ns is None else until_ns,
            self._conditions(conditions),
            tuple(replace(column, sql=written(column.sql)) for column in (*columns, *groups)),
            start,
            Column(written(bit(chosen)), "digit") if chosen else None,
            len(groups),
            knows_total,
            is_beside,
            looks_up,
        )

    def _conditions(self, conditions: Sequence[str]) -> str:
        """These, and that it was known: first what most events are not."""
        return self._written(both((*conditions, *self._known()))) or "1 = 1"

    def _written(self, sql: str) -> str:
        return written_out(sql, self.emit.parameters, self.dialect)

    # --- amounts --------------------------------------------------------------------------------------------------

    def amounts(self, money: MoneyKind, of: Records, dated: str = "record") -> dict[str, str]:
        """The tables of amounts; the last one is `records`."""
        emit = self.emit
        minor = emit.minor(money)
        columns = {
            "currency": emit.currency(money),
            **self.grouped(),
            "minor": minor,
            "row_id": self.dialect.row,
            "ord": self.dialect.fact(ORDER),
        }
        fits = self.of_amounts(money, of)
        if dated != "order":
            return {"records": emit.read(columns, [*self.within(), *fits])}
        tables, sold = self.sold(columns, " AND ".join(each for each in fits if each))
        return {**tables, "records": f"SELECT * FROM dated WHERE fits = 1 AND {sold}"}

    def of_amounts(self, money: MoneyKind, of: Records) -> list[str]:
        """The conditions of records with an amount."""
        return [self.emit.records(of, money), self.emit.customers(of), f"{self.emit.minor(money)} IS NOT NULL"]

    def fold_of_sold(self, money: MoneyKind, of: Records) -> Fold | None:
        """How amounts by the date of their order are put together."""
        among, *fits = self.of_amounts(money, of)
        units = Column(f"coalesce({self.emit.minor(money)}, 0)", "int", is_told=True)
        rest = (units, Column(self.emit.currency(money)))
        return self.fold_of_dated(any_of([among]), _folds.DatedSums, rest, fits=fits)

    def fold_of_dated(
        self, among: str, kind: Callable[..., Folding], rest: Sequence[Column], *, fits: Sequence[str] = (),
        by: bool = True,
    ) -> Fold | None:  # fmt: skip
        """
        How records with the time at which their order was sold first are put together.

        Args:
            among: Which records.
            kind: What becomes of them.
            rest: What else is read of each.
            fits: Which of them count, besides.
            by: Whether there are groups.
        """
        order, as_of_ns = Column(self.dialect.fact(ORDER)), self.asked.as_of_ns
        start = partial(kind, self.asked.period.since_ns, self.until_ns)
        sales = Reading(0, as_of_ns, self._conditions([self._is_sale()]))
        sold = (replace(order, is_told=True), Column(self.dialect.time, is_told=True))
        return self.fold(
            [order, Column(self.dialect.time, "int", is_told=True), *rest], [among], start,
            fits=fits, since_ns=0, until_ns=as_of_ns, by=by, looks_up=LookUp(order, sales, sold, _folds.Sold),
        )  # fmt: skip

    def _is_sale(self) -> str:
        emit = self.emit
        order = self.dialect.fact(ORDER)
        # First what most events lack.
        return f"{emit.minor('revenue')} IS NOT NULL AND {order} IS NOT NULL AND {emit.records(_SALES, 'revenue')}"

    def sold(self, columns: Mapping[str, str], fits: str) -> tuple[dict[str, str], str]:
        """
        Records with the time at which their order was sold first.

        Args:
            columns: What is read of them.
            fits: Which records, beside the sales themselves.

        Returns:
            The tables `told` and `dated`, and the condition that the order was sold in the period.
        """
        emit = self.emit
        order = self.dialect.fact(ORDER)
        is_sale = self._is_sale()
        read = {
            **columns,
            "ord": order,
            "time": self.dialect.time,
            "fits": flag(fits),
            "is_sale": flag(is_sale),
        }
        told = emit.read(read, [*self.within(0, self.asked.as_of_ns), f"(({fits}) OR ({is_sale}))"])
        kept = ", ".join(name for name in read if name != "is_sale")
        sold = "min(CASE WHEN is_sale = 1 THEN time END) OVER (PARTITION BY ord) AS sold"
        since, until = emit.bind(self.asked.period.since_ns), emit.bind(self.until_ns)
        tables = {"told": told, "dated": f"SELECT {kept}, {sold} FROM told"}
        return tables, f"sold >= {since} AND sold < {until}"


def flag(condition: str) -> str:
    """A condition as 1 or 0."""
    return f"CASE WHEN {condition} THEN 1 ELSE 0 END"


def bit(condition: str) -> str:
    """The same as a text of one digit, which SQLite need not make of a number."""
    return f"CASE WHEN {condition} THEN '1' ELSE '0' END"


def both(conditions: Iterable[str]) -> str:
    """Whether all of these are met; the empty ones always are."""
    return " AND ".join(each for each in conditions if each)


def any_of(conditions: Sequence[str]) -> str:
    """Whether one of these is met, each of which may have several parts."""
    return "(" + " OR ".join(dict.fromkeys(f"({each})" for each in conditions)) + ")"
