"""
From a record to the bytes that a segment stores and a collector takes, without anything built in between.

The SDK builds a protobuf object for each value and then serialises it. Here most of a record is looked up: what
stands in front of a value depends on its key alone, and few attributes have more than a few values.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from bizspan import names
from bizspan._guard import Tallies
from bizspan._wire import ATTRIBUTE, Walk, field, utf8
from bizspan._wire_attributes import KEYS, ONCE, VALUES_EACH, Attributes, Key
from bizspan._wire_logs import Fields, link, link_of, log_record

if TYPE_CHECKING:
    from bizspan._record import Record
    from bizspan._wire_logs import ReadableLog

_OWN: Final = frozenset({names.RECORD_UID, names.WRITER_ID, names.SEQUENCE})

# Never remembered as keys, so that telling them apart costs nothing where they do not occur.
_OWN_AND_DURATION: Final = _OWN | {names.OPERATION_DURATION}

_NANOS: Final = 1_000_000_000
_UINT64: Final = 2**64 - 1
_SEVERITY: Final = 9  # INFO
# A body that is there and empty, as the SDK's encoder writes None.
_INFO_WITHOUT_BODY: Final = b"\x10\x09\x2a\x00"

_DURATION: Final = Key(ATTRIBUTE, names.OPERATION_DURATION).double

_pack_times: Final = Struct("<BQBQ4s").pack
_pack_duration: Final = Struct(f"<{len(_DURATION)}sd").pack
_pack_link: Final = Struct(">HQQHQBB3x").pack


class Encoder:
    """
    Encodes the log records of one writer.

    Whatever a record holds, encoding never raises: what OTLP cannot carry is left out and counted.

    Args:
        writer_id: Goes onto every record of ours.
        time_ns: When a record is observed, in nanoseconds since the epoch.
    """

    __slots__ = (
        "_attributes", "_before_uid", "_event_names", "_foreign", "_time_ns", "_writer", "_writer_id", "values_refused",
    )  # fmt: skip

    def __init__(self, writer_id: str, *, time_ns: Callable[[], int] = time.time_ns) -> None:
        self.values_refused = Tallies()
        self._time_ns = time_ns
        self._writer_id = writer_id
        self._writer = Key(ATTRIBUTE, names.WRITER_ID).before[len(writer_id.encode())] + writer_id.encode()
        self._before_uid = Key(ATTRIBUTE, names.RECORD_UID).before
        self._attributes = Attributes(ATTRIBUTE, once=ONCE, never=_OWN_AND_DURATION)
        self._foreign = Attributes(ATTRIBUTE)
        self._event_names: dict[str, bytes] = {}

    def prefix(self, record: Record) -> bytes:
        """
        Everything of a record's LogRecord but its sequence number, which is known later; see `numbered`.
        """
        try:
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
            self._attributes.add(record.attributes, add, without)
            if record.duration_ns is not None:
                add(_pack_duration(_DURATION, record.duration_ns / _NANOS))
            uid = record.uid.encode()
            parts += (self._before_uid[len(uid)], uid, self._writer)
            return b"".join(parts)
        except Exception:
            # A lone surrogate, a number beyond 64 bits, a value of no known type: each field on its own.
            return self._careful(record)

    def foreign_prefix(self, data: ReadableLog, uid: str) -> bytes:
        """
        Any log record of the SDK as one of this writer's: with a uid, and ready for its number.

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
                log_record(fields, walk, *self._foreign.encode(walk, told)),
                self._before_uid[len(text)],
                text,
                self._writer,
            )
        )

    def _event_name(self, name: str) -> bytes:
        encoded = field(b"\x62", name.encode())
        if len(self._event_names) < KEYS and len(encoded) <= VALUES_EACH:
            self._event_names[name] = encoded
        return encoded

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
