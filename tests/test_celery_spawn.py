"""Celery and processes that are spawned, not forked: by the pool, and by tasks and signals of the application."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest

pytest.importorskip("celery")
pytest.importorskip("redis")
pytest.importorskip("opentelemetry.instrumentation.celery")

from celery.app import defaults

from _collector import Receiver
from _redis import why_not
from bizspan import names
from tests.celery_worker import OFTEN, SELDOM, SHOP, drive, log_of, redis, sender, stopped, worker, wrong
from tests.load import problems, wait_for_all

pytestmark = [pytest.mark.server, pytest.mark.skipif(bool(why_not()), reason=why_not())]

__all__ = ["redis", "sender"]  # fixtures

NAMESPACES: Final[Any] = vars(defaults)["NAMESPACES"]  # untyped in Celery
CAN_SPAWN: Final = "pool_start_method" in NAMESPACES["worker"]
SPAWNED_POOL: Final = SHOP.replace("app.conf.update(", 'app.conf.update(worker_pool_start_method="spawn", ')

SPAWNS: Final = """
import multiprocessing, os

import bizspan
from bizspan.integrations import celery as ours
from celery import Celery
from celery.signals import worker_ready

bizspan.configure(service_name="shop")
app = Celery("shop", broker=os.environ["REDIS"], backend=os.environ["REDIS"])
app.conf.update(broker_connection_retry_on_startup=True, worker_hijack_root_logger=False)
ours.instrument(tasks={"shop.checkout": "checkout"})


def work(order):
    with bizspan.operation("nightly.import", order=order):
        bizspan.event("stock.reserved", order=order)


def spawned(order):
    child = multiprocessing.get_context("spawn").Process(target=work, args=(order,))
    child.start()
    child.join(30)
    return child.exitcode


@worker_ready.connect(weak=False)
def begun(**about):
    spawned("ready")


@app.task
def checkout(order):
    bizspan.annotate(order=order)
    return order if spawned(order) == 0 else ""
"""


@pytest.mark.parametrize("pool", ["solo", "threads"])
def test_what_spawned_processes_tell_arrives(redis: str, sender: Any, pool: str, tmp_path: Path) -> None:
    """
    Started by a signal in the main process, and by a task: each hands over what it told when it ends.
    """
    with Receiver() as receiver:
        with worker(tmp_path, redis, receiver, "--pool", pool, "-c", "2", shop=SPAWNS, **SELDOM) as process:
            driven, results = drive(sender, 2)
            bad = wrong(results)
            stopped(process)
        events = [event["attributes"] for event in receiver.events(names.EVENT_OPERATION)]

    told = sorted((str(event[names.OPERATION_NAME]), str(event[names.ORDER])) for event in events)
    imports = [("nightly.import", order) for order in (*driven.orders, "ready")]
    assert [] == bad
    assert [*(("checkout", order) for order in driven.orders), *imports] == told
    assert "bizspan: " not in log_of(tmp_path)


@pytest.mark.skipif(not CAN_SPAWN, reason="this Celery has no pool of spawned children")
def test_a_pool_of_spawned_children_is_like_a_forked_one(redis: str, sender: Any, tmp_path: Path) -> None:
    """
    Each child sets itself up, and every task's facts are its own.
    """
    with Receiver() as receiver:
        with worker(tmp_path, redis, receiver, "-c", "2", shop=SPAWNED_POOL, **OFTEN) as process:
            driven, results = drive(sender, 200)
            bad = wrong(results)
            assert wait_for_all(receiver, driven)
            stopped(process)
        found = problems(receiver, driven, span="run/shop.checkout")

    assert [] == driven.errors + bad
    assert [] == found
