"""Celery workers as real processes, and senders of tasks: what the tests of workers share."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import bizspan
from _collector import Receiver
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
