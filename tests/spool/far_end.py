"""A server that answers byte by byte as a test says: right, wrong, late or never."""

from __future__ import annotations

import socket
import ssl
import threading
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

PROTOBUF = "application/x-protobuf"


@dataclass(frozen=True)
class Request:
    """One request that came."""

    head: str
    body: bytes
    connection: int

    @property
    def plain(self) -> bytes:
        """The body without gzip."""
        return zlib.decompress(self.body, zlib.MAX_WBITS | 16)


def http(status: int, body: bytes = b"", kind: str = "", **headers: str) -> bytes:
    """An answer; what a keyword's name says with _ is a header with -."""
    told = {"Content-Length": str(len(body)), **({"Content-Type": kind} if kind else {})}
    told |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"HTTP/1.1 {status} Said", *(f"{name}: {value}" for name, value in told.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


OK = http(200, b"", PROTOBUF)


class FarEnd:
    """
    Plays its steps, one per request; the last one for all that follow.

    Args:
        steps: Bytes are the answer; a function says to the connection what it likes, and then that is closed.
        tls: Encrypts.

    Attributes:
        by_request: Makes the answers, in place of the steps.
        instead: Gets each connection before anything is read.
    """

    def __init__(self, *steps: bytes | Callable[[Any], None], tls: ssl.SSLContext | None = None) -> None:
        self.steps = list(steps)
        self.by_request: Callable[[Request], bytes] | None = None
        self.instead: Callable[[Any], object] | None = None
        self.tls = tls
        self.over = threading.Event()
        self.accepted = 0
        self.requests: list[Request] = []
        self._came = threading.Condition()
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    @property
    def url(self) -> str:
        """Where log records go."""
        return f"{'http' if self.tls is None else 'https'}://127.0.0.1:{self.port}/v1/logs"

    def __enter__(self) -> FarEnd:
        self._start(self._listen)
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for each in [self._listener, *self._open]:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join(5)
            assert not thread.is_alive()

    def wait(self, count: int, timeout_s: float = 5.0) -> bool:
        """Whether so many requests came in time."""
        with self._came:
            return self._came.wait_for(lambda: len(self.requests) >= count, timeout_s)

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _listen(self) -> None:
        while not self.over.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            self._open.append(connection)
            self._start(self._serve, connection, self.accepted)

    def _serve(self, connection: socket.socket, number: int) -> None:
        try:
            if self.instead is not None:
                self.instead(connection)
                return
            if self.tls is not None:
                connection = self.tls.wrap_socket(connection, server_side=True)
                self._open.append(connection)
            while (request := self._read(connection, number)) is not None:
                with self._came:
                    self.requests.append(request)
                    self._came.notify_all()
                if self.by_request is not None:
                    connection.sendall(self.by_request(request))
                    continue
                step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
                if callable(step):
                    step(connection)
                    return
                connection.sendall(step)
        except OSError:
            pass
        finally:
            connection.close()

    def _read(self, connection: socket.socket, number: int) -> Request | None:
        data = b""
        while b"\r\n\r\n" not in data:
            more = connection.recv(65536)
            if not more:
                return None
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
        )
        while len(body) < length:
            more = connection.recv(65536)
            if not more:
                return None
            body += more
        return Request(head.decode("latin-1"), body, number)
