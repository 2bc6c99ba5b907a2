"""Tasks that a real Redis delivers again, because their worker was killed: the same task is counted once."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any, Final

import pytest

pytest.importorskip("celery")
pytest.importorskip("redis")
pytest.importorskip("opentelemetry.instrumentation.celery")

import bizspan
from _collector import Receiver
from _redis import why_not
from bizspan import names
from tests.celery_worker import redis, sender, stopped, worker
from tests.child import BOUND_S

pytestmark = [pytest.mark.server, pytest.mark.skipif(bool(why_not()), reason=why_not())]

__all__ = ["redis", "sender"]  # fixtures

CHARGE: Final = """
import os, pathlib, signal, time

import bizspan
from bizspan.integrations import celery as ours
from celery import Celery
from celery.signals import task_postrun

configuration = bizspan.configure(service_name="shop")
app = Celery("shop", broker=os.environ["REDIS"], backend=os.environ["REDIS"])
app.conf.update(
    broker_connection_retry_on_startup=True, worker_hijack_root_logger=False, worker_prefetch_multiplier=1,
    broker_transport_options={
        "visibility_timeout": 1, "unacked_restore_interval": 0.2, "unacked_restore_throttle": 1,  # looks again soon
    },
    task_acks_late=True, task_reject_on_worker_lost=True,
)
ours.instrument(tasks={"shop.charge": "charge"})
here = pathlib.Path(__file__).parent


def first(order):
    try:
        (here / f"{order}.delivered").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


@app.task(bind=True)
def charge(self, order, how):
    bizspan.annotate(order=order)
    bizspan.event("stock.reserved", order=order, idempotency_key=f"{self.request.id}/stock")
    if first(order) and how != "afterwards":
        configuration.force_flush(10)
        if how == "child":
            os.kill(os.getpid(), signal.SIGKILL)
        (here / "begun").touch()
        time.sleep(60)
    bizspan.event("payment.captured", revenue=("42.00", "EUR"), idempotency_key=f"{self.request.id}/payment")


@task_postrun.connect(weak=False)
def killed_before_the_message_is_acknowledged(task_id, args, **about):
    order, how = args
    if how == "afterwards" and not (here / "killed").exists():
        (here / "killed").touch()
        configuration.force_flush(10)
        os.killpg(os.getpgrp(), signal.SIGKILL)
"""
QUICK: Final = {"OTEL_BSP_SCHEDULE_DELAY": "50", "OTEL_BLRP_SCHEDULE_DELAY": "50"}


def sent(sender: Any, order: str, how: str) -> None:
    """Send one task, in the scope of its segment."""
    with bizspan.context(segment="gold"):
        sender.send_task("shop.charge", (order, how))


def operations(receiver: Receiver) -> list[tuple[object, ...]]:
    """Uid, outcome, order and segment of each operation that arrived."""
    keys = (names.RECORD_UID, names.OPERATION_OUTCOME, names.ORDER, names.SEGMENT)
    events = [event["attributes"] for event in receiver.events(names.EVENT_OPERATION)]
    return [tuple(attributes.get(key) for key in keys) for attributes in events]


def uids(receiver: Receiver, name: str) -> list[object]:
    """The uids of all events of a name."""
    return [event["attributes"][names.RECORD_UID] for event in receiver.events(name)]


def succeeded(receiver: Receiver, times: int = 1) -> bool:
    """Wait until that many successes arrived, and the events inside them."""
    return receiver.wait_for(
        lambda receiver: (
            len(receiver.events(names.EVENT_OPERATION)) >= times and len(receiver.events("payment.captured")) >= times
        ),
        2 * BOUND_S,
    )


@pytest.mark.parametrize("pool", ["prefork", "solo", "threads"])
def test_a_task_whose_worker_is_killed_is_counted_once(redis: str, sender: Any, pool: str, tmp_path: Path) -> None:
    """
    `kill -9` of the whole worker in the middle of the task: that attempt tells no operation, and what it told before
    has the uids of the second one, in another worker.
    """
    with Receiver() as receiver:
        options = ("--pool", pool, "-c", "1")
        with worker(tmp_path, redis, receiver, *options, shop=CHARGE, **QUICK) as process:
            sent(sender, "o-1", "worker")
            assert receiver.wait_for(lambda receiver: bool(receiver.events("stock.reserved")), BOUND_S)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(BOUND_S)
        assert [] == operations(receiver)
        with worker(tmp_path, redis, receiver, *options, shop=CHARGE, **QUICK) as process:
            assert succeeded(receiver)
            stopped(process)
        found = operations(receiver)
        stock, paid = uids(receiver, "stock.reserved"), uids(receiver, "payment.captured")

    assert [("success", "o-1", "gold")] == [each[1:] for each in found]
    assert (2, 1, 1) == (len(stock), len({*stock}), len(paid))


def test_a_task_whose_child_is_killed_is_counted_once(redis: str, sender: Any, tmp_path: Path) -> None:
    """
    `kill -9` of the child alone: the main process hands the message back, and nothing is `worker_lost`.
    """
    with Receiver() as receiver:
        with worker(tmp_path, redis, receiver, "-c", "1", shop=CHARGE, **QUICK) as process:
            sent(sender, "o-1", "child")
            assert succeeded(receiver)
            stopped(process)
        found = operations(receiver)
        stock = uids(receiver, "stock.reserved")

    assert [("success", "o-1", "gold")] == [each[1:] for each in found]
    assert (2, 1) == (len(stock), len({*stock}))


def test_a_task_that_had_succeeded_when_its_worker_was_killed_has_one_uid(
    redis: str, sender: Any, tmp_path: Path
) -> None:
    """
    Killed between the task's end and its acknowledgement: two runs, two events, one fact.
    """
    with Receiver() as receiver:
        options = ("--pool", "solo")
        with worker(tmp_path, redis, receiver, *options, shop=CHARGE, **QUICK) as process:
            sent(sender, "o-1", "afterwards")
            process.wait(BOUND_S)
        assert ["success"] == [each[1] for each in operations(receiver)]
        with worker(tmp_path, redis, receiver, *options, shop=CHARGE, **QUICK) as process:
            assert succeeded(receiver, 2)
            stopped(process)
        found = operations(receiver)
        paid = uids(receiver, "payment.captured")

    assert ["success", "success"] == [each[1] for each in found]
    assert (1, 1) == (len({each[0] for each in found}), len({*paid}))
