"""ClickHouse's HTTP interface on a loopback port: answers as told, or ClickHouse itself behind it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.kpi.stores import ChdbSource


class Far:
    """Answers as it is told, and keeps what it was asked; `lacks` bytes of the answer never come."""

    def __init__(
        self, status: int = 200, body: bytes = b'{"data": [["3", "3"]]}', location: str = "", lacks: int = 0
    ) -> None:
        self.asked: list[tuple[dict[str, list[str]], dict[str, str], str]] = []
        self.status, self.body, self.location, self.lacks = status, body, location, lacks
        self.url = ""

    def answer(self, query: dict[str, list[str]], headers: dict[str, str], text: str) -> tuple[int, bytes]:
        self.asked.append((query, headers, text))
        if "sum(shown)" in text and self.status == 200 and self.body.startswith(b'{"data": [["3"'):
            return 200, b'{"data": [["3", 1, 0, 0, null]]}'
        return self.status, self.body


@contextmanager
def serving(far: Far) -> Generator[Far]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers["Content-Length"])).decode()
            status, body = far.answer(parse_qs(urlsplit(self.path).query), dict(self.headers), text)
            self.send_response(status)
            if far.location:
                self.send_header("Location", far.location)
            self.send_header("Content-Length", str(len(body) + far.lacks))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        far.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield far
        finally:
            server.shutdown()
            thread.join()


class Engine(Far):
    """ClickHouse itself behind the port."""

    def __init__(self) -> None:
        super().__init__()
        self.engine = ChdbSource()

    def answer(self, query: dict[str, list[str]], headers: dict[str, str], text: str) -> tuple[int, bytes]:
        self.asked.append((query, headers, text))
        told = {name: value[0] for name, value in query.items() if name.startswith("param_")}
        try:
            return 200, self.engine.answer(text, told)
        except RuntimeError as error:
            return 404, str(error).encode()
