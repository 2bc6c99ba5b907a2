"""Does what arrived agree with the file? The same figures from four sources, side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TypeAlias

from _collector import Receiver
from _otlp import Attributes
from _purchases import Purchase
from bizspan import names

Ledger: TypeAlias = "Counter[tuple[str, str]]"
"""From (line, segment) to a number of records, or to US cents."""

ACCEPTED, DECLINED, REFUNDS = "checkouts accepted", "checkouts declined", "refunds"
REVENUE, LOST, REFUNDED = "revenue, USD", "declined, USD", "refunded, USD"
MONEY = (REVENUE, LOST, REFUNDED)
LINES = (ACCEPTED, DECLINED, REFUNDS, *MONEY)
SEGMENTS = ("one_time", "repeat", "loyal")
CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Source:
    """Where figures were counted, and which lines it can know of."""

    name: str
    ledger: Ledger
    lines: tuple[str, ...]


def expected(purchases: Iterable[Purchase]) -> Ledger:
    """Return the figures as they follow from the file alone, in Decimal: nothing here comes from bizspan."""
    ledger: Ledger = Counter()
    for purchase in purchases:
        cents = _cents(purchase.total)
        ledger[ACCEPTED, purchase.segment] += 1
        ledger[REVENUE, purchase.segment] += cents
        if purchase.declined_first:
            ledger[DECLINED, purchase.segment] += 1
            ledger[LOST, purchase.segment] += cents
        if purchase.refunded != "no":
            back = purchase.total if purchase.refunded == "whole" else purchase.total / 2
            ledger[REFUNDS, purchase.segment] += 1
            ledger[REFUNDED, purchase.segment] += _cents(back.quantize(CENT, ROUND_HALF_EVEN))
    return ledger


def from_events(receiver: Receiver) -> Source:
    """Return the figures of the book: the events, each counted once by its `log.record.uid`."""
    ledger: Ledger = Counter()
    records = {event["attributes"][names.RECORD_UID]: event for event in receiver.events()}
    for event in records.values():
        if event["event_name"] == names.EVENT_OPERATION:
            _add_operation(ledger, event["attributes"])
        elif event["event_name"] == names.EVENT_REFUND:
            segment = str(event["attributes"][names.SEGMENT])
            ledger[REFUNDS, segment] += 1
            ledger[REFUNDED, segment] += _minor_units(event["attributes"], names.REFUND)
    return Source("events", ledger, LINES)


def from_spans(receiver: Receiver) -> Source:
    """Return the figures that the spans carry."""
    ledger: Ledger = Counter()
    for span in receiver.spans("checkout"):
        _add_operation(ledger, span["attributes"])
    return Source("spans", ledger, (ACCEPTED, DECLINED, REVENUE, LOST))


def from_metrics(receiver: Receiver) -> Source:
    """Return the figures of the fast view: the newest point of every series."""
    ledger: Ledger = Counter()
    for point in receiver.last_points(names.METRIC_DURATION):
        ledger[_line_of(point["attributes"]), str(point["attributes"][names.SEGMENT])] += point["count"]
    for line, metric in ((REVENUE, names.REVENUE), (REFUNDED, names.REFUND)):
        for point in receiver.last_points(metric):
            # The shortest decimal that reads back as this double: what every screen shows.
            amount = Decimal(repr(point["value"]))
            ledger[line, str(point["attributes"][names.SEGMENT])] += _cents(amount)
    return Source("metrics", ledger, (ACCEPTED, DECLINED, REVENUE, REFUNDED))


def print_comparison(wanted: Ledger, sources: Sequence[Source]) -> bool:
    """
    Print one row per figure, over all and by segment, with a tick where it agrees.

    Returns:
        Whether everything agrees.
    """
    agrees = True
    print(f"{'':26}{'file':>14}" + "".join(f"{source.name:>16}" for source in sources))
    for line in LINES:
        for segment in ("", *SEGMENTS):
            want = _figure(wanted, line, segment)
            cells = [f"{'  ' + segment if segment else line:26}{_shown(line, want):>14}"]
            for source in sources:
                got = _figure(source.ledger, line, segment)
                known = line in source.lines
                agrees = agrees and (got == want or not known)
                cells.append(f"{_shown(line, got):>14} {_tick(got == want)}" if known else f"{'-':>16}")
            print("".join(cells))
    for source in sources:
        for unknown in sorted({line for line, _ in source.ledger} - {*source.lines}):
            agrees = False
            count = _figure(source.ledger, unknown, "")
            print(f"{unknown:26}{'0':>14}{count:>14,} {_tick(False)} in {source.name}")
    return agrees


def print_ties(receiver: Receiver, purchases: Iterable[Purchase]) -> bool:
    """
    Print how many customers are told apart by their hash, and how many spans have their event, with one id.

    Returns:
        Whether these are all of them, and no customer's number arrived in plain text.
    """
    customers = {purchase.customer for purchase in purchases}
    events = receiver.events(names.EVENT_OPERATION)
    hashes = {str(event["attributes"].get(names.CUSTOMER)) for event in events}
    spans = {_ids(span["span_id"], span["attributes"]) for span in receiver.spans("checkout")}
    tied = spans & {_ids(event["span_id"], event["attributes"]) for event in events}
    apart = len(hashes) == len(customers) and not hashes & customers
    print(f"{'customers, hashed':26}{len(customers):>14,}{len(hashes):>14,} {_tick(apart)}")
    print(f"{'event and span, one id':26}{len(spans):>14,}{len(tied):>14,} {_tick(tied == spans)}")
    return apart and tied == spans


def _add_operation(ledger: Ledger, attributes: Attributes) -> None:
    line, segment = _line_of(attributes), str(attributes[names.SEGMENT])
    ledger[line, segment] += 1
    money = {ACCEPTED: REVENUE, DECLINED: LOST}.get(line)
    if money is not None:
        ledger[money, segment] += _minor_units(attributes, names.REVENUE)


def _line_of(attributes: Attributes) -> str:
    outcome = str(attributes[names.OPERATION_OUTCOME])
    return {names.SUCCESS: ACCEPTED, names.REJECTED: DECLINED}.get(outcome, outcome)


def _minor_units(attributes: Attributes, kind: str) -> int:
    units, currency = attributes[names.MINOR_UNITS_KEYS[kind]], attributes[names.CURRENCY_KEYS[kind]]
    if currency != "USD" or not isinstance(units, int):
        raise ValueError(f"expected US cents, got {units!r} {currency!r}")
    return units


def _cents(amount: Decimal) -> int:
    cents = amount * 100
    if cents != int(cents):
        raise ValueError(f"{amount} USD is no whole number of cents")
    return int(cents)


def _figure(ledger: Ledger, line: str, segment: str) -> int:
    return sum(number for key, number in ledger.items() if key[0] == line and segment in ("", key[1]))


def _shown(line: str, number: int) -> str:
    return f"{Decimal(number).scaleb(-2):,.2f}" if line in MONEY else f"{number:,}"


def _ids(span_id: str, attributes: Attributes) -> tuple[str, str]:
    return span_id, str(attributes[names.OPERATION_ID])


def _tick(agrees: bool) -> str:
    return "✓" if agrees else "✗"
