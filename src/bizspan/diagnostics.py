"""
The accounts, for people and health checks.
"""

from __future__ import annotations

from bizspan import _active, _guard
from bizspan._accounts import Diagnostics, idle


def diagnostics() -> Diagnostics:
    """
    What became of every event and value in this process. ``offered == acknowledged + sum(refused.values())`` holds at
    every moment.
    """
    pipeline = _active.current
    accounts = idle if pipeline is None else pipeline.accounts
    refused = accounts.refused.values()
    if pipeline is not None and not pipeline.isolated:
        for reason, count in idle.refused.values().items():
            refused[reason] = refused.get(reason, 0) + count
    book = None if pipeline is None or pipeline.book is None else pipeline.book.account()
    acknowledged, handed_over = accounts.flow()  # after the book's: nothing is settled that was not acknowledged
    return Diagnostics(
        offered=acknowledged + sum(refused.values()),
        acknowledged=acknowledged,
        refused=refused,
        handed_over=handed_over,
        pending=acknowledged - handed_over if book is None else book.pending,
        values_refused=accounts.values_refused.values(),
        swallowed=_guard.swallowed_errors.values(),
        undeclared=tuple(accounts.undeclared),
        configured=pipeline is not None,
        spool=book,
    )
