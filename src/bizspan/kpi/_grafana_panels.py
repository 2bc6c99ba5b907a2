"""
The panels of one KPI in a dashboard of Grafana, over Prometheus or ClickHouse.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, Literal
from urllib.parse import quote
from zlib import crc32

from bizspan import names
from bizspan.errors import SetupError
from bizspan.kpi._definition import Recurring
from bizspan.kpi._dialect import CLICKHOUSE, ClickHouse
from bizspan.kpi._grafana_sql import panel_sql, trend_sql
from bizspan.kpi._kpi import KPI
from bizspan.kpi._promql import NotExpressible, Promql, operations_of, quoted

Source = Literal["prometheus", "clickhouse"]
Node = dict[str, Any]

SOURCES: Final[Mapping[Source, str]] = {"prometheus": "prometheus", "clickhouse": "grafana-clickhouse-datasource"}
WIDTH: Final = 24
_WINDOWS: Final = {"hour": "1h", "day": "1d", "week": "1w", "month": "30d"}
_ALWAYS_BY: Final = ("segment", "country")
_BASIS: Final[Mapping[Source, str]] = {
    "prometheus": "From metrics: an estimate.",
    "clickhouse": "From events, each counted once.",
}
_GOOD, _BAD, _PLAIN = "green", "red", "blue"


@dataclass(frozen=True, slots=True)
class DashboardOptions:
    """
    How a dashboard is made.

    Args:
        sources: What its panels ask.
        uid: What Grafana knows it by: the same uid replaces the dashboard.
        title: Of the dashboard.
        time_zone: Whose days the axes show.
        gauges: How Prometheus calls gauges whose unit is not empty.
        tables: How the tables in ClickHouse are called.

    Raises:
        SetupError: When the uid is none, or no source is named.
    """

    sources: tuple[Source, ...] = ("prometheus",)
    uid: str = "bizspan-kpis"
    title: str = "KPIs"
    time_zone: str = "browser"
    gauges: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)
    tables: ClickHouse = CLICKHOUSE

    def __post_init__(self) -> None:
        plain = self.uid.replace("-", "").replace("_", "")
        if not (plain.isascii() and plain.isalnum() and len(self.uid) <= 40):
            raise SetupError(f"uid has letters, digits, - and _, at most 40; got {self.uid!r}.")
        if not self.sources or not set(self.sources) <= SOURCES.keys():
            raise SetupError("sources are 'prometheus', 'clickhouse', or both.")


class Panels:
    """What panels of both sources share."""

    source: Source

    def __init__(self, kpi: KPI, options: DashboardOptions) -> None:
        self.kpi = kpi
        self.options = options
        self.is_gauge = isinstance(kpi.of, Recurring)
        self.by = kpi.by if self.is_gauge else tuple(dict.fromkeys((*_ALWAYS_BY, *kpi.by)))

    def panel(self, what: str, kind: str, size: tuple[int, int], targets: list[Node], **more: Any) -> Node:
        kpi = self.kpi
        said = [plain(kpi.meaning), f"Owner: {plain(kpi.owner)}.", _BASIS[self.source]]
        note = more.pop("note", "")
        more.setdefault("fieldConfig", {"defaults": self.field(), "overrides": []})
        return {
            "type": kind,
            "id": panel_id(kpi.name, self.source, what),
            "title": f"{plain(kpi.name)} {what}",
            "description": "\n\n".join((*said, note) if note else said),
            "datasource": self.datasource(),
            "gridPos": {"w": size[0], "h": size[1]},
            "links": self.links(),
            "targets": targets,
            **more,
        }

    def datasource(self) -> Node:
        return {"type": SOURCES[self.source], "uid": f"${{{self.source}}}"}

    def field(self) -> Node:
        unit = "percentunit" if self.kpi.is_rate else {"s": "s"}.get(self.kpi.shown_unit, "short")
        return {"unit": unit, "color": {"mode": "thresholds"}, "thresholds": self.thresholds(None), "mappings": []}

    def thresholds(self, target: Decimal | None) -> Node:
        if target is None:
            return {"mode": "absolute", "steps": [{"value": None, "color": _PLAIN}]}
        below, above = (_BAD, _GOOD) if self.kpi.direction == "up" else (_GOOD, _BAD)
        steps: list[Node] = [{"value": None, "color": below}, {"value": float(target), "color": above}]
        return {"mode": "absolute", "steps": steps}

    def links(self) -> list[Node]:
        kpi = self.kpi
        links: list[Node] = []
        operations = operations_of(kpi)
        if operations:
            links.append({"title": "Traces", "url": _traces(operations), "targetBlank": True})
        if kpi.playbook:
            links.append({"title": "Playbook", "url": kpi.playbook.replace("$", "%24"), "targetBlank": True})
        return [{"type": "link", "icon": "external link", "tooltip": "", "tags": [], "asDropdown": False,
                 "includeVars": False, "keepTime": False, **link} for link in links]  # fmt: skip


_REDUCED: Final[Node] = {"calcs": ["lastNotNull"], "fields": "", "values": False}


class PrometheusPanels(Panels):
    """Panels over Prometheus."""

    source: Source = "prometheus"

    def lines(self) -> list[list[Node]]:
        self.promql = Promql(self.kpi, self.options.gauges)
        self.window = "1h" if self.is_gauge else _WINDOWS[self.kpi.per or "day"]
        told = {"1h": "last hour", "1d": "last 24 h", "1w": "last 7 days", "30d": "last 30 days"}[self.window]
        now = [self.target(self.promql.value(self.window), instant=True)]
        options = {"reduceOptions": _REDUCED, "colorMode": "value", "graphMode": "none", "textMode": "value_and_name"}
        first = [self.panel("now" if self.is_gauge else told, "stat", (5, 7), now, options=options)]
        if self.kpi.targets:
            first.append(self.of_target())
        trend = [self.target(self.promql.value("1h"))]
        width = WIDTH - sum(panel["gridPos"]["w"] for panel in first)
        what = "trend" if self.is_gauge else "trend, of an hour each"
        first.append(self.panel(what, "timeseries", (width, 7), trend, fieldConfig=self.drawn()))
        return [first, *self.broken_down()]

    def target(self, expression: str, instant: bool = False, legend: str = "", ref: str = "A") -> Node:
        return {
            "refId": ref,
            "datasource": self.datasource(),
            "expr": expression,
            "legendFormat": legend or ("{{currency}}" if self.is_money else plain(self.kpi.name)),
            "instant": instant,
            "range": not instant,
        }

    @property
    def is_money(self) -> bool:
        return self.kpi.is_money or (self.is_gauge and "" not in self.kpi.targets)

    def drawn(self) -> Node:
        comparable = self.window == "1h" or not self.kpi.per
        target = self.kpi.targets.get("") if comparable else None
        defaults: Node = {**self.field(), "color": {"mode": "palette-classic"}, "thresholds": self.thresholds(target)}
        if target is not None:
            defaults["custom"] = {"thresholdsStyle": {"mode": "line"}}
        return {"defaults": defaults, "overrides": []}

    def of_target(self) -> Node:
        kpi = self.kpi
        targets: list[Node] = []
        for index, (currency, target) in enumerate(kpi.targets.items()):
            value = self.promql.value(self.window)
            chosen = f"sum by (currency) ({value})" if not currency else _of_currency(value, currency)
            legend = f"of {target.normalize():f} {currency}".strip()
            ratio = f"{chosen} / {target.normalize():f}" if target else f"{chosen} * 0"
            targets.append(
                self.target(ratio, instant=True, legend=legend, ref=chr(ord("A") + index % 26) * (1 + index // 26))
            )
        defaults: Node = {
            "unit": "percentunit", "min": 0, "max": 1.5, "color": {"mode": "thresholds"}, "mappings": [],
            "thresholds": self.thresholds(Decimal(1)),
        }  # fmt: skip
        options = {"reduceOptions": _REDUCED, "showThresholdLabels": False, "showThresholdMarkers": True}
        note = "At least 100 % is good." if kpi.direction == "up" else "At most 100 % is good."
        return self.panel(
            "of target", "gauge", (5, 7), targets,
            fieldConfig={"defaults": defaults, "overrides": []}, options=options, note=note,
        )  # fmt: skip

    def broken_down(self) -> list[list[Node]]:
        panels: list[Node] = []
        told = [(name, self.breakdown(name)) for name in self.by]
        shown = [(name, found) for name, found in told if found]
        for name, (expression, label) in shown:
            currency = "{{currency}} " if self.is_money else ""
            target = self.target(expression, instant=True, legend=f"{currency}{{{{{label}}}}}")
            options = {"reduceOptions": _REDUCED, "displayMode": "basic", "orientation": "horizontal",
                       "valueMode": "color", "showUnfilled": True}  # fmt: skip
            note = "" if self.is_gauge else f"Groups below {self.kpi.minimum_group} records are not shown."
            size = (WIDTH // max(1, len(shown)), 8)
            panels.append(self.panel(f"by {plain(name)}", "bargauge", size, [target], options=options, note=note))
        return [panels] if panels else []

    def breakdown(self, name: str) -> tuple[str, str] | tuple[()]:
        try:
            value, (label,) = self.promql.value(self.window, (name,)), self.promql.labels((name,))
        except NotExpressible:
            return ()
        records = self.promql.records(self.window, (name,))
        keys = ", ".join(["currency", label])
        enough = f"\nand on ({keys}) {records} >= {self.kpi.minimum_group}" if records else ""
        return f"sort_desc({value}{enough})", label


class ClickHousePanels(Panels):
    """Panels over the Collector's tables in ClickHouse."""

    source: Source = "clickhouse"

    def lines(self) -> list[list[Node]]:
        options = {"showHeader": True, "cellHeight": "sm"}
        now = self.panel(
            "of the time shown",
            "table",
            (8, 7),
            [self.target(panel_sql(self.kpi, (), self.options.tables))],
            options=options,
        )
        panels: list[Node] = []
        width = WIDTH // max(1, len(self.by))
        for name in self.by:
            targets = [self.target(panel_sql(self.kpi, (name,), self.options.tables))]
            note = "" if self.is_gauge else f"Groups below {self.kpi.minimum_group} are not shown."
            what = f"by {plain(name)}, events"
            panels.append(self.panel(what, "table", (width, 8), targets, options=options, note=note))
        return [[now, *self.trend()], *([panels] if panels else [])]

    def trend(self) -> list[Node]:
        zone = self.options.time_zone
        try:
            sql = trend_sql(self.kpi, "UTC" if zone in ("browser", "utc") else zone, self.options.tables)
        except NotExpressible:
            return []
        what = f"by {'hour' if self.kpi.per == 'hour' else 'day'}, events"
        note = "The first and the last lie in the time shown in part."
        custom = {"drawStyle": "bars", "fillOpacity": 60}
        fields: Node = {"defaults": {**self.field(), "color": {"mode": "palette-classic"}, "custom": custom}}
        target = {**self.target(sql), "queryType": "timeseries", "format": 0}
        return [self.panel(what, "timeseries", (16, 7), [target], fieldConfig={**fields, "overrides": []}, note=note)]

    def field(self) -> Node:
        usual = super().field()
        return {**usual, "unit": "none"} if not self.kpi.is_rate else usual

    def target(self, sql: str) -> Node:
        return {
            "refId": "A",
            "datasource": self.datasource(),
            "editorType": "sql",
            "queryType": "table",
            "format": 1,
            "rawSql": sql,
        }


def _of_currency(expression: str, currency: str) -> str:
    """The part of an expression that is of one currency: matched with a series that has it as its label."""
    return f'({expression}\n  and on (currency) label_replace(vector(0), "currency", {quoted(currency)}, "", ""))'


def plain(text: str) -> str:
    """A text in which Grafana finds no variable: a wide $ and brackets apart."""
    return text.replace("$", "＄").replace("[[", "[ [")


def panel_id(*parts: str) -> int:
    """The same number for the same panel, whatever stands beside it."""
    return crc32("\0".join(parts).encode()) % 1_000_000_000 + 1


def _traces(operations: tuple[str, ...]) -> str:
    """A link to the traces of these operations in Grafana's Explore, of the dashboard's time."""
    # An attribute with dots in TraceQL; texts with escapes as in Go.
    either = " || ".join(f"span.{names.OPERATION_NAME} = {quoted(name)}" for name in operations)
    query = json.dumps(
        {"refId": "A", "queryType": "traceql", "query": f"{{ {either} }}", "limit": 20}, separators=(",", ":")
    )
    before, between, then, end = (
        quote(part, safe="")
        for part in ('{"t":{"datasource":"', f'","queries":[{query}],"range":{{"from":"', '","to":"', '"}}}')
    )
    panes = f"{before}${{traces}}{between}${{__from}}{then}${{__to}}{end}"
    return f"/explore?schemaVersion=1&orgId=${{__org.id}}&panes={panes}"
