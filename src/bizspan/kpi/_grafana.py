"""
KPIs as a dashboard of Grafana: a row for each, over Prometheus, ClickHouse, or both.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from bizspan.kpi._grafana_panels import (
    SOURCES,
    WIDTH,
    ClickHousePanels,
    DashboardOptions,
    Node,
    PrometheusPanels,
    panel_id,
    plain,
)
from bizspan.kpi._kpi import KPI
from bizspan.kpi._promql import NotExpressible


@dataclass(frozen=True, slots=True)
class Dashboard:
    """
    A dashboard.

    Args:
        data: For Grafana, as it reads JSON.
        skipped: By KPI, why no source can show it.
    """

    data: Node
    skipped: Mapping[str, str]

    @property
    def text(self) -> str:
        """The JSON file."""
        return json.dumps(self.data, indent=2, ensure_ascii=False) + "\n"


_DEFAULTS: Final = DashboardOptions()


def grafana_dashboard(kpis: Iterable[KPI], options: DashboardOptions = _DEFAULTS) -> Dashboard:
    """
    A dashboard with a row for each KPI: now, target, trend, by segment, by country and by its own facts.

    Args:
        kpis: Which ones.
        options: How it is made.
    """
    panels: list[Node] = []
    skipped: dict[str, str] = {}
    top = 0
    for kpi in kpis:
        lines, reasons = _lines(kpi, options)
        if not lines:
            skipped[kpi.name] = " ".join(reasons)
            continue
        panels.append(_row(kpi, top))
        top += 1
        for line in lines:
            panels += _placed(line, top)
            top += line[0]["gridPos"]["h"]
    data: Node = {
        "uid": options.uid,
        "title": options.title,
        "description": "Made by `bizspan export grafana`; changes belong into the KPIs.",
        "tags": ["bizspan", "kpi"],
        "timezone": options.time_zone,
        "editable": True,
        "graphTooltip": 1,
        "time": {"from": "now-7d", "to": "now"},
        "refresh": "1m",
        "schemaVersion": 39,
        "templating": {"list": _variables(options)},
        "annotations": {"list": []},
        "panels": panels,
    }
    return Dashboard(data, skipped)


def _variables(options: DashboardOptions) -> list[Node]:
    wanted = [(source, source.capitalize().replace("house", "House"), SOURCES[source]) for source in options.sources]
    return [
        {"type": "datasource", "name": name, "label": label, "query": kind, "hide": 0, "refresh": 1, "regex": ""}
        for name, label, kind in (*wanted, ("traces", "Traces (Tempo)", "tempo"))
    ]


# --- a KPI's panels ---------------------------------------------------------------------------------------------------


def _row(kpi: KPI, top: int) -> Node:
    return {
        "type": "row",
        "id": panel_id(kpi.name, "row"),
        "title": f"{plain(kpi.name)}: {plain(kpi.meaning)}",
        "collapsed": False,
        "gridPos": {"x": 0, "y": top, "w": WIDTH, "h": 1},
        "panels": [],
    }


def _placed(line: list[Node], top: int) -> Iterator[Node]:
    left = 0
    for panel in line:
        at = panel["gridPos"]
        yield {**panel, "gridPos": {"x": left, "y": top, "w": at["w"], "h": at["h"]}}
        left += at["w"]


def _lines(kpi: KPI, options: DashboardOptions) -> tuple[list[list[Node]], list[str]]:
    """The lines of panels, and why a source has none."""
    lines: list[list[Node]] = []
    reasons: list[str] = []
    for source in options.sources:
        try:
            panels = PrometheusPanels(kpi, options) if source == "prometheus" else ClickHousePanels(kpi, options)
            lines += panels.lines()
        except NotExpressible as error:
            reasons.append(f"{source}: {error.reason}")
    return lines, reasons
