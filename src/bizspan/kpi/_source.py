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

from bizspan import _read_only
from bizspan.errors import SetupError
from bizspan.kpi._dialect import SQLITE, Dialect
from bizspan.kpi._emit import Statement

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
        if not _read_only.is_there(path):
            raise SetupError(f"{path}: there is no such file; name the store of a lens.")
        try:
            with closing(_read_only.connect(path)) as database:
                database.execute(_FASTER)
                database.execute("BEGIN")
                return [database.execute(each.sql, dict(each.parameters)).fetchall() for each in statements]
        except sqlite3.Error as error:
            hint = "; a sum is beyond 64 bits, ask for a shorter period" if "integer overflow" in str(error) else ""
            raise SetupError(f"{path}: {error}{hint}.") from error
