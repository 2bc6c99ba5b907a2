"""
``python -m tests.bench.in_process flask``: Python and C calls of one request, on its thread and on all of them.

The application is called without a server, so that the figures are nearly the same in every run.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import sys
import tempfile
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from importlib import import_module
from typing import Any, Final

from bizspan import _active

from .measure import CallCounter, Calls, Subject
from .served import BODY, HEADERS

_REQUESTS: Final = 100


def _environ() -> dict[str, Any]:
    prefixed = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in HEADERS.items()}
    return {
        **prefixed, "REQUEST_METHOD": "POST", "PATH_INFO": "/checkout", "QUERY_STRING": "", "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "127.0.0.1",
        "CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(BODY)), "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(BODY), "wsgi.errors": sys.stderr, "wsgi.version": (1, 0), "wsgi.multithread": True,
        "wsgi.multiprocess": False, "wsgi.run_once": False,
    }  # fmt: skip


def _wsgi(app: Callable[..., Any]) -> None:
    statuses: list[str] = []

    def start_response(status: str, headers: object, *error: object) -> None:
        statuses.append(status)

    body = app(_environ(), start_response)
    list(body)
    body.close()
    if statuses != ["200 OK"]:
        raise RuntimeError(f"the application answered {statuses}")


async def _asgi(app: Callable[..., Coroutine[Any, Any, None]]) -> None:
    headers = [(b"host", b"127.0.0.1"), (b"content-length", str(len(BODY)).encode())]
    headers += [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": "/checkout", "raw_path": b"/checkout", "query_string": b"", "root_path": "", "headers": headers,
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), "state": {},
    }  # fmt: skip
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": BODY, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    if sent[0]["status"] != 200:
        raise RuntimeError(f"the application answered {sent[0]['status']}")


def _hand_over() -> None:
    """What was told is dealt with now, if bizspan's thread has not done so: where it is done does not matter here."""
    if _active.current is not None:
        _active.current.take()


def calls(framework: str) -> Calls:
    """
    Calls per request.

    Args:
        framework: One of `FRAMEWORKS`.
    """
    counter = CallCounter()
    counter.watch_new_threads()
    with tempfile.TemporaryDirectory() as directory:
        os.environ["BENCH_DATABASE"] = directory
        app = import_module(f"tests.bench.applications.{framework}_shop").app
        if framework != "fastapi":
            return counter.count(Subject(framework, lambda: _wsgi(app), _hand_over), _REQUESTS)
        with asyncio.Runner() as runner:
            return counter.count(Subject(framework, lambda: runner.run(_asgi(app)), _hand_over), _REQUESTS)


if __name__ == "__main__":
    print(json.dumps(asdict(calls(sys.argv[1]))))
