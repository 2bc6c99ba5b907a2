"""A year and a half of a real shop, through twenty kills and a collector that is down half of the time, to the cent."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import pytest

from tests.child import BOUND_S, environment
from tests.spool.collector_process import ROOT, Collector
from tests.spool.killing import drain, gaps

pytestmark = pytest.mark.server

KILLS: Final = 20
PURCHASES: Final = 6_919
CENTS: Final = 24_409_194


def test_a_replay_that_is_killed_twenty_times_agrees_to_the_cent(tmp_path: Path) -> None:
    """
    6,919 purchases, 244,091.94 USD, with the collector killed at every second kill of the shop and started at the next.
    """
    chance = random.Random(1)
    acks = tmp_path / "purchases.acks"
    with Collector(tmp_path) as collector:
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "BIZSPAN_SPOOL_DIR": str(tmp_path / "spool")}
        for kill in range(KILLS + 1):
            goal = PURCHASES if kill == KILLS else (kill + 1) * PURCHASES // (KILLS + 1) + chance.randrange(-50, 50)
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.spool.replay", str(acks)], cwd=ROOT, env=environment(None, **environ)
            )
            try:
                if kill < KILLS:
                    deadline = time.monotonic() + BOUND_S
                    while _written(acks) < goal:
                        assert process.poll() is None and time.monotonic() < deadline
                        time.sleep(0.005)  # nothing to wait on: files don't tell
                    process.kill()
                assert (0 if kill == KILLS else -signal.SIGKILL) == process.wait(BOUND_S)
            finally:
                process.kill()
                process.wait()
            collector.kill() if collector.is_up else collector.start()
        if not collector.is_up:
            collector.start()
        drain(environ)
        arrived = collector.arrived()

    once = {event.uid: event for event in arrived}
    assert (PURCHASES, CENTS) == (len(once), sum(event.cents for event in once.values()))
    assert {f"o-{number}" for number in range(1, PURCHASES + 1)} == {event.order for event in once.values()}
    assert 0 == gaps(arrived)
    total = sum(event.cents for event in once.values()) / 100
    print(f"{KILLS} kills: {len(arrived):,} events came, {len(once):,} purchases, {total:,.2f} USD")


def _written(acks: Path) -> int:
    return acks.read_bytes().count(b"\n") if acks.exists() else 0
