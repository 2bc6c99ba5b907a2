"""
A socket whose every step counts against one deadline, and whose answer is read to 64 KiB.
"""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from http.client import HTTPResponse, IncompleteRead
from io import BufferedReader, RawIOBase
from selectors import EVENT_READ, DefaultSelector
from typing import Any, cast

from bizspan.spool._answers import MOST_ANSWER, Answer


class Connection:
    """
    A socket whose steps share one deadline, and whose answer has one budget of bytes.

    Not an HTTPConnection: there each read has the whole time-out again, so one byte a second goes on for hours.
    """

    def __init__(self, raw: socket.socket) -> None:
        self._raw = raw
        self._identity = _identity(raw.fileno())
        self._deadline = 0.0
        self.budget = 0

    def begin(self, deadline: float) -> None:
        """Start an exchange."""
        self._deadline = deadline
        self.budget = MOST_ANSWER

    def is_ours(self) -> bool:
        """Whether the descriptor still is this socket: an application may have closed it, and opened a file."""
        return _identity(self._raw.fileno()) == self._identity

    def is_quiet(self) -> bool:
        """Whether nothing is there to read: neither its end, nor what would be taken for the next answer."""
        with DefaultSelector() as selector:
            selector.register(self._raw, EVENT_READ)
            return not selector.select(0)

    def shut(self) -> None:
        """Wake whoever waits for it."""
        with suppress(OSError):
            if self.is_ours():
                self._raw.shutdown(socket.SHUT_RDWR)

    def let_go(self) -> None:
        """Close the descriptor if it still is this socket, and forget it in any case."""
        if self.is_ours():
            self._raw.close()
        else:
            self._raw.detach()

    def sendall(self, data: bytes) -> None:
        """Send everything."""
        view = memoryview(data)
        while view:
            self._raw.settimeout(left(self._deadline))
            view = view[self._raw.send(view) :]

    def receive(self, into: memoryview) -> int:
        """Read what is there; 0 at the end, and when the budget is spent."""
        if not self.budget:
            return 0
        self._raw.settimeout(left(self._deadline))
        count = self._raw.recv_into(into[: self.budget])
        self.budget -= count
        return count

    def answer(self) -> tuple[Answer, bool]:
        """The answer, and whether the connection can be used again."""
        file = _File(_Raw(self))
        response = HTTPResponse(cast("socket.socket", _Opener(file)), method="POST")
        response.begin()
        if file.last_line not in (b"\r\n", b"\n"):
            raise ConnectionResetError  # http.client takes a head that breaks off for a whole one
        try:
            body = response.read(MOST_ANSWER + 1)
        except IncompleteRead as broken:
            if self.budget:
                raise
            body = broken.partial
        is_cut = not self.budget
        if response.length and not is_cut:
            raise ConnectionResetError  # fewer bytes than its Content-Length
        answer = Answer(
            response.status,
            content_type=response.headers.get("Content-Type", ""),
            content_encoding=response.headers.get("Content-Encoding", ""),
            retry_after=response.headers.get("Retry-After", ""),
            body=body[:MOST_ANSWER],
            is_cut=is_cut,
        )
        return answer, not (is_cut or response.will_close) and response.isclosed()


class _Raw(RawIOBase):
    """A wire, as a file."""

    def __init__(self, wire: Connection) -> None:
        self._wire = wire

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        return self._wire.receive(memoryview(buffer).cast("B"))


class _File(BufferedReader):
    """A file that remembers the last line that was read."""

    last_line = b""

    def readline(self, size: int | None = -1, /) -> bytes:
        self.last_line = super().readline(size)
        return self.last_line


class _Opener:
    """What an HTTPResponse asks of a socket."""

    def __init__(self, file: _File) -> None:
        self._file = file

    def makefile(self, mode: str) -> _File:
        return self._file


def left(deadline: float) -> float:
    """Seconds until then; a TimeoutError where there are none."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


def _identity(descriptor: int) -> tuple[int, int] | None:
    try:
        found = os.fstat(descriptor)
    except OSError:
        return None
    return found.st_dev, found.st_ino
