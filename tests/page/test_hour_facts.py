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
from bizspan.page import _few, _of_events, _queries
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


def _of_events_alone(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    with monkeypatch.context() as patch:
        for module in (_of_events, _few):
            patch.setattr(module, "fact_stretches", lambda _, asked: _queries.all_events(asked))
        return _told(store)


def _counted(store: Store) -> list[int]:
    """Which hours are read as counted, from the beginning."""
    with reading_of(store) as connection:
        asked = read("/", [("period", _PERIODS[2])], Calendar(), START_NS + 9_000 * HOUR_NS)
        return [
            (at - _BEGIN) // 3600
            for table, since, until in _queries.fact_stretches(connection, asked)
            if table == "hour_facts"
            for at in range(since, until, 3600)
        ]


def test_hours_say_what_their_events_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    While they last, when they are over, when more of one comes in late, and when that is counted.
    """
    now = [START_NS]
    with Store(tmp_path / "lens.db", time_ns=lambda: now[0]) as store:
        intake = Intake(store, time_ns=lambda: now[0])
        more(intake, 300, 1, hours=8)
        known: list[list[int]] = []
        for hours, late in ((0, False), (4, False), (9, True), (9, False)):
            now[0] = START_NS + hours * HOUR_NS
            store.prune()
            if late:
                more(intake, 40, 2, since_ns=START_NS + 2 * HOUR_NS, hours=1)
            known.append(_counted(store))
            assert _told(store) == _of_events_alone(store, monkeypatch)

    every = [*range(8)]
    assert [[], every[:4], [hour for hour in every if hour != 2], every] == known


def test_what_retention_dropped_is_not_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Nor where an older version of the lens drops it, which knows nothing of these hours; and what comes again counts.
    """
    now = [START_NS + HOUR_NS]
    with Store(tmp_path / "lens.db", retention=Retention(days=2), time_ns=lambda: now[0]) as store:
        intake = Intake(store, time_ns=lambda: now[0])
        for day in range(2):
            now[0] = START_NS + day * _DAY_NS + 9 * HOUR_NS
            more(intake, 200, day, since_ns=START_NS + day * _DAY_NS, hours=8)
        store.prune()
        before = _counted(store)
        with closing(sqlite3.connect(tmp_path / "lens.db")) as older, older:
            last = START_NS + 4 * HOUR_NS
            older.execute("DELETE FROM events WHERE time_ns <= ?", (last,))
            older.execute("INSERT INTO dropped VALUES ('events', 'age', 1, ?)", (last,))
        assert _told(store) == _of_events_alone(store, monkeypatch)
        by_older = _counted(store)
        now[0] = START_NS + 3 * _DAY_NS
        store.prune()
        left = rows(store, "SELECT count(DISTINCT hour), (SELECT count(*) FROM fact_hours) FROM hour_facts")[0]
        more(intake, 200, 0, hours=8)  # again
        store.prune()
        assert _told(store) == _of_events_alone(store, monkeypatch)

    assert [*range(8), *range(24, 32)] == before
    assert min(by_older) == 5
    assert (8, 8) == left


def test_an_hour_of_which_little_agrees_is_read_from_its_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    As where each campaign has a name of its own; it would take as much again as the events.
    """
    monkeypatch.setattr(_hour_facts, "_ROWS_LEAST", 10)
    with Store(tmp_path / "lens.db", time_ns=lambda: START_NS + 9 * HOUR_NS) as store:
        more(Intake(store), 400, 1, hours=2)
        with closing(sqlite3.connect(tmp_path / "lens.db")) as database, database:
            database.execute(f"UPDATE events SET campaign = uid WHERE time_ns >= {START_NS + HOUR_NS}")
        store.prune()

        assert [] == rows(store, f"SELECT hour FROM hour_facts WHERE hour >= {_BEGIN + 3600}")
        assert {0, 1} > {*_counted(store)}
        assert _told(store) == _of_events_alone(store, monkeypatch)


def test_an_hour_of_very_many_events_is_read_from_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    To count it would hold up what comes in meanwhile.
    """
    monkeypatch.setattr(_hour_facts, "_EVENTS_MOST", 100)
    with Store(tmp_path / "lens.db", time_ns=lambda: START_NS + 9 * HOUR_NS) as store:
        more(Intake(store), 80, 1, hours=1)
        more(Intake(store), 400, 2, since_ns=START_NS + 3 * HOUR_NS, hours=1)
        store.prune()

        assert 80 == rows(store, "SELECT sum(count) FROM hour_facts")[0]
        assert _told(store) == _of_events_alone(store, monkeypatch)


@pytest.mark.parametrize("hours", [1, 3])
def test_amounts_beyond_64_bits_are_added_up(tmp_path: Path, hours: int) -> None:
    """
    Which only invented ones reach: of one hour, which is not counted then, or of several.
    """
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
        counted = _counted(store)
        with reading_of(store) as connection:
            groups = told_of(connection, next(_asked()), None)[0]

    assert ([] if hours == 1 else [*range(hours)]) == counted
    assert 3 * most == sum(minor for _, minor in groups["", ""][3].values())
