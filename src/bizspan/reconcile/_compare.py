"""
What differs, order by order, and the totals of each day and currency.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

from bizspan.reconcile._ledger import LedgerLine
from bizspan.reconcile._store import Group, Told

Category = Literal[
    "missing_in_events",
    "missing_in_ledger",
    "amount_differs",
    "currency_differs",
    "count_differs",
    "amount_missing",
    "day_differs",
    "order_missing",
]
CATEGORIES: Final[dict[Category, str]] = {
    "missing_in_events": "missing in the events",
    "missing_in_ledger": "missing in the ledger",
    "amount_differs": "another amount",
    "currency_differs": "another currency",
    "count_differs": "the same sum in another number of lines",
    "amount_missing": "events without an exact amount",
    "day_differs": "another day",
    "order_missing": "events without an order, by uid",
}

Amount = tuple[int | None, str]
UidOf = Callable[[bool, str], str]


@dataclass(frozen=True, slots=True)
class Difference:
    """
    One thing that differs.

    Args:
        category: See `CATEGORIES`.
        order: The order's id, or the uid of an event that tells none.
        is_refund: Whether it is about money that went back.
        day: Of the ledger, where it has the line.
        ledger: Its amounts, in minor units.
        events: Those of the events; None where one has no exact amount.
        note: The other day, or why the amount is missing.
        lines: The ledger's lines that no event tells.
    """

    category: Category
    order: str
    is_refund: bool
    day: str
    ledger: tuple[Amount, ...] = ()
    events: tuple[Amount, ...] = ()
    note: str = ""
    lines: tuple[LedgerLine, ...] = ()


@dataclass(slots=True)
class Sums:
    """Counts and minor units of both sides."""

    ledger_count: int = 0
    ledger_minor: int = 0
    events_count: int = 0
    events_minor: int = 0

    @property
    def differs(self) -> bool:
        """Whether the sides are not the same."""
        return (self.ledger_count, self.ledger_minor) != (self.events_count, self.events_minor)


DayKey = tuple[str, bool, str]
"""Day, whether refunds, currency; that is empty where an event has no exact amount."""


@dataclass(slots=True)
class Tally:
    """What was added up on the way."""

    days: dict[DayKey, Sums] = field(default_factory=dict[DayKey, Sums])
    other_traffic: int = 0

    def book(self, line: LedgerLine) -> None:
        """Add a line of the ledger."""
        sums = self.days.setdefault((line.day, line.is_refund, line.currency), Sums())
        sums.ledger_count += 1
        sums.ledger_minor += line.minor

    def told(self, event: Told, is_refund: bool, day: str) -> None:
        """Add an event."""
        sums = self.days.setdefault((day, is_refund, event.currency), Sums())
        sums.events_count += 1
        sums.events_minor += event.minor or 0


def compare(
    groups: Iterable[Group], tally: Tally, uid_of: UidOf | None = None, tolerance_ns: int = 0
) -> Iterator[Difference]:
    """
    Yield what differs, by order, and add everything up on the way.

    Args:
        groups: Both sides.
        tally: Is added to.
        uid_of: See `Store.settle`.
        tolerance_ns: Within this time of each other, both sides of an order are of the ledger's day.
    """
    for group in groups:
        if not group.is_inside:
            continue
        if not group.book:
            # What staff, tests and bots did is no sale, unless the books say so.
            customers = [event for event in group.told if event.is_customer]
            tally.other_traffic += len(group.told) - len(customers)
            group.told = customers
        for line in group.book:
            tally.book(line)
        yield from _compare(group, tally, uid_of, tolerance_ns)


def _compare(group: Group, tally: Tally, uid_of: UidOf | None, tolerance_ns: int) -> Iterator[Difference]:
    if len(group.book) == len(group.told) == 1 and _day_and_amount(group.book[0]) == _day_and_amount(group.told[0]):
        tally.told(group.told[0], group.is_refund, group.book[0].day)  # nearly all: half of the time of the comparison
        return
    # First what agrees on the day as well, so that of several equal amounts the right ones meet.
    same_day, book, told = _paired(group.book, group.told, _day_and_amount, _day_and_amount)
    other_day, book, told = _paired(book, told, _amount, _amount)
    for _, event in same_day:
        tally.told(event, group.is_refund, event.day)
    for line, event in other_day:
        is_near = line.is_exact and abs(line.time_ns - event.time_ns) <= tolerance_ns
        tally.told(event, group.is_refund, line.day if is_near else event.day)
        if not is_near:
            amounts = (_amount(line),)
            yield Difference("day_differs", group.order, group.is_refund, line.day, amounts, amounts, event.day)
    for event in told:
        tally.told(event, group.is_refund, event.day)
    if not group.order:
        for event in told:
            yield Difference("order_missing", event.uid, group.is_refund, event.day, (), (_amount(event),))
        return
    if uid_of is not None and told and len({line.key for line in book}) == len(book):
        same_fact, book, told = _paired(
            book, told, lambda line: uid_of(group.is_refund, line.key), lambda event: event.uid
        )
        for line, event in same_fact:
            yield _pair(group, [line], [event])
    yield from _the_rest(group, book, told)


Pairs = list[tuple[LedgerLine, Told]]


def _paired(
    book: list[LedgerLine],
    told: list[Told],
    of_line: Callable[[LedgerLine], Hashable],
    of_event: Callable[[Told], Hashable],
) -> tuple[Pairs, list[LedgerLine], list[Told]]:
    """Pair what has the same key, each once; and what is left of both."""
    if not book or not told:
        return [], book, told
    waiting: dict[Hashable, list[Told]] = {}
    for event in reversed(told):
        waiting.setdefault(of_event(event), []).append(event)
    pairs: Pairs = []
    left: list[LedgerLine] = []
    for line in book:
        if same := waiting.get(of_line(line)):
            pairs.append((line, same.pop()))
        else:
            left.append(line)
    return pairs, left, [event for events in waiting.values() for event in reversed(events)]


def _amount(side: LedgerLine | Told) -> Amount:
    return side.minor, side.currency


def _day_and_amount(side: LedgerLine | Told) -> tuple[str, int | None, str]:
    return side.day, side.minor, side.currency


def _the_rest(group: Group, book: list[LedgerLine], told: list[Told]) -> Iterator[Difference]:
    """What has no equal on the other side: by currency, then whatever is left."""
    for currency in sorted({line.currency for line in book} & {event.currency for event in told}):
        yield _pair(
            group,
            [line for line in book if line.currency == currency],
            [event for event in told if event.currency == currency],
        )
        book = [line for line in book if line.currency != currency]
        told = [event for event in told if event.currency != currency]
    if book and told:
        yield _pair(group, book, told)
        return
    counts = f"{len(group.book)} in the ledger, {len(group.told)} in the events" if group.book and group.told else ""
    for line in book:
        yield Difference(
            "missing_in_events", group.order, group.is_refund, line.day, (_amount(line),), (), counts, (line,)
        )
    for event in told:
        yield Difference("missing_in_ledger", group.order, group.is_refund, event.day, (), (_amount(event),), counts)


def _pair(group: Group, lines: list[LedgerLine], events: list[Told]) -> Difference:
    """Both sides have something, and it is not the same."""
    notes = sorted({event.note for event in events if event.minor is None})
    category: Category = "amount_differs"
    if notes:
        category = "amount_missing"
    elif {line.currency for line in lines} != {event.currency for event in events}:
        category = "currency_differs"
    elif sum(line.minor for line in lines) == sum(event.minor or 0 for event in events):
        category = "count_differs" if len(lines) != len(events) else "amount_differs"
    return Difference(
        category,
        group.order,
        group.is_refund,
        lines[0].day,
        tuple(_amount(line) for line in lines),
        tuple(_amount(event) for event in events),
        ", ".join(notes),
    )
