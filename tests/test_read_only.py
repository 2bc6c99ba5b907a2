"""A store where nothing can be written: a directory or a file system that is read-only, a file of somebody else."""

from __future__ import annotations

import ctypes
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from bizspan.lens import Mark, Store, _marks
from tests.child import BOUND_S, environment
from tests.kpi.releases import MINUTE, rollout
from tests.kpi.test_compare_command import ARMS, CONFIG
from tests.report.shops import lens_store

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(sys.platform != "linux", reason="drops the rights that the administrator has, as Linux does"),
]

_CLOCK = re.compile(r"\d\d:\d\d(:\d\d)?")
_FROM_THE_BOUNDING_SET, _RIGHTS_OVER_FILES = 24, (1, 2)


def _as_anybody() -> None:
    """Also for the administrator, a file's mode says what is allowed, from the next program on."""
    library = ctypes.CDLL(None)
    for right in _RIGHTS_OVER_FILES:
        library.prctl(_FROM_THE_BOUNDING_SET, right, 0, 0, 0)


def bizspan(path: Path, *words: str) -> tuple[int, str, str]:
    ran = subprocess.run(
        [sys.executable, "-m", "bizspan", *words], cwd=path, env=environment(), capture_output=True, text=True,
        timeout=BOUND_S, check=False, preexec_fn=_as_anybody,
    )  # fmt: skip
    return ran.returncode, ran.stdout, ran.stderr


@contextmanager
def closed(directory: Path, *files: Path) -> Generator[None]:
    """Nothing may be written there, and these files not be read."""
    for each in files:
        each.chmod(0)
    directory.chmod(0o555)
    try:
        yield
    finally:
        directory.chmod(0o755)


@pytest.fixture
def shop(tmp_path: Path) -> Generator[Path]:
    """A project, a ledger, and beside them a directory with a store."""
    (tmp_path / "pyproject.toml").write_text(CONFIG, encoding="utf-8")
    (tmp_path / "ledger.csv").write_text("order,amount,currency,time\n", encoding="utf-8")
    (tmp_path / "kept").mkdir()
    now_ns = time.time_ns()
    store = lens_store(
        tmp_path / "kept" / "lens.db", rollout(lambda _, new: 0.3 if new else 0.7, until_ns=now_ns - MINUTE)
    )
    _marks.add(store, [Mark("TV spot", now_ns - 2 * MINUTE, now_ns)])
    yield tmp_path


COMMANDS = (
    ["compare", "--store=kept/lens.db", *ARMS[2:]],
    ["report", "--store=kept/lens.db", "--since=1d"],
    ["mark", "list", "--store=kept/lens.db"],
    ["reconcile", "--events=kept/lens.db", "--ledger=ledger.csv"],
)


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_a_store_is_read_where_nothing_can_be_written(shop: Path, words: list[str]) -> None:
    """
    With the exit code and the output that it has elsewhere.
    """
    code, said, error = bizspan(shop, *words)
    with closed(shop / "kept"):
        elsewhere = bizspan(shop, *words)

    assert ("", "") == (error, elsewhere[2])
    assert (code, _CLOCK.sub("TIME", said)) == (elsewhere[0], _CLOCK.sub("TIME", elsewhere[1]))


def test_a_store_with_events_beside_it_says_what_to_do(shop: Path) -> None:
    """
    Where a writer was stopped and left events in the file beside the store, nothing of them is left out in silence.
    """
    kept = shop / "kept"
    with closing(sqlite3.connect(kept / "lens.db")) as writer:
        writer.execute("UPDATE events SET name = name")
        writer.commit()
        shutil.copy(kept / "lens.db-wal", shop / "aside")
    shutil.move(shop / "aside", kept / "lens.db-wal")
    (kept / "lens.db-shm").unlink(missing_ok=True)
    with closed(kept):
        found = [bizspan(shop, *words) for words in COMMANDS]

    sentence = (
        f"error: {kept / 'lens.db'} can't be read where nothing can be written: lens.db-wal has what is not in it"
    )
    assert [(2, "")] * len(COMMANDS) == [(code, out) for code, out, _ in found], found
    assert [] == [error for _, _, error in found if sentence not in error]


def test_a_store_that_may_not_be_read_says_so(shop: Path) -> None:
    """
    The file's mode is the reason, and it is said.
    """
    kept = shop / "kept"
    with closed(kept, kept / "lens.db"):
        found = [bizspan(shop, *words) for words in COMMANDS[:3]]

    assert [(2, "")] * 3 == [(code, out) for code, out, _ in found]
    assert [] == [error for _, _, error in found if "lens.db may not be read by this user" not in error]


def test_a_lens_that_writes_is_read_from_a_directory_of_its_own(shop: Path) -> None:
    """
    What a living lens has written last is there, although the reader may write nothing beside the store.
    """
    kept = shop / "kept"
    with closing(Store(kept / "lens.db")):
        _marks.add(kept / "lens.db", [Mark("price", time.time_ns() - MINUTE, time.time_ns())])
        with closed(kept):
            code, said, error = bizspan(shop, "mark", "list", "--store=kept/lens.db")

    assert (0, 2, "") == (code, len(said.splitlines()), error)
