"""Events against the ledger: what is equal, what differs and how it is called, by order, day and currency."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import bizspan
from bizspan import names
from bizspan._pipeline import keyed_uid
from bizspan.errors import SetupError
from bizspan.reconcile import Event, Ledger, OtlpJsonLines, Reading, Report, Request, Selection, reconcile
from bizspan.reconcile._store import Store
from bizspan.testing import START_NS, Capture, FixedClock, capture
from tests.shop_files import write_csv, write_events

DAY_S = 86_400
CHECKOUT = Selection(frozenset({"checkout"}))
NOON = "2026-01-01T12:00:00Z"


class Listed:
    """A source that is not files: what a spool or a store would be."""

    def __init__(self, *events: Event) -> None:
        self._events = events

    def events(self, reading: Reading) -> Iterator[Event]:
        reading.events += len(self._events)
        yield from self._events


def sale(order: str, minor: int = 1250, currency: str = "EUR", **different: Any) -> Event:
    """A successful checkout on noon of the first day."""
    event = Event(
        uid=keyed_uid("checkout", order) or "",
        event_name=names.EVENT_OPERATION,
        operation="checkout",
        outcome=names.SUCCESS,
        time_ns=START_NS + DAY_S // 2 * 1_000_000_000,
        order=order,
        amounts=((names.REVENUE, minor, currency),),
    )
    return replace(event, **different)


def compared(tmp_path: Path, source: Any, *rows: tuple[object, ...], **options: Any) -> Report:
    """Reconcile these events with a ledger of these rows."""
    ledger = Ledger(str(write_csv(tmp_path / "ledger.csv", rows)))
    return reconcile(replace(Request(source, ledger, CHECKOUT), **options))


def counts(report: Report) -> dict[str, int]:
    return {str(category): count for category, count in report.found.counts.items()}


def checkout(order: str, amount: str = "12.50", currency: str = "EUR") -> None:
    with bizspan.operation("checkout", order=order, idempotency_key=order) as op:
        op.revenue(amount, currency)


# --- with the real pipeline ---------------------------------------------------------------------------------


def test_what_was_told_equals_what_was_booked(tmp_path: Path) -> None:
    """
    Sales and refunds of two currencies and two days agree with the ledger, to the cent.
    """
    with capture() as told:
        checkout("o-1")
        checkout("o-2", "1200", "JPY")
        clock_of(told).tick(DAY_S)
        checkout("o-3", "0.00")
        bizspan.refund("2.50", "EUR", order="o-1")
        events = OtlpJsonLines([write_events(tmp_path / "events.jsonl", told)])

    report = compared(
        tmp_path, events,
        ("o-1", "12.50", "EUR", "2026-01-01"), ("o-2", "1200", "jpy", "2026-01-01"),
        ("o-3", "0", "EUR", "2026-01-02"), ("o-1", "-2.50", "EUR", "2026-01-02"),
    )  # fmt: skip

    assert (0, {}) == (report.exit_code, counts(report))
    assert {
        ("", False, "EUR"): (2, 1250),
        ("", False, "JPY"): (1, 1200),
        ("", True, "EUR"): (1, 250),
    } == {key: (sums.events_count, sums.events_minor) for key, sums in report.totals.items()}


def test_each_difference_is_named_by_its_order(tmp_path: Path) -> None:
    """
    Missing on either side, another amount, another currency, another day, no exact amount, told twice.
    """
    with capture() as told:
        for order in ("equal", "unbooked", "late"):
            checkout(order)
        checkout("amount", "12.00")
        checkout("currency", "12.50", "USD")
        with bizspan.operation("checkout", order="inexact") as op:
            op.revenue(0.1 + 0.2, "EUR")
        for _ in range(2):  # without an idempotency key: two facts
            with bizspan.operation("checkout", order="twice") as op:
                op.revenue("12.50", "EUR")
        with bizspan.operation("checkout") as op:
            op.revenue("1.00", "EUR")
        told.allow("precision")
        events = OtlpJsonLines([write_events(tmp_path / "events.jsonl", told)])
    booked = ("equal", "lost", "amount", "currency", "inexact", "twice")
    rows = [(order, "12.50", "EUR", "2026-01-01") for order in booked]

    report = compared(tmp_path, events, *rows, ("late", "12.50", "EUR", "2026-01-02"))

    named = {category: [each.order for each in first] for category, first in report.found.first.items()}
    without_order = named.pop("order_missing")
    assert 1 == report.exit_code
    assert {
        "missing_in_events": ["lost"],
        "missing_in_ledger": ["twice", "unbooked"],
        "amount_differs": ["amount"],
        "currency_differs": ["currency"],
        "amount_missing": ["inexact"],
        "day_differs": ["late"],
    } == named
    assert (1, "precision") == (len(without_order), report.found.first["amount_missing"][0].note)


def test_only_what_took_place_is_compared(tmp_path: Path) -> None:
    """
    Rejected and failed attempts, other operations and other events are no sales; a retry under one key is one.
    """
    with capture() as told:
        with bizspan.operation("checkout", order="o-1", idempotency_key="o-1") as op:
            op.revenue("12.50", "EUR")
            op.reject("card_declined")
        checkout("o-1")
        with bizspan.operation("renewal", order="o-2") as op:
            op.revenue("5.00", "EUR")
        bizspan.event("invoice.paid", revenue=("7.00", "EUR"), order="o-3")
        bizspan.cost("0.30", "EUR", order="o-1")
        events = OtlpJsonLines([write_events(tmp_path / "events.jsonl", told)])
    row = ("o-1", "12.50", "EUR", NOON)

    alone = compared(tmp_path, events, row)
    with_event = compared(tmp_path, events, row, selection=Selection(CHECKOUT.operations, frozenset({"invoice.paid"})))
    everything = compared(tmp_path, events, row, selection=Selection())

    assert (0, 1, 1) == (alone.exit_code, with_event.exit_code, everything.exit_code)
    assert [{}, {"missing_in_ledger": 1}, {"missing_in_ledger": 2}] == [
        counts(each) for each in (alone, with_event, everything)
    ]


def test_a_second_currency_of_one_operation_is_a_line_of_its_own(tmp_path: Path) -> None:
    """
    Revenue in two currencies is two events with one order, and two lines of the ledger.
    """
    with capture() as told:
        with bizspan.operation("checkout", order="o-1", idempotency_key="o-1") as op:
            op.revenue("12.50", "EUR")
            op.revenue("3.00", "USD")
        events = OtlpJsonLines([write_events(tmp_path / "events.jsonl", told)])

    both = compared(tmp_path, events, ("o-1", "12.50", "EUR", NOON), ("o-1", "3.00", "USD", NOON))
    one = compared(tmp_path, events, ("o-1", "12.50", "EUR", NOON))

    assert ({}, {"missing_in_ledger": 1}) == (counts(both), counts(one))


def test_an_event_delivered_twice_counts_once(tmp_path: Path) -> None:
    """
    The same uid again, from a retry or another file, adds nothing and is said; one with another amount as well.
    """
    with capture() as first:
        checkout("o-1")
        checkout("o-2")
        bizspan.event("x")
        once = write_events(tmp_path / "a.jsonl", first)
    with capture() as second:
        checkout("o-2", "13.00")
        again = write_events(tmp_path / "b.jsonl", first, second)
    rows = [(order, "12.50", "EUR", NOON) for order in ("o-1", "o-2")]

    report = compared(tmp_path, OtlpJsonLines([once, again]), *rows)

    assert (0, (2, 1), 7) == (report.exit_code, report.delivered_twice, report.reading.events)
    assert "2 events delivered twice or more, counted once, 1 of them with another amount" in report.as_text()


def clock_of(told: Capture) -> FixedClock:
    return told._clock


# --- the finer points ---------------------------------------------------------------------------------------


def test_days_are_those_of_the_time_zone(tmp_path: Path) -> None:
    """
    Half past eleven in the evening, UTC, is the next day in Berlin; both sides are asked for the same day.
    """
    late = sale("o-1", time_ns=START_NS + 84_600 * 1_000_000_000)
    row = ("o-1", "12.50", "EUR", "2026-01-01 23:30:00")

    utc = compared(tmp_path, Listed(late), row)
    berlin = compared(tmp_path, Listed(late), row, time_zone="Europe/Berlin")
    wrong = compared(tmp_path, Listed(late), row, time_zone="Europe/Berlin", ledger_time_zone="Europe/Berlin")

    assert [["2026-01-01"], ["2026-01-02"], ["2026-01-01", "2026-01-02"]] == [
        sorted(day for day, _, _ in each.tally.days) for each in (utc, berlin, wrong)
    ]
    assert [0, 0, 1] == [each.exit_code for each in (utc, berlin, wrong)]
    assert "days    in Europe/Berlin; times of the ledger without an offset in UTC" in berlin.as_text()


def test_a_day_that_is_not_24_hours_long_is_one_day(tmp_path: Path) -> None:
    """
    The last Sunday of March has 23 hours in Berlin: from 23:00 until 22:00, UTC.
    """
    moments = {"2026-03-28T22:59:59+00:00": "2026-03-28", "2026-03-28T23:00:00+00:00": "2026-03-29",
               "2026-03-29T21:59:59+00:00": "2026-03-29", "2026-03-29T22:00:00+00:00": "2026-03-30"}  # fmt: skip
    for moment, day in moments.items():
        report = compared(tmp_path, Listed(), ("o", "1.00", "EUR", moment), time_zone="Europe/Berlin")

        assert [day] == [found for found, _, _ in report.tally.days]


def test_two_sides_of_midnight_are_one_day_within_the_tolerance(tmp_path: Path) -> None:
    """
    The event is half a second after the booking, and midnight lies between them.
    """
    event = sale("o-1", time_ns=START_NS + DAY_S * 1_000_000_000)
    row = ("o-1", "12.50", "EUR", "2026-01-01T23:59:59.500Z")

    strict = compared(tmp_path, Listed(event), row)
    tolerant = compared(tmp_path, Listed(event), row, tolerance_s=1.0)

    assert ({"day_differs": 1}, {}) == (counts(strict), counts(tolerant))
    assert (1, 0) == (strict.exit_code, tolerant.exit_code)


def test_a_period_takes_orders_with_a_part_in_it(tmp_path: Path) -> None:
    """
    Outside of the period nothing is compared, except the other side of an order that lies inside.
    """
    day = DAY_S * 1_000_000_000
    events = [sale(f"o-{number}", time_ns=START_NS + number * day) for number in range(4)]
    rows = [
        ("o-1", "12.50", "EUR", "2026-01-02T00:00:00Z"),
        ("o-2", "12.50", "EUR", "2026-01-02T23:59:59Z"),
        ("gone", "12.50", "EUR", "2026-01-09"),
    ]

    report = compared(tmp_path, Listed(*events), *rows, since="2026-01-02", until="2026-01-03")

    assert {"day_differs": 1} == counts(report)
    assert [("2026-01-02", 2, 1), ("2026-01-03", 0, 1)] == [
        (key[0], sums.ledger_count, sums.events_count) for key, sums in sorted(report.tally.days.items())
    ]


def test_several_partial_refunds_meet_one_by_one(tmp_path: Path) -> None:
    """
    Of three refunds in the ledger the one that no event tells is named, by its amount.
    """
    back = [
        sale(
            "o-1",
            uid=f"r-{minor}",
            event_name=names.EVENT_REFUND,
            operation="",
            outcome="",
            amounts=((names.REFUND, minor, "EUR"),),
        )
        for minor in (100, 300)
    ]
    rows = [("o-1", amount, "EUR", NOON) for amount in ("-1.00", "-2.00", "-3.00")]

    report = compared(tmp_path, Listed(*back), *rows)
    left_out = compared(tmp_path, Listed(*back), *rows, selection=Selection(CHECKOUT.operations, refunds=False))

    (missing,) = report.found.first["missing_in_events"]
    assert (1, ((200, "EUR"),), True) == (report.found.total, missing.ledger, missing.is_refund)
    assert (0, {}) == (left_out.exit_code, left_out.tally.days)


def test_the_same_key_pairs_what_is_the_same_fact(tmp_path: Path) -> None:
    """
    With idempotency keys, a changed amount meets its own line, though another one is nearer.
    """
    path = write_csv(
        tmp_path / "keyed.csv",
        [("o-1", "5.00", "EUR", NOON, "pay-1"), ("o-1", "7.00", "EUR", NOON, "pay-2")],
        ("order", "amount", "currency", "time", "key"),
    )
    event = sale("o-1", 900, uid=keyed_uid("checkout", "pay-2"))

    report = reconcile(Request(Listed(event), Ledger(str(path)), CHECKOUT))

    (differs,) = report.found.first["amount_differs"]
    assert (((700, "EUR"),), ((900, "EUR"),)) == (differs.ledger, differs.events)
    assert {"amount_differs": 1, "missing_in_events": 1} == counts(report)


def test_an_event_without_an_order_is_found_by_its_key(tmp_path: Path) -> None:
    """
    An application that tells the order as its idempotency key alone is understood: the uid leads to the order.
    """
    keyed = sale("", uid=keyed_uid("checkout", "o-1"))

    report = compared(tmp_path, Listed(keyed, sale("", uid="somebody")), ("o-1", "12.50", "EUR", NOON))

    assert {"order_missing": 1} == counts(report)
    assert ["somebody"] == [each.order for each in report.found.first["order_missing"]]


def test_test_traffic_counts_where_the_ledger_has_it(tmp_path: Path) -> None:
    """
    What staff and tests do is left out and shown, unless it was booked.
    """
    events = [sale("staff", traffic="staff"), sale("test", traffic="test"), sale("o-1", traffic="customer")]
    rows = [("staff", "12.50", "EUR", NOON), ("o-1", "12.50", "EUR", NOON)]

    report = compared(tmp_path, Listed(*events), *rows)

    assert (0, 1) == (report.exit_code, report.tally.other_traffic)
    assert "1 event of staff, tests and bots, unknown to the ledger, left out" in report.as_text()


def test_the_same_sum_in_another_number_of_lines_is_said(tmp_path: Path) -> None:
    """
    One event and two bookings of half of it: the money agrees, the counts do not.
    """
    rows = [("o-1", "6.25", "EUR", NOON)] * 2

    report = compared(tmp_path, Listed(sale("o-1")), *rows)

    assert {"count_differs": 1} == counts(report)


def test_sums_beyond_64_bits_stay_exact(tmp_path: Path) -> None:
    """
    The sums of a day are Python's integers, whatever the sides hold.
    """
    most = 2**63 - 1
    events = [sale(order, most, "JPY") for order in ("a", "b", "c")]
    rows = [(order, most, "JPY", NOON) for order in ("a", "b", "c")]

    report = compared(tmp_path, Listed(*events), *rows)

    assert (0, 3 * most) == (report.exit_code, report.totals["", False, "JPY"].events_minor)


def test_text_shows_what_a_terminal_may_have(tmp_path: Path) -> None:
    """
    An order id with escape sequences comes out plain, and long lists are cut with the way to see them.
    """
    events = [sale(f"\x1b[31mo-{number}") for number in range(5)]

    text = compared(tmp_path, Listed(*events), most=2).as_text("ascii")

    assert ("\x1b" not in text, True) == (True, "  o-0  2026-01-01  12.50 EUR\n" in text)
    assert "  and 3 more; --most 5 shows them" in text


def test_nothing_at_all_is_equal(tmp_path: Path) -> None:
    """
    An empty ledger and no events agree, and the verdict says that there was nothing.
    """
    report = compared(tmp_path, Listed())

    assert (0, True) == (report.exit_code, report.as_text().endswith("equal: nothing on either side"))


def test_a_full_disk_is_an_error_and_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where the temporary database fails, nothing is said about the books.
    """

    def full(store: Store, lines: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(Store, "take_ledger", full)

    with pytest.raises(SetupError, match=r"database or disk is full.*SQLITE_TMPDIR"):
        compared(tmp_path, Listed())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"time_zone": "Europe/Atlantis"}, "no time zone"),
        ({"ledger_time_zone": "../etc"}, "no time zone"),
        ({"since": "yesterday"}, "--since takes a day or a moment"),
        ({"until": "2026-13-01"}, "--until takes a day or a moment"),
        ({"backfill": True, "selection": Selection()}, "needs the one name"),
        ({"backfill": True, "selection": Selection(frozenset({"a", "b"}))}, "needs the one name"),
    ],
    ids=["time zone", "ledger's time zone", "since", "until", "no name", "two names"],
)
def test_what_cannot_be_compared_is_refused(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    """
    Unknown zones, borders that are no time, and a backfill without one name are set-up errors.
    """
    with pytest.raises(SetupError, match=said):
        compared(tmp_path, Listed(), **options)
