"""KPIs on a large store. What is measured runs alone, without coverage."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kpi.load import KPIS, fill, measured

# Of processor time, by that of one grouped look at the same events in the same process, so that a slower machine is one
# for both: the slowest kind took 1.6 times as much.
TIMES_REFERENCE = 4.0
MEMORY_MIB = 300


@pytest.mark.bench
@pytest.mark.server
def test_each_kind_of_kpi_is_there_soon_and_memory_stays_small(tmp_path: Path, long: bool) -> None:
    """
    A month of a shop with 300,000 events, in a process that does nothing else: over all, by country, and what is said
    beside it.
    """
    fill(tmp_path / "load.db", 1_000_000 if long else 300_000)

    found = {each.name: each for each in measured(tmp_path / "load.db")}

    print(*found.values(), sep="\n")
    assert [*KPIS] == [*found]
    assert [] == [name for name, each in found.items() if not each.n]
    assert [] == [str(each) for each in found.values() if each.times_reference > TIMES_REFERENCE]
    assert max(each.peak_mib for each in found.values()) < MEMORY_MIB
