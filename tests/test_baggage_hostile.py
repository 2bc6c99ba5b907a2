"""Baggage made to harm: bounded, counted, nothing raised, and nothing of its content logged."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.baggage.propagation import W3CBaggagePropagator

from bizspan import names
from bizspan.testing import Capture, capture
from tests.arrivals import arrived, facts_of, refused, rules
from tests.test_baggage import SHOP, TRUSTING, taken

HASH: Final = f"k1:{'0a' * 32}"
CANARY: Final = "c4nary"


@pytest.fixture
def told() -> Iterator[Capture]:
    """The capture, without its own check: refusals are counted by each test."""
    with capture(vocabulary=SHOP, check=False) as captured:
        yield captured


@pytest.mark.parametrize(
    ("header", "facts", "counted"),
    [
        (None, {}, {}),
        ("", {}, {}),
        (",,;=;,", {}, {}),
        ("vendor=1,other-key=" + CANARY, {}, {}),
        ("shop.tier=gold;ttl=1 , shop.seats = 3", {"shop.tier": "gold", "shop.seats": 3}, {}),
        (f"shop.tier={CANARY}", {}, {"invalid": 1}),
        (f"shop.note={CANARY}%0d%0aset-cookie:x", {}, {"invalid": 1}),
        (f"shop.note={CANARY}%00", {}, {"invalid": 1}),
        (f"shop.note={CANARY}%ff", {}, {"invalid": 1}),
        (f"shop.note={CANARY}%c0%ae", {}, {"invalid": 1}),
        (f"shop.note={CANARY}%ed%a0%80", {}, {"invalid": 1}),
        (f"shop.note={CANARY}%zz", {}, {"invalid": 1}),
        (f"shop.note={CANARY}%e2%80%ae", {}, {"invalid": 1}),
        (f"shop.note={CANARY}\xff", {}, {"invalid": 1}),
        (f"shop.note={CANARY}\udcff", {}, {"invalid": 1}),
        ("shop.note", {}, {"invalid": 1}),
        ("shop.note=", {}, {"invalid": 1}),
        ("shop.seats=3.5", {}, {"invalid": 1}),
        ("shop.seats=٣", {}, {"invalid": 1}),
        ("shop.seats=" + "9" * 4_400, {}, {"invalid": 1}),
        ("shop.seats=9999999999999999999", {}, {"invalid": 1}),
        ("shop.rating=nan,shop.trial=1", {}, {"invalid": 2}),
        ("shop.rating=1e999", {}, {"invalid": 1}),
        ("shop.contact=ann%40example.org", {}, {"invalid": 1}),
        (f"shop.contact={HASH}", {"shop.contact": HASH}, {}),
        (f"enduser.pseudo.id={HASH.replace(':', '%3A')}", {"enduser.pseudo.id": HASH}, {}),
        (f"enduser.pseudo.id={HASH.upper()}", {}, {"invalid": 1}),
        (f"shop.tier=gold,shop.tier=basic,shop.note={CANARY[:2]}", {"shop.note": "c4"}, {"duplicate": 1}),
        ("shop.tier=gold,shop.tier=gold", {"shop.tier": "gold"}, {}),
        ("shop.tier=gold,shop.tier=x,shop.tier=gold", {}, {"invalid": 1, "duplicate": 1}),
        (f"shop.margin={CANARY},business.tenant.id={CANARY}", {}, {"reserved": 2}),
        ("shop%2Etier=gold,SHOP.TIER=gold", {}, {}),
        ("geo.country.iso_code=de", {"geo.country.iso_code": "DE"}, {}),
        ("geo.country.iso_code=XX", {}, {"invalid": 1}),
    ],
)
def test_a_header_gives_declared_facts_with_good_values_alone(
    told: Capture, caplog: pytest.LogCaptureFixture, header: str | None, facts: dict[str, Any], counted: dict[str, int]
) -> None:
    """
    What is wrong is counted, what is somebody else's is left alone, and nothing of it is logged.
    """
    with caplog.at_level(logging.DEBUG):
        assert facts == taken(header)

    assert counted == refused(told)
    assert CANARY not in caplog.text


@pytest.mark.parametrize(
    "key",
    [
        names.OPERATION_NAME, names.OPERATION_ID, names.OPERATION_OUTCOME, names.OPERATION_REASON, names.RECORD_UID,
        names.WRITER_ID, names.SEQUENCE, names.ORDER, "business.revenue.amount", "business.revenue.minor_units",
        "business.refund.currency", "business.value.amount", "business.custom.anything", names.NOTES,
    ],
)  # fmt: skip
def test_never_money_outcomes_or_ids(told: Capture, key: str) -> None:
    """
    Counted as reserved.
    """
    assert ({}, {"reserved": 1}) == (taken(f"{key}={CANARY}"), refused(told))


@pytest.mark.parametrize(
    ("header", "counted"),
    [
        ("shop.note=" + CANARY + "x" * 2**20, {"size": 1}),
        ("shop.tier=gold," + "x" * 2**20, {"size": 1}),
        (",".join(f"k{number}={CANARY}" for number in range(4_000)), {"size": 1, "too_many": 1}),
        ("," * 2**20, {"size": 1, "too_many": 1}),
        ("a," * 64 + "shop.tier=gold", {"too_many": 1}),
        ("%" * 2**20, {"size": 1}),
        ("shop.seats=" + "9" * 2**20, {"size": 1}),
    ],
)
def test_row_64_a_header_that_is_too_big_is_cut_before_it_is_read(
    told: Capture, caplog: pytest.LogCaptureFixture, header: str, counted: dict[str, int]
) -> None:
    """
    At 8 KiB, between two members, and after 64 of them.
    """
    with caplog.at_level(logging.DEBUG):
        facts = taken(header)

    assert {key: value for key, value in {"shop.tier": "gold"}.items() if header.startswith(key)} == facts
    assert counted == refused(told)
    assert CANARY not in caplog.text


@given(st.text(st.sampled_from('shop.tier=gold,;%0d%ff +"\r\n\xff\udc80ü')) | st.text())
def test_no_header_raises(header: str) -> None:
    """
    Whatever it says, and every value that comes of it is clean.
    """
    with capture(vocabulary=SHOP, check=False):
        for value in taken(header).values():
            assert str(value).isprintable()


def test_a_header_that_can_not_be_read_costs_nothing_else(told: Capture, production_guard: None) -> None:
    """
    The request has its other facts.
    """

    def broken(name: str) -> str | None:
        if name == "baggage":
            raise RuntimeError(CANARY)
        return "DE" if name == "CF-IPCountry" else None

    request = arrived(broken)

    assert {names.COUNTRY: "DE"} == facts_of(told, rules(TRUSTING, country_header="CF-IPCountry"), request)


def test_opentelemetrys_own_propagator_does_not_log_what_stands_in_a_header(caplog: pytest.LogCaptureFixture) -> None:
    """
    It warns of what it can't read, and of what is too big, with the content; where baggage is trusted, without.
    """
    rules(TRUSTING)
    with caplog.at_level(logging.DEBUG):
        for header in (CANARY * 2_000, CANARY, f"{CANARY} x=1", f"{CANARY}=ü", f"a={CANARY * 1_000}"):
            W3CBaggagePropagator().extract({"baggage": header})

    assert "exceeded the maximum number of bytes per baggage-string" in caplog.text
    assert CANARY not in caplog.text
