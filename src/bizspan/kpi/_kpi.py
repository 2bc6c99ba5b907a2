"""
A KPI: what is measured, who answers for it, and what it should be.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Literal, cast

from bizspan._currencies import EXPONENTS
from bizspan.errors import AmountError, SetupError
from bizspan.kpi._definition import (
    KINDS,
    UNITS,
    Definition,
    Distinct,
    Quantile,
    Ratio,
    Recurring,
    Retention,
    Sum,
    Unit,
    is_additive,
    is_money,
    records_of,
    subjects_of,
)
from bizspan.kpi._facts import Fact, FactTable
from bizspan.kpi._records import Condition
from bizspan.kpi._small import MINIMUM
from bizspan.money import Money
from bizspan.vocabulary import Vocabulary

Number = int | float | str | Decimal
Target = Number | Money | Mapping[str, Number]

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}", re.ASCII)
_MOST_BY: Final = 4


@dataclass(frozen=True, slots=True)
class KPI:
    """
    One number that people steer by.

    Args:
        name: In lower case with underscores: ``"checkout_conversion"``.
        of: What is measured.
        owner: Who answers for it.
        meaning: One line that says what it means.
        playbook: A link to what is done when it is off.
        unit: What its value is of, where that is not plain from the definition: ``"orders"``.
        direction: Whether ``up`` or ``down`` is good.
        target: What it should be: a number; money as `Money`, or by currency: ``{"EUR": "10000"}``.
        per: The period that the target is for; told with the target of what grows with the period, such as a sum.
        by: Facts that it is broken down by.
        minimum_group: Fewer records, or subjects, than this in a group of a breakdown are not shown.
        vocabulary: Declares facts of yours that conditions and breakdowns name.

    Raises:
        SetupError: When the definition does not hold together. The text says what to change.
    """

    name: str
    of: Definition
    owner: str = field(kw_only=True)
    meaning: str = field(kw_only=True)
    playbook: str = field(default="", kw_only=True)
    unit: str = field(default="", kw_only=True)
    direction: Literal["up", "down"] = field(default="up", kw_only=True)
    target: Target | None = field(default=None, kw_only=True, hash=False)
    per: Unit | Literal[""] = field(default="", kw_only=True)
    by: tuple[str, ...] = field(default=(), kw_only=True)
    minimum_group: int = field(default=MINIMUM, kw_only=True)
    vocabulary: Vocabulary | Iterable[Vocabulary] = field(default=(), kw_only=True, hash=False, repr=False)
    facts: Mapping[str, Fact] = field(init=False, hash=False, compare=False, repr=False)
    targets: Mapping[str, Decimal] = field(init=False, hash=False, compare=False, repr=False)
    """The target by currency; under the empty text, where it is no money."""

    def __post_init__(self) -> None:
        if not isinstance(cast("object", self.name), str) or not _NAME.fullmatch(self.name):
            raise SetupError(f"KPI {self.name!r}: a name has small letters, digits and underscores: 'checkout_rate'.")
        try:
            self._check()
        except SetupError as error:
            raise type(error)(f"KPI {self.name!r}: {error}") from None

    def _check(self) -> None:
        if not isinstance(cast("object", self.of), KINDS):
            raise SetupError(f"of is one of {', '.join(kind.__name__ for kind in KINDS)}, got {self.of!r}.")
        for what, text in (("owner", self.owner), ("meaning", self.meaning)):
            if not isinstance(cast("object", text), str) or not text.strip() or "\n" in text:
                raise SetupError(f"{what} is one line of text; a number that nobody explains is not trusted.")
        if not isinstance(cast("object", self.unit), str) or not self.unit.isprintable():
            raise SetupError(f"unit is a text, got {self.unit!r}.")
        if self.playbook and not re.fullmatch(r"https?://[^\s\"'<>]+", str(self.playbook)):
            raise SetupError(f"playbook is a link that begins with https://, got {self.playbook!r}.")
        if self.direction not in ("up", "down"):
            raise SetupError(f"direction is 'up' or 'down', got {self.direction!r}.")
        if isinstance(self.minimum_group, bool) or not isinstance(cast("object", self.minimum_group), int):
            raise SetupError("minimum_group is a whole number from 1.")
        if self.minimum_group < 1:
            raise SetupError("minimum_group is a whole number from 1.")
        told: object = self.by
        by = (told,) if isinstance(told, str) else tuple(self.by)
        object.__setattr__(self, "by", by)
        object.__setattr__(self, "facts", self._resolved())
        self._check_by(by)
        object.__setattr__(self, "targets", self._targets())

    def _resolved(self) -> dict[str, Fact]:
        """The facts that it reads, by the names that it gives them."""
        told = self.vocabulary
        table = FactTable((told,) if isinstance(told, Vocabulary) else told)
        found = {name: table[name] for name in (*self.by, *subjects_of(self.of))}
        for records in records_of(self.of):
            for condition in records.where:
                found[condition.fact] = fact = table[condition.fact]
                _check_condition(condition, fact)
        if isinstance(self.of, Quantile) and found[self.of.value].kind not in ("int", "float"):
            raise SetupError(f"the fact {self.of.value!r} has no numbers; a quantile needs some.")
        return found

    def _check_by(self, by: tuple[str, ...]) -> None:
        if len(set(by)) != len(by) or len(by) > _MOST_BY:
            raise SetupError(f"by is at most {_MOST_BY} facts, each once.")
        for name in by:
            if self.facts[name].kind == "float":
                raise SetupError(f"the fact {name!r} has too many values to break down by.")
        if by and isinstance(self.of, Retention):
            raise SetupError("retention is broken down by cohorts; narrow it by a condition instead of by=.")

    def _targets(self) -> dict[str, Decimal]:
        if self.per and self.per not in UNITS:
            raise SetupError(f"per is one of {', '.join(UNITS)}, got {self.per!r}.")
        if self.target is None:
            return {}
        if is_additive(self.of) and not self.per:
            raise SetupError("a target of what grows with time needs its period: per='day', 'week' or 'month'.")
        if is_money(self.of) or (isinstance(self.of, Recurring) and not _is_number(self.target)):
            return _money_targets(self.target)
        target = _number(self.target)
        if self.is_rate and not 0 <= target <= 1:
            raise SetupError(f"the target of a rate is from 0 to 1, got {self.target!r}.")
        return {"": target}

    @property
    def kind(self) -> str:
        """The kind of its definition: ``count``, ``sum``, ..."""
        return self.of.kind

    @property
    def is_rate(self) -> bool:
        """Whether its value is a part of a whole, from 0 to 1."""
        return (isinstance(self.of, Ratio) and self.of.is_rate) or self.of.kind in ("conversion", "retention")

    @property
    def is_money(self) -> bool:
        """Whether its value is money; of a gauge that shows only when it is read."""
        return is_money(self.of)

    def target_in(self, currency: str) -> Decimal | None:
        """
        The target of a value in this currency; that of money by money is the same in each.

        Args:
            currency: Empty for what is no money.
        """
        return self.targets.get("" if isinstance(self.of, Ratio) and not self.is_money else currency)

    @property
    def shown_unit(self) -> str:
        """What its value is of, for people."""
        if self.unit:
            return self.unit
        if self.is_rate:
            return "%"
        if isinstance(self.of, Quantile):
            return "s" if self.of.value == "duration" else ""
        return f"{self.of.subject}s" if isinstance(self.of, Distinct) else ""


def _check_condition(condition: Condition, fact: Fact) -> None:
    fitting: Mapping[str, tuple[type, ...]] = {
        "text": (str,), "int": (int,), "float": (int, float), "bool": (bool,),
    }  # fmt: skip
    for value in condition.values:
        if not isinstance(value, fitting[fact.kind]) or (isinstance(value, bool) and fact.kind != "bool"):
            raise SetupError(f"the fact {fact.name!r} is {fact.kind}, so {value!r} never fits.")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, str, Decimal)) and not isinstance(value, bool)


def _number(told: object) -> Decimal:
    try:
        value = Decimal(str(told)) if _is_number(told) else Decimal("NaN")
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite():
        raise SetupError(f"the target is a number, got {told!r}.")
    return value


def _money_targets(told: object) -> dict[str, Decimal]:
    if isinstance(told, Money):
        return {told.currency: told.amount}
    if not isinstance(told, Mapping) or not told:
        raise SetupError(f"the target of money is told by currency, as {{'EUR': '10000'}}; got {told!r}.")
    targets: dict[str, Decimal] = {}
    for code, amount in cast("Mapping[str, Any]", told).items():
        if code not in EXPONENTS:
            raise SetupError(f"the target is in {code!r}, which is no currency of ISO 4217.")
        try:
            targets[code] = Money(amount, code).amount
        except AmountError as error:
            raise SetupError(f"the target in {code}: {error}") from None
    return targets


def is_converted(definition: Definition) -> bool:
    """Whether its money is converted into one currency."""
    parts = (definition.of, definition.to) if isinstance(definition, Ratio) else (definition,)
    return any(isinstance(part, Sum) and part.rates is not None for part in parts)
