"""
From a record to the bytes that a segment stores and a collector takes, without anything built in between.

The SDK builds a protobuf object for each value and then serialises it. Here most of a record is looked up: what
stands in front of a value depends on its key alone, and few attributes have more than a few values.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from struct import Struct
from typing import TYPE_CHECKING, Any, Final, cast

from bizspan import names
from bizspan._guard import Tallies
from bizspan.spool._foreign import Fields, link, link_of, log_record
from bizspan.spool._wire import (
    ATTRIBUTE,
    BOOL,
    DOUBLE,
    INT,
    MOST_BYTES,
    STRING,
    Walk,
    WireError,
    before_value,
    field,
    pack_double,
    utf8,
    varint,
)

if TYPE_CHECKING:
    from bizspan._record import Record
    from bizspan.spool._foreign import ReadableLog

# What is remembered at most, some 1.5 MB: keys, values of one key, and of all; longer values are not.
KEYS: Final = 1024
VALUES_EACH: Final = 256
VALUES_ALL: Final = 4096
LONGEST: Final = 64

# Another value at each record: remembering these would take the room of what comes again.
_ONCE: Final = frozenset({names.RECORD_UID, names.OPERATION_ID, names.ORDER, names.CUSTOMER, names.SESSION})
_OWN: Final = frozenset({names.RECORD_UID, names.WRITER_ID, names.SEQUENCE})

# Never remembered as keys, so that telling them apart costs nothing where they do not occur.
_OWN_AND_DURATION: Final = _OWN | {names.OPERATION_DURATION}
_NONE: Final[frozenset[str]] = frozenset()

_NANOS: Final = 1_000_000_000
_UINT64: Final = 2**64 - 1
_SEVERITY: Final = 9  # INFO
# A body that is there and empty, as the SDK's encoder writes None.
_INFO_WITHOUT_BODY: Final = b"\x10\x09\x2a\x00"

_pack_times: Final = Struct("<BQBQ4s").pack
_pack_link: Final = Struct(">HQQHQBB3x").pack


class _Key:
    """What stands in front of the values of one key, and the values that were seen, whole."""

    __slots__ = ("double", "false", "field", "ints", "known", "once", "true")

    def __init__(self, key: str, *, once: bool = True) -> None:
        self.field = field(b"\x0a", key.encode())
        self.once = once
        # By value: the whole attribute. By length: what stands in front of a text of so many bytes.
        self.known: dict[str | int, bytes] = {}
        self.false, self.true = (before_value(ATTRIBUTE, self.field, start, 0) for start in BOOL)
        self.double = before_value(ATTRIBUTE, self.field, DOUBLE, 8)
        self.ints = tuple(before_value(ATTRIBUTE, self.field, INT, length) for length in range(11))

    def before_text(self, length: int) -> bytes:
        """What stands in front of a text."""
        return before_value(ATTRIBUTE, self.field, STRING + varint(length), length)


_DURATION: Final = _Key(names.OPERATION_DURATION).double
_SEQUENCES: Final = _Key(names.SEQUENCE).ints


class Encoder:
    """
    Encodes the log records of one writer.

    Whatever a record holds, encoding never raises: what OTLP cannot carry is left out and counted.

    Args:
        writer_id: Goes onto every record of ours.
        time_ns: When a record is observed, in nanoseconds since the epoch.
    """

    __slots__ = (
        "_event_names", "_foreign_keys", "_keys", "_remembered", "_time_ns", "_uid", "_writer", "_writer_id",
        "values_refused",
    )  # fmt: skip

    def __init__(self, writer_id: str, *, time_ns: Callable[[], int] = time.time_ns) -> None:
        self.values_refused = Tallies()
        self._time_ns = time_ns
        self._writer_id = writer_id
        self._writer = _Key(names.WRITER_ID).before_text(len(writer_id.encode())) + writer_id.encode()
        self._uid = _Key(names.RECORD_UID)
        self._keys: dict[str, _Key] = {}
        self._foreign_keys: dict[str, _Key] = {}
        self._event_names: dict[str, bytes] = {}
        self._remembered = 0

    def prefix(self, record: Record) -> bytes:
        """
        Everything of a record's LogRecord but its sequence number, which is known later, under a lock.
        """
        try:
            return self._prefix(record)
        except Exception:
            # A lone surrogate, a number beyond 64 bits, a value of no known type: each field on its own.
            return self._careful(record)

    def finish(self, prefix: bytes, sequence: int) -> bytes:
        """
        The whole LogRecord with the tag and length that it has inside a ScopeLogs.

        Args:
            prefix: From `prefix`.
            sequence: The record's number, of its writer.
        """
        number = varint(sequence)
        before = _SEQUENCES[len(number)]
        return b"".join((b"\x12", varint(len(prefix) + len(before) + len(number)), prefix, before, number))

    def foreign(self, data: ReadableLog) -> bytes:
        """
        Any log record of the SDK, as it is, with the tag and length that it has inside a ScopeLogs.
        """
        walk = Walk(self.values_refused.add)
        fields = Fields.of(data)
        return field(b"\x12", log_record(fields, walk, *self._attributes(walk, fields.attributes)))

    def foreign_prefix(self, data: ReadableLog, uid: str) -> bytes:
        """
        Any log record of the SDK as one of this writer's: with a uid, and ready for `finish`.

        Args:
            data: The record. A writer and a sequence that it has are another spool's, and give way to this one's.
            uid: What tells it from every other one.
        """
        walk = Walk(self.values_refused.add)
        fields = Fields.of(data)
        told: Any = fields.attributes
        try:
            told = {key: value for key, value in told.items() if key not in _OWN} if told else None
        except Exception:
            told = None
            self.values_refused.add("type")
        text = utf8(uid)
        return b"".join(
            (
                log_record(fields, walk, *self._attributes(walk, told)),
                self._uid.before_text(len(text)),
                text,
                self._writer,
            )
        )

    def _prefix(self, record: Record) -> bytes:
        event_name = self._event_names.get(record.event_name) or self._event_name(record.event_name)
        parts = [_pack_times(0x09, record.time_ns, 0x59, self._time_ns(), _INFO_WITHOUT_BODY), event_name]
        add = parts.append
        if record.span_context is not None:
            # As the tuple that it is: its properties take as long again as everything else about it.
            trace_id, span_id, _, flags, _, _ = record.span_context
            if trace_id and span_id:
                add(_pack_link(0x4A10, trace_id >> 64, trace_id & _UINT64, 0x5208, span_id, 0x45, flags))
            else:
                add(link(self.values_refused.add, trace_id, span_id, flags))
        without = _OWN if record.duration_ns is None else _OWN_AND_DURATION
        self._add_attributes(self._keys, record.attributes, add, without)
        if record.duration_ns is not None:
            add(_DURATION)
            add(pack_double(record.duration_ns / _NANOS))
        uid = record.uid.encode()
        add(self._uid.known.get(len(uid)) or self._before_text(self._uid, record.uid, uid))
        add(uid)
        add(self._writer)
        return b"".join(parts)

    def _add_attributes(
        self, keys: dict[str, _Key], attributes: dict[str, Any], add: Callable[[bytes], object], without: frozenset[str]
    ) -> None:
        for key, value in attributes.items():
            known = keys.get(key)
            if known is None:
                add(self._unseen(keys, key, value, without))
                continue
            plain: object = value  # so that a type checker knows what type() gives
            kind = type(plain)
            if kind is str:
                whole = known.known.get(value)
                if whole is not None:
                    add(whole)
                    continue
                text = value.encode()
                before = known.known.get(len(text))
                add(before or self._before_text(known, value, text))
                add(text)
            elif kind is int:
                number = varint(value)
                add(known.ints[len(number)])
                add(number)
            elif kind is float:
                add(known.double)
                add(pack_double(value))
            elif kind is bool:
                add(known.true if value else known.false)
            else:
                add(self._other(key, value))

    def _event_name(self, name: str) -> bytes:
        encoded = field(b"\x62", name.encode())
        if len(self._event_names) < KEYS and len(encoded) <= VALUES_EACH:
            self._event_names[name] = encoded
        return encoded

    def _unseen(self, keys: dict[str, _Key], key: str, value: object, without: frozenset[str]) -> bytes:
        if key in without:
            return b""  # the record's own stands for it
        ours = keys is self._keys
        if (
            type(key) is str
            and len(key) <= VALUES_EACH
            and len(keys) < KEYS
            and not (ours and key in _OWN_AND_DURATION)
        ):
            # Of others nothing is remembered: it may be personal, and would take the room of what comes again.
            keys[key] = _Key(key, once=not ours or key in _ONCE)
        return self._other(key, value)

    def _before_text(self, key: _Key, value: str, text: bytes) -> bytes:
        length = len(text)
        if length > MOST_BYTES:
            raise WireError("size")
        before = key.before_text(length)
        if key.once or length > LONGEST or len(key.known) >= VALUES_EACH or self._remembered >= VALUES_ALL:
            if length < 128:
                key.known[length] = before
        else:
            # Two threads at once may count one less: the bound is on memory, not on the number.
            self._remembered += 1
            key.known[value] = before + text
        return before

    def _other(self, key: str, value: object) -> bytes:
        return field(ATTRIBUTE, Walk(_raised).key_value(key, value))

    def _careful(self, record: Record) -> bytes:
        attributes: dict[str, object] = {**record.attributes}
        if record.duration_ns is not None:
            try:
                attributes[names.OPERATION_DURATION] = record.duration_ns / _NANOS
            except Exception:
                self.values_refused.add("type")
        attributes |= {names.RECORD_UID: record.uid, names.WRITER_ID: self._writer_id}
        attributes.pop(names.SEQUENCE, None)
        walk = Walk(self.values_refused.add)
        fields = Fields(
            timestamp=record.time_ns,
            observed=self._time_ns(),
            severity=_SEVERITY,
            event_name=record.event_name,
            **link_of(record.span_context),
        )
        return log_record(fields, walk, *walk.attributes(ATTRIBUTE, attributes))

    def _attributes(self, walk: Walk, attributes: Any) -> tuple[bytes, int]:
        if attributes is None:
            return b"", 0
        try:
            copied: object = attributes.copy()  # of BoundedAttributes too a dict, at once
            if type(copied) is dict:
                parts: list[bytes] = []
                self._add_attributes(self._foreign_keys, cast("dict[str, Any]", copied), parts.append, _NONE)
                return b"".join(parts), 0
        except Exception:
            return walk.attributes(ATTRIBUTE, attributes)
        return walk.attributes(ATTRIBUTE, attributes)


def _raised(reason: str) -> None:
    raise WireError(reason)
