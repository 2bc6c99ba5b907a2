"""
What becomes of amounts that are dated by their order, such as refunds: as in their SQL, with dictionaries.

The records are read first: sales are many, and only those of their orders are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import compress, repeat
from typing import Any

from bizspan.kpi._fold import Read, Row
from bizspan.kpi._folds import Key, bounded, in_order


class Sold:
    """When each order was sold first."""

    def __init__(self) -> None:
        self._asked: set[str | None] = set()
        self._times: dict[str | None, int] = {}

    def ask(self, orders: Iterable[str | None]) -> None:
        """Orders that are asked for: others are not kept."""
        self._asked.update(orders)
        bounded(len(self._asked))

    def add(self, orders: Sequence[str], times: Sequence[str]) -> None:
        """Take in some sales."""
        sold = self._times
        for order, told in compress(zip(orders, times, strict=True), map(self._asked.__contains__, orders)):
            time = int(told)
            if sold.setdefault(order, time) > time:
                sold[order] = time

    def at(self, order: str | None) -> int | None:
        """When it was; None where no sale is known."""
        return self._times.get(order)


class _Dated:
    """
    Records with the time at which their order was sold first: the order, the time, then what is told of the record.

    Args:
        since_ns: From when on orders were sold.
        until_ns: Before when.
        sold: When they were.
    """

    def __init__(self, since_ns: int, until_ns: int, sold: Sold) -> None:
        self._since_ns, self._until_ns = since_ns, until_ns
        self._sold = sold
        self._told: list[tuple[str | None, int, tuple[Any, ...]]] = []

    def add(self, orders: Sequence[str | None], times: Sequence[int], *rest: Sequence[Any]) -> None:
        """Take in some events."""
        records = zip(*rest, strict=True) if rest else repeat((), len(times))
        self._told += zip(orders, times, records, strict=True)
        bounded(len(self._told))

    def _dated(self) -> Iterator[tuple[int | None, int, tuple[Any, ...]]]:
        """When it was sold, when it happened, and what is told."""
        at = self._sold.at
        return ((at(order), time, record) for order, time, record in self._told)


class DatedSums(_Dated):
    """Amounts by the date of their order; of each, the minor units, the currency, then the groups."""

    def rows(self, read: Read) -> list[Row]:
        """By currency and group: the sum, and of how many."""
        found: dict[Key, list[int]] = {}
        for sold, _, (minor, *key) in self._dated():
            if sold is not None and self._since_ns <= sold < self._until_ns:
                total = found.setdefault(tuple(key), [0, 0])
                total[0] += minor
                total[1] += 1
        return [(*key, *found[key]) for key in in_order(found)]


class DatedAccounts(_Dated):
    """
    What is said beside such amounts; of each, whether it is shown, then what else may be true of it.

    Args:
        since_ns: From when on orders were sold.
        until_ns: Before when.
        sold: When they were.
        told: Which of the further numbers are among what is read.
    """

    def __init__(self, since_ns: int, until_ns: int, sold: Sold, *, told: Sequence[bool]) -> None:
        super().__init__(since_ns, until_ns, sold)
        self._is_told = told

    def rows(self, read: Read) -> list[Row]:
        """How many are shown and hidden, each further number, and how many orders are unknown."""
        if not self._told:
            return [(None, None, *(None if told else 0 for told in self._is_told), None)]
        shown_inside = inside = unknown = 0
        further = [0] * sum(self._is_told)
        for sold, time, (shown, *rest) in self._dated():
            if sold is None:
                unknown += shown and self._since_ns <= time < self._until_ns
            elif self._since_ns <= sold < self._until_ns:
                inside += 1
                shown_inside += shown
                if shown:
                    further = [number + each for number, each in zip(further, rest, strict=True)]
        numbers = iter(further)
        return [
            (shown_inside, inside - shown_inside, *(next(numbers) if told else 0 for told in self._is_told), unknown)
        ]
