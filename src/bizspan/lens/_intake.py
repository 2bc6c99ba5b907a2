"""
A request's bytes into the store: who decodes it, and what became of it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from bizspan.errors import MissingExtra
from bizspan.lens._apart import Apart
from bizspan.lens._decoding import Decoder, Encoding, Signal, request_class
from bizspan.lens._prepared import Prepared
from bizspan.lens._store import Store, Stored

_LARGE: Final = 1 << 20
_APART_LEAST: Final = 32 << 10  # to decode what is smaller takes little longer than to hand it over


def needs_protobuf(part: str = "bizspan lens") -> None:
    """
    Look whether the packages for spans and metrics are there.

    Args:
        part: What the user asked for.

    Raises:
        MissingExtra: They are not.
    """
    try:
        request_class("traces")
    except ImportError:
        raise MissingExtra(part, "lens") from None


class _Turn:
    """
    What requests of one size wait for, and what then decodes them: what it has learned of those before is not another
    thread's to change meanwhile.
    """

    __slots__ = ("decoder", "lock")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.decoder = Decoder()


class Intake:
    """
    Takes export requests into a store.

    Args:
        store: Where they go.
        apart: Decodes what is not small; without it, this process does.
        time_ns: The clock; by default that of the store.
    """

    def __init__(self, store: Store, *, apart: Apart | None = None, time_ns: Callable[[], int] | None = None) -> None:
        self.store = store
        self._apart = apart
        self._time_ns = time_ns or store.time_ns
        self._large = _Turn()
        self._small = _Turn()
        self._counting = threading.Lock()
        self.total = Stored()  # of all that was taken

    def take(self, signal: Signal, encoding: Encoding, data: bytes) -> Stored:
        """
        Store what a request brings. Returns when it is on the disk.

        Args:
            signal: Of the request.
            encoding: Of its body.
            data: Its body, decompressed.

        Raises:
            Damaged: It is no such request; nothing of it is stored.
            TooMany: It has more records than are taken at once; nothing of it is stored.
            StoreError: It is not stored; trying again later may help.
        """
        return self._stored(self._prepared(signal, encoding, data))

    def take_line(self, data: bytes) -> Stored:
        """
        Store what a line of OTLP JSON brings, of whatever signal it is.

        Raises:
            Damaged: It is no such line; nothing of it is stored.
            TooMany: See `take`.
            StoreError: See `take`.
        """
        turn = self._turn(len(data))
        with turn.lock:
            prepared = turn.decoder.prepared_line(data, self._time_ns())
        return self._stored(prepared)

    def _stored(self, prepared: Prepared) -> Stored:
        stored = self.store.write(prepared)
        with self._counting:
            self.total += stored
        return stored

    def _prepared(self, signal: Signal, encoding: Encoding, data: bytes) -> Prepared:
        if self._apart is not None and len(data) >= _APART_LEAST:
            prepared = self._apart.prepared(signal, encoding, data, self._time_ns())
            if prepared is not None:
                return prepared
        turn = self._turn(len(data))
        with turn.lock:
            return turn.decoder.prepared(signal, encoding, data, self._time_ns())

    def _turn(self, size: int) -> _Turn:
        """
        What requests wait for that are decoded here. One is decoded at a time: threads that only compute get in each
        other's way.

        Large ones have a turn of their own, so that small ones need not wait for them, and one of them is in memory:
        decoded, they may take a hundred times the room.
        """
        return self._large if size > _LARGE else self._small
