"""
What waits is sent in order, by this process or by another one after its end, and nothing that was not told is.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from bizspan.spool._batch import pack_scope
from bizspan.spool._directory import name_of
from bizspan.spool._frame import EVENT_MOST, Frame, scan
from tests.spool.shelf import Shelf, texts_of


def names(path: Path, kind: str) -> list[Path]:
    return sorted(file for file in path.iterdir() if (name := name_of(file.name)) and name.kind == kind)


def ended(path: Path, texts: list[str]) -> Path:
    """A process told these and ended; its segment."""
    shelf = Shelf(path)
    assert [None] * len(texts) == shelf.tell(texts)
    shelf.end()
    return names(path, ".seg")[-1]


def test_events_come_in_order_with_their_resource_and_scope(tmp_path: Path) -> None:
    """
    In batches of neighbours; each goes once it was taken.
    """
    shelf = Shelf(tmp_path)
    shelf.tell(f"{n}" for n in range(10))
    batch = shelf.store.batch(1 << 16, 4)

    assert batch is not None
    assert (b"resource", 4) == (batch.resource, batch.events)
    assert [(b"scope", b"schema")] == [group[:2] for group in batch.groups]
    assert ["0 #1", "1 #2", "2 #3", "3 #4"] == texts_of(batch.groups)
    batch.delivered()
    assert [f"{n} #{n + 1}" for n in range(4, 10)] == shelf.drain()
    assert 10 == shelf.store.counts.delivered
    shelf.end()


def test_a_batch_that_was_not_taken_comes_again(tmp_path: Path) -> None:
    """
    Asking moves nothing.
    """
    shelf = Shelf(tmp_path)
    shelf.tell("ab")
    first, second = shelf.store.batch(1 << 16, 10), shelf.store.batch(1 << 16, 10)

    assert first is not None and second is not None
    assert texts_of(first.groups) == texts_of(second.groups)
    shelf.end()


def test_what_was_taken_is_deleted(tmp_path: Path) -> None:
    """
    Nothing of ours is left in the directory at the end.
    """
    shelf = Shelf(tmp_path, segment_bytes=400)
    shelf.tell(f"{n}" for n in range(30))
    shelf.drain()
    shelf.end()

    assert [] == list(tmp_path.iterdir())


def test_an_orphan_is_adopted_and_a_living_one_is_not(tmp_path: Path) -> None:
    """
    The lock tells; what was taken before its process ended does not come again.
    """
    dead, living, adopter = Shelf(tmp_path), Shelf(tmp_path), Shelf(tmp_path)
    dead.tell("abc")
    living.tell("x")
    first = dead.store.batch(1 << 16, 1)
    assert first is not None
    first.delivered()
    dead.end()

    assert 1 == adopter.store.adopt()
    assert ["b #2", "c #3"] == adopter.drain()
    assert (2, 2) == (adopter.store.counts.adopted, adopter.store.counts.delivered)
    assert 0 == adopter.store.adopt()
    living.end()
    assert 1 == adopter.store.adopt()
    assert ["x #1"] == adopter.drain()
    adopter.end()
    assert [] == list(tmp_path.iterdir())


def test_what_is_adopted_and_comes_again_counts_once(tmp_path: Path) -> None:
    """
    Retries don't add to what was adopted.
    """
    ended(tmp_path, list("abc"))
    adopter = Shelf(tmp_path)
    adopter.store.adopt()
    for _ in range(3):
        assert adopter.store.batch(1 << 16, 2) is not None

    adopter.drain()
    assert (3, 3) == (adopter.store.counts.adopted, adopter.store.counts.delivered)
    adopter.end()


def test_two_adopters_share_without_doubles(tmp_path: Path) -> None:
    """
    Whoever has the lock sends; a file that the other deleted in between is passed over.
    """
    for n in range(6):
        ended(tmp_path, [f"{n}"])
    one, other = Shelf(tmp_path), Shelf(tmp_path)
    one.store.adopt()
    other.store.adopt()

    assert sorted(f"{n} #1" for n in range(6)) == sorted(one.drain() + other.drain())
    one.end()
    other.end()


@pytest.mark.parametrize("kind", ["refused", "halved"])
def test_a_refused_event_becomes_a_dead_letter(tmp_path: Path, kind: str) -> None:
    """
    Halving finds the one; it is kept with its resource and scope, and the others go on.
    """
    shelf = Shelf(tmp_path)
    shelf.tell("abcd")
    batch = shelf.store.batch(1 << 16, 10)
    assert batch is not None
    first, second = batch.halves()
    first.delivered()
    third, fourth = second.halves()
    third.dead()
    fourth.delivered(rejected=1 if kind == "refused" else 0)

    counts = shelf.store.counts
    assert (3, 0, 1) == (
        counts.delivered + counts.rejected,
        counts.rejected - (kind == "refused"),
        counts.dead_lettered,
    )
    assert shelf.store.batch(1 << 16, 10) is None
    [letters] = names(tmp_path, ".dead")
    frames = scan(letters.read_bytes(), int(letters.stem.rpartition("-")[2], 16))
    assert [b"resource", pack_scope(b"scope", b"schema"), (b"c", 3)] == [
        (frame.payload, frame.sequence) if frame.sequence else frame.payload
        for frame in frames
        if isinstance(frame, Frame)
    ]
    shelf.end()


def test_an_event_larger_than_a_batch_still_comes(tmp_path: Path) -> None:
    """
    Alone.
    """
    shelf = Shelf(tmp_path, segment_bytes=8 << 20)
    large = "x" * (EVENT_MOST - 100)
    shelf.tell(["a", large, "b"])

    assert ["a #1", f"{large} #2", "b #3"] == shelf.drain(most_bytes=4096)
    shelf.end()


def test_old_events_expire_and_are_counted(tmp_path: Path) -> None:
    """
    With an age that was set; without one they wait for as long as there is room.
    """
    ended(tmp_path, list("abc"))
    later = Shelf(tmp_path, max_age_s=60.0)
    later.store._clock = lambda: time.time() + 120
    later.store.adopt()
    later.tell(["new"])
    later.store._clock = lambda: time.time() + 30 if later.store.counts.expired else time.time() + 120

    assert ["new #1"] == later.drain()
    assert 3 == later.store.counts.expired
    later.end()


# --- damage -------------------------------------------------------------------------------------------------------


def test_a_torn_tail_costs_what_was_torn(tmp_path: Path) -> None:
    """
    As after a power cut.
    """
    segment = ended(tmp_path, list("abc"))
    segment.write_bytes(segment.read_bytes()[:-3])
    adopter = Shelf(tmp_path)
    adopter.store.adopt()

    assert ["a #1", "b #2"] == adopter.drain()
    assert adopter.store.counts.damaged_bytes > 0
    adopter.end()


@pytest.mark.parametrize("where", ["head", "middle"])
def test_a_zeroed_piece_costs_what_was_in_it(tmp_path: Path, where: str) -> None:
    """
    Resource and scope have a second copy beside the segment.
    """
    segment = ended(tmp_path, [f"event {n}" for n in range(100)])
    content = bytearray(segment.read_bytes())
    start = 0 if where == "head" else len(content) // 2
    content[start : start + 200] = bytes(200)
    segment.write_bytes(content)
    adopter = Shelf(tmp_path)
    adopter.store.adopt()
    batch = adopter.store.batch(1 << 20, 1000)

    assert batch is not None
    assert (b"resource", b"scope") == (batch.resource, batch.groups[0][0])
    assert 94 <= batch.events < 100
    batch.delivered()
    assert adopter.store.batch(1 << 20, 1000) is None
    adopter.end()


def test_head_and_sidecar_lost_still_sends_under_an_unknown_resource(tmp_path: Path) -> None:
    """
    Whose events they are is lost; the events are not.
    """
    segment = ended(tmp_path, [f"event {n}" for n in range(10)])
    content = bytearray(segment.read_bytes())
    content[10:30] = bytes(20)
    segment.write_bytes(content)
    for file in names(tmp_path, ".ack"):
        file.unlink()
    adopter = Shelf(tmp_path)
    adopter.store.adopt()
    batch = adopter.store.batch(1 << 20, 1000)

    assert batch is not None
    assert (b"unknown", 10) == (batch.resource, batch.events)
    adopter.end()


@pytest.mark.parametrize("content", [b"", bytes(8192), b"not ours at all" * 100, random.Random(1).randbytes(5000)])
def test_a_file_that_holds_nothing_is_put_aside(tmp_path: Path, content: bytes) -> None:
    """
    Zero bytes, zeros, text, noise: it never stops a start, and is kept for a person, but for an empty one.
    """
    segment = ended(tmp_path, ["a"])
    segment.write_bytes(content)
    for file in names(tmp_path, ".ack"):
        file.unlink()
    adopter = Shelf(tmp_path)
    adopter.store.adopt()

    assert [] == adopter.drain()
    assert bool(content) == bool(names(tmp_path, ".bad"))
    assert [] == names(tmp_path, ".seg")
    adopter.end()


def test_a_newer_segment_is_left_for_the_newer_bizspan(tmp_path: Path) -> None:
    """
    Its version is in its first bytes, and nothing of this version is in it.
    """
    segment = ended(tmp_path, ["a"])
    segment.write_bytes(segment.read_bytes().replace(b"BZS1", b"BZS2"))
    for file in names(tmp_path, ".ack"):
        file.unlink()
    adopter = Shelf(tmp_path)

    assert 0 == adopter.store.adopt()
    assert [] == adopter.drain()
    assert segment.exists()
    adopter.end()


def test_foreign_files_are_left_alone(tmp_path: Path) -> None:
    """
    What has no name of ours is not opened, counted or deleted; a link with a name of ours is not followed.
    """
    shelf = Shelf(tmp_path / "spool")
    (tmp_path / "spool" / "notes.txt").write_text("x")
    (tmp_path / "secret").write_text("secret")
    segment = ended(tmp_path / "spool", ["a"])
    segment.unlink()
    segment.symlink_to(tmp_path / "secret")
    shelf.store.adopt()

    assert [] == shelf.drain()
    assert "secret" == (tmp_path / "secret").read_text()
    assert "x" == (tmp_path / "spool" / "notes.txt").read_text()
    shelf.end()


@pytest.mark.parametrize("damage", ["short", "zeros", "beyond", "noise"])
def test_a_bad_sidecar_means_sending_again(tmp_path: Path, damage: str) -> None:
    """
    At least once: nothing is skipped by a sidecar that can't be true.
    """
    shelf = Shelf(tmp_path)
    shelf.tell("abc")
    first = shelf.store.batch(1 << 16, 2)
    assert first is not None
    if damage == "beyond":
        shelf.store.own[0].ack.move(1 << 30, 2)
        shelf.store.own[0].ack.offset = 0
    else:
        first.delivered()
    shelf.end()
    [sidecar] = names(tmp_path, ".ack")
    content = sidecar.read_bytes()
    sidecar.write_bytes(
        {
            "short": content[:40],
            "zeros": bytes(len(content)),
            "beyond": content,
            "noise": random.Random(2).randbytes(len(content)),
        }[damage]
    )
    adopter = Shelf(tmp_path)
    adopter.store.adopt()

    assert ["a #1", "b #2", "c #3"] == adopter.drain()
    adopter.end()


def test_an_unfinished_file_of_a_process_that_is_gone_is_cleared(tmp_path: Path) -> None:
    """
    It never had a name under which an event was acknowledged.
    """
    segment = ended(tmp_path, ["a"])
    _, rest = segment.stem.split("-", 1)
    segment.rename(tmp_path / f"{time.time_ns() - 61 * 10**9:016x}-{rest}.tmp")
    adopter = Shelf(tmp_path)
    adopter.store.adopt()
    adopter.end()

    assert [] == list(tmp_path.iterdir())
