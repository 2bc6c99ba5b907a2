"""Log records into rows: what a sender told, in either encoding, is what a query finds."""

from __future__ import annotations

import json
import math
import struct
import threading
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from bizspan import _wire, names
from bizspan._columns import COLUMNS
from bizspan.lens import Damaged, Intake, Store, Stored, TooMany, _intake, _log_columns, _log_keys
from bizspan.lens import _json as reading_json
from bizspan.lens._layout import INDEX, RECORD_COLUMNS, Batch
from bizspan.lens._logs import LogDecoder
from bizspan.lens._otlp_http import SIGNALS
from bizspan.lens._records import RECORDS_MOST
from tests.lens.asking import rows
from tests.lens.requests import START_NS, Shop
from tests.otlp_lines import otlp_json

RECEIVED_NS = START_NS + 5


def request_of(*records: LogRecord, **resource: str) -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    by_resource = request.resource_logs.add()
    for key, value in resource.items():
        by_resource.resource.attributes.add(key=key.replace("_", ".")).value.string_value = value
    by_scope = by_resource.scope_logs.add()
    by_scope.scope.name, by_scope.scope.version = "shop", "1.0"
    by_scope.log_records.extend(records)
    return request


def told(batch: Batch, table: str = "events") -> list[dict[str, Any]]:
    """The rows by column, without what is empty."""
    return [
        {name: value for name, value in zip(RECORD_COLUMNS, row, strict=True) if value is not None}
        for row in rows_of(batch, table)
    ]


def rows_of(batch: Batch, table: str = "events") -> list[tuple[Any, ...]]:
    if table not in batch.tables:
        return []
    columns, count = batch.columns(table)
    return list(zip(*(column or [None] * count for column in columns), strict=True))


def both(request: ExportLogsServiceRequest) -> tuple[Batch, Batch]:
    """As protobuf and as JSON."""
    document = reading_json.document_of(otlp_json(request).encode())
    return LogDecoder().decode(request.SerializeToString(), RECEIVED_NS), reading_json.logs(document, RECEIVED_NS)


def an_event(**more: Any) -> LogRecord:
    return LogRecord(
        time_unix_nano=START_NS, observed_time_unix_nano=START_NS + 1, event_name="invoice.paid", severity_number=9,  # type: ignore[arg-type]
        trace_id=bytes(range(16)), span_id=bytes(range(8)), flags=1, **more,
    )  # fmt: skip


def attribute(key: str, **value: Any) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(**value))


def test_each_fact_has_its_column(intake: Intake, store: Store) -> None:
    """
    Facts with a column are in it with its type, all others are one JSON object, the resource's are beside them.
    """
    record = an_event(
        attributes=[
            attribute(names.RECORD_UID, string_value="u-1"),
            attribute(names.ORDER, string_value="o-1"),
            attribute(names.OPERATION_DURATION, double_value=0.25),
            attribute(names.MINOR_UNITS_KEYS[names.REVENUE], int_value=990),
            attribute(names.CURRENCY_KEYS[names.REVENUE], string_value="EUR"),
            attribute("shop.gift", bool_value=True),
            attribute("shop.items", int_value=-3),
        ]
    )
    request = request_of(record, service_name="shop", service_version="1.4", host_name="h")

    assert Stored(1) == intake.take("logs", "protobuf", request.SerializeToString())
    assert [
        ("u-1", START_NS, START_NS + 1, "invoice.paid", 9, "000102030405060708090a0b0c0d0e0f", "0001020304050607",
         "shop", "1.4", None, "o-1", 0.25, 990, "EUR", '{"shop.gift":true,"shop.items":-3}')
    ] == rows(
        store,
        "SELECT uid, time_ns, observed_ns, name, severity, trace_id, span_id, service, version, environment, order_id, "
        "duration_s, revenue_minor, revenue_currency, attributes FROM events",
    )  # fmt: skip
    assert [("shop", "1.0", '{"host.name":"h","service.name":"shop","service.version":"1.4"}')] == rows(
        store,
        "SELECT s.name, s.version, r.attributes FROM events e JOIN resources r ON r.id = e.resource_id "
        "JOIN scopes s ON s.id = e.scope_id",
    )


def test_what_bizspan_tells_is_found(intake: Intake, store: Store) -> None:
    """
    Events as the spool encodes them, each with every fact in its place.
    """
    shop = Shop()
    for request in shop.requests(200, size=50):
        intake.take("logs", "protobuf", request)

    found = rows(
        store,
        "SELECT uid, time_ns, outcome, segment, country, coalesce(revenue_currency, ''), revenue_minor FROM events",
    )
    assert {(s.uid, s.time_ns, s.outcome, s.segment, s.country, s.currency, s.minor) for s in shop.sold} == set(found)


@pytest.mark.parametrize(
    ("key", "value", "column", "kept"),
    [
        (names.ORDER, {"int_value": 7}, "7", None),
        (names.ORDER, {"bool_value": True}, "true", None),
        (names.ORDER, {"double_value": 1.5}, "1.5", None),
        (names.ORDER, {"bytes_value": b"\x01\xff"}, "01ff", None),
        (names.ORDER, {}, None, "null"),
        (names.OPERATION_DURATION, {"int_value": 2}, 2.0, None),
        (names.OPERATION_DURATION, {"double_value": math.inf}, None, '"Infinity"'),
        (names.OPERATION_DURATION, {"string_value": "long"}, None, '"long"'),
        (names.MINOR_UNITS_KEYS[names.REVENUE], {"double_value": 9.9}, None, "9.9"),
        (names.MINOR_UNITS_KEYS[names.REVENUE], {"bool_value": True}, None, "true"),
        (names.MINOR_UNITS_KEYS[names.REVENUE], {"int_value": -(2**63)}, -(2**63), None),
        (names.MINOR_UNITS_KEYS[names.REVENUE], {"string_value": "100"}, 100, None),
        (names.MINOR_UNITS_KEYS[names.REVENUE], {"string_value": "-0042"}, -42, None),
        (names.MINOR_UNITS_KEYS[names.REVENUE], {"string_value": str(2**63)}, None, f'"{2**63}"'),
        (names.MINOR_UNITS_KEYS[names.REVENUE], {"string_value": "1e2"}, None, '"1e2"'),
        (names.MINOR_UNITS_KEYS[names.REVENUE], {"string_value": " 100"}, None, '" 100"'),
        (names.MINOR_UNITS_KEYS[names.REVENUE], {"string_value": "١"}, None, '"١"'),
        ("x", {"double_value": math.nan}, None, '"NaN"'),
        ("x", {"string_value": 'a"\\\n\u2028é'}, None, '"a\\"\\\\\\n\u2028é"'),
    ],
    ids=str,
)
def test_a_value_of_another_type_is_not_lost(key: str, value: dict[str, Any], column: object, kept: str | None) -> None:
    """
    A text column takes plain values as text; what fits no column stays with the attributes; digits are
    a whole number. Both encodings agree.
    """
    for batch in both(request_of(an_event(attributes=[attribute(key, **value)]))):
        (row,) = rows_of(batch)
        if key in COLUMNS:
            assert column == row[INDEX[COLUMNS[key].name]]
        assert ("{}" if kept is None else f'{{"{key}":{kept}}}') == row[INDEX["attributes"]]


def test_a_record_without_a_name_is_a_log_record(intake: Intake, store: Store) -> None:
    """
    It is kept apart from events, and counts in no minute; the older attribute `event.name` makes it an event.
    """
    line = LogRecord(time_unix_nano=START_NS, body=AnyValue(string_value="hello"))
    older = LogRecord(time_unix_nano=START_NS, attributes=[attribute("event.name", string_value="invoice.paid")])

    assert Stored(2) == intake.take("logs", "protobuf", request_of(line, older).SerializeToString())
    assert ['"hello"'] == rows(store, "SELECT body FROM logs")
    assert [("invoice.paid", "{}")] == rows(store, "SELECT name, attributes FROM events")
    assert [("invoice.paid", 1)] == rows(store, "SELECT name, count FROM minute_counts")


@pytest.mark.parametrize(
    ("time", "observed", "found"),
    [
        (5, 7, (5, 7)),
        (0, 7, (7, 7)),
        (0, 0, (RECEIVED_NS, None)),
        (2**64 - 1, 7, (7, 7)),
        (2**63, 2**63, (RECEIVED_NS, None)),
        (2**63 - 1, 0, (2**63 - 1, None)),
    ],
)
def test_a_time_that_cannot_be_gives_way(time: int, observed: int, found: tuple[int, int | None]) -> None:
    """
    Then the observed time is used, then that of arrival; the event is kept.
    """
    record = LogRecord(time_unix_nano=time, observed_time_unix_nano=observed, event_name="a")
    for batch in both(request_of(record)):
        (row,) = rows_of(batch)
        assert found == (row[INDEX["time_ns"]], row[INDEX["observed_ns"]])


def test_without_a_uid_the_content_stands_for_it(intake: Intake, store: Store) -> None:
    """
    Sent again, also in the other encoding, an event without uid counts once; another one at the same time counts.
    """
    one = an_event(attributes=[attribute("n", int_value=1), attribute("m", int_value=1)])
    same = an_event(attributes=[attribute("m", int_value=1), attribute("n", int_value=1)])
    other = an_event(attributes=[attribute("n", int_value=2)])

    assert Stored(2) == intake.take("logs", "protobuf", request_of(one, other).SerializeToString())
    assert Stored(0, 2) == intake.take("logs", "json", otlp_json(request_of(same, other)).encode())
    assert Stored(1) == intake.take("logs", "protobuf", request_of(one, service_name="b").SerializeToString())


def test_without_any_time_each_counts(intake: Intake) -> None:
    """
    Nothing tells a further one from one that is sent again.
    """
    request = request_of(LogRecord(event_name="a"), LogRecord(event_name="a")).SerializeToString()

    assert Stored(2) == intake.take("logs", "protobuf", request)
    assert Stored(2) == intake.take("logs", "protobuf", request)


def test_a_uid_that_is_too_long_is_replaced(intake: Intake) -> None:
    """
    By its content's, so that the index stays small and the event still counts once.
    """
    request = request_of(an_event(attributes=[attribute(names.RECORD_UID, string_value="u" * 10_000)]))

    assert Stored(1) == intake.take("logs", "protobuf", request.SerializeToString())
    assert Stored(0, 1) == intake.take("logs", "protobuf", request.SerializeToString())


def test_the_resource_may_come_last() -> None:
    """
    Protobuf has no order of fields: the records' resource is found where it is.
    """
    request = request_of(an_event(), service_name="shop")
    (by_resource,) = request.resource_logs
    scopes, resource = by_resource.scope_logs[0].SerializeToString(), by_resource.resource.SerializeToString()
    inner = b"\x12" + bytes((len(scopes),)) + scopes + b"\x0a" + bytes((len(resource),)) + resource

    (row,) = told(LogDecoder().decode(b"\x0a" + bytes((len(inner),)) + inner, RECEIVED_NS))

    assert "shop" == row["service"]


# --- any record, against the library --------------------------------------------------------------------------------

_TEXT = st.text(st.characters(codec="utf-8"), max_size=200)
_SCALARS: Any = st.one_of(
    st.builds(AnyValue, string_value=_TEXT),
    st.builds(AnyValue, int_value=st.integers(-(2**63), 2**63 - 1)),
    st.builds(AnyValue, double_value=st.floats()),
    st.builds(AnyValue, bool_value=st.booleans()),
    st.builds(AnyValue, bytes_value=st.binary(max_size=20)),
    st.builds(AnyValue),
)
_VALUES: Any = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda values: AnyValue(array_value=ArrayValue(values=values))),
        st.dictionaries(_TEXT, inner, max_size=3).map(
            lambda pairs: AnyValue(
                kvlist_value=KeyValueList(values=[KeyValue(key=k, value=v) for k, v in pairs.items()])
            )
        ),
    ),
    max_leaves=6,
)
_KEYS = st.one_of(st.sampled_from([*COLUMNS, names.RECORD_UID, names.SEQUENCE, "event.name"]), _TEXT)
_RECORDS: Any = st.builds(
    LogRecord,
    time_unix_nano=st.integers(0, 2**64 - 1),
    observed_time_unix_nano=st.integers(0, 2**64 - 1),
    severity_number=st.integers(0, 24),
    severity_text=_TEXT,
    event_name=_TEXT,
    body=_VALUES,
    flags=st.integers(0, 2**32 - 1),
    dropped_attributes_count=st.integers(0, 2**32 - 1),
    trace_id=st.one_of(st.binary(min_size=16, max_size=16), st.binary(max_size=20)),
    span_id=st.one_of(st.binary(min_size=8, max_size=8), st.binary(max_size=20)),
    attributes=st.dictionaries(_KEYS, _VALUES, max_size=8).map(
        lambda pairs: [KeyValue(key=key, value=value) for key, value in pairs.items()]
    ),
)


@pytest.mark.fuzz
@given(st.lists(_RECORDS, max_size=4))
def test_both_encodings_of_any_record_give_the_same_rows(records: list[LogRecord]) -> None:
    """
    What the hand-written decoder reads from bytes is what is read from the library's own JSON of the same records.
    """
    by_bytes, by_json = both(request_of(*records))

    for table in ("events", "logs"):
        assert comparable(told(by_bytes, table)) == comparable(told(by_json, table))
    assert (by_bytes.refused, by_bytes.resources, by_bytes.scopes) == (
        by_json.refused,
        by_json.resources,
        by_json.scopes,
    )


def comparable(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """In one order, as records of one event come together. Zero and nothing are the same in protobuf."""
    told = [
        {name: value for name, value in row.items() if value or name not in ("severity", "flags", "severity_text")}
        for row in found
    ]
    for row in told:
        if row["time_ns"] == RECEIVED_NS and row["uid"].startswith("content:"):
            row["uid"] = "content:"  # without a time its place in the request is in it
    return sorted(told, key=repr)


@given(_RECORDS)
def test_a_decoder_that_has_seen_a_record_reads_it_the_same(record: LogRecord) -> None:
    """
    What is remembered from one record is right for the next.
    """
    data, decoder = request_of(record).SerializeToString(), LogDecoder()

    first, second = decoder.decode(data, RECEIVED_NS), decoder.decode(data, RECEIVED_NS)

    assert (told(first), told(first, "logs")) == (told(second), told(second, "logs"))


_KINDS: Any = st.sampled_from(
    [
        st.builds(AnyValue, string_value=_TEXT),
        st.builds(AnyValue, string_value=st.sampled_from(["", "a", "\0", "\u00e9", "x" * 126, "x" * 200])),
        st.builds(AnyValue, int_value=st.integers(-(2**63), 2**63 - 1)),
        st.builds(AnyValue, int_value=st.integers(0, 300)),
        st.builds(AnyValue, double_value=st.floats()),
        _SCALARS,
    ]
)
_SHAPES: Any = st.dictionaries(_KEYS, _KINDS, min_size=1, max_size=5)


@st.composite
def alike(draw: st.DrawFn) -> list[LogRecord]:
    """Records of one event that say the same things in the same order, as an application tells them; some differ."""
    found: list[LogRecord] = []
    for shape in draw(st.lists(_SHAPES, min_size=1, max_size=2)):
        for _ in range(draw(st.integers(1, 6))):
            record = draw(_RECORDS) if draw(st.integers(0, 4)) == 0 else LogRecord(time_unix_nano=START_NS, flags=1)
            record.event_name = "invoice.paid"
            del record.attributes[:]
            record.attributes.extend(KeyValue(key=key, value=draw(kind)) for key, kind in shape.items())
            found.append(record)
    return draw(st.permutations(found))


_VALUE, _TEXT_TAG, _ARRAY, _LIST = b"\x12", b"\x0a", b"\x2a", b"\x32"  # of KeyValue, and of AnyValue


def an_entry(key: str, number: int) -> bytes:
    """What an array or a list of keys and values has once."""
    if key:
        return _wire.field(_LIST, _wire.field(b"\x0a", attribute(key, int_value=number).SerializeToString()))
    return _wire.field(_ARRAY, _wire.field(b"\x0a", AnyValue(int_value=number).SerializeToString()))


@pytest.mark.parametrize("count", [1, 60])
@pytest.mark.parametrize(
    "values",
    [
        [b"\x18\x05\x18\x07"],
        [b"\x18\x05" + _wire.field(_TEXT_TAG, b"last")],
        [_wire.field(_TEXT_TAG, b"first") + b"\x10\x01"],
        [b"\x21" + struct.pack("<d", 0.5) + b"\x10\x01"],
        [_wire.field(_TEXT_TAG, b"old"), _wire.field(_TEXT_TAG, b"new")],
        [_wire.field(_TEXT_TAG, b"kept"), b""],
        [b"", _wire.field(_TEXT_TAG, b"kept")],
        [an_entry("a", 1) + an_entry("b", 2)],
        [an_entry("a", 1), an_entry("b", 2)],
        [an_entry("", 1), an_entry("", 2)],
        [an_entry("", 1), b"\x18\x05", an_entry("", 2)],
        [an_entry("", 1), an_entry("a", 2)],
    ],
)
def test_what_is_told_twice_is_what_the_library_reads(values: list[bytes], count: int) -> None:
    """
    The last value of several counts, and messages that come in parts are joined, as protobuf says.
    """
    encoded = _wire.field(b"\x0a", b"k") + b"".join(_wire.field(_VALUE, value) for value in values)
    record = _wire.field(b"\x12", an_event().SerializeToString() + _wire.field(b"\x32", encoded))
    data = _wire.field(b"\x0a", _wire.field(b"\x12", record * count))
    library = ExportLogsServiceRequest.FromString(data)
    document = reading_json.document_of(otlp_json(library).encode())

    by_library = told(reading_json.logs(document, RECEIVED_NS))
    assert by_library == told(LogDecoder().decode(data, RECEIVED_NS))
    assert count == len(by_library)


def test_a_small_request_amid_a_large_one_costs_it_nothing(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    They are decoded by two threads at once; what one learns of new keys does not stop the other.
    """

    def of_keys(key: str, count: int) -> bytes:
        return request_of(
            *(an_event(attributes=[attribute(key, int_value=number)]) for number in range(count))
        ).SerializeToString()

    def remembered(key: _log_keys.Key) -> int:
        if not others:
            others.append(threading.Thread(target=intake.take, args=("logs", "protobuf", small)))
            others[0].start()
            others[0].join(10)
        return 0

    small, large = of_keys("shop.small", 30), of_keys("shop.large", 60)
    others: list[threading.Thread] = []
    monkeypatch.setattr(_intake, "_LARGE", len(small))
    intake.take("logs", "protobuf", large)
    monkeypatch.setattr(_log_keys.Key, "remembered", property(remembered))
    intake.take("logs", "protobuf", large)

    assert not others[0].is_alive()
    assert 60 + 60 + 30 == intake.total.stored + intake.total.already


@pytest.mark.fuzz
@given(alike())
def test_records_that_look_alike_give_the_same_rows(records: list[LogRecord]) -> None:
    """
    What is read by column, from what was learned of the keys, is what is read from the library's JSON one by one.
    """
    request, decoder = request_of(*records), LogDecoder()
    _, by_json = both(request)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_log_columns, "_ALIKE_LEAST", 1)
        patch.setattr(_log_columns, "_STRANGERS_MOST", 1)
        patch.setattr(_log_keys, "_LEARNED", 0)  # that values are new each time is learned at once
        for _ in range(3):
            by_bytes = decoder.decode(request.SerializeToString(), RECEIVED_NS)
            assert comparable(told(by_json)) == comparable(told(by_bytes))


def test_columns_are_used_where_records_look_alike() -> None:
    """
    All of a shop's events are read by column, a few odd ones beside them are not, and cost the others nothing.
    """
    told_by_a_shop = ExportLogsServiceRequest.FromString(next(Shop().requests(300)))
    every = told_by_a_shop.resource_logs[0].scope_logs[0].log_records
    records = [each for each in every if len(each.attributes) == len(every[0].attributes)][:200]
    for record in (records[20], records[50], records[99]):
        record.attributes[0].value.array_value.values.add(int_value=1)
    records[7].attributes[1].key = "another.key"

    batch = LogDecoder().decode(request_of(*records).SerializeToString(), RECEIVED_NS)

    assert 200 == batch.size
    assert 196 == sum(count for _, count in batch.blocks["events"])


def test_a_request_of_several_mebibytes_is_read_whole(intake: Intake, store: Store) -> None:
    """
    It is taken apart in pieces: each record once, its scope wherever it stands, and what is too large is refused.
    """
    request = request_of(*(an_event(attributes=[attribute("n", int_value=n)]) for n in range(3_000)))
    records = request.resource_logs[0].scope_logs[0].log_records
    for record in records[::3]:
        record.attributes.add(key="long").value.string_value = "x" * 2_000
    records.add(event_name="large", time_unix_nano=1).attributes.add(key="long").value.string_value = "x" * (1 << 20)
    records.add(event_name="last", time_unix_nano=1)

    taken = intake.take("logs", "protobuf", request.SerializeToString())

    assert (3_001, 0, 1) == (taken.stored, taken.already, taken.refused)
    assert [(3_000, 3_000, "shop")] == rows(
        store,
        "SELECT count(*), count(DISTINCT e.attributes), s.name FROM events e JOIN scopes s ON s.id = e.scope_id "
        "WHERE e.name = 'invoice.paid'",
    )


# --- what is no request ---------------------------------------------------------------------------------------------


@given(st.binary(max_size=200))
def test_any_bytes_are_a_request_or_damaged(data: bytes) -> None:
    """
    Nothing else comes of them.
    """
    try:
        LogDecoder().decode(data, RECEIVED_NS)
    except Damaged as why:
        assert "not an ExportLogsServiceRequest" in str(why)


@given(st.data())
def test_a_damaged_request_is_seen_or_a_request(data: st.DataObject) -> None:
    """
    A flipped byte, and a cut anywhere, never raise anything else.
    """
    request = bytearray(next(Shop(data.draw(st.integers(0, 9))).requests(3)))
    cut = data.draw(st.integers(0, len(request)))
    at = data.draw(st.integers(0, len(request) - 1))
    request[at] = data.draw(st.integers(0, 255))
    for damaged in (bytes(request[:cut]), bytes(request)):
        try:
            batch = LogDecoder().decode(damaged, RECEIVED_NS)
        except Damaged:
            continue
        json.dumps(told(batch))


def test_a_value_that_is_nested_too_deep_costs_its_record_alone(intake: Intake, store: Store) -> None:
    """
    The others of the request are stored, and the sender is told how many were not.
    """
    deep = AnyValue(string_value="end")
    for _ in range(20):
        deep = AnyValue(array_value=ArrayValue(values=[deep]))
    request = request_of(
        an_event(body=deep), an_event(), LogRecord(event_name="deep", attributes=[KeyValue(key="a", value=deep)])
    )

    for encoding, data in (("protobuf", request.SerializeToString()), ("json", otlp_json(request).encode())):
        taken = intake.take("logs", "json" if encoding == "json" else "protobuf", data)
        assert (2, "a log record with a value that is nested too deep") == (taken.refused, taken.why)
    assert ["invoice.paid"] == rows(store, "SELECT name FROM events")


def test_too_many_records_are_refused_before_they_take_room(intake: Intake) -> None:
    """
    Two bytes make an empty record; a request with more than 50,000 of them is not decoded.
    """
    empty = b"\x12\x00" * (RECORDS_MOST + 1)
    request = _wire.field(b"\x0a", _wire.field(b"\x12", empty))
    for signal in SIGNALS:
        with pytest.raises(TooMany):
            intake.take(signal, "protobuf", request)


@pytest.mark.parametrize("where", ["resources", "scopes", "attributes of a resource", "attributes of a scope"])
def test_a_flood_of_empty_messages_is_refused_soon(intake: Intake, where: str) -> None:
    """
    Two bytes each, millions of them: nothing is made of each before it is seen that there are too many.
    """
    flood = 4 << 20
    data = {
        "resources": b"\x0a\x00" * flood,
        "scopes": _wire.field(b"\x0a", b"\x12\x00" * flood),
        "attributes of a resource": _wire.field(b"\x0a", _wire.field(b"\x0a", b"\x0a\x00" * flood)),
        "attributes of a scope": _wire.field(b"\x0a", _wire.field(b"\x12", _wire.field(b"\x0a", b"\x1a\x00" * flood))),
    }[where]
    began = time.thread_time()

    with pytest.raises((TooMany, Damaged)):
        intake.take("logs", "protobuf", data)

    assert time.thread_time() - began < 2


def test_a_flood_in_json_is_refused_soon(intake: Intake) -> None:
    """
    As in protobuf.
    """
    floods: list[Any] = [
        {"resourceLogs": [{}] * 100_000},
        {"resourceLogs": [{"scopeLogs": [{}] * 100_000}]},
        {"resourceLogs": [{"scopeLogs": [{"logRecords": [{}] * (RECORDS_MOST + 1)}]}]},
    ]
    for document in floods:
        with pytest.raises(TooMany):
            intake.take("logs", "json", json.dumps(document).encode())


ODD_RECORDS: Any = [
    ({"eventName": "a", "attributes": [{"key": "n", "value": {"intValue": str(2**63)}}]}, 1),
    ({"eventName": "a", "attributes": [{"key": "n", "value": {"intValue": 1.5}}]}, 1),
    ({"eventName": "a", "attributes": [{"key": 7, "value": {}}]}, 1),
    ({"eventName": "a", "attributes": "none"}, 1),
    ({"eventName": 7}, 1),
    ("a", 1),
    ({"eventName": "a", "attributes": [{"key": "n"}], "unknown": [1]}, 0),
    ({"eventName": "a", "timeUnixNano": "-5", "traceId": "xyz", "flags": 7}, 0),
    ({"eventName": "\ud800 half", "attributes": [{"key": "\udfff", "value": {"stringValue": "\ud83d"}}]}, 0),
]


@pytest.mark.parametrize(("record", "refused"), ODD_RECORDS, ids=str)
def test_a_record_that_is_none_costs_itself_alone(intake: Intake, store: Store, record: Any, refused: int) -> None:
    """
    In JSON anything can stand anywhere: the good record beside it is stored in any case.
    """
    document = {"resourceLogs": [{"scopeLogs": [{"logRecords": [record, {"eventName": "good"}]}]}]}

    taken = intake.take("logs", "json", json.dumps(document).encode())

    assert (2 - refused, refused) == (taken.stored, taken.refused)
    assert "good" in rows(store, "SELECT name FROM events")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not JSON"),
        (b"[]", "not a JSON object"),
        (b'{"resourceLogs": 7}', "not an ExportLogsServiceRequest"),
        (b'{"resourceLogs": [7]}', "not an ExportLogsServiceRequest"),
        (b'{"resourceLogs": [{"resource": {"attributes": [1]}}]}', "not an ExportLogsServiceRequest"),
        (b"[" * 100_000, "nested too deep"),
        (b'{"a":' * 100_000, "nested too deep"),
        (b'{"a": "\xff\xfe"}', "not JSON"),
        (b'{"a": %s}' % (b"9" * 5_000), "not JSON"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_no_request_is_damaged(intake: Intake, data: bytes, why: str) -> None:
    """
    With the reason, and nothing is stored.
    """
    for signal in SIGNALS:
        if signal != "logs" and b"resourceLogs" in data:
            continue  # unknown to them
        with pytest.raises(Damaged, match=why):
            intake.take(signal, "json", data)
