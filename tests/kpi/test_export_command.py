"""`bizspan export`: what it finds, where it writes, and its exit codes."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.child import BOUND_S, environment

pytestmark = pytest.mark.once

FILE = """
[tool.bizspan]
time_zone = "Europe/Berlin"
kpi_module = "kpis:KPIS"

[tool.bizspan.vocabulary]
prefix = "shop"

[tool.bizspan.vocabulary.facts.delivery]
dimension = true
owner = "logistics"
meaning = "How the parcel travels."

[tool.bizspan.routes]
"POST /orders" = {operation = "checkout", feature = "one-click"}
"POST /signup" = "signup"

[tool.bizspan.operations."shop.money:Desk.refund"]

[tool.bizspan.tasks]
"shop.tasks.charge" = "charge"

[tool.bizspan.metrics]
"http.server.request.duration" = ["segment"]

[tool.bizspan.kpi.revenue]
kind = "sum"
operation = "checkout"
owner = "sales"
meaning = "What customers paid."
target = {EUR = "10000"}
per = "day"
by = ["delivery"]

[tool.bizspan.kpi.stock]
kind = "recurring"
gauge = "stock.value"
owner = "logistics"
meaning = "What lies in the warehouse."
"""
MODULE = """
from bizspan.kpi import KPI, Distinct
KPIS = [KPI("customers", Distinct(), owner="growth", meaning="Who acted.")]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project with three KPIs, one of which metrics can't tell."""
    (tmp_path / "pyproject.toml").write_text(FILE, encoding="utf-8")
    (tmp_path / "kpis.py").write_text(MODULE, encoding="utf-8")
    return tmp_path


def export(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run `bizspan export` to its end, by the installed script."""
    return subprocess.run(
        [str(Path(sys.executable).with_name("bizspan")), "export", *words],
        env=environment(None, PYTHONUTF8="1"),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=BOUND_S,
        check=False,
    )


def test_rules_are_printed_and_what_is_left_out_is_said(folder: Path) -> None:
    """
    The file goes to the output, the reason to the error stream; options reach the rules.
    """
    ran = export(
        folder, "prometheus", "--gauge", "stock.value=stock_value_EUR", "--rate-change", "0.3", "--volume-change",
        "0.25", "--severity", "page",
    )  # fmt: skip
    groups = yaml.safe_load(ran.stdout)["groups"]
    rules = {group["name"]: group["rules"] for group in groups}

    assert 0 == ran.returncode, ran.stderr
    assert ["bizspan-kpi-revenue", "bizspan-kpi-revenue-target", "bizspan-kpi-stock", "bizspan"] == [*rules]
    assert ran.stderr.startswith("bizspan export: customers is left out: metrics do not know each customer")
    alerts = {
        rule["alert"]: rule
        for group in ("bizspan-kpi-revenue", "bizspan-kpi-stock")
        for rule in rules[group]
        if "alert" in rule
    }
    assert "0.7 * bizspan:kpi_median:4w" in alerts["KpiDropped"]["expr"]
    assert "page" == alerts["KpiDropped"]["labels"]["severity"]
    assert "(stock_value_EUR)" in rules["bizspan-kpi-stock"][0]["expr"]
    assert ">= 144" in rules["bizspan-kpi-revenue"][4]["expr"]


def test_a_file_is_written_as_a_whole(folder: Path) -> None:
    """
    `--output` replaces the file, with the usual rights and nothing left beside it; twice it is the same.
    """
    path = folder / "dashboard.json"
    path.write_text("old", encoding="utf-8")
    words = ("grafana", "--source", "both", "--uid", "shop", "--title", "Shop", "--table", "told.logs")
    first = export(folder, *words, "--output", str(path))
    told = path.read_bytes()
    second = export(folder, *words, "--output", str(path))

    assert (0, f"{path} written\n", "") == (first.returncode, first.stdout, first.stderr)
    assert told == path.read_bytes()
    assert 0 == second.returncode
    mask = os.umask(0)
    os.umask(mask)
    assert 0o666 & ~mask == stat.S_IMODE(path.stat().st_mode)
    assert ["dashboard.json", "kpis.py", "pyproject.toml"] == sorted(
        each.name for each in folder.iterdir() if each.name != "__pycache__"
    )
    dashboard = json.loads(told)
    assert ("shop", "Shop", "Europe/Berlin") == (dashboard["uid"], dashboard["title"], dashboard["timezone"])
    titles = [panel["title"] for panel in dashboard["panels"]]
    assert "revenue by delivery" in titles
    assert "customers by country, events" in titles
    assert b"FROM told.logs" in told
    assert b"otel_logs" not in told


def test_the_catalogue_has_the_files_operations_and_features(folder: Path) -> None:
    """
    Routes, functions, tasks, features and metrics of other libraries are in it, with where they are declared.
    """
    text = export(folder, "catalogue").stdout
    page = export(folder, "catalogue", "--format", "html").stdout

    for name in ("checkout", "signup", "refund", "charge", "one\\-click", "http.server.request.duration", "delivery"):
        assert f"### {name}\n" in text
    assert "| declared at | POST /orders |" in text
    assert "| declared at | shop.money:Desk.refund |" in text
    assert page.startswith("<!doctype html>")
    assert page.endswith("</html>\n")
    assert "<h3>one-click</h3>" in page


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("prometheus", "--kpi", "customers"), 1, "customers is left out"),
        (("prometheus", "--kpi", "customer"), 2, "did you mean 'customers'?"),
        (("prometheus", "--volume-change", "2"), 2, "volume_change is a part of the usual"),
        (("prometheus", "--gauge", "stock.value"), 2, "--gauge is NAME=METRIC"),
        (("prometheus", "--gauge", "a=b{c}"), 2, "--gauge is NAME=METRIC"),
        (("grafana", "--uid", "a b"), 2, "uid has letters"),
        (("grafana", "--table", "a; b"), 2, "is no name of a table"),
        (("grafana", "--output", "nowhere/dashboard.json"), 2, "nowhere/dashboard.json: it can't be written"),
        (("catalogue", "--config", "nowhere.toml"), 2, "nowhere.toml: there is no such file"),
        (("catalogue", "--module", "kpis:NONE"), 2, "can't be imported"),
        (("catalogue", "--module", "kpis:KPIS"), 2, "'customers' is declared twice"),
        (("prometheus", "--kpi", "revenue", "--module", "nowhere:KPIS"), 2, "can't be imported"),
        ((), 2, "the following arguments are required: WHAT"),
    ],
    ids=str,
)
def test_what_goes_wrong_is_said(words: tuple[str, ...], code: int, said: str, folder: Path) -> None:
    """
    1 where no KPI can be exported, 2 for what is wrong, each with a sentence and nothing on the output.
    """
    ran = export(folder, *words)

    assert (code, "") == (ran.returncode, ran.stdout), ran.stderr
    assert said in ran.stderr


def test_without_a_kpi_it_says_where_they_are_declared(tmp_path: Path) -> None:
    """
    Nothing to export is an error with what to do; the catalogue has the standard facts anyway.
    """
    rules, catalogue = export(tmp_path, "prometheus"), export(tmp_path, "catalogue")

    assert (2, "") == (rules.returncode, rules.stdout)
    assert "no KPI is declared; add [tool.bizspan.kpi.NAME]" in rules.stderr
    assert 0 == catalogue.returncode
    assert "### campaign\n" in catalogue.stdout
