"""Celery workers for tests: real processes over a real Redis, and those that send them tasks."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pytest

pytest.importorskip("celery")
pytest.importorskip("redis")
pytest.importorskip("opentelemetry.instrumentation.celery")

import celery

import bizspan
from _collector import Receiver
from _redis import redis_server
from bizspan.integrations import celery as ours
from tests.child import BOUND_S, environment
from tests.load import ROOMY, SEGMENTS, Driven

SHOP: Final = """
import os, signal, time

import bizspan
from bizspan.integrations import celery as ours
from celery import Celery
from celery.signals import worker_process_init
from opentelemetry.instrumentation.celery import CeleryInstrumentor

bizspan.configure(service_name="shop")
app = Celery("shop", broker=os.environ["REDIS"], backend=os.environ["REDIS"])
app.conf.update(worker_prefetch_multiplier=4, broker_connection_retry_on_startup=True, worker_hijack_root_logger=False)
ours.instrument(tasks={"shop.checkout": "checkout"})


@worker_process_init.connect(weak=False)  # as OpenTelemetry's documentation says: after ours, in each child
def instrumented(**about):
    CeleryInstrumentor().instrument()


if os.environ.get("POOL") in ("threads", "gevent", "solo"):
    CeleryInstrumentor().instrument()


@app.task
def checkout(order, how=""):
    bizspan.annotate(order=order)
    bizspan.event("stock.reserved", order=order)
    if how == "sleep":
        time.sleep(60)
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    return order
"""

# Every step of the pipeline raises, each third time that it is called, and so does the resolver.
BROKEN: Final = SHOP.replace('{"shop.checkout": "checkout"}', '{"shop.checkout": "checkout"}, resolver=broken').replace(
    "bizspan.configure(",
    """
import itertools
from bizspan import _travel
from bizspan._consumer import Consumer
from bizspan._entry import Entry
from bizspan._facts import FactTable
from bizspan._pipeline import Pipeline
from bizspan._signals import EventSink
from bizspan._totals import Totals


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


for owner, name in (
    (Pipeline, "accept"), (Consumer, "wake"), (Consumer, "hurry"), (Totals, "add"),
    (FactTable, "resolve"), (EventSink, "__call__"), (Entry, "attach"), (Entry, "end"), (_travel, "_checked"),
):
    setattr(owner, name, at_times(getattr(owner, name)))

bizspan.configure(""",
    1,
)

OFTEN: Final = {"OTEL_BSP_SCHEDULE_DELAY": "500", "OTEL_BLRP_SCHEDULE_DELAY": "500"}
# What only the end of a child sends.
SELDOM: Final = {"OTEL_BSP_SCHEDULE_DELAY": "600000", "OTEL_BLRP_SCHEDULE_DELAY": "600000"}


@pytest.fixture
def redis() -> Iterator[str]:
    """A broker of its own."""
    with redis_server() as url:
        yield url


@pytest.fixture
def sender(redis: str) -> Iterator[Any]:
    """The application that sends, with bizspan, in this process."""
    app: Any = celery.Celery("web", broker=redis, backend=redis, set_as_current=False)
    with bizspan.configure(service_name="web", export="none", hash_key="k" * 32), ours.instrument():
        yield app
    # Now, not in a later test: Celery's results unsubscribe when they are collected, and wait for their Redis for ever.
    gc.collect()
    app.close()


@contextmanager
def worker(
    folder: Path, redis: str, receiver: Receiver, *options: str, shop: str = SHOP, **variables: str
) -> Generator[subprocess.Popen[bytes]]:
    """A worker in a process of its own, from when it is ready; it and what it forked end with the block."""
    (folder / "shop.py").write_text(shop, encoding="utf-8")
    log = folder / "worker.log"
    command = [
        sys.executable, "-m", "celery", "-A", "shop", "worker", "--loglevel", "INFO", "--without-gossip",
        "--without-mingle", "--without-heartbeat", *options,
    ]  # fmt: skip
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment(receiver, **{**ROOMY, "PYTHONUNBUFFERED": "1", "REDIS": redis, **variables}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + BOUND_S
        while b" ready." not in log.read_bytes():
            told = log.read_text("utf-8", "replace")
            assert process.poll() is None and time.monotonic() < deadline, f"the worker does not begin: {told[-3000:]}"
            time.sleep(0.05)  # nothing to wait on: it tells in its log alone
        yield process
    finally:
        with suppress(ProcessLookupError, PermissionError):  # it ended, and so did all that it forked
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(BOUND_S)


def drive(sender: Any, tasks: int, threads: int = 8, *, prefix: str = "o-") -> tuple[Driven, list[Any]]:
    """Send so many tasks from so many threads, each in the scope of its own segment; `prefix` begins their orders."""
    driven = Driven()
    results: list[Any] = []
    for number in range(tasks):
        driven.orders[f"{prefix}{number:05}"] = f"s{number % SEGMENTS}"
    queue = iter(list(driven.orders.items()))
    lock = threading.Lock()

    def send() -> None:
        while True:
            with lock:
                order, segment = next(queue, ("", ""))
            if not order:
                return
            try:
                with bizspan.context(segment=segment):
                    result = sender.send_task("shop.checkout", (order,))
            except Exception as error:
                with lock:
                    driven.errors.append(f"{order}: {type(error).__name__}")
            else:
                with lock:
                    results.append((order, result))

    clients = [threading.Thread(target=send) for _ in range(threads)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    return driven, results


def wrong(results: list[Any]) -> list[str]:
    """Tasks whose result is not what they return."""
    return [order for order, result in results if result.get(timeout=BOUND_S, interval=0.01) != order]


def stopped(process: subprocess.Popen[bytes], how: int = signal.SIGTERM) -> float:
    """End the worker; the seconds that it took."""
    began = time.monotonic()
    process.send_signal(how)
    process.wait(BOUND_S)
    return time.monotonic() - began


def log_of(folder: Path) -> str:
    """What the worker wrote."""
    return (folder / "worker.log").read_text("utf-8", "replace")
