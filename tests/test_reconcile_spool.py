"""`bizspan reconcile --events` on spools: what the collector wrote, and what still waits."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import bizspan
from bizspan.cli import main
from tests.shop_files import FileReceiver, write_csv
from tests.spool.receiving import collector
from tests.test_reconcile_command import HEAD

DAY = "2026-03-01"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def receiver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FileReceiver:
    for name in [name for name in os.environ if name.startswith(("OTEL_", "BIZSPAN_"))]:
        monkeypatch.delenv(name)
    return FileReceiver(tmp_path / "events.jsonl")


def reports(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """What was printed, each as one line or as several."""
    decoder, text, found = json.JSONDecoder(), capsys.readouterr().out.strip(), list[dict[str, Any]]()
    while text:
        report, end = decoder.raw_decode(text)
        found.append(report)
        text = text[end:].strip()
    return found


def sold(numbers: Sequence[int]) -> None:
    for number in numbers:
        bizspan.event("sale", revenue=("9.90", "EUR"), order=f"o-{number}", idempotency_key=f"o-{number}", time=NOON)


def ledger(path: Path, count: int) -> list[str]:
    rows = [(f"o-{number}", "9.90", "EUR", DAY, f"o-{number}") for number in range(count)]
    return ["--ledger", str(write_csv(path / "book.csv", rows, HEAD)), "--event", "sale", "--format", "json"]


def test_what_waits_in_a_spool_counts(
    tmp_path: Path, receiver: FileReceiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    The collector's file alone lacks what waits; with the spool beside it, also one that a process holds, both sides are
    equal. Nothing is taken: the events are sent afterwards, and the empty spool counts as one.
    """
    spool, words = tmp_path / "spool", ledger(tmp_path, 5)
    events = str(tmp_path / "events.jsonl")
    with receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.http_endpoint)
        with bizspan.configure(export="none", spool=spool) as telemetry:
            sold([0, 1, 2])
            assert telemetry.force_flush()
            receiver.behaviour = "unavailable"
            sold([3, 4])
            codes = [main(["reconcile", "--events", *paths, *words]) for paths in ([events], [events, str(spool)])]
            alone, both = reports(capsys)
            waiting = main(["reconcile", "--events", str(spool), *words])
            telemetry.shutdown(0.1)
        (left,) = reports(capsys)
        receiver.behaviour = "accept"
        assert 0 == main(["spool", "drain", str(spool)])
        capsys.readouterr()
        drained = main(["reconcile", "--events", str(spool), events, *words])

    assert ([1, 0], 1, 0) == (codes, waiting, drained)
    assert ["o-3", "o-4"] == [each["order"] for each in alone["differences"]["missing_in_events"]["first"]]
    assert (5, 0) == (both["events"]["delivered"], both["events"]["bad_lines"])
    assert 2 == left["events"]["delivered"]


def test_a_dead_letter_is_no_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    A collector refused it for good: it is missing, and named.
    """
    spool, words = tmp_path / "spool", ledger(tmp_path, 1)
    with collector() as refusing:
        refusing.status = 400
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", refusing.endpoint)
        with bizspan.configure(export="none", spool=spool) as telemetry:
            sold([0])
            telemetry.force_flush()

    assert 1 == main(["reconcile", "--events", str(spool), *words])
    (report,) = reports(capsys)
    assert ["o-0"] == [each["order"] for each in report["differences"]["missing_in_events"]["first"]]


def test_damage_in_a_spool_is_named(
    tmp_path: Path, receiver: FileReceiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    By its file; the events around it count.
    """
    spool, words = tmp_path / "spool", ledger(tmp_path, 3)
    with receiver:
        receiver.behaviour = "unavailable"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.http_endpoint)
        with bizspan.configure(export="none", spool=spool) as telemetry:
            sold([0, 1, 2])
            telemetry.shutdown(0.1)
    (segment,) = spool.glob("*.seg")
    content = segment.read_bytes()
    segment.write_bytes(content.replace(b"o-1", b"x-1"))

    assert 1 == main(["reconcile", "--events", str(spool), *words])
    (report,) = reports(capsys)
    assert ["o-1"] == [each["order"] for each in report["differences"]["missing_in_events"]["first"]]
    assert (1, [True]) == (
        report["events"]["bad_lines"],
        [each.startswith(f"{segment.name}: ") for each in report["events"]["problems"]],
    )


def test_log_records_of_others_are_counted_as_such(
    tmp_path: Path, receiver: FileReceiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    A spool may hold any log record.
    """
    from opentelemetry.sdk._logs import LoggerProvider

    from bizspan.sdk.spool import SpoolLogRecordProcessor

    with receiver:
        receiver.behaviour = "unavailable"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.http_endpoint)
        provider = LoggerProvider()
        provider.add_log_record_processor(SpoolLogRecordProcessor(tmp_path / "spool"))
        provider.get_logger("app").emit(body="hello")
        provider.shutdown()

    assert 0 == main(["reconcile", "--events", str(tmp_path / "spool"), *ledger(tmp_path, 0)])
    assert 1 == reports(capsys)[0]["events"]["other_records"]


def test_an_empty_directory_that_others_may_enter_is_no_spool(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    It is more probably the collector's, and something is wrong with it.
    """
    (tmp_path / "out").mkdir(0o755)

    assert 2 == main(["reconcile", "--events", str(tmp_path / "out"), *ledger(tmp_path, 0)])
    assert "has no file that ends in .json" in capsys.readouterr().err
