"""
What is lost when programs are killed: every acknowledged sale is written down, and compared with what arrived.

    python -m tests.spool.kill_loop --kills 40            bizspan with a spool
    python -m tests.spool.kill_loop --stock --life 6      and OpenTelemetry's own pipeline beside it; programs live for
                                                          up to six seconds, because that one sends once a second
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.spool.killing import LIFE_S, SCENARIOS, Kind, Result, run
from tests.spool.shopper import THREADS
from tests.spool.untold import committed_but_untold

_COLUMNS: Final = ("kills", "acknowledged", "arrived", "lost", "gaps", "difference", "doubled", "beyond", "seconds")


def table(title: str, results: Sequence[Result]) -> str:
    """For people."""
    lines = [f"{title:<20}" + "".join(f"{column:>13}" for column in _COLUMNS)]
    for each in results:
        cells = [
            f"{each.kills:,}", f"{each.acknowledged:,}", f"{each.arrived:,}", f"{each.lost:,}", f"{each.gaps:,}",
            f"{each.difference_cents / 100:,.2f}", f"{each.doubled:,}", f"{each.beyond:,}", f"{each.seconds:.0f}",
        ]  # fmt: skip
        lines.append(f"{each.scenario:<20}" + "".join(f"{cell:>13}" for cell in cells))
    return "\n".join(lines)


def total(results: Sequence[Result]) -> Result:
    """All of them together."""
    return Result(
        "all",
        *(
            sum(getattr(each, name) for each in results)
            for name in ("kills", "acknowledged", "arrived", "beyond", "gaps", "difference_cents", "doubled", "seconds")
        ),
    )


def main() -> int:
    """Print the table; 1 where bizspan lost something."""
    parser = argparse.ArgumentParser(description="Kill programs that sell, and count what arrives.")
    parser.add_argument("--kills", type=int, default=40, help="of each pipeline, over all scenarios; default: 40")
    parser.add_argument("--stock", action="store_true", help="also OpenTelemetry's own pipeline of log records")
    parser.add_argument("--life", type=float, default=LIFE_S, metavar="S", help="seconds that a program sells at most")
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    options = parser.parse_args()
    kinds: tuple[Kind, ...] = ("bizspan", "stock") if options.stock else ("bizspan",)
    is_good = True
    with tempfile.TemporaryDirectory() as place:
        for kind in kinds:
            results: list[Result] = []
            for scenario in SCENARIOS:
                folder = Path(place) / f"{kind}-{scenario.name}"
                folder.mkdir()
                kills = -(-options.kills // len(SCENARIOS))
                results.append(run(kind, scenario, kills, folder, life_s=options.life, seed=options.seed))
            summed = total(results)
            print(table(kind, [*results, summed]), flush=True)
            if kind == "bizspan":
                is_good = not (summed.lost or summed.gaps or summed.difference_cents)
                is_good = is_good and summed.beyond <= summed.kills * THREADS
        folder = Path(place) / "untold"
        folder.mkdir()
        untold = committed_but_untold(max(1, options.kills // 8), folder)
    print(
        f"Committed to a database, and killed before it was told: {untold.kills} of {untold.committed:,} sales,"
        f" {untold.missing_cents / 100:,.2f} EUR. bizspan reconcile finds {untold.found},"
        f" {'exactly these' if untold.is_exact else 'NOT THESE'}; after its backfill,"
        f" {untold.after_backfill} differ."
    )
    return 0 if is_good and untold.is_exact and not untold.after_backfill else 1


if __name__ == "__main__":
    sys.exit(main())
