"""
Opening the file: for the one that writes, and for those that read.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bizspan import _read_only
from bizspan.errors import SetupError
from bizspan.lens import _schema

_BUSY_S: Final = 10.0
_PAGE_BYTES: Final = 8192
_CACHE_KIB: Final = 48 * 1024
_READER_CACHE_KIB: Final = 16 * 1024
_CHECKPOINT_PAGES: Final = 4_000  # the pages of an index change again and again: seldom is cheaper
_WAL_BYTES: Final = 64 << 20  # what is kept of it between checkpoints
_STATEMENTS: Final = 256


def default_path() -> Path:
    """Where the store of this user is: below ``XDG_STATE_HOME``, or ``~/.local/state``."""
    told = os.environ.get("XDG_STATE_HOME", "")
    # The specification of base directories: what is relative is to be ignored.
    base = Path(told) if os.path.isabs(told) else Path.home() / ".local" / "state"
    return base / "bizspan" / "lens.db"


def writer(path: Path) -> sqlite3.Connection:
    """
    A connection that writes; the file is made where there is none, readable to its owner alone.

    Raises:
        SetupError: It can't be opened, or is something else's.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise SetupError(f"{path} can't be opened ({error.strerror}); name another file for the store.") from None
    connection = sqlite3.connect(
        path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False, cached_statements=_STATEMENTS
    )
    try:
        _schema.is_there(connection, str(path))  # before anything is changed
        for pragma in (
            f"page_size = {_PAGE_BYTES}", "auto_vacuum = INCREMENTAL", "journal_mode = WAL", "synchronous = FULL",
            f"cache_size = -{_CACHE_KIB}", f"wal_autocheckpoint = {_CHECKPOINT_PAGES}",
            f"journal_size_limit = {_WAL_BYTES}", "secure_delete = OFF",
        ):  # fmt: skip
            connection.execute(f"PRAGMA {pragma}").fetchall()
        _schema.prepare(connection, str(path))
    except sqlite3.Error as error:
        connection.close()
        raise SetupError(f"{path} can't be used as a store ({error}); name another file.") from None
    except BaseException:
        connection.close()
        raise
    return connection


def reader(path: Path) -> sqlite3.Connection:
    """
    A connection that only reads, beside one that writes.

    Raises:
        SetupError: There is no store.
    """
    if not _read_only.is_there(path):
        raise SetupError(f"{path} does not exist; pass the store of a lens.")
    try:
        connection = _read_only.connect(path, timeout_s=_BUSY_S, check_same_thread=False)
    except sqlite3.Error as error:
        raise SetupError(f"{path} can't be read as a store ({error}).") from None
    try:
        connection.execute("PRAGMA query_only = ON")
        connection.execute(f"PRAGMA cache_size = -{_READER_CACHE_KIB}")
        _schema.check(connection, str(path))
    except sqlite3.Error as error:
        connection.close()
        raise SetupError(f"{path} can't be read as a store ({error}).") from None
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def reading(path: Path) -> Generator[sqlite3.Connection]:
    """
    A connection that only reads, closed at the end.

    Raises:
        SetupError: There is no store.
    """
    connection = reader(path)
    try:
        yield connection
    finally:
        connection.close()
