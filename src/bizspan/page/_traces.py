"""
Latest events, and the spans of a trace as a waterfall.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import Any, Final, cast

from bizspan.page import _show
from bizspan.page._filter import Asked
from bizspan.page._html import Html, tag
from bizspan.page._queries import ran
from bizspan.page._statements import traffic_sql, where_sql
from bizspan.page._tables import About, Column, Table, as_html

_SPANS_MOST: Final = 500
_DEEPEST: Final = 24
_KINDS: Final = ("", "internal", "server", "client", "producer", "consumer")
_HOUR_NS: Final = 3600 * 10**9


def latest(connection: sqlite3.Connection, asked: Asked, most: int) -> Table:
    """The newest events, each with a link to its trace."""
    sql: list[str] = []
    conditions, values = where_sql(asked.where)
    traffic_is, traffic_values = traffic_sql(asked)
    rows: list[list[Any]] = []
    for time_ns, name, operation, outcome, reason, segment, country, currency, minor, trace_id in ran(
        connection, sql,
        "SELECT time_ns, name, operation, outcome, reason, segment, country, revenue_currency, revenue_minor, trace_id "
        f"FROM events WHERE time_ns >= ? AND time_ns < ?{conditions}{traffic_is} "
        f"ORDER BY time_ns DESC LIMIT {most}",
        [asked.since * 10**9, asked.until * 10**9, *values, *traffic_values],
    ):  # fmt: skip
        worth = _show.worth(minor, currency)
        rows.append([time_ns, operation or name, outcome, reason, segment, country, worth, (trace_id, time_ns)])
    columns = [
        Column("Time", "time"), Column("What", "text"), Column("Outcome", "text"), Column("Reason", "text"),
        Column("Segment", "text"), Column("Country", "text"), Column("Revenue", "number"), Column("Trace", "trace"),
    ]  # fmt: skip
    told = About(
        f"The newest {most} events of the period. Event time, not time of arrival.", len(rows),
        "events (the table events)", sql=sql,
        notes=("A trace that was not sampled has no spans here; its event is complete all the same.",),
    )  # fmt: skip
    return Table("events", "Latest events", columns, rows, told, shown=most)


def trace(connection: sqlite3.Connection, asked: Asked, trace_id: str) -> list[Html] | None:
    """A trace's spans, and the business events told inside it; None where there is neither."""
    sql: list[str] = []
    spans = ran(
        connection, sql,
        "SELECT span_id, parent, name, kind, service, start_ns, end_ns, status, status_message, operation, attributes "
        f"FROM spans WHERE trace_id = ? ORDER BY start_ns LIMIT {_SPANS_MOST}",
        [trace_id],
    )  # fmt: skip
    at = asked.told("at")
    middle: int | None = (
        min(int(at), 2**63 - 1 - _HOUR_NS)
        if at.isascii() and at.isdigit() and len(at) <= 19
        else spans[0][5]
        if spans
        else None
    )
    events: list[Any] = []
    if middle is not None:
        events = ran(
            connection, sql,
            "SELECT time_ns, name, operation, outcome, reason, revenue_currency, revenue_minor, attributes, span_id "
            "FROM events WHERE trace_id = ? AND time_ns BETWEEN ? AND ? ORDER BY time_ns LIMIT 100",
            [trace_id, middle - _HOUR_NS, middle + _HOUR_NS],
        )  # fmt: skip
    if not spans and not events:
        return None
    return [_waterfall(spans, trace_id), as_html(_events(events, sql), asked, class_="wide")]


def _events(events: list[Any], sql: list[str]) -> Table:
    rows = [
        [
            time_ns, operation or name, outcome, reason,
            _show.worth(minor, currency),
            ", ".join(f"{key}={value}" for key, value in _facts(attributes).items()) or None,
        ]
        for time_ns, name, operation, outcome, reason, currency, minor, attributes, _ in events
    ]  # fmt: skip
    columns = [
        Column("Time", "time"), Column("What", "text"), Column("Outcome", "text"), Column("Reason", "text"),
        Column("Revenue", "number"), Column("Other facts", "text"),
    ]  # fmt: skip
    return Table(
        "trace-events", "Business events of this trace", columns, rows,
        About("Events that carry this trace's id, within an hour around it.", len(rows), "events", sql=sql),
        empty="No business event carries this trace's id.", shown=100,
    )  # fmt: skip


def _waterfall(spans: list[Any], trace_id: str) -> Html:
    if not spans:
        return tag(
            "section",
            tag("h2", "Spans"),
            tag("p", "The lens has no span of this trace: it was not sampled, or traces are sent elsewhere. Its events "
                "are complete all the same.", class_="quiet"),
            class_="card wide",
        )  # fmt: skip
    begin = min(span[5] for span in spans)
    length = max(1, max(span[6] for span in spans) - begin)
    by_id = {span[0]: span for span in spans}
    rows = [_row(span, _depth(span, by_id), begin, length) for span in _ordered(spans)]
    head = tag(
        "tr",
        (
            tag("th", title, scope="col", class_="num" if title == "Took" else None)
            for title in ("Span", "Service", "Took", "When")
        ),
    )
    return tag(
        "section",
        tag("h2", f"Spans of trace {trace_id}", id="spans-title"),
        tag("p", f"{len(spans)} spans, {_show.seconds(length / 1e9)} from the first start to the last end"
            + (f"; only the first {_SPANS_MOST} are shown" if len(spans) == _SPANS_MOST else "") + ".", class_="lead"),
        tag("div", tag("table", tag("thead", head), tag("tbody", rows), class_="waterfall"), class_="scroll",
            tabindex="0", role="region", aria_label="Spans, table"),
        class_="card wide", aria_labelledby="spans-title", id="spans",
    )  # fmt: skip


def _ordered(spans: list[Any]) -> list[Any]:
    """Each span before its children, without recursion, and also where parents go in a circle."""
    ids = {span[0] for span in spans}
    children: dict[str | None, list[Any]] = {}
    for span in spans:
        children.setdefault(span[1] if span[1] in ids else None, []).append(span)
    found: list[Any] = []
    waiting = list(reversed(children.get(None, [])))
    while waiting:
        found.append(span := waiting.pop())
        waiting += reversed(children.pop(span[0], []))
    seen = {span[0] for span in found}
    return found + [span for span in spans if span[0] not in seen]


def _depth(span: Any, by_id: Mapping[str, Any]) -> int:
    depth = 0
    while (span := by_id.get(span[1])) is not None and depth < _DEEPEST:
        depth += 1
    return depth


def _row(span: Any, depth: int, begin: int, length: int) -> Html:
    kind: int = span[3]
    _, _, name, _, service, start, end, status, said, operation, attributes = span
    left, width = 100 * (start - begin) / length, max(0.4, 100 * (end - start) / length)
    bar = tag(
        "svg",
        tag("rect", x=f"{min(left, 99.6):.2f}%", width=f"{width:.2f}%", height="100%", rx="2",
            class_="failed" if status == 2 else "business" if operation else None),
        class_="span-bar", role="img",
        aria_label=f"starts after {_show.seconds((start - begin) / 1e9)}, takes {_show.seconds((end - start) / 1e9)}",
    )  # fmt: skip
    facts = {**({"status": said or "error"} if status == 2 else {}), **_facts(attributes)}
    kind_said = _KINDS[kind] if 0 < kind < len(_KINDS) else ""
    inside = tag(
        "details",
        tag("summary", tag("bdi", _show.cut(name)), tag("span", f" {kind_said}", class_="quiet")),
        tag("dl", ((tag("dt", _show.cut(k)), tag("dd", tag("bdi", _show.cut(str(v), 200)))) for k, v in facts.items()))
        if facts else tag("p", "No attributes.", class_="quiet"),
    )  # fmt: skip
    return tag(
        "tr", tag("th", inside, scope="row", class_=f"depth-{min(depth, 8)}"), tag("td", tag("bdi", service or "–")),
        tag("td", _show.seconds((end - start) / 1e9), class_="num"), tag("td", bar, class_="when"),
    )  # fmt: skip


def _facts(attributes: str) -> dict[str, Any]:
    found = json.loads(attributes)
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}
