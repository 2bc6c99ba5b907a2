"""
`bizspan spool retry`: dead letters wait again, and are sent once more.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path

import pytest

import bizspan
from bizspan.cli import main
from bizspan.spool._batch import pack_scope
from bizspan.spool._dead import DeadLetters
from bizspan.spool._directory import Directory
from bizspan.spool._files import Files
from bizspan.spool._frame import EVENT, Frame
from bizspan.spool._inspect import events_in, status_of
from tests.child import run
from tests.spool.receiving import Collector, collector, facts
from tests.spool.shelf import Shelf

UID, ORDER = "log.record.uid", "business.order.id"


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Generator[Collector]:
    with collector() as one:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", one.endpoint)
        yield one


@pytest.fixture
def refused(running: Collector, tmp_path: Path) -> str:
    """A spool whose collector answered 400 to everything: three dead letters of one service, one of another."""
    running.status = 400
    for service, orders in (("shop", ["o-0", "o-1", "o-2"]), ("mail", ["o-3"])):
        with bizspan.configure(service_name=service, export="none", spool=tmp_path / "spool") as telemetry:
            for order in orders:
                bizspan.event("invoice.paid", revenue=("9.90", "EUR"), order=order)
            assert telemetry.force_flush()
    running.status = 200
    return str(tmp_path / "spool")


def dead(path: str) -> dict[str, str]:
    """Uids of dead letters by order."""
    return {event.attributes[ORDER]: event.attributes[UID] for _, event in events_in(path, dead=True)}


def test_dead_letters_wait_again_and_arrive(
    running: Collector, refused: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Each with its uid, its Resource and its scope; nothing is left.
    """
    uids = dead(refused)
    assert 0 == main(["spool", "retry", refused])
    assert "4 events wait again" in capsys.readouterr().out
    assert ({}, 4) == (dead(refused), status_of(refused).waiting)
    assert 0 == main(["spool", "drain", refused])

    assert uids == {facts(record)[ORDER]: facts(record)[UID] for record in running.records()}
    told = {
        (pair.value.string_value, scope.scope.name, len(scope.log_records))
        for request in running.requests
        for by in request.resource_logs
        for pair in by.resource.attributes
        if pair.key == "service.name"
        for scope in by.scope_logs
    }
    assert {("shop", "bizspan", 3), ("mail", "bizspan", 1)} == told
    assert [] == list(Path(refused).iterdir())


def test_the_next_process_sends_them(running: Collector, refused: str) -> None:
    """
    Without a drain.
    """
    uids = dead(refused)
    assert 0 == main(["spool", "retry", refused, "--format", "json"])
    with bizspan.configure(export="none", spool=refused):
        assert {*uids.values()} == {facts(record)[UID] for record in running.wait_for(4)}


def test_a_crash_in_between_sends_them_twice(running: Collector, refused: str) -> None:
    """
    The segment is there before the dead letters go: at least once, with the same uids.
    """
    uids = dead(refused)
    ended = run(
        """
        import os, sys
        from bizspan.cli import main
        from bizspan.spool._directory import Directory
        from bizspan.spool import _files
        unlink = os.unlink
        os.unlink = lambda path: os._exit(9) if str(path).endswith(".dead") else unlink(path)
        main(["spool", "retry", os.environ["DIRECTORY"]])
        """,
        DIRECTORY=refused,
    )
    assert 9 == ended.code, ended.err
    assert uids == dead(refused)
    assert 0 < status_of(refused).waiting <= 4
    assert (0, 0, 0) == (
        main(["spool", "drain", refused]), main(["spool", "retry", refused]), main(["spool", "drain", refused])
    )  # fmt: skip

    assert {*uids.values()} == {facts(record)[UID] for record in running.records()}
    assert 4 < len(running.records()) <= 8
    assert [] == list(Path(refused).iterdir())


def test_a_full_disk_leaves_them_where_they_are(
    refused: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    1; nothing half-made stays.
    """
    uids = dead(refused)
    monkeypatch.setattr("bizspan.spool._segment.Segment.write", _full)

    assert 1 == main(["spool", "retry", refused, "--format", "json"])
    assert {"events": 0, "files_left": 2, "files_put_aside": 0} == json.loads(capsys.readouterr().out)
    assert (uids, 0) == (dead(refused), status_of(refused).waiting)
    assert [] == [path for path in Path(refused).iterdir() if path.suffix != ".dead"]


def _full(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_what_is_whole_in_a_damaged_file_waits_again(
    running: Collector, refused: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    The file itself is kept for a person.
    """
    file = min(Path(refused).glob("*.dead"))
    file.write_bytes(file.read_bytes().replace(b"o-1", b"x-1"))

    assert 0 == main(["spool", "retry", refused])
    assert "3 events wait again" in (said := capsys.readouterr().out)
    assert "1 damaged files put aside" in said
    assert (3, 1) == (status_of(refused).waiting, status_of(refused).unreadable)


def letter(text: bytes) -> Frame:
    """An event that was refused."""
    return Frame(EVENT, 0, 7, 0, text, 0)


def test_a_process_goes_on_writing_dead_letters_after_its_file_was_taken(tmp_path: Path) -> None:
    """
    Retried or purged: what is refused later is kept in a new file.
    """
    directory = Directory(str(tmp_path), most_bytes=1 << 30, floor_bytes=0, files=Files())
    letters = DeadLetters(directory, "0" * 20)
    scope = pack_scope(b"scope", b"")
    assert letters.add(b"resource", scope, letter(b"a"))
    assert 0 == main(["spool", "retry", str(tmp_path)])
    assert letters.add(b"resource", scope, letter(b"b"))
    assert letters.add(b"resource", scope, letter(b"c"))
    assert 0 == main(["spool", "purge", str(tmp_path)])
    assert letters.add(b"resource", scope, letter(b"d"))

    assert (1, 1) == (status_of(str(tmp_path)).waiting, status_of(str(tmp_path)).dead_letters)
    adopter = Shelf(tmp_path)
    adopter.store.adopt()
    assert ["a #7"] == adopter.drain()
    adopter.end()


def test_a_file_that_is_being_written_is_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    Both take turns under its lock.
    """
    directory = Directory(str(tmp_path), most_bytes=1 << 30, floor_bytes=0, files=Files())
    assert DeadLetters(directory, "0" * 20).add(b"resource", pack_scope(b"scope", b""), letter(b"a"))
    (file,) = tmp_path.glob("*.dead")
    descriptor = directory.files.open(str(file))
    assert directory.files.lock(descriptor)

    assert 1 == main(["spool", "retry", str(tmp_path)])
    assert "1 files left" in capsys.readouterr().out
    directory.files.close(descriptor)
    assert 0 == main(["spool", "retry", str(tmp_path)])


def test_nothing_to_retry(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    0.
    """
    (tmp_path / "spool").mkdir(0o700)

    assert 0 == main(["spool", "retry", str(tmp_path / "spool")])
    assert capsys.readouterr().out.startswith("0 events wait again")
