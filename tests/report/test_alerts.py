"""Alerts of ``bizspan report --alerts``: each rule is judged and posted by itself."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bizspan.cli import main
from tests.report.hooks import Hook, listening
from tests.report.test_command import shop

__all__ = ["shop"]

# Retention by days of two years has too many cohorts: it can't be evaluated, as one finds out when it is.
FAILING = """
[tool.bizspan.kpi.back]
kind = "retention"
owner = "shop"
meaning = "Come back."
every = "day"
target = 0.2
first = {operation = "checkout"}

[tool.bizspan.alert.back_low]
kind = "target"
kpi = "back"
period = "2024-01-01..2026-03-09"
"""
WHY = "bizspan report: alert back_low can't be judged: KPI 'back': over 420 periods; ask for fewer cohorts.\n"


def watch(as_of: str, *words: str) -> int:
    return main(["report", "--alerts", "--store", "lens.db", "--as-of", as_of, *words])


def first(shop: Path, rules: str) -> None:
    """Put tables before those that are there: they are judged first."""
    file = shop / "pyproject.toml"
    told = file.read_text("utf-8")
    at = told.index("[tool.bizspan.alert.paid_low]")
    file.write_text(told[:at] + rules.lstrip() + "\n" + told[at:], encoding="utf-8")


def texts(hook: Hook) -> list[str]:
    """The first line of each message behind its title: the rule, and what it says."""
    return [json.loads(body)["text"].splitlines()[1].partition(":")[0] for _, _, body in hook.got]


@pytest.mark.server
def test_a_rule_that_fails_costs_no_other_one(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    Its name and the reason are on standard error, at each run, with exit code 4; the others are posted, once.
    """
    first(shop, FAILING)
    with listening(Hook()) as hook:
        assert 4 == watch("2026-03-09T08:00", "--webhook", hook.url)
        out, err = capsys.readouterr()
        assert 4 == watch("2026-03-09T08:05", "--webhook", hook.url)

    assert ["paid_low", "nps_low", "leads"] == [line.partition(":")[0] for line in out.splitlines()] == texts(hook)
    assert WHY == err
    assert ("no new alert; 3 said before\n", WHY) == capsys.readouterr()


def test_json_has_the_rule_that_fails(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    With its error, beside those that apply.
    """
    first(shop, FAILING)

    assert 4 == watch("2026-03-09T08:00", "--format", "json")
    told = json.loads(capsys.readouterr().out)
    assert [("paid_low", True), ("nps_low", True), ("leads", True), ("back_low", False)] == [
        (each["alert"], each["new"]) for each in told
    ]
    assert ["KPI 'back': over 420 periods; ask for fewer cohorts."] == [each["error"] for each in told if each["error"]]


def test_what_no_rule_expects_costs_no_other_one(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    Scores of infinity, of both signs, have no sum: the survey's rule says so, and the others apply.
    """
    with closing(sqlite3.connect(shop / "lens.db")) as database:
        for at, score in enumerate((9e999, -9e999)):
            database.execute(
                "UPDATE events SET score = ? WHERE id = (SELECT id FROM events WHERE score IS NOT NULL ORDER BY id"
                " LIMIT 1 OFFSET ?)",
                (score, at),
            )
        database.commit()

    assert 4 == watch("2026-03-09T08:00")
    out, err = capsys.readouterr()
    assert ["paid_low", "leads"] == [line.partition(":")[0] for line in out.splitlines()]
    assert err.startswith("bizspan report: alert nps_low can't be judged: ")


@pytest.mark.server
def test_a_message_that_is_refused_costs_no_other_one(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    What was taken is remembered; what was not is said again, alone.
    """
    with listening(Hook((200, 403, 200, 200))) as hook:
        assert 3 == watch("2026-03-09T08:00", "--webhook", hook.url)
        assert "bizspan report: alert nps_low: the webhook answered HTTP 403.\n" == capsys.readouterr().err
        assert 1 == watch("2026-03-09T08:05", "--webhook", hook.url)
        assert 0 == watch("2026-03-09T08:10", "--webhook", hook.url)

    assert ["paid_low", "nps_low", "leads", "nps_low"] == texts(hook)


def test_nobody_there_is_tried_for_one_rule_alone(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    Where nothing answers, ten rules don't wait ten times; all are said again.
    """
    with listening(Hook()) as hook:
        pass
    assert 3 == watch("2026-03-09T08:00", "--webhook", hook.url)
    assert (
        "bizspan report: alert paid_low: the webhook was tried 2 times: ConnectionRefusedError\n"
        "bizspan report: nobody answers, so that nps_low, leads were not tried; they are said the next time.\n"
    ) == capsys.readouterr().err
    with listening(Hook()) as hook:
        assert 1 == watch("2026-03-09T08:05", "--webhook", hook.url)

    assert ["paid_low", "nps_low", "leads"] == texts(hook)
