"""Descriptors that the application closed: its files stay as they are, and what was acknowledged is in the spool."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from bizspan._accounts import DISK_FULL, SPOOL_FULL
from bizspan.spool import _segment
from bizspan.spool._segment import Segment
from tests.spool.shelf import Shelf
from tests.spool.writing import Failing, Thieving, stored


def test_a_descriptor_that_somebody_closed_costs_no_event(tmp_path: Path) -> None:
    """
    Also where its number is nobody's now: the next segment is begun at once.
    """
    shelf = Shelf(tmp_path)
    shelf.tell(["before"])
    assert shelf.writer.segment is not None
    os.close(shelf.writer.segment.descriptor)

    assert [None] == shelf.tell(["after"])
    assert [(1, "before #1"), (2, "after #2")] == stored(tmp_path)
    shelf.end()


def test_a_descriptor_that_somebody_closed_and_reused_is_not_written_to(tmp_path: Path) -> None:
    """
    The application's file stays as it is, and the event goes into a new segment.
    """
    shelf = Shelf(tmp_path / "spool")
    shelf.tell(["before"])
    assert shelf.writer.segment is not None
    number = shelf.writer.segment.descriptor
    os.close(number)
    other = os.open(tmp_path / "other", os.O_RDWR | os.O_CREAT)
    assert number == other
    os.write(other, b"the application's")

    assert [None] == shelf.tell(["after"])
    assert b"the application's" == (tmp_path / "other").read_bytes()
    assert [(1, "before #1"), (2, "after #2")] == stored(tmp_path / "spool")
    assert ["after #2"] == [text for text in shelf.drain() if "after" in text]
    shelf.end()
    os.close(other)


@pytest.mark.parametrize("finds", ["the next event", "the sender", "the end"])
def test_an_event_that_went_into_the_applications_file_is_written_again(tmp_path: Path, finds: str) -> None:
    """
    Another thread closed the descriptor, and opened a file that got its number, between the look and the write.
    """
    files = Thieving(tmp_path / "other", b"raced")
    shelf = Shelf(tmp_path / "spool", files=files)
    assert [None, None] == shelf.tell(["before", "raced"])
    after: list[tuple[int, str]] = []
    if finds == "the next event":
        assert [None] == shelf.tell(["after"])
        after = [(3, "after #3")]
    elif finds == "the sender":
        assert shelf.store.batch(1 << 16, 512) is not None
    else:
        shelf.end()

    assert [(1, "before #1"), (2, "raced #2"), *after] == stored(tmp_path / "spool")
    shelf.end()
    os.close(files.stolen)


@pytest.mark.parametrize("trouble", ["the disk refuses once", "the next one is closed too", "there is no room"])
def test_an_event_that_is_owed_is_on_the_disk_when_the_writer_closes(
    tmp_path: Path, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Whatever is in the way for a while; and no limit stands in the way of what was promised.
    """
    files = Thieving(tmp_path / "other", b"owed")
    shelf = Shelf(tmp_path / "spool", files=files)
    assert [None, None] == shelf.tell(["before", "owed"])
    create = _segment.create
    if trouble == "there is no room":
        shelf.directory.most_bytes = 1
        monkeypatch.setattr("bizspan.spool._directory._STALE_S", 0.0)
        assert [SPOOL_FULL] == shelf.tell(["refused"])
    elif trouble == "the disk refuses once":

        def refuse(*told: Any) -> Segment:
            monkeypatch.setattr(_segment, "create", create)
            raise OSError(errno.ENOSPC, "told to")

        monkeypatch.setattr(_segment, "create", refuse)
        shelf.writer.settle()
    else:

        def close(*told: Any) -> Segment:
            monkeypatch.setattr(_segment, "create", create)
            segment = create(*told)
            os.close(segment.descriptor)
            return segment

        monkeypatch.setattr(_segment, "create", close)
    shelf.end()

    assert [(1, "before #1"), (2, "owed #2")] == stored(tmp_path / "spool")
    os.close(files.stolen)


def test_an_event_that_the_sender_took_is_not_owed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Although its file is gone: another process found everything in it taken.
    """
    shelf, sibling = Shelf(tmp_path / "spool"), Shelf(tmp_path / "spool")
    settle = shelf.writer.settle

    def tell_one_more() -> None:  # after the sender looked back, before it reads
        settle()
        monkeypatch.undo()
        shelf.tell(["second"])

    monkeypatch.setattr(shelf.writer, "settle", tell_one_more)
    shelf.tell(["first"])
    batch = shelf.store.batch(1 << 16, 512)
    assert batch is not None
    assert 2 == batch.events
    batch.delivered()
    assert shelf.writer.segment is not None
    os.close(shelf.writer.segment.descriptor)
    sibling.store.adopt()
    assert [] == sibling.drain()

    assert [None] == shelf.tell(["third"])
    assert ["third #3"] == shelf.drain()
    for each in (shelf, sibling):
        each.end()


@pytest.mark.parametrize("how", ["refused", "cut"])
def test_an_event_that_is_owed_goes_first_and_a_full_disk_makes_the_next_one_wait(
    tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    There is never a gap: as long as it can't be written again, further events are refused.
    """
    monkeypatch.setattr("bizspan.spool._writer._RETRY_S", 0.0)
    files = Failing()
    shelf = Shelf(tmp_path / "spool", files=files)
    shelf.tell(["before"])
    segment = shelf.writer.segment
    assert segment is not None
    os.ftruncate(segment.descriptor, segment.size - 1)  # as if it had gone elsewhere
    os.close(segment.descriptor)
    files.error, files.cut = (errno.ENOSPC, False) if how == "refused" else (None, True)
    assert [DISK_FULL] * 2 == shelf.tell("ab")
    files.error, files.cut = None, False

    assert [None] == shelf.tell(["after"])
    assert ["before #1", "after #2"] == shelf.drain()
    shelf.end()
