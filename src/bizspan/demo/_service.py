"""
What both services of the demo's shop have in common: JSON over HTTP on a socket that the parent opened.

A service ends in an orderly way when its standard input is closed, so none outlives the demo, however that ends.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, cast

from opentelemetry import context, propagate

Told = Mapping[str, Any]
Route = Callable[[Told], tuple[int, Told]]
READY: Final = "/ready"
_MOST_BYTES: Final = 65_536


def serve(descriptor: int, routes: Mapping[str, Route]) -> None:
    """
    Answer until standard input ends; requests that are under way are finished.

    Args:
        descriptor: Of the listening socket.
        routes: What answers which path.
    """
    server = _Server(("", 0), _Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = socket.socket(fileno=descriptor)
    server.server_name, server.server_port = server.socket.getsockname()[:2]
    server.routes = {READY: lambda _: (200, {}), **routes}
    threading.Thread(target=_until_told, args=(server,), daemon=True).start()
    server.serve_forever(poll_interval=0.05)
    server.server_close()


def _until_told(server: ThreadingHTTPServer) -> None:
    while os.read(0, 1024):
        pass
    server.shutdown()


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # closing waits for requests that are under way
    routes: Mapping[str, Route] = {}


class _Handler(BaseHTTPRequestHandler):
    timeout = 5.0

    def do_POST(self) -> None:
        route = cast("_Server", self.server).routes.get(self.path)
        size = int(self.headers.get("content-length") or 0)
        if route is None or size > _MOST_BYTES:
            self.send_error(404 if route is None else 413)
            return
        told = json.loads(self.rfile.read(size))
        token = context.attach(propagate.extract(dict(self.headers.items())))
        try:
            status, answer = route(told)
        finally:
            context.detach(token)
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        pass
