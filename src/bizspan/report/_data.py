"""
A report for programs: JSON, and CSV for a spreadsheet.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, cast
from zoneinfo import ZoneInfo

from bizspan.report._model import Report, Span
from bizspan.report._tables import clean

SCHEMA: Final = "bizspan.report/1"  # the number grows when a key goes, or changes its meaning
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%", "＝", "＋", "－", "＠")
_COLUMNS: Final[tuple[str, ...]] = (
    "section", "name", "fact", "value_of_fact", "outcome", "reason", "currency", "value", "n", "before", "n_before",
    "change", "target", "per", "met", "low", "high", "since", "until",
)  # fmt: skip


def as_json(report: Report) -> str:
    """One JSON object. Money is text, because a double is not exact; moments are those of the time zone."""
    told = _plain(asdict(report))
    zone = report.time_zone
    factors = told["factors"]
    mine = ("time_zone", "label", "as_of_ns", "span", "baseline", "factors")
    document = {
        "schema": SCHEMA,
        "time_zone": zone,
        "label": report.label,
        "period": _period(report.span, zone),
        "baseline": None if report.baseline is None else _period(report.baseline, zone),
        "as_of": _moment(report.as_of_ns, zone),
        **{name: value for name, value in told.items() if name not in mine},
        "factors": [{**each, "span": _period(of.span, zone)} for each, of in zip(factors, report.factors, strict=True)],
    }
    return json.dumps(document, indent=2)


def as_csv(report: Report) -> str:
    """One table for all sections. A text that a spreadsheet would take for a formula begins with an apostrophe."""
    written = io.StringIO()
    writer: csv.DictWriter[str] = csv.DictWriter(written, _COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for line in _lines(report):
        writer.writerow({name: _cell(value) for name, value in line.items()})
    return written.getvalue().rstrip("\n")


def _lines(report: Report) -> Iterator[dict[str, Any]]:
    for row in report.rows:
        low, high = row.interval or (None, None)
        yield {
            "section": "kpi", "name": row.kpi, "currency": row.currency, "value": row.value, "n": row.n,
            "before": row.before, "change": row.change, "target": row.target, "per": row.per, "met": row.met,
            "low": low, "high": high, "reason": row.error,
        }  # fmt: skip
    for risk in report.risks:
        yield {
            "section": "risk", "name": risk.operation, "outcome": risk.outcome, "reason": risk.reason,
            "currency": risk.currency, "value": risk.amount, "n": risk.n if risk.currency else risk.unpriced,
        }  # fmt: skip
    for mover in report.movers:
        yield {
            "section": "mover", "name": mover.kpi, "fact": mover.fact, "value_of_fact": mover.value,
            "currency": mover.currency, "value": mover.now, "n": mover.n, "before": mover.before,
            "n_before": mover.n_before, "change": mover.impact,
        }  # fmt: skip
    for each in report.outcomes:
        low, high = each.interval or (None, None)
        yield {
            "section": "outcome", "name": each.operation, "outcome": each.outcome, "reason": each.reason,
            "value": each.n / each.of, "n": each.n, "low": low, "high": high,
        }  # fmt: skip
    for factor in report.factors:
        yield {
            "section": "mark", "name": factor.label, "fact": "country", "value_of_fact": factor.country,
            "reason": factor.kind, "since": _moment(factor.span.since_ns, report.time_zone),
            "until": _moment(factor.span.until_ns, report.time_zone),
        }  # fmt: skip
    yield {"section": "beside", "name": "hidden", "n": report.hidden}
    yield {"section": "beside", "name": "missing", "n": report.missing}
    if report.late is not None:
        yield {"section": "beside", "name": "late", "n": report.late}


def _cell(value: Any) -> Any:
    if not isinstance(value, str):
        return {True: "yes", False: "no"}[value] if isinstance(value, bool) else "" if value is None else value
    text = clean(value)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) or value.startswith(_FORMULA) else text


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in cast("dict[str, Any]", value).items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in cast("Sequence[Any]", value)]
    return str(value) if isinstance(value, Decimal) else value


def _period(span: Span, time_zone: str) -> dict[str, str]:
    return {"since": _moment(span.since_ns, time_zone), "until": _moment(span.until_ns, time_zone)}


def _moment(time_ns: int, time_zone: str) -> str:
    zone = UTC if time_zone == "UTC" else ZoneInfo(time_zone)
    return datetime.fromtimestamp(time_ns // 10**9, zone).isoformat(timespec="seconds")
