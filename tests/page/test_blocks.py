"""What a page keeps of hours that are over is what counting again says."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from bizspan import names
from bizspan.kpi import Calendar
from bizspan.lens import Intake, Retention, Store
from bizspan.page import _blocks, _reading, _technical
from bizspan.page._blocks import Blocks, pieces
from bizspan.page._filter import Asked, read
from tests.page.shop import HOUR_NS, START_NS, add_event, sold

_DIMENSIONS = ("reason", "segment", "country")
_PERIOD = "2026-09-21T14:10..2026-09-23T03:40"
QUESTIONS = [
    {}, {"operation": "checkout"}, {"segment": "smb"}, {"segment": "smb", "country": "DE"}, {"country": "__none__"},
    {"traffic": "all"}, {"traffic": "bot"},
]  # fmt: skip


def _asked(**told: str) -> Asked:
    return read("/", [("period", _PERIOD), *told.items()], Calendar(), now_ns=START_NS + 1_000 * HOUR_NS)


def more(intake: Intake, count: int, seed: int, *, since_ns: int = START_NS, hours: int = 30) -> None:
    chance = random.Random(seed)
    request = ExportLogsServiceRequest()
    for number in range(count):
        facts: dict[str, Any] = {
            names.OPERATION_NAME: chance.choice(("checkout", "basket")),
            names.OPERATION_OUTCOME: chance.choice((names.SUCCESS, names.FAILED)),
            names.OPERATION_DURATION: chance.randrange(4_000_000) / 1e6,
            names.SEGMENT: chance.choice(("smb", "consumer")),
            names.TRAFFIC: chance.choice(("customer", "customer", "bot")),
            **sold(chance.randrange(100, 9_000), chance.choice(("EUR", "USD"))),
        }  # fmt: skip
        if chance.random() < 0.7:
            facts[names.COUNTRY] = chance.choice(("DE", "FR"))
        add_event(request, f"u-{seed}-{number}", since_ns + chance.randrange(hours * HOUR_NS), facts)
    intake.take("logs", "protobuf", request.SerializeToString())


@contextmanager
def reading_of(store: Store) -> Generator[sqlite3.Connection]:
    with store.reading() as connection:
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM events").fetchone()  # its state begins here
        yield connection


def told_of(connection: sqlite3.Connection, asked: Asked, blocks: Blocks | None) -> tuple[Any, ...]:
    """All that is counted, as what can be compared."""
    counted = _reading.count(connection, asked, _DIMENSIONS, blocks)
    sql: list[str] = []
    bands = _technical.bands(connection, asked, sql, blocks)
    groups = {
        (dimension, value): (each.events, dict(each.operations), each.timed, each.money, each.first, each.last)
        for dimension, values in counted.groups.items()
        for value, each in values.items()
    }
    return groups, counted.hidden, dict(counted.outcomes), dict(counted.revenue), counted.sql, bands, sql


def _differences(store: Store, blocks: Blocks) -> list[dict[str, str]]:
    with reading_of(store) as connection:
        return [
            told
            for told in QUESTIONS
            if told_of(connection, _asked(**told), blocks) != told_of(connection, _asked(**told), None)
        ]


@pytest.mark.parametrize(
    ("since", "until"), [(0, 1), (60, 3_600), (3_540, 90_000), (60, 9 * 86_400 + 60), (86_400, 5 * 86_400)]
)
def test_pieces_are_the_whole_time(since: int, until: int) -> None:
    """
    One after the other, without a gap; what is kept begins and ends with an hour, and lies inside of it.
    """
    found = [*pieces(since, until)]

    assert [since, *(end for _, end, _ in found)] == [*(begin for begin, _, _ in found), until]
    for begin, end, is_whole in found:
        assert is_whole == (begin % 3_600 == 0 and end % 3_600 == 0)


def test_what_is_kept_says_what_counting_again_says(tmp_path: Path) -> None:
    """
    For each filter, again and again, while events of now and of long ago come in, and a request comes twice.
    """
    blocks = Blocks()
    with Store(tmp_path / "lens.db", retention=Retention.everything(), time_ns=lambda: START_NS) as store:
        intake = Intake(store)
        for seed in (1, 2, 3, 3, 4):
            more(intake, 400, seed)
            assert [] == _differences(store, blocks) == _differences(store, blocks)
        more(intake, 5, 5, since_ns=START_NS + 3 * HOUR_NS, hours=1)
        assert [] == _differences(store, blocks)


def _at_once(since: int, until: int) -> list[tuple[int, int, bool]]:
    return [(since, until, False)]


def test_pieces_add_up_to_what_is_counted_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Minutes, series, first and last, and what does not tell a dimension: as of one read of the whole period.
    """
    with Store(tmp_path / "lens.db", retention=Retention.everything(), time_ns=lambda: START_NS) as store:
        more(Intake(store), 1_000, 1)
        with reading_of(store) as connection:
            by_pieces = [told_of(connection, _asked(**told), Blocks()) for told in QUESTIONS]
            monkeypatch.setattr(_blocks, "pieces", _at_once)
            at_once = [told_of(connection, _asked(**told), Blocks()) for told in QUESTIONS]

    assert all(told[0] for told in at_once)
    for pieced, whole in zip(by_pieces, at_once, strict=True):
        assert whole == pieced


def test_what_retention_drops_is_not_kept(tmp_path: Path) -> None:
    """
    Once events or minutes are dropped, they are in no answer any more.
    """
    now = [START_NS]
    blocks = Blocks()
    with Store(tmp_path / "lens.db", retention=Retention(days=1, rollup_days=2), time_ns=lambda: now[0]) as store:
        intake = Intake(store, time_ns=lambda: now[0])
        more(intake, 400, 1)
        assert [] == _differences(store, blocks)
        for days in (2, 40):
            now[0] = START_NS + days * 24 * HOUR_NS
            more(intake, 10, days)
            store.prune()
            assert [] == _differences(store, blocks)


def test_a_page_that_began_earlier_does_not_see_what_came_later(tmp_path: Path) -> None:
    """
    What a later page kept is not shown to one whose state of the store is older; nor the other way round.
    """
    blocks = Blocks()
    with Store(tmp_path / "lens.db", retention=Retention.everything(), time_ns=lambda: START_NS) as store:
        intake = Intake(store)
        more(intake, 400, 1)
        with reading_of(store) as earlier:
            before = told_of(earlier, _asked(), None)
            more(intake, 400, 2)
            with reading_of(store) as later:
                after = told_of(later, _asked(), blocks)
                assert before == told_of(earlier, _asked(), blocks)
                assert after == told_of(later, _asked(), blocks)
    assert before != after


def test_hours_that_are_over_are_not_read_again(tmp_path: Path) -> None:
    """
    After an event of one hour, that hour is counted again, and the ends of the period, and nothing else.
    """
    blocks, read_again = Blocks(), list[tuple[int, int]]()
    begin = START_NS // 10**9 // 86_400 * 86_400
    period = begin + 60, begin + 86_400 + 2 * 3_600

    def count(since: int, until: int) -> tuple[int, int]:
        read_again.append((since, until))
        return since, until

    def ask() -> list[tuple[int, int]]:
        read_again.clear()
        with reading_of(store) as connection:
            found = [*blocks.over(connection, "all", period, count, lambda _: 1)]
        assert period == (found[0][0], found[-1][1])
        return [*read_again]

    with Store(tmp_path / "lens.db", retention=Retention.everything(), time_ns=lambda: START_NS) as store:
        intake = Intake(store)
        more(intake, 10, 1)
        first = ask()
        second = ask()
        more(intake, 1, 2, since_ns=(begin + 86_400) * 10**9, hours=1)
        third = ask()

    assert len(first) > 8
    assert [(begin + 60, begin + 3_600)] == second
    assert [(begin + 60, begin + 3_600), (begin + 86_400, begin + 86_400 + 3_600)] == third


def test_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Beyond so many cells, what was not used for longest goes; what is too large by itself is not kept.
    """
    monkeypatch.setattr(_blocks, "_CELLS_MOST", 100)
    blocks = Blocks()
    read_again: list[int] = []
    with Store(tmp_path / "lens.db", retention=Retention.everything(), time_ns=lambda: START_NS) as store:
        more(Intake(store), 1, 1)

        def count(since: int, until: int) -> int:
            read_again.append(since)
            return 1

        def ask(question: int, cells: int) -> int:
            read_again.clear()
            with reading_of(store) as connection:
                assert [1] == [*blocks.over(connection, question, (0, 3_600), count, lambda _: cells)]
            return len(read_again)

        assert [1] * 12 == [ask(question, 10) for question in range(12)]
        assert [0, 0] == [ask(11, 10), ask(2, 10)]
        assert 1 == ask(1, 10)
        assert [1, 1] == [ask(99, 11), ask(99, 11)]
