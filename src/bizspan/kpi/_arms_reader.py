"""
Reads both arms of a KPI from a source.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from bizspan._currencies import EXPONENTS
from bizspan.errors import SetupError
from bizspan.kpi._accounts import accounts
from bizspan.kpi._arms import Arms, sums_of
from bizspan.kpi._design import Cell, Design
from bizspan.kpi._emit import Statement
from bizspan.kpi._facts import Fact, FactTable
from bizspan.kpi._kpi import KPI
from bizspan.kpi._plan import Plan, narrowed, plan
from bizspan.kpi._records import Condition, Value
from bizspan.kpi._sequential import NOT_APART, Apart, Stratum
from bizspan.kpi._source import Source
from bizspan.kpi._writer import Asked, Writer
from bizspan.vocabulary import Vocabulary

_MOST_CURRENCIES, _MOST_SEEN = 10, 20
_CASTS: Final[Mapping[str, Any]] = {"text": str, "int": int, "float": float}


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """
    How strict a comparison is, and what it shows.

    Args:
        alpha: The probability of an error, over all KPIs and looks.
        minimum: Fewer units than this in an arm are too few.
        unit: The fact that names the unit, where the KPI has no subject.
        where: What facts of all records must be, by name.
        slices: Facts by which differences are also shown, without a verdict.

    Raises:
        SetupError: A number is out of its range.
    """

    alpha: float = 0.05
    minimum: int = 30
    unit: str = ""
    where: tuple[tuple[str, str], ...] = ()
    slices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise SetupError("alpha is a number between 0 and 1, such as 0.05.")
        if self.minimum < 2:
            raise SetupError("minimum is a whole number from 2.")


@dataclass(frozen=True, slots=True)
class Read:
    """One KPI as it was read, in one currency."""

    kpi: KPI
    how: Plan | str
    currency: str = ""
    strata: tuple[Stratum, ...] = ()
    apart: Apart = NOT_APART
    sliced: tuple[tuple[str, str | None, tuple[Stratum, ...], Apart], ...] = ()
    beside: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """
    How many records there are.

    Args:
        arms: Of each arm; of other values of the fact, the most frequent ones.
        windows: In each window of the design.
    """

    arms: Mapping[str, int]
    windows: tuple[int, ...]


def seen_records(kpi: KPI, source: Source, design: Design, options: CompareOptions, now_ns: int) -> Seen:
    """How many records each arm and each window has."""
    facts = _facts(kpi, (design.by, *(name for name, _ in options.where)))
    found: dict[str, int] = {}
    windows: list[int] = []
    for arm, period in design.windows:
        writer = Writer(source.dialect, Asked(kpi, period, now_ns, (design.by,) if design.by else ()), facts)
        filters = [
            writer.emit.among(writer.emit.fact(name), [_parameter(facts[name], value)]) for name, value in options.where
        ]
        # The column keeps the statement one of the form that all have, where no fact tells the arm.
        columns = {**writer.grouped(), "time": source.dialect.time}
        tables = {"records": writer.emit.read(columns, [*writer.within(), *filters])}
        select = f"SELECT {writer.by()}count(*) AS n\nFROM records{writer.group_by()}\nORDER BY n DESC\nLIMIT 200"
        statement = writer.emit.statement("seen", tables, select, writer.cells(("n", "int")))
        rows = _rows(source, statement)
        windows.append(sum(row["n"] for row in rows))
        for row in rows:
            name = arm or row["g0"]
            if name is not None:
                found[name] = found.get(name, 0) + row["n"]
    kept = [*found][:_MOST_SEEN]
    arms = {name: n for name, n in found.items() if name in kept or name in (design.baseline, design.candidate)}
    return Seen(arms, tuple(windows))


class Reader:
    """
    Reads one KPI of both arms.

    Args:
        kpi: Which one.
        source: Where from.
        design: The arms.
        options: What else is asked.
        now_ns: What is now.
    """

    def __init__(self, kpi: KPI, source: Source, design: Design, options: CompareOptions, now_ns: int) -> None:
        self.source, self.design, self.now_ns = source, design, now_ns
        self.slices = options.slices
        self.plan = plan(kpi.of, options.unit, kpi.targets.get(""))
        named = (design.by, options.unit, *(name for name, _ in options.where), *options.slices)
        unit = (self.plan.unit,) if isinstance(self.plan, Plan) and self.plan.is_fact else ()
        self.facts = _facts(kpi, (*named, *unit))
        self.conditions = tuple(Condition(name, (_value(self.facts[name], value),)) for name, value in options.where)
        if design.by:
            arms = tuple(_value(self.facts[design.by], arm) for arm in (design.baseline, design.candidate))
            self.conditions = (*self.conditions, Condition(design.by, arms))
        self.kpi = kpi
        self.narrow = replace(kpi, of=narrowed(kpi.of, self.conditions))

    def parts(self) -> Iterator[Read]:
        """One for each currency; one, where it is no money."""
        if isinstance(self.plan, str):
            yield Read(self.kpi, self.plan)
            return
        beside = self._beside(self.plan)
        for currency in self._currencies(self.plan):
            strata, apart = self.design.strata(self._cells(self.plan, currency), self.plan.measure)
            sliced = [each for fact in self.slices for each in self._sliced(self.plan, currency, fact)]
            yield Read(self.kpi, self.plan, currency, tuple(strata), apart, tuple(sliced), beside)

    def _arms(self, how: Plan, window: int, by: Sequence[str]) -> Arms:
        _, period = self.design.windows[window]
        groups = (*((self.design.by,) if self.design.by else ()), *by)
        asked = Asked(self.narrow, period, self.now_ns, groups)
        return Arms(self.source.dialect, asked, self.facts, how, self.conditions)

    def _ask(self, statement: Statement) -> list[dict[str, Any]]:
        return _rows(self.source, statement)

    def _currencies(self, how: Plan) -> list[str]:
        if how.money is None:
            return [""]
        found: dict[str, int] = {}
        for window in range(len(self.design.windows)):
            for row in self._ask(self._arms(how, window, ()).currencies()):
                if row["currency"] in EXPONENTS:
                    found[row["currency"]] = found.get(row["currency"], 0) + row["n"]
        # Without any amount so far the KPI is one that may still be judged.
        return sorted(found, key=lambda code: (-found[code], code))[:_MOST_CURRENCIES] or [""]

    def _cells(self, how: Plan, currency: str) -> Iterator[Cell]:
        for window, (arm, _) in enumerate(self.design.windows):
            for row in self._ask(self._arms(how, window, ()).sums(currency, not self.design.is_concurrent)):
                yield Cell(arm or row["g0"], window, row["minute"], sums_of(row))

    def _sliced(
        self, how: Plan, currency: str, fact: str
    ) -> Iterator[tuple[str, str | None, tuple[Stratum, ...], Apart]]:
        cells: dict[str | None, list[Cell]] = {}
        group = "g1" if self.design.by else "g0"
        for window, (arm, _) in enumerate(self.design.windows):
            for row in self._ask(self._arms(how, window, (fact,)).sums(currency, not self.design.is_concurrent)):
                cell = Cell(arm or row["g0"], window, row["minute"], sums_of(row))
                cells.setdefault(row[group], []).append(cell)
        for value, of_value in cells.items():
            strata, apart = self.design.strata(of_value, how.measure)
            yield fact, value, tuple(strata), apart

    def _beside(self, how: Plan) -> dict[str, int]:
        """What is said beside the value: records that do not count, and units that are in both arms."""
        told: dict[str, int] = {"hidden": 0, "missing": 0, "unnamed": 0, "crossed": 0}
        for window, (_, period) in enumerate(self.design.windows):
            asked = Asked(self.narrow, period, self.now_ns)
            for statement in accounts(asked, self.source.dialect, self.facts):
                for row in self._ask(statement) if statement.what == "accounts" else ():
                    for name in ("hidden", "missing", "unnamed"):
                        told[name] += row[name] or 0
            arms = self._arms(how, window, ())
            if how.is_fact and self.kpi.kind in ("count", "sum"):
                told["unnamed"] += self._ask(arms.unnamed())[0]["n"]
            # A conversion is of the arm of its entry.
            if how.is_fact and self.design.is_concurrent and self.kpi.kind != "conversion":
                told["crossed"] += self._ask(arms.crossed())[0]["n"]
        return told


def _facts(kpi: KPI, more: Iterable[str]) -> dict[str, Fact]:
    """What is read, by name."""
    table = FactTable((kpi.vocabulary,) if isinstance(kpi.vocabulary, Vocabulary) else kpi.vocabulary)
    facts = {**kpi.facts, **{name: table[name] for name in more if name}}
    wrong = [name for name in more if name and facts[name].kind == "float"]
    if wrong:
        raise SetupError(f"the fact {wrong[0]!r} has too many values to compare by.")
    return facts


def _value(fact: Fact, text: str) -> Value:
    """A value as the fact has it."""
    try:
        if fact.kind == "bool":
            return {"true": True, "false": False}[text.lower()]
        return int(text) if fact.kind == "int" else text
    except (ValueError, KeyError):
        raise SetupError(f"the fact {fact.name!r} is {fact.kind}, so {text!r} is none of its values.") from None


def _parameter(fact: Fact, text: str) -> str | int:
    value = _value(fact, text)
    return str(value).lower() if isinstance(value, bool) else int(value) if isinstance(value, int) else str(value)


def _rows(source: Source, statement: Statement) -> list[dict[str, Any]]:
    """The rows with their cells as what they are: engines give whole numbers as texts."""
    (found,) = source.rows([statement])
    return [
        {
            name: None if value is None else _CASTS[kind](value)
            for (name, kind), value in zip(statement.columns, row, strict=True)
        }
        for row in found
    ]
