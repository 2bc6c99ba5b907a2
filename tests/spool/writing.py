"""Disks that fail or are meddled with, and what is in a spool: what the tests of the writer share."""

from __future__ import annotations

import os
from pathlib import Path

from bizspan.spool import _frame
from bizspan.spool._directory import name_of
from bizspan.spool._files import Files
from bizspan.spool._frame import Frame, scan
from tests.spool.shelf import text_of


def stored(path: Path) -> list[tuple[int, str]]:
    """Sequence and text of every event in the directory."""
    found: list[tuple[int, str]] = []
    for file in sorted(path.iterdir()):
        name = name_of(file.name)
        if name is not None and name.kind == ".seg":
            for frame in scan(file.read_bytes(), name.salt):
                assert isinstance(frame, Frame), frame
                if frame.kind == _frame.EVENT:
                    found.append((frame.sequence, text_of(frame.entry)))
    return found


class Failing(Files):
    """A disk that fails as told."""

    def __init__(self) -> None:
        self.error: int | None = None
        self.cut = False
        super().__init__()
        self.pwrite = self._pwrite

    def _pwrite(self, descriptor: int, data: bytes, offset: int) -> int:
        if self.cut:
            return os.pwrite(descriptor, data[:10], offset)
        if self.error is not None:
            raise OSError(self.error, "told to")
        return os.pwrite(descriptor, data, offset)


class Thieving(Files):
    """
    The application closes the descriptor of the write that is told, and opens a file that gets its number.

    Args:
        path: Of that file.
        victim: What is written then.
    """

    def __init__(self, path: Path, victim: bytes) -> None:
        super().__init__()
        self.path, self.victim = path, victim
        self.stolen = -1
        self.pwrite = self._pwrite

    def _pwrite(self, descriptor: int, data: bytes, offset: int) -> int:
        if self.victim in data and self.stolen < 0:
            os.close(descriptor)
            self.stolen = os.open(self.path, os.O_RDWR | os.O_CREAT)
            assert descriptor == self.stolen
        return os.pwrite(descriptor, data, offset)
