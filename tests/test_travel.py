"""Facts in a message: what leaves, and what is taken of what arrives."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

import bizspan
from bizspan import _active, names
from bizspan._travel import LIMIT, incoming, outgoing
from bizspan.testing import Capture, capture
from bizspan.vocabulary import Attribute, Vocabulary

HASH = f"k1:{'0a' * 32}"
SALES = Vocabulary(
    "sales",
    [
        Attribute(name="stage", allowed=["won", "lost"], dimension=True),
        Attribute(name="seats", type=int),
        Attribute(name="contact", personal=True),
    ],
)


def arrive(told: object) -> dict[str, Any]:
    """What is taken of a header."""
    pipeline = _active.current
    assert pipeline is not None
    return dict(incoming(pipeline, told))


def test_what_is_in_force_leaves_as_clean_attributes_and_arrives_the_same() -> None:
    """
    Declared facts and undeclared ones, in the scopes around, through JSON; a person as a hash; no event's money or id.
    """
    with (
        capture(vocabulary=SALES, check=False),
        bizspan.context(segment="gold", stage="won", seats=3, contact="ann@example.org", colours=["red", "blue"]),
        bizspan.operation("sell", order="o-1") as op,
        bizspan.context(country="de"),
    ):
        op.revenue("5.00", "EUR")
        sent = dict(outgoing())
        told = arrive(json.loads(json.dumps(sent)))

    assert sent == told
    assert {
        names.SEGMENT: "gold",
        "sales.stage": "won",
        "sales.seats": 3,
        "business.custom.colours": ("red", "blue"),
        names.COUNTRY: "DE",
    } == {key: value for key, value in told.items() if key != "sales.contact"}
    assert "ann" not in str(told["sales.contact"])


def test_outside_of_any_scope_nothing_leaves(capbiz: Capture) -> None:
    """
    Neither with a pipeline nor without one.
    """
    before = outgoing()
    with bizspan.operation("sell", segment="gold"):
        assert ({}, {}) == (before, outgoing())


def test_without_configuration_nothing_leaves() -> None:
    """
    A scope alone starts nothing.
    """
    with bizspan.context(segment="gold"):
        assert {} == outgoing()


@pytest.mark.parametrize(
    "key",
    [
        names.MINOR_UNITS_KEYS[names.REVENUE],
        names.CURRENCY_KEYS[names.REVENUE],
        names.OPERATION_NAME,
        names.OPERATION_ID,
        names.OPERATION_OUTCOME,
        names.OPERATION_REASON,
        names.RECORD_UID,
        names.NOTES,
        "segment",
        "otel.status_code",
        "service.name",
        "business.custom.",
        "business.custom. blank",
        "business.custom.a\nb",
        f"business.custom.{'k' * 65}",
        "k" * 1_000_000,
        "",
        7,
        None,
    ],
)
def test_keys_that_no_fact_has_are_dropped_and_counted(key: object) -> None:
    """
    Money, outcomes, ids, keywords, other namespaces, names that are none; what is beside them stays.
    """
    with capture(check=False):
        told = arrive({key: "spoofed", names.PLAN: "pro"})
        refused = bizspan.diagnostics().values_refused

    assert {names.PLAN: "pro"} == told
    assert {"invalid": 1} == refused


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (names.COUNTRY, "XX"),
        (names.COUNTRY, {"a": 1}),
        ("sales.stage", "maybe"),
        ("sales.seats", "3"),
        ("sales.seats", True),
        ("sales.seats", 2**63),
        ("sales.contact", "ann@example.org"),
        ("sales.contact", f"{HASH}0"),
        ("sales.contact", f"{'k' * 65}:{'0a' * 32}"),
        ("sales.contact", 5),
        (names.SEGMENT, None),
        (names.SEGMENT, ["gold"]),
        ("business.custom.note", float("nan")),
        ("business.custom.note", b"bytes"),
    ],
)
def test_values_that_no_sender_of_ours_tells_are_dropped_and_counted(key: str, value: object) -> None:
    """
    The same checks as for what is told here; a person as plain text is never taken.
    """
    with capture(vocabulary=SALES, check=False):
        told = arrive({key: value, names.PLAN: "pro"})
        refused = bizspan.diagnostics().values_refused

    assert {names.PLAN: "pro"} == told
    assert {"invalid": 1} == refused


@pytest.mark.parametrize("told", ["text", 7, ["segment", "gold"], b"\x00", True, [[["segment"]]]])
def test_a_header_that_is_no_dict_is_dropped_and_counted(told: object) -> None:
    """
    Whoever else uses that name for a header.
    """
    with capture(check=False):
        assert {} == arrive(told)
        assert {"type": 1} == bizspan.diagnostics().values_refused


def test_no_header_is_nothing(capbiz: Capture) -> None:
    """
    A sender without bizspan.
    """
    assert {} == arrive(None)
    assert {} == bizspan.diagnostics().values_refused


def test_what_leaves_and_what_is_taken_is_bounded() -> None:
    """
    Eight kilobytes and 64 facts; what fits beside something large still travels.
    """
    crowd = {f"business.custom.n{number}": number for number in range(100_000)}
    large = {f"business.custom.n{number}": "x" * 1_000_000 for number in range(64)}
    with capture(check=False):
        with bizspan.context(note="x" * 8_100, memo="y" * 8_100, segment="gold"):
            sent = outgoing()
        few, cut = arrive(crowd), arrive(large)
        refused = bizspan.diagnostics().values_refused

    assert {"business.custom.note", names.SEGMENT} == sent.keys()
    assert 64 == len(few)
    assert LIMIT >= sum(len(key) + len(str(value)) for key, value in cut.items())
    assert {"size", "too_many"} <= refused.keys()


def test_nothing_of_the_content_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """
    Warnings name the message and the reason alone.
    """
    hostile = {"secret-key": "secret-value", names.CUSTOMER: "secret@example.org", "business.custom.s\x00": "secret"}
    with caplog.at_level(logging.DEBUG), capture(check=False):
        arrive(hostile)
        arrive("secret")

    assert "secret" not in caplog.text
    assert "a message's facts was refused" in caplog.text
