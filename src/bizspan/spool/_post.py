"""
One POST at a time to one target, over a connection that is kept: bounded in time, bounded in what is read.
"""

from __future__ import annotations

import os
import socket
import ssl
import time
import zlib
from http.client import HTTPException, IncompleteRead
from typing import Final

from bizspan.spool._answers import Answer
from bizspan.spool._connection import Connection, left
from bizspan.spool._lookup import Lookup
from bizspan.spool._target import Target

# The body's form is ours to tell, whatever OTEL_EXPORTER_OTLP_HEADERS holds.
_OURS: Final = frozenset({"content-type", "content-encoding", "content-length", "transfer-encoding", "connection"})


class Poster:
    """
    Sends requests and reads answers. For one thread; only `interrupt` may be called from another.

    Redirects are never followed. Proxies are never used: ``HTTP_PROXY`` and its siblings are ignored, because events
    go where the endpoint says and nowhere else. What fails is told as an `Answer` without a status, by a word: no
    error, no repr and no log line holds a header, a path or a body.

    The time for one request covers all of it: the look-up of the host's name, connection, TLS and answer.

    Args:
        target: Where to.

    Raises:
        SetupError: When a certificate's file cannot be used.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._tls = target.tls()
        self._head = _head(target)
        self._lookup = Lookup(*target.address)
        self._connection: Connection | None = None
        self._pid = os.getpid()
        self._inherited: list[Connection] = []
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
            connection = self._connection = self._connected(deadline)
        except (OSError, ValueError) as error:  # UnicodeError, of a host's name, is a ValueError
            return Answer(0, _unconnected(error))
        return self._exchange(connection, request, deadline)

    def interrupt(self) -> None:
        """End a request that another thread waits for, and let no further one wait."""
        self._is_interrupted = True
        connection = self._connection
        if connection is not None and self._pid == os.getpid():
            connection.shut()

    def close(self) -> None:
        """Close the connection; the next request opens one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.let_go()

    def _request(self, body: bytes) -> bytes:
        match self._target.compression:
            case "gzip":
                body = zlib.compress(body, 1, zlib.MAX_WBITS | 16)
            case "deflate":
                body = zlib.compress(body, 1)
            case _:
                pass
        return b"%s%d\r\n\r\n%s" % (self._head, len(body), body)

    def _kept(self) -> Connection | None:
        """The connection of the request before, if it is still this process's own."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._is_interrupted = False
            self._lookup.forget()
            if self._connection is not None:
                # Kept for good: its reader may hold a lock of a thread that does not exist in this process.
                self._inherited.append(self._connection)
                self.close()
        connection = self._connection
        if connection is not None and not (connection.is_ours() and connection.is_quiet()):
            self.close()
        return self._connection

    def _connected(self, deadline: float) -> Connection:
        host, _ = self._target.address
        found = self._lookup.addresses(deadline)
        failed: OSError = TimeoutError()
        for at, (family, kind, protocol, _, address) in enumerate(found):
            try:
                raw = socket.socket(family, kind, protocol)
            except OSError as error:  # no IPv6 here
                failed = error
                continue
            try:
                # A black hole at the first address leaves time for the second one.
                raw.settimeout(left(deadline) / (len(found) - at))
                raw.connect(address)
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self._tls is not None:
                    raw.settimeout(left(deadline))
                    raw = self._tls.wrap_socket(raw, server_hostname=host)
                return Connection(raw)
            except BaseException as error:
                raw.close()
                if not isinstance(error, OSError):
                    raise
                failed = error
        raise failed

    def _exchange(self, connection: Connection, request: bytes, deadline: float) -> Answer:
        connection.begin(deadline)
        is_reusable = False
        try:
            if self._is_interrupted:  # while it was being opened
                return Answer(0, "closed")
            refused: OSError | None = None
            try:
                connection.sendall(request)
            except TimeoutError:
                raise
            except OSError as error:
                refused = error  # a server may answer 413, and hang up, before it has read everything
            try:
                answer, is_reusable = connection.answer()
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
