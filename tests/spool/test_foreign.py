"""Log records of others as OTLP bytes: the message is the one that the SDK's encoder makes, where it makes one."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry._logs import LogRecord as ApiLogRecord
from opentelemetry._logs import SeverityNumber
from opentelemetry.trace import NonRecordingSpan, SpanContext, set_span_in_context

from bizspan import names
from bizspan._guard import Tallies
from bizspan._wire import ATTRIBUTE, Walk, field
from bizspan._wire_attributes import Attributes
from bizspan._wire_logs import Fields, log_record
from tests import strategies
from tests.spool.far import FAR, OBSERVED, TIME, encoder, floats, ints, links, texts, times
from tests.spool.messages import by_the_sdk, comparable, keys, parsed

SDK: Final = tuple(int(part) for part in version("opentelemetry-sdk").split(".")[:2])


class Others:
    """Encodes records of others, and counts what it leaves out."""

    def __init__(self) -> None:
        self.values_refused = Tallies()
        self._attributes = Attributes(ATTRIBUTE)

    def entry(self, data: Any) -> bytes:
        """One, as it is inside a ScopeLogs."""
        walk, fields = Walk(self.values_refused.add), Fields.of(data)
        return field(b"\x12", log_record(fields, walk, *self._attributes.encode(walk, fields.attributes)))


OTHERS: Final = Others()  # what it remembers of one example must not show in the next

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


@pytest.mark.skipif(SDK < (1, 40), reason="the encoder of an older SDK leaves None in a mapping out")
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

    for each in (Others(), OTHERS):
        assert expected == comparable(parsed(each.entry(finished)))


@pytest.mark.filterwarnings("ignore:Log record attributes were dropped")
def test_dropped_attributes_are_told() -> None:
    """
    What the SDK dropped beyond its limit is in the count of the record.
    """
    FAR.logger.emit(attributes={f"key {number}": number for number in range(200)})
    finished = FAR.finished()

    assert 72 == parsed(Others().entry(finished)).dropped_attributes_count
    assert comparable(by_the_sdk([finished])) == comparable(parsed(Others().entry(finished)))


def test_values_of_others_are_not_remembered() -> None:
    """
    A log line may hold anything personal, and must not take the room of what comes again.
    """
    each = encoder()
    FAR.logger.emit(attributes={"user": "jane@example.org", names.SEGMENT: "gold"})
    each.foreign_prefix(FAR.finished(), "a uid")

    kept = [{*key.texts} for key in each._foreign._keys.values()]
    assert ({}, [set(), set()]) == (each._attributes._keys, kept)


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
    each = Others()
    expected = comparable(parsed(each.entry(Readable(Duck(attributes={"a": 1})))))
    del expected[FIELDS[name]]

    found = parsed(each.entry(Readable(Duck(attributes={"a": 1}, **{name: wrong}))))

    assert expected == comparable(found)
    assert 1 == sum(each.values_refused.values().values())


def test_a_cyclic_body_ends_in_a_mark() -> None:
    """
    The SDK's exporter would recurse until Python stops it.
    """
    found = parsed(Others().entry(Readable(Duck(body=cyclic()))))

    assert "<cyclic>" == found.body.array_value.values[0].string_value


def test_a_body_too_large_leaves_the_attributes_alone() -> None:
    """
    Attributes are encoded first.
    """
    found = parsed(Others().entry(Readable(Duck(body="x" * 2**21, attributes={"a": [1], "b": "c"}))))

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

    parsed(OTHERS.entry(Readable(duck)))


def test_a_record_that_cannot_be_read_is_an_empty_one() -> None:
    """
    Nothing raises, whatever the object is.
    """
    unreadable: Any = Raising()

    assert {} == comparable(parsed(Others().entry(unreadable)))
