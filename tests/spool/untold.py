"""Sales that no spool can know of: their program is killed between the commit and the call."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.child import environment
from tests.spool.collector_process import Collector
from tests.spool.killing import Program, drain
from tests.spool.shopper import SALES_UNTIL_KILLED


@dataclass(frozen=True, slots=True)
class Untold:
    """
    Sales that a database holds, and that nobody told: their program died between the two.

    Args:
        kills: Programs that died there.
        committed: Sales in the database.
        found: Those of them without an event.
        is_exact: Whether these are the very sales at which the programs died.
        missing_cents: What they earned.
        after_backfill: Sales without an event after they were told again, each with its own key.
    """

    kills: int
    committed: int
    found: int
    is_exact: bool
    missing_cents: int
    after_backfill: int


BACKFILL: Final = """
import sys
import bizspan
from bizspan import Money
with bizspan.configure(service_name="backfill", export="none") as configuration:
    for line in sys.stdin:
        order, cents = line.split()
        with bizspan.operation("checkout", order=order, idempotency_key=order) as op:
            op.revenue(Money(f"{int(cents) // 100}.{int(cents) % 100:02}", "EUR"))
    sys.exit(not configuration.force_flush(30))
"""


def committed_but_untold(kills: int, folder: Path) -> Untold:
    """
    Have so many programs die between the commit of a sale and its event, and compare the database with what arrived.

    Args:
        kills: How many programs.
        folder: An empty one.
    """
    ledger = folder / "ledger.sqlite"
    with sqlite3.connect(ledger) as database:
        database.execute("CREATE TABLE sales (order_id TEXT PRIMARY KEY, cents INTEGER NOT NULL)")
    with Collector(folder) as collector:
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "BIZSPAN_SPOOL_DIR": str(folder / "spool")}
        for number in range(1, kills + 1):
            Program("bizspan", f"p{number:04}", folder, environ, str(ledger)).wait()
        drain(environ)
        sales: dict[str, int] = dict(database.execute("SELECT order_id, cents FROM sales"))
        database.close()
        missing = sales.keys() - {event.order for event in collector.arrived()}
        doomed = {f"p{number:04}-0-{SALES_UNTIL_KILLED}" for number in range(1, kills + 1)}
        again = "".join(f"{order} {sales[order]}\n" for order in sorted(missing))
        subprocess.run(
            [sys.executable, "-c", BACKFILL],
            env=environment(None, **environ),
            input=again,
            text=True,
            timeout=60,
            check=True,
        )
        left = sales.keys() - {event.order for event in collector.arrived()}
    return Untold(
        kills, len(sales), len(missing), missing == doomed, sum(sales[order] for order in missing), len(left)
    )  # fmt: skip
