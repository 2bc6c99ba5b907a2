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
        ended = run(PRELOADED, receiver, **variables)
        arrived = [event["event_name"] for event in receiver.events()]

    assert (0, "True\n") == (ended.code, ended.out), ended.err
    assert (["told"] if behaviour == "accept" else []) == arrived
