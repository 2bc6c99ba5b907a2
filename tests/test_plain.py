"""Single values, names and times: text is cleaned, and what cannot be kept is dropped with a word."""

from __future__ import annotations

import time
from datetime import date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import numpy
import pytest

from bizspan import _guard
from bizspan._values import clean_name, coerce, timestamp_ns
from bizspan.errors import type_name
from tests.hostile import Level, Plan, Row, SecretStr, Text, hostile, touched

DAY_NS = 86_400 * 10**9


@pytest.fixture(autouse=True)
def fatal(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that the guard would swallow fails the test."""
    monkeypatch.setattr(_guard, "fatal", True)


def test_none_is_absent() -> None:
    """None is not a value and needs no word."""
    assert (None, None) == coerce(None)


@pytest.mark.parametrize(
    ("value", "note"),
    [
        (2**63, "int64"),
        (-(2**63) - 1, "int64"),
        (10**5000, "int64"),
        (float("nan"), "nonfinite"),
        (float("-inf"), "nonfinite"),
        (Decimal("sNaN"), "nonfinite"),
        (b"x", "bytes"),
        (bytearray(b"x"), "bytes"),
        (memoryview(b"x" * 1_000_000), "bytes"),
        (object(), "type"),
        (int, "type"),
        (1j, "type"),
        (range(3), "type"),
        (len, "type"),
        (Fraction(1, 2), "type"),
        (MappingProxyType({"a": 1}), "type"),
        (Row(1), "type"),
        (SecretStr("hunter2"), "type"),
        (numpy.array([1, 2]), "type"),
        (numpy.int64(1), "type"),
        (datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-5))), "type"),
        (datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5))), "type"),
    ],
    ids=type_name,
)
def test_what_cannot_be_kept_is_dropped_with_a_word(value: object, note: str) -> None:
    """Rows 12, 29, 32, 33 and 34."""
    assert (None, note) == coerce(value)


@pytest.mark.parametrize(
    ("text", "expected", "note"),
    [
        ("a\ud800b", "a\ufffdb", "surrogate"),
        ("a\x00b", "ab", "control"),
        ("a\r\nb\nc\td\u2028e", "a b c d e", "control"),
        ("\x1b[31;1mred\x1b[0m", "red", "control"),
        ("\x1b]8;;https://example.org\x1b\\link\x1b]8;;\x07", "link", "control"),
        ("\x9b31mred", "red", "control"),
        ("\x1b\x1b[0m[0m", "[0m", "control"),
        ("abc\u202egpj.exe\u2066x\u2069", "abcgpj.exex", "control"),
        ("a\x7f\x85b", "a b", "control"),
        ("family 👨‍👩‍👧", "family 👨‍👩‍👧", None),
    ],
)  # fmt: skip
def test_text_is_cleaned_of_what_breaks_batches_and_terminals(text: str, expected: str, note: str | None) -> None:
    """Rows 20 and 21; joined emoji are no control characters."""
    assert (expected, note) == coerce(text)
    assert (expected, note) == coerce(Text(text))


@pytest.mark.parametrize("limit", [0, 1, 2, 3, 4, 255, 256])
@pytest.mark.parametrize("letter", ["a", "é", "東", "👍"])
def test_text_is_cut_in_bytes_between_characters(letter: str, limit: int) -> None:
    """Row 22: a megabyte is cut at the limit, never inside a character."""
    width = len(letter.encode())

    assert (letter * (limit // width), "truncated") == coerce(letter * 1_000_000, limit=limit)
    assert (letter * (limit // width), None) == coerce(letter * (limit // width), limit=limit)


def test_a_megabyte_of_broken_escapes_takes_no_time() -> None:
    """Row 22: the patterns do not backtrack over what is cut off anyway."""
    for text in ("\x1b]" * 500_000, "\x1b[" + "1" * 1_000_000, "\x1b" * 1_000_000, "\ud800" * 1_000_000):
        clean, note = coerce(text)

        assert isinstance(clean, str)
        assert ("truncated", True) == (note, len(clean.encode()) <= 8192)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: hostile(str, "text"), "text"),
        (lambda: hostile(int, 5), 5),
        (lambda: hostile(float, 1.5), 1.5),
        (lambda: hostile(datetime, 2026, 1, 2), "2026-01-02T00:00:00Z"),
        (lambda: hostile(date, 2026, 1, 2), "2026-01-02"),
    ],
)
def test_subclasses_of_plain_types_are_read_without_their_overrides(make: Any, expected: object) -> None:
    """Row 29: pandas, pendulum and freezegun subclass datetime; what they add is not called."""
    value = make()
    touched.clear()

    clean, note = coerce(value)

    assert (expected, type(expected), None) == (clean, type(clean), note)
    assert [] == touched


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("checkout", "checkout"),
        ("  lead moved on ", "lead moved on"),
        ("order.placé", "order.placé"),
        (Plan.PRO, "pro"),
        (Text("x"), "x"),
        ("a\x00b\n", "ab"),
        ("a\ud800", "a\ufffd"),
        ("x" * 10_000, "x" * 200),
        ("é" * 10_000, "é" * 100),
        ("", None),
        ("   ", None),
        ("\x00\n", None),
        (None, None),
        (5, None),
        (b"x", None),
        (Level.HIGH, None),
        (Plan.ODD, None),
        (["x"], None),
        (SecretStr("hunter2"), None),
    ],
)
def test_names_are_text_or_nothing(value: object, expected: str | None) -> None:
    """Row 36: stripped, cut, and never empty."""
    assert expected == clean_name(value)


class BrokenZone(tzinfo):
    """A time zone that raises."""

    def utcoffset(self, dt: datetime | None) -> timedelta:
        raise LookupError("no such zone")

    dst = utcoffset

    def tzname(self, dt: datetime | None) -> str:
        raise LookupError("no such zone")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0),
        (1_763_000_000_123_456_789, 1_763_000_000_123_456_789),
        (datetime(1970, 1, 1), 0),
        (datetime(2025, 1, 1, 0, 0, 0, 123456), 1_735_689_600_123_456_000),
        (datetime(2025, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))), 1_735_689_600_000_000_000),
        (-1, None),
        (2**63, None),
        (2**64, None),
        (1.5, None),
        (True, None),
        ("2025-01-01", None),
        (None, None),
        (date(2025, 1, 1), None),
        (datetime(1969, 12, 31), None),
        (datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5))), None),
        (datetime(9999, 12, 31), None),
        (datetime(2025, 1, 1, tzinfo=BrokenZone()), None),
        (numpy.datetime64("2025-01-01"), None),
    ],
)
def test_times_are_nanoseconds_that_a_collector_takes(value: object, expected: int | None) -> None:
    """Rows 34 and 37: a naive datetime is UTC, the rest is none."""
    assert expected == timestamp_ns(value)


def test_a_time_may_be_a_day_ahead_and_no_more() -> None:
    """Row 37: clocks differ by hours, not by years."""
    now = time.time_ns()

    assert now + DAY_NS - 10**9 == timestamp_ns(now + DAY_NS - 10**9)
    assert timestamp_ns(now + DAY_NS + 3600 * 10**9) is None


def test_a_time_zone_that_raises_drops_the_value() -> None:
    """Row 34: the only foreign code that must run."""
    assert (None, "type") == coerce(datetime(2025, 1, 1, tzinfo=BrokenZone()))
