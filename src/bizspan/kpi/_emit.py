"""
The parts that statements are put together from, in either dialect: conditions, columns, and parameters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from bizspan import names
from bizspan._columns import COLUMNS
from bizspan._currencies import EXPONENTS
from bizspan.kpi._definition import MONEY, MoneyKind
from bizspan.kpi._dialect import Dialect, Parameter
from bizspan.kpi._facts import RECORD_FACTS, Fact
from bizspan.kpi._fold import Fold
from bizspan.kpi._records import Condition, Records

Cell = Literal["text", "int", "float"]
# Money that is not there when the operation did not take place.
_TOOK_PLACE: Final = frozenset({"revenue", "refund", "tax"})
# The event of its own that a second currency of an operation is.
_FURTHER: Final[Mapping[str, str]] = {"revenue": names.EVENT_REVENUE, "cost": names.EVENT_COST}
_TRAFFIC: Final = Fact("traffic", names.TRAFFIC)
_CUSTOMER: Final = "customer"


@dataclass(frozen=True, slots=True)
class Statement:
    """
    One statement, with its parameters beside it.

    Args:
        what: What it gives: ``value``, ``of``, ``to``, ``accounts``.
        sql: With a placeholder for each parameter.
        parameters: By name.
        columns: What its columns are called, and what they hold.
        dialect: The engine's.
        fold: How SQLite gives the same rows without a sort; None where it runs the statement.
    """

    what: str
    sql: str
    parameters: Mapping[str, Parameter]
    columns: tuple[tuple[str, Cell], ...]
    dialect: Dialect = field(repr=False)
    fold: Fold | None = field(default=None, repr=False, compare=False)

    @property
    def text(self) -> str:
        """The statement with its values in it, escaped, for people who paste it."""
        return written_out(self.sql, self.parameters, self.dialect)


def written_out(sql: str, parameters: Mapping[str, Parameter], dialect: Dialect) -> str:
    """A text of SQL with its values in it, escaped."""
    written = {dialect.placeholder(name, value): dialect.literal(value) for name, value in parameters.items()}
    if not written:
        return sql
    # In one pass: a value may look like a placeholder. The longest first, because :p1 begins :p12.
    pattern = "|".join(re.escape(each) for each in sorted(written, key=len, reverse=True))
    return re.sub(pattern, lambda found: written[found[0]], sql)


class Emitter:
    """
    Writes the parts of one statement, and keeps its parameters.

    Args:
        dialect: The engine's.
        facts: What the KPI reads, by the names that it uses.
    """

    def __init__(self, dialect: Dialect, facts: Mapping[str, Fact]) -> None:
        self.dialect = dialect
        self._facts = facts
        self.parameters: dict[str, Parameter] = {}
        self._names: dict[tuple[type, Parameter], str] = {}

    def bind(self, value: Parameter) -> str:
        """The placeholder of a value; the same for the same value."""
        # A float 1.0 and an int 1 are equal, but not of one type.
        key = (type(value), value)
        name = self._names.get(key)
        if name is None:
            name = self._names[key] = f"p{len(self._names) + 1}"
            self.parameters[name] = value
        return self.dialect.placeholder(name, value)

    def fact(self, name: str) -> str:
        """A fact of an event, by the name that the KPI uses."""
        return self.dialect.fact(self._facts[name])

    def is_text(self, name: str) -> bool:
        """Whether all values of a fact are texts, or missing."""
        fact = self._facts[name]
        column = COLUMNS.get(fact.key)
        return fact.kind in ("text", "bool") and (column is None or column.kind == "TEXT")

    def gauge_fact(self, name: str) -> str:
        """A fact of a gauge's point."""
        return self.dialect.gauge_fact(self._facts[name])

    def minor(self, money: MoneyKind) -> str:
        """The exact amount of this kind."""
        return self.dialect.fact(Fact("minor", names.MINOR_UNITS_KEYS[MONEY[money]], "int"))

    def currency(self, money: MoneyKind) -> str:
        """Its currency."""
        return self.dialect.fact(Fact("currency", names.CURRENCY_KEYS[MONEY[money]]))

    def invalid(self, money: MoneyKind) -> str:
        """Why an amount of this kind is missing; NULL where none is."""
        return self.dialect.fact(Fact("invalid", names.AMOUNT_INVALID_KEYS[MONEY[money]]))

    def lacks(self, money: MoneyKind) -> str:
        """Whether an amount of this kind was refused, or was told without its minor units."""
        return (
            f"{self.invalid(money)} IS NOT NULL OR ({self.minor(money)} IS NULL AND {self.currency(money)} IS NOT NULL)"
        )

    def is_of_no_currency(self, money: MoneyKind) -> str:
        """Whether it has minor units of what is no currency."""
        codes = ", ".join(f"'{code}'" for code in EXPONENTS)
        currency = self.currency(money)
        return f"({self.minor(money)} IS NOT NULL AND ({currency} IS NULL OR {currency} NOT IN ({codes})))"

    # --- conditions -----------------------------------------------------------------------------------------------

    def among(self, expression: str, values: Iterable[Parameter]) -> str:
        """Whether it is one of these."""
        written = [self.bind(value) for value in values]
        return f"{expression} = {written[0]}" if len(written) == 1 else f"{expression} IN ({', '.join(written)})"

    def records(self, records: Records, money: MoneyKind | None = None) -> str:
        """Whether an event is one of these records."""
        parts = [self._named(records, money), *(self._condition(condition) for condition in records.where)]
        if money is not None and records.is_everything:
            told = (self.minor(money), self.currency(money), self.invalid(money))
            parts.append(f"({' OR '.join(f'{each} IS NOT NULL' for each in told)})")
        if money in _TOOK_PLACE:
            parts.append(self._took_place())
        return " AND ".join(dict.fromkeys(part for part in parts if part)) or "1 = 1"

    def _named(self, records: Records, money: MoneyKind | None) -> str:
        event = self.dialect.event_name
        says_outcome = records.asks("outcome")
        told: list[str] = []
        if records.operations:
            further = [_FURTHER[money]] if money is not None and money in _FURTHER else []
            name = self.dialect.fact(RECORD_FACTS["operation"])
            is_operation = self.among(event, [names.EVENT_OPERATION, *further])
            told.append(f"{is_operation} AND {self.among(name, records.operations)}")
        # An event, no operation, that a rollback took back counts nowhere.
        if records.events:
            is_event = self.among(event, records.events)
            told.append(is_event if says_outcome else f"{is_event} AND {self._took_place()}")
        if records.questions:
            question = self.dialect.fact(RECORD_FACTS["question"])
            is_answer = f"{self.among(event, [names.EVENT_FEEDBACK])} AND {self.among(question, records.questions)}"
            told.append(is_answer if says_outcome else f"{is_answer} AND {self._took_place()}")
        if records.is_everything and not says_outcome:
            operation = self.dialect.fact(RECORD_FACTS["operation"])
            told.append(f"({operation} IS NOT NULL OR {self._took_place()})")
        return told[0] if len(told) == 1 else f"({' OR '.join(f'({each})' for each in told)})" if told else ""

    def _took_place(self) -> str:
        outcome = self.dialect.fact(RECORD_FACTS["outcome"])
        return f"({outcome} IS NULL OR {self.among(outcome, [names.SUCCESS])})"

    def _condition(self, condition: Condition) -> str:
        fact = self._facts[condition.fact]
        read = self.dialect.fact(fact)
        values: list[Parameter] = [_told(value, fact) for value in condition.values]
        if not values:
            return f"{read} IS {'NOT ' if condition.is_not else ''}NULL"
        if not condition.is_not:
            return self.among(read, values)
        return f"({read} IS NULL OR {read} NOT IN ({', '.join(self.bind(value) for value in values)}))"

    def customers(self, records: Records) -> str:
        """Whether traffic counts: that of customers, where the conditions do not say otherwise."""
        if records.asks("traffic"):
            return ""
        traffic = self.dialect.fact(_TRAFFIC)
        return f"({traffic} IS NULL OR {self.among(traffic, [_CUSTOMER])})"

    # --- tables ---------------------------------------------------------------------------------------------------

    def read(self, columns: Mapping[str, str], conditions: Sequence[str]) -> str:
        """A selection of events, each once."""
        dialect = self.dialect
        told = ", ".join(f"{expression} AS {name}" for name, expression in columns.items())
        where = [each for each in conditions if each]
        if dialect.once:
            where.append(f"{dialect.row} <> ''")
        parts = [f"SELECT {told}", f"FROM {dialect.table}"]
        if where:
            parts.append("WHERE " + "\n    AND ".join(where))
        if dialect.once:
            parts.append(dialect.once)
        return "\n  ".join(parts)

    def statement(
        self, what: str, tables: Mapping[str, str], select: str, columns: Iterable[tuple[str, Cell]],
        fold: Fold | None = None,
    ) -> Statement:  # fmt: skip
        """A statement with these named tables before it."""
        named = ",\n".join(f"{name} AS (\n  {text}\n)" for name, text in tables.items())
        return Statement(what, f"WITH {named}\n{select}", dict(self.parameters), tuple(columns), self.dialect, fold)


def _told(value: str | int | float | bool, fact: Fact) -> Parameter:
    if fact.kind == "bool":
        return "true" if value else "false"
    return float(value) if fact.kind == "float" else value
