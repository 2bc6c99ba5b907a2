"""
Processes of a model that share a spool on a `Disk`, and the books of what they told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

from bizspan.spool._batch import StoredBatch, pack_scope
from bizspan.spool._directory import Directory
from bizspan.spool._frame import numbered
from bizspan.spool._segment import Segment
from bizspan.spool._store import Store
from bizspan.spool._writer import Writer
from tests.spool.disk import PATH, DiskFiles


class Clock:
    """The one that all processes of a model share, in place of the `time` module."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """To where it began."""
        self.now = 1_700_000_000.0
        self.elapsed = 0.0

    def time(self) -> float:
        return self.now

    def time_ns(self) -> int:
        return int(self.now * 1e9)

    def monotonic(self) -> float:
        return self.elapsed

    def as_module(self) -> Any:
        """With the names that modules look up."""
        return SimpleNamespace(time=self.time, time_ns=self.time_ns, monotonic=self.monotonic)


CLOCK = Clock()


class Books:
    """
    What was told, and what became of it.

    Attributes:
        is_power: Whether acknowledged means that it survives a power cut.
        told: What the spool was given to write, exactly.
        waiting: What was acknowledged, and nobody has begun to settle.
        settled: What was settled without a failure on the way: it must not come again.
        unsure: Acknowledged, but that it survives a power cut was refused and counted.
    """

    def __init__(self) -> None:
        self.is_power = False
        self.told: set[bytes] = set()
        self.waiting: set[bytes] = set()
        self.settled: set[bytes] = set()
        self.unsure: set[bytes] = set()

    def seen(self, batch: StoredBatch) -> None:
        """What was taken out must have been told, byte by byte, and must not have been settled before."""
        for frame in batch.entries:
            assert frame.entry in self.told, frame
            assert frame.entry not in self.settled, frame

    def settling(self, payloads: Iterable[bytes]) -> None:
        """From here on they may be gone, or come again."""
        self.waiting.difference_update(payloads)


class Watched(Store):
    """A store that says what it lets expire."""

    expiring: Callable[[list[bytes]], object]

    def _expire(self, batch: StoredBatch) -> bool:
        if self._max_age_s is not None:
            oldest = self._clock() - self._max_age_s
            self.expiring([frame.entry for frame in batch.entries if frame.seconds < oldest])
        return super()._expire(batch)


class Noted(Writer):
    """A writer that says what it is about to write, and under which number it did."""

    told: set[bytes]

    def __init__(self, *about: Any, **options: Any) -> None:
        super().__init__(*about, **options)
        self.numbers: dict[bytes, int] = {}

    def _write(self, prefix: bytes, scope: int, attempts: int = 3) -> str | None:
        # Where the write before was interrupted, it is found out now whether it took a number.
        for step in (1, 2) if self._under_way else (1,):
            self.told.add(numbered(prefix, self.sequence + step))
        reason = super()._write(prefix, scope, attempts)
        if reason is None:
            self.numbers[prefix] = self.sequence
        return reason


def _ignored(reason: str) -> None:
    """Nothing is put aside here."""


class Process:
    """One process's spool."""

    def __init__(self, number: int, files: DiskFiles, books: Books, max_age_s: float | None) -> None:
        self.files = files
        self.acknowledged: set[int] = set()
        self.has_failed = False
        self.is_alone = True  # nobody else can have taken over what it gave up
        self._books = books
        writer_id = f"{number:020x}"
        self.directory = Directory(
            PATH, most_bytes=4000, floor_bytes=0, files=self.files, monotonic=CLOCK.monotonic
        )  # fmt: skip
        self.writer = Noted(
            self.directory,
            writer_id,
            lambda: (b"resource", {0: pack_scope(b"scope", b"")}),
            segment_bytes=400,
            is_synced=books.is_power,
            opened=self._opened,
            refused=_ignored,
            monotonic=CLOCK.monotonic,
        )
        self.writer.told = books.told
        self.store = Watched(self.directory, self.writer, writer_id, max_age_s=max_age_s, clock=CLOCK.time)
        self.store.expiring = books.settling

    def _opened(self, segment: Segment) -> None:
        self.store.own.append(segment)

    @property
    def pending(self) -> int:
        return self.writer.sequence + self.store.counts.adopted - self.store.counts.settled

    def tell(self, *texts: bytes) -> None:
        """One event each; the answers go into the model's books."""
        for text in texts:
            self._tell(text)

    def _tell(self, text: bytes) -> None:
        power = self.writer.power
        before = 0 if power is None else power.failures
        if self.writer.append(text) is not None:
            return
        sequence = self.writer.numbers[text]
        self.acknowledged.add(sequence)
        self._books.waiting.add(numbered(text, sequence))
        if power is not None and power.failures > before:
            self._books.unsure.add(numbered(text, sequence))

    def drain(self) -> None:
        """Have everything taken."""
        for _ in range(1000):
            batch = self.store.batch(500, 4)
            if batch is None:
                return
            self._books.seen(batch)
            self._books.settling([frame.entry for frame in batch.entries])
            batch.delivered()
        raise AssertionError("it never ends")
