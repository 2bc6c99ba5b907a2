"""Alerts of ``bizspan report --alerts``: each rule is judged and posted by itself."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bizspan.cli import main
from tests.kpi.stores import Told
from tests.report.hooks import Hook, listening
from tests.report.shops import DAY, HOUR, WEEK, lens_store, operation
from tests.report.test_command import KPIS, event, shop

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


def test_a_hashed_subject_is_named_whole(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    Otherwise nobody finds it again among the events.
    """
    subject = "k1:" + "0123456789abcdef" * 4
    lens_store(shop / "hashed.db", [event("l-1", WEEK.since_ns + DAY, "lead.created", ORDER=subject)])

    assert 1 == main(["report", "--alerts", "--store", "hashed.db", "--as-of", "2026-03-09T08:00"])
    assert capsys.readouterr().out.endswith(f": {subject}\n")


# --- against the usual, and marks -----------------------------------------------------------------------------------


def orders(name: str, where: str = "") -> str:
    """A KPI that counts orders."""
    return f"""
[tool.bizspan.kpi.{name}]
kind = "count"
owner = "shop"
meaning = "Orders."
operation = "checkout"
where = {{outcome = "success"{where}}}
"""


DROP = KPIS + orders("orders") + orders("in_france", ', country = "FR"') + orders("rare", ', country = "AT"') + "\n"
RULES = "\n".join(f'[tool.bizspan.alert.{name}]\nkind = "drop"\nkpi = "{name}"\n' for name in (
    "orders", "revenue", "paid", "in_france", "lost", "rare",
))  # fmt: skip
MONDAY = WEEK.since_ns + 7 * DAY + 10 * HOUR  # 9 March, 10:00, in Berlin
ELEVEN = "2026-03-09T11:05"


def an_hour(back: int, good: int, lost: int) -> list[Told]:
    """This many orders and losses between ten and eleven, so many weeks before."""
    at = MONDAY - back * 7 * DAY + HOUR // 2
    told = [
        operation(f"{back}-{number}", at, minor=1_000, COUNTRY=("AT" if number == 0 else "FR" if number % 2 else "DE"))
        for number in range(good)
    ]
    return told + [operation(f"{back}-lost-{number}", at, outcome="rejected", COUNTRY="DE") for number in range(lost)]


@pytest.fixture
def weeks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """
    Of five weeks the fourth one back is like no other; then a Monday with less than half of the usual.
    """
    hours = [(0, 80, 160), (1, 200, 40), (2, 210, 42), (3, 190, 38), (4, 60, 200), (5, 220, 44)]
    (tmp_path / "pyproject.toml").write_text(DROP + RULES, encoding="utf-8")
    lens_store(tmp_path / "lens.db", [each for hour in hours for each in an_hour(*hour)])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path


def mark(*words: str) -> None:
    assert 0 == main(["mark", *words, "--store", "lens.db"])


def names_of(out: str) -> list[str]:
    return [line.partition(":")[0] for line in out.splitlines() if ": " in line]


def test_a_drop_is_said_against_the_same_hour_of_four_weeks(weeks: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    Of what is expected often enough; a rise where down is good.
    """
    assert 1 == watch(ELEVEN)
    told = "(2026-03-09T10:00+0100, n={n}; median of 4 times before; owner shop)"

    assert [
        f"orders: orders dropped: 80, usually 195 {told.format(n=80)}",
        f"revenue: revenue dropped: 800.00 EUR, usually 1,950.00 EUR {told.format(n=80)}",
        f"paid: paid dropped: 33.3 %, usually 83.3 % {told.format(n=240)}; https://wiki.example.com/checkout",
        f"in_france: in_france dropped: 40, usually 97.5 {told.format(n=40)}",
        f"lost: lost rose: 160, usually 41 {told.format(n=160)}",
    ] == capsys.readouterr().out.splitlines()


def test_a_marked_time_is_no_part_of_the_usual(weeks: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    The week before it stands in, and the alert says what was left out; unless marks shall not count.
    """
    mark("TV spot", "--from", "2026-02-09T10:10", "--to", "2026-02-09T10:20")
    capsys.readouterr()

    assert 1 == watch(ELEVEN)
    assert 0 == watch(ELEVEN, "--no-skip-marked", "--format", "json")
    first, _, others = capsys.readouterr().out.partition("\n")

    assert (
        "orders: orders dropped: 80, usually 205 (2026-03-09T10:00+0100, n=80; median of 4 times before, without"
        " TV spot; owner shop)"
    ) == first
    assert "usually 195 (" in others


def test_nothing_is_said_of_a_marked_hour(weeks: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    But of KPIs that are about another country.
    """
    mark("Rosenmontag", "--from", "2026-03-09", "--country", "DE")
    capsys.readouterr()

    assert 1 == watch(ELEVEN)
    assert ["in_france"] == names_of(capsys.readouterr().out)
    assert 1 == watch("2026-03-09T11:06", "--no-skip-marked")
    assert ["orders", "revenue", "paid", "lost"] == names_of(capsys.readouterr().out)


def test_two_weeks_are_no_usual(weeks: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    A store that is younger than three weeks knows none; one in which each week is marked can't be judged.
    """
    with closing(sqlite3.connect(weeks / "lens.db")) as database:
        database.execute("DELETE FROM events WHERE time_ns < ?", (MONDAY - 2 * 7 * DAY - DAY,))
        database.commit()

    assert 0 == watch(ELEVEN)
    mark("a price", "--from", "2025-01-01", "--to", "2026-03-08", "--kind", "price")
    capsys.readouterr()
    assert 4 == watch(ELEVEN)
    assert "alert orders can't be judged: each of the last 13 times before has a mark" in capsys.readouterr().err


def test_an_alert_names_the_marks_of_its_time(weeks: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    A target that is missed while a spot runs is missed all the same.
    """
    rule = '[tool.bizspan.alert.low]\nkind = "target"\nkpi = "paid"\nperiod = "2026-03-09"\n'
    (weeks / "pyproject.toml").write_text(DROP + rule, encoding="utf-8")
    mark("TV\x1b spot", "--from", "2026-03-09T10:10")
    capsys.readouterr()

    assert 1 == watch("2026-03-10T08:00")
    assert "n=240; owner shop); marked: TV spot; https://wiki.example.com/checkout\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ('kind = "drop"', "kpi is missing"),
        ('kind = "drop"\nkpi = "piad"', "there is no KPI 'piad'"),
        ('kind = "drop"\nkpi = "paid"\nchange = 1', "change is a part of the usual"),
        ('kind = "drop"\nkpi = "paid"\nchange = true', "change is a part of the usual"),
        ('kind = "drop"\nkpi = "paid"\nbelow = 1', "'below' is none of"),
        ('kind = "drop"\nkpi = "back"', "a retention has a value for each cohort"),
    ],
)
def test_a_wrong_rule_is_said(weeks: Path, capsys: pytest.CaptureFixture[str], rule: str, said: str) -> None:
    """
    With the file, and exit code 2.
    """
    back = FAILING.partition("[tool.bizspan.alert")[0]
    (weeks / "pyproject.toml").write_text(f"{DROP}{back}\n[tool.bizspan.alert.mine]\n{rule}\n", encoding="utf-8")

    assert 2 == watch(ELEVEN)
    assert f"alert.mine: {said}" in capsys.readouterr().err


def test_a_period_that_has_just_begun_has_no_drop_yet(weeks: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    Cron runs at full hours: that is no reason to call a rule one that can't be judged.
    """
    file = weeks / "pyproject.toml"
    file.write_text(file.read_text("utf-8").replace('kind = "drop"\n', 'kind = "drop"\nperiod = "today"\n'), "utf-8")

    assert 0 == watch("2026-03-09T00:00")
    assert ("no new alert\n", "") == capsys.readouterr()
