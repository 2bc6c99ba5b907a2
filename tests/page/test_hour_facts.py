"""Hours that were counted by customers' facts together say what their events say."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bizspan.kpi import Calendar
from bizspan.lens import Intake, Retention, Store, _hour_facts
from bizspan.page import _few, _queries, _reading
from bizspan.page._blocks import Blocks
from bizspan.page._few import Guard
from bizspan.page._filter import Asked, read
from tests.lens.asking import rows
from tests.page.shop import HOUR_NS, START_NS
from tests.page.test_blocks import more, reading_of, told_of

_BEGIN = START_NS // 10**9
_DAY_NS = 24 * HOUR_NS
_FILTERS = (
    {"segment": "smb"}, {"segment": "smb", "country": "DE"}, {"country": "__none__"},
    {"segment": "smb", "traffic": "all"}, {"version": "__none__", "operation": "basket"},
    {"country": "FR", "outcome": "failed", "traffic": "bot"},
)  # fmt: skip
_PERIODS = ("2026-09-21T14:10..2026-09-22T03:40", "2026-09-21T15:00..2026-09-21T18:00", "2026-09-01..2026-09-30")


def _asked() -> Iterator[Asked]:
    for period in _PERIODS:
        for told in _FILTERS:
            yield read("/", [("period", period), *told.items()], Calendar(), START_NS + 9_000 * HOUR_NS)


def _told(store: Store) -> list[tuple[Any, ...]]:
    with reading_of(store) as connection:
        guards = [Guard(minimum, Blocks()) for minimum in (2, 20)]
        return [
            (told_of(connection, each, None), [guard.is_few(connection, each) for guard in guards]) for each in _asked()
        ]


def not_counted(connection: object) -> None:
    """In the place of `facts_of`: all is read from the events."""


def _of_events_alone(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    with monkeypatch.context() as patch:
        for module in (_reading, _few):
            patch.setattr(module, "facts_of", not_counted)
        return _told(store)


def _read(store: Store) -> list[str]:
    """From which tables all of it is read."""
    with reading_of(store) as connection:
        facts = _queries.facts_of(connection)
        assert facts is not None
        return [table for table, _, _ in facts.stretches(_BEGIN, _BEGIN + 48 * 3_600)]


@pytest.mark.once
@pytest.mark.parametrize("at_once", [1, 70, 1_000])
def test_what_was_counted_says_what_its_events_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """
    While hours last, when they are over, when more of one comes in late, and when their rows are put together.
    """
    monkeypatch.setattr(_hour_facts, "AT_ONCE", at_once)
    monkeypatch.setattr(_hour_facts, "_FEW", min(at_once, 50))
    now = [START_NS]
    with Store(tmp_path / "lens.db", time_ns=lambda: now[0]) as store:
        intake = Intake(store, time_ns=lambda: now[0])
        for hours, count, since in ((0, 300, 0), (4, 30, 2), (9, 40, 5), (9, 500, 7)):
            now[0] = START_NS + hours * HOUR_NS
            more(intake, count, hours + since, since_ns=START_NS + since * HOUR_NS, hours=8 if hours == 0 else 1)
            assert _told(store) == _of_events_alone(store, monkeypatch)
            store.prune()
            assert _told(store) == _of_events_alone(store, monkeypatch)
        counted, kept, loose, until = rows(
            store, "SELECT sum(count), count(*), (SELECT count(*) FROM loose_hours), id FROM hour_facts, facts_until"
        )[0]

    assert (until, 0) == (counted, loose)
    assert (870 if at_once == 1 else 820) <= counted
    assert kept < counted


def test_a_clock_that_runs_ahead_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The hour that a period ends in is read as counted where nothing is later than that; else its events are.
    """
    monkeypatch.setattr(_hour_facts, "_FEW", 1)
    asked = read(
        "/", [("period", "2026-09-21T14:00..2026-09-21T15:30"), ("segment", "smb")], Calendar(), START_NS + _DAY_NS
    )
    with Store(tmp_path / "lens.db", time_ns=lambda: START_NS) as store:
        more(Intake(store), 100, 1, hours=1)
        tables: list[list[str]] = []
        for seed, minutes in ((2, 80), (3, 100)):
            store.prune()
            with reading_of(store) as connection:
                facts = _queries.facts_of(connection)
                tables.append([table for table, _, _ in _queries.stretches_by_facts(facts, asked, ("segment",))])
            more(Intake(store), 5, seed, since_ns=START_NS + minutes * HOUR_NS // 60, hours=1)
            assert _told(store) == _of_events_alone(store, monkeypatch)

    assert [["hour_facts"], ["hour_facts", "events"]] == tables


def test_what_retention_dropped_is_not_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Nor where an older version of the lens drops it, which knows nothing of what was counted; what comes again counts.
    """
    monkeypatch.setattr(_hour_facts, "_FEW", 1)
    now = [START_NS + HOUR_NS]
    with Store(tmp_path / "lens.db", retention=Retention(days=2), time_ns=lambda: now[0]) as store:
        intake = Intake(store, time_ns=lambda: now[0])
        for day in range(2):
            now[0] = START_NS + day * _DAY_NS + 9 * HOUR_NS
            more(intake, 200, day, since_ns=START_NS + day * _DAY_NS, hours=8)
        store.prune()
        with closing(sqlite3.connect(tmp_path / "lens.db")) as older, older:
            last = START_NS + 4 * HOUR_NS
            older.execute("DELETE FROM events WHERE time_ns <= ?", (last,))
            older.execute("INSERT INTO dropped VALUES ('events', 'age', 1, ?)", (last,))
        assert _told(store) == _of_events_alone(store, monkeypatch)
        assert ["hour_facts", "events"] == _read(store)
        now[0] = START_NS + 3 * _DAY_NS
        store.prune()
        left = rows(store, "SELECT sum(count), (SELECT count(*) FROM events) FROM hour_facts")[0]
        more(intake, 200, 0, hours=8)  # again
        store.prune()
        assert _told(store) == _of_events_alone(store, monkeypatch)

    assert (200, 200) == left


def test_dropped_events_of_clocks_that_ran_ahead_are_not_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Their hours lie behind the time until which all may be gone.
    """
    monkeypatch.setattr(_hour_facts, "_FEW", 1)
    now = [START_NS]
    with Store(tmp_path / "lens.db", retention=Retention(days=2), time_ns=lambda: now[0]) as store:
        intake = Intake(store, time_ns=lambda: now[0])
        more(intake, 300, 1, since_ns=START_NS + 4 * HOUR_NS, hours=4)
        now[0] += 3 * HOUR_NS
        more(intake, 50, 2, since_ns=START_NS + 3 * HOUR_NS, hours=5)
        store.prune()
        now[0] = START_NS + 2 * _DAY_NS + HOUR_NS
        store.prune()

        assert [50, 50] == [
            *rows(store, "SELECT count(*) FROM events"),
            *rows(store, "SELECT sum(count) FROM hour_facts"),
        ]
        assert _told(store) == _of_events_alone(store, monkeypatch)
        assert "hour_facts" in _read(store)


def test_a_few_late_events_are_not_worth_putting_their_hour_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Clients that tell late may tell of a hundred hours each half a minute.
    """
    monkeypatch.setattr(_hour_facts, "_FEW", 1)
    with Store(tmp_path / "lens.db", time_ns=lambda: START_NS + 9 * HOUR_NS) as store:
        more(Intake(store), 400, 1, hours=1)
        store.prune()
        loose: list[list[tuple[int, int]]] = []
        for seed, count in ((2, 1), (3, 200)):
            more(Intake(store), count, seed, hours=1)
            store.prune()
            loose.append(rows(store, "SELECT (SELECT sum(count) FROM hour_facts), added FROM loose_hours"))
            assert _told(store) == _of_events_alone(store, monkeypatch)

    assert [[(401, 1)], []] == loose


def test_a_fact_that_looks_like_none_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Although sizes of groups are read as one text, in which a character stands for what is not told.
    """
    monkeypatch.setattr(_hour_facts, "_FEW", 1)
    with Store(tmp_path / "lens.db", time_ns=lambda: START_NS + 9 * HOUR_NS) as store:
        more(Intake(store), 60, 1, hours=1)
        with closing(sqlite3.connect(tmp_path / "lens.db")) as database, database:
            database.execute("UPDATE events SET segment = CASE id % 2 WHEN 1 THEN char(29) END")
        sizes: list[object] = []
        for _ in range(2):
            with reading_of(store) as connection:
                sizes.append(Guard(5, Blocks())._sizes(connection, next(_asked()), ("segment", "country")))
            store.prune()

    assert sizes[0] == sizes[1]


def test_ids_that_begin_anew_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    As they do in an empty table: retention has dropped all, and then more comes in.
    """
    monkeypatch.setattr(_hour_facts, "_FEW", 1)
    now = [START_NS + 9 * HOUR_NS]
    with Store(tmp_path / "lens.db", retention=Retention(days=2), time_ns=lambda: now[0]) as store:
        intake = Intake(store, time_ns=lambda: now[0])
        more(intake, 200, 1, hours=8)
        store.prune()
        now[0] += 3 * _DAY_NS
        store.prune()
        assert [None, 0] == [*rows(store, "SELECT max(id) FROM events"), *rows(store, "SELECT id FROM facts_until")]
        more(intake, 100, 2, since_ns=now[0] - HOUR_NS, hours=1)
        assert _told(store) == _of_events_alone(store, monkeypatch)
        store.prune()

        assert [100] == rows(store, "SELECT sum(count) FROM hour_facts")


def test_ids_that_began_anew_unnoticed_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    An older version of the lens, which knows nothing of this, has dropped all.
    """
    monkeypatch.setattr(_hour_facts, "_FEW", 1)
    with Store(tmp_path / "lens.db", time_ns=lambda: START_NS + 9 * HOUR_NS) as store:
        more(Intake(store), 200, 1, hours=8)
        store.prune()
        with closing(sqlite3.connect(tmp_path / "lens.db")) as older, older:
            older.execute("DELETE FROM events")
        more(Intake(store), 100, 2, hours=8)
        assert _told(store) == _of_events_alone(store, monkeypatch)
        store.prune()

        assert _told(store) == _of_events_alone(store, monkeypatch)
        assert [100] == rows(store, "SELECT sum(count) FROM hour_facts")


@pytest.mark.parametrize("seconds", [1e308, 1e9, -1.0])
def test_durations_that_can_not_be_do_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """
    As in the counts per minute; two of them would add up to what is no number.
    """
    monkeypatch.setattr(_hour_facts, "_FEW", 1)
    with Store(tmp_path / "lens.db", time_ns=lambda: START_NS + 9 * HOUR_NS) as store:
        more(Intake(store), 60, 1, hours=2)
        with closing(sqlite3.connect(tmp_path / "lens.db")) as database, database:
            database.execute("UPDATE events SET duration_s = ? WHERE id % 3 > 0", (seconds,))
        before = _told(store)
        store.prune()
        with reading_of(store) as connection:
            timed = told_of(connection, next(_asked()), None)[0]["segment", "smb"][2]

        assert _told(store) == before == _of_events_alone(store, monkeypatch)
    assert 0 < sum(number for number, _ in timed.values()) < 20


def test_another_writer_counts_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Each event is counted once, whoever wrote it: an import beside a running lens.
    """
    monkeypatch.setattr(_hour_facts, "_FEW", 1)
    with Store(tmp_path / "lens.db") as one, Store(tmp_path / "lens.db") as other:
        for seed in range(6):
            more(Intake(one if seed % 2 else other), 60, seed, hours=2)
            (one if seed % 3 else other).prune()
            assert _told(one) == _of_events_alone(one, monkeypatch)

        assert [360] == rows(one, "SELECT sum(count) FROM hour_facts")


def test_it_is_counted_while_much_comes_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    And not only every half a minute; rows of an hour that lasts are put together when there are many.
    """
    monkeypatch.setattr(_hour_facts, "AT_ONCE", 100)
    monkeypatch.setattr(_hour_facts, "_FEW", 1)
    monkeypatch.setattr(_hour_facts, "_ROWS_MANY", 100)
    with Store(tmp_path / "lens.db", time_ns=lambda: START_NS) as store:
        for seed in range(20):
            more(Intake(store), 30, seed, hours=1)
        before = rows(store, "SELECT sum(count), count(*) FROM hour_facts")[0]
        store.prune()
        after = rows(store, "SELECT sum(count), count(*) FROM hour_facts")[0]
        assert _told(store) == _of_events_alone(store, monkeypatch)

    assert before[0] >= 500
    assert 600 == after[0]
    assert after[1] < before[1] / 2


@pytest.mark.parametrize("hours", [1, 3])
def test_amounts_beyond_64_bits_are_added_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hours: int) -> None:
    """
    Which only invented ones reach: of one hour, whose events are not added up then, or of several.
    """
    monkeypatch.setattr(_hour_facts, "_FEW", 1)
    most = 2**63 - 1
    same = (
        "segment = 'smb', country = 'DE', outcome = 'success', traffic = 'customer', "
        f"revenue_currency = 'EUR', revenue_minor = {most}"
    )
    with Store(tmp_path / "lens.db", time_ns=lambda: START_NS + 9 * HOUR_NS) as store:
        for hour in range(hours):
            more(Intake(store), 3 // hours, hour, since_ns=START_NS + hour * HOUR_NS, hours=1)
        with closing(sqlite3.connect(tmp_path / "lens.db")) as database, database:
            database.execute(f"UPDATE events SET {same}")
        store.prune()
        counted = rows(store, "SELECT count FROM hour_facts")
        with reading_of(store) as connection:
            groups = told_of(connection, next(_asked()), None)[0]

    assert [1, 1, 1] == counted
    assert 3 * most == sum(minor for _, minor in groups["", ""][3].values())
