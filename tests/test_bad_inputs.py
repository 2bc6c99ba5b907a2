"""The rows of the table of bad inputs, one test each, through the public API: what each of them gets.

A row's number is in its test's name or id. The last test counts that none is missing.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import math
import re
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextvars import copy_context
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum, IntEnum
from fractions import Fraction
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import numpy
import pytest
from opentelemetry import context as otel
from opentelemetry.trace import INVALID_SPAN_ID
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

import bizspan
from bizspan import Money, SetupError, names
from bizspan.testing import START_NS, Capture, CapturedEvent, capture
from tests import child

LATER = {
    59: "spool: disks that are full, read-only or gone",
    60: "spool: segments that are torn or foreign",
    61: "spool: acknowledgements beyond the file",
    62: "spool: the sender's time limits; that an exit is bounded is in test_exit.py",
    63: "spool: what each answer of a collector means",
    64: "baggage",
}


@pytest.fixture
def told() -> Iterator[Capture]:
    """The capture, without its own check: here refusals are expected, and counted by each test."""
    with capture(check=False) as captured:
        yield captured


def refusals() -> dict[str, int]:
    """Values that were dropped or changed, by reason."""
    return bizspan.diagnostics().values_refused


def only(events: list[CapturedEvent]) -> CapturedEvent:
    """The one event that there is."""
    assert 1 == len(events)
    return events[0]


def fact(told: Capture, value: object, *, name: str = "note") -> tuple[Any, Any]:
    """What an event keeps of one fact, and the notes on it."""
    bizspan.event("seen", attributes={name: value})  # type: ignore[dict-item]
    attributes = only(told.events("seen")).attributes
    return attributes.get(f"{names.CUSTOM_PREFIX}{name}"), attributes.get(names.NOTES)


# --- rows 1 to 18: amounts ----------------------------------------------------------------------------------------


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


# --- rows 20 to 35: facts -----------------------------------------------------------------------------------------


class Untouchable:
    """An object all of whose code raises."""

    def _raise(self, *args: object) -> Any:
        raise RuntimeError("touched")

    __str__ = __repr__ = __bool__ = __len__ = __iter__ = __getattr__ = __index__ = __float__ = _raise

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("touched")

    def __hash__(self) -> int:
        raise RuntimeError("touched")


class SecretStr:
    """As pydantic's."""

    def __init__(self, secret: str) -> None:
        self._secret_value = secret

    def __str__(self) -> str:
        return self._secret_value


class Level(IntEnum):
    """An int with a name."""

    HIGH = 3


class Plan(Enum):
    """A member with a value."""

    PRO = "pro"


class BrokenZone(tzinfo):
    """A time zone that raises."""

    def utcoffset(self, dt: datetime | None) -> timedelta:
        raise OSError("no zone data")


def cyclic() -> Any:
    value: list[Any] = ["a"]
    value.append(value)
    return value


def deep(levels: int) -> Any:
    value: Any = "end"
    for _ in range(levels):
        value = [value]
    return value


def hours(offset: int) -> timezone:
    return timezone(timedelta(hours=offset))


@dataclass(frozen=True, slots=True, eq=False)
class Fact:
    """
    One fact, and what an event keeps of it.

    Args:
        row: In the table.
        what: Its name here.
        make: Makes the value.
        kept: What is kept; None for nothing.
        note: What is noted and counted; None for nothing.
        says: The note in full, where it says more.
    """

    row: int
    what: str
    make: Callable[[], Any]
    kept: Any = None
    note: str | None = None
    says: str | None = None

    def __str__(self) -> str:
        return f"row {self.row:02d}: {self.what}"


FACTS = [
    Fact(12, "2**63", lambda: 2**63, None, "int64"),
    Fact(12, "2**200", lambda: 2**200, None, "int64"),
    Fact(20, "lone surrogate", lambda: "a\ud800b", "a\ufffdb", "surrogate"),
    Fact(21, "NUL", lambda: "a\x00b", "ab", "control"),
    Fact(21, "ANSI escape", lambda: "\x1b[31mred\x1b[0m", "red", "control"),
    Fact(21, "CR and LF", lambda: "a\r\nb", "a b", "control"),
    Fact(21, "bidi override", lambda: "a\u202eb", "ab", "control"),
    Fact(22, "1 MB", lambda: "x" * 2**20, "x" * 8192, "truncated", f"note:truncated:{2**20}"),
    Fact(22, "code points", lambda: "ß" * 8192, "ß" * 4096, "truncated", "note:truncated:8192"),
    Fact(24, "5,000 deep", lambda: deep(5000), '[[[[["<depth>"]]]]]', "depth"),
    Fact(25, "cyclic list", cyclic, ("a", "<cyclic>"), "cyclic"),
    Fact(25, "cyclic dict", lambda: (d := {}, d.update(me=d))[0], '{"me":"<cyclic>"}', "cyclic"),
    Fact(27, "keys inside", lambda: {1: 1, Level.HIGH: 2, None: 3, (1,): 4, b"k": 5}, '{"1":1,"3":2}', "type"),
    Fact(29, "raises everywhere", Untouchable, None, "type"),
    Fact(29, "raises, in a list", lambda: ["a", Untouchable()], ("a", "<Untouchable>"), "type"),
    Fact(32, "a secret", lambda: SecretStr("hunter2"), None, "type"),
    Fact(32, "a secret, in a dict", lambda: {"p": SecretStr("hunter2")}, '{"p":"<SecretStr>"}', "type"),
    Fact(33, "bytes", lambda: b"\xff" * 2**20, None, "bytes"),
    Fact(33, "memoryview", lambda: memoryview(b"x"), None, "bytes"),
    Fact(34, "naive", lambda: datetime(2026, 1, 1), "2026-01-01T00:00:00Z"),
    Fact(34, "aware", lambda: datetime(2026, 1, 1, tzinfo=hours(2)), "2025-12-31T22:00:00Z"),
    Fact(34, "year 1", lambda: datetime(1, 1, 1, tzinfo=hours(9)), None, "type"),
    Fact(34, "year 9999", lambda: datetime(9999, 12, 31, 23, tzinfo=hours(-9)), None, "type"),
    Fact(34, "raising zone", lambda: datetime(2026, 1, 1, tzinfo=BrokenZone()), None, "type"),
    Fact(35, "Enum", lambda: Plan.PRO, "pro"),
    Fact(35, "UUID", lambda: UUID(int=7), "00000000-0000-0000-0000-000000000007"),
    Fact(35, "Path", lambda: PurePosixPath("a/b"), "a/b"),
]


@pytest.mark.parametrize("given", FACTS, ids=str)
def test_a_fact_is_kept_as_far_as_it_can_be(told: Capture, given: Fact) -> None:
    """
    What is left of it stands on the event, with a note where something was dropped or changed.
    """
    kept, notes = fact(told, given.make())

    assert given.kept == kept
    assert (None if given.note is None else (given.says or f"note:{given.note}",)) == notes
    assert ({} if given.note is None else {given.note: 1}) == refusals()
    told.assert_consistent()


def test_row_22_a_dimension_is_cut_at_256_bytes(told: Capture) -> None:
    """
    A long dimension would be carried by every metric point.
    """
    bizspan.event("seen", segment="ß" * 300)

    assert "ß" * 128 == only(told.events("seen")).attributes[names.SEGMENT]
    assert {"truncated": 1} == refusals()


def test_row_23_of_ten_thousand_attributes_the_first_64_are_kept(told: Capture) -> None:
    """
    The rest is counted on the event itself, however many calls and scopes told it.
    """
    many: dict[str, Any] = {f"n{number}": number for number in range(10_000)}
    bizspan.event("seen", attributes=many)
    with bizspan.context(attributes=many), bizspan.operation("checkout", **{f"c{n}": n for n in range(40)}) as op:
        op.annotate(attributes={f"a{n}": n for n in range(60)})

    event = only(told.events("seen"))
    kept = [key for key in event.attributes if key.startswith(names.CUSTOM_PREFIX)]
    assert [f"{names.CUSTOM_PREFIX}n{number}" for number in range(64)] == kept
    assert 10_000 - 64 == event.attributes[names.DROPPED_FACTS]
    operation = only(told.operations("checkout"))
    assert 64 == sum(key.startswith(names.CUSTOM_PREFIX) for key in operation.attributes)
    told.assert_consistent()


def test_row_26_a_dict_that_another_thread_changes_costs_at_most_itself(told: Capture) -> None:
    """
    Every event is kept while its facts change under it.
    """
    shared: dict[str, Any] = {}
    stop = threading.Event()

    def change() -> None:
        for number in itertools.count():
            if stop.is_set():
                return
            shared[f"k{number % 50}"] = number
            shared.pop(f"k{(number + 25) % 50}", None)

    thread = threading.Thread(target=change)
    thread.start()
    for _ in range(300):
        bizspan.event("seen", attributes=shared, inside=shared)
    stop.set()
    thread.join()

    assert 300 == len(told.events("seen"))


def test_row_27_names_are_text_whole_numbers_or_members(told: Capture) -> None:
    """
    Other names are dropped and counted, and what stands beside them is kept.
    """
    odd: Any = {1: "int", Level.HIGH: "member", None: "x", (1,): "x", b"k": "x", "good": "str"}
    bizspan.event("seen", attributes=odd)

    attributes = only(told.events("seen")).attributes
    kept = {key: value for key, value in attributes.items() if key.startswith(names.CUSTOM_PREFIX)}
    assert {"business.custom.1": "int", "business.custom.3": "member", "business.custom.good": "str"} == kept
    assert {"type": 1} == refusals()


@pytest.mark.parametrize("name", ["", " ", "x" * 300, "otel.status", "bizspan.seq", "business.plan2", "app.x"])
def test_row_28_a_name_that_is_empty_long_or_reserved_is_dropped(told: Capture, name: str) -> None:
    """
    Its value goes nowhere, and the event is kept.
    """
    bizspan.event("seen", attributes={name: "value"})

    assert "value" not in only(told.events("seen")).attributes.values()
    assert {"reserved": 1} == refusals()


def test_row_29_a_hostile_object_is_harmless_in_every_argument(told: Capture) -> None:
    """
    The block, its value and its event stay whole; only the named values are missing.
    """
    bad: Any = Untouchable()
    with bizspan.operation("checkout", order=bad, attributes=bad, rejects=bad, span=bad, idempotency_key=bad) as op:
        op.revenue(bad, bad, rounding=bad)
        op.annotate(attributes=bad, segment=bad)
        op.reject(bad)
        result = 42

    assert 42 == result
    event = only(told.operations("checkout", outcome="rejected", reason="invalid"))
    assert "currency" == event.attributes["business.revenue.invalid"]
    told.assert_consistent()


class BrokenMapping(Mapping[str, str]):
    """A mapping whose items can't be read."""

    def __getitem__(self, key: str) -> str:
        raise OSError(key)

    def __iter__(self) -> Iterator[str]:
        raise OSError

    def __len__(self) -> int:
        return 1


class BrokenPrice:
    """A price whose amount is gone."""

    currency = "EUR"

    @property
    def amount(self) -> Decimal:
        raise LookupError("the session is closed")


def test_row_30_mappings_and_properties_that_raise_are_dropped(told: Capture) -> None:
    """
    Each is counted, and the event stays.
    """
    bizspan.event("seen", attributes=BrokenMapping(), note=BrokenMapping(), revenue=BrokenPrice())

    event = only(told.events("seen"))
    assert "type" == event.attributes["business.revenue.invalid"]
    assert ("note:type",) == event.attributes[names.NOTES]
    assert {"type": 3} == refusals()


def test_row_31_nothing_that_may_take_long_is_called_or_consumed(told: Capture) -> None:
    """
    An endless iterator is where it was, and a slow `__str__` never ran.
    """
    called: list[str] = []

    class Slow:
        def __str__(self) -> str:
            called.append("slow")
            return "slow"

    endless = itertools.count()
    generator = (n for n in itertools.count())
    bizspan.event("seen", endless=endless, generator=generator, slow=Slow())

    assert 1 == len(told.events("seen"))
    assert (0, 0, []) == (next(endless), next(generator), called)
    assert {"type": 3} == refusals()


def test_row_32_a_row_of_a_database_is_not_traversed(told: Capture) -> None:
    """
    No attribute is read, so no query runs.
    """
    queries: list[str] = []

    class Customer:
        def __getattr__(self, name: str) -> str:
            queries.append(name)
            return "jane@example.org"

    bizspan.event("seen", customer=Customer(), note=Customer())

    assert [] == queries
    assert names.CUSTOMER not in only(told.events("seen")).attributes


# --- rows 36 to 39: names and times -------------------------------------------------------------------------------


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


# --- rows 40 to 50: control flow ----------------------------------------------------------------------------------


def decorated(extract: Callable[[], object], work: Callable[[], object]) -> Callable[[], object]:
    """A function with one extractor of its result-free arguments."""

    @bizspan.operation("checkout", segment=lambda: extract())
    def checkout() -> object:
        return work()

    return checkout


def raising(error: BaseException) -> Callable[[], object]:
    """A function that raises this."""

    def raises() -> object:
        raise error

    return raises


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(ValueError("x"), id="row 40: ValueError"),
        pytest.param(RecursionError("x"), id="row 41: RecursionError"),
        pytest.param(MemoryError("x"), id="row 41: MemoryError"),
    ],
)
def test_an_extractor_that_raises_costs_its_value_only(told: Capture, error: Exception) -> None:
    """
    The function runs, and its event says nothing of that fact.
    """
    assert 42 == decorated(raising(error), lambda: 42)()

    assert names.SEGMENT not in only(told.operations("checkout", outcome="success")).attributes
    assert {"extractor_failed": 1} == refusals()


@pytest.mark.parametrize("kind", [asyncio.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_row_42_an_interrupt_in_an_extractor_goes_on(told: Capture, kind: type[BaseException]) -> None:
    """
    The very object arrives, and the operation is finished once.
    """
    error = kind()
    with pytest.raises(kind) as caught:
        decorated(raising(error), lambda: 42)()

    assert error is caught.value
    assert "cancelled" == only(told.operations("checkout")).outcome


def test_row_43_a_function_that_raises_is_failed_and_untouched(told: Capture) -> None:
    """
    The same object, and its traceback ends where it was raised.
    """
    error = ValueError("no stock")
    with pytest.raises(ValueError, match="no stock") as caught:
        decorated(lambda: "gold", raising(error))()

    assert error is caught.value
    assert "raises" == caught.traceback[-1].name
    assert (None, None) == (error.__cause__, error.__context__)
    assert "ValueError" == only(told.operations("checkout", outcome="failed")).attributes[names.ERROR_TYPE]


def test_row_44_the_functions_exception_wins_over_the_extractors(told: Capture) -> None:
    """
    Nothing of the extractor's error clings to it.
    """
    error = ValueError("no stock")
    with pytest.raises(ValueError, match="no stock") as caught:
        decorated(raising(KeyError("segment")), raising(error))()

    assert error is caught.value
    assert (None, None) == (error.__cause__, error.__context__)
    assert "failed" == only(told.operations("checkout")).outcome


def test_row_45_a_cancelled_task_cancels_its_operation(told: Capture) -> None:
    """
    CancelledError goes on, so that the task is cancelled.
    """

    async def checkout(entered: asyncio.Event) -> None:
        with bizspan.operation("checkout"):
            entered.set()
            await asyncio.Event().wait()

    async def main() -> bool:
        entered = asyncio.Event()
        task = asyncio.create_task(checkout(entered))
        await entered.wait()
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert asyncio.run(main())
    assert "cancelled" == only(told.operations("checkout")).outcome


def rows() -> Iterator[int]:
    with bizspan.operation("import"):
        yield 1
        yield 2


async def async_rows() -> AsyncIterator[int]:
    with bizspan.operation("import"):
        yield 1
        yield 2


def close_early() -> None:
    generator: Any = rows()
    next(generator)
    generator.close()


def collect_early() -> None:
    generator = rows()
    next(generator)
    del generator
    gc.collect()


def throw_into() -> None:
    generator: Any = rows()
    next(generator)
    with pytest.raises(ValueError, match="x"):
        generator.throw(ValueError("x"))


def close_in_another_task() -> None:
    async def main() -> None:
        generator: Any = async_rows()
        await asyncio.create_task(generator.__anext__())
        await asyncio.create_task(generator.aclose())

    asyncio.run(main())


async def _all() -> list[int]:
    return [row async for row in async_rows()]


@pytest.mark.parametrize(
    ("use", "outcome"),
    [
        pytest.param(lambda: list(rows()), "success", id="exhausted"),
        pytest.param(close_early, "cancelled", id="closed early"),
        pytest.param(collect_early, "cancelled", id="collected"),
        pytest.param(throw_into, "failed", id="thrown into"),
        pytest.param(lambda: asyncio.run(_all()), "success", id="async, exhausted"),
        pytest.param(close_in_another_task, "cancelled", id="async, closed in another task"),
    ],
)
def test_row_46_a_block_in_a_generator_ends_once(
    told: Capture, use: Callable[[], object], outcome: str, caplog: pytest.LogCaptureFixture
) -> None:
    """
    However the generator ends, and without a word about contexts that can't be detached.
    """
    before = otel.get_current()
    use()

    assert outcome == only(told.operations("import")).outcome
    assert before is otel.get_current()
    assert [] == [record for record in caplog.records if "detach" in record.message]


def test_row_46_decorating_a_generator_is_refused_with_the_way_to_do_it() -> None:
    """
    Its body runs elsewhere than its call.
    """
    with pytest.raises(SetupError, match="wrap the loop that uses it"):
        bizspan.operation("import")(rows)


@pytest.mark.parametrize("kind", [StopIteration, StopAsyncIteration])
def test_row_47_stop_iteration_stays_what_it_is(told: Capture, kind: type[Exception]) -> None:
    """
    It passes a block and a decorated function as it is, never as a RuntimeError.
    """
    error = kind()
    with pytest.raises(kind) as in_function:
        decorated(lambda: "gold", raising(error))()
    with pytest.raises(kind) as in_block, bizspan.operation("checkout"):
        raise error

    assert error is in_function.value is in_block.value
    assert ["failed", "failed"] == [event.outcome for event in told.operations("checkout")]


def test_row_48_a_run_is_entered_once_left_once_and_never_lost(told: Capture) -> None:
    """
    Entering twice says so, leaving twice records once, and what nobody left is abandoned.
    """
    block = bizspan.operation("checkout")
    block.__enter__()
    with pytest.raises(SetupError, match="already entered"):
        block.__enter__()
    block.__exit__(None, None, None)
    block.__exit__(None, None, None)
    copy_context().run(lambda: bizspan.operation("left").__enter__())
    gc.collect()

    assert "success" == only(told.operations("checkout")).outcome
    assert ("cancelled", "abandoned") == (
        only(told.operations("left")).outcome,
        only(told.operations("left")).reason,
    )


def test_row_49_ten_thousand_nested_operations_are_no_recursion(told: Capture) -> None:
    """
    Each is recorded, and its event links to one parent only.
    """
    before = otel.get_current()
    blocks = [bizspan.operation("nested") for _ in range(10_000)]
    for block in blocks:
        block.__enter__()
    bizspan.annotate(plan="pro")
    for block in reversed(blocks):
        block.__exit__(None, None, None)

    assert 10_000 == len(told.operations("nested", outcome="success"))
    assert 1 == len(told.operations("nested", plan="pro"))
    assert before is otel.get_current()


def test_row_49_ten_thousand_nested_scopes_are_no_recursion(told: Capture) -> None:
    """
    The facts of all of them are resolved in a loop.
    """
    scopes = [bizspan.context(segment="gold") for _ in range(10_000)]
    for scope in scopes:
        scope.__enter__()
    bizspan.event("seen")
    for scope in reversed(scopes):
        scope.__exit__(None, None, None)

    assert 1 == len(told.events("seen", segment="gold"))


def test_row_50_an_operation_may_end_in_another_thread(told: Capture) -> None:
    """
    It works through its handle; a thread of its own has no parent.
    """
    block = bizspan.operation("checkout")
    run = copy_context().run(block.__enter__)

    def elsewhere() -> None:
        run.revenue("5.00", "EUR")
        bizspan.event("seen")
        block.__exit__(None, None, None)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()

    assert Money("5.00", "EUR") == only(told.operations("checkout", outcome="success")).revenue
    assert names.OPERATION_ID not in only(told.events("seen")).attributes


# --- rows 51 to 58: odd moments -----------------------------------------------------------------------------------


class Interrupting:
    """
    A sink that does something while the pipeline holds its locks, before it hands the event on.

    Args:
        told: The capture whose pipeline it takes the place in.
        act: Done once, at the first event.
    """

    def __init__(self, told: Capture, act: Callable[[], object]) -> None:
        self._act = [act]
        self._inner = told._pipeline.sinks
        told._pipeline.sinks = (self,)

    def __call__(self, record: Any, sequence: int) -> None:
        while self._act:
            self._act.pop()()
        for sink in self._inner:
            sink(record, sequence)


class TellsWhenCollected:
    """A finalizer that tells an event."""

    def __init__(self) -> None:
        self.cycle = self

    def __del__(self) -> None:
        bizspan.event("told")


class TellingHandler(logging.Handler):
    """A logging handler that tells an event for each line."""

    def emit(self, record: logging.LogRecord) -> None:
        bizspan.event("told", attributes={"": record.levelname})  # a bad one: it has something to say itself


def collect() -> None:
    TellsWhenCollected()
    gc.collect()


def interrupt() -> None:
    previous = signal.signal(signal.SIGUSR1, lambda number, at: bizspan.event("told"))
    try:
        signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, previous)


def log() -> None:
    logger = logging.getLogger("bizspan")
    handler = TellingHandler()
    logger.addHandler(handler)
    try:
        logger.warning("said by the SDK")
    finally:
        logger.removeHandler(handler)


@pytest.mark.parametrize("immediate", [False, True], ids=["taken later", "taken at once"])
@pytest.mark.parametrize(
    "act",
    [
        pytest.param(collect, id="row 51: __del__"),
        pytest.param(
            interrupt,
            id="row 52: signal handler",
            marks=pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="no SIGUSR1 on this platform"),
        ),
        pytest.param(log, id="row 53: logging handler"),
    ],
)
def test_telling_while_events_are_handed_over_neither_hangs_nor_recurses(
    told: Capture, act: Callable[[], object], immediate: bool
) -> None:
    """
    The thread that holds the locks tells a further event: it is kept, and taken next.
    """
    Interrupting(told, act)
    told._pipeline._immediate = immediate
    bizspan.event("first")
    told._pipeline.take()

    # A logging handler hears once what bizspan says of the handler's own event, and tells that too.
    expected = ["first", "told", "told"] if act is log else ["first", "told"]
    assert expected == [event.name for event in told.events()]
    told.assert_consistent()


def test_row_54_telling_while_the_interpreter_goes_down_leaves_no_trace() -> None:
    """
    At exit, and in finalizers of modules that are torn down, nothing is written to the standard error stream.
    """
    ended = child.run(
        """
        import atexit, bizspan
        class Late:
            def __del__(self): bizspan.event("late", segment="gold")
        late = Late()
        late.me = late
        kept = Late()
        bizspan.configure(export="none")
        atexit.register(lambda: bizspan.event("at.exit"))
        bizspan.event("seen")
        """
    )

    assert (0, "") == (ended.code, ended.err)


def test_row_55_before_and_after_set_up_events_are_refused_and_a_second_set_up_is_ignored() -> None:
    """
    Each event is counted by its reason, and the second configure() gives the first one's handle.
    """
    ended = child.run(
        """
        import bizspan
        bizspan.event("early")
        first = bizspan.configure(export="console")
        second = bizspan.configure(export="console", service_name="other")
        bizspan.event("seen")
        between = bizspan.diagnostics()
        first.shutdown()
        bizspan.event("late")
        after = bizspan.diagnostics()
        print(first is second, between.acknowledged, between.refused, after.refused, after.configured)
        """
    )

    assert "True 1 {'not_configured': 1} {'not_configured': 2} False\n" == ended.out
    assert ["bizspan: configure() was called again"] == re.findall(
        r"bizspan: configure\(\) was called again", ended.err
    )


_FORK = """
    import ctypes, os, threading, bizspan
    bizspan.configure(export="console")
    pipeline = bizspan._active.current
    held, release = threading.Event(), threading.Event()
    def hold():
        with pipeline._counting:
            held.set()
            release.wait()
    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    child = {fork}
    if child == 0:
        bizspan.event("child")
        account = bizspan.diagnostics()
        print(account.acknowledged, account.refused, flush=True)
        os._exit(0)
    os.waitpid(child, 0)
    release.set()
    thread.join()
    bizspan.event("parent")
    print(bizspan.diagnostics().acknowledged, flush=True)
"""
_needs_fork = pytest.mark.skipif(not hasattr(sys, "platform") or sys.platform == "win32", reason="no fork here")


@_needs_fork
def test_row_56_a_fork_while_another_thread_holds_the_lock_leaves_a_child_that_works() -> None:
    """
    The child has locks of its own, and tells its one event once.
    """
    ended = child.run(_FORK.format(fork="os.fork()"))

    assert "1 {}\n1\n" == ended.out
    assert (1, 1) == (ended.err.count("child"), ended.err.count("parent"))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="calls the C library of Linux")
def test_row_57_a_fork_that_runs_no_hooks_is_noticed_by_its_pid() -> None:
    """
    The first event says so; from then on the child has a pipeline of its own.
    """
    ended = child.run(_FORK.format(fork="ctypes.CDLL(None).fork()"))

    parent, inside = ended.out.splitlines()[::-1]
    assert "1" == parent
    assert "0 {'forked': 1}" == inside
    assert 1 == ended.err.count("parent")


@pytest.mark.parametrize("end", ["os._exit(3)", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_row_58_a_hard_end_keeps_its_code_and_what_was_handed_over(end: str) -> None:
    """
    Without a spool an event lives as long as the process; what a receipt was printed for was handed over.
    """
    ended = child.run(
        f"""
        import os, signal, bizspan
        bizspan.configure(export="console")
        bizspan.event("seen")
        {end}
        """
    )

    assert ended.code in (3, -9)
    assert 1 == ended.err.count("seen")


# --- rows 65 to 67: surroundings ----------------------------------------------------------------------------------


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
    Rows 1 to 67 have a test here, or a word on why they belong to a later issue.
    """
    covered: set[int] = set()
    for name, function in globals().items():
        if name.startswith("test_"):
            marks = [mark for mark in getattr(function, "pytestmark", ()) if mark.name == "parametrize"]
            ids = [str(case.id) for mark in marks for case in mark.args[1] if hasattr(case, "id")]
            covered |= {int(row) for row in re.findall(r"\brow[_ ](\d\d)", " ".join([name[5:], *ids]))}
    covered |= {given.row for given in AMOUNTS} | {given.row for given in FACTS}

    assert set(range(1, 68)) == covered | LATER.keys()
    assert set() == covered & LATER.keys()
