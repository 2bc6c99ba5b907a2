"""
Where KPIs are read from: a SQLite file of the lens, or ClickHouse over HTTP.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from bizspan import _read_only
from bizspan._columns import is_beyond_64_bits
from bizspan._minor import INT64_MAX, INT64_MIN
from bizspan.errors import SetupError
from bizspan.kpi._dialect import SQLITE, Dialect
from bizspan.kpi._emit import Statement
from bizspan.kpi._fold import Folder, worth
from bizspan.kpi._slices import CantFold

Row = tuple[Any, ...]
_T = TypeVar("_T")
# Reads of the file go past SQLite's own 2 MB cache, to that of the operating system.
_FASTER: Final = f"PRAGMA mmap_size = {128 << 20}"


def kept_since_ns(source: Source, what: str) -> int:
    """
    Since when a source has all that happened, as far as it knows; 0 where it never dropped anything.

    Args:
        source: Which one.
        what: ``events`` or ``gauges``.

    Raises:
        SetupError: When it can't be reached.
    """
    return source.kept_since_ns(what) if isinstance(source, SqliteSource) else 0


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
            SetupError: When it is no store.
        """
        return self._asked(lambda database: _rows(database, statements))

    def kept_since_ns(self, what: str) -> int:
        """
        Since when the store has all that happened: its retention drops what is older.

        Args:
            what: The table.

        Raises:
            SetupError: When it is no store.
        """
        return self._asked(lambda database: _kept_since_ns(database, what))

    def _asked(self, ask: Callable[[sqlite3.Connection], _T]) -> _T:
        path = Path(self.path)
        if not _read_only.is_there(path):
            raise SetupError(f"{path}: there is no such file; name the store of a lens.")
        try:
            with closing(_read_only.connect(path, check_same_thread=False)) as database:
                database.execute(_FASTER)
                database.execute("BEGIN")
                return ask(database)
        except sqlite3.Error as error:
            raise SetupError(f"{path}: {error}.") from error


def _rows(database: sqlite3.Connection, statements: Sequence[Statement]) -> list[list[Row]]:
    folds = worth([each.fold for each in statements])
    if any(folds):
        folder = Folder(database)
        try:
            told = [(each.sql, each.parameters) for each, fold in zip(statements, folds, strict=True) if fold is None]
            found, beside = map(iter, folder.rows([fold for fold in folds if fold is not None], told))
            return [next(beside if fold is None else found) for fold in folds]
        except CantFold:
            pass
        except sqlite3.OperationalError as error:
            if not is_beyond_64_bits(error):
                raise
        finally:
            folder.close()
    return [fetched(database, each.sql, dict(each.parameters)) for each in statements]


def fetched(database: sqlite3.Connection, sql: str, parameters: Mapping[str, Any] | Sequence[Any]) -> list[Row]:
    """
    The rows of a statement; a sum of whole numbers beyond 64 bits is a text.

    There SQLite gives up. Python's sum takes several times as long: from here on, in this connection alone.

    Args:
        database: The connection.
        sql: The statement.
        parameters: Its values.
    """
    try:
        return database.execute(sql, parameters).fetchall()
    except sqlite3.OperationalError as error:
        if not is_beyond_64_bits(error):
            raise
    database.create_window_function("sum", 1, _ExactSum)
    return database.execute(sql, parameters).fetchall()


class _ExactSum:
    """SQL's ``sum`` of whole numbers of any size: what is beyond 64 bits becomes a text."""

    def __init__(self) -> None:
        self._total: int | float = 0
        self._count = 0

    def step(self, value: int | float | None) -> None:
        if value is not None:
            self._total += value
            self._count += 1

    def inverse(self, value: int | float | None) -> None:
        if value is not None:
            self._total -= value
            self._count -= 1

    def value(self) -> int | float | str | None:
        if not self._count:
            return None
        is_beyond = isinstance(self._total, int) and not INT64_MIN <= self._total <= INT64_MAX
        return str(self._total) if is_beyond else self._total

    finalize = value


def _kept_since_ns(database: sqlite3.Connection, what: str) -> int:
    if database.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'dropped'").fetchone() is None:
        return 0
    (until_ns,) = database.execute("SELECT max(until_ns) FROM dropped WHERE what = ?", (what,)).fetchone()
    return 0 if until_ns is None else until_ns + 1
