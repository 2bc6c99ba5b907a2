"""KPIs as code: definitions, and what they compile to."""

from __future__ import annotations

from bizspan.kpi._arms_reader import CompareOptions
from bizspan.kpi._calendar import Calendar, Period
from bizspan.kpi._catalogue import catalogue
from bizspan.kpi._catalogue_text import as_html, as_markdown
from bizspan.kpi._clickhouse import ClickHouseSource
from bizspan.kpi._compare import compare
from bizspan.kpi._compared import Comparison, Line
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
from bizspan.kpi._design import Design, before_after, concurrent
from bizspan.kpi._dialect import CLICKHOUSE, SQLITE, ClickHouse, Dialect, Sqlite
from bizspan.kpi._emit import Statement
from bizspan.kpi._evaluate import evaluate, statements
from bizspan.kpi._figure import Answer, Figure
from bizspan.kpi._file import Declared, load
from bizspan.kpi._filtered import Filter, filtered
from bizspan.kpi._grafana import grafana_dashboard
from bizspan.kpi._grafana_panels import DashboardOptions
from bizspan.kpi._kpi import KPI
from bizspan.kpi._prometheus import RuleOptions, prometheus_rules
from bizspan.kpi._records import Condition, Records, events, feedback, operations, refunds
from bizspan.kpi._render import answer_data, answer_text, kpi_data, kpi_text, value_text
from bizspan.kpi._source import Source, SqliteSource
from bizspan.kpi._support import TARGETS, matrix, reason

__all__ = [
    "CLICKHOUSE",
    "KPI",
    "SQLITE",
    "TARGETS",
    "Answer",
    "AverageOrderValue",
    "Calendar",
    "ClickHouse",
    "ClickHouseSource",
    "CompareOptions",
    "Comparison",
    "Condition",
    "Conversion",
    "Count",
    "DashboardOptions",
    "Declared",
    "Definition",
    "Design",
    "Dialect",
    "Distinct",
    "Figure",
    "Filter",
    "Line",
    "Period",
    "Quantile",
    "Rates",
    "Ratio",
    "Records",
    "Recurring",
    "Retention",
    "RuleOptions",
    "Source",
    "Sqlite",
    "SqliteSource",
    "Statement",
    "Sum",
    "answer_data",
    "answer_text",
    "as_html",
    "as_markdown",
    "before_after",
    "catalogue",
    "compare",
    "concurrent",
    "evaluate",
    "events",
    "feedback",
    "filtered",
    "grafana_dashboard",
    "kpi_data",
    "kpi_text",
    "load",
    "matrix",
    "operations",
    "prometheus_rules",
    "reason",
    "refunds",
    "statements",
    "value_text",
]
