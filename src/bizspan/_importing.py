"""
``bizspan import``: files of OTLP JSON lines, and what waits in spools, into the store of a lens.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

from bizspan import _lines
from bizspan._progress import Bar
from bizspan.errors import SetupError

if TYPE_CHECKING:
    from bizspan.lens import Intake, Stored

_AT_ONCE: Final = 4  # requests that share a commit
_WAITING_MOST: Final = 16
_PROBLEMS_MOST: Final = 20

Work = tuple[str, "Callable[[], Stored]"]


@dataclass(slots=True)
class Imported:
    """
    What became of the files.

    Args:
        stored: Records that are new.
        already: Records that the store had.
        refused: Records that are not kept.
        damaged: Lines, and places of spools, that can't be read.
        problems: Of the first of these: where, and why.
    """

    stored: int = 0
    already: int = 0
    refused: int = 0
    damaged: int = 0
    problems: list[str] = field(default_factory=list[str])

    def bad(self, where: str, why: str) -> None:
        """Count what can't be read."""
        self.damaged += 1
        self._say(where, why)

    def add(self, where: str, stored: Stored) -> None:
        """Count what a request brought."""
        self.stored += stored.stored
        self.already += stored.already
        self.refused += stored.refused
        if stored.refused:
            self._say(where, f"{stored.refused:,} refused: {stored.why}")

    def _say(self, where: str, why: str) -> None:
        if len(self.problems) < _PROBLEMS_MOST:
            self.problems.append(f"{where}: {why}")

    @property
    def exit_code(self) -> int:
        """0 where everything is in the store, else 1."""
        return 1 if self.refused or self.damaged else 0


def import_into(store: str | Path | None, paths: Sequence[str], progress: TextIO | None = None) -> Imported:
    """
    Store what these paths hold. Takes nothing out of them.

    Args:
        store: The file; by default that of the user's lens, which may be running.
        paths: Files of OTLP JSON lines, directories of them, and directories of spools.
        progress: A terminal for a progress bar.

    Raises:
        MissingExtra: ``bizspan[lens]`` is not installed.
        SetupError: A path can't be read, or the store can't be written.
    """
    from bizspan.lens import Intake, Retention, Store, default_path, needs_protobuf
    from bizspan.spool._inspect import is_spool

    needs_protobuf("bizspan import")
    spools = [path for path in paths if is_spool(path)]
    files = [file for path in paths if path not in spools for file in _lines.files_of(Path(path))]
    imported = Imported()
    # Nothing is dropped here: what is kept is the running lens's decision.
    with Store(store or default_path(), retention=Retention.everything()) as opened:
        _run(_work(Intake(opened), files, spools, imported, progress), imported)
    return imported


def _work(
    intake: Intake, files: Sequence[Path], spools: Sequence[str], imported: Imported, progress: TextIO | None
) -> Iterator[Work]:
    if files:
        yield from _from_files(intake, files, imported, progress)
    if spools:
        yield from _from_spools(intake, spools, imported, progress)


def _from_files(intake: Intake, files: Sequence[Path], imported: Imported, progress: TextIO | None) -> Iterator[Work]:
    bar = Bar(progress, sum(os.stat(file).st_size for file in files), "bytes")
    before = 0
    try:
        for file in files:
            for where, line in _lines.lines_of(file, imported.bad, partial(_show, bar, before)):
                yield where, partial(intake.take_line, line)
            before += os.stat(file).st_size
            bar.show(before)
    finally:
        bar.end()


def _show(bar: Bar, before: int, at: int) -> None:
    bar.show(before + at)


def _from_spools(intake: Intake, spools: Sequence[str], imported: Imported, progress: TextIO | None) -> Iterator[Work]:
    from bizspan.spool._inspect import requests_in, status_of

    def damaged(name: str, size: int) -> None:
        imported.bad(name, f"{size:,} damaged bytes")

    bar = Bar(progress, sum(status_of(path).waiting for path in spools), "events")
    done = 0
    try:
        for path in spools:
            for data, count in requests_in(path, damaged=damaged):
                yield path, partial(intake.take, "logs", "protobuf", data)
                done += count
                bar.show(done)
    finally:
        bar.end()


def _run(work: Iterator[Work], imported: Imported) -> None:
    """A few at once, so that they share a commit; and no more, so that memory stays small."""
    waiting: deque[tuple[str, Future[Any]]] = deque()
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="bizspan-import") as pool:
        try:
            for where, take in work:
                waiting.append((where, pool.submit(take)))
                if len(waiting) >= _WAITING_MOST:
                    _settle(*waiting.popleft(), imported)
            while waiting:
                _settle(*waiting.popleft(), imported)
        finally:
            pool.shutdown(cancel_futures=True)


def _settle(where: str, future: Future[Any], imported: Imported) -> None:
    from bizspan.lens import Damaged, StoreError, TooMany

    try:
        imported.add(where, future.result())
    except Damaged as why:
        imported.bad(where, str(why))
    except TooMany:
        imported.bad(where, "more records in one request than are taken at once")
    except StoreError as why:
        raise SetupError(f"The store can't be written ({why}); what was imported so far is in it.") from None
