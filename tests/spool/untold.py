"""
Sales that no spool can know of: their program is killed between the commit and the call. `bizspan reconcile` names
them, and its backfill tells them.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.child import environment
from tests.spool.collector_process import Collector
from tests.spool.killing import Program, drain
from tests.spool.shopper import SALES_UNTIL_KILLED, uid_of

_TABLE: Final = """
CREATE TABLE sales (
    order_id TEXT PRIMARY KEY, cents INTEGER NOT NULL, sold_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
)
"""
_QUERY: Final = 'SELECT order_id AS "order", cents AS amount, sold_at AS time FROM sales'
_BOUND_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class Untold:
    """
    Sales that a database holds, and that nobody told: their program died between the two.

    Args:
        kills: Programs that died there.
        committed: Sales in the database.
        found: Those of them that `bizspan reconcile` says have no event.
        is_exact: Whether these are the very sales at which the programs died, and nothing else differs.
        missing_cents: What they earned.
        backfilled: Events that its backfill had acknowledged.
        after_backfill: Differences after that, of any kind.
        is_same_fact: Whether each has the uid that its program would have given it.
    """

    kills: int
    committed: int
    found: int
    is_exact: bool
    missing_cents: int
    backfilled: int
    after_backfill: int
    is_same_fact: bool


def committed_but_untold(kills: int, folder: Path) -> Untold:
    """
    Have so many programs die between the commit of a sale and its event, and reconcile the database with what the
    collector wrote and what still waits.

    Args:
        kills: How many programs.
        folder: An empty one.
    """
    ledger, lines, spool = folder / "ledger.sqlite", folder / "otlp.jsonl", folder / "spool"
    with closing(sqlite3.connect(ledger)) as database, database:
        database.execute(_TABLE)
    with Collector(folder, lines) as collector:
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "BIZSPAN_SPOOL_DIR": str(spool)}
        for number in range(1, kills + 1):
            Program("bizspan", f"p{number:04}", folder, environ, str(ledger)).wait()
        # Nobody has sent what the last ones left.
        before = reconcile(ledger, [lines, spool], environ)
        during = reconcile(ledger, [lines, spool], environ, "--backfill")
        drain(environ)
        after = reconcile(ledger, [lines], environ)
        arrived = collector.arrived()
    with closing(sqlite3.connect(ledger)) as database:
        sales: dict[str, int] = dict(database.execute("SELECT order_id, cents FROM sales"))
    missing = [each["order"] for each in before["differences"]["missing_in_events"]["first"]]
    doomed = [f"p{number:04}-0-{SALES_UNTIL_KILLED}" for number in range(1, kills + 1)]
    told = {event.order: event.uid for event in arrived}
    return Untold(
        kills,
        committed=len(sales),
        found=len(missing),
        is_exact=missing == doomed and _differences(before) == len(doomed),
        missing_cents=sum(sales[order] for order in missing),
        backfilled=during["backfill"]["acknowledged"],
        after_backfill=_differences(after),
        is_same_fact=all(told.get(order) == uid_of("checkout", order) for order in doomed),
    )


def reconcile(ledger: Path, events: Sequence[Path], environ: Mapping[str, str], *words: str) -> dict[str, Any]:
    """What ``bizspan reconcile`` says of this ledger and these events."""
    ran = subprocess.run(
        [
            sys.executable, "-m", "bizspan", "reconcile", "--events", *map(str, events), "--ledger", str(ledger),
            "--ledger-query", _QUERY, "--currency", "EUR", "--minor-units", "--operation", "checkout",
            "--tolerance-s", "60", "--most", "1000", "--format", "json", *words,
        ],
        env=environment(None, **environ),
        capture_output=True,
        text=True,
        timeout=_BOUND_S,
        check=False,
    )  # fmt: skip
    assert ran.returncode in (0, 1), ran.stderr
    report: dict[str, Any] = json.loads(ran.stdout)
    return report


def _differences(report: Mapping[str, Any]) -> int:
    return sum(each["count"] for each in report["differences"].values())
