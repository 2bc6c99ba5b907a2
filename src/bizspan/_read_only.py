"""
Opening a SQLite file of others: read only, also where nothing can be written beside it.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Final

from bizspan.errors import SetupError

# What SQLite says of a file in WAL mode in whose directory it can't make the two files that go with it.
_REFUSED: Final = frozenset({sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY})
_PRIMARY: Final = 0xFF


def is_there(path: Path) -> bool:
    """
    Whether there is such a file.

    Raises:
        SetupError: This user may not look.
    """
    try:
        return path.is_file()
    except PermissionError:
        raise SetupError(f"{path} may not be read by this user; have its owner allow it.") from None


def connect(path: Path, *, timeout_s: float = 5.0, check_same_thread: bool = True) -> sqlite3.Connection:
    """
    A connection that only reads, beside one that may write; without transactions of its own.

    Args:
        path: A file that is there.
        timeout_s: How long to wait for one that writes.
        check_same_thread: Whether it belongs to this thread.

    Raises:
        SetupError: It can't be opened in a place where nothing can be written, or may not be read.
        sqlite3.Error: It is no database, or damaged.
    """
    path = path.resolve()  # the files that go with it lie beside what a link leads to
    address = f"{path.as_uri()}?mode=ro"

    def opened(more: str = "") -> sqlite3.Connection:
        return sqlite3.connect(
            address + more, uri=True, timeout=timeout_s, isolation_level=None, check_same_thread=check_same_thread
        )

    try:
        connection = opened()
        try:
            connection.execute("PRAGMA schema_version").fetchone()  # SQLite opens it now
        except BaseException:
            connection.close()
            raise
        return connection
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & _PRIMARY not in _REFUSED:
            raise
        if not os.access(path, os.R_OK):
            raise SetupError(f"{path} may not be read by this user; have its owner allow it.") from None
        if os.access(path.parent, os.W_OK):
            raise
    log = Path(f"{path}-wal")
    if log.exists() and log.stat().st_size:
        raise SetupError(
            f"{path} can't be read where nothing can be written: {log.name} has what is not in it yet. Copy both files"
            " to a directory of yours, and name the copy."
        )
    # Nobody writes there, and there is nothing beside it: it is what it is.
    return opened("&immutable=1")
