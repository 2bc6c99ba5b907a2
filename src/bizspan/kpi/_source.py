"""
Where KPIs are read from: a SQLite file of the lens, or ClickHouse over HTTP.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import quote

from bizspan.errors import SetupError
from bizspan.kpi._dialect import SQLITE, Dialect
from bizspan.kpi._emit import Statement
from bizspan.kpi._fold import CantFold, Folder

Row = tuple[Any, ...]
# Reads of the file go past SQLite's own 2 MB cache, to that of the operating system.
_FASTER: Final = f"PRAGMA mmap_size = {128 << 20}"


class Source(Protocol):
    """Anything that answers statements in one of the dialects."""

    @property
    def dialect(self) -> Dialect:
        """What it understands."""
        ...

    def rows(self, statements: Sequence[Statement]) -> list[list[Row]]:
        """
        The rows of each statement, from one state of the data where the engine can.

        Raises:
            SetupError: When it can't be reached, or does not understand.
        """
        ...


@dataclass(frozen=True, slots=True)
class SqliteSource:
    """
    A store of the lens; read only, and while the lens writes to it.

    Args:
        path: The file.
    """

    path: str | Path
    dialect: Dialect = SQLITE

    def rows(self, statements: Sequence[Statement]) -> list[list[Row]]:
        """
        The rows of each statement, all from one state of the file.

        Raises:
            SetupError: When it is no store, or a sum does not fit.
        """
        path = Path(self.path)
        if not path.is_file():
            raise SetupError(f"{path}: there is no such file; name the store of a lens.")
        try:
            with closing(
                sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True, check_same_thread=False)
            ) as database:
                database.isolation_level = None
                database.execute(_FASTER)
                database.execute("BEGIN")
                return _rows(database, statements)
        except sqlite3.Error as error:
            hint = "; a sum is beyond 64 bits, ask for a shorter period" if "integer overflow" in str(error) else ""
            raise SetupError(f"{path}: {error}{hint}.") from error


def _rows(database: sqlite3.Connection, statements: Sequence[Statement]) -> list[list[Row]]:
    folds = [each.fold for each in statements if each.fold is not None]
    if folds:
        folder = Folder(database)
        try:
            told = [(each.sql, each.parameters) for each in statements if each.fold is None]
            found, beside = map(iter, folder.rows(folds, told))
            return [next(beside if each.fold is None else found) for each in statements]
        except CantFold:
            pass
        finally:
            folder.close()
    return [database.execute(each.sql, each.parameters).fetchall() for each in statements]
