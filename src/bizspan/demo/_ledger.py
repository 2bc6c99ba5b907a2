"""
The shop's own book, in SQLite: what became of each order, decided once.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from pathlib import Path
from typing import Final

PAID: Final = "paid"
QUERY: Final = f"SELECT id AS 'order', minor AS amount, currency, time FROM orders WHERE became = '{PAID}'"
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS orders (
    id TEXT PRIMARY KEY, became TEXT NOT NULL, minor INTEGER NOT NULL, currency TEXT NOT NULL, time TEXT NOT NULL
)
"""
_BUSY_S: Final = 10.0


class Orders:
    """
    The book of orders. Several processes may write.

    Args:
        path: The file; made where it is missing.
    """

    def __init__(self, path: str | Path) -> None:
        self._database = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        self._lock = threading.Lock()
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = NORMAL")
        self._database.execute(_SCHEMA)

    def became(self, order: str) -> str | None:
        """
        What became of it: ``paid``, or why not. None where it is not known.

        Args:
            order: Its id.
        """
        with self._lock:
            row = self._database.execute("SELECT became FROM orders WHERE id = ?", (order,)).fetchone()
        return None if row is None else str(row[0])

    def settle(self, order: str, became: str, minor: int, currency: str) -> str:
        """
        Write what became of it, unless that is written already.

        Args:
            order: Its id.
            became: See `became`.
            minor: Its amount, in minor units.
            currency: ISO 4217.

        Returns:
            What is written.
        """
        row = (order, became, minor, currency, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
        with self._lock:
            self._database.execute("INSERT OR IGNORE INTO orders VALUES (?, ?, ?, ?, ?)", row)
        return self.became(order) or became

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()
