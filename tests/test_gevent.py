"""gevent that comes late: a server loads the application, forks, and patches the threads of its workers then."""

from __future__ import annotations

from pathlib import Path

import pytest

from _collector import Behaviour, Receiver
from tests.child import run

pytestmark = pytest.mark.server
pytest.importorskip("gevent")

PRELOADED = """
    import os, sys
    import bizspan
    configuration = bizspan.configure(service_name="shop")
    child = os.fork()
    if child:
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    import gevent.monkey
    gevent.monkey.patch_all()
"""
TICKS = """
    import gevent, time
    ticks = 0
    def tick():
        global ticks
        while True:
            gevent.sleep(0.01)
            ticks += 1
    gevent.spawn(tick)
    bizspan.event("told")
    time.sleep(1)
    print(ticks > 20, flush=True)
    configuration.force_flush(2)
    os._exit(0)
"""


@pytest.mark.parametrize("spool", [False, True], ids=["memory", "spool"])
@pytest.mark.parametrize("behaviour", ["accept", "unavailable"])
def test_greenlets_run_on_while_nothing_is_to_do(spool: bool, behaviour: Behaviour, tmp_path: Path) -> None:
    """
    What waits for events, and for a collector that is down, does not keep the process from its other greenlets.
    """
    with Receiver(behaviour=behaviour) as receiver:
        variables = {"BIZSPAN_SPOOL_DIR": str(tmp_path / "spool")} if spool else {}
        ended = run(PRELOADED + TICKS, receiver, **variables)
        arrived = [event["event_name"] for event in receiver.events()]

    assert (0, "True\n") == (ended.code, ended.out), ended.err
    assert (["told"] if behaviour == "accept" else []) == arrived


def test_greenlets_that_tell_first_at_the_same_moment_are_all_heard(tmp_path: Path) -> None:
    """
    The first one sets the process up, which starts threads and so lets the others run: they wait for it.
    """
    with Receiver() as receiver:
        ended = run(
            PRELOADED
            + """
    import gevent
    gevent.joinall([gevent.spawn(bizspan.event, "told") for _ in range(20)])
    told = bizspan.diagnostics()
    print(told.acknowledged, told.refused, flush=True)
    os._exit(0)
            """,
            receiver,
            BIZSPAN_SPOOL_DIR=str(tmp_path / "spool"),
        )

    assert (0, "20 {}\n") == (ended.code, ended.out), ended.err
