"""A database that only knows how to begin and to end, for tests of emission on commit."""

from __future__ import annotations

from typing import Any

import bizspan
from bizspan._commit import Held
from bizspan.testing import Capture


class Transaction:
    """Holds what it is given, and tells it how it ended."""

    def __init__(self) -> None:
        self.held: list[Held] = []

    def hold(self, held: Held) -> None:
        self.held.append(held)

    def commit(self) -> None:
        for held in self.held:
            held.committed()

    def roll_back(self) -> None:
        for held in self.held:
            held.rolled_back()


class Database:
    """A source whose transactions a test opens."""

    def __init__(self) -> None:
        self.open: list[Any] = []

    def open_transactions(self) -> list[Any]:
        return self.open

    def begin(self) -> Transaction:
        transaction = Transaction()
        self.open.append(transaction)
        return transaction


def sell(captured: Capture) -> None:
    """An operation of one second that earns 42 euros."""
    with bizspan.operation("checkout", emit="on_commit", segment="smb") as op:
        op.revenue(42, "EUR")
        captured.tick(1)
