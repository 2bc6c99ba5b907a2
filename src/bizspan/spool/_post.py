"""
One POST at a time to one target, over a connection that is kept: bounded in time, bounded in what is read.
"""

from __future__ import annotations

import os
import socket
import ssl
import time
import zlib
from contextlib import suppress
from http.client import HTTPException, HTTPResponse, IncompleteRead
from io import BufferedReader, RawIOBase
from selectors import EVENT_READ, DefaultSelector
from typing import Any, Final, cast

from bizspan.spool._answers import MOST_ANSWER, Answer
from bizspan.spool._target import Target

# The body's form is ours to tell, whatever OTEL_EXPORTER_OTLP_HEADERS holds.
_OURS: Final = frozenset({"content-type", "content-encoding", "content-length", "transfer-encoding", "connection"})


class Poster:
    """
    Sends requests and reads answers. For one thread; only `interrupt` may be called from another.

    Redirects are never followed. Proxies are never used: ``HTTP_PROXY`` and its siblings are ignored, because events
    go where the endpoint says and nowhere else. What fails is told as an `Answer` without a status, by a word: no
    error, no repr and no log line holds a header, a path or a body.

    The time for one request covers connection, TLS and answer. It cannot cover the system's look-up of the host's
    name, which has limits of its own (``timeout`` and ``attempts`` in resolv.conf); an address needs no look-up.

    Args:
        target: Where to.

    Raises:
        SetupError: When a certificate's file cannot be used.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._tls = target.tls()
        self._head = _head(target)
        self._wire: _Wire | None = None
        self._pid = os.getpid()
        self._inherited: list[_Wire] = []
        self._is_interrupted = False

    def __repr__(self) -> str:
        return f"Poster({self._target!r})"

    @property
    def shown(self) -> str:
        """Where to, for people."""
        return self._target.shown

    def post(self, body: bytes, timeout_s: float | None = None) -> Answer:
        """
        Send one request and read its answer.

        Args:
            body: An ExportLogsServiceRequest, not compressed.
            timeout_s: If that is less than the target's.
        """
        limit = self._target.timeout_s if timeout_s is None else min(timeout_s, self._target.timeout_s)
        deadline = time.monotonic() + limit
        request = self._request(body)
        kept = self._kept()
        if kept is not None:
            answer = self._exchange(kept, request, deadline)
            # A server may close an idle connection at any moment: that says nothing about this request.
            if answer.problem != "closed" or self._is_interrupted:
                return answer
        if self._is_interrupted:
            return Answer(0, "closed")
        try:
            wire = self._wire = self._connected(deadline)
        except (OSError, ValueError) as error:  # UnicodeError, of a host's name, is a ValueError
            return Answer(0, _unconnected(error))
        return self._exchange(wire, request, deadline)

    def interrupt(self) -> None:
        """End a request that another thread waits for, and let no further one wait."""
        self._is_interrupted = True
        wire = self._wire
        if wire is not None and self._pid == os.getpid():
            wire.shut()

    def close(self) -> None:
        """Close the connection; the next request opens one."""
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.let_go()

    def _request(self, body: bytes) -> bytes:
        match self._target.compression:
            case "gzip":
                body = zlib.compress(body, 1, zlib.MAX_WBITS | 16)
            case "deflate":
                body = zlib.compress(body, 1)
            case _:
                pass
        return b"%s%d\r\n\r\n%s" % (self._head, len(body), body)

    def _kept(self) -> _Wire | None:
        """The connection of the request before, if it is still this process's own."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._is_interrupted = False
            if self._wire is not None:
                # Kept for good: its reader may hold a lock of a thread that does not exist in this process.
                self._inherited.append(self._wire)
                self.close()
        wire = self._wire
        if wire is not None and not (wire.is_ours() and wire.is_quiet()):
            self.close()
        return self._wire

    def _connected(self, deadline: float) -> _Wire:
        host, port = self._target.address
        found = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)
        failed: OSError = TimeoutError()
        for at, (family, kind, protocol, _, address) in enumerate(found):
            try:
                raw = socket.socket(family, kind, protocol)
            except OSError as error:  # no IPv6 here
                failed = error
                continue
            try:
                # A black hole at the first address leaves time for the second one.
                raw.settimeout(_left(deadline) / (len(found) - at))
                raw.connect(address)
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self._tls is not None:
                    raw.settimeout(_left(deadline))
                    raw = self._tls.wrap_socket(raw, server_hostname=host)
                return _Wire(raw)
            except BaseException as error:
                raw.close()
                if not isinstance(error, OSError):
                    raise
                failed = error
        raise failed

    def _exchange(self, wire: _Wire, request: bytes, deadline: float) -> Answer:
        wire.begin(deadline)
        is_reusable = False
        try:
            if self._is_interrupted:  # while it was being opened
                return Answer(0, "closed")
            refused: OSError | None = None
            try:
                wire.sendall(request)
            except TimeoutError:
                raise
            except OSError as error:
                refused = error  # a server may answer 413, and hang up, before it has read everything
            try:
                answer, is_reusable = wire.answer()
            except (OSError, HTTPException):
                if refused is not None:
                    raise refused from None
                raise
            if refused is not None and answer.status < 300:
                raise refused  # nobody can have taken what was not sent
            return answer
        except (OSError, HTTPException, ValueError) as error:
            return Answer(0, _unanswered(error))
        finally:
            if not is_reusable:
                self.close()


def _head(target: Target) -> bytes:
    """The request up to the value of its Content-Length."""
    parts = target.parts
    path = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
    told = [(name, value) for name, value in target.headers if name.lower() not in _OURS]
    names = {name.lower() for name, _ in told}
    if "host" not in names:
        told.insert(0, ("Host", parts.netloc))
    if "user-agent" not in names:
        told.append(("User-Agent", "bizspan-spool"))
    told += [("Accept-Encoding", "identity"), ("Content-Type", "application/x-protobuf")]
    if target.compression != "none":
        told.append(("Content-Encoding", target.compression))
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in told), "Content-Length: "]
    return "\r\n".join(lines).encode("latin-1")


class _Wire:
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
            self._raw.settimeout(_left(self._deadline))
            view = view[self._raw.send(view) :]

    def receive(self, into: memoryview) -> int:
        """Read what is there; 0 at the end, and when the budget is spent."""
        if not self.budget:
            return 0
        self._raw.settimeout(_left(self._deadline))
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

    def __init__(self, wire: _Wire) -> None:
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


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _identity(descriptor: int) -> tuple[int, int] | None:
    try:
        found = os.fstat(descriptor)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _unconnected(error: OSError | ValueError) -> str:
    match error:
        case TimeoutError():
            return "timeout"
        case ssl.SSLCertVerificationError():
            return "certificate"
        case ssl.SSLError() | ConnectionResetError():
            return "tls" if isinstance(error, ssl.SSLError) else "closed"
        case ConnectionRefusedError():
            return "refused"
        case socket.gaierror() | ValueError():
            return "dns"
        case _:
            return "unreachable"


def _unanswered(error: OSError | HTTPException | ValueError) -> str:
    match error:
        case TimeoutError():
            return "timeout"
        case ssl.SSLEOFError() | ssl.SSLZeroReturnError():
            return "closed"
        case ssl.SSLError():
            return "tls"
        case OSError() | IncompleteRead():  # http.client.RemoteDisconnected is an OSError
            return "closed"
        case _:
            return "garbled"
