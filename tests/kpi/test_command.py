"""``bizspan kpi``, as it is typed."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

from bizspan import names
from bizspan.cli import main
from bizspan.kpi import TARGETS, matrix
from tests.kpi.stores import Told, sqlite_store
from tests.kpi.test_definition import FILE

HOUR = 3_600_000_000_000
OWN = """
from bizspan.kpi import KPI, Count, events
KPIS = [KPI("signups", Count(events("signup")), owner="growth", meaning="New customers.")]
TWICE = [KPI("revenue", Count(events("signup")), owner="growth", meaning="The same name.")]
NONE = "signups"
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with KPIs in its file and in Python, and a store."""
    text = FILE.replace("shop.kpis:KPIS", "own_kpis:KPIS")
    (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")
    (tmp_path / "own_kpis.py").write_text(OWN, encoding="utf-8")
    now = time.time_ns()
    facts = {
        names.OPERATION_NAME: "checkout", names.OPERATION_OUTCOME: "success", names.COUNTRY: "DE",
        names.MINOR_UNITS_KEYS[names.REVENUE]: 1050, names.CURRENCY_KEYS[names.REVENUE]: "EUR",
    }  # fmt: skip
    sqlite_store(
        tmp_path / "store.db",
        [Told(f"u-{n}", now - n * HOUR // 100, names.EVENT_OPERATION, facts, now) for n in range(12)],
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "own_kpis", raising=False)
    for name in ("BIZSPAN_CONFIG", "BIZSPAN_CLICKHOUSE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path


def test_list_prints_those_of_the_file_and_of_python(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    One line each, with kind, owner and meaning.
    """
    assert 0 == main(["kpi", "list"])

    lines = capsys.readouterr().out.splitlines()
    assert ["revenue", "sum", "shop:", "What", "customers", "paid."] == lines[0].split()
    assert ["signups", "count", "growth:", "New", "customers."] == lines[-1].split()


def test_show_prints_the_definition_and_with_a_store_the_value(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    With what must be known to trust it.
    """
    assert 0 == main(["kpi", "show", "success"])
    told = capsys.readouterr().out
    assert 0 == main(["kpi", "show", "revenue", "--store", "store.db", "--by", "country", "--compare"])
    shown = capsys.readouterr().out

    assert "Checkouts that succeed." in told
    assert "target 0.95" in told
    assert "126.00 EUR  n=12  target 1,000.00 EUR" in shown
    assert "country DE: 126.00 EUR" in shown
    assert "Europe/Berlin, as of" in shown
    assert "owner shop" in shown


def test_show_as_data_has_the_sql_and_exact_money(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    Money is a text: a double is not exact.
    """
    assert 0 == main(["kpi", "show", "revenue", "--store", "store.db", "--format", "json"])

    told = json.loads(capsys.readouterr().out)
    assert ("126.00", "EUR", 12) == tuple(told["total"][0][key] for key in ("value", "currency", "n"))
    assert ["value", "value", "accounts"] == [each["gives"] for each in told["sql"]]
    assert told["exact"] is False  # it has rates


def test_sql_prints_each_dialect(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    Ready to be pasted.
    """
    assert 0 == main(["kpi", "sql", "success", "--period", "2026-03"])
    sqlite = capsys.readouterr().out
    assert 0 == main(["kpi", "sql", "success", "--dialect", "clickhouse", "--table", "telemetry.logs"])
    clickhouse = capsys.readouterr().out

    assert "-- success: of\nWITH records AS" in sqlite
    assert "FROM events" in sqlite
    assert "operation = 'checkout'" in sqlite
    assert "FROM telemetry.logs" in clickhouse
    assert "LIMIT 1 BY LogAttributes['log.record.uid']" in clickhouse


def test_check_runs_each_kpi(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    All of them on a store; exit code 1 where one cannot be evaluated.
    """
    assert 0 == main(["kpi", "check"])
    assert capsys.readouterr().out.splitlines()[-1] == "11 KPIs, 0 failed"
    assert 0 == main(["kpi", "check", "--store", "store.db", "--format", "json"])
    found = {each["kpi"]: each for each in json.loads(capsys.readouterr().out)}
    assert 12 == found["revenue"]["n"]
    assert "prometheus" in found["buyers"]["not_in"]

    (shop / "empty.db").touch()
    assert 1 == main(["kpi", "check", "--store", "empty.db"])
    assert "failed revenue  empty.db: no such table" in capsys.readouterr().out


def test_a_check_of_nothing_is_not_passed(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    Where no KPI is declared, the gate says so, and ends with 2.
    """
    (shop / "none.toml").write_text("week_start = 'monday'", encoding="utf-8")

    assert 2 == main(["kpi", "check", "--config", "none.toml"])
    printed = capsys.readouterr()
    assert ("", True) == (printed.out, "error: no KPI is declared; add [tool.bizspan.kpi.NAME]" in printed.err)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show", "revenu"], "did you mean 'revenue'"),
        (["show", "nothing_like_it"], "bizspan kpi list"),
        (["show", "revenue", "--store", "nowhere.db"], "no such file"),
        (["show", "revenue", "--store", "store.db", "--period", "soon"], "is no period"),
        (["show", "revenue", "--store", "store.db", "--period", "2099-01"], "2099-01 has not begun: it starts at 2099"),
        (["check", "--store", "store.db", "--period", "2099-01"], "2099-01 has not begun: it starts at 2099"),
        (["show", "revenue", "--clickhouse"], "set BIZSPAN_CLICKHOUSE_URL"),
        (["list", "--config", "nowhere.toml"], "no such file"),
        (["list", "--module", "own_kpis:TWICE"], "declared twice"),
        (["list", "--module", "own_kpis:NONE"], "expected a KPI"),
        (["list", "--module", "nowhere:KPIS"], "can't be imported"),
    ],
)
def test_what_is_wrong_is_said_with_exit_code_2(
    shop: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    """
    One line on standard error, without a traceback.
    """
    monkeypatch.delenv("BIZSPAN_CLICKHOUSE_URL", raising=False)

    assert 2 == main(["kpi", *arguments])

    error = capsys.readouterr().err
    assert said in error
    assert error.startswith("bizspan kpi: error: ")


@pytest.mark.parametrize(
    ("rule", "line", "said"),
    [
        ('kind = "target"\nkpi = "nope"\n', 3, "alert.a1: there is no KPI 'nope'; declared are "),
        ('kind = "target"\nkpi = "revenue"\nperiod = "soon"\n', 4, "alert.a1: 'soon' is no period"),
        ('kind = "score"\n', 1, "alert.a1: feedback is missing."),
        ('kind = "stalled"\nwithin = "3d"\nfirst = {evnt = "x"}\n', 4, "did you mean 'event'?"),
    ],
)
def test_check_looks_at_alerts_too(
    shop: Path, capsys: pytest.CaptureFixture[str], rule: str, line: int, said: str
) -> None:
    """
    A rule that names no KPI is found beside the KPIs, with file and line, and not when it should be said.
    """
    before = len((shop / "pyproject.toml").read_text(encoding="utf-8").splitlines())
    with (shop / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write(f"[tool.bizspan.alert.a1]\n{rule}")

    assert 2 == main(["kpi", "check"])

    error = capsys.readouterr().err
    assert f"pyproject.toml:{before + line}: alert.a1: " in error
    assert said in error
    assert 0 == main(["kpi", "list"])


def test_a_wrong_file_is_said_with_its_line(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    A gate in CI prints where to look.
    """
    path = shop / "pyproject.toml"
    path.write_text(path.read_text("utf-8").replace('owner = "shop"', 'ownr = "shop"', 1), encoding="utf-8")

    assert 2 == main(["kpi", "check"])

    assert f"{path}:8: kpi.revenue.ownr: expected one of" in capsys.readouterr().err


def test_facts_of_the_files_vocabulary_are_known(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    A breakdown by a fact that the same file declares.
    """
    (tmp_path / "bizspan.toml").write_text(
        """
        [vocabulary]
        prefix = "shop"
        [vocabulary.facts.stage]
        meaning = "Where a deal stands."
        [kpi.deals]
        kind = "count"
        owner = "sales"
        meaning = "Deals."
        event = "deal.moved"
        by = ["stage"]
        """,
        encoding="utf-8",
    )

    assert 0 == main(["kpi", "show", "deals", "--config", str(tmp_path / "bizspan.toml")])

    assert "stage is shop.stage" in capsys.readouterr().out


def test_the_reference_has_the_support_matrix() -> None:
    """
    Each kind and target, word for word.
    """
    page = (Path(__file__).parents[2] / "docs" / "reference" / "kpis.md").read_text("utf-8")
    section = page.partition("## Support")[2].partition("\n## ")[0]
    rows = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in section.splitlines() if "|" in line]

    assert ["kind", *TARGETS] == rows[0]
    assert [[kind, *cells] for kind, cells in matrix()] == rows[2:]
