"""Flask behind gunicorn, as a real server over real HTTP: no request's facts on another's, nothing lost, no errors."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest

from _collector import Behaviour, Receiver
from tests.load import drive, free_port, problems, serving, stopped, wait_for_all

pytestmark = pytest.mark.server
for needed in ("flask", "gunicorn", "opentelemetry.instrumentation.flask"):
    pytest.importorskip(needed)

SHOP: Final = """
import bizspan
from bizspan.integrations.flask import Bizspan
from flask import Flask, request
from opentelemetry.instrumentation.flask import FlaskInstrumentor

bizspan.configure(service_name="shop")
app = Flask(__name__)
Bizspan(
    app,
    routes={"POST /checkout": "checkout"},
    resolver=lambda request: {"segment": request.headers["X-Segment"]},
)
FlaskInstrumentor().instrument_app(app)


@app.post("/checkout")
def checkout():
    order = request.get_data(as_text=True)
    bizspan.annotate(order=order)
    bizspan.event("stock.reserved", order=order)
    return f"{order} {request.headers['X-Segment']}"
"""

# Every function that may be told raises, and so does every step of the pipeline, each third time that it is called.
BROKEN: Final = """
import itertools

import bizspan
from bizspan._clock import Ids
from bizspan._consumer import Consumer
from bizspan._entry import Entry
from bizspan._facts import FactTable
from bizspan._pipeline import Pipeline
from bizspan._signals import EventSink
from bizspan._totals import Totals
from bizspan.integrations.flask import Bizspan
from flask import Flask, request
from flask.sessions import SessionInterface, SecureCookieSession
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter


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


class Hostile(SecureCookieSession):
    __getitem__ = get = keys = __contains__ = __setitem__ = __iter__ = __len__ = broken


class Sessions(SessionInterface):
    def open_session(self, app, request):
        return Hostile()

    def save_session(self, app, session, response):
        pass


telemetry = bizspan.configure(service_name="shop")
app = Flask(__name__)
app.session_interface = Sessions()
Bizspan(
    app,
    routes={"POST /checkout": {"operation": "checkout", "revenue": broken}},
    resolver=broken, channel=broken, staff=broken, session=broken,
    country_header="X-Segment", test_header="X-Test",
)
FlaskInstrumentor().instrument_app(app)
for owner, name in (
    (Entry, "complete"), (Entry, "operate"), (Entry, "attach"), (Entry, "end"), (FactTable, "resolve"), (Ids, "new"),
    (Pipeline, "accept"), (Pipeline, "take"), (Consumer, "wake"),
    (Consumer, "hurry"), (Totals, "add"), (EventSink, "emit"),
    (OTLPSpanExporter, "export"), (OTLPLogExporter, "export"), (OTLPMetricExporter, "export"),
):
    setattr(owner, name, at_times(getattr(owner, name)))


@app.post("/checkout")
def checkout():
    order = request.get_data(as_text=True)
    bizspan.annotate(order=order)
    bizspan.event("stock.reserved", order=order)
    with bizspan.context(plan="pro"), bizspan.operation("reserve"):
        return f"{order} {request.headers['X-Segment']}"
"""

SYNC: Final = ("--workers", "2", "--worker-class", "sync")
THREADS: Final = ("--workers", "1", "--worker-class", "gthread", "--threads", "8")
GREENLETS: Final = ("--workers", "1", "--worker-class", "gevent", "--worker-connections", "50")
OFTEN: Final = {"OTEL_BSP_SCHEDULE_DELAY": "500", "OTEL_BLRP_SCHEDULE_DELAY": "500"}

SERVERS: Final = [
    pytest.param(SYNC, id="sync"),
    pytest.param(THREADS, id="threads"),
    pytest.param(
        GREENLETS,
        id="greenlets",
        marks=pytest.mark.skipif(find_spec("gevent") is None, reason="gevent is not installed"),
    ),
]


def gunicorn(port: int, *options: str) -> list[str]:
    """The command that serves `shop.py` of the working directory."""
    bind = ("--bind", f"127.0.0.1:{port}", "--graceful-timeout", "20", "--no-control-socket")
    return [sys.executable, "-m", "gunicorn", *bind, *options, "shop:app"]


@pytest.mark.parametrize("options", SERVERS)
def test_every_requests_facts_are_its_own(options: tuple[str, ...], tmp_path: Path, long: bool) -> None:
    """
    Eight clients, forty segments, in processes, threads and greenlets: one operation and one span of each order, with
    the segment that its own request sent, and the event inside it too.
    """
    (tmp_path / "shop.py").write_text(SHOP, encoding="utf-8")
    port = free_port()
    with Receiver() as receiver:
        with serving(gunicorn(port, *options), port, receiver, tmp_path, **OFTEN) as server:
            driven = drive(port, 20_000 if long else 2_000 if options is SYNC else 500)
            assert wait_for_all(receiver, driven)
            code = stopped(server)
        found = problems(receiver, driven, span="POST /checkout")

    assert [] == driven.errors
    assert [] == found
    assert 0 == code


@pytest.mark.parametrize("options", [pytest.param(SYNC, id="sync"), pytest.param(THREADS, id="threads")])
def test_workers_that_are_recycled_lose_nothing(options: tuple[str, ...], tmp_path: Path) -> None:
    """
    Each ends after some hundred requests, with what it still holds; and so does the last one at the server's end.
    """
    (tmp_path / "shop.py").write_text(SHOP, encoding="utf-8")
    port = free_port()
    recycled = (*options, "--max-requests", "250", "--max-requests-jitter", "50")
    with Receiver() as receiver:
        with serving(gunicorn(port, *recycled), port, receiver, tmp_path) as server:
            driven = drive(port, 1_500)
            code = stopped(server)
        found = problems(receiver, driven, span="POST /checkout")
        workers = {str(event["origin"].resource["service.instance.id"]) for event in receiver.events()}

    assert [] == driven.errors
    assert [] == found
    assert 4 <= len(workers)
    assert 0 == code


@pytest.mark.parametrize("behaviour", ["accept", "unavailable", "hang"])
def test_telemetry_that_fails_at_every_step_costs_no_request(behaviour: Behaviour, tmp_path: Path, long: bool) -> None:
    """
    The user's functions, the session, the pipeline and the collector fail, and every answer is right.
    """
    (tmp_path / "shop.py").write_text(BROKEN, encoding="utf-8")
    port = free_port()
    with Receiver(behaviour=behaviour) as receiver:
        with serving(gunicorn(port, *THREADS), port, receiver, tmp_path, **OFTEN) as server:
            driven = drive(port, 20_000 if long else 2_000 if behaviour == "accept" else 500)
            receiver.behaviour = "accept"  # or the exporters wait for it, each as long as it may
            code = stopped(server)
        told = (tmp_path / "server.log").read_text("utf-8", "replace")

    assert [] == driven.errors, told[-3000:]
    assert 0 == code
    assert "bizspan: " in told  # it did fail, and said so
    assert "Exception on /checkout" not in told
