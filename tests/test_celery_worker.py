"""Celery workers as real processes over a real Redis: every task's facts are its own, and nothing is lost."""

from __future__ import annotations

import signal
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import pytest

pytest.importorskip("celery")
pytest.importorskip("redis")
pytest.importorskip("opentelemetry.instrumentation.celery")


import bizspan
from _collector import Behaviour, Receiver
from _redis import why_not
from bizspan import names
from tests.celery_worker import BROKEN, OFTEN, SELDOM, drive, log_of, redis, sender, stopped, worker, wrong
from tests.child import BOUND_S
from tests.load import INNER, problems, wait_for_all

pytestmark = [pytest.mark.server, pytest.mark.skipif(bool(why_not()), reason=why_not())]

__all__ = ["redis", "sender"]  # fixtures

POOLS: Final = [
    pytest.param(("--pool", "prefork", "-c", "2", "--max-tasks-per-child", "150"), id="prefork"),
    pytest.param(("--pool", "threads", "-c", "8"), id="threads"),
    pytest.param(("--pool", "solo"), id="solo"),
    pytest.param(
        ("--pool", "gevent", "-c", "20"),
        id="gevent",
        marks=pytest.mark.skipif(find_spec("gevent") is None, reason="gevent is not installed"),
    ),
]


@pytest.mark.parametrize("options", POOLS)
def test_every_tasks_facts_are_its_own(
    redis: str, sender: Any, options: tuple[str, ...], tmp_path: Path, long: bool
) -> None:
    """
    Eight senders, forty segments, with children that are recycled: one operation and one span of each task, with the
    segment of its own sender, and the event inside it too.
    """
    with Receiver() as receiver:
        with worker(tmp_path, redis, receiver, *options, POOL=options[1], **OFTEN) as process:
            driven, results = drive(sender, 20_000 if long else 2_000 if options[1] == "prefork" else 500)
            bad = wrong(results)
            assert wait_for_all(receiver, driven)
            stopped(process)
        found = problems(receiver, driven, span="run/shop.checkout")

    assert [] == driven.errors + bad
    assert [] == found
    assert 0 == process.returncode
    assert "bizspan: " not in log_of(tmp_path)


@pytest.mark.parametrize("tasks_each", [1, 3])
def test_children_that_are_recycled_at_once_lose_nothing(
    redis: str, sender: Any, tasks_each: int, tmp_path: Path
) -> None:
    """
    Each child hands over what it holds before it ends, and nothing is sent in between.
    """
    with Receiver() as receiver:
        options = ("-c", "4", "--max-tasks-per-child", str(tasks_each))
        with worker(tmp_path, redis, receiver, *options, **SELDOM) as process:
            driven, results = drive(sender, 12 * tasks_each)
            bad = wrong(results)
            stopped(process)
        found = problems(receiver, driven, span="run/shop.checkout")
        children = {str(event["origin"].resource["service.instance.id"]) for event in receiver.events(INNER)}

    assert [] == bad
    assert [] == found
    assert 12 <= len(children)
    assert 0 == process.returncode


def test_what_no_child_can_tell_its_parent_does(redis: str, sender: Any, tmp_path: Path) -> None:
    """
    A time limit, a child that is killed, tasks that are revoked before they begin and while they run, one that expires:
    each is one operation, with the facts of its sender; so is one that a cold shutdown ends.
    """

    def send(order: str, how: str = "sleep", **options: Any) -> Any:
        with bizspan.context(segment=order):
            return sender.send_task("shop.checkout", (order, how), **options)

    def has(receiver: Receiver, reason: str) -> bool:
        return receiver.wait_for(lambda receiver: reason in {each[1] for each in outcomes(receiver)}, BOUND_S)

    def begun(receiver: Receiver, order: str) -> bool:
        return receiver.wait_for(
            lambda receiver: order in {str(event["attributes"][names.ORDER]) for event in receiver.events(INNER)},
            BOUND_S,
        )

    def outcomes(receiver: Receiver) -> set[tuple[object, object, object]]:
        return {
            (attributes.get(names.SEGMENT), attributes.get(names.OPERATION_REASON), attributes[names.OPERATION_OUTCOME])
            for event in receiver.events(names.EVENT_OPERATION)
            for attributes in [event["attributes"]]
        }

    quick = {"OTEL_BSP_SCHEDULE_DELAY": "50", "OTEL_BLRP_SCHEDULE_DELAY": "50"}
    with Receiver() as receiver:
        with worker(tmp_path, redis, receiver, "-c", "1", **quick) as process:
            send("hard", time_limit=1)
            assert has(receiver, "time_limit")
            send("soft", soft_time_limit=1)
            assert has(receiver, "soft_time_limit")
            send("killed", "killed")
            assert has(receiver, "worker_lost")
            send("late", expires=-1)
            assert has(receiver, "expired")
            running = send("running")
            assert begun(receiver, "running")
            waiting = send("waiting")
            sender.control.revoke(waiting.id, reply=True, timeout=BOUND_S, limit=1)
            sender.control.revoke(running.id, terminate=True)
            assert has(receiver, "terminated")
            assert has(receiver, "revoked")
            send("last")
            assert begun(receiver, "last")
            took_s = stopped(process, signal.SIGQUIT)
        found = outcomes(receiver)
        counted = len(receiver.events(names.EVENT_OPERATION))

    assert {
        ("hard", "time_limit", "failed"),
        ("soft", "soft_time_limit", "failed"),
        ("killed", "worker_lost", "failed"),
        ("late", "expired", "cancelled"),
        ("running", "terminated", "cancelled"),
        ("waiting", "revoked", "cancelled"),
        ("last", "shutdown", "cancelled"),
    } == found
    assert len(found) == counted
    assert BOUND_S > took_s


@pytest.mark.parametrize("behaviour", ["accept", "unavailable", "hang"])
def test_telemetry_that_fails_at_every_step_costs_no_task(
    redis: str, sender: Any, behaviour: Behaviour, tmp_path: Path, long: bool
) -> None:
    """
    The user's function, the pipeline and the collector fail, children are recycled, and every result is right.
    """
    options = ("-c", "2", "--max-tasks-per-child", "300")
    number = 20_000 if long else 1_000 if behaviour == "accept" else 500
    with (
        Receiver(behaviour=behaviour) as receiver,
        worker(tmp_path, redis, receiver, *options, shop=BROKEN, **OFTEN) as process,
    ):
        driven, results = drive(sender, number)
        bad = wrong(results)
        receiver.behaviour = "accept"
        stopped(process)
    told = log_of(tmp_path)

    assert [] == driven.errors + bad
    assert 0 == process.returncode
    assert "bizspan: " in told  # it did fail, and was said
    assert "Traceback" not in told.replace("Exception while exporting", "")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGQUIT])
def test_a_worker_stops_although_the_collector_never_answers(redis: str, sender: Any, how: int, tmp_path: Path) -> None:
    """
    Each child waits for two seconds and so does the main process, warm and cold; what may be lost is said.
    """
    options = ("-c", "2", "--max-tasks-per-child", "5")
    with Receiver(behaviour="hang") as receiver, worker(tmp_path, redis, receiver, *options, **OFTEN) as process:
        _, results = drive(sender, 15)
        bad = wrong(results)
        took_s = stopped(process, how)

    assert [] == bad
    assert 15 > took_s
    assert "did not confirm" in log_of(tmp_path)
