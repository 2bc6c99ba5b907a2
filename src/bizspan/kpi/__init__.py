"""KPIs as code: definitions, and what they compile to."""

from __future__ import annotations

from bizspan.kpi._calendar import Calendar, Period
from bizspan.kpi._definition import (
    AverageOrderValue,
    Conversion,
    Count,
    Definition,
    Distinct,
    Quantile,
    Rates,
    Ratio,
    Recurring,
    Retention,
    Sum,
)
from bizspan.kpi._file import Declared, load
from bizspan.kpi._kpi import KPI
from bizspan.kpi._records import Condition, Records, events, feedback, operations, refunds

__all__ = [
    "KPI",
    "AverageOrderValue",
    "Calendar",
    "Condition",
    "Conversion",
    "Count",
    "Declared",
    "Definition",
    "Distinct",
    "Period",
    "Quantile",
    "Rates",
    "Ratio",
    "Records",
    "Recurring",
    "Retention",
    "Sum",
    "events",
    "feedback",
    "load",
    "operations",
    "refunds",
]
