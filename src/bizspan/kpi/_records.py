"""
Which records a KPI is about: `Records`, and the functions that name them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from bizspan import names
from bizspan.errors import SetupError

Value = str | int | float | bool
Values = Value | Iterable[Value]

_NOTHING: Final[Mapping[str, Values]] = {}


@dataclass(frozen=True, slots=True)
class Condition:
    """
    What a fact must be.

    Args:
        fact: Its keyword, or its attribute key.
        values: One of these; without any, it is not told at all.
        is_not: None of them instead; a record without the fact passes.
    """

    fact: str
    values: tuple[Value, ...]
    is_not: bool = False


@dataclass(frozen=True, slots=True)
class Records:
    """
    Records of operations or events. Without any name: whatever has what is measured.

    Args:
        operations: Names of operations.
        events: Names of events.
        questions: Names of feedback.
        where: What their facts must be.
    """

    operations: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()
    where: tuple[Condition, ...] = ()

    def __post_init__(self) -> None:
        for kind, told in (("operation", self.operations), ("event", self.events), ("feedback", self.questions)):
            wrong = [name for name in told if not isinstance(cast("object", name), str) or not name.strip()]
            if wrong:
                raise SetupError(f"the name of an {kind} is a text, got {wrong[0]!r}.")
        if names.EVENT_OPERATION in self.events:
            raise SetupError(f"{names.EVENT_OPERATION!r} is every operation; name operations instead.")

    @property
    def is_everything(self) -> bool:
        """Whether no name is told."""
        return not (self.operations or self.events or self.questions)

    def asks(self, fact: str) -> bool:
        """Whether a condition is about this fact."""
        return any(condition.fact == fact for condition in self.where)

    def is_part_of(self, other: Records) -> bool:
        """Whether each of these is also one of the others: the same names, with more conditions."""
        mine, theirs = (
            (set(each.operations), set(each.events), set(each.questions), set(each.where)) for each in (self, other)
        )
        return mine[:3] == theirs[:3] and mine[3] >= theirs[3]


def operations(*called: str, unless: Mapping[str, Values] = _NOTHING, **where: Values) -> Records:
    """
    Operations of these names.

    Args:
        called: Their names.
        unless: Facts that leave a record out, each with one value or a list.
        where: What facts must be, each one value or a list: ``outcome="success"``, ``country=["DE", "AT"]``.

    Raises:
        SetupError: When a value is none.
    """
    return Records(operations=called, where=conditions(where, unless))


def events(*called: str, unless: Mapping[str, Values] = _NOTHING, **where: Values) -> Records:
    """
    Events of these names; see `operations`.

    Raises:
        SetupError: When a value is none.
    """
    return Records(events=called, where=conditions(where, unless))


def refunds(*, unless: Mapping[str, Values] = _NOTHING, **where: Values) -> Records:
    """
    Refunds; see `operations`.

    Raises:
        SetupError: When a value is none.
    """
    return Records(events=(names.EVENT_REFUND,), where=conditions(where, unless))


def feedback(*called: str, unless: Mapping[str, Values] = _NOTHING, **where: Values) -> Records:
    """
    Answers to these questions; see `operations`.

    Raises:
        SetupError: When a value is none.
    """
    return Records(questions=called, where=conditions(where, unless))


def conditions(where: Mapping[str, Values], unless: Mapping[str, Values] = _NOTHING) -> tuple[Condition, ...]:
    """
    What `where` and `unless` say, in one order.

    Raises:
        SetupError: When a value is none.
    """
    told = [
        *(Condition(fact, _values(fact, given)) for fact, given in where.items()),
        *(Condition(fact, _values(fact, given), is_not=True) for fact, given in unless.items()),
    ]
    return tuple(sorted(told, key=lambda each: (each.fact, each.is_not)))


def _values(fact: str, given: object) -> tuple[Value, ...]:
    if isinstance(given, (str, int, float)):
        values: tuple[Any, ...] = (given,)
    elif isinstance(given, Iterable) and not isinstance(given, (bytes, Mapping)):
        values = tuple(cast("Iterable[str]", given))
    else:
        values = ()
    if not values or not all(isinstance(value, (str, int, float)) for value in values):
        raise SetupError(f"the condition {fact!r} takes a text, a number, a boolean, or a list of them; got {given!r}.")
    if any(value != value or value in (float("inf"), float("-inf")) for value in values):
        raise SetupError(f"the condition {fact!r} takes finite numbers.")
    return values
