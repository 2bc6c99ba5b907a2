"""Programs that are killed while they sell: what was acknowledged arrives, without a gap, to the cent."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.spool.collector_process import Arrived
from tests.spool.killing import SCENARIOS, Scenario, gaps, run
from tests.spool.shopper import SALES_UNTIL_KILLED, THREADS
from tests.spool.untold import committed_but_untold

pytestmark = pytest.mark.server

KILLS = 8
LONG_KILLS = 200  # of each scenario: 1,000


@pytest.mark.parametrize("scenario", [pytest.param(each, id=each.name) for each in SCENARIOS])
def test_what_was_acknowledged_survives_every_kill(scenario: Scenario, tmp_path: Path, long: bool) -> None:
    """
    Programs with several threads are killed while they sell, beside a collector that takes everything, answers 503,
    resets the connection after it took a batch, or is killed itself, and while others take over what they left.
    """
    kills = LONG_KILLS if long else KILLS
    told = run("bizspan", scenario, kills, tmp_path)

    assert kills <= told.kills
    assert told.acknowledged >= 20 * kills
    assert (0, 0, 0) == (told.lost, told.gaps, told.difference_cents), told
    # Written to the spool, and killed before the call had returned.
    assert told.beyond <= THREADS * told.kills


def test_a_sale_that_nobody_told_is_found_by_reconciliation_alone(tmp_path: Path, long: bool) -> None:
    """
    Committed to the application's database, killed before the call: no spool can know of it. `bizspan reconcile` names
    exactly these sales beside what still waits in the spool, and `--backfill` closes the gap, with the uids that the
    programs would have given.
    """
    kills = 25 if long else 2
    untold = committed_but_untold(kills, tmp_path)

    assert (kills, kills * SALES_UNTIL_KILLED) == (untold.found, untold.committed)
    assert untold.is_exact
    assert (kills, 0, True) == (untold.backfilled, untold.after_backfill, untold.is_same_fact)


def test_the_checker_sees_gaps() -> None:
    """
    A number that is missing between the first and a writer's last one; an event that came twice is none.
    """
    came = [Arrived("", "w", number, "", 0, "") for number in (1, 2, 2, 4)]

    assert 1 == gaps(came)
    assert 3 == gaps([*came, Arrived("", "v", 3, "", 0, "")])
