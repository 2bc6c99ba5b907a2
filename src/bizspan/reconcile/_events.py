"""
Events as the comparison needs them, and where they may come from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from bizspan import names
from bizspan.money import INT64_MAX, INT64_MIN

if TYPE_CHECKING:
    from bizspan._record import AmountLine

CUSTOMER_TRAFFIC: Final = "customer"
_NAMED_PROBLEMS: Final = 20
_TOOK_PLACE: Final = ("", names.SUCCESS)
_MONEY: Final = tuple(
    (kind, names.MINOR_UNITS_KEYS[kind], names.CURRENCY_KEYS[kind]) for kind in (names.REVENUE, names.REFUND)
)


@dataclass(frozen=True, slots=True)
class Event:
    """
    One delivered event; text that it does not carry is empty.

    Args:
        uid: ``log.record.uid``.
        event_name: As it was delivered.
        operation: The operation's name.
        outcome: Of an operation; of an event, ``failed`` where its transaction was rolled back.
        time_ns: When it happened, nanoseconds since the epoch.
        order: The order's id.
        amounts: Money, in minor units.
        invalid: Why the revenue is missing.
        traffic: Empty means customer.
    """

    uid: str
    event_name: str
    operation: str
    outcome: str
    time_ns: int
    order: str
    amounts: tuple[AmountLine, ...]
    invalid: str = ""
    traffic: str = ""


@dataclass(slots=True)
class Reading:
    """What a source met on its way. Nothing in it stops the reading."""

    events: int = 0
    other_records: int = 0
    bad_lines: int = 0
    without_uid: int = 0
    without_name: int = 0
    problems: list[str] = field(default_factory=list[str])

    def bad(self, where: str, why: str) -> None:
        """Count one unreadable line, and keep its place of the first few."""
        self.bad_lines += 1
        if len(self.problems) < _NAMED_PROBLEMS:
            self.problems.append(f"{where}: {why}")

    def no_event(self, *, has_uid: bool, is_ours: bool) -> None:
        """Count one log record without a uid, or without an event's name."""
        if not is_ours:
            self.other_records += 1
        elif has_uid:
            self.without_name += 1
        else:
            self.without_uid += 1


def event_of(event_name: str, time_ns: object, told: Mapping[str, Any]) -> Event:
    """
    The event that a log record is.

    Args:
        event_name: Its name.
        time_ns: When it happened.
        told: Its attributes by key.

    Raises:
        KeyError: When the uid, or an amount's currency, is missing.
        ValueError: When a number is none, or does not fit 64 bits.
    """
    amounts = tuple(
        (kind, _int64(told[units]), _text(told[currency]))
        for kind, units, currency in _MONEY
        if told.get(units) is not None
    )
    kind = names.REFUND if event_name == names.EVENT_REFUND else names.REVENUE
    return Event(
        uid=_text(told[names.RECORD_UID]),
        event_name=_text(event_name),
        operation=_text(told.get(names.OPERATION_NAME, "")),
        outcome=_text(told.get(names.OPERATION_OUTCOME, "")),
        time_ns=_int64(time_ns),
        order=_text(told.get(names.ORDER, "")),
        amounts=amounts,
        invalid=_text(told.get(names.AMOUNT_INVALID_KEYS[kind], "")),
        traffic=_text(told.get(names.TRAFFIC, "")),
    )


def _text(value: object) -> str:
    text = str(value)
    # JSON can write half of a pair; no database takes it.
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _int64(value: Any) -> int:
    number = int(value)
    if not INT64_MIN <= number <= INT64_MAX:
        raise ValueError
    return number


class Source(Protocol):
    """Where delivered events can be read: each as often as it was delivered, in any order."""

    def events(self, reading: Reading) -> Iterator[Event]:
        """
        Yield the events, one at a time, and count in `reading` what is none.

        Raises:
            SetupError: The source as a whole cannot be read.
        """
        ...


@dataclass(frozen=True, slots=True)
class ToldLine:
    """
    What one event says about an order; `minor` is None, and `note` says why, where it has no exact amount.
    """

    uid: str
    order: str
    is_refund: bool
    currency: str
    minor: int | None
    time_ns: int
    is_customer: bool
    note: str


@dataclass(frozen=True, slots=True)
class Selection:
    """
    Which events are sales. Refunds are those of `bizspan.refund()`.

    Args:
        operations: Names of operations.
        events: Names of events. Without any name, everything that earned revenue is a sale.
        refunds: Whether refunds are compared.
    """

    operations: frozenset[str] = frozenset()
    events: frozenset[str] = frozenset()
    refunds: bool = True

    @property
    def names(self) -> frozenset[str]:
        """Of operations and events together."""
        return self.operations | self.events

    def line(self, event: Event) -> ToldLine | None:
        """What the event says about its order; None where it is neither sale nor refund, or did not take place."""
        if event.outcome not in _TOOK_PLACE:
            return None
        is_refund = event.event_name == names.EVENT_REFUND
        if is_refund:
            if not self.refunds:
                return None
        elif not self._is_sale(event):
            return None
        kind = names.REFUND if is_refund else names.REVENUE
        amount = next((line for line in event.amounts if line[0] == kind), None)
        _, minor, currency = amount or (kind, None, "")
        note = "" if amount else event.invalid or "not_told"
        is_customer = event.traffic in ("", CUSTOMER_TRAFFIC)
        return ToldLine(event.uid, event.order, is_refund, currency, minor, event.time_ns, is_customer, note)

    def _is_sale(self, event: Event) -> bool:
        # Revenue in a second currency is an event of its own that names its operation.
        is_operation = event.event_name in (names.EVENT_OPERATION, names.EVENT_REVENUE)
        if self.operations or self.events:
            return event.operation in self.operations if is_operation else event.event_name in self.events
        return bool(event.invalid) or any(kind == names.REVENUE for kind, _, _ in event.amounts)
