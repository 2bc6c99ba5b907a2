"""OTLP JSON lines as a source: the encoding, files and directories, and lines that cannot be read."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

import bizspan
from bizspan import _lines, names
from bizspan.errors import SetupError
from bizspan.reconcile import Event, OtlpJsonLines, Reading
from bizspan.testing import START_NS, capture
from tests.shop_files import write_events


def read(*paths: Path) -> tuple[list[Event], Reading]:
    reading = Reading()
    return [*OtlpJsonLines(paths).events(reading)], reading


def line(*records: dict[str, Any], scope: str = "bizspan") -> str:
    scopes = [{"scope": {"name": scope}, "logRecords": [*records]}]
    return json.dumps({"resourceLogs": [{"scopeLogs": scopes}]}) + "\n"


def record(uid: str = "u-1", **different: Any) -> dict[str, Any]:
    return {
        "timeUnixNano": "1767225600000000000",
        "eventName": "invoice.paid",
        "attributes": [{"key": names.RECORD_UID, "value": {"stringValue": uid}}],
        **different,
    }


def test_what_the_pipeline_sends_is_what_is_read(tmp_path: Path) -> None:
    """
    An operation, a refund and an event come back with their uid, name, outcome, order, money and time.
    """
    with capture() as told:
        with bizspan.operation("checkout", order="o-1", traffic="staff") as op:
            op.revenue("12.50", "EUR")
        bizspan.refund("2.50", "EUR", order="o-1", idempotency_key="r-1")
        bizspan.event("invoice.paid", revenue=(-1, "EUR"), time=START_NS + 5)
        told.allow("negative")
        uids = [event.uid for event in (*told.operations(), *told.events())]
        path = write_events(tmp_path / "events.jsonl", told)

    events, reading = read(path)

    assert [
        Event(uids[0], "business.operation", "checkout", "success", START_NS, "o-1",
              ((names.REVENUE, 1250, "EUR"),), "", "staff"),
        Event(uids[1], "business.refund", "", "", START_NS, "o-1", ((names.REFUND, 250, "EUR"),)),
        Event(uids[2], "invoice.paid", "", "", START_NS + 5, "", (), "negative"),
    ] == events  # fmt: skip
    assert (3, 0, []) == (reading.events, reading.bad_lines, reading.problems)


def test_numbers_may_be_text_or_numbers(tmp_path: Path) -> None:
    """
    The specification has 64-bit integers as text and lets readers accept both; a missing time is the observed one.
    """
    attributes = record()["attributes"]
    money: list[dict[str, Any]] = [
        {"key": names.MINOR_UNITS_KEYS[names.REVENUE], "value": {"intValue": 1250}},
        {"key": names.CURRENCY_KEYS[names.REVENUE], "value": {"stringValue": "EUR"}},
        {"key": names.ORDER, "value": {"intValue": "17"}},
        {"key": "other", "value": {"arrayValue": {"values": [{}]}}},
    ]
    path = tmp_path / "a.json"
    path.write_text(
        line(record(timeUnixNano=7, attributes=[*attributes, *money]))
        + line(record(timeUnixNano="0", observedTimeUnixNano="9"))
    )

    events, _ = read(path)

    assert [(7, "17", ((names.REVENUE, 1250, "EUR"),)), (9, "", ())] == [
        (event.time_ns, event.order, event.amounts) for event in events
    ]


def test_files_directories_and_gzip(tmp_path: Path) -> None:
    """
    A directory gives its files by name, and gzip is known by its first bytes.
    """
    (tmp_path / "b.jsonl").write_text(line(record("b")))
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(line(record("a")).encode()))
    (tmp_path / "notes.txt").write_text("not an event")
    rotated = tmp_path / "events.1"
    rotated.write_bytes(gzip.compress(line(record("c")).encode()))

    events, reading = read(tmp_path, rotated)

    assert (["a", "b", "c"], 0) == ([event.uid for event in events], reading.bad_lines)


def test_bad_lines_are_counted_and_named(tmp_path: Path) -> None:
    """
    Each unreadable line has its number and a reason, and the others are read.
    """
    path = tmp_path / "events.jsonl"
    path.write_text(
        line(record("1")) + "{broken\n" + "[1, 2]\n" + "\n" + '{"resourceLogs": [{"scopeLogs": 7}]}\n'
        + '{"resourceMetrics": []}\n' + line(record("2"), record("3", timeUnixNano="soon")) + line(record("4"))
        + line(record("5"))[:-20],
    )  # fmt: skip

    events, reading = read(path)

    assert (["1", "4"], 2) == ([event.uid for event in events], reading.events)
    assert [
        "events.jsonl:2: not JSON",
        "events.jsonl:3: not an OTLP export request",
        "events.jsonl:5: not an OTLP export request",
        "events.jsonl:7: not an OTLP export request",
        "events.jsonl:9: not JSON; the file may end within the line",
    ] == reading.problems


def test_a_damaged_gzip_file_ends_where_it_is_damaged(tmp_path: Path) -> None:
    """
    What came before is read, the rest is one bad line.
    """
    whole = gzip.compress("".join(line(record(str(number))) for number in range(2000)).encode())
    path = tmp_path / "events.jsonl.gz"
    path.write_bytes(whole[: len(whole) // 2])

    events, reading = read(path)

    assert (True, 1) == (0 < len(events) < 2000, reading.bad_lines)
    assert "damaged or ends early" in reading.problems[0]


def test_a_line_without_end_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Memory stays bounded: a line beyond the limit is passed over, and the next one is read.
    """
    monkeypatch.setattr(_lines, "_LINE_LIMIT", 1024)
    path = tmp_path / "events.jsonl"
    path.write_text("x" * 5000 + "\n" + line(record("1")) + "y" * 1024)

    events, reading = read(path)

    assert (["1"], 2) == ([event.uid for event in events], reading.bad_lines)


def test_what_no_database_takes_is_replaced_or_refused(tmp_path: Path) -> None:
    """
    Half of a surrogate pair becomes a question mark; a number beyond 64 bits makes the line a bad one.
    """
    path = tmp_path / "events.jsonl"
    path.write_text(line(record("a\ud800")) + line(record("2", timeUnixNano=str(2**63))) + line(record("3")))

    events, reading = read(path)

    assert (["a?", "3"], 1) == ([event.uid for event in events], reading.bad_lines)


def test_other_records_are_told_apart(tmp_path: Path) -> None:
    """
    Ordinary log lines are nobody's business; events of ours that lost their name or uid on the way are counted.
    """
    path = tmp_path / "events.jsonl"
    path.write_text(
        line({"body": {"stringValue": "hello"}}, scope="app")
        + line(record("1", eventName=""))
        + line({**record(), "attributes": []})
    )

    events, reading = read(path)

    assert ([], 1, 1, 1) == (events, reading.other_records, reading.without_name, reading.without_uid)


@pytest.mark.parametrize(("name", "said"), [("gone.jsonl", "does not exist"), (".", "has no file that ends in .json")])
def test_nothing_to_read_is_refused(tmp_path: Path, name: str, said: str) -> None:
    """
    A path that is not there, or a directory without such files, is an error before anything is read.
    """
    with pytest.raises(SetupError, match=said):
        OtlpJsonLines([tmp_path / name])
