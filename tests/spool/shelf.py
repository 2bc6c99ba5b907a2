"""A spool of plain text in a temporary directory: what the tests of writer and store share."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

from bizspan import names
from bizspan.spool._batch import pack_scope
from bizspan.spool._directory import Directory
from bizspan.spool._files import Files
from bizspan.spool._segment import Segment
from bizspan.spool._store import Store
from bizspan.spool._writer import Writer

_writers = itertools.count(1)
_NUMBER = b"\x0a\x0b" + names.SEQUENCE.encode()  # the attribute's key: tag and length before it, its value behind it


def head() -> tuple[bytes, dict[int, bytes]]:
    """A resource and one scope."""
    return b"resource", {0: pack_scope(b"scope", b"schema")}


class Shelf:
    """
    One process's spool.

    Args:
        path: Its directory.
        files: The file system.
        segment_bytes: See `Writer`.
        most_bytes: See `Directory`.
    """

    def __init__(
        self,
        path: Path,
        *,
        files: Files | None = None,
        segment_bytes: int = 1 << 20,
        most_bytes: int = 1 << 30,
        floor_bytes: int = 0,
        block_s: float = 0.0,
        is_synced: bool = False,
        max_age_s: float | None = None,
        writer_id: str | None = None,
    ) -> None:
        self.directory = Directory(
            str(path), most_bytes=most_bytes, floor_bytes=floor_bytes, files=files or Files()
        )  # fmt: skip
        self.refused: list[str] = []
        self._waits = block_s > 0
        writer_id = writer_id or f"{next(_writers):020x}"
        self.writer = Writer(
            self.directory,
            writer_id,
            head,
            segment_bytes=segment_bytes,
            is_synced=is_synced,
            block_s=block_s,
            opened=self._opened,
            refused=self.refused.append,
        )
        self.store = Store(
            self.directory, self.writer, writer_id, max_age_s=max_age_s, unknown_resource=b"unknown"
        )  # fmt: skip

    def _opened(self, segment: Segment) -> None:
        self.store.own.append(segment)

    def tell(self, texts: Iterable[str]) -> list[str | None]:
        """Append each; the answers."""
        append = self.writer.append_or_wait if self._waits else self.writer.append
        return [append(text.encode()) for text in texts]

    def end(self) -> None:
        """The process ends: its locks go."""
        self.writer.close()
        self.store.release()

    def drain(self, most_bytes: int = 1 << 16, most_events: int = 512) -> list[str]:
        """Have everything taken; what it was."""
        taken: list[str] = []
        while (batch := self.store.batch(most_bytes, most_events)) is not None:
            taken += texts_of(batch.groups)
            batch.delivered()
        return taken


def texts_of(groups: Sequence[tuple[bytes, bytes, Sequence[bytes]]]) -> list[str]:
    """What these entries say, without tag, length and number."""
    return [text_of(entry) for _, _, entries in groups for entry in entries]


def text_of(entry: bytes) -> str:
    """The text that was told in place of a LogRecord, and its number: ``text #7``."""
    start = 2  # behind tag and length
    while entry[start - 1] & 0x80:
        start += 1
    text, _, value = entry[start:].rpartition(_NUMBER)
    number = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(value[3:]))
    return f"{text[:-2].decode()} #{number}"
