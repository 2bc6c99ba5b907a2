"""The store: one fact counts once, counts per minute agree with the events, and files of others are left alone."""

from __future__ import annotations

import sqlite3
import stat
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from bizspan import names
from bizspan.errors import SetupError
from bizspan.lens import Intake, Retention, Store, Stored, StoreError, _retention, reading
from bizspan.lens import _insert as inserting
from bizspan.lens._layout import INDEX
from bizspan.lens._logs import LogDecoder
from bizspan.lens._prepared import Prepared
from bizspan.lens._rollups import VALUES_MOST, Admitted, Deltas
from tests.lens.asking import rows
from tests.lens.requests import START_NS, Shop, Sold
from tests.wire import events

TOTAL = "SELECT sum(count) FROM minute_counts WHERE dimension = ''"
MONEY = "SELECT sum(minor) FROM minute_money WHERE dimension = ''"


def test_an_event_that_is_sent_again_counts_once(intake: Intake, store: Store) -> None:
    """
    The same request twice, and one that overlaps: only what is new is stored, and the counts per minute agree.
    """
    first, second = Shop().requests(20, size=10)

    assert Stored(10, 0) == intake.take("logs", "protobuf", first)
    assert Stored(0, 10) == intake.take("logs", "protobuf", first)
    assert Stored(10, 10) == intake.take("logs", "protobuf", first + second)
    assert [20] == rows(store, "SELECT count(*) FROM events") == rows(store, TOTAL)


def test_an_event_twice_in_one_request_counts_once(intake: Intake, store: Store) -> None:
    """
    Also where both copies come at once.
    """
    (request,) = Shop().requests(7)

    assert Stored(7, 7) == intake.take("logs", "protobuf", request + request)
    assert [7] == rows(store, TOTAL)


def test_of_two_events_with_one_uid_the_one_that_is_stored_counts(intake: Intake, store: Store) -> None:
    """
    Also where they say different things, and rows go in by time: the minutes agree with the events.
    """
    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    told = [(f"u{number}", number + 2, "pad") for number in range(300)]
    for uid, second, operation in [*told[:260], ("same", 301, "late"), *told[260:], ("same", 1, "early")]:
        record = records.add(time_unix_nano=START_NS + second * 10**9, event_name=names.EVENT_OPERATION)
        for key, value in ((names.RECORD_UID, uid), (names.OPERATION_NAME, operation)):
            record.attributes.add(key=key).value.string_value = value
    batch = LogDecoder().decode(request.SerializeToString(), START_NS)
    assert 1 < len(batch.blocks["events"])

    assert Stored(301, 1) == intake.take("logs", "protobuf", request.SerializeToString())
    assert (
        rows(store, "SELECT operation, count(*) FROM events GROUP BY 1 ORDER BY 1")
        == rows(store, "SELECT operation, sum(count) FROM minute_counts WHERE dimension = '' GROUP BY 1 ORDER BY 1")
        == [("early", 1), ("pad", 300)]
    )


def test_the_counts_per_minute_agree_with_the_events(intake: Intake, store: Store) -> None:
    """
    Counts and money by minute, segment, country and currency are those of a recomputation in plain Python.
    """
    shop = Shop(per_second=5)
    for request in shop.requests(3_000, size=300):
        intake.take("logs", "protobuf", request)
        intake.take("logs", "protobuf", request)

    for dimension in ("segment", "country"):
        of: Callable[[Sold], str] = attrgetter(dimension)
        counts = Counter((each.time_ns // 60_000_000_000 * 60, each.outcome, of(each)) for each in shop.sold)
        found = rows(
            store, "SELECT minute, outcome, value, count FROM minute_counts WHERE dimension = ?", dimension
        )  # fmt: skip
        assert counts == {(minute, outcome, value): count for minute, outcome, value, count in found}
        money: Counter[tuple[str, str]] = Counter()
        for each in shop.sold:
            if each.minor is not None:
                money[of(each), each.currency] += each.minor
        assert money == {
            (value, currency): minor
            for value, currency, minor in rows(
                store,
                "SELECT value, currency, sum(minor) FROM minute_money WHERE dimension = ? AND kind = 'revenue' "
                "GROUP BY 1, 2",
                dimension,
            )
        }
    assert [sum(each.minor or 0 for each in shop.sold)] == rows(store, "SELECT sum(revenue_minor) FROM events")
    assert [(3_000, 3_000)] == rows(store, "SELECT sum(count), sum(timed) FROM minute_counts WHERE dimension = ''")


def test_an_amount_that_is_missing_is_counted(intake: Intake, store: Store) -> None:
    """
    A refused amount has no currency in the counts, and adds nothing.
    """
    intake.take("logs", "protobuf", events("sale", {names.AMOUNT_INVALID_KEYS[names.REVENUE]: "precision"}))

    assert [("revenue", "", 1, 0)] == rows(store, "SELECT kind, currency, count, minor FROM minute_money")


def test_amounts_beyond_64_bits_together_stop_nothing(intake: Intake, store: Store) -> None:
    """
    Each amount is kept exactly; their sum, which does not fit, is a floating-point number.
    """
    most = 2**63 - 1
    told: dict[str, str | int] = {
        names.MINOR_UNITS_KEYS[names.REVENUE]: most,
        names.CURRENCY_KEYS[names.REVENUE]: "EUR",
    }
    together = events("sale", {**told, names.RECORD_UID: "a"}) + events("sale", {**told, names.RECORD_UID: "b"})

    assert Stored(2) == intake.take("logs", "protobuf", together)
    assert Stored(1) == intake.take("logs", "protobuf", events("sale", {**told, names.RECORD_UID: "c"}))
    assert [most] * 3 == rows(store, "SELECT revenue_minor FROM events")
    assert [3 * float(most)] == rows(store, "SELECT minor FROM minute_money")


def test_values_beyond_the_bound_fold_into_other() -> None:
    """
    Of a dimension the first thousand values are counted under their names, the others, and very long ones, together.
    """
    admitted = Admitted([("campaign", f"c-{number}") for number in range(VALUES_MOST - 1)])

    assert "c-7" == admitted.of("campaign", "c-7")
    assert "last" == admitted.of("campaign", "last")
    assert names.OTHER == admitted.of("campaign", "one more")
    assert names.OTHER == admitted.of("segment", "x" * 201)
    assert "smb" == admitted.of("segment", "smb")


def test_money_is_money_however_many_codes_are_none() -> None:
    """
    A currency keeps its own sum after a thousand invented ones.
    """
    admitted = Admitted([("currency", f"x{number}") for number in range(VALUES_MOST)])

    assert ("EUR", names.OTHER) == (admitted.of("currency", "EUR"), admitted.of("currency", "eur"))


def test_a_request_with_a_value_for_each_event_is_folded(intake: Intake, store: Store) -> None:
    """
    Of thousands of values in one request as many have cells of their own as ever; the others are counted together.
    """
    facts = (names.SEGMENT, names.COUNTRY, names.CHANNEL, names.CAMPAIGN, names.FEATURE)
    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    for number in range(5_000):
        record = records.add(event_name="sale", time_unix_nano=1_790_000_000 * 10**9)
        for key in facts:
            record.attributes.add(key=key).value.string_value = f"v-{number}"

    assert Prepared.of(LogDecoder().decode(request.SerializeToString(), 1)).deltas is None
    assert Stored(5_000) == intake.take("logs", "protobuf", request.SerializeToString())
    counted = "SELECT dimension, count(*), sum(count) FROM minute_counts GROUP BY 1 HAVING dimension <> ''"
    assert [(VALUES_MOST + 1, 5_000)] * len(facts) == [row[1:] for row in rows(store, counted)]


def test_folded_values_are_added_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Names beyond the bound share one cell, which has all of their events, also after a new start.
    """
    from bizspan.lens import _rollups

    monkeypatch.setattr(_rollups, "VALUES_MOST", 2)
    found: list[object] = []
    for _ in range(2):
        with Store(tmp_path / "lens.db") as store:
            intake = Intake(store)
            for name in ("a", "b", "c", "d", "e"):
                intake.take("logs", "protobuf", events(name, {}))
            intake.take("logs", "protobuf", events("c", {"n": 1}) + events("d", {"n": 1}))
            found = rows(store, "SELECT name, sum(count) FROM minute_counts GROUP BY 1 ORDER BY 1")

    assert [(names.OTHER, 2 * 5), ("a", 2), ("b", 2)] == found


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    """
    Directory, database and what SQLite puts beside it can't be read by others.
    """
    path = tmp_path / "state" / "bizspan" / "lens.db"
    with Store(path) as store:
        Intake(store).take("logs", "protobuf", events("a", {}))
        modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}

    assert {"lens.db": 0o600, "lens.db-wal": 0o600, "lens.db-shm": 0o600} == modes
    assert 0o700 == stat.S_IMODE(path.parent.stat().st_mode)


def test_what_is_stored_is_there_after_a_new_start(tmp_path: Path) -> None:
    """
    Events stay, and one that comes again after a restart counts once.
    """
    (request,) = Shop().requests(5)
    with Store(tmp_path / "lens.db") as store:
        Intake(store).take("logs", "protobuf", request)
    with Store(tmp_path / "lens.db") as store:
        again = Intake(store).take("logs", "protobuf", request)

    assert Stored(0, 5) == again


def test_a_newer_file_is_refused(tmp_path: Path) -> None:
    """
    With what to do; and nothing is changed in it.
    """
    path = tmp_path / "lens.db"
    Store(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 5")
    connection.close()

    with pytest.raises(SetupError, match=r"newer bizspan \(format 5, this one knows 4\): update bizspan"):
        Store(path)
    with pytest.raises(SetupError, match="newer bizspan"), reading(path):
        pass


_FORMAT_3 = "DROP TABLE hour_facts; DROP TABLE loose_hours; DROP TABLE facts_until; PRAGMA user_version = 3;"
_FORMAT_2 = f"""
{_FORMAT_3}
DROP TRIGGER reopen_of_new; DROP TRIGGER reopen_of_old;
DROP TABLE hour_counts; DROP TABLE hour_money; DROP TABLE open_hours;
DROP INDEX events_by_time; CREATE INDEX events_by_time ON events (time_ns, name);
DELETE FROM minute_counts WHERE dimension = 'took'; DELETE FROM minute_money WHERE dimension = 'took';
DELETE FROM dimension_values WHERE dimension IN ('money', 'took');
PRAGMA user_version = 2;
"""


@pytest.mark.parametrize("before", [_FORMAT_2, _FORMAT_3])
def test_a_store_of_a_format_before_becomes_one_of_this(tmp_path: Path, before: str) -> None:
    """
    With what a new store would have counted of the same events; and what comes in then is counted on.
    """
    first, second = Shop(per_second=1).requests(10_000, size=5_000)
    for name in ("older", "new"):
        with Store(tmp_path / f"{name}.db") as store:
            Intake(store).take("logs", "protobuf", first)
            store.prune()
        if name == "older":
            with closing(sqlite3.connect(tmp_path / "older.db")) as database:
                database.executescript(before)
        with Store(tmp_path / f"{name}.db") as store:
            Intake(store).take("logs", "protobuf", second)
            store.prune()
    older, new = (_all_of(tmp_path / f"{name}.db") for name in ("older", "new"))

    assert older == new
    assert {"0", "1", "2"} == {row[6] for row in older["minute_counts"] if row[5] == "took"}
    assert not older["open_hours"]


def _all_of(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """What a store has counted, and how it looks."""
    tables = ("minute_counts", "minute_money", "hour_counts", "hour_money", "open_hours", "hour_facts", "loose_hours")
    with reading(path) as connection:
        found = {name: sorted(connection.execute(f"SELECT * FROM {name}")) for name in tables}
        known = connection.execute("SELECT * FROM dimension_values WHERE dimension <> 'took'")
        return {
            **found,
            "known": sorted(known),
            "schema": sorted(connection.execute("SELECT name, sql FROM sqlite_master WHERE sql <> ''")),
        }


@pytest.mark.parametrize("content", ["database", "text"])
def test_a_file_of_another_program_is_left_alone(tmp_path: Path, content: str) -> None:
    """
    A foreign database, and what is none, are refused and not touched.
    """
    path = tmp_path / "other"
    if content == "text":
        path.write_text("not a database at all " * 100)
    else:
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE orders (id)")
        connection.close()
    before = path.read_bytes()

    with pytest.raises(SetupError, match=r"another program|can't be used as a store"):
        Store(path)
    assert before == path.read_bytes()


def test_a_reader_of_nothing_is_told(tmp_path: Path) -> None:
    """
    Reading makes no file.
    """
    with pytest.raises(SetupError, match="does not exist"), reading(tmp_path / "gone.db"):
        pass
    assert [] == list(tmp_path.iterdir())


def test_readers_read_while_it_writes(intake: Intake, store: Store) -> None:
    """
    A reader sees one moment for as long as its transaction lasts, others see more, and none can write.
    """
    requests = list(Shop().requests(2_000, size=100))
    intake.take("logs", "protobuf", requests[0])
    with store.reading() as still, store.reading() as other:
        still.execute("BEGIN")
        seen = [still.execute("SELECT count(*) FROM events").fetchone()]
        for request in requests[1:]:
            intake.take("logs", "protobuf", request)
        seen += [each.execute("SELECT count(*) FROM events").fetchone() for each in (still, other)]
        with pytest.raises(sqlite3.OperationalError, match=r"readonly|query_only|read-only"):
            other.execute("DELETE FROM events")

    assert [(100,), (100,), (2_000,)] == seen


def test_a_store_without_its_writer_can_be_read(tmp_path: Path) -> None:
    """
    After the lens has ended, and also where the file can't be written.
    """
    path = tmp_path / "lens.db"
    with Store(path) as store:
        Intake(store).take("logs", "protobuf", events("a", {}))
    path.chmod(0o400)

    with reading(path) as connection:
        assert [("a",)] == connection.execute("SELECT name FROM events").fetchall()


def test_one_batch_that_fails_does_not_take_others_with_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Batches that share a commit are tried one by one when it fails; only the bad one is told so.
    """
    intake = Intake(store)
    real = inserting.insert

    def insert(connection: sqlite3.Connection, prepared: Prepared, admitted: Admitted) -> tuple[int, Deltas]:
        if "bad" in prepared.tables[0].columns()[INDEX["name"]]:
            raise sqlite3.IntegrityError("bad")
        return real(connection, prepared, admitted)

    monkeypatch.setattr(inserting, "insert", insert)
    outcomes: dict[str, object] = {}

    def take(name: str) -> None:
        try:
            outcomes[name] = intake.take("logs", "protobuf", events(name, {}))
        except StoreError as error:
            outcomes[name] = str(error)

    threads = [threading.Thread(target=take, args=(name,)) for name in ("a", "bad", "b", "c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {"a": Stored(1), "b": Stored(1), "c": Stored(1), "bad": "bad"} == outcomes
    assert ["a", "b", "c"] == sorted(rows(store, "SELECT name FROM events"))


def test_a_full_disk_is_told_and_passes(store: Store) -> None:
    """
    What does not fit is refused as a whole; after room is made the same request is stored.
    """
    intake = Intake(store)
    (request,) = Shop().requests(2_000, size=2_000)
    (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
    store._connection.execute(f"PRAGMA max_page_count = {pages + 5}")

    with pytest.raises(StoreError, match="full"):
        intake.take("logs", "protobuf", request)
    assert [0] == rows(store, "SELECT count(*) FROM events")
    store._connection.execute("PRAGMA max_page_count = 1000000")
    assert Stored(2_000) == intake.take("logs", "protobuf", request)


def test_two_writers_share_a_file(tmp_path: Path) -> None:
    """
    An import beside a running lens: both write, and what both bring counts once.
    """
    (request,) = Shop().requests(10)
    with Store(tmp_path / "lens.db") as one, Store(tmp_path / "lens.db") as two:
        taken = [Intake(each).take("logs", "protobuf", request) for each in (one, two, one)]

        assert [Stored(10), Stored(0, 10), Stored(0, 10)] == taken
        assert [10] == rows(one, TOTAL)


def test_hours_that_another_writer_added_up_are_added_up_again(tmp_path: Path) -> None:
    """
    As an import beside a running lens, which adds up the hour that the import goes on writing in.
    """
    first, second = (next(iter(Shop(seed=seed, per_second=1).requests(50, size=50))) for seed in (1, 2))
    with Store(tmp_path / "lens.db") as importing, Store(tmp_path / "lens.db") as running:
        Intake(importing).take("logs", "protobuf", first)
        running.prune()
        Intake(importing).take("logs", "protobuf", second)
        running.prune()

        counted = [
            rows(running, f"SELECT sum(count) FROM {table} WHERE dimension = ''")[0]
            for table in ("minute_counts", "hour_counts")
        ]
        assert ([100, 100], []) == (counted, rows(running, "SELECT hour FROM open_hours"))


def test_an_older_version_that_goes_on_writing_reopens_hours(tmp_path: Path) -> None:
    """
    It was started before another process upgraded the store, and knows minutes alone.
    """
    first = next(iter(Shop(per_second=1).requests(50, size=50)))
    with Store(tmp_path / "lens.db") as store, closing(sqlite3.connect(tmp_path / "lens.db")) as older:
        Intake(store).take("logs", "protobuf", first)
        store.prune()
        with older:
            older.execute("UPDATE minute_counts SET count = count + 1 WHERE dimension = ''")
        store.prune()

        assert rows(store, TOTAL) == rows(store, TOTAL.replace("minute", "hour"))


@pytest.mark.once
def test_counts_and_money_are_dropped_to_one_moment(tmp_path: Path) -> None:
    """
    Of the one there are more rows a minute than of the other; what is left of each is still shown.
    """
    with Store(tmp_path / "lens.db") as store:
        database = store._connection
        for minute in range(START_NS // 10**9 // 3600 * 3600, START_NS // 10**9 // 3600 * 3600 + 86_400, 60):
            database.executemany(
                "INSERT INTO minute_counts VALUES (?, 'n', 'op', 'success', '', ?, ?, 1, 0, 0)",
                [(minute, "segment" if number else "", str(number)) for number in range(20)],
            )
            database.execute(
                "INSERT INTO minute_money VALUES (?, 'n', 'op', 'success', '', '', '', 'revenue', 'EUR', 1, 100)",
                (minute,),
            )
        store.prune()
        before = rows(store, "SELECT count(*) FROM hour_counts WHERE dimension = ''")[0]
        assert _retention._drop_anything(database)

        ends = [rows(store, f"SELECT min(minute) FROM minute_{of}")[0] for of in ("counts", "money")]
        hours = rows(store, "SELECT count(*), min(hour) FROM hour_counts WHERE dimension = ''")[0]
    assert ends[0] == ends[1]
    assert (24, True) == (before, 0 <= hours[1] - ends[0] < 3600 and hours[0] >= 20)


def is_always(store: Store) -> bool:
    """In the place of `_is_wanted`: something always waits."""
    return True


def test_what_is_due_each_half_a_minute_is_done_once_while_much_comes_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Although something always waits to be written.
    """
    monkeypatch.setattr(Store, "_is_wanted", is_always)
    rounds: list[int] = []
    real = _retention.keep_within

    def counted(*told: Any) -> Iterator[None]:
        rounds.append(1)
        return real(*told)

    monkeypatch.setattr("bizspan.lens._store.keep_within", counted)
    requests = list(Shop(per_second=1).requests(8_000, size=2_000))
    with Store(tmp_path / "lens.db") as store:
        for request in requests[:2]:
            Intake(store).take("logs", "protobuf", request)
        store.prune()
        before = len(rounds)
        store._prune_at = 0.0
        for request in requests[2:]:
            Intake(store).take("logs", "protobuf", request)

    assert 1 <= len(rounds) - before <= 4  # each hour that is added up has a turn of its own


def test_a_store_is_closed_while_somebody_waits_for_pruning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Who waits is let go.
    """
    monkeypatch.setattr(Store, "_is_wanted", is_always)
    began, ends = threading.Event(), threading.Event()
    real = _retention.keep_within

    def slow(*told: Any) -> Iterator[None]:
        began.set()
        ends.wait(10)
        yield from real(*told)
        yield

    monkeypatch.setattr("bizspan.lens._store.keep_within", slow)
    store = Store(tmp_path / "lens.db")
    pruning = threading.Thread(target=store.prune)
    pruning.start()
    assert began.wait(10)
    closing_it = threading.Thread(target=store.close)
    closing_it.start()
    while not store._is_closed:
        closing_it.join(0.01)
    ends.set()
    for thread in (closing_it, pruning):
        thread.join(10)
        assert not thread.is_alive()


def test_a_closed_store_takes_nothing(tmp_path: Path) -> None:
    """
    It says so, and closing it again does nothing.
    """
    store = Store(tmp_path / "lens.db")
    store.close()
    store.close()

    with pytest.raises(StoreError, match="closed"):
        Intake(store).take("logs", "protobuf", events("a", {}))


def test_who_waits_for_something_new_is_woken(intake: Intake, store: Store) -> None:
    """
    A commit wakes it at once; without one the time runs out, with the same version.
    """
    version = store.version
    assert version == store.wait_for_change(version, 0.01)
    told: list[int] = []
    waiting = threading.Thread(target=lambda: told.append(store.wait_for_change(version, 20)))
    waiting.start()
    intake.take("logs", "protobuf", events("a", {}))
    waiting.join(20)

    assert [version + 1] == told


@pytest.mark.parametrize(
    ("where", "index"),
    [
        ("name = 'business.operation' AND operation = 'checkout' AND time_ns >= 1 AND time_ns < 2",
         "COVERING INDEX events_by_time (time_ns>? AND time_ns<?)"),
        ("customer = 'c' AND traffic IS NULL AND outcome = 'success' AND country = 'DE' AND time_ns >= 1",
         "COVERING INDEX events_by_time (time_ns>?)"),
        ("plan = 'pro' AND time_ns >= 1 AND time_ns < 2", "INDEX events_by_time (time_ns>? AND time_ns<?)"),
        ("uid = 'u-1'", "INDEX sqlite_autoindex_events_1 (uid=?)"),
    ],
)  # fmt: skip
def test_what_kpis_ask_for_has_an_index(store: Store, where: str, index: str) -> None:
    """
    By time; and what most of them read is in the index itself, so that rows are left alone.
    """
    (plan,) = rows(store, f"EXPLAIN QUERY PLAN SELECT sum(revenue_minor) FROM events WHERE {where}")

    assert plan[3].endswith(f"USING {index}")


# --- retention ------------------------------------------------------------------------------------------------------

DAY_NS = 86_400 * 10**9


def test_what_is_too_old_goes_and_is_counted(tmp_path: Path) -> None:
    """
    By when it came in: yesterday's import of old events stays. Counts per minute stay longer.
    """
    now = [START_NS]
    with Store(tmp_path / "lens.db", retention=Retention(days=30), time_ns=lambda: now[0]) as store:
        intake = Intake(store)
        first, second = Shop().requests(20, size=10)
        intake.take("logs", "protobuf", first)
        now[0] += 29 * DAY_NS
        intake.take("logs", "protobuf", second)
        store.prune()
        before = rows(store, "SELECT count(*) FROM events")
        now[0] += 2 * DAY_NS
        store.prune()
        dropped = store.dropped()

        assert ([20], [10], [20]) == (before, rows(store, "SELECT count(*) FROM events"), rows(store, TOTAL))
        assert [("events", "age", 10, START_NS)] == [
            (each.what, each.reason, each.count, each.until_ns) for each in dropped
        ]
        now[0] += 800 * DAY_NS
        store.prune()
        assert [None] == rows(store, TOTAL)


def test_what_was_dropped_and_comes_again_is_in_the_minutes_once(tmp_path: Path) -> None:
    """
    It is stored anew, and its minute still has it; what happened after all that was dropped counts as ever.
    """
    now = [START_NS + DAY_NS]
    with Store(tmp_path / "lens.db", retention=Retention(days=30), time_ns=lambda: now[0]) as store:
        intake = Intake(store)
        shop = Shop()
        first, second = shop.requests(20, size=10)
        intake.take("logs", "protobuf", first)
        before = rows(store, TOTAL), rows(store, MONEY)
        now[0] += 31 * DAY_NS
        store.prune()

        again = intake.take("logs", "protobuf", first)

        assert (10, 0) == (again.stored, again.already)
        assert ([10], [10]) == (rows(store, "SELECT count(*) FROM events"), before[0])
        assert before == (rows(store, TOTAL), rows(store, MONEY))
        intake.take("logs", "protobuf", second)
        assert [20] == rows(store, TOTAL)
        assert [("events", "age", 10), ("minute_counts", "again", 10)] == [
            (each.what, each.reason, each.count) for each in store.dropped()
        ]


def test_what_is_too_much_goes_oldest_first(tmp_path: Path) -> None:
    """
    The store stays within its size, keeps the newest, says how much it dropped, and gives room back to the disk.
    """
    path = tmp_path / "lens.db"
    most = 4 << 20
    with Store(path, retention=Retention(bytes=most)) as store:
        intake = Intake(store)
        shop = Shop()
        for request in shop.requests(16_000):
            intake.take("logs", "protobuf", request)
        store.prune()
        (kept,) = rows(store, "SELECT count(*) FROM events")
        newest = rows(store, "SELECT uid FROM events ORDER BY id DESC LIMIT 100")
        (dropped,) = [each.count for each in store.dropped() if each.what == "events" and each.reason == "size"]
        pages, free, size = (rows(store, f"PRAGMA {name}")[0] for name in ("page_count", "freelist_count", "page_size"))

        assert 16_000 == kept + dropped
        assert 2_000 < kept < 16_000
        assert (pages - free) * size <= most
        assert {each.uid for each in shop.sold[-500:]} >= set(newest)
        assert [16_000] == rows(store, TOTAL)


def test_dropping_does_not_hold_up_who_sends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    With the store at its size all the time, what comes is stored, and the size holds while it comes.
    """
    from bizspan.lens import _retention, _store

    monkeypatch.setattr(_store, "_RETENTION_EVERY_S", 0.05)
    monkeypatch.setattr(_retention, "_CHUNK", 200)
    most, sizes = 3 << 20, list[int]()
    with Store(tmp_path / "lens.db", retention=Retention(bytes=most)) as store:
        intake = Intake(store)
        stored = 0
        for request in Shop().requests(20_000):
            stored += intake.take("logs", "protobuf", request).stored
            with store.reading() as connection:
                sizes.append(_retention.used_bytes(connection))
        store.prune()

        (kept,) = rows(store, "SELECT count(*) FROM events")
        assert (20_000, 20_000) == (stored, kept + sum(each.count for each in store.dropped() if each.what == "events"))
        assert max(sizes) < 2 * most


def test_other_log_records_are_bounded(tmp_path: Path) -> None:
    """
    Lines of a log are no events; the newest of them are kept.
    """
    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    for number in range(50):
        records.add(time_unix_nano=START_NS + number).body.string_value = f"line {number}"
    with Store(tmp_path / "lens.db", retention=Retention(logs=10)) as store:
        Intake(store).take("logs", "protobuf", request.SerializeToString())
        store.prune()

        assert ['"line 40"'] == rows(store, "SELECT min(body) FROM logs")
        assert [10] == rows(store, "SELECT count(*) FROM logs")
        assert [("logs", "size", 40)] == [(each.what, each.reason, each.count) for each in store.dropped()]
