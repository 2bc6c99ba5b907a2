"""
The rate at which events are taken in, beside what parsing them takes on the same machine. What is measured runs alone,
without coverage.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lens.load import Measured, run
from tests.lens.requests import Shop
from tests.lens.test_cost import least, plainly

# Of the processor time that the protobuf library's classes take for the same events, read plainly.
CPU = 3.0  # of all threads: 1.1 was seen
CLOCK = 10.0  # 1.2 was seen on a quiet machine
MEMORY_MIB = 400  # the test's own requests, and pytest, included
PAGE_EVENTS = 20_000  # a page's reads take less than reading so many events plainly


def plain_s() -> float:
    """What one event takes, read plainly."""
    requests = list(Shop().requests(2_000, size=500))
    (taken,) = least(lambda: [plainly(data) for data in requests])
    return taken / 2_000


def told(found: Measured, plain: float) -> tuple[float, float]:
    """The processor time of an event, and its time on the clock, beside that."""
    parts = found.cpu_s / found.events / plain, found.seconds / found.events / plain
    print(
        f"{found.per_second:,.0f} events a second, {found.peak_mib:.0f} MiB; of {plain * 1e6:.1f} us to read an event "
        f"plainly: {parts[0]:.2f} of processor time, {parts[1]:.2f} on the clock"
    )
    return parts


@pytest.mark.bench
def test_events_are_taken_in_fast_enough(tmp_path: Path, long: bool) -> None:
    """
    300,000 events of a busy shop, 500 in a request: sustained, each on the disk before it is answered.
    """
    plain = plain_s()
    found = run(tmp_path, events=2_000_000 if long else 300_000)

    cpu, clock = told(found, plain)
    assert cpu < CPU
    assert clock < CLOCK
    assert found.peak_mib < MEMORY_MIB


@pytest.mark.bench
@pytest.mark.server
def test_a_page_reads_while_another_process_sends(tmp_path: Path, long: bool) -> None:
    """
    Over real connections, as applications send: what a page reads is there soon, but for what disturbs the machine now
    and then.
    """
    plain = plain_s()
    found = run(tmp_path, events=1_000_000 if long else 100_000, over="apart")

    cpu, clock = told(found, plain)
    page_s = found.page_s[len(found.page_s) * 9 // 10]
    print(f"a page's reads: {page_s / plain:,.0f} events read plainly")
    assert cpu < CPU
    assert clock < CLOCK
    assert page_s < PAGE_EVENTS * plain
