"""``bizspan compare``, as it is typed."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest

from bizspan import names
from bizspan.cli import main
from tests.kpi.far import Engine, serving
from tests.kpi.releases import MINUTE, WEEK, always, rollout
from tests.kpi.stores import HAS_CHDB, NO_CHDB, Told, sqlite_store
from tests.report.shops import lens_store

CONFIG = """
[tool.bizspan.kpi.success]
kind = "ratio"
owner = "shop"
meaning = "Checkouts that went well."
of = {operation = "checkout", where = {outcome = "success"}}
to = {operation = "checkout"}

[tool.bizspan.kpi.revenue]
kind = "sum"
owner = "shop"
meaning = "What customers paid."
operation = "checkout"

[tool.bizspan.kpi.p95]
kind = "quantile"
owner = "shop"
meaning = "How long the slowest checkouts take."
q = 0.95
operation = "checkout"
direction = "down"
"""
ARMS = ["--store", "store.db", "--baseline", "1.4", "--candidate", "1.5"]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with KPIs in its file, where one stands."""
    (tmp_path / "pyproject.toml").write_text(CONFIG, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("BIZSPAN_CONFIG", "BIZSPAN_CLICKHOUSE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path


def worse(shop: Path, country: Callable[[Random, int], str] = lambda random, _: "DE") -> list[Told]:
    """A release that hurts, in the last hour."""
    told = list(rollout(lambda _, new: 0.4 if new else 0.61, until_ns=time.time_ns() - MINUTE, country=country))
    sqlite_store(shop / "store.db", told)
    return told


def test_a_terminal_shows_a_line_for_each_kpi(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    Values, difference, interval, number and verdict; what can't be compared with its reason; the verdict at the end.
    """
    worse(shop)

    code = main(["compare", *ARMS])

    lines = capsys.readouterr().out.splitlines()
    assert 1 == code
    assert lines[0].startswith("service.version 1.5 against 1.4, the same minutes of 20")
    assert ["KPI", "1.4", "1.5", "difference", "95", "%", "n", "verdict"] == lines[3].split()
    (success,) = (line.split() for line in lines if line.startswith("success"))
    assert ["worse", "of", "checkout"] == success[-3:]
    assert success[5].startswith("-2")
    assert success[6] == "points"
    (revenue,) = (line for line in lines if line.startswith("revenue EUR"))
    assert "EUR/h" in revenue
    assert any(line.startswith("p95") and "unclear  not supported: a quantile" in line for line in lines)
    assert "the intervals of all 2 together hold with 95 %, however often one looks" in lines
    assert "worse: success, revenue EUR" == lines[-1]


def test_programs_get_one_schema(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    JSON has every key for every KPI that is compared, with numbers in major units.
    """
    told = worse(shop, country=lambda random, _: random.choice(["DE", "AT"]))

    code = main(["compare", *ARMS, "--format", "json", "--slice", "country", "--kpi", "success", "--kpi", "p95"])

    found = json.loads(capsys.readouterr().out)
    assert (1, 1, 1, "worse", True, 1) == (
        code, found["exit_code"], found["format"], found["verdict"], found["concurrent"], found["tests"],
    )  # fmt: skip
    assert len(told) == sum(found["records"].values())
    success, p95 = found["kpis"]
    assert {
        "kpi", "meaning", "owner", "playbook", "direction", "currency", "measure", "unit", "per", "verdict", "reason",
        "baseline", "candidate", "difference", "low", "high", "p", "n_baseline", "n_candidate", "unmatched", "per_hour",
        "crude_baseline", "crude_candidate", "hidden", "missing", "unnamed", "crossed", "slices", "slices_suppressed",
        "hours", "hours_matched",
    } == set(success)  # fmt: skip
    assert success["low"] < success["difference"] < success["high"] < 0
    assert ["AT", "DE"] == sorted(each["value"] for each in success["slices"])
    assert all("verdict" not in each for each in success["slices"])
    assert ("unclear", None) == (p95["verdict"], p95["unit"])


def test_a_pull_request_gets_a_table(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    Markdown, in which text from the store is neither table nor HTML.
    """
    worse(shop, country=lambda random, _: random.choice(["DE", "<b>|x"]))

    main(["compare", *ARMS, "--format", "md", "--kpi", "success", "--slice", "country"])

    printed = capsys.readouterr().out
    assert printed.startswith("**worse: success**")
    assert "| success | " in printed
    assert "country &lt;b&gt;\\|x" in printed
    assert "<b>" not in printed


def test_control_characters_do_not_reach_the_terminal(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    What somebody sent as a country can't colour or move anything.
    """
    worse(shop, country=lambda random, _: random.choice(["DE", "\x1b[31mAT"]))

    main(["compare", *ARMS, "--slice", "country"])

    assert "\x1b" not in capsys.readouterr().out


def test_without_a_source_it_is_the_store_of_the_lens(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    Nothing but the two versions must be typed where a lens keeps the events.
    """
    worse(shop)
    (shop / "state" / "bizspan").mkdir(parents=True)
    (shop / "store.db").rename(shop / "state" / "bizspan" / "lens.db")

    assert 1 == main(["compare", *ARMS[2:]])


def test_before_and_after_is_labelled(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    It says that nothing was randomised, and against what it compares.
    """
    now = time.time_ns()
    told = [
        event
        for week in range(3)
        for event in rollout(always(0.6 if week else 0.3), minutes=30, until_ns=now - week * WEEK, seed=week + 1)
    ]
    lens_store(shop / "store.db", told)
    at = datetime.fromtimestamp((now - 29 * MINUTE) / 1e9, UTC).isoformat()

    code = main(["compare", "--store", "store.db", "--at", at, "--weeks", "2", "--kpi", "success"])

    printed = capsys.readouterr().out
    assert 1 == code
    assert "against the same weekdays and hours, 2 times before" in printed
    assert "not randomised: whatever else changed at that moment is in these differences" in printed
    assert "left out" not in printed


@pytest.mark.parametrize(
    ("words", "left"),
    [
        ([], 1), (["--no-skip-marked"], 0), (["--where", "country=DE"], 0), (["--where", "country=AT"], 1)
    ],
)  # fmt: skip
def test_what_was_marked_is_left_out_of_before(
    shop: Path, capsys: pytest.CaptureFixture[str], words: list[str], left: int
) -> None:
    """
    By the store's marks, unless they are of another country, or the command says otherwise.
    """
    now = time.time_ns()
    told = [
        event
        for week in range(4)
        for event in rollout(
            always(0.6), minutes=30, until_ns=now - week * WEEK, seed=week + 1,
            country=lambda random, _: random.choice(["AT", "DE"]),
        )
    ]  # fmt: skip
    lens_store(shop / "store.db", told)
    a_week_ago, ended = (
        datetime.fromtimestamp((now - WEEK - minutes * MINUTE) / 1e9, UTC).isoformat() for minutes in (15, 10)
    )
    at = datetime.fromtimestamp((now - 29 * MINUTE) / 1e9, UTC).isoformat()
    store = ["--store", "store.db"]
    assert 0 == main(["mark", "strike", "--from", a_week_ago, "--to", ended, "--country", "AT", *store])
    capsys.readouterr()

    main(["compare", *store, "--at", at, "--weeks", "2", "--kpi", "success", "--format", "json", *words])

    found = json.loads(capsys.readouterr().out)
    assert [["strike"]] * left == [each["marks"] for each in found["left_out"]]
    assert left == sum("strike" in note for note in found["notes"])
    assert 3 == len(found["windows"])


@pytest.mark.server
@pytest.mark.skipif(not HAS_CHDB, reason=NO_CHDB)
def test_marks_stand_in_a_store_beside_clickhouse(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    With both, the events are those of ClickHouse, and the marks those of the store.
    """
    now = time.time_ns()
    at = datetime.fromtimestamp((now - 29 * MINUTE) / 1e9, UTC).isoformat()
    a_week_ago = datetime.fromtimestamp((now - WEEK - 15 * MINUTE) / 1e9, UTC).isoformat()
    engine = Engine()
    engine.engine.load(
        event
        for week in range(4)
        for event in rollout(always(0.6), minutes=30, until_ns=now - week * WEEK, seed=week + 1)
    )
    assert 0 == main(["mark", "strike", "--from", a_week_ago, "--store", "marks.db"])
    capsys.readouterr()
    with serving(engine):
        words = ["--at", at, "--weeks", "2", "--kpi", "success", "--format", "json"]
        main(["compare", "--clickhouse", engine.url, "--store", "marks.db", *words])
        beside = json.loads(capsys.readouterr().out)
        main(["compare", "--clickhouse", engine.url, *words])
        alone = json.loads(capsys.readouterr().out)

    assert [["strike"]] == [each["marks"] for each in beside["left_out"]]
    assert ([], True) == (alone["left_out"], beside["kpis"][0]["n_baseline"] > 0)


def test_a_pipeline_waits_where_better_is_required(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    Equal versions are 0 for "nothing worse" and 3 for "better"; a version that is not there yet is 3.
    """
    sqlite_store(shop / "store.db", rollout(always(0.6), until_ns=time.time_ns() - MINUTE))
    one = ["--kpi", "success"]

    codes = [
        main(["compare", *ARMS, *one]),
        main(["compare", *ARMS, *one, "--require", "better"]),
        main(["compare", *ARMS[:-1], "1.6", *one]),
    ]

    assert [0, 3, 3] == codes
    assert "no record of service.version 1.6 in this time; records: 1.4 (" in capsys.readouterr().out


def test_a_variant_is_compared_by_the_same_command(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    `--by variant --where flag=...` compares a feature flag.
    """
    sqlite_store(
        shop / "store.db",
        [
            replace(each, attributes={**each.attributes, names.OPERATION_OUTCOME: "failed"})
            if each[names.VARIANT] == "on"
            else each
            for each in rollout(
                always(0.6), until_ns=time.time_ns() - MINUTE, flag=lambda random, _: "basket",
                variant=lambda random, _: random.choice(["on", "off"]),
            )
        ],
    )  # fmt: skip
    words = ["--by", "variant", "--baseline", "off", "--candidate", "on", "--where", "flag=basket"]

    assert 1 == main(["compare", "--store", "store.db", *words, "--kpi", "success"])
    assert "variant on against off" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--baseline", "1.4", "--candidate", "1.5"], "say where the events are"),
        ([*ARMS, "--kpi", "succes"], "did you mean 'success'"),
        ([*ARMS, "--by", "versoin"], "did you mean 'version'"),
        ([*ARMS[:2], "--baseline", "1.4"], "two different values"),
        ([*ARMS, "--at", "2026-01-01"], "leave --baseline and --candidate out"),
        ([*ARMS[:2], "--at", "yesterday"], "is no moment"),
        ([*ARMS[:2], "--at", "2026-01-01", "--weeks", "0"], "whole number from 1"),
        ([*ARMS, "--until", "2026-01-01"], "--until belongs to --at"),
        ([*ARMS, "--where", "country"], "--where is FACT=VALUE"),
        ([*ARMS, "--alpha", "2"], "alpha is a number between 0 and 1"),
        (["--store", "no.db", *ARMS[2:]], "there is no such file"),
        ([*ARMS, "--config", "no.toml"], "there is no such file"),
        ([*ARMS, "--period", "tomorrow"], "'tomorrow' has not begun"),
        ([*ARMS, "--period", "2099-01-01"], "2099-01-01 has not begun: it starts at 2099-01-01T00:00:00+00:00."),
    ],
)
def test_wrong_arguments_are_2_with_what_to_write(
    shop: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    """
    One sentence on standard error, exit code 2.
    """
    sqlite_store(shop / "store.db", rollout(always(0.6), minutes=1, until_ns=time.time_ns()))

    assert 2 == main(["compare", *words])

    error = capsys.readouterr().err
    assert error.startswith("bizspan compare: error: ")
    assert said in error


def test_without_any_kpi_it_says_so(
    shop: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    An empty file is no comparison that went well.
    """
    (shop / "pyproject.toml").write_text("", encoding="utf-8")
    worse(shop)

    assert 2 == main(["compare", *ARMS])
    assert "there is no KPI to compare" in capsys.readouterr().err
