"""
ExportLogsServiceRequest, from protobuf bytes into rows.

By hand: a protobuf library makes an object of each attribute, which takes three times as long. What repeats, such as
``segment=enterprise``, is decoded once and then recognised by its bytes.
"""

from __future__ import annotations

from json.encoder import encode_basestring
from math import isfinite
from struct import Struct, error
from typing import Any, Final

from bizspan import names
from bizspan._wire import TooDeep, any_value, key_value, signed, typed, varint
from bizspan.lens._layout import Batch, Row
from bizspan.lens._records import (
    BODY,
    FLAGS,
    NAME,
    OBSERVED,
    RECORD_BYTES_MOST,
    SEVERITY,
    SEVERITY_TEXT,
    SPAN,
    TIME,
    TRACE,
    Key,
    Origin,
    Place,
    as_json,
    finish,
    origin_of,
    place,
    resource_of,
)

RECORDS_MOST: Final = 50_000  # of one request: each takes the room of a row, also an empty one
_MEMO_MOST: Final = 20_000
_MEMO_LONGEST: Final = 120
_KEYS_MOST: Final = 2_000
# Another value at each record.
_ONCE: Final = frozenset({names.RECORD_UID, names.OPERATION_ID, names.ORDER, names.CUSTOMER, names.SESSION})

_fixed64: Final = Struct("<Q").unpack_from
_fixed32: Final = Struct("<I").unpack_from
_double: Final = Struct("<d").unpack_from
_TRACE_BYTES, _SPAN_BYTES = 16, 8


class Damaged(Exception):  # noqa: N818 - named like what happened
    """The bytes are no request; nothing of them is kept."""


class TooMany(Exception):  # noqa: N818 - named like what happened
    """A request with more records than are taken at once; its sender should send fewer."""


class LogDecoder:
    """
    Decodes requests, one after the other or at once.
    """

    def __init__(self) -> None:
        self._memo: dict[bytes, Place] = {}
        self._keys: dict[bytes, Key] = {}

    def decode(self, data: bytes, received_ns: int) -> Batch:
        """
        The rows of one request.

        Args:
            data: An ExportLogsServiceRequest.
            received_ns: When it came.

        Raises:
            Damaged: It is none.
            TooMany: It has more records than are taken at once.
        """
        batch = Batch()
        try:
            for _, by_resource in typed(data, {1: bytes}):
                self._resource(batch, by_resource, received_ns)
        except (ValueError, IndexError, error) as why:
            raise Damaged(f"not an ExportLogsServiceRequest: {why}") from None
        return batch

    def _resource(self, batch: Batch, data: bytes, received_ns: int) -> None:
        parts = list(typed(data, {1: bytes, 2: bytes}))
        attributes: dict[str, Any] = {}
        for number, value in parts:
            if number == 1:
                attributes.update(key_value(each) for _, each in typed(value, {1: bytes}))
        resource = resource_of(batch, attributes, received_ns)
        for number, value in parts:
            if number == 2:
                self._scope(batch, value, resource)

    def _scope(self, batch: Batch, data: bytes, resource: tuple[int, Row]) -> None:
        name = version = ""
        attributes: dict[str, Any] = {}
        records: list[bytes] = []
        for number, value in typed(data, {1: bytes, 2: bytes}):
            if number == 2:
                records.append(value)
                if batch.size + len(records) > RECORDS_MOST:
                    raise TooMany
                continue
            for field, told in typed(value, {1: bytes, 2: bytes, 3: bytes}):
                if field == 3:
                    attributes.update((key_value(told),))
                elif field == 1:
                    name = told.decode("utf-8", "replace")
                else:
                    version = told.decode("utf-8", "replace")
        origin = origin_of(batch, resource, name, version, attributes)
        for record in records:
            if len(record) > RECORD_BYTES_MOST:
                batch.refuse(f"a log record of more than {RECORD_BYTES_MOST:,} bytes")
                continue
            try:
                self._record(batch, record, origin)
            except TooDeep:
                batch.refuse("a log record with a value that is nested too deep")

    def _record(self, batch: Batch, data: bytes, origin: Origin) -> None:
        row = origin.template.copy()
        rest: dict[str, str] = {}
        memo = self._memo
        position, end = 0, len(data)
        while position < end:
            tag = data[position]
            if tag == 0x32:  # attributes
                length = data[position + 1]
                start = position + 2
                if length > 127:
                    length, start = varint(data, position + 1)
                position = start + length
                encoded = data[start:position]
                index, value = memo.get(encoded) or self._attribute(encoded)
                if index >= 0:
                    row[index] = value
                else:
                    rest[value[0]] = value[1]
            elif tag == 0x09:
                (row[TIME],) = _fixed64(data, position + 1)
                position += 9
            elif tag == 0x59:
                (row[OBSERVED],) = _fixed64(data, position + 1)
                position += 9
            # The others as most senders write them; spelled out, because a call for each takes a third of the time.
            elif tag == 0x4A and data[position + 1] == _TRACE_BYTES:
                row[TRACE] = data[position + 2 : position + 18].hex()
                position += 18
            elif tag == 0x52 and data[position + 1] == _SPAN_BYTES:
                row[SPAN] = data[position + 2 : position + 10].hex()
                position += 10
            elif tag == 0x10 and data[position + 1] < 0x80:
                row[SEVERITY] = data[position + 1]
                position += 2
            elif tag == 0x45:
                (row[FLAGS],) = _fixed32(data, position + 1)
                position += 5
            elif tag == 0x2A and data[position + 1] == 0:
                position += 2  # a body that is there, and empty
            else:
                position = self._other(data, position, row)
        if position != end:
            raise ValueError("cut short")
        finish(batch, row, rest)

    def _other(self, data: bytes, position: int, row: Row) -> int:
        """A field that is not an attribute; where the next one stands."""
        tag, start = varint(data, position)
        kind = tag & 7
        if kind == 0:
            number, end = varint(data, start)
            if tag == 0x10:
                row[SEVERITY] = number & 0xFF
            return end
        if kind in (1, 5):
            return start + (8 if kind == 1 else 4)
        if kind != 2:
            raise ValueError("no such wire type")
        length, start = varint(data, start)
        value = data[start : start + length]
        if len(value) != length:
            raise ValueError("cut short")
        if tag == 0x62:
            row[NAME] = value.decode("utf-8", "replace")
        elif tag == 0x1A:
            row[SEVERITY_TEXT] = value.decode("utf-8", "replace")
        elif tag == 0x2A:
            row[BODY] = as_json(any_value(value))
        return start + length

    def _attribute(self, encoded: bytes) -> Place:
        """One that was not seen before, or is another one at each record."""
        try:
            # The usual form: a key, and a text, number or boolean, each shorter than 128 bytes.
            at = encoded[1] + 2
            key = self._keys.get(encoded[:at]) or self._key(encoded, at)
            kind = encoded[at + 2]
            if encoded[at] != 0x12 or encoded[at + 1] != len(encoded) - at - 2:
                return place(*key_value(encoded))
            if kind == 0x0A and encoded[at + 3] == len(encoded) - at - 4:
                text = encoded[at + 4 :].decode()
                index = key.index
                if index < 0:
                    told: Place = (-1, (key.name, key.prefix + encode_basestring(text)))
                else:
                    told = (index, text) if key.is_text else place(key.name, text)
                if key.is_once or len(encoded) > _MEMO_LONGEST:
                    return told
                return self._remembered(encoded, told)
            if kind == 0x18:
                number, end = encoded[at + 3], at + 4
                if number > 127:
                    number, end = number & 127 | encoded[at + 4] << 7, at + 5
                    if number > 0x3FFF:
                        number, end = varint(encoded, at + 3)
                        number = signed(number)
                if end == len(encoded):
                    if key.index < 0:
                        return -1, (key.name, f"{key.prefix}{number}")
                    return place(key.name, number) if key.is_text else (key.index, number)
            elif kind == 0x21 and len(encoded) == at + 11:
                (double,) = _double(encoded, at + 3)
                if not isfinite(double) or (key.index >= 0 and not key.is_real):
                    return place(key.name, double)
                return (key.index, double) if key.is_real else (-1, (key.name, f"{key.prefix}{double!r}"))
        except (IndexError, UnicodeDecodeError):
            pass
        return place(*key_value(encoded))

    def _key(self, encoded: bytes, at: int) -> Key:
        """The key whose bytes stand here, with their tag and length."""
        name = encoded[2:at].decode()
        if encoded[0] != 0x0A or at > 129 or len(encoded) <= at:
            raise IndexError
        key = Key(name, is_once=name in _ONCE)
        if len(self._keys) < _KEYS_MOST:
            self._keys[encoded[:at]] = key
        return key

    def _remembered(self, encoded: bytes, told: Place) -> Place:
        if len(self._memo) >= _MEMO_MOST:
            self._memo = {}
        self._memo[encoded] = told
        return told
