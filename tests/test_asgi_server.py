"""FastAPI behind uvicorn, as a real server over real HTTP: no request's facts on another's, nothing lost, no errors."""

from __future__ import annotations

import signal
import socket
import sys
from pathlib import Path
from typing import BinaryIO, Final

import pytest

from _collector import Behaviour, Receiver
from bizspan import names
from tests.child import BOUND_S
from tests.load import drive, free_port, problems, serving, stopped, wait_for_all

pytestmark = pytest.mark.server
for needed in ("fastapi", "uvicorn"):
    pytest.importorskip(needed)

VIEWS: Final = """

@app.post("/checkout")
async def checkout(request: Request):
    order = (await request.body()).decode()
    await asyncio.sleep(0)
    bizspan.annotate(order=order.split()[0])
    await asyncio.to_thread(bizspan.event, "stock.reserved", order=order.split()[0])
    return PlainTextResponse(f"{order.split()[0]} {request.headers['X-Segment']}")
"""

# Instrumented by itself, ours inside.
NATIVE: Final = f"""
import asyncio

import bizspan
from bizspan.integrations.asgi import Bizspan
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse

bizspan.configure(service_name="shop")
app = FastAPI()
app.add_middleware(
    Bizspan,
    routes={{"POST /checkout": "checkout"}},
    resolver=lambda request: {{"segment": request.headers["X-Segment"]}},
)
{VIEWS}"""

# Nobody but us: the operation has a span of its own.
ALONE: Final = NATIVE.replace("app = FastAPI()", 'app = FastAPI(telemetry={"tracing": False, "metrics": False})')

# Ours outside of FastAPI and its telemetry.
OUTSIDE: Final = f"""
import asyncio

import bizspan
from bizspan.integrations.asgi import Bizspan
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse

bizspan.configure(service_name="shop")
app = FastAPI()
{VIEWS}

app = Bizspan(
    app,
    routes={{"POST /checkout": "checkout"}},
    resolver=lambda request: {{"segment": request.headers["X-Segment"]}},
)
"""

# Every function that may be told raises, and so does every step of the pipeline, each third time that it is called.
BROKEN: Final = f"""
import asyncio
import itertools

import bizspan
from bizspan._consumer import Consumer
from bizspan._entry import Entry
from bizspan._facts import FactTable
from bizspan._pipeline import Pipeline
from bizspan._signals import EventSink
from bizspan._totals import Totals
from bizspan.integrations import _exchange
from bizspan.integrations.asgi import Bizspan
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse


class Broken(Exception):
    pass


def broken(*args, **options):
    raise Broken


def at_times(function):
    calls = itertools.count(1)

    def method(*args, **options):
        if next(calls) % 3 == 0:
            raise Broken
        return function(*args, **options)

    return method


class Hostile(dict):
    __getitem__ = get = keys = __contains__ = __setitem__ = __iter__ = __len__ = broken


class Sessions:
    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        scope["session"] = Hostile()
        await self.app(scope, receive, send)


bizspan.configure(service_name="shop")
app = FastAPI()
app.add_middleware(
    Bizspan,
    routes={{"POST /checkout": {{"operation": "checkout", "revenue": broken}}}},
    resolver=broken, channel=broken, staff=broken, session=broken,
    country_header="X-Segment", test_header="X-Test",
)
app.add_middleware(Sessions)
for owner, name in (
    (Pipeline, "accept"), (Pipeline, "take"), (Consumer, "wake"),
    (Consumer, "hurry"), (Totals, "add"), (FactTable, "resolve"),
    (EventSink, "__call__"), (Entry, "operate"), (Entry, "complete"), (_exchange, "Exchange"),
):
    setattr(owner, name, at_times(getattr(owner, name)))
{VIEWS}"""

# One process raises the signal again when it is through; the parent of several ends by itself.
ENDED: Final = (0, -signal.SIGTERM)
OFTEN: Final = {"OTEL_BSP_SCHEDULE_DELAY": "500", "OTEL_BLRP_SCHEDULE_DELAY": "500"}

# The program, how many workers, and the span that the operation is on.
SERVERS: Final = [
    pytest.param(NATIVE, 1, "POST /checkout", id="native"),
    pytest.param(NATIVE, 2, "POST /checkout", id="two workers"),
    pytest.param(OUTSIDE, 1, "POST /checkout", id="ours outside"),
    pytest.param(ALONE, 1, "checkout", id="alone"),
]


def uvicorn(port: int, workers: int = 1) -> list[str]:
    """The command that serves `shop.py` of the working directory."""
    options = ["--port", str(port), "--workers", str(workers), "--log-level", "info", "--no-access-log"]
    return [sys.executable, "-m", "uvicorn", *options, "shop:app"]


@pytest.mark.parametrize(("program", "workers", "span"), SERVERS)
def test_every_requests_facts_are_its_own(program: str, workers: int, span: str, tmp_path: Path, long: bool) -> None:
    """
    Operations, inner events and spans arrive once per order, each with its own segment, and every answer is right.
    """
    (tmp_path / "shop.py").write_text(program, "utf-8")
    port = free_port()
    with Receiver() as receiver, serving(uvicorn(port, workers), port, receiver, tmp_path, **OFTEN) as server:
        driven = drive(port, 20_000 if long else 2_000 if program is NATIVE and workers == 1 else 500)
        code = stopped(server)
        wait_for_all(receiver, driven)
        found = problems(receiver, driven, span=span)
    told = (tmp_path / "server.log").read_text("utf-8", "replace")

    assert ([], []) == (driven.errors, found), told[-3000:]
    assert code in ENDED, told[-3000:]


@pytest.mark.parametrize("behaviour", ["accept", "unavailable", "hang"])
def test_telemetry_that_fails_at_every_step_costs_no_request(behaviour: Behaviour, tmp_path: Path, long: bool) -> None:
    """
    The user's functions, the session, the pipeline and the collector fail, and every answer is right.
    """
    (tmp_path / "shop.py").write_text(BROKEN, "utf-8")
    port = free_port()
    with Receiver(behaviour=behaviour) as receiver, serving(uvicorn(port), port, receiver, tmp_path, **OFTEN) as server:
        driven = drive(port, 20_000 if long else 2_000 if behaviour == "accept" else 500)
        receiver.behaviour = "accept"  # or the exporters wait for it, each as long as it may
        code = stopped(server)
    told = (tmp_path / "server.log").read_text("utf-8", "replace")

    assert [] == driven.errors
    assert code in ENDED, told[-3000:]
    assert "bizspan: " in told  # it did fail, and said so
    assert "Exception in ASGI application" not in told


@pytest.mark.parametrize("program", [NATIVE, ALONE], ids=["native", "alone"])
def test_requests_of_one_connection_are_not_inside_each_other(program: str, tmp_path: Path) -> None:
    """
    Bodies that make uvicorn pause and resume reading, and requests that are sent ahead: asyncio then runs the next
    request in the context of the one before.
    """
    (tmp_path / "shop.py").write_text(program, "utf-8")
    port = free_port()
    number, padding = 40, 300_000
    with Receiver() as receiver, serving(uvicorn(port), port, receiver, tmp_path, **OFTEN) as server:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=BOUND_S) as connection,
            connection.makefile("rb") as answers,
        ):
            for first in range(0, number, 2):  # two at a time: the second one is there before the first is answered
                connection.sendall(b"".join(_request(each, padding) for each in (first, first + 1)))
                told = [_answer(answers) for _ in range(2)]
                assert [f"o-{each} s{each}" for each in (first, first + 1)] == told
        assert stopped(server) in ENDED
        receiver.wait_for(lambda receiver: len(receiver.events(names.EVENT_OPERATION)) >= number, BOUND_S)

        operations = [event["attributes"] for event in receiver.events(names.EVENT_OPERATION)]
        assert sorted((f"o-{each}", f"s{each}") for each in range(number)) == sorted(
            (str(each[names.ORDER]), str(each[names.SEGMENT])) for each in operations
        )
        assert number == len({str(each[names.OPERATION_ID]) for each in operations})
        if program == ALONE:
            spans = receiver.spans("checkout")
            assert number == len({span["trace_id"] for span in spans})


def _request(number: int, padding: int) -> bytes:
    body = f"o-{number} ".encode() + b"x" * padding
    head = f"POST /checkout HTTP/1.1\r\nHost: shop\r\nX-Segment: s{number}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _answer(answers: BinaryIO) -> str:
    length = 0
    while (line := answers.readline().strip().lower()) != b"":
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    return str(answers.read(length), "utf-8")
