"""The end of a process with a spool: bounded, whatever the collector does, and the next start delivers."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from _collector import Receiver
from bizspan import names
from tests.child import run, started

pytestmark = pytest.mark.server

EXIT_BOUND_S = 2.5
SLACK_S = 1.0  # for a busy machine: sending is bounded, the interpreter goes down after it

TELL = """
    import sys, time
    import bizspan
    bizspan.configure(service_name="shop", export="{export}")
    for number in range(50):
        with bizspan.operation("checkout", order=f"o-{{number}}") as op:
            op.revenue("1.00", "EUR")
    print(time.monotonic(), flush=True)
    sys.exit(7)
"""
NEXT = """
    import time
    import bizspan
    bizspan.configure(service_name="shop", export="none")
    time.sleep(30)
"""


@pytest.mark.parametrize("export", ["otlp", "none"])
@pytest.mark.parametrize("how", ["no answer", "never accepted", "refused"])
def test_an_exit_is_bounded_and_the_next_start_delivers(how: str, export: str, tmp_path: Path) -> None:
    """
    A collector that reads and never answers, one that never even accepts, and none at all: the process ends within
    2.5 s with its own exit code, and what it told arrives from the next one, which tells nothing.
    """
    variables = {"BIZSPAN_SPOOL_DIR": str(tmp_path / "spool")}
    with Receiver(behaviour="hang") as receiver, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        if how == "never accepted":
            taken.listen(0)
        nowhere = f"http://127.0.0.1:{taken.getsockname()[1]}"
        endpoint = receiver.http_endpoint if how == "no answer" else nowhere
        ended = run(TELL.format(export=export), None, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, **variables)
        took_s = ended.at - float(ended.out)
        assert 7 == ended.code
        assert [] == receiver.events()

        receiver.behaviour = "accept"
        with started(NEXT, receiver, **variables):
            assert receiver.wait_for(lambda receiver: len(receiver.events()) >= 50)
        orders = {str(event["attributes"][names.ORDER]) for event in receiver.events(names.EVENT_OPERATION)}

    print(f"{how}, export={export}: {took_s:.2f} s")
    assert took_s < EXIT_BOUND_S + SLACK_S
    assert {f"o-{number}" for number in range(50)} == orders
