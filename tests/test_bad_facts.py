"""Rows 12 and 20 to 35 of the table of bad inputs: facts that can not be kept as they are."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import pytest

import bizspan
from bizspan import gauges, names
from bizspan.testing import Capture, capture
from tests.bad_inputs import fact, only, refusals


@pytest.fixture
def told() -> Iterator[Capture]:
    """The capture, without its own check: here refusals are expected, and counted by each test."""
    with capture(check=False) as captured:
        yield captured


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

    def dst(self, dt: datetime | None) -> timedelta:
        raise OSError("no zone data")

    def tzname(self, dt: datetime | None) -> str:
        raise OSError("no zone data")


def cyclic() -> Any:
    value: list[Any] = ["a"]
    value.append(value)
    return value


def cyclic_dict() -> Any:
    value: dict[str, Any] = {}
    value["me"] = value
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
    Fact(25, "cyclic dict", cyclic_dict, '{"me":"<cyclic>"}', "cyclic"),
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
    called: dict[str, Any] = {f"c{number}": number for number in range(40)}
    with bizspan.context(attributes=many), bizspan.operation("checkout", **called) as op:
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


def test_row_30_a_bad_row_of_a_gauge_costs_itself_only(told: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The other rows are exported, and the bad one is counted.
    """
    monkeypatch.setattr(gauges, "_gauges", {})

    @bizspan.gauge("stock.value")
    def stock_value() -> Iterator[object]:
        yield 1, {"plan": "pro"}
        yield BrokenPrice(), {"plan": "free"}
        yield 3, {"plan": "team"}

    assert (1.0, 3.0) == (told.gauge("stock.value", plan="pro"), told.gauge("stock.value", plan="team"))
    assert {"type": 2} == refusals()  # pulled twice


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
    odd: Any = {"endless": endless, "generator": generator, "slow": Slow()}
    bizspan.event("seen", **odd)

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

    row: Any = Customer()
    bizspan.event("seen", customer=row, note=row)

    assert [] == queries
    assert names.CUSTOMER not in only(told.events("seen")).attributes
