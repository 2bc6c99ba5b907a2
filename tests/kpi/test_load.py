"""KPIs on a large store. What is measured runs alone, without coverage."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kpi.load import KPIS, fill, measured

CPU_S = 1.2  # of processor time, for 300,000 events: twice what the slowest kind took on a machine with other work
MEMORY_MIB = 300


@pytest.mark.bench
@pytest.mark.server
def test_each_kind_of_kpi_is_there_soon_and_memory_stays_small(tmp_path: Path, long: bool) -> None:
    """
    A month of a shop with 300,000 events, in a process that does nothing else: over all, by country, and what is said
    beside it.
    """
    count = 1_000_000 if long else 300_000
    fill(tmp_path / "load.db", count)

    found = {each.name: each for each in measured(tmp_path / "load.db")}

    assert [*KPIS] == [*found]
    assert [] == [name for name, each in found.items() if not each.n]
    assert {} == {name: each.cpu_s for name, each in found.items() if each.cpu_s > CPU_S * count / 300_000}
    assert max(each.peak_mib for each in found.values()) < MEMORY_MIB
