"""Arbitrary objects: what OpenTelemetry gets from them, without running their code."""

from __future__ import annotations

import enum
import json
import sys
import threading
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta, timezone
from datetime import time as clock
from decimal import Decimal
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any
from uuid import UUID

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bizspan import _guard
from bizspan._values import clean_name, coerce, first_entries, timestamp_ns
from bizspan.errors import type_name
from bizspan.money import Money
from tests.hostile import Level, Plan, SecretStr, Text, hostile, touched

NOTES = {
    *(
        None,
        "truncated",
        "surrogate",
        "control",
        "type",
        "cyclic",
        "depth",
        "size",
        "bytes",
        "int64",
        "nonfinite",
    )
}


@pytest.fixture(autouse=True)
def fatal(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that the guard would swallow fails the test."""
    monkeypatch.setattr(_guard, "fatal", True)


KNOWN: list[tuple[object, object]] = [
    ("enterprise", "enterprise"),
    ("", ""),
    ("Zürich 東京 👍🏽", "Zürich 東京 👍🏽"),
    (Text("x"), "x"),
    (numpy.str_("x"), "x"),
    (True, True),
    (5, 5),
    (-(2**63), -(2**63)),
    (1.5, 1.5),
    (numpy.float64(1.5), 1.5),
    (Plan.PRO, "pro"),
    (Plan.FREE, 0),
    (Plan.RATIO, 0.5),
    (Plan.ODD, "ODD"),
    (Level.HIGH, 3),
    (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (Path("a/b"), "a/b"),
    (PurePosixPath("/a"), "/a"),
    (PureWindowsPath("c:/a"), "c:\\a"),
    (Decimal("19.90"), "19.90"),
    (Decimal("1E+999999"), "1E+999999"),
    (Money("42", "EUR"), "42.00 EUR"),
    (datetime(2026, 1, 2, 3, 4, 5), "2026-01-02T03:04:05Z"),
    (datetime(2026, 1, 2, 3, tzinfo=timezone(timedelta(hours=2))), "2026-01-02T01:00:00Z"),
    (datetime(1, 1, 1), "0001-01-01T00:00:00Z"),
    (date(2026, 1, 2), "2026-01-02"),
    (clock(3, 4), "03:04:00"),
    (["a", "b"], ("a", "b")),
    ((1, 2), (1, 2)),
    ([True, False], (True, False)),
    (deque([1.5]), (1.5,)),
    ({"b", "a"}, ("a", "b")),
    (frozenset({2, 1}), (1, 2)),
    ([], ()),
    ([Plan.PRO, "x", UUID(int=1)], ("pro", "x", str(UUID(int=1)))),
    ([1, "a", None, True, 2.5], '[1,"a",null,true,2.5]'),
    ([[1], [2]], "[[1],[2]]"),
    ({"a": {"b": [1, "é"]}}, '{"a":{"b":[1,"é"]}}'),
    ({}, "{}"),
    ({1: "int", Level.HIGH: "enum", Plan.PRO: "str"}, '{"1":"int","3":"enum","pro":"str"}'),
    (OrderedDict({"b": 1, "a": 2}), '{"b":1,"a":2}'),
    (defaultdict(int, a=1), '{"a":1}'),
    (Counter("aab"), '{"a":2,"b":1}'),
]


@pytest.mark.parametrize(("value", "expected"), KNOWN, ids=type_name)
def test_known_values_are_kept(value: object, expected: object) -> None:
    """Row 35 and the plain types: text stays text, numbers stay numbers, one primitive type makes a tuple."""
    clean, note = coerce(value)

    assert (expected, type(expected), None) == (clean, type(clean), note)


def test_a_container_within_itself_is_cut() -> None:
    """Row 25: lists, dicts, and both around each other. The same list twice is no cycle."""
    items: list[Any] = [1]
    items.append(items)
    mapping: dict[str, Any] = {}
    mapping["me"] = [mapping]
    shared = ["x"]

    assert ('[1,"<cyclic>"]', "cyclic") == coerce(items)
    assert ('{"me":["<cyclic>"]}', "cyclic") == coerce(mapping)
    assert ('[["x"],["x"]]', None) == coerce([shared, shared])


def test_deep_containers_are_cut_without_recursion() -> None:
    """Row 24: depth 5 of 100,000."""
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"a": deep}

    assert ('{"a":{"a":{"a":{"a":{"a":"<depth>"}}}}}', "depth") == coerce(deep)
    assert ('{"a":{"a":{"a":{"a":{"a":1}}}}}', None) == coerce({"a": {"a": {"a": {"a": {"a": 1}}}}})


def test_large_containers_are_cut() -> None:
    """64 entries each, 512 in all, and never more text than the limit."""
    assert (tuple(range(64)), "size") == coerce(list(range(10_000)))
    assert (tuple(range(64)), None) == coerce(list(range(64)))

    wide, note = coerce([[0] * 64 for _ in range(64)])
    assert isinstance(wide, str)
    assert ("size", 512 - 8) == (note, sum(map(len, json.loads(wide))))


@pytest.mark.parametrize("limit", [40, 256, 8192])
@pytest.mark.parametrize("letter", ["a", '"', "\\", "👍"])
def test_nested_text_is_cut_so_that_json_stays_json(letter: str, limit: int) -> None:
    """Whatever is cut, what arrives can be parsed."""
    text, note = coerce({f"key{at}": [letter * 5000, at] for at in range(10)}, limit=limit)

    assert isinstance(text, str)
    assert ("truncated", True) == (note, len(text.encode()) <= limit)
    assert "key0" in json.loads(text)


def test_keys_become_text_or_are_dropped() -> None:
    """Row 27: int and enum by value; None, tuples, bytes and clashes go."""
    keys: dict[Any, str] = {1: "a", "1": "clash", None: "x", (1,): "x", b"k": "x", 1.5: "x", "t\x00": "b"}

    assert ('{"1":"a","t":"b"}', "type") == coerce(keys)


def test_what_is_unknown_inside_a_container_shows_its_type_only() -> None:
    """Rows 29 and 33: the place is kept, the value is not."""
    nested = [object(), b"secret", {"password": SecretStr("hunter2")}, 2**70, float("nan")]

    assert ('["<object>","<bytes>",{"password":"<SecretStr>"},null,null]', "type") == coerce(nested)


@pytest.mark.parametrize(
    "make",
    [
        lambda: hostile(object),
        lambda: hostile(dict),
        lambda: hostile(list),
        lambda: hostile(tuple),
        lambda: hostile(set),
        lambda: hostile(Decimal, "1.5"),
        lambda: hostile(UUID),
        lambda: hostile(Exception),
    ],
)
def test_no_code_of_an_unknown_type_is_run(make: Any) -> None:
    """Rows 29 to 32: alone or nested, neither its methods nor those of its class."""
    value = make()
    name = type_name(value)
    touched.clear()

    assert (None, "type") == coerce(value)
    assert (None, None) == (clean_name(value), timestamp_ns(value))
    assert ((f"<{name}>",), "type") == coerce([value])
    assert (f'{{"a":"<{name}>"}}', "type") == coerce({"a": value})
    assert [] == touched


def test_generators_and_iterators_are_not_consumed() -> None:
    """Row 31: the business code will want what they yield."""
    numbers = iter([1, 2])

    assert (None, "type") == coerce(numbers)
    assert (None, "type") == coerce(each for each in numbers)
    assert [1, 2] == list(numbers)


class Lazy(Mapping[str, object]):
    """A row that loads itself."""

    def __getitem__(self, key: str) -> object:
        raise RuntimeError("SQL")

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("SQL")

    def __len__(self) -> int:
        raise RuntimeError("SQL")


def test_mappings_of_other_types_are_not_walked() -> None:
    """Row 30: only dict and the dicts of collections are."""
    assert (None, "type") == coerce(Lazy())
    assert (None, "type") == coerce(type("Row", (dict,), {})(a=1))


def test_keys_of_unknown_types_are_not_hashed() -> None:
    """Row 29: OrderedDict would, to find the value of a key that it just gave."""

    class Key:
        def __hash__(self) -> int:
            hashed.append(self)
            return 1

    hashed: list[object] = []
    ordered = OrderedDict({Key(): 1, "a": 2})
    hashed.clear()

    assert ('{"a":2}', "type") == coerce(ordered)
    assert [] == hashed


def test_a_value_that_breaks_even_this_is_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """An enum member without its value cannot be told apart before it is read: the guard counts it."""

    class Broken(enum.Enum):
        MEMBER = "x"

    del Broken.MEMBER._value_
    monkeypatch.setattr(_guard, "fatal", False)
    before = _guard.swallowed_errors.values()

    assert (None, "type") == coerce(Broken.MEMBER)
    assert clean_name(Broken.MEMBER) is None
    after = _guard.swallowed_errors.values()
    assert {"cleaning a value": 1, "cleaning a name": 1} == {
        step: after[step] - before.get(step, 0) for step in after if after[step] != before.get(step, 0)
    }


def test_a_container_that_changes_meanwhile_is_read_again() -> None:
    """Row 26: three attempts, then it is dropped."""
    changes = [RuntimeError("changed size during iteration")] * 2

    def restless() -> list[Any]:
        if changes:
            raise changes.pop()
        return [1]

    def never_at_rest() -> list[Any]:
        raise RuntimeError("changed size during iteration")

    assert [1] == first_entries(restless)
    assert first_entries(never_at_rest) is None


def test_a_dict_that_another_thread_changes_raises_nothing() -> None:
    """Row 26, with a real thread."""
    shared: dict[Any, Any] = {"a": 1}
    done = threading.Event()

    def change() -> None:
        number = 0
        while not done.is_set():
            number += 1
            shared[number % 50] = number
            shared.pop((number * 7) % 50, None)

    thread = threading.Thread(target=change)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread.start()
    try:
        outcomes = [coerce({"shared": shared}) for _ in range(300)]
    finally:
        done.set()
        thread.join()
        sys.setswitchinterval(interval)

    assert {str} == {type(clean) for clean, _ in outcomes}


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(st.characters()),
    st.text(st.sampled_from('a\x00\x1b[]m;\\\x07\r\n\ud800\udfff\u202e\u2069é👍"')),
    st.binary(),
    st.decimals(),
    st.uuids(),
    st.datetimes(),
    st.dates(),
    st.times(),
    st.complex_numbers(),
    st.sampled_from([Plan.PRO, Plan.ODD, Level.HIGH, object(), int, Money(1, "EUR")]),
    # Hypothesis itself asks classes: their own code is for the tests above.
    st.builds(lambda: hostile(object, meta=type)),
    st.builds(lambda: hostile(str, "x", meta=type)),
    st.builds(lambda: hostile(dict, meta=type)),
)


KEYS = st.none() | st.text(st.characters()) | st.integers() | st.booleans() | st.binary() | st.uuids()


NESTED = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=6),
        st.lists(inner, max_size=6).map(tuple),
        st.lists(inner, max_size=6).map(deque),
        st.dictionaries(KEYS, inner, max_size=6),
        st.sets(st.text() | st.integers(), max_size=6),
    ),
    max_leaves=40,
)


@given(NESTED, st.sampled_from([0, 1, 2, 10, 50, 256, 8192]))
def test_whatever_comes_in_opentelemetry_takes_what_goes_out(value: object, limit: int) -> None:
    """A primitive or a tuple of one primitive type: finite, within int64, valid UTF-8, within the limit."""
    touched.clear()

    clean, note = coerce(value, limit=limit)

    assert [] == touched
    assert note in NOTES
    parts: list[Any] = list(clean) if isinstance(clean, tuple) else [clean]
    assert isinstance(clean, tuple) or type(clean) in (str, bool, int, float, type(None))
    kinds: set[type[object]] = {type(part) for part in parts}
    assert len(kinds) <= 1
    for part in parts:
        assert not isinstance(part, str) or len(part.encode("utf-8")) <= limit
        assert not isinstance(part, str) or not {"\x00", "\x1b", "\r", "\n", "\u202e"} & set(part)
        assert type(part) is not int or -(2**63) <= part < 2**63
        assert type(part) is not float or abs(part) < float("inf")
    if type(value) is dict and limit >= 2:
        assert isinstance(clean, str)
        json.loads(clean)


@given(NESTED)
def test_whatever_comes_in_names_and_times_raise_nothing(value: object) -> None:
    """A name is text within its limit, a time is within its range."""
    touched.clear()

    name, moment = clean_name(value), timestamp_ns(value)

    assert [] == touched
    assert name is None or (0 < len(name.encode("utf-8")) <= 200 and name == name.strip())
    assert moment is None or 0 <= moment < 2**63
