"""
The spool of one process: writes on the application's threads, sends and adopts on one of its own.
"""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from bizspan import _guard, _wire, names
from bizspan._book_account import BookAccount
from bizspan.spool._batch import StoredBatch, pack_scope
from bizspan.spool._directory import Directory, Unusable
from bizspan.spool._encode import Encoder
from bizspan.spool._files import Files
from bizspan.spool._post import Poster
from bizspan.spool._segment import Gone, Segment
from bizspan.spool._sender import Sender
from bizspan.spool._store import Store
from bizspan.spool._target import Target, from_environment
from bizspan.spool._writer import Writer

if TYPE_CHECKING:
    from bizspan._clock import Ids
    from bizspan._record import Record
    from bizspan._wire_logs import ReadableLog
    from bizspan.spool._options import Spool

SCAN_S: Final = 5.0
SYNC_S: Final = 1.0
_UNKNOWN_RESOURCE: Final = {"service.name": "unknown_service"}
_OURS: Final = 0  # the number of the first scope
_SCOPES_MOST: Final = 1000

ReadResource = Callable[[], Mapping[str, object]]


class DiskBook:
    """
    A book on disk.

    Args:
        options: What the spool was told.
        target: Where events go.
        writer_id: 20 hex digits.
        resource: Gives the attributes of this process's Resource.
        scope: The first one, as `pack_scope` packs it: that of records.
        files: The file system.

    Raises:
        Unusable: When the directory can't hold a spool.
    """

    def __init__(
        self,
        options: Spool,
        target: Target,
        writer_id: str,
        resource: ReadResource,
        scope: bytes,
        files: Files | None = None,
    ) -> None:
        self.pid = os.getpid()
        self.refused: Callable[[str], object] = lambda reason: None
        self._directory = Directory(
            os.fspath(options.directory),
            most_bytes=options.max_bytes,
            floor_bytes=options.min_free_bytes,
            files=files or Files(),
        )
        self._resource = resource
        self._scopes: dict[int, bytes] = {_OURS: scope}
        self._numbers = {scope: _OURS}
        self._encoder = Encoder(writer_id)
        self._prefix = self._encoder.prefix
        self._writer = Writer(
            self._directory,
            writer_id,
            self._head,
            segment_bytes=options.segment_bytes,
            is_synced=options.durability == "power",
            block_s=options.block_s,
            opened=self._opened,
            refused=self._refused_aside,
        )
        self._append = self._writer.append_or_wait if options.block_s > 0 else self._writer.append
        self._store = Store(
            self._directory,
            self._writer,
            writer_id,
            max_age_s=options.max_age_s,
            unknown_resource=_wire.resource(_UNKNOWN_RESOURCE),
        )
        self._sender = Sender(self, Poster(target), _wire.export_request, idle_s=SCAN_S)
        self._wake = self._sender.wake
        self._life = self._sender.life  # of this process; a child has a book of its own
        self._scanned = self._synced = float("-inf")
        _books.add(self)

    # --- on the application's threads -------------------------------------------------------------------------------

    def append(self, record: Record) -> str | None:
        """Take one event. See `bizspan._book.Book`."""
        reason = self._append(self._prefix(record))
        if not self._life.awake:
            self._wake()
        return reason

    def append_foreign(self, data: ReadableLog, uid: str, scope: bytes) -> str | None:
        """
        Take any log record of the SDK.

        Args:
            data: The record.
            uid: What tells it from every other one.
            scope: Its own, as `pack_scope` packs it.
        """
        reason = self._append(self._encoder.foreign_prefix(data, uid), self._number_of(scope))
        if reason is None:
            self._wake()
        return reason

    def _number_of(self, scope: bytes) -> int:
        number = self._numbers.get(scope)
        if number is None:
            if len(self._numbers) >= _SCOPES_MOST:
                return _OURS
            number = self._numbers.setdefault(scope, len(self._numbers))
            self._scopes = {**self._scopes, number: scope}
            self._writer.seal_now()  # a segment names its scopes in its head
        return number

    @property
    def acknowledged(self) -> int:
        """How many events of this process are on disk, or were."""
        return self._writer.sequence

    def account(self) -> BookAccount:
        """What became of them."""
        counts = self._store.counts
        settled = counts.settled  # first: what is settled was acknowledged or adopted before
        return BookAccount(
            adopted=counts.adopted,
            delivered=counts.delivered,
            rejected_by_collector=counts.rejected,
            dead_lettered=counts.dead_lettered,
            expired=counts.expired,
            pending=self._writer.sequence + counts.adopted - settled,
            damaged_bytes=counts.damaged_bytes,
            bytes=self._directory.used_bytes() + self._writer.uncounted,
            is_durable=True,
        )

    def start(self) -> None:
        """Begin to send what others left: not in a forked child before its first event."""
        self._wake()

    def flush(self, timeout_s: float) -> bool:
        """Have everything that waits delivered; whether that was done in time."""
        return self._sender.flush(timeout_s)

    def close(self, timeout_s: float) -> None:
        """Refuse everything from now on, and send what can be sent in time. What waits then stays for another."""
        deadline = time.monotonic() + timeout_s
        self._writer.close()
        self._sender.flush(timeout_s)
        self._sender.stop(max(0.0, min(0.2, deadline - time.monotonic())))
        _books.discard(self)
        self._store.release()

    def _refused_aside(self, reason: str) -> None:
        self.refused(reason)

    def _head(self) -> tuple[bytes, dict[int, bytes]]:
        return _wire.resource(self._resource()), self._scopes

    def _opened(self, segment: Segment) -> None:
        self._store.own.append(segment)

    # --- on the sender's thread: its source -------------------------------------------------------------------------

    def batch(self, most_bytes: int, most_events: int) -> StoredBatch | None:
        """The oldest events that wait; now and then, those of processes that are gone among them."""
        self.tick()
        return self._store.batch(most_bytes, most_events)

    def tick(self) -> None:
        """Once a second, have what was written survive a power cut; every five seconds, look for orphans."""
        now = time.monotonic()
        if now - self._synced >= SYNC_S:
            self._synced = now
            self._sync()
        if now - self._scanned >= SCAN_S:
            self._scanned = now
            self._store.adopt()

    def waiting(self) -> int:
        """How many events of this process wait."""
        settled = self._store.own_settled  # first: what is settled was acknowledged before
        return self._writer.sequence - settled

    def settled(self) -> int:
        """How many of this process wait no longer."""
        return self._store.own_settled

    def _sync(self) -> None:
        for segment in list(self._store.own):  # those that are full among them
            try:
                segment.sync_new()
            except Gone:
                continue  # the next event begins another one
            except OSError as error:
                _guard.say_once("spool:sync", f"bizspan: the spool could not be synchronised ({error.errno}).")

    # --- a forked child ---------------------------------------------------------------------------------------------

    def forget(self) -> None:
        """Close what was inherited: the parent's locks would outlive it in this process."""
        for segment in [*self._store.own, *self._store.adopted]:
            if segment.is_intact:
                segment.directory.files.close(segment.descriptor)
        self._directory.close_inherited()


# Strong would keep the parent's for the whole life of a child.
_books: weakref.WeakSet[DiskBook] = weakref.WeakSet()


def _forget_inherited() -> None:
    """Forget the books of other processes: after a fork, or at the first event after one that ran no hooks."""
    for book in list(_books):
        if book.pid != os.getpid():
            _books.discard(book)
            book.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_inherited)


def opens(options: Spool, resource: ReadResource, schema_url: str) -> Callable[[Ids], DiskBook | None]:
    """
    What opens the spool of a process for its records: of this one now, and of each that is forked later.

    Args:
        options: What the spool was told.
        resource: Gives the attributes of the process's Resource.
        schema_url: Names the vocabulary.

    Raises:
        SetupError: When a variable about the endpoint is wrong.
    """
    from bizspan._signals import library_version

    open_book = opens_for(options)

    def opened(ids: Ids) -> DiskBook | None:
        return open_book(ids, resource, pack_scope(_wire.scope(names.SCOPE, library_version()), schema_url.encode()))

    return opened


def opens_for(options: Spool) -> Callable[[Ids, ReadResource, bytes], DiskBook | None]:
    """
    What opens a spool, given the writer's ids, the Resource and the first scope. It gives None, and says so once, where
    the directory can't hold one.

    Raises:
        SetupError: When a variable about the endpoint is wrong.
    """
    target = from_environment(url=options.endpoint)
    set_up_in = os.getpid()

    def open_book(ids: Ids, resource: ReadResource, scope: bytes) -> DiskBook | None:
        _forget_inherited()
        try:
            book = DiskBook(options, target, ids.writer_id, resource, scope)
        except Unusable as why:
            _guard.say_once(
                "spool:unusable",
                f"bizspan: there is no spool: {why}. Events wait in memory at most, and can be lost; name another"
                " directory.",
            )
            return None
        if os.getpid() == set_up_in:
            book.start()
        return book

    return open_book


def packed_scope(scope: Any) -> bytes:
    """An SDK's InstrumentationScope as `pack_scope` packs it; None is an unknown one."""
    if scope is None:
        return pack_scope(_wire.scope(""), b"")
    url = getattr(scope, "schema_url", None) or ""
    return pack_scope(
        _wire.scope(scope.name or "", scope.version, getattr(scope, "attributes", None)), _wire.utf8(str(url))
    )
