"""
`bizspan spool`: what a person and a script see of a spool, and what they can do to it.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path

import pytest

import bizspan
from bizspan.cli import main
from tests.spool.receiving import Collector, collector


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Generator[Collector]:
    with collector() as one:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", one.endpoint)
        yield one


@pytest.fixture
def left(running: Collector, tmp_path: Path) -> str:
    """A spool in which a process has left three events."""
    path = tmp_path / "spool"
    running.status = 503
    with bizspan.configure(service_name="shop", export="none", spool=path) as telemetry:
        for number in range(3):
            bizspan.event("invoice.paid", revenue=("9.90", "EUR"), order=f"o-{number}")
        telemetry.shutdown(0.1)
    running.status = 200
    return str(path)


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out


def test_status_says_what_waits_and_whose_it_is(left: str, capsys: pytest.CaptureFixture[str]) -> None:
    """
    1 while something waits; as text and as JSON.
    """
    assert 1 == main(["spool", "status", left])
    assert "3 events wait" in (text := said(capsys))
    assert "left by its process" in text
    assert 1 == main(["spool", "status", left, "--format", "json"])
    told = json.loads(said(capsys))
    assert (3, 3, False) == (told["waiting"], told["segments"][0]["waiting"], told["segments"][0]["is_living"])


def test_status_tells_a_living_process(running: Collector, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    Looking disturbs nothing: the process goes on.
    """
    running.status = 503
    with bizspan.configure(export="none", spool=tmp_path / "spool") as telemetry:
        bizspan.event("a")
        assert 1 == main(["spool", "status", str(tmp_path / "spool")])
        assert "held by a process" in said(capsys)
        bizspan.event("b")
        running.status = 200
        assert telemetry.force_flush()

    assert ["a", "b"] == [record.event_name for record in running.records()]


def test_inspect_prints_each_event(left: str, capsys: pytest.CaptureFixture[str]) -> None:
    """
    One line of JSON each, with its resource; nothing is taken by that.
    """
    assert 0 == main(["spool", "inspect", left, "--most", "2"])
    events = [json.loads(line) for line in said(capsys).splitlines()]

    assert [("invoice.paid", "o-0", 990), ("invoice.paid", "o-1", 990)] == [
        (
            each["event_name"],
            each["attributes"]["business.order.id"],
            each["attributes"]["business.revenue.minor_units"],
        )
        for each in events
    ]
    assert "shop" == events[0]["resource"]["service.name"]
    assert 1 == main(["spool", "status", left])


def test_drain_sends_what_was_left(running: Collector, left: str, capsys: pytest.CaptureFixture[str]) -> None:
    """
    0 once nothing waits; the directory is empty then.
    """
    assert 0 == main(["spool", "drain", left, "--format", "json"])
    account = json.loads(said(capsys))
    assert (3, 0) == (account["delivered"], account["waiting"])
    assert 3 == len(running.records())
    assert [] == list(Path(left).iterdir())
    assert 0 == main(["spool", "status", left])


def test_drain_gives_up_in_time(running: Collector, left: str, capsys: pytest.CaptureFixture[str]) -> None:
    """
    1 where the collector takes nothing; the events stay.
    """
    running.status = 503
    assert 1 == main(["spool", "drain", left, "--timeout-s", "0.3"])
    assert "waiting 3" in said(capsys)


def test_dead_letters_are_shown_and_purged(running: Collector, left: str, capsys: pytest.CaptureFixture[str]) -> None:
    """
    A collector that answers 400 to each: they are kept for a person.
    """
    running.status = 400
    assert 0 == main(["spool", "drain", left])
    assert "dead lettered 3" in said(capsys)
    assert 0 == main(["spool", "status", left])
    assert "3 dead letters" in said(capsys)
    assert 0 == main(["spool", "inspect", left, "--dead"])
    assert ["o-0", "o-1", "o-2"] == [
        json.loads(line)["attributes"]["business.order.id"] for line in said(capsys).splitlines()
    ]
    assert 0 == main(["spool", "purge", left])
    assert "1 files deleted" in said(capsys)
    assert [] == list(Path(left).iterdir())


def test_purge_leaves_what_waits_unless_told(left: str, capsys: pytest.CaptureFixture[str]) -> None:
    """
    Deleting events takes a word of its own.
    """
    assert 0 == main(["spool", "purge", left])
    assert 1 == main(["spool", "status", left])
    said(capsys)
    assert 0 == main(["spool", "purge", left, "--waiting", "--format", "json"])
    assert 3 == json.loads(said(capsys))["events_lost"]
    assert 0 == main(["spool", "status", left])


@pytest.mark.parametrize("action", ["status", "drain", "inspect", "retry", "purge"])
def test_what_is_no_directory_is_refused(tmp_path: Path, action: str, capsys: pytest.CaptureFixture[str]) -> None:
    """
    2, and nothing is made.
    """
    assert 2 == main(["spool", action, str(tmp_path / "nowhere")])
    assert "is no directory" in capsys.readouterr().err
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("words", [["spool"], ["spool", "fill", "x"], ["spool", "drain", "x", "--timeout-s", "0"]])
def test_wrong_words_are_refused(words: list[str]) -> None:
    """
    As by every command.
    """
    with pytest.raises(SystemExit, match="2"):
        main(words)
