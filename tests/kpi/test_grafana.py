"""A dashboard of Grafana: what it must look like, what its panels ask, and what they get."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

import pytest

from bizspan.errors import SetupError
from bizspan.kpi import (
    KPI,
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
    events,
    feedback,
    operations,
    refunds,
)
from bizspan.kpi._grafana import Dashboard, grafana_dashboard
from bizspan.kpi._grafana_panels import DashboardOptions
from bizspan.kpi._grafana_sql import panel_sql
from bizspan.kpi._promql import NotExpressible
from tests.kpi.promtool import as_yaml, checked, needs_promtool, run

BOTH = DashboardOptions(("prometheus", "clickhouse"))
KINDS: dict[str, tuple[Definition, dict[str, Any]]] = {
    "revenue": (Sum("revenue", operations("checkout")), {"target": {"EUR": "10000", "JPY": 5}, "per": "day"}),
    "refunds": (Sum("refund", refunds()), {"direction": "down", "by": ("plan",)}),
    "conversion": (Conversion((operations("browse"), operations("checkout"))), {"target": "0.3"}),
    "success": (
        Ratio(Count(operations("checkout", outcome="success")), Count(operations("checkout"))),
        {"target": "0.6", "playbook": "https://wiki.example/${__user.login}"},
    ),
    "average": (AverageOrderValue(), {"target": {"EUR": 40}}),
    "refunded": (Ratio(Sum("refund"), Sum("revenue")), {"direction": "down", "target": "0.1"}),
    "per_order": (Ratio(Sum("revenue", operations("checkout")), Count(operations("checkout"))), {}),
    "slow": (Quantile(0.95, of=operations("checkout")), {"direction": "down", "target": 2}),
    "customers": (Distinct(), {"by": ("customer",)}),
    "nps": (Quantile(0.5, "score", feedback("nps")), {}),
    "mrr": (Recurring("mrr"), {"target": {"EUR": 1000}, "by": ("plan",)}),
    "signups": (Count(events("signup")), {"by": ("country", "campaign"), "minimum_group": 10}),
}


def kpi(name: str, of: Definition, **options: Any) -> KPI:
    told: dict[str, Any] = {"owner": "sales", "meaning": f"What {name} means.", **options}
    return KPI(name, of, **told)


def shop() -> list[KPI]:
    return [kpi(name, of, **options) for name, (of, options) in KINDS.items()]


def panels(dashboard: Dashboard, name: str, kind: str = "") -> list[dict[str, Any]]:
    """The panels of a KPI."""
    return [
        panel
        for panel in dashboard.data["panels"]
        if panel["title"].startswith(f"{name} ") and (not kind or panel["type"] == kind)
    ]


def titles(dashboard: Dashboard, name: str) -> list[str]:
    return [panel["title"].removeprefix(f"{name} ") for panel in panels(dashboard, name)]


def test_each_kpi_is_a_row() -> None:
    """
    Now, target, trend, by segment, by country and by its own dimensions; what metrics can't tell is left out, and said.
    """
    dashboard = grafana_dashboard(shop())

    rows = [panel["title"] for panel in dashboard.data["panels"] if panel["type"] == "row"]
    assert {"conversion", "average", "customers"} == dashboard.skipped.keys()
    assert [f"{name}: What {name} means." for name in KINDS if name not in dashboard.skipped] == rows
    assert [
        "last 24 h", "of target", "trend, of an hour each", "by segment", "by country",
    ] == titles(dashboard, "revenue")  # fmt: skip
    assert ["by segment", "by country", "by plan"] == titles(dashboard, "refunds")[2:]
    assert ["now", "of target", "trend", "by plan"] == titles(dashboard, "mrr")


def test_clickhouse_shows_what_metrics_cannot() -> None:
    """
    Over events every kind but retention has panels; each panel says what it is made from.
    """
    dashboard = grafana_dashboard([*shop(), kpi("retained", Retention(operations("checkout")))], BOTH)

    assert ["retained"] == [*dashboard.skipped]
    assert ["of the time shown", "by segment, events", "by country, events"] == titles(dashboard, "conversion")
    assert ["of the time shown", "by day, events", "by segment, events"] == titles(dashboard, "average")[:3]
    said = {
        panel["datasource"]["type"]: panel["description"].split("\n\n")[2] for panel in panels(dashboard, "revenue")
    }
    assert {
        "prometheus": "From metrics: an estimate.",
        "grafana-clickhouse-datasource": "From events, each counted once.",
    } == said


def test_the_foundation_sdk_reads_and_writes_the_same() -> None:
    """
    Grafana's own types take the dashboard, and nothing of it is lost on the way back.
    """
    sdk = pytest.importorskip("grafana_foundation_sdk.models.dashboard")
    from grafana_foundation_sdk.cog import plugins
    from grafana_foundation_sdk.cog.encoder import JSONEncoder

    plugins.register_default_plugins()
    told = json.loads(grafana_dashboard(shop(), BOTH).text)

    read = sdk.Dashboard.from_json(json.loads(json.dumps(told)))
    back = json.loads(json.dumps(read, cls=JSONEncoder))

    assert [] == sorted(_lost(told, back))
    targets: list[Any] = [target for panel in read.panels for target in _targets(panel)]
    kinds = {type(target).__name__ for target in targets}
    assert {"Dataquery", "UnknownDataquery"} == kinds


def _targets(panel: Any) -> list[Any]:
    found: list[Any] | None = getattr(panel, "targets", None)
    return found or []


def _lost(told: Any, back: Any, path: str = "") -> set[str]:
    """Where what came back is something else; what the types add is their default."""
    if isinstance(told, dict):
        lost: set[str] = set()
        for key, value in cast("dict[str, Any]", told).items():
            if key not in back:
                lost |= set() if value in (None, "", False, [], {}) else {f"{path}.{key}"}
            else:
                lost |= _lost(value, back[key], f"{path}.{key}")
        return lost
    if isinstance(told, list):
        items: list[Any] = cast("Any", told)
        if len(items) != len(back):
            return {path}
        return {each for index, value in enumerate(items) for each in _lost(value, back[index], f"{path}[{index}]")}
    return set() if told == back else {f"{path}: {told!r} became {back!r}"}


def test_a_further_kpi_changes_no_other_panel() -> None:
    """
    Two exports are equal; the uid stays, and so do the ids of panels, each its own.
    """
    few, more = shop()[2:], shop()
    first, again, further = (grafana_dashboard(kpis, BOTH) for kpis in (few, few, more))
    ids = {panel["id"]: panel["title"] for panel in further.data["panels"]}

    assert first.text == again.text
    assert len(ids) == len(further.data["panels"])
    assert {(panel["id"], panel["title"]) for panel in first.data["panels"]} <= ids.items()
    assert "bizspan-kpis" == further.data["uid"]


def test_panels_do_not_overlap() -> None:
    """
    Each panel has its place of the 24 columns.
    """
    taken: set[tuple[int, int]] = set()
    for panel in grafana_dashboard(shop(), BOTH).data["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not taken & cells
        taken |= cells


@needs_promtool
def test_prometheus_takes_each_expression(tmp_path: Path) -> None:
    """
    What the panels ask parses.
    """
    asked = [
        target["expr"] for panel in grafana_dashboard(shop()).data["panels"] for target in panel.get("targets", [])
    ]
    rules = [{"record": f"asked:{index}", "expr": text} for index, text in enumerate(asked)]

    said = checked(as_yaml({"groups": [{"name": "asked", "rules": rules}]}), tmp_path)

    assert f"SUCCESS: {len(asked)} rules found" in said


@needs_promtool
def test_panels_get_the_value_by_currency_and_group(tmp_path: Path) -> None:
    """
    The part of the target is by currency; groups below the minimum are not shown.
    """
    name = 'business_revenue_total{business_operation_name="checkout", business_revenue_currency="%s"%s}'
    grown = {("EUR", ', geo_country_iso_code="DE"'): "0+5x2000", ("EUR", ""): "0x1500 1x500",
             ("JPY", ', geo_country_iso_code="JP"'): "0+1x2000"}  # fmt: skip
    dashboard = grafana_dashboard(shop())
    (gauge,) = panels(dashboard, "revenue", "gauge")
    by_country = panels(dashboard, "revenue", "bargauge")[1]
    euro, yen, country = (target["expr"] for target in (*gauge["targets"], *by_country["targets"]))

    ran = run(
        "groups: []",
        tmp_path,
        {name % key: told for key, told in grown.items()},
        expressions=[(text, 1890) for text in (euro, yen, country)],
    )

    assert ["of 10000 EUR", "of 5 JPY"] == [target["legendFormat"] for target in gauge["targets"]]
    assert {(("currency", "EUR"),): pytest.approx(0.7201)} == ran.values[euro, 1890]
    assert {(("currency", "JPY"),): 288.0} == ran.values[yen, 1890]
    assert {
        (("currency", "EUR"), ("geo_country_iso_code", "DE")): 7200.0,
        (("currency", "JPY"), ("geo_country_iso_code", "JP")): 1440.0,
    } == ran.values[country, 1890]


def test_thresholds_follow_the_direction() -> None:
    """
    Below the target is red where up is good, and green where down is.
    """
    dashboard = grafana_dashboard(shop())
    colours = {
        name: [
            step["color"]
            for step in panels(dashboard, name, "gauge")[0]["fieldConfig"]["defaults"]["thresholds"]["steps"]
        ]
        for name in ("success", "slow")
    }

    assert {"success": ["red", "green"], "slow": ["green", "red"]} == colours
    drawn = panels(dashboard, "success", "timeseries")[0]["fieldConfig"]["defaults"]
    assert [None, 0.6] == [step["value"] for step in drawn["thresholds"]["steps"]]


def test_a_kpi_of_operations_links_to_their_traces() -> None:
    """
    The link opens Explore with a query for spans of the operation, in the dashboard's time.
    """
    name = 'check"out $x } || {'
    dashboard = grafana_dashboard(
        [kpi("it", Count(operations(name, "other"))), kpi("signups", Count(events("signup")))]
    )
    links = panels(dashboard, "it")[0]["links"]

    (link,) = links
    asked = json.loads(unquote(link["url"].partition("&panes=")[2]))
    assert {"from": "${__from}", "to": "${__to}"} == asked["t"]["range"]
    assert "${traces}" == asked["t"]["datasource"]
    assert (
        '{ span.business.operation.name = "check\\"out \\x24x } || {" || span.business.operation.name = "other" }'
        == asked["t"]["queries"][0]["query"]
    )
    assert [] == panels(dashboard, "signups")[0]["links"]


def test_no_text_of_a_kpi_becomes_a_variable() -> None:
    """
    What Grafana would put a variable into is written otherwise: in titles, expressions and SQL.
    """
    nasty = "${__user.email} [[datasource]] $__from '\\"
    told = kpi(
        "it", Count(operations(nasty, segment=nasty)), owner=nasty, meaning=nasty, playbook="https://x.example/$__from"
    )
    dashboard = grafana_dashboard([told], BOTH)
    ours = ("${prometheus}", "${clickhouse}", "${traces}", "${__from}", "${__to}", "${__org.id}")

    left = dashboard.text
    for variable in ours:
        left = left.replace(variable, "")
    assert ("$" not in left, "[[" not in left, "user.email" in left) == (True, True, True)


def test_retention_and_conversion_of_money_say_why() -> None:
    """
    What is more than one statement is left to the commands that do it.
    """
    with pytest.raises(NotExpressible, match="bizspan kpi show"):
        panel_sql(kpi("it", Retention(operations("a"))))
    with pytest.raises(NotExpressible, match="bizspan kpi show"):
        panel_sql(kpi("it", Sum(rates=Rates("EUR", "2026-03-01", {"USD": "0.92"}))))


@pytest.mark.parametrize("uid", ["", "a b", "ä", "x" * 41])
def test_a_uid_that_grafana_refuses_is_refused(uid: str) -> None:
    """
    The uid has letters, digits, dashes and underscores.
    """
    with pytest.raises(SetupError, match="uid has letters"):
        DashboardOptions(uid=uid)
