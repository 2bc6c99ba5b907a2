"""
A collector that is down for long costs disk, not memory, and what waited is sent fast.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.child import environment
from tests.spool.outage import ROOT

pytestmark = pytest.mark.server

MEMORY_BYTES = 16 << 20
DRAIN_PER_S = 40_000


def test_an_outage_costs_no_memory_and_is_drained(long: bool) -> None:
    """
    40,000 events while nothing listens, 400,000 with --long: the process grows by 16 MiB at most, and every event is
    sent afterwards. How fast is asserted with --long alone: there the back-off's second does not count.
    """
    events = 400_000 if long else 40_000
    command = [sys.executable, "-m", "tests.spool.outage", "--events", str(events), "--json"]
    ended = subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=300, check=False
    )
    assert 0 == ended.returncode, ended.stderr
    found = json.loads(ended.stdout)
    print(found)

    assert (0, {}) == (found["pending"], found["refused"])
    assert found["grew_bytes"] <= MEMORY_BYTES
    assert not long or found["drained_per_s"] >= DRAIN_PER_S
