"""Servers whose workers are killed under load, with one spool directory: what an answer said is never lost."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest

from _collector import Receiver
from bizspan import names
from tests.child import BOUND_S
from tests.load import INNER, drive, free_port, serving

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(not Path(f"/proc/self/task/{os.getpid()}/children").exists(), reason="needs /proc of Linux"),
]

FLASK: Final = """
import bizspan
from bizspan.integrations.flask import Bizspan
from flask import Flask, request

bizspan.configure(service_name="shop")
app = Flask(__name__)
Bizspan(app, routes={"POST /checkout": "checkout"})


@app.post("/checkout")
def checkout():
    order = request.get_data(as_text=True)
    bizspan.event("stock.reserved", order=order)
    return f"{order} {request.headers['X-Segment']}"
"""

FASTAPI: Final = """
import bizspan
from bizspan.integrations.asgi import Bizspan
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse

bizspan.configure(service_name="shop")
app = FastAPI()
app.add_middleware(Bizspan, routes={"POST /checkout": "checkout"})


@app.post("/checkout")
async def checkout(request: Request):
    order = (await request.body()).decode()
    bizspan.event("stock.reserved", order=order)
    return PlainTextResponse(f"{order} {request.headers['X-Segment']}")
"""

GUNICORN: Final = ("gunicorn", "--preload", "--no-control-socket", "--workers", "2", "--bind", "127.0.0.1:{port}")


def _needs(*modules: str) -> list[pytest.MarkDecorator]:
    return [pytest.mark.skipif(find_spec(module) is None, reason=f"{module} is not installed") for module in modules]


# The program, the command that serves it, and what the command line of a worker holds.
SERVERS: Final = [
    pytest.param(FLASK, (*GUNICORN, "--worker-class", "sync"), id="sync", marks=_needs("flask", "gunicorn")),
    pytest.param(
        FLASK,
        (*GUNICORN, "--worker-class", "gthread", "--threads", "4"),
        id="gthread",
        marks=_needs("flask", "gunicorn"),
    ),
    pytest.param(
        FLASK, (*GUNICORN, "--worker-class", "gevent"), id="gevent", marks=_needs("flask", "gunicorn", "gevent")
    ),
    pytest.param(
        FASTAPI,
        ("uvicorn", "--workers", "2", "--port", "{port}", "--no-access-log"),
        id="uvicorn",
        marks=_needs("fastapi", "uvicorn"),
    ),
]

KILLS: Final = 5
REQUESTS: Final = 200  # between two kills
TWO_SCANS_S: Final = 10.0
SLACK_S: Final = 5.0  # a batch under way, and a busy machine


@pytest.mark.parametrize(("program", "command"), SERVERS)
def test_workers_that_are_killed_under_load_lose_nothing(
    program: str, command: tuple[str, ...], tmp_path: Path, long: bool
) -> None:
    """
    Each order that was answered with 200 has its event, while the server still runs: living workers take over what dead
    ones left within two scans. In the first half nothing can be sent, so that the dead leave all that they were told.
    """
    (tmp_path / "shop.py").write_text(program, encoding="utf-8")
    port = free_port()
    full = [sys.executable, "-m", *(word.format(port=port) for word in command), "shop:app"]
    kills = 40 if long else KILLS
    answered: set[str] = set()
    spool = tmp_path / "spool"
    with (
        Receiver(behaviour="unavailable") as receiver,
        serving(full, port, receiver, tmp_path, BIZSPAN_SPOOL_DIR=str(spool)) as server,
    ):
        for kill in range(kills):
            if kill == (kills + 1) // 2:
                receiver.behaviour = "accept"
            with _killing(server.pid, kill):
                answered |= _answered(port, f"k{kill}")
        killed_at = time.monotonic()
        answered |= _answered(port, "last")  # in workers that are new

        def all_there(receiver: Receiver) -> bool:
            return answered <= {str(event["attributes"][names.ORDER]) for event in receiver.events(INNER)}

        is_drained = receiver.wait_for(all_there, BOUND_S)
        took_s = time.monotonic() - killed_at
        told = (tmp_path / "server.log").read_text("utf-8", "replace")
        uids = {str(event["attributes"][names.RECORD_UID]) for event in receiver.events(INNER)}

    assert is_drained, f"{len(answered)} answered, {len(uids)} arrived; {told[-3000:]}"
    assert took_s < TWO_SCANS_S + SLACK_S, told[-3000:]
    assert kills * REQUESTS / 2 < len(answered)
    print(f"{command[0]}: {kills} kills, {len(answered)} answered, {len(uids)} arrived, drained in {took_s:.1f} s")


def _answered(port: int, prefix: str) -> set[str]:
    """Orders whose request got its answer."""
    driven = drive(port, REQUESTS, 4, prefix=prefix)
    return driven.orders.keys() - {error.partition(":")[0] for error in driven.errors}


@contextmanager
def _killing(server: int, seed: int) -> Generator[None]:
    """Kill one of the server's workers somewhere in the block."""
    chance = random.Random(seed)
    over = threading.Event()

    def kill() -> None:
        over.wait(chance.random() * 0.3)
        with suppress(ProcessLookupError):
            os.kill(chance.choice(_workers(server)), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        yield
    finally:
        over.set()
        killer.join()


def _workers(server: int) -> list[int]:
    """Processes that serve; never a helper such as multiprocessing's resource tracker."""
    deadline = time.monotonic() + BOUND_S
    while time.monotonic() < deadline:
        children = [int(pid) for pid in Path(f"/proc/{server}/task/{server}/children").read_text("ascii").split()]
        found = [pid for pid in children if not _is_helper(pid)]
        if found:
            return found
        time.sleep(0.01)  # the one that was killed last has no successor yet
    raise AssertionError("the server has no workers")


def _is_helper(pid: int) -> bool:
    with suppress(OSError):
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        return not command or b"resource_tracker" in command  # a zombie has no command line
    return True
