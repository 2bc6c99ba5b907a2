"""A webhook's far end, on loopback: keeps what it gets, and answers as a test says."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Hook:
    """
    What came, and what is answered.

    Args:
        codes: One answer after the other; the last one stays. 0 says nothing until the test is over.
        headers: Of each answer.
        url: Where it listens.
        got: Path, headers in lower case, and body of each request.
        over: Set at the test's end.
    """

    codes: Sequence[int] = (200,)
    headers: dict[str, str] = field(default_factory=dict[str, str])
    url: str = ""
    got: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list[Any])
    over: threading.Event = field(default_factory=threading.Event)


def _nothing(*_: object) -> None:
    """The base class would print a traceback."""


@contextmanager
def listening(hook: Hook, tls: ssl.SSLContext | None = None) -> Generator[Hook]:
    """Listen on a free port until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """The base class would print a line for each request."""

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            number = min(len(hook.got), len(hook.codes) - 1)
            hook.got.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            if not hook.codes[number]:
                hook.over.wait(30)
                return
            self.send_response(hook.codes[number])
            for name, value in {"Content-Length": "2", **hook.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(b"ok")

    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = _nothing
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    hook.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_port}/services/T0/s3cret?token=hidden"
    try:
        yield hook
    finally:
        hook.over.set()
        server.shutdown()
        thread.join()
        server.server_close()
