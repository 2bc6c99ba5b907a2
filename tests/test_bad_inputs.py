"""The rows of the table of bad inputs, one test each, through the public API: what each of them gets.

A row's number is in its test's name or id. The last test counts that none is missing.
"""

from __future__ import annotations

import itertools
import math
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy
import pytest
from opentelemetry import context as otel
from opentelemetry.trace import INVALID_SPAN_ID
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

import bizspan
from bizspan import Money, SetupError, gauges, names
from bizspan.testing import START_NS, Capture, capture
from tests import test_bad_facts, test_bad_flow, test_bad_moments, test_baggage_hostile
from tests.bad_inputs import only, refusals

LATER = {
    59: "spool: disks that are full, read-only or gone",
    60: "spool: segments that are torn or foreign",
    61: "spool: acknowledgements beyond the file",
    62: "spool: the sender's time limits; that an exit is bounded is in test_exit.py",
    63: "spool: what each answer of a collector means",
}


@pytest.fixture
def told() -> Iterator[Capture]:
    """The capture, without its own check: here refusals are expected, and counted by each test."""
    with capture(check=False) as captured:
        yield captured


@dataclass(frozen=True, slots=True)
class Amount:
    """
    One amount, and what it gets.

    Args:
        row: In the table.
        amount: As told.
        currency: As told.
        minor: Minor units that are kept; None for none.
        reason: Why none are; None for no reason at all.
        code: The currency that is kept.
    """

    row: int
    amount: Any
    currency: Any = "EUR"
    minor: int | None = None
    reason: str | None = None
    code: str = "EUR"

    def __str__(self) -> str:
        return f"row {self.row:02d}: {self.amount!r:.24} {self.currency!r}"


AMOUNTS = [
    Amount(1, math.nan, reason="nonfinite"),
    Amount(1, Decimal("NaN"), reason="nonfinite"),
    Amount(2, math.inf, reason="nonfinite"),
    Amount(2, -math.inf, reason="nonfinite"),
    Amount(2, Decimal("-Infinity"), reason="nonfinite"),
    Amount(3, Decimal("sNaN"), reason="nonfinite"),
    Amount(4, -1, reason="negative"),
    Amount(4, "-0.01", reason="negative"),
    Amount(5, -0.0, minor=0),
    Amount(5, "-0.00", minor=0),
    Amount(5, Decimal("-0.00"), minor=0),
    Amount(6, 19.99, minor=1999),
    Amount(7, 0.1 + 0.2, reason="precision"),
    Amount(8, Decimal("1.0000000001"), reason="precision"),
    Amount(9, Decimal("1E+999999"), reason="range"),
    Amount(10, "12,50", reason="parse"),
    Amount(10, "1 200", reason="parse"),
    Amount(10, "$5", reason="parse"),
    Amount(11, "١٢", reason="parse"),
    Amount(12, 2**63, reason="range"),
    Amount(12, 2**200, reason="range"),
    Amount(13, True, reason="type"),
    Amount(14, None),
    Amount(15, numpy.float64("19.99"), minor=1999),
    Amount(15, numpy.int64(7), minor=700),
    Amount(15, Fraction(1, 2), minor=50),
    Amount(15, Fraction(1, 3), reason="precision"),
    Amount(15, numpy.float32(0.1), reason="precision"),
    Amount(15, numpy.bool_(True), reason="type"),
    Amount(16, 1, "XXQ", reason="currency"),
    Amount(16, 1, "", reason="currency"),
    Amount(16, 1, "€", reason="currency"),
    Amount(16, 1, None, reason="currency"),
    Amount(16, 1, "eur", minor=100),
    Amount(17, 100.5, "JPY", reason="precision"),
    Amount(17, "1.005", "BHD", minor=1005, code="BHD"),
]


@pytest.mark.parametrize("given", AMOUNTS, ids=str)
def test_an_amount_is_kept_exactly_or_refused_with_its_reason(told: Capture, given: Amount) -> None:
    """
    The event is kept either way, and says why its amount is missing.
    """
    with bizspan.operation("checkout") as op:
        op.revenue(given.amount, given.currency)

    event = only(told.operations("checkout", outcome="success"))
    expected = None if given.minor is None else Money.from_minor(given.minor, given.code)
    assert expected == event.revenue
    assert given.reason == event.attributes.get("business.revenue.invalid")
    assert ({} if given.reason is None else {given.reason: 1}) == refusals()


def test_row_04_a_negative_refund_is_refused_because_refunds_are_told_as_positive(told: Capture) -> None:
    """
    The table allows negative amounts for refunds; here money that goes back has a call of its own.
    """
    bizspan.refund("-5.00", "EUR", order="o-1")
    bizspan.refund("5.00", "EUR", order="o-1")

    refused, kept = told.events("business.refund")
    assert ("negative", None) == (refused.attributes["business.refund.invalid"], refused.money(names.REFUND))
    assert Money("5.00", "EUR") == kept.money(names.REFUND)


def test_row_07_rounding_is_explicit(told: Capture) -> None:
    """
    What was refused as inexact is kept where the call asks for rounding.
    """
    with bizspan.operation("checkout") as op:
        op.revenue(0.1 + 0.2, "EUR", rounding="half_even")

    assert Money("0.30", "EUR") == only(told.operations("checkout")).revenue
    assert {} == refusals()


def test_row_13_a_bool_is_no_score(told: Capture) -> None:
    """
    A bool is an int to Python, and no answer to a question.
    """
    bizspan.feedback("nps", True)

    assert "business.feedback.score" not in only(told.events("business.feedback")).attributes
    assert {"type": 1} == refusals()


def test_row_18_two_currencies_in_one_operation_are_kept_apart(told: Capture) -> None:
    """
    The second one is an event of its own, and no number anywhere is their sum.
    """
    with bizspan.operation("checkout") as op:
        op.revenue("10.00", "EUR")
        op.revenue("20.00", "USD")

    assert Money("10.00", "EUR") == told.revenue("EUR")
    assert Money("20.00", "USD") == told.revenue("USD")
    assert {10.0, 20.0} == {point.value for point in told.points("business.revenue")}
    told.assert_consistent()


def test_row_19_the_same_business_key_counts_once(told: Capture) -> None:
    """
    Both events carry one uid; metrics and sums count one of them.
    """
    for _ in range(2):
        bizspan.event("invoice.paid", revenue=("99.00", "EUR"), idempotency_key="invoice-7")

    first, second = told.events("invoice.paid")
    assert first.uid == second.uid
    assert Money("99.00", "EUR") == told.revenue("EUR")
    assert 99.0 == told.metric("business.revenue")


def test_row_36_event_names_are_made_harmless_or_refused(told: Capture) -> None:
    """
    An event without a name is refused by reason; a broken or long one is normalised; many fold on metrics.
    """
    for name in ("", "  ", "\x00"):
        bizspan.event(name)
    bizspan.event("a\ud800b")
    bizspan.event("x" * 10_240)
    for number in range(300):
        bizspan.event(f"order-{number}")

    assert {"invalid_name": 3} == bizspan.diagnostics().refused
    assert ["a\ufffdb", "x" * 200] == [event.name for event in told.events()[:2]]
    assert 302 == len(told.events())
    points = told.points("business.events")
    assert 201 == len(points)
    assert 302 == sum(point.value for point in points)


@pytest.mark.parametrize(
    "wrong",
    [{"name": "stock value"}, {"name": "1st"}, {"name": "ü"}, {"unit": "€"}, {"unit": "x" * 64}],
    ids=str,
)
def test_row_36_a_gauge_that_no_collector_takes_is_a_set_up_error(wrong: dict[str, str]) -> None:
    """
    It is said at the declaration, not at the first export.
    """
    with pytest.raises(SetupError, match=r"gauge\(.*needs a"):
        bizspan.gauge(**{"name": "stock.value", **wrong})  # type: ignore[arg-type]


def test_row_36_a_description_that_can_not_be_encoded_does_not_lose_the_metrics(
    told: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    It is made harmless as a name would be.
    """
    monkeypatch.setattr(gauges, "_gauges", {})
    bizspan.gauge("stock.value", description="a\ud800\nb")(lambda: 1)
    told.gauge("stock.value")

    (metric,) = [metric for metric in told._memory.metrics() if metric.name == "stock.value"]
    assert "a\ufffd b" == metric.description


@pytest.mark.parametrize(
    "time", [-1, 1.5, 2**64, START_NS + 400 * 86_400 * 10**9 * 100, datetime(2926, 1, 1), True, "now"]
)
def test_row_37_a_time_that_no_collector_takes_becomes_now(told: Capture, time: Any) -> None:
    """
    The event is kept at the time when it was told, with a note.
    """
    bizspan.event("seen", time=time)

    event = only(told.events("seen"))
    assert (START_NS, ("time:invalid",)) == (event.time_ns, event.attributes[names.NOTES])
    assert {"time": 1} == refusals()


def test_row_38_a_wall_clock_that_steps_back_changes_neither_duration_nor_order(told: Capture) -> None:
    """
    Durations come from the monotonic clock, order from the sequence.
    """
    wall = itertools.chain([START_NS + 3600 * 10**9], itertools.repeat(START_NS))
    told._pipeline.time_ns = lambda: next(wall)
    for _ in range(2):
        with bizspan.operation("checkout"):
            told.tick(2)

    events = told.operations("checkout")
    assert [1, 2] == [event.attributes[names.SEQUENCE] for event in events]
    assert events[0].time_ns > events[1].time_ns
    assert 4.0 == sum(point.sum for point in told.points("business.operation.duration"))


def test_row_39_a_duration_is_never_negative(told: Capture) -> None:
    """
    No call takes a duration; a monotonic clock that steps back all the same gives zero.
    """
    with bizspan.operation("checkout"):
        told.tick(-5)

    (point,) = told.points("business.operation.duration")
    assert (1, 0.0) == (point.count, point.sum)


@pytest.mark.parametrize(
    "headers",
    [
        {"traceparent": f"00-{0:032x}-{0:016x}-01"},
        {"traceparent": f"ff-{1:032x}-{1:016x}-01"},
        {"traceparent": "00-xyz"},
        {"traceparent": "x" * 10_240, "tracestate": "a=b"},
    ],
    ids=["zeros", "version ff", "not hex", "10 KB"],
)
def test_row_65_a_bad_traceparent_gives_an_event_without_a_trace(told: Capture, headers: dict[str, str]) -> None:
    """
    The event is kept, and links to nothing.
    """
    token = otel.attach(TraceContextTextMapPropagator().extract(headers))
    try:
        bizspan.event("seen")
    finally:
        otel.detach(token)

    event = only(told.events("seen"))
    assert (0, INVALID_SPAN_ID) == (int(event.trace_id, 16), int(event.span_id, 16))


def test_row_65_a_long_tracestate_does_not_cost_the_link(told: Capture) -> None:
    """
    The state is the propagator's to bound; the event links to the trace.
    """
    headers = {"traceparent": f"00-{7:032x}-{9:016x}-01", "tracestate": "a=" + "x" * 10_240}
    token = otel.attach(TraceContextTextMapPropagator().extract(headers))
    try:
        bizspan.event("seen")
    finally:
        otel.detach(token)

    assert f"{7:032x}" == only(told.events("seen")).trace_id


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=hunter2\nx=y"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "hunter2"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "hunter2:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://jane:hunter2@localhost:4318"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "hunter2"),
    ],
)
def test_row_66_a_wrong_variable_fails_at_set_up_without_its_value(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The error names the variable; what it holds may be a secret.
    """
    monkeypatch.setenv(variable, value)
    with pytest.raises(SetupError, match=variable) as caught:
        bizspan.configure()

    assert "hunter2" not in str(caught.value)
    assert not bizspan.diagnostics().configured


def test_row_66_empty_headers_are_no_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Set-up goes on as if the variable was not there.
    """
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "")
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    with bizspan.configure() as configuration:
        assert configuration.is_active


@pytest.mark.skipif(
    sys.platform == "linux" and sys.implementation.name == "cpython" and not hasattr(sys, "_is_gil_enabled"),
    reason="this is CPython on Linux with its global lock: free-threaded builds, PyPy and Windows are not here",
)
def test_row_67_memory_mode_works_on_other_builds_of_python(told: Capture) -> None:
    """
    Nothing of the core depends on the build; this runs where the build is another one.
    """
    with bizspan.operation("checkout") as op:
        op.revenue("1.00", "EUR")

    assert Money("1.00", "EUR") == told.revenue("EUR")


def test_no_row_is_missing() -> None:
    """
    Rows 1 to 67 have a test, here or beside this file, or a word on why they belong to a later issue.
    """
    covered: set[int] = set()
    modules = (globals(), *map(vars, (test_bad_facts, test_bad_flow, test_bad_moments, test_baggage_hostile)))
    for name, function in itertools.chain.from_iterable(list(module.items()) for module in modules):
        if name.startswith("test_"):
            marks = [mark for mark in getattr(function, "pytestmark", ()) if mark.name == "parametrize"]
            ids = [str(case.id) for mark in marks for case in mark.args[1] if hasattr(case, "id")]
            covered |= {int(row) for row in re.findall(r"\brow[_ ](\d\d)", " ".join([name[5:], *ids]))}
    covered |= {given.row for given in AMOUNTS} | {given.row for given in test_bad_facts.FACTS}

    assert set(range(1, 68)) == covered | LATER.keys()
    assert set() == covered & LATER.keys()
