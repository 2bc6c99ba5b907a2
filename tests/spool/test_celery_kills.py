"""Celery children that are killed in the middle of their tasks: what tasks told is never lost."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

import pytest

pytest.importorskip("celery")
pytest.importorskip("redis")
pytest.importorskip("opentelemetry.instrumentation.celery")

import celery

from _collector import Receiver
from _redis import redis_server, why_not
from bizspan import names
from tests.celery_worker import drive, worker
from tests.child import BOUND_S
from tests.load import INNER

pytestmark = [pytest.mark.server, pytest.mark.skipif(bool(why_not()), reason=why_not())]

KILLS: Final = 5
TASKS: Final = 100  # between two kills
TWO_SCANS_S: Final = 10.0
SLACK_S: Final = 5.0  # a batch under way, and a busy machine


def test_children_that_are_killed_under_load_lose_nothing(tmp_path: Path, long: bool) -> None:
    """
    Each task that gave its result has its event, and so has each that was killed by SIGKILL after it told one. In the
    first half nothing can be sent; living children take over what dead ones left within two scans.
    """
    kills = 40 if long else KILLS
    variables = {"BIZSPAN_SPOOL_DIR": str(tmp_path / "spool")}
    told: set[str] = set()
    with redis_server() as redis, Receiver(behaviour="unavailable") as receiver:
        sender: Any = celery.Celery("web", broker=redis, backend=redis, set_as_current=False)
        with worker(tmp_path, redis, receiver, "--pool", "prefork", "-c", "3", **variables) as process:
            for kill in range(kills):
                if kill == (kills + 1) // 2:
                    receiver.behaviour = "accept"
                killed = sender.send_task("shop.checkout", (f"killed-{kill}", "killed"))
                told |= _done(sender, f"k{kill}-")
                with pytest.raises(Exception, match="SIGKILL"):
                    killed.get(timeout=BOUND_S, interval=0.01)
                told.add(f"killed-{kill}")
            killed_at = time.monotonic()
            told |= _done(sender, "last-")

            def all_there(receiver: Receiver) -> bool:
                return told <= {str(event["attributes"][names.ORDER]) for event in receiver.events(INNER)}

            is_drained = receiver.wait_for(all_there, BOUND_S)
            took_s = time.monotonic() - killed_at
            assert process.poll() is None
        sender.close()
        log = (tmp_path / "worker.log").read_text("utf-8", "replace")

    assert is_drained, log[-3000:]
    assert (TASKS + 1) * kills + TASKS == len(told)
    assert took_s < TWO_SCANS_S + SLACK_S, log[-3000:]
    print(f"Celery: {kills} kills, {len(told)} told and arrived, drained in {took_s:.1f} s")


def _done(sender: Any, prefix: str) -> set[str]:
    """Orders whose task gave its result."""
    driven, results = drive(sender, TASKS, prefix=prefix)
    assert [] == driven.errors
    return {order for order, result in results if result.get(timeout=BOUND_S, interval=0.01) == order}
