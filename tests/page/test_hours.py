"""Hours that were added up say what their minutes say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bizspan.kpi import Calendar
from bizspan.lens import Intake, Retention, Store
from bizspan.page import _of_minutes, _queries, _reading, _technical
from bizspan.page._filter import Asked, read
from tests.lens.asking import rows
from tests.page.shop import HOUR_NS, START_NS
from tests.page.test_blocks import QUESTIONS, more, reading_of, told_of
from tests.page.test_hour_facts import not_counted

_PERIODS = (
    "2026-09-21T14:10..2026-09-23T03:40", "2026-09-21T16:00..2026-09-21T17:00", "2026-09-21T16:05..2026-09-21T16:40",
    "2026-09-01..2026-09-30",
)  # fmt: skip


def _asked(time_zone: str = "UTC") -> Iterator[Asked]:
    for period in _PERIODS:
        for told in QUESTIONS:
            yield read("/", [("period", period), *told.items()], Calendar(time_zone), START_NS + 9_000 * HOUR_NS)


def _told(store: Store, time_zone: str = "UTC") -> list[tuple[Any, ...]]:
    with reading_of(store) as connection:
        return [told_of(connection, each, None) for each in _asked(time_zone)]


def _by_minutes(connection: object, asked: Asked) -> list[tuple[str, int, int]]:
    return [("minute", asked.since, asked.until)]


@pytest.mark.once
def test_hours_say_what_minutes_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    When they are over, when more of them comes in late, when that is added up, and when some of it is dropped.
    """
    now = [START_NS]
    with Store(tmp_path / "lens.db", retention=Retention(rollup_days=30), time_ns=lambda: now[0]) as store:
        intake = Intake(store, time_ns=lambda: now[0])
        opened: list[int] = []
        for step, hours in enumerate((0, 20, 20, 50, 50, 24 * 30 + 2)):
            if step % 2 == 0:
                more(intake, 300, step, hours=30)
            now[0] = START_NS + hours * HOUR_NS + HOUR_NS // 3
            store.prune()
            opened.append(rows(store, "SELECT count(*) FROM open_hours")[0])
            if step == 4:
                more(intake, 5, 99, since_ns=START_NS + 3 * HOUR_NS, hours=1)
            hourly = [_told(store, zone) for zone in ("UTC", "Asia/Kolkata")]
            with monkeypatch.context() as patch:
                patch.setattr(_of_minutes, "stretches", _by_minutes)
                patch.setattr(_technical, "stretches", _by_minutes)
                patch.setattr(_reading, "facts_of", not_counted)
                assert hourly == [_told(store, zone) for zone in ("UTC", "Asia/Kolkata")]
        first, hour = rows(store, "SELECT min(first), min(hour) FROM hour_counts")[0]

    assert [30, 10, 10, 0, 0, 0] == opened
    dropped = now[0] // 10**9 - 30 * 86_400
    assert first >= dropped > hour >= dropped - 3_600


def test_what_is_read_of_a_day_are_its_hours(tmp_path: Path) -> None:
    """
    And of hours that are open, and the ends of the period, the minutes.
    """
    with Store(tmp_path / "lens.db", time_ns=lambda: START_NS + 90 * HOUR_NS) as store:
        more(Intake(store), 200, 1)
        store.prune()
        more(Intake(store), 1, 2, since_ns=START_NS + 5 * HOUR_NS, hours=1)
        begin = START_NS // 10**9
        late = begin + 5 * 3_600
        asked = next(_asked())
        with reading_of(store) as connection:
            found = _queries.stretches(connection, asked)

    first, end = -(-asked.since // 3_600) * 3_600, asked.until // 3_600 * 3_600
    assert [
        ("hour", first, end), ("minute", asked.since, first), ("minute", late, late + 3_600),
        ("minute", end, asked.until),
    ] == found  # fmt: skip
