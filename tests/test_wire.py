"""Protobuf bytes by hand, read by protobuf."""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict, deque
from collections.abc import Mapping
from enum import Enum, IntEnum
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource

from bizspan._wire import DEPTH, ENTRIES, MOST_BYTES, Walk, WireError, export_request, resource, scope, varint
from bizspan.sdk._log_bytes import LogBytes
from tests import strategies
from tests.hostile import Text
from tests.providers import log_exporter

INT64 = st.integers(-(2**63), 2**63 - 1)


class Colour(Enum):
    """Not a value that OTLP knows."""

    RED = "red"


class Size(IntEnum):
    """A number."""

    BIG = 7


class Shade(str, Enum):  # noqa: UP042 - as applications wrote it before StrEnum
    """A text."""

    DARK = "dark"


def ignored(reason: str) -> None:
    """Nobody counts."""


def encoded(value: object) -> tuple[AnyValue, list[str]]:
    """One value through the walk and protobuf's parser, and what was said."""
    said: list[str] = []
    return AnyValue.FromString(Walk(said.append).any_value(value)), said


@given(INT64 | st.sampled_from([0, 127, 128, 2**14 - 1, 2**14, 2**21 - 1, 2**21, -1, 2**63 - 1, -(2**63)]))
def test_an_int64_is_written_as_protobuf_writes_it(number: int) -> None:
    """
    Every int64 has protobuf's own bytes, negative ones too.
    """
    assert AnyValue(int_value=number).SerializeToString() == b"\x18" + varint(number)


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 2**4000])
def test_a_number_beyond_64_bits_is_an_error(number: int) -> None:
    """
    Nothing is cut to fit.
    """
    with pytest.raises(WireError, match="int64"):
        varint(number)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, AnyValue()),
        ("", AnyValue(string_value="")),
        (False, AnyValue(bool_value=False)),
        (0, AnyValue(int_value=0)),
        (Size.BIG, AnyValue(int_value=7)),
        (Shade.DARK, AnyValue(string_value="dark")),
        (Text("x"), AnyValue(string_value="x")),
        (-0.0, AnyValue(double_value=-0.0)),
        (b"", AnyValue(bytes_value=b"")),
        ("a\ud800b", AnyValue(string_value="a\ufffdb")),
        ("\ud83d\ude00", AnyValue(string_value="\ufffd\ufffd")),
    ],
)
def test_a_single_value_keeps_its_kind(value: object, expected: AnyValue) -> None:
    """
    Empty and false values are there; a lone surrogate is replaced, subclasses count as what they are.
    """
    assert (expected, ["surrogate"] if "\ufffd" in expected.string_value else []) == encoded(value)


@pytest.mark.parametrize("empty", [(), [], deque[int](), range(0)])
def test_an_empty_sequence_is_an_empty_array(empty: Any) -> None:
    """
    It is there, and holds nothing.
    """
    found, _ = encoded(empty)

    assert ("array_value", 0) == (found.WhichOneof("value"), len(found.array_value.values))


@pytest.mark.parametrize("mapping", [{"a": 1}, OrderedDict[str, int](a=1), MappingProxyType({"a": 1})])
def test_a_mapping_is_a_list_of_keys_and_values(mapping: Mapping[str, int]) -> None:
    """
    Mappings of the standard library become a kvlist.
    """
    found, _ = encoded(mapping)

    assert [KeyValue(key="a", value=AnyValue(int_value=1))] == list(found.kvlist_value.values)


def test_keys_of_known_types_become_text_and_others_are_left_out() -> None:
    """
    A number as a key is its text; no method of another type is called for the sake of its key.
    """
    found, said = encoded({7: 1, None: 2, True: 3, 1.5: 4, (1,): 5, b"x": 6, Colour.RED: 7})

    assert (["7", "None", "True", "1.5"], ["type"] * 3) == ([pair.key for pair in found.kvlist_value.values], said)


def test_what_holds_itself_is_marked() -> None:
    """
    A list and a dict that contain themselves end in a mark; a value that comes twice is not a cycle.
    """
    twice = [1]
    cyclic: list[Any] = [twice, twice]
    cyclic.append({"again": cyclic})

    found, said = encoded(cyclic)

    first, second, third = found.array_value.values
    assert first == second
    assert ("<cyclic>", ["cyclic"]) == (third.kvlist_value.values[0].value.string_value, said)


def test_depth_is_bounded_without_recursion() -> None:
    """
    A dict 5,000 deep is cut, and protobuf can read what is left.
    """
    deep: dict[str, Any] = {}
    for _ in range(5_000):
        deep = {"in": deep}

    found, said = encoded(deep)

    depth = 0
    while found.kvlist_value.values:
        found, depth = found.kvlist_value.values[0].value, depth + 1
    assert (DEPTH, "<depth>", ["depth"]) == (depth, found.string_value, said)


@pytest.mark.parametrize(
    "value",
    ["x" * (MOST_BYTES + 1), "\u20ac" * (MOST_BYTES // 2), b"x" * (MOST_BYTES + 1), range(10**30), [None] * ENTRIES],
    ids=["text", "three bytes each", "bytes", "range", "list"],
)
def test_size_is_bounded(value: object) -> None:
    """
    What is larger than a whole event may be is left out.
    """
    with pytest.raises(WireError, match="size"):
        Walk(ignored).any_value(value)


def test_sharing_does_not_multiply_work() -> None:
    """
    Ten lists that hold the next ten times are 10^10 values; the walk ends at its bound.
    """
    shared: list[Any] = [1]
    for _ in range(10):
        shared = [shared] * 10

    with pytest.raises(WireError, match="size"):
        Walk(ignored).any_value(shared)


@given(strategies.things)
def test_whatever_the_value_it_is_encoded_or_left_out(thing: strategies.Thing) -> None:
    """
    Hostile objects never raise; an attribute that cannot be carried leaves the others alone.
    """
    fields, left_out = Walk(ignored).attributes(b"\x32", {"before": 1, "odd": thing.value, "after": 2})

    record = LogRecord.FromString(fields)
    found = [attribute.key for attribute in record.attributes]
    assert (["before", "after"], 3) == ([key for key in found if key != "odd"], len(found) + left_out)


def test_a_dict_that_changes_meanwhile_never_raises() -> None:
    """
    Another thread adds and removes keys; every walk gives what a parser takes.
    """
    shared = dict.fromkeys(map(str, range(200)), 1)
    stop = threading.Event()

    def change() -> None:
        while not stop.is_set():
            shared["more"] = 1
            shared.pop("more", None)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(50):
            fields, _ = Walk(ignored).attributes(b"\x32", {"shared": shared})
            LogRecord.FromString(fields)
    finally:
        stop.set()
        thread.join()
        sys.setswitchinterval(before)


class Unreadable(dict[str, object]):
    """Attributes whose items raise."""

    def items(self) -> Any:
        raise ValueError


def test_attributes_that_raise_are_none_at_all() -> None:
    """
    A mapping whose items() raises is left out, and said.
    """
    said: list[str] = []

    assert ((b"", 0), ["type"]) == (Walk(said.append).attributes(b"\x32", Unreadable(a=1)), said)


@pytest.mark.parametrize("schema_url", ["", "urn:shop:1"])
@pytest.mark.parametrize("version", [None, "1.0"])
def test_a_joined_request_is_the_sdks(schema_url: str, version: str | None) -> None:
    """
    Resource, scopes, schema URLs and records, joined from stored bytes, are the message that the SDK would send.
    """
    far = log_exporter()
    attributes: dict[str, Any] = {"service.name": "shop", "host.cpus": 4, "process.command_args": ("a", "b")}
    provider = LoggerProvider(resource=Resource(attributes, schema_url), shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(far))
    loggers = [
        provider.get_logger("shop", version, schema_url),
        provider.get_logger("cart", version, schema_url, {"a": 1}),
    ]
    for logger in loggers:
        for number in range(3):
            logger.emit(timestamp=number, body=f"line {number}", attributes={"n": number})
    provider.shutdown()
    finished: list[Any] = far.get_finished_logs()

    encoder = LogBytes()
    groups = [
        (
            scope(each[0].instrumentation_scope.name, version, each[0].instrumentation_scope.attributes),
            schema_url.encode(),
            [encoder.entry(record) for record in each],
        )
        for each in (finished[:3], finished[3:])
    ]
    request = export_request(resource(attributes, schema_url), groups)

    assert encode_logs(finished) == ExportLogsServiceRequest.FromString(request)
