"""
What a comparison reads of a KPI: by arm and minute, the sums of its units. One emitter for both engines.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from bizspan import names
from bizspan.kpi._definition import (
    AverageOrderValue,
    Conversion,
    Count,
    Definition,
    Distinct,
    MoneyKind,
    Quantile,
    Ratio,
    Sum,
)
from bizspan.kpi._dialect import Dialect
from bizspan.kpi._emit import Cell, Statement
from bizspan.kpi._facts import Fact
from bizspan.kpi._plan import OPERATION, ORDER, Plan, attempted
from bizspan.kpi._records import Condition, Records
from bizspan.kpi._sequential import Sums
from bizspan.kpi._subjects import paths
from bizspan.kpi._writer import ORDER as ORDER_FACT
from bizspan.kpi._writer import Asked, Writer, flag

MINUTE_NS: Final = 60_000_000_000
_SUMS: Final = ("sum_y", "sum_x", "sum_yy", "sum_xx", "sum_xy")


@dataclass(frozen=True, slots=True)
class _Told:
    """Of one record: whether it is read, its unit, and its values."""

    among: str
    unit: str
    y: str
    x: str
    y_by: str = "sum"
    x_by: str = "sum"


class Arms:
    """
    Writes the statements of one KPI; its definition is narrowed to the arms already.

    Args:
        dialect: The engine's.
        asked: The KPI, the period, and the facts that tell the arm and the slice.
        facts: What is read, by name.
        how: How it is compared.
        conditions: Those of the arms and of the user, for units that no record of the KPI tells.
    """

    def __init__(
        self, dialect: Dialect, asked: Asked, facts: Mapping[str, Fact], how: Plan, conditions: tuple[Condition, ...]
    ) -> None:
        self._dialect, self._facts = dialect, facts
        self._definition: Definition = asked.kpi.of
        self._asked = asked
        self._how = how
        self._everything = Records(where=conditions)

    def _writer(self) -> Writer:
        """A new one for each statement: it keeps the statement's parameters."""
        return Writer(self._dialect, self._asked, self._facts)

    def currencies(self) -> Statement:
        """The currencies that the amounts are in, and how many are in each."""
        writer = self._writer()
        of = self._definition.of if isinstance(self._definition, Ratio) else self._definition
        assert isinstance(of, (Sum, AverageOrderValue))
        tables = writer.amounts(of.money, of.of)
        select = "SELECT currency, count(*) AS n\nFROM records\nGROUP BY currency"
        return writer.emit.statement("currencies", tables, select, [("currency", "text"), ("n", "int")])

    def sums(self, currency: str = "", is_over: bool = False) -> Statement:
        """
        By arm and minute, the sums of the units that came first in that minute.

        Args:
            currency: Of money.
            is_over: Only attempts at a conversion whose time is over.
        """
        writer = self._writer()
        tables = self._units(writer, currency, is_over)
        minute = writer.dialect.whole_part("first_seen", str(MINUTE_NS))
        values = (
            "count(*) AS n, sum(y) AS sum_y, sum(x) AS sum_x, sum(y * y) AS sum_yy, sum(x * x) AS sum_xx,\n"
            f"    sum(x * y) AS sum_xy, sum({flag('y <> 0')}) AS told, max(y) AS most"
        )
        select = (
            f"SELECT {writer.by()}{minute} AS minute, {values}\nFROM units\nWHERE x > 0 OR y > 0\n"
            f"GROUP BY {writer.by()}minute"
        )
        kinds: list[tuple[str, Cell]] = [
            ("minute", "int"), ("n", "int"), *((name, "float") for name in _SUMS), ("told", "int"),
            ("most", "float"),
        ]  # fmt: skip
        return writer.emit.statement("sums", tables, select, writer.cells(*kinds))

    def crossed(self) -> Statement:
        """How many units are in both arms."""
        writer = self._writer()
        told = self._told(writer, "")
        columns = {"unit": told.unit, **writer.grouped()}
        arm = next(iter(writer.groups))
        tables = {"records": writer.emit.read(columns, [*writer.within(), told.among, f"{told.unit} IS NOT NULL"])}
        tables["both"] = f"SELECT unit FROM records GROUP BY unit HAVING count(DISTINCT {arm}) > 1"
        return writer.emit.statement("crossed", tables, "SELECT count(*) AS n\nFROM both", [("n", "int")])

    def unnamed(self) -> Statement:
        """How many records do not tell the unit."""
        writer = self._writer()
        told = self._told(writer, "")
        conditions = [*writer.within(), told.among, f"{told.unit} IS NULL"]
        tables = {"records": writer.emit.read({"seen": writer.dialect.time}, conditions)}
        return writer.emit.statement("unnamed", tables, "SELECT count(*) AS n\nFROM records", [("n", "int")])

    def _units(self, writer: Writer, currency: str, is_over: bool) -> dict[str, str]:
        """Tables, of which the last one has a row for each unit of an arm."""
        if isinstance(self._definition, Conversion):
            return self._attempts(writer, self._definition, is_over)
        told = self._told(writer, currency)
        columns = {
            "seen": writer.dialect.time,
            "told_y": told.y,
            "told_x": told.x,
            **({"unit": told.unit, "row_id": writer.dialect.row} if told.unit else {}),
            **writer.grouped(),
        }
        tables = {"records": writer.emit.read(columns, [*writer.within(), told.among])}
        if not told.unit:
            tables["units"] = f"SELECT {writer.by()}seen AS first_seen, told_y AS y, told_x AS x FROM records"
            return tables
        if self._how.measure == "ratio" and told.y_by == told.x_by == "sum":
            tables["units"] = (
                f"SELECT {writer.by()}unit, min(seen) AS first_seen, sum(told_y) AS y, sum(told_x) AS x\n"
                f"  FROM records\n  WHERE unit IS NOT NULL\n  GROUP BY {writer.by()}unit"
            )
            return tables
        # What is added up over a unit's records is more where an arm has more of them: a unit that meets both arms
        # counts once, with all that it did, for the one that it met first.
        first = "".join(f", {group} AS of_{group}" for group in writer.groups)
        tables["ordered"] = (
            f"SELECT unit, seen, told_y, told_x{first},\n"
            "    row_number() OVER (PARTITION BY unit ORDER BY seen, row_id) AS place\n"
            "  FROM records\n  WHERE unit IS NOT NULL"
        )
        groups = "".join(f"max(CASE WHEN place = 1 THEN of_{group} END) AS {group}, " for group in writer.groups)
        tables["units"] = (
            f"SELECT {groups}unit, min(seen) AS first_seen,\n    {told.y_by}(told_y) AS y, {told.x_by}(told_x) AS x\n"
            "  FROM ordered\n  GROUP BY unit"
        )
        return tables

    def _attempts(self, writer: Writer, definition: Conversion, is_over: bool) -> dict[str, str]:
        bind = writer.emit.bind
        tables = paths(writer, definition)
        window = bind(definition.window_ns)
        over = f" AND at1 + {window} < {bind(self._asked.as_of_ns)}" if is_over else ""
        groups = "".join(f"of_{group} AS {group}, " for group in writer.groups)
        keys = "".join(f"of_{group}, " for group in writer.groups)
        reached = _number(f"at{len(definition.steps)} <= at1 + {window}")
        tables["units"] = (
            f"SELECT {groups}subject AS unit, min(at1) AS first_seen, sum({reached}) AS y, count(*) * 1.0 AS x\n"
            f"  FROM paths\n  WHERE at1 < {bind(writer.until_ns)}{over}\n  GROUP BY {keys}subject"
        )
        return tables

    # --- values of a record -------------------------------------------------------------------------------------------

    def _told(self, writer: Writer, currency: str) -> _Told:
        emit = writer.emit
        unit = self._unit(writer)
        definition = self._definition
        match definition:
            case Count() if not self._how.is_fact:
                wide = self._fit(writer, attempted(definition.of))
                return _Told(wide, "", self._part(writer, definition, ""), "1.0")
            case Count() | Sum() if self._how.is_fact:
                seen = _all(emit.records(self._everything), emit.customers(definition.of))
                y = self._part(writer, definition, currency)
                return _Told(seen, unit, y, "1.0", x_by="max")
            case Sum():
                wide = self._fit(writer, attempted(definition.of))
                paid = self._fit(writer, definition.of, definition.money)
                y = self._part(writer, definition, currency)
                return _Told(f"(({wide}) OR ({paid}))", unit, y, _number(wide))
            case AverageOrderValue():
                paid = self._fit(writer, definition.of, definition.money)
                minor = emit.minor(definition.money)
                among = f"{paid} AND {minor} IS NOT NULL AND {emit.among(emit.currency(definition.money), [currency])}"
                return _Told(among, unit, f"{minor} * 1.0", "1.0", x_by="max")
            case Distinct():
                seen = _all(emit.records(self._everything), emit.customers(definition.of))
                return _Told(seen, unit, _number(self._fit(writer, definition.of)), "1.0", "max", "max")
            case Quantile():
                value = emit.fact(definition.value)
                is_within = "<=" if self._asked.kpi.direction == "down" else ">="
                y = _number(f"{value} {is_within} {emit.bind(self._how.limit or 0.0)}")
                return _Told(_all(self._fit(writer, definition.of), f"{value} IS NOT NULL"), "", y, "1.0")
            case Ratio():
                return self._told_of_ratio(writer, definition, unit, currency)
            case _:  # pragma: no cover - a plan says which kinds come here
                raise AssertionError(definition.kind)

    def _told_of_ratio(self, writer: Writer, definition: Ratio, unit: str, currency: str) -> _Told:
        parts = definition.of, definition.to
        fits = [f"({self._fit(writer, part.of, part.money if isinstance(part, Sum) else None)})" for part in parts]
        y, x = (self._part(writer, part, currency) for part in parts)
        y_by, x_by = ("max" if isinstance(part, Distinct) else "sum" for part in parts)
        if self._how.measure == "rate":  # what is above the line is some of what is below
            return _Told(fits[1], unit, y, x, y_by, x_by)
        return _Told(f"({' OR '.join(dict.fromkeys(fits))})", unit, y, x, y_by, x_by)

    def _part(self, writer: Writer, part: Count | Sum | Distinct, currency: str) -> str:
        """What one record adds."""
        emit = writer.emit
        if not isinstance(part, Sum):
            return _number(self._fit(writer, part.of))
        is_it = _all(self._fit(writer, part.of, part.money), emit.among(emit.currency(part.money), [currency]))
        return f"coalesce(CASE WHEN {is_it} THEN {emit.minor(part.money)} * 1.0 END, 0.0)"

    def _fit(self, writer: Writer, records: Records, money: MoneyKind | None = None) -> str:
        return _all(writer.emit.records(records, money), writer.emit.customers(records))

    def _unit(self, writer: Writer) -> str:
        dialect, how = writer.dialect, self._how
        if how.is_fact:
            return writer.emit.fact(how.unit)
        if how.unit in (OPERATION, ORDER):
            # A second currency is an event of its own with the operation's id; a record without an order is one.
            fact = ORDER_FACT if how.unit == ORDER else Fact("operation_id", names.OPERATION_ID)
            return f"coalesce('o' || {dialect.fact(fact)}, 'r' || {dialect.row})"
        return ""


def _all(*conditions: str) -> str:
    return " AND ".join(each for each in conditions if each)


def _number(condition: str) -> str:
    return f"CASE WHEN {condition} THEN 1.0 ELSE 0.0 END"


def sums_of(row: Mapping[str, Any]) -> Sums:
    """The sums of one row of `Arms.sums`."""
    y, x, yy, xx, xy = (float(row[name] or 0) for name in _SUMS)
    return Sums(row["n"], y, x, yy, xx, xy, row["told"] or 0, row["most"] or 0.0)
