"""The business that every variant runs: next to nothing, so that what is measured is the telemetry."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

SEGMENT: Final = "enterprise"
COUNTRY: Final = "DE"
ORDER: Final = "o-4711"
TOTAL: Final = Decimal("42.00")


def place(order: str) -> Decimal:
    """The total of an order, in EUR."""
    return TOTAL
