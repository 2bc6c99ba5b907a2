"""Records of ours and of others as OTLP bytes: the message is the one that the SDK's encoder makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry._logs import LogRecord as ApiLogRecord
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from bizspan import names
from bizspan._clock import Ids
from bizspan._record import Record
from bizspan.sdk._events import ReadyEventSink
from bizspan.spool import _encode
from bizspan.spool._encode import Encoder
from tests import strategies
from tests.bench.measure import CallCounter, Subject, interleaved, ratios
from tests.providers import log_exporter
from tests.spool.messages import by_the_sdk, comparable, keys, parsed, value

WRITER: Final = "0123456789abcdef0123"
OBSERVED: Final = 1_767_225_600_000_000_007
TIME: Final = 1_767_225_600_000_000_000
# Calls, Python and C, for one checkout. Measured with Python 3.11: 79.
CALLS_AT_MOST: Final = 87
PART_OF_THE_SDK: Final = 0.25

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
ints = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([-(2**63), 2**63 - 1, -1, 0, 127, 128, 16_383, 16_384, 2**21])
floats = st.floats()
values = st.one_of(
    texts, st.booleans(), ints, floats,
    *(st.lists(each, max_size=4).map(tuple) for each in (texts, st.booleans(), ints, floats)),
)  # fmt: skip
known_keys = st.sampled_from(sorted({each for each in vars(names).values() if type(each) is str and "." in each}))
attribute_keys = known_keys | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200)
attributes_of_ours = st.dictionaries(attribute_keys, values, max_size=70)
links = st.none() | st.builds(
    SpanContext,
    st.integers(0, 2**128 - 1) | st.just(0),
    st.integers(0, 2**64 - 1) | st.just(0),
    st.booleans(),
    st.integers(0, 255).map(TraceFlags),
)
times = st.integers(0, 2**64 - 1)
outcomes = st.sampled_from(
    [None, names.SUCCESS, names.REJECTED, names.FAILED, names.CANCELLED, names.ABANDONED, names.UNKNOWN]
)


@st.composite
def records_of_ours(draw: st.DrawFn) -> Record:
    """A record with anything that its types allow."""
    attributes = draw(attributes_of_ours)
    outcome = draw(outcomes)
    if outcome is not None:
        attributes[names.OPERATION_OUTCOME] = outcome
    name = draw(texts)
    uid = draw(st.uuids().map(lambda uid: uid.hex) | texts)
    duration = draw(st.none() | st.integers(0, 2**63))
    return Record(name, name, uid, draw(times), attributes, (), draw(links), outcome, duration)


def copied(record: Record) -> Record:
    """The same: a sink writes into a record's attributes."""
    return Record(
        record.event_name, record.name, record.uid, record.time_ns, dict(record.attributes), record.amounts,
        record.span_context, record.outcome, record.duration_ns,
    )  # fmt: skip


class Far:
    """An SDK's pipeline that ends in memory."""

    def __init__(self) -> None:
        self._exporter = log_exporter()
        provider = LoggerProvider(resource=Resource({}), shutdown_on_exit=False)
        provider.add_log_record_processor(SimpleLogRecordProcessor(self._exporter))
        self.logger = provider.get_logger(names.SCOPE, "1", names.SCHEMA_URL)
        self.sink = ReadyEventSink(self.logger, Ids(WRITER))

    def finished(self) -> Any:
        """The one log record that was emitted since the last call."""
        [finished] = self._exporter.get_finished_logs()
        self._exporter.clear()
        finished.log_record.observed_timestamp = OBSERVED
        return finished

    def told(self, record: Record, sequence: int) -> Any:
        """A record of ours as it leaves this pipeline."""
        self.sink(copied(record), sequence)
        return self.finished()


FAR: Final = Far()
# Two that live as long as the tests: one remembers what it meets, the other has room for next to nothing.
ENCODERS: Final = (Encoder(WRITER, time_ns=lambda: OBSERVED), Encoder(WRITER, time_ns=lambda: OBSERVED))


def encoder() -> Encoder:
    """A new one, at a fixed time."""
    return Encoder(WRITER, time_ns=lambda: OBSERVED)


@given(records_of_ours(), st.integers(1, 2**63 - 1) | st.integers(1, 300))
def test_a_record_is_the_message_that_the_sdk_makes_of_it(record: Record, sequence: int) -> None:
    """
    Whatever a record holds, and whether its keys and values were met before: the same fields, the same attributes.
    """
    expected = comparable(by_the_sdk([FAR.told(record, sequence)]))

    for each in (encoder(), ENCODERS[0], ENCODERS[0]):
        assert expected == comparable(parsed(each.finish(each.prefix(record), sequence)))
        assert {} == each.values_refused.values()


@given(records_of_ours())
def test_a_full_memory_changes_nothing(record: Record) -> None:
    """
    When no further key and value is remembered, the message stays the same.
    """
    expected = comparable(by_the_sdk([FAR.told(record, 1)]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_encode, "KEYS", 2)
        patch.setattr(_encode, "VALUES_EACH", 3)
        patch.setattr(_encode, "VALUES_ALL", 4)
        each = ENCODERS[1]

        assert expected == comparable(parsed(each.finish(each.prefix(record), 1)))


def test_encoding_leaves_the_record_alone() -> None:
    """
    What the encoder adds is in the bytes alone: another sink gets the record as it was.
    """
    record = checkout()
    before = dict(record.attributes)

    encoder().prefix(record)

    assert before == record.attributes


def test_a_record_that_went_through_another_sink_has_each_key_once() -> None:
    """
    The keys that a sink adds to the attributes are not written twice, and ours count.
    """
    record = checkout()
    before = keys(parsed(encoder().finish(encoder().prefix(record), 7)))
    record.attributes |= {names.RECORD_UID: "x", names.WRITER_ID: "x", names.SEQUENCE: 1, names.OPERATION_DURATION: 1}

    found = parsed(encoder().finish(encoder().prefix(record), 7))

    assert before == keys(found)
    assert ("u" * 32, WRITER, 7, 0.031) == (
        value(found, names.RECORD_UID).string_value,
        value(found, names.WRITER_ID).string_value,
        value(found, names.SEQUENCE).int_value,
        value(found, names.OPERATION_DURATION).double_value,
    )


def test_what_is_remembered_is_bounded() -> None:
    """
    A million keys and values, each told once, leave no more behind than the bounds say.
    """
    each = encoder()
    for number in range(3 * _encode.VALUES_EACH):
        each.prefix(Record(f"event {number}", "n", str(number), TIME, {"segment": f"segment {number}"}, (), None))
    for number in range(2 * _encode.KEYS):
        each.prefix(Record(f"event {number}", "n", str(number), TIME, {f"key {number}": "same"}, (), None))

    remembered = {type(known) for known in each._keys["segment"].known}
    assert (_encode.KEYS, _encode.KEYS, {str, int}) == (len(each._keys), len(each._event_names), remembered)
    assert len(each._keys["segment"].known) <= _encode.VALUES_EACH + 128


@pytest.mark.parametrize("key", [names.ORDER, names.CUSTOMER, names.SESSION, names.OPERATION_ID])
def test_what_is_new_each_time_is_not_remembered(key: str) -> None:
    """
    Ids, customers and orders stay out of the memory: lengths alone are kept.
    """
    each = encoder()
    for number in range(200):
        each.prefix(Record("e", "n", "u", TIME, {key: f"secret {number}"}, (), None))

    assert {int} == {type(known) for known in each._keys[key].known}


@pytest.mark.parametrize(
    ("attributes", "missing", "said"),
    [
        ({"good": 1, "bad": 2**63}, {"bad"}, {"int64": 1}),
        ({"good": 1, "bad": object()}, {"bad"}, {"type": 1}),
        ({"good": 1, "bad": ("a", object())}, {"bad"}, {"type": 1}),
        ({"good": 1, 7: "bad"}, set[str](), {"type": 1}),
        ({"good": 1, "text": "a\ud800"}, set[str](), {"surrogate": 1}),
        ({"good": 1, "key\ud800": "x"}, set[str](), {"surrogate": 1}),
    ],
)
def test_a_value_that_cannot_be_carried_is_left_out_and_counted(
    attributes: dict[Any, Any], missing: set[str], said: Mapping[str, int]
) -> None:
    """
    The rest of the record stays, at the first time and later; dropped attributes are counted on the record too.
    """
    each = encoder()
    each.prefix(checkout())  # so that some keys are known
    record = Record("e", "n", "u", TIME, {**attributes}, (), None, duration_ns=5)

    found = parsed(each.finish(each.prefix(record), 3))

    left = {key.replace("\ud800", "\ufffd") for key in attributes if type(key) is str} - missing
    added = {names.RECORD_UID, names.WRITER_ID, names.SEQUENCE, names.OPERATION_DURATION}
    assert sorted(left | added) == keys(found)
    assert said == each.values_refused.values()
    assert len(attributes) - len(left) == found.dropped_attributes_count


@pytest.mark.parametrize(
    "change",
    [
        {"time_ns": -1},
        {"time_ns": 2**64},
        {"time_ns": 1.5},
        {"uid": "a\ud800"},
        {"event_name": 7},
        {"duration_ns": 10**400},
    ],
    ids=ascii,
)
def test_a_bad_field_costs_that_field_alone(change: dict[str, Any]) -> None:
    """
    A record whose time, uid, name or duration is not one is still encoded.
    """
    each = encoder()
    record = checkout()
    for name, wrong in change.items():
        setattr(record, name, wrong)

    found = parsed(each.finish(each.prefix(record), 3))

    assert "enterprise" == value(found, names.SEGMENT).string_value
    assert 1 == sum(each.values_refused.values().values())


@given(strategies.things)
def test_no_value_makes_a_record_raise(thing: strategies.Thing) -> None:
    """
    Hostile objects, which a record never holds, would not stop it.
    """
    record = checkout()
    record.attributes["odd"] = thing.value

    found = parsed(ENCODERS[0].finish(ENCODERS[0].prefix(record), 1))

    assert {*checkout().attributes} <= {*keys(found)}


any_values = st.recursive(
    st.one_of(st.none(), texts, st.booleans(), ints, floats, st.binary(max_size=40)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts.filter(bool), inner, max_size=3),
    max_leaves=12,
)
fields_of_others = st.fixed_dictionaries(
    {},
    optional={
        "timestamp": times,
        "observed_timestamp": times,
        "severity_number": st.sampled_from(SeverityNumber),
        "severity_text": texts,
        "body": any_values,
        "attributes": st.dictionaries(texts.filter(bool), any_values, max_size=12),
        "event_name": texts,
    },
)


@given(fields_of_others, links)
def test_a_record_of_others_is_the_message_that_the_sdk_makes_of_it(
    fields: dict[str, Any], link: SpanContext | None
) -> None:
    """
    Any body, any attributes, every field set or not: the same message, for records of every logger.
    """
    if link is not None:
        fields["context"] = set_span_in_context(NonRecordingSpan(link))
    FAR.logger.emit(ApiLogRecord(**fields))
    finished = FAR.finished()
    expected = comparable(by_the_sdk([finished]))

    for each in (encoder(), ENCODERS[0]):
        assert expected == comparable(parsed(each.foreign(finished)))


@pytest.mark.filterwarnings("ignore:Log record attributes were dropped")
def test_dropped_attributes_are_told() -> None:
    """
    What the SDK dropped beyond its limit is in the count of the record.
    """
    FAR.logger.emit(attributes={f"key {number}": number for number in range(200)})
    finished = FAR.finished()

    assert 72 == parsed(encoder().foreign(finished)).dropped_attributes_count
    assert comparable(by_the_sdk([finished])) == comparable(parsed(encoder().foreign(finished)))


def test_values_of_others_are_not_remembered() -> None:
    """
    A log line may hold anything personal, and must not take the room of what comes again.
    """
    each = encoder()
    FAR.logger.emit(attributes={"user": "jane@example.org", names.SEGMENT: "gold"})
    each.foreign(FAR.finished())

    assert ({}, [set(), set()]) == (each._keys, [{*key.known} for key in each._foreign_keys.values()])


@dataclass
class Duck:
    """Shaped like an API log record, with anything in it."""

    timestamp: Any = TIME
    observed_timestamp: Any = OBSERVED
    trace_id: Any = 1
    span_id: Any = 2
    trace_flags: Any = 1
    severity_text: Any = "INFO"
    severity_number: Any = SeverityNumber.INFO
    body: Any = "body"
    attributes: Any = None
    event_name: Any = "event"


@dataclass
class Readable:
    """Shaped like the SDK's, with anything in it."""

    log_record: Duck
    dropped_attributes: Any = 0


FIELDS: Final = {
    "timestamp": "time_unix_nano", "observed_timestamp": "observed_time_unix_nano", "trace_id": "trace_id",
    "span_id": "span_id", "trace_flags": "flags", "severity_text": "severity_text", "body": "body",
    "severity_number": "severity_number", "event_name": "event_name",
}  # fmt: skip


def cyclic() -> list[Any]:
    """A list in itself."""
    found: list[Any] = []
    found.append(found)
    return found


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("timestamp", -1), ("timestamp", 2**64), ("timestamp", 1.5), ("timestamp", "now"), ("timestamp", object()),
        ("observed_timestamp", -1), ("observed_timestamp", 2**64), ("trace_id", 2**128), ("trace_id", "x"),
        ("span_id", -1), ("span_id", 2**64), ("trace_flags", 2**32), ("trace_flags", "x"), ("severity_text", 7),
        ("event_name", b"x"), ("body", 2**63), ("body", object()), ("body", {1}), ("body", ["a", {"b": 2**64}]),
        ("body", "x" * 2**21), ("body", list(range(10**5))),
    ],
    ids=lambda each: repr(each)[:20],
)  # fmt: skip
def test_a_bad_field_of_others_is_left_out(name: str, wrong: Any) -> None:
    """
    The SDK's exporter loses the whole batch over such a field; here the record keeps all its others.
    """
    each = encoder()
    expected = comparable(parsed(each.foreign(Readable(Duck(attributes={"a": 1})))))
    del expected[FIELDS[name]]

    found = parsed(each.foreign(Readable(Duck(attributes={"a": 1}, **{name: wrong}))))

    assert expected == comparable(found)
    assert 1 == sum(each.values_refused.values().values())


def test_a_cyclic_body_ends_in_a_mark() -> None:
    """
    The SDK's exporter would recurse until Python stops it.
    """
    found = parsed(encoder().foreign(Readable(Duck(body=cyclic()))))

    assert "<cyclic>" == found.body.array_value.values[0].string_value


def test_a_body_too_large_leaves_the_attributes_alone() -> None:
    """
    Attributes are encoded first.
    """
    found = parsed(encoder().foreign(Readable(Duck(body="x" * 2**21, attributes={"a": [1], "b": "c"}))))

    assert ["a", "b"] == keys(found)


class Raising:
    """Every attribute of it raises."""

    def __getattr__(self, name: str) -> Any:
        raise ValueError


@given(st.dictionaries(st.sampled_from(sorted({*FIELDS, "attributes"})), strategies.anything))
def test_no_record_of_others_raises(fields: dict[str, strategies.Thing]) -> None:
    """
    Hostile objects in any field give bytes that a parser takes.
    """
    duck = Duck(**{name: thing.value for name, thing in fields.items()})

    parsed(ENCODERS[0].foreign(Readable(duck)))


def test_a_record_that_cannot_be_read_is_an_empty_one() -> None:
    """
    Nothing raises, whatever the object is.
    """
    unreadable: Any = Raising()

    assert {} == comparable(parsed(encoder().foreign(unreadable)))


def checkout() -> Record:
    """What a shop's operation usually says."""
    attributes: dict[str, Any] = {
        names.OPERATION_NAME: "checkout", names.OPERATION_ID: "u" * 32, names.SEGMENT: "enterprise",
        names.COUNTRY: "DE", names.CHANNEL: "web", names.CAMPAIGN: "spring", names.CUSTOMER: "k1:" + "ab" * 32,
        names.ORDER: "o-4711", names.REVENUE + ".amount": 42.0, names.REVENUE + ".minor_units": 4200,
        names.REVENUE + ".currency": "EUR", names.OPERATION_OUTCOME: names.SUCCESS,
    }  # fmt: skip
    link = SpanContext(2**127 + 5, 2**63 + 7, False, TraceFlags(1))
    return Record(
        names.EVENT_OPERATION, "checkout", "u" * 32, TIME, attributes, (), link, names.SUCCESS, 31_000_000
    )  # fmt: skip


def encoding() -> Subject:
    """One checkout by our encoder."""
    each, record = Encoder(WRITER), checkout()
    return Subject("ours", lambda: each.finish(each.prefix(record), 100_000), lambda: None)


def test_a_checkout_makes_few_calls() -> None:
    """
    Python and C calls for one record stay within their limit.
    """
    assert CallCounter().count(encoding(), 50).app <= CALLS_AT_MOST


@pytest.mark.bench
def test_a_checkout_costs_a_part_of_the_sdks_encoding() -> None:
    """
    CPU in parts of the SDK's encoder for the same record, turn by turn.
    """
    finished = FAR.told(checkout(), 100_000)
    theirs = Subject("SDK", partial(encode_logs, [finished]), lambda: None)

    costs = interleaved([encoding(), theirs], rounds=9, operations=500)

    assert ratios(costs, "ours", "SDK").app_us <= PART_OF_THE_SDK
