"""Processes that start at the same moment, in one directory."""

from __future__ import annotations

from pathlib import Path

from bizspan.spool._files import Files
from tests.spool.shelf import Shelf


def test_a_process_that_starts_is_not_disturbed_by_one_that_looks_for_orphans(tmp_path: Path) -> None:
    """
    Between making a file and locking it, it looks like one whose process is gone.
    """
    adopter = Shelf(tmp_path)

    class Slow(Files):
        def create(self, path: str) -> int:
            descriptor = super().create(path)
            adopter.store.adopt()
            return descriptor

    starting = Shelf(tmp_path, files=Slow())

    assert [None, None] == starting.tell("ab")
    assert ["a #1", "b #2"] == starting.drain()
    starting.end()
    adopter.end()


def test_two_processes_may_make_the_directory_at_once(tmp_path: Path) -> None:
    """
    The one that comes second uses it as it is.
    """

    class Second(Files):
        def make_directory(self, path: str) -> None:
            super().make_directory(path)
            super().make_directory(path)

    shelf = Shelf(tmp_path / "spool", files=Second())

    assert [None] == shelf.tell("a")
    shelf.end()
