"""
A spool for every log record of a logger provider, not only for bizspan's own events.
"""

from __future__ import annotations

import os
import threading
from typing import Any

from opentelemetry.sdk._logs import LogRecordProcessor

from bizspan import _guard, names
from bizspan._book import ASIDE
from bizspan._book_account import BookAccount
from bizspan._clock import Ids
from bizspan._guard import Tallies
from bizspan.spool import Spool, opens_for, packed_scope

_EXIT_S = 2.5


class SpoolLogRecordProcessor(LogRecordProcessor):
    """
    Keeps log records on disk until a collector has taken them, instead of a batch processor and its exporter.

    Each gets a ``log.record.uid`` if it has none, the writer's id and a sequence number without gaps. Where another
    processor of the provider exports to the same collector, everything arrives twice.

    Args:
        spool: The directory, or a `Spool`. Other spools may use the same directory.

    Raises:
        SetupError: When a value, or a variable about the endpoint, is wrong.
    """

    def __init__(self, spool: str | os.PathLike[str] | Spool) -> None:
        self._options = spool if isinstance(spool, Spool) else Spool(spool)
        self._open = opens_for(self._options)
        self._book: Any = None
        self._pid = 0
        self._locks: dict[int, threading.RLock] = {}
        self._ids = Ids()
        self.refused = Tallies()  # by reason

    def on_emit(self, log_record: Any) -> None:
        """Write it. Never raises."""
        try:
            book = self._book_of(log_record)
            if book is None:
                self.refused.add("unusable")
                return
            attributes: Any = log_record.log_record.attributes or {}
            uid: object = attributes.get(names.RECORD_UID)
            reason = book.append_foreign(
                log_record,
                uid if isinstance(uid, str) else self._ids.new(),
                packed_scope(log_record.instrumentation_scope),
            )
            if reason is not None and reason is not ASIDE:
                self.refused.add(reason)
        except Exception as error:
            _guard.swallowed("spooling a log record", error)

    def _book_of(self, log_record: Any) -> Any:
        if self._pid != os.getpid():
            with self._locks.setdefault(os.getpid(), threading.RLock()):  # a forked child's is its own
                if self._pid != os.getpid():
                    self._ids = Ids()
                    # Before 1.39 the SDK keeps it on the record itself.
                    resource: Any = getattr(log_record, "resource", None) or log_record.log_record.resource
                    self._book = self._open(self._ids, lambda: resource.attributes, packed_scope(None))
                    if self._book is not None:
                        self._book.refused = self.refused.add
                    self._pid = os.getpid()
        return self._book

    def account(self) -> BookAccount | None:
        """What became of the records of this process; None before its first one."""
        return None if self._book is None or self._pid != os.getpid() else self._book.account()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Have everything that waits delivered; whether that was done in time."""
        return self.account() is None or bool(self._book.flush(timeout_millis / 1000))

    def shutdown(self) -> None:
        """Send what can be sent within 2.5 seconds. What waits then stays for the next process."""
        if self.account() is not None:
            self._book.close(_EXIT_S)
            self._book = None
