"""
The HTTP server: a thread for each connection, a bounded number of them, and none that can hold on for ever.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler
from socketserver import BaseServer, TCPServer
from typing import Any, Final

from bizspan.lens._access import Access
from bizspan.lens._bodies import read_body
from bizspan.lens._routes import Refusal, Request, Response, Routes

CONNECTIONS_MOST: Final = 64
IDLE_S: Final = 30.0  # between two requests of a connection
REQUEST_S: Final = 30.0  # for a request to come in
_STALLED_S: Final = 10.0  # without a single byte
_DRAIN_BYTES: Final = 1 << 20
_POLL_S: Final = 0.25
_BUSY: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Type: text/plain\r\nContent-Length: 22\r\n"
    b"Connection: close\r\n\r\nToo many connections.\n"
)


class Server(TCPServer):
    """
    A listening socket, and its connections.

    Args:
        address: Host and port; port 0 is any free one.
        routes: Who answers.
        access: Who may ask.

    Raises:
        OSError: The address can't be used.
    """

    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], routes: Routes, access: Access) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        self.routes = routes
        self.access = access
        self._lock = threading.Lock()
        self._connections: dict[socket.socket, float] = {}  # when it is over, unless something comes
        self._idle: set[socket.socket] = set()
        self._threads: set[threading.Thread] = set()
        self._thread: threading.Thread | None = None
        super().__init__(address, _Handler)
        self._end, self._ended = socket.socketpair()

    def start(self) -> None:
        """Answer, on threads of its own."""
        self._thread = threading.Thread(target=self._accept, name="bizspan-lens-http", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop listening, cut every connection, and wait for their threads."""
        self._end.close()  # wakes the other end
        if self._thread is not None:
            self._thread.join()
        self._ended.close()
        self.server_close()
        with self._lock:
            threads = list(self._threads)
            for connection in self._connections:
                _cut(connection)
        for thread in threads:
            thread.join(5)

    def _accept(self) -> None:
        # Not serve_forever(), which notices its end only when it looks for it.
        with selectors.DefaultSelector() as selector:
            listening = selector.register(self.socket, selectors.EVENT_READ)
            ended = selector.register(self._ended, selectors.EVENT_READ)
            while True:
                ready = [key for key, _ in selector.select(_POLL_S)]
                if ended in ready:
                    return
                if listening in ready:
                    with contextlib.suppress(OSError):  # it has gone already
                        self.process_request(*self.get_request())
                self.service_actions()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give the connection a thread; where there are too many, one that waits for nothing is cut."""
        with self._lock:
            if len(self._connections) >= CONNECTIONS_MOST and self._idle:
                longest = min(self._idle, key=self._connections.__getitem__)
                self._idle.discard(longest)
                _cut(longest)
            elif len(self._connections) >= CONNECTIONS_MOST:
                with contextlib.suppress(OSError):
                    request.settimeout(1)
                    request.sendall(_BUSY)
                self.shutdown_request(request)
                return
            self._connections[request] = time.monotonic() + REQUEST_S
            thread = threading.Thread(
                target=self._serve, args=(request, client_address), name="bizspan-lens-connection", daemon=True
            )
            self._threads.add(thread)
        thread.start()

    def _serve(self, request: socket.socket, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        except OSError:
            pass  # the client has gone
        except Exception:
            self.handle_error(request, client_address)
        finally:
            with self._lock:
                self._idle.discard(request)
                self._connections.pop(request, None)
                self._threads.discard(threading.current_thread())
            self.shutdown_request(request)

    def told(self, connection: socket.socket, *, is_idle: bool, within_s: float | None) -> None:
        """
        A connection's own word about what it does.

        Args:
            connection: Which.
            is_idle: It waits for a request.
            within_s: When it is to be cut; None while it answers, which has no bound.
        """
        with self._lock:
            if connection in self._connections:
                self._connections[connection] = float("inf") if within_s is None else time.monotonic() + within_s
                (self._idle.add if is_idle else self._idle.discard)(connection)

    def service_actions(self) -> None:
        """Cut what takes too long."""
        now = time.monotonic()
        with self._lock:
            for connection, until in self._connections.items():
                if until < now:
                    _cut(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Name what went wrong; the other connections go on."""
        print(f"bizspan lens: {type(sys.exception()).__name__} while answering", file=sys.stderr)


def _cut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: BaseServer
    command: str = ""
    protocol_version = "HTTP/1.1"
    timeout = _STALLED_S
    disable_nagle_algorithm = True
    rbufsize = 1 << 16

    def _house(self) -> Server:
        assert isinstance(self.server, Server)
        return self.server

    def handle(self) -> None:
        """Answer requests, until one of both sides ends it."""
        self.close_connection = False
        while not self.close_connection:
            self.close_connection = True
            self._house().told(self.connection, is_idle=True, within_s=IDLE_S)
            self.connection.settimeout(IDLE_S)
            try:
                if not self.rfile.peek(1):  # type: ignore[attr-defined]
                    return
                self._house().told(self.connection, is_idle=False, within_s=REQUEST_S)
                self.connection.settimeout(_STALLED_S)
                self.handle_one_request()
            except (OSError, ValueError):
                return

    def handle_one_request(self) -> None:
        """Read one request, and answer it."""
        self.raw_requestline = self.rfile.readline(65_537)
        if len(self.raw_requestline) > 65_536:
            self.send_error(414)
            return
        if not self.raw_requestline or not self.parse_request():
            return
        try:
            response = self._answered()
        except Refusal as why:
            response = Response(f"{why.text}\n".encode(), status=why.status, headers=why.headers)
            self.close_connection = self.close_connection or why.closes
        except OSError:
            raise
        except Exception:
            self._house().handle_error(self.request, self.client_address)
            response = Response(b"The lens failed to answer; its terminal says more.\n", status=500)
        self._send(response)

    def _answered(self) -> Response:
        headers = self.headers
        path, _, query = self.path.partition("?")
        house = self._house()
        try:
            house.access.check(headers, self.command, path)
            handler = house.routes.find(self.command, path)
        except Refusal:
            self._drain()
            raise
        lengths: list[str | None] = [*headers.get_all("Content-Length", [])] or [None]
        if len(lengths) > 1:
            raise Refusal(400, "Content-Length is there more than once.", closes=True)
        body = read_body(self.rfile, lengths[0], headers.get("Transfer-Encoding"))
        house.told(self.connection, is_idle=False, within_s=None)
        return handler(Request(self.command, path, query, headers, body))

    def _drain(self) -> None:
        """Take a body that nobody wants, so that the client reads the answer; a long one ends the connection."""
        length = self.headers.get("Content-Length") or "0"
        if self.headers.get("Transfer-Encoding") or not length.isdigit() or int(length) > _DRAIN_BYTES:
            self.close_connection = True
        else:
            self.rfile.read(int(length))

    def _send(self, response: Response) -> None:
        self._house().told(self.connection, is_idle=False, within_s=None)
        parts = response.body
        head = {"Server": "bizspan", "Date": self.date_time_string(), "X-Content-Type-Options": "nosniff"}
        if isinstance(parts, bytes):
            head["Content-Length"] = str(len(parts))
        else:
            self.close_connection = True
        if response.content_type:
            head["Content-Type"] = response.content_type
        head |= response.headers
        if self.close_connection:
            head["Connection"] = "close"
        reason = self.responses.get(response.status, ("",))[0]
        text = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        start = f"HTTP/1.1 {response.status} {reason}\r\n{text}\r\n".encode("latin-1")
        is_wanted = self.command != "HEAD"
        if isinstance(parts, bytes):
            # Together: two writes would be two packets.
            self.wfile.write(start + parts if is_wanted else start)
            return
        self.wfile.write(start)
        try:
            if is_wanted:
                for part in parts:
                    self.wfile.write(part)
        finally:
            if (close := getattr(parts, "close", None)) is not None:
                close()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the standard library refuses by itself, as text instead of a page."""
        self.close_connection = True
        self._send(Response(f"{message or self.responses.get(code, ('',))[0]}\n".encode(), status=code))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the standard library's name
        """Nothing: requests are counted by what they store."""
