"""
The types that the public signatures speak in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Any, Protocol
from uuid import UUID

# What OpenTelemetry takes as an attribute, after coercion.
Value = str | bool | int | float | Sequence[str] | Sequence[bool] | Sequence[int] | Sequence[float]
Attributes = dict[str, Value]

# Takes one measurement and its attributes.
Replay = Callable[[float, Attributes], None]

# What a caller may tell as a fact. None means "not told".
Plain = str | bool | int | float | Decimal | Enum | UUID | datetime | Sequence[object] | Mapping[str, object] | None

# Arguments arrive by name, in any order; `result` is the return value. Spelled out by length, because pyright
# infers the parameters of a bare lambda from these, and not from `Callable[..., Any]`.
Extractor = (
    Callable[[Any], Any]
    | Callable[[Any, Any], Any]
    | Callable[[Any, Any, Any], Any]
    | Callable[[Any, Any, Any, Any], Any]
)
Fact = Plain | Extractor


class HasAmount(Protocol):
    """Any money object: ours, py-moneyed's, a model of yours."""

    @property
    def amount(self) -> Any: ...

    @property
    def currency(self) -> Any: ...


Number = int | str | float | Decimal | Fraction
Amount = HasAmount | tuple[Number, str]
AmountFact = Amount | Extractor | None
