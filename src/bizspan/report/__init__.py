"""
Reports: what happened, what it is compared with, and what it cost; from a store of the lens or from ClickHouse.

`build` makes a `Report`; `as_text` and the others write it.
"""

from __future__ import annotations

from bizspan.report._alerts import Alert, Unjudged, alerts
from bizspan.report._build import FACTS, Request, build
from bizspan.report._data import SCHEMA, as_csv, as_json
from bizspan.report._html import as_html
from bizspan.report._model import Factor, Mover, Outcome, Report, Risk, Row, Span
from bizspan.report._rules import Rule, load
from bizspan.report._text import as_markdown, as_text
from bizspan.report._usual import Situation
from bizspan.report._webhook import UnreachedError, Webhook, WebhookError, message, signature

__all__ = [
    "FACTS",
    "SCHEMA",
    "Alert",
    "Factor",
    "Mover",
    "Outcome",
    "Report",
    "Request",
    "Risk",
    "Row",
    "Rule",
    "Situation",
    "Span",
    "Unjudged",
    "UnreachedError",
    "Webhook",
    "WebhookError",
    "alerts",
    "as_csv",
    "as_html",
    "as_json",
    "as_markdown",
    "as_text",
    "build",
    "load",
    "message",
    "signature",
]
