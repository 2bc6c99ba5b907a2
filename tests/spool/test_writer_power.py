"""Durability against power cuts: nothing is acknowledged that the disk has not, or it is counted."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from bizspan._accounts import DISK_FULL
from bizspan.spool import _segment
from bizspan.spool._files import Files
from bizspan.spool._segment import Segment
from tests.spool.shelf import Shelf
from tests.spool.writing import Thieving, stored


def test_power_durability_takes_what_a_signal_handler_tells_while_it_synchronises(tmp_path: Path) -> None:
    """
    On the very thread that waits for the disk.
    """

    class Interrupted(Files):
        def __init__(self) -> None:
            super().__init__()
            self.fdatasync = self._fdatasync

        def _fdatasync(self, descriptor: int) -> None:
            if not told:
                told.append(None)
                told[0] = shelf.writer.append(b"handler")
            os.fsync(descriptor)

    told: list[str | None] = [None]
    shelf = Shelf(tmp_path, files=Interrupted(), is_synced=True)
    shelf.tell(["first"])
    told.clear()

    assert [None] == shelf.tell(["main"])
    assert [None] == told
    shelf.end()


def test_with_power_durability_an_event_that_went_elsewhere_is_refused_where_it_cannot_be_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Who waits for the disk waits for the look after the write too: nothing is acknowledged that is nowhere.
    """
    files = Thieving(tmp_path / "other", b"elsewhere")
    shelf = Shelf(tmp_path / "spool", files=files, is_synced=True)
    shelf.tell(["before"])

    def refuse(*told: Any) -> Segment:
        raise OSError(errno.ENOSPC, "told to")

    with monkeypatch.context() as patch:
        patch.setattr(_segment, "create", refuse)
        patch.setattr("bizspan.spool._writer._RETRY_S", 0.0)
        assert [DISK_FULL] == shelf.tell(["elsewhere"])

    assert [None] == shelf.tell(["after"])
    assert [(1, "before #1"), (2, "after #2")] == stored(tmp_path / "spool")
    shelf.end()
    os.close(files.stolen)


def test_with_power_durability_a_descriptor_that_is_gone_counts_as_not_synchronised(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    It was closed between the look after the write and the call that synchronises.
    """
    shelf = Shelf(tmp_path / "spool", is_synced=True)
    shelf.tell(["before"])
    power = shelf.writer.power
    assert power is not None
    wait = power.wait

    def closed(segment: Segment) -> None:
        os.close(segment.descriptor)
        wait(segment)

    with monkeypatch.context() as patch:
        patch.setattr(power, "wait", closed)
        assert [None] == shelf.tell(["after"])

    assert 1 == power.failures
    assert [(1, "before #1"), (2, "after #2")] == stored(tmp_path / "spool")
    shelf.end()


def test_with_power_durability_nobody_is_answered_before_its_segment_is_synchronised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    An event waits for the segment that it is in, although the writer is at the next one.
    """
    begun, may_end = threading.Event(), threading.Event()
    synced: list[threading.Thread] = []

    class Slow(Files):
        def __init__(self) -> None:
            super().__init__()
            self.fdatasync = self._fdatasync

        def _fdatasync(self, descriptor: int) -> None:
            if threading.current_thread() is other and not begun.is_set():
                begun.set()
                assert may_end.wait(10)
            os.fsync(descriptor)
            synced.append(threading.current_thread())

    shelf = Shelf(tmp_path / "spool", files=Slow(), segment_bytes=400, is_synced=True)
    other = threading.Thread(target=shelf.tell, args=(["y" * 300],))
    shelf.tell(["first"])
    power = shelf.writer.power
    assert power is not None
    wait = power.wait

    def overtaken(segment: Segment) -> None:
        if threading.current_thread() is mine and not begun.is_set():
            other.start()  # it begins the next segment, and has to synchronise this one before
            assert begun.wait(10)
            synced.clear()
        wait(segment)

    monkeypatch.setattr(power, "wait", overtaken)
    told: list[bool] = []

    def tell() -> None:
        shelf.tell(["mine"])
        told.append(bool(synced))
        may_end.set()

    mine = threading.Thread(target=tell)
    mine.start()
    mine.join()
    other.join()

    assert [True] == told
    shelf.end()


def test_a_handler_that_tells_while_its_thread_synchronises_does_not_wait_for_who_seals(tmp_path: Path) -> None:
    """
    Another thread holds the writer then, and synchronises the full segment by itself.
    """
    sealing = threading.Thread(target=lambda: shelf.writer.seal_now())
    told: list[str | None] = []

    class Interrupted(Files):
        def __init__(self) -> None:
            super().__init__()
            self.fdatasync = self._fdatasync

        def _fdatasync(self, descriptor: int) -> None:
            if threading.current_thread() is sealing:
                has_sealed.set()
                handled.wait(10)
            elif main and not told:
                told.append("begun")
                sealing.start()
                assert has_sealed.wait(10)
                threading.Timer(0.05, handled.set).start()  # it holds the writer's lock while the handler begins
                told[0] = shelf.writer.append(b"handler")
            os.fsync(descriptor)

    has_sealed, handled = threading.Event(), threading.Event()
    main: list[bool] = []
    shelf = Shelf(tmp_path, files=Interrupted(), is_synced=True)
    shelf.tell(["first"])
    main.append(True)

    assert [None] == shelf.tell(["main"])
    assert [None] == told
    sealing.join()
    shelf.end()


def test_power_durability_synchronises_before_it_answers(tmp_path: Path) -> None:
    """
    Each answer comes after a call that covers its bytes; calls are shared by threads that wait together.
    """

    class Counting(Files):
        synced = 0

        def __init__(self) -> None:
            super().__init__()
            self.fdatasync = self._fdatasync

        def _fdatasync(self, descriptor: int) -> None:
            self.synced += 1
            os.fdatasync(descriptor)

    files = Counting()
    shelf = Shelf(tmp_path / "spool", files=files, is_synced=True)
    shelf.tell(["first"])
    alone = files.synced
    threads = [threading.Thread(target=shelf.tell, args=([str(n) for n in range(50)],)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert alone >= 1
    assert 0 < files.synced - alone <= 200
    assert 201 == len(stored(tmp_path / "spool"))
    shelf.end()
