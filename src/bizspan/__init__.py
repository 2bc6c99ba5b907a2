"""
Business telemetry for OpenTelemetry: one call turns a business operation into a span, metric points and an event.
"""

from __future__ import annotations

from bizspan._accounts import Diagnostics
from bizspan.configure import Configuration, configure
from bizspan.context import annotate, context
from bizspan.diagnostics import diagnostics
from bizspan.errors import (
    AmountError,
    BizspanError,
    BizspanWarning,
    CurrencyMismatch,
    MissingExtra,
    SetupError,
)
from bizspan.events import cost, event, refund
from bizspan.feedback import feedback
from bizspan.gauges import gauge
from bizspan.money import Money
from bizspan.operation import Operation, operation
from bizspan.vocabulary import Attribute, Vocabulary

__all__ = [
    "AmountError",
    "Attribute",
    "BizspanError",
    "BizspanWarning",
    "Configuration",
    "CurrencyMismatch",
    "Diagnostics",
    "MissingExtra",
    "Money",
    "Operation",
    "SetupError",
    "Vocabulary",
    "annotate",
    "configure",
    "context",
    "cost",
    "diagnostics",
    "event",
    "feedback",
    "gauge",
    "operation",
    "refund",
]
