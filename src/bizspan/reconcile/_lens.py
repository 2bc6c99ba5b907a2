"""
Events from the store of a lens, where each is once already.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from bizspan import names
from bizspan.errors import SetupError
from bizspan.reconcile._events import Event, Reading

_MAGIC: Final = b"SQLite format 3\0"
_OF_CONTENT: Final = "content:"  # a uid that the store made, because the sender told none
_EVENTS: Final = """
SELECT uid, name, operation, outcome, time_ns, order_id, revenue_minor, revenue_currency, refund_minor, refund_currency,
    CASE name WHEN ? THEN refund_invalid ELSE revenue_invalid END, traffic FROM events
"""


class LensStores:
    """
    Events in stores of the lens. They may be written meanwhile.

    Args:
        paths: The files.
    """

    def __init__(self, paths: Sequence[str | Path]) -> None:
        self._paths = [Path(path) for path in paths]

    def events(self, reading: Reading) -> Iterator[Event]:
        """See `Source`."""
        from bizspan.lens import reading as opened

        for path in self._paths:
            try:
                with opened(path) as connection:
                    yield from _events(connection, path.name, reading)
            except sqlite3.Error as error:
                raise SetupError(f"{path} cannot be read ({error}).") from None


def is_store(path: str) -> bool:
    """Whether a path is a SQLite database."""
    try:
        with open(path, "rb") as stream:
            return stream.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def _events(connection: sqlite3.Connection, file: str, reading: Reading) -> Iterator[Event]:
    (lines,) = connection.execute("SELECT count(*) FROM logs").fetchone()
    reading.other_records += lines
    for row in connection.execute(_EVENTS, (names.EVENT_REFUND,)):
        uid, name, operation, outcome, time_ns, order, revenue, of_revenue, refund, of_refund, invalid, traffic = row
        if uid.startswith(_OF_CONTENT):
            reading.no_event(has_uid=False, is_ours=False)
            continue
        told = ((names.REVENUE, revenue, of_revenue), (names.REFUND, refund, of_refund))
        if any(minor is not None and code is None for _, minor, code in told):
            reading.bad(f"{file}: {uid}", "an amount without a currency")
            continue
        reading.events += 1
        yield Event(
            uid, name, operation or "", outcome or "", time_ns, order or "",
            tuple((kind, minor, code) for kind, minor, code in told if minor is not None), invalid or "", traffic or "",
        )  # fmt: skip
