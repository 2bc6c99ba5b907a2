"""
What was acknowledged is in the file: in order, without a gap, whatever happens around the write.
"""

from __future__ import annotations

import errno
import os
import signal
import stat
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from bizspan._accounts import DISK_FULL, LOW_SPACE, SHUT_DOWN, SPOOL_ERROR, SPOOL_FULL, TOO_LARGE
from bizspan.spool import _frame
from bizspan.spool._directory import Directory, Unusable
from bizspan.spool._files import Files
from tests.spool.shelf import Shelf
from tests.spool.writing import Failing, stored


def test_an_acknowledged_event_is_in_the_file(tmp_path: Path) -> None:
    """
    Each event is one frame, with the next sequence number.
    """
    shelf = Shelf(tmp_path / "spool")

    assert [None, None] == shelf.tell(["first", "second"])
    assert [(1, "first #1"), (2, "second #2")] == stored(tmp_path / "spool")
    shelf.end()


def test_the_directory_and_its_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    """
    0700 and 0600, whatever the umask.
    """
    before = os.umask(0)
    try:
        shelf = Shelf(tmp_path / "a" / "spool")
        shelf.tell(["x"])
    finally:
        os.umask(before)

    assert 0o700 == stat.S_IMODE((tmp_path / "a" / "spool").stat().st_mode)
    assert {0o600} == {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "a" / "spool").iterdir()}
    shelf.end()


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("file", "is no directory"),
        ("link", "is no directory"),
        ("shared", "others may enter"),
        ("theirs", "another user"),
    ],
)
def test_a_path_that_others_could_use_is_refused(
    tmp_path: Path, kind: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A file, a link, a directory that others may enter and that holds other things, and another user's; each says so.
    """
    path = tmp_path / "spool"
    if kind == "file":
        path.write_text("x")
    elif kind == "link":
        (tmp_path / "elsewhere").mkdir()
        path.symlink_to(tmp_path / "elsewhere")
    elif kind == "theirs":
        path.mkdir(0o700)
        monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    else:
        path.mkdir(0o755)
        (path / "notes.txt").write_text("x")

    with pytest.raises(Unusable, match=says):
        Directory(str(path), most_bytes=1, floor_bytes=0, files=Files())


def test_a_full_segment_is_followed_by_another(tmp_path: Path) -> None:
    """
    The sequence goes on; each segment starts with resource and scope.
    """
    shelf = Shelf(tmp_path / "spool", segment_bytes=400)

    assert [None] * 20 == shelf.tell(f"event {n}" for n in range(20))
    assert [n for n, _ in stored(tmp_path / "spool")] == list(range(1, 21))
    assert len(shelf.store.own) == 3
    shelf.end()


def test_a_full_spool_refuses_the_newest_and_takes_again_when_there_is_room(tmp_path: Path) -> None:
    """
    What was acknowledged stays; the sequence has no gap where events were refused.
    """
    shelf = Shelf(tmp_path / "spool", segment_bytes=400, most_bytes=1500)
    answers = shelf.tell(f"event {n}" for n in range(40))
    kept = answers.count(None)

    assert [None] * kept + [SPOOL_FULL] * (40 - kept) == answers
    assert kept == len(shelf.drain())
    assert [None] == shelf.tell(["later"])
    assert [f"later #{kept + 1}"] == shelf.drain()
    shelf.end()


def test_blocking_waits_for_room_and_no_longer_than_it_was_told(tmp_path: Path) -> None:
    """
    With `block_s`, the application waits for the sender; a sender that never comes costs that time, then it refuses.
    """
    shelf = Shelf(tmp_path / "spool", segment_bytes=400, most_bytes=1500, block_s=0.3)
    while (answer := shelf.writer.append_or_wait(b"x" * 50)) is None:
        pass
    assert SPOOL_FULL == answer
    drain = threading.Timer(0.05, shelf.drain)
    drain.start()

    assert shelf.writer.append_or_wait(b"waits") is None
    drain.join()
    shelf.end()


def test_too_little_free_space_refuses(tmp_path: Path) -> None:
    """
    The application's disk is not filled to its last byte.
    """
    shelf = Shelf(tmp_path / "spool", floor_bytes=1 << 62)

    assert [LOW_SPACE] == shelf.tell(["x"])
    shelf.end()


def test_an_event_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    """
    One mebibyte is the most.
    """
    shelf = Shelf(tmp_path / "spool", segment_bytes=4 << 20)

    assert TOO_LARGE == shelf.writer.append(bytes(_frame.EVENT_MOST + 1))
    assert shelf.writer.append(bytes(_frame.EVENT_MOST)) is None
    shelf.end()


def test_a_closed_writer_refuses(tmp_path: Path) -> None:
    """
    After the end, nothing is written.
    """
    shelf = Shelf(tmp_path / "spool")
    shelf.end()

    assert [SHUT_DOWN] == shelf.tell(["x"])


@pytest.mark.parametrize(
    ("error", "reason"), [(errno.ENOSPC, DISK_FULL), (errno.EDQUOT, DISK_FULL), (errno.EIO, SPOOL_ERROR)]
)
def test_a_failing_disk_refuses_and_recovers(
    tmp_path: Path, error: int, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The number of the refused event is the next one's; nothing of it is left.
    """
    monkeypatch.setattr("bizspan.spool._writer._RETRY_S", 0.0)
    files = Failing()
    shelf = Shelf(tmp_path / "spool", files=files)
    shelf.tell(["before"])
    files.error = error
    assert [reason] * 3 == shelf.tell("abc")
    files.error = None

    assert [None] == shelf.tell(["after"])
    assert [(1, "before #1"), (2, "after #2")] == stored(tmp_path / "spool")
    shelf.end()


def test_a_scan_that_clears_the_trial_file_away_does_not_stop_a_start(tmp_path: Path) -> None:
    """
    Another process finds it without a lock, as if its own process were gone.
    """
    scanner = Shelf(tmp_path)

    class Scanned(Files):
        def __init__(self) -> None:
            super().__init__()
            self.close = self._close

        def _close(self, descriptor: int) -> None:
            os.close(descriptor)
            scanner.store.adopt()

    assert [None] == Shelf(tmp_path, files=Scanned()).tell(["x"])
    scanner.end()


def test_a_write_that_was_cut_short_leaves_nothing(tmp_path: Path) -> None:
    """
    The half frame is taken back.
    """
    files = Failing()
    shelf = Shelf(tmp_path / "spool", files=files)
    shelf.tell(["before"])
    files.cut = True
    assert [DISK_FULL] == shelf.tell(["cut"])
    files.cut = False
    shelf.tell(["after"])

    assert [(1, "before #1"), (2, "after #2")] == stored(tmp_path / "spool")
    shelf.end()


def test_a_directory_that_was_deleted_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Events go on in a new file; the sender still reads the deleted one, through its descriptor.
    """
    monkeypatch.setattr("bizspan.spool._directory._STALE_S", 0.0)
    monkeypatch.setattr("bizspan.spool._writer._AHEAD", 0)
    shelf = Shelf(tmp_path / "spool")
    shelf.tell(["before"])
    for file in (tmp_path / "spool").iterdir():
        file.unlink()
    (tmp_path / "spool").rmdir()

    assert [None] * 2 == shelf.tell(["first", "second"])
    assert [(2, "first #2"), (3, "second #3")] == stored(tmp_path / "spool")
    assert ["before #1", "first #2", "second #3"] == shelf.drain()
    shelf.end()


@pytest.mark.signals
def test_a_signal_handler_that_tells_an_event_neither_hangs_nor_loses_it(tmp_path: Path) -> None:
    """
    It is put aside while this thread writes, and written right after.
    """
    shelf = Shelf(tmp_path / "spool")
    told: list[Any] = []

    def handler(number: int, frame: object) -> None:
        told.append(shelf.writer.append(b"handler"))

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        until = time.monotonic() + 0.5
        count = 0
        while time.monotonic() < until or not told:
            assert shelf.writer.append(b"main") is None
            count += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    shelf.writer.settle()

    events = stored(tmp_path / "spool")
    assert list(range(1, count + len(told) + 1)) == [n for n, _ in events]
    assert len(told) == sum(text.startswith("handler") for _, text in events)
    shelf.end()


@pytest.mark.signals
def test_an_interrupt_in_the_middle_of_a_write_leaves_no_gap_and_no_double(tmp_path: Path) -> None:
    """
    KeyboardInterrupt passes; whether the event it interrupted was written is found out before the next one.
    """
    shelf = Shelf(tmp_path / "spool")

    def handler(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, handler)
    interrupts = 0
    try:
        while interrupts < 200:
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.0003)
                for _ in range(5_000):  # one that comes in the middle of a callback of the collector's is swallowed
                    shelf.writer.append(b"x")
            except KeyboardInterrupt:
                interrupts += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    shelf.writer.settle()

    assert list(range(1, shelf.writer.sequence + 1)) == [n for n, _ in stored(tmp_path / "spool")]
    shelf.end()


def test_threads_share_one_sequence(tmp_path: Path) -> None:
    """
    Four threads, no gap, no double, in the order of the file.
    """
    shelf = Shelf(tmp_path / "spool", segment_bytes=20_000)
    threads = [
        threading.Thread(target=shelf.tell, args=([f"{n}" for n in range(500)],)) for _ in range(4)
    ]  # fmt: skip
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert list(range(1, 2001)) == [n for n, _ in stored(tmp_path / "spool")]
    shelf.end()
