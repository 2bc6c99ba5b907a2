"""The main job: a real shop's purchases through a real collector, reconciled with the file to the cent."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from _collector import Receiver, Rotel
from _purchases import Purchase, read_purchases
from _reconcile import ACCEPTED, REFUNDED, REVENUE, Ledger, Source, expected, from_events, print_comparison
from bizspan import names
from tests.wire import events, post

REPLAY = Path(__file__).parent.parent / "examples" / "shop_replay.py"
EVERYTHING = (
    ("checkouts accepted", "6,919", "6,919 ✓", "6,919 ✓", "6,919 ✓"),
    ("checkouts declined", "345", "345 ✓", "345 ✓", "345 ✓"),
    ("refunds", "138", "138 ✓", "-", "-"),
    ("revenue, USD", "244,091.94", "244,091.94 ✓", "244,091.94 ✓", "244,091.94 ✓"),
    ("declined, USD", "11,685.40", "11,685.40 ✓", "-", "11,685.40 ✓"),
    ("refunded, USD", "4,160.96", "4,160.96 ✓", "4,160.96 ✓", "-"),
    ("customers, hashed", "2,357", "2,357 ✓"),
    ("event and span, one id", "7,264", "7,264 ✓"),
)

needs_rotel = pytest.mark.skipif(not Rotel.available(), reason=f"no native collector to test with: {Rotel.why_not()}")


def replay(*options: str) -> str:
    """Run the example as a person would and return what it printed."""
    ran = subprocess.run(
        [sys.executable, str(REPLAY), *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert 0 == ran.returncode, ran.stdout
    return ran.stdout


def rows(printed: str) -> list[tuple[str, ...]]:
    """Return the printed lines as cells: two spaces or more divide them."""
    lines = [line.replace("  ", "\t").split("\t") for line in printed.splitlines()]
    return [tuple(cell.strip() for cell in line if cell.strip()) for line in lines]


@pytest.mark.once
@needs_rotel
@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_everything_arrives_through_a_real_collector(protocol: str) -> None:
    """
    Attempts by outcome, refunds and revenue agree with the file in events, metrics and spans, in under 10 s.
    """
    started = time.perf_counter()
    printed = replay("--protocol", protocol)
    took_s = time.perf_counter() - started

    assert set() == set(EVERYTHING) - set(rows(printed)), printed
    assert f"6,919 purchases, OTLP/{protocol}, through rotel to the receiver" in printed
    assert took_s < 10, printed


@pytest.mark.once
@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_everything_arrives_without_a_collector_in_between(protocol: str) -> None:
    """
    The receiver alone gets the same, and the replay says that it stood alone.
    """
    printed = replay("--protocol", protocol, "--no-rotel", "--limit", "600")

    assert ("checkouts accepted", "600", "600 ✓", "600 ✓", "600 ✓") in rows(printed)
    assert ("checkouts declined", "30", "30 ✓", "30 ✓", "30 ✓") in rows(printed)
    assert f"600 purchases, OTLP/{protocol}, straight to the receiver (--no-rotel)" in printed


def test_the_file_is_the_one_that_was_published() -> None:
    """
    6,919 purchases by 2,357 customers, 244,091.94 USD.
    """
    purchases = read_purchases()

    assert 6_919 == len(purchases)
    assert 2_357 == len({purchase.customer for purchase in purchases})
    assert Decimal("244091.94") == sum(purchase.total for purchase in purchases)


def test_half_of_an_odd_amount_is_rounded_half_even() -> None:
    """
    Of 0.05 USD 0.02 go back, of 0.15 USD 0.08.
    """
    wanted = expected(
        [
            Purchase("o-1", "c-1", "repeat", Decimal("0.05"), declined_first=False, refunded="half"),
            Purchase("o-2", "c-1", "loyal", Decimal("0.15"), declined_first=False, refunded="half"),
        ]
    )

    assert (2, 8) == (wanted[REFUNDED, "repeat"], wanted[REFUNDED, "loyal"])


@pytest.mark.parametrize(
    ("arrived", "agrees"),
    [
        ({(ACCEPTED, "loyal"): 2, (REVENUE, "loyal"): 4200}, True),
        ({(ACCEPTED, "loyal"): 2, (REVENUE, "loyal"): 4199}, False),
        ({(ACCEPTED, "loyal"): 1, (ACCEPTED, "repeat"): 1, (REVENUE, "loyal"): 4200}, False),
        ({}, False),
    ],
)
def test_a_missing_cent_is_seen(
    arrived: dict[tuple[str, str], int], agrees: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    One cent less, one sale in another segment, or nothing at all is a difference, and is marked.
    """
    wanted: Ledger = Counter({(ACCEPTED, "loyal"): 2, (REVENUE, "loyal"): 4200})

    assert agrees == print_comparison(wanted, [Source("events", Counter(arrived), (ACCEPTED, REVENUE))])
    assert agrees == ("✗" not in capsys.readouterr().out)


def test_an_event_that_arrives_twice_counts_once() -> None:
    """
    Delivery is at least once; the uid makes it countable exactly once.
    """
    sale: dict[str, str | int] = {
        names.RECORD_UID: "uid-1",
        names.OPERATION_OUTCOME: "success",
        names.SEGMENT: "loyal",
        names.MINOR_UNITS_KEYS[names.REVENUE]: 4200,
        names.CURRENCY_KEYS[names.REVENUE]: "USD",
    }
    with Receiver() as receiver:
        for _ in range(2):
            post(receiver.http_endpoint, "logs", events(names.EVENT_OPERATION, sale))

        assert 2 == len(receiver.events())
        ledger = from_events(receiver).ledger

    assert {(ACCEPTED, "loyal"): 1, (REVENUE, "loyal"): 4200} == ledger
