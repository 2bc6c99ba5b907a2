"""Marks: kept once, read by day or moment, from CSV, and left out of baselines; and stores of the format before."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bizspan import names
from bizspan.cli import main
from bizspan.errors import SetupError
from bizspan.kpi import KPI, Conversion, SqliteSource, events
from bizspan.lens import Mark, Store, _marks, reading
from bizspan.report import Request, as_text, build
from bizspan.report._times import moment_of, period_of
from tests.kpi.stores import Told
from tests.report.shops import BERLIN, DAY, HOUR, WEEK, lens_store, operation


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a time zone, and no store of this user's."""
    (tmp_path / "pyproject.toml").write_text('[tool.bizspan]\ntime_zone = "Europe/Berlin"\n', encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("BIZSPAN_CONFIG", raising=False)
    return tmp_path


NEWER = ("marks", "alerts_said", "hour_counts", "hour_money", "open_hours", "hour_facts", "loose_hours", "facts_until")


def older(path: Path) -> Path:
    """A store of format 1, as it was before there were marks."""
    lens_store(path, [operation("u-1", WEEK.since_ns, minor=100)])
    with closing(sqlite3.connect(path)) as database:
        triggers = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")]
        database.executescript("".join(f"DROP TRIGGER {name}; " for name in triggers))
        database.executescript("".join(f"DROP TABLE {name}; " for name in NEWER) + "PRAGMA user_version = 1;")
    return path


def test_a_store_of_the_format_before_is_read_as_it_is_and_grows_when_written(tmp_path: Path) -> None:
    """
    A reader finds no marks and changes nothing; the next writer adds the tables, and keeps the events.
    """
    path = older(tmp_path / "lens.db")

    assert [] == _marks.listed(path)
    assert not _marks.is_said(path, "a", 1)
    with reading(path) as connection:
        assert (1,) == connection.execute("PRAGMA user_version").fetchone()
    Store(path).close()
    with reading(path) as connection:
        assert (4,) == connection.execute("PRAGMA user_version").fetchone()
        assert (1,) == connection.execute("SELECT count(*) FROM events").fetchone()
    assert 1 == _marks.add(path, [Mark("TV spot", 1, 2)])
    assert ["TV spot"] == [mark.label for mark in _marks.listed(path)]


def test_a_mark_is_added_beside_a_lens_that_runs(tmp_path: Path) -> None:
    """
    Another process's writer is no obstacle.
    """
    with Store(tmp_path / "lens.db"):
        assert 0 == main(["mark", "TV spot", "--from", "2026-03-02T20:15", "--store", "lens.db"])

    assert 1 == len(_marks.listed(tmp_path / "lens.db"))


def test_marks_are_added_listed_and_removed(capsys: pytest.CaptureFixture[str]) -> None:
    """
    A day lasts all of it, in the project's zone; the same mark counts once.
    """
    words = ["mark", "Karfreitag", "--from", "2026-04-03", "--kind", "holiday", "--country", "de"]
    assert 0 == main(words)
    assert 0 == main(words)
    assert ["marked 1, already there 0", "marked 0, already there 1"] == capsys.readouterr().out.splitlines()

    assert 0 == main(["mark", "list", "--format", "json"])
    (told,) = json.loads(capsys.readouterr().out)
    assert {
        "id": 1, "label": "Karfreitag", "from": "2026-04-03T00:00+02:00", "to": "2026-04-04T00:00+02:00",
        "country": "DE", "kind": "holiday",
    } == told  # fmt: skip

    assert 0 == main(["mark", "remove", "1"])
    assert 1 == main(["mark", "remove", "1"])
    assert 0 == main(["mark", "list"])
    assert "no marks; add one" in capsys.readouterr().out


def test_a_file_is_kept_whole_or_not_at_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    With the line of what is wrong.
    """
    (tmp_path / "marks.csv").write_text(
        "label,from,to,country,kind\nChristmas,2026-12-25,2026-12-26,,holiday\n"
        '"New prices, all",2026-03-05T09:00,,,price\n',
        encoding="utf-8-sig",
    )
    assert 0 == main(["mark", "--csv", "marks.csv"])
    assert 0 == main(["mark", "--csv", "marks.csv"])
    assert ["marked 2, already there 0", "marked 0, already there 2"] == capsys.readouterr().out.splitlines()
    christmas, prices = sorted(
        _marks.listed(tmp_path / "state/bizspan/lens.db"), key=lambda mark: mark.label
    )  # fmt: skip
    assert 2 * DAY == christmas.until_ns - christmas.since_ns
    assert ("New prices, all", 1) == (prices.label, prices.until_ns - prices.since_ns)

    (tmp_path / "bad.csv").write_text("label,from\ngood,2026-03-01\nbad,yesterday\n", encoding="utf-8")
    assert 2 == main(["mark", "--csv", "bad.csv"])
    assert "bad.csv:3: 'yesterday' is no day or moment" in capsys.readouterr().err
    assert 2 == len(_marks.listed(tmp_path / "state/bizspan/lens.db"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"what,when\nx,2026-03-01\n", "expected a head line"),
        (b"label,from\n\xff\xfe,2026-03-01\n", "no CSV file in UTF-8"),
        (b"label,from\nx,2026-03-01,more\n", "more cells than columns"),
        (b"label,from,kind\nx,2026-03-01,party\n", "the kind of a mark is one of"),
        (b"label,from,country\nx,2026-03-01,Germany\n", "a code of two letters"),
        (b"label,from\n,2026-03-01\n", "a mark needs a text"),
        (b"label,from,to\nx,2026-03-02,2026-03-01T00:00\n", "ends after it starts"),
        (b"", "expected a head line"),
    ],
)
def test_a_bad_file_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, said: str) -> None:
    """
    What is wrong, and exit code 2.
    """
    (tmp_path / "bad.csv").write_bytes(content)

    assert 2 == main(["mark", "--csv", "bad.csv"])
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mark"], "a mark has a label and a start"),
        (["mark", "x"], "a mark has a label and a start"),
        (["mark", "remove", "x"], "remove takes the number"),
        (["mark", "list", "--store", "none.db"], "does not exist"),
        (["mark", "remove", "1", "--store", "none.db"], "does not exist"),
        (["mark", "x", "--csv", "y"], "--csv has its own"),
        (["mark", "--csv", "none.csv"], "can't be read"),
        (["mark", "x", "--from", "2026-02-30"], "no day or moment"),
        (["mark", "x", "--from", "9999-12-31"], "no day or moment"),
    ],
)
def test_wrong_words_are_said(capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    """
    With exit code 2, and no store is made.
    """
    assert 2 == main(words)
    assert said in capsys.readouterr().err
    assert not Path("none.db").exists()


def test_a_marked_period_is_no_baseline(tmp_path: Path) -> None:
    """
    The week before has a spot: it is compared with the one before that, and says why; unless it shall not.
    """
    shop = [
        operation(f"u-{week}-{number}", WEEK.since_ns - week * 7 * DAY + HOUR, minor=100 * (week + 1))
        for week in range(4)
        for number in range(6)
    ]
    source = SqliteSource(lens_store(tmp_path / "lens.db", shop))
    spot = Mark("TV spot", WEEK.since_ns - 3 * DAY, WEEK.since_ns - 3 * DAY + HOUR, "DE", "campaign")

    usual = build(Request(source, BERLIN, WEEK, WEEK.until_ns, {}, marks=[spot], skips_marked=False))
    skipping = build(Request(source, BERLIN, WEEK, WEEK.until_ns, {}, marks=[spot]))

    def before(report: object) -> list[str]:
        return [row.before_shown for row in getattr(report, "rows") if row.kpi == "revenue"]  # noqa: B009

    assert ["12.00 EUR"] == before(usual)
    assert ["18.00 EUR"] == before(skipping)
    assert "2026-02-23..2026-03-02 is no baseline: TV spot" in as_text(skipping)

    ever = Mark("price change", 0, WEEK.since_ns)
    none = build(Request(source, BERLIN, WEEK, WEEK.until_ns, {}, marks=[ever]))
    assert none.baseline is None
    assert "There is no earlier period to compare with" in as_text(none)


def test_equal_elapsed_time_while_the_week_goes_on(tmp_path: Path) -> None:
    """
    On Wednesday at noon, the week before counts until its Wednesday noon, and what comes later is not known.
    """
    shop = [
        operation(f"u-{day}-{number}", WEEK.since_ns + day * DAY + 13 * HOUR, minor=100)
        for day in range(-7, 7)
        for number in range(5)
    ]
    source = SqliteSource(lens_store(tmp_path / "lens.db", shop))

    report = build(Request(source, BERLIN, WEEK, WEEK.since_ns + 2 * DAY + 12 * HOUR, {}))

    (revenue,) = [row for row in report.rows if row.kpi == "revenue"]
    assert ("10.00 EUR", "10.00 EUR", 0.0) == (revenue.shown, revenue.before_shown, revenue.change)
    assert (5.0, 5.0) == revenue.series  # the third day is not over


def test_entries_of_the_week_before_get_no_more_time_than_those_of_this_one(tmp_path: Path) -> None:
    """
    Carts of both weeks are paid two days later: on Wednesday there is no rise and no fall, and some still have time.
    """
    shop = [
        Told(f"{name}-{week}-{number}", at + delay, name, {names.CUSTOMER: f"{week}-{number}", names.COUNTRY: land}, at)
        for week in (0, 1)
        for number in range(40)
        for land in (("DE", "FR")[number % 2],)
        for at in (WEEK.since_ns - 7 * DAY * week + (number % 3) * DAY + HOUR,)
        for name, delay in (("cart", 0), ("paid", 2 * DAY))
    ]  # fmt: skip
    source = SqliteSource(lens_store(tmp_path / "lens.db", shop))
    paid = KPI("paid", Conversion((events("cart"), events("paid")), window="3d"), owner="shop", meaning="Paid carts.")

    report = build(Request(source, BERLIN, WEEK, WEEK.since_ns + 2 * DAY + 12 * HOUR, {"paid": paid}))

    (row,) = report.rows
    assert ("35.0 %", "35.0 %", 0.0, 26) == (row.shown, row.before_shown, row.change, row.pending)
    assert () == report.movers
    assert "paid: 26 still have time" in as_text(report)


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        ("7d", "2026-03-09", ("2026-03-02", "2026-03-09")),
        ("2026-03-02", "2026-03-09", ("2026-03-02", "2026-03-09")),
        ("2026-03-02", "", ("2026-03-02", "2026-03-12")),
        ("2026-03-02T12:00", "2026-03-02T13:00", ("2026-03-02T12:00", "2026-03-02T13:00")),
        ("2026-03-02T12:00", "", ("2026-03-02T12:00", "2026-03-11T12:00")),
        ("this-week", "2026-03-12", ("2026-03-09", "2026-03-12")),
        ("2026-03", "", ("2026-03-01", "2026-04-01")),
        ("2026-03-01..2026-03-03", "", ("2026-03-01", "2026-03-03")),
    ],
)
def test_periods_as_they_are_typed(since: str, until: str, expected: tuple[str, str]) -> None:
    """
    On Wednesday, 11 March 2026, at noon.
    """
    now = moment_of("2026-03-11T12:00", BERLIN)

    period = period_of(since, until, BERLIN, now)

    assert tuple(moment_of(each, BERLIN) for each in expected) == (period.since_ns, period.until_ns)


@pytest.mark.parametrize(
    ("since", "until", "said"),
    [
        ("tomorrow", "", "'tomorrow' has not begun"),
        ("2026-03-12", "", "2026-03-12.. has not begun: it starts at 2026-03-12T00:00:00+01:00."),
        ("2026-03-12", "2026-03-14", "2026-03-12..2026-03-14 has not begun"),
        ("2026-04", "", "2026-04 has not begun"),
        ("1970-01-01", "", "'1970-01-01' is before 1970 in UTC, from which time is counted."),
        ("1969-12-31T12:00", "", "'1969-12-31T12:00' is before 1970 in UTC"),
    ],
)
def test_a_time_that_has_no_figure_says_why(since: str, until: str, said: str) -> None:
    """
    On Wednesday, 11 March 2026, at noon, in Berlin, where 1970 began an hour early.
    """
    with pytest.raises(SetupError) as error:
        period_of(since, until, BERLIN, moment_of("2026-03-11T12:00", BERLIN))

    assert said in str(error.value)


@pytest.mark.parametrize(("since", "until"), [("2026-03-09", "2026-03-02"), ("soon", ""), ("7d", "soon")])
def test_a_wrong_period_is_said(since: str, until: str) -> None:
    """
    With what is expected.
    """
    with pytest.raises(SetupError):
        period_of(since, until, BERLIN, WEEK.until_ns)
