"""Every kind of KPI says what plain Python says, on both engines."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from tests.kpi import strategies
from tests.kpi.cases import DEFINITIONS, compare
from tests.kpi.stores import HAS_CHDB, NO_CHDB, ChdbSource, Point, Told, sqlite_store
from tests.kpi.strategies import DAY, HOUR

# While the day goes on, right after it, and long after.
_nows = st.sampled_from([DAY.since_ns + 9 * HOUR, DAY.until_ns, DAY.until_ns + 30 * HOUR, DAY.until_ns + 400 * HOUR])
_QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]


@pytest.mark.fuzz
@settings(max_examples=settings().max_examples // 2, suppress_health_check=_QUIET)
@given(told=strategies.told(), points=strategies.points(), now_ns=_nows)
def test_sqlite_says_what_plain_python_says(tmp_path: Path, told: list[Told], points: list[Point], now_ns: int) -> None:
    """
    The values over all and by group, and what is said beside them, are those of a recomputation, for every kind.
    """
    source = sqlite_store(tmp_path / "store.db", told, points)

    for name in DEFINITIONS:
        note(name)
        compare(name, source, told, points, now_ns)


@pytest.fixture(scope="module")
def clickhouse() -> ChdbSource:
    return ChdbSource()


@pytest.mark.skipif(not HAS_CHDB, reason=NO_CHDB)
@settings(max_examples=settings().max_examples // 25, suppress_health_check=_QUIET)
@given(told=strategies.told(), points=strategies.points(), now_ns=_nows)
def test_clickhouse_says_what_plain_python_says(
    clickhouse: ChdbSource, told: list[Told], points: list[Point], now_ns: int
) -> None:
    """
    The same, from tables in which events stand as often as they were delivered.
    """
    clickhouse.load(told, points)

    for name in DEFINITIONS:
        note(name)
        compare(name, clickhouse, told, points, now_ns)
