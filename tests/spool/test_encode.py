"""Records of ours and of others as OTLP bytes: the message is the one that the SDK's encoder makes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.trace import SpanContext, TraceFlags

from bizspan import _wire_attributes, names
from bizspan._record import Record
from bizspan.spool import _encode
from bizspan.spool._encode import Encoder
from bizspan.spool._frame import numbered
from tests import strategies
from tests.bench.measure import CallCounter, Subject, interleaved, ratios
from tests.spool.far import ENCODERS, FAR, TIME, WRITER, encoder, floats, ints, links, texts, times
from tests.spool.messages import by_the_sdk, comparable, keys, parsed, value

# Calls, Python and C, for one checkout. Measured with Python 3.11: 79.
CALLS_AT_MOST: Final = 87
PART_OF_THE_SDK: Final = 0.25

values = st.one_of(
    texts, st.booleans(), ints, floats,
    *(st.lists(each, max_size=4).map(tuple) for each in (texts, st.booleans(), ints, floats)),
)  # fmt: skip
known_keys = st.sampled_from(sorted({each for each in vars(names).values() if type(each) is str and "." in each}))
attribute_keys = known_keys | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200)
attributes_of_ours = st.dictionaries(attribute_keys, values, max_size=70)
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


@given(records_of_ours(), st.integers(1, 2**63 - 1) | st.integers(1, 300))
def test_a_record_is_the_message_that_the_sdk_makes_of_it(record: Record, sequence: int) -> None:
    """
    Whatever a record holds, and whether its keys and values were met before: the same fields, the same attributes.
    """
    expected = comparable(by_the_sdk([FAR.told(record, sequence)]))

    for each in (encoder(), ENCODERS[0], ENCODERS[0]):
        assert expected == comparable(parsed(numbered(each.prefix(record), sequence)))
        assert {} == each.values_refused.values()


@given(records_of_ours())
def test_a_full_memory_changes_nothing(record: Record) -> None:
    """
    When no further key and value is remembered, the message stays the same.
    """
    expected = comparable(by_the_sdk([FAR.told(record, 1)]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_encode, "KEYS", 2)
        for bound, most in {"KEYS": 2, "VALUES_EACH": 3, "VALUES_ALL": 4}.items():
            patch.setattr(_wire_attributes, bound, most)
        each = ENCODERS[1]

        assert expected == comparable(parsed(numbered(each.prefix(record), 1)))


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
    before = keys(parsed(numbered(encoder().prefix(record), 7)))
    record.attributes |= {names.RECORD_UID: "x", names.WRITER_ID: "x", names.SEQUENCE: 1, names.OPERATION_DURATION: 1}

    found = parsed(numbered(encoder().prefix(record), 7))

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
    for number in range(3 * _wire_attributes.VALUES_EACH):
        each.prefix(Record(f"event {number}", "n", str(number), TIME, {"segment": f"segment {number}"}, (), None))
        each.prefix(Record("event 0", "n", str(number), TIME, {"amount": number}, (), None))
    for number in range(2 * _wire_attributes.KEYS):
        each.prefix(Record(f"event {number}", "n", str(number), TIME, {f"key {number}": "same"}, (), None))

    segments = each._attributes._keys["segment"]
    assert (_wire_attributes.KEYS, _wire_attributes.KEYS) == (len(each._attributes._keys), len(each._event_names))
    assert (_wire_attributes.VALUES_EACH, 3) == (len(segments.texts), len(segments.before))  # of 9, 10 and 11 bytes
    assert _wire_attributes.VALUES_EACH == len(each._attributes._keys["amount"].numbers)


@pytest.mark.parametrize("key", [names.ORDER, names.CUSTOMER, names.SESSION, names.OPERATION_ID])
def test_what_is_new_each_time_is_not_remembered(key: str) -> None:
    """
    Ids, customers and orders stay out of the memory: lengths alone are kept.
    """
    each = encoder()
    for number in range(200):
        each.prefix(Record("e", "n", "u", TIME, {key: f"secret {number}"}, (), None))

    assert {} == each._attributes._keys[key].texts


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

    found = parsed(numbered(each.prefix(record), 3))

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

    found = parsed(numbered(each.prefix(record), 3))

    assert "enterprise" == value(found, names.SEGMENT).string_value
    assert 1 == sum(each.values_refused.values().values())


@given(strategies.things)
def test_no_value_makes_a_record_raise(thing: strategies.Thing) -> None:
    """
    Hostile objects, which a record never holds, would not stop it.
    """
    record = checkout()
    record.attributes["odd"] = thing.value

    found = parsed(numbered(ENCODERS[0].prefix(record), 1))

    assert {*checkout().attributes} <= {*keys(found)}


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
    return Subject("ours", lambda: numbered(each.prefix(record), 100_000), lambda: None)


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
