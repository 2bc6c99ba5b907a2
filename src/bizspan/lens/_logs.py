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
    RECORD_KEYS,
    RECORDS_MOST,
    SEVERITY,
    SEVERITY_TEXT,
    SPAN,
    TIME,
    TRACE,
    Origin,
    TooMany,
    as_json,
    finish,
    origin_of,
    place,
    resource_of,
)

_MEMO_MOST: Final = 20_000
_MEMO_LONGEST: Final = 120
_HEADS_MOST: Final = 4_000
# Another value at each record.
_ONCE: Final = frozenset({names.RECORD_UID, names.OPERATION_ID, names.ORDER, names.CUSTOMER, names.SESSION})

_fixed64: Final = Struct("<Q").unpack_from
_fixed32: Final = Struct("<I").unpack_from
_times: Final = Struct("<QxQ").unpack_from
_double: Final = Struct("<d").unpack_from
# Column and value; or -1, key and value as JSON, and the key.
Remembered = tuple[int, Any, str]


class Damaged(Exception):  # noqa: N818 - named like what happened
    """The bytes are no request; nothing of them is kept."""


class LogDecoder:
    """
    Decodes requests, one after the other or at once.
    """

    def __init__(self) -> None:
        self._memo: dict[bytes, Remembered] = {}
        self._heads: dict[bytes, Head] = {}

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
        scopes: list[bytes] = []
        attributes: dict[str, Any] = {}
        for number, value in typed(data, {1: bytes, 2: bytes}):
            if number == 2:
                scopes.append(value)
                if len(scopes) > RECORDS_MOST:
                    raise TooMany
            elif len(value) > RECORD_BYTES_MOST:
                raise Damaged(f"a resource of more than {RECORD_BYTES_MOST:,} bytes")
            else:
                attributes.update(key_value(each) for _, each in typed(value, {1: bytes}))
        resource = resource_of(batch, attributes, received_ns)
        for value in scopes:
            self._scope(batch, value, resource)

    def _scope(self, batch: Batch, data: bytes, resource: tuple[int, Row]) -> None:
        records, scope = _parts(data, RECORDS_MOST - batch.size)
        if len(scope) > RECORD_BYTES_MOST:
            raise Damaged(f"a scope of more than {RECORD_BYTES_MOST:,} bytes")
        name = version = ""
        attributes: dict[str, Any] = {}
        for field, told in typed(scope, {1: bytes, 2: bytes, 3: bytes}):
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
        remembered = self._memo.get
        position, end = 0, len(data)
        # Several fields at once, as most senders write them: a turn of the loop for each takes a tenth of the time.
        if end > 18 and data[0] == 0x09 and data[9] == 0x59:
            row[TIME], row[OBSERVED] = _times(data, 1)
            position = 18
        while position < end:
            tag = data[position]
            if tag == 0x32:  # attributes
                length = data[position + 1]
                start = position + 2
                if length > 127:
                    length, start = varint(data, position + 1)
                position = start + length
                encoded = data[start:position]
                told = remembered(encoded)
                if told is None:
                    self._attribute(encoded, row, rest)
                elif told[0] >= 0:
                    row[told[0]] = told[1]
                else:
                    rest[told[2]] = told[1]
            elif tag == 0x4A and data[position + 1] == 16 and data[position + 18 : position + 20] == b"\x52\x08":
                row[TRACE] = data[position + 2 : position + 18].hex()
                row[SPAN] = data[position + 20 : position + 28].hex()
                position += 28
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
        if kind == 1:
            if tag in (0x09, 0x59):
                (row[TIME if tag == 0x09 else OBSERVED],) = _fixed64(data, start)
            return start + 8
        if kind == 5:
            return start + 4
        if kind != 2:
            raise ValueError("no such wire type")
        length, start = varint(data, start)
        value = data[start : start + length]
        if len(value) != length:
            raise ValueError("cut short")
        if tag == 0x62:
            row[NAME] = value.decode("utf-8", "replace")
        elif tag == 0x4A and length == 16:
            row[TRACE] = value.hex()
        elif tag == 0x52 and length == 8:
            row[SPAN] = value.hex()
        elif tag == 0x1A:
            row[SEVERITY_TEXT] = value.decode("utf-8", "replace")
        elif tag == 0x2A:
            row[BODY] = as_json(any_value(value))
        return start + length

    def _attribute(self, encoded: bytes, row: Row, rest: dict[str, str]) -> None:
        """One that was not seen before, or is another one at each record."""
        try:
            # A key of less than 128 bytes; the tag and length of its value, which is one too; the value's own tag.
            at = encoded[1] + 5
            head = self._heads.get(encoded[:at]) or self._head(encoded, at)
            size = head.size
            if size == len(encoded):
                if head.is_text and encoded[at] == size - at - 1:
                    text = encoded[at + 1 :].decode()
                    if head.index >= 0:
                        row[head.index] = text
                        told: Remembered = (head.index, text, "")
                    else:
                        rest[head.key] = fragment = head.prefix + encode_basestring(text)
                        told = (-1, fragment, head.key)
                    if not head.is_once:
                        self._remember(encoded, told)
                    return
                if head.is_int:
                    number, end = varint(encoded, at)
                    if end == size:
                        number = signed(number)
                        if head.index >= 0:
                            row[head.index] = number
                        else:
                            rest[head.key] = f"{head.prefix}{number}"
                        return
                elif head.is_double and isfinite(double := _double(encoded, at)[0]):
                    if head.index >= 0:
                        row[head.index] = double
                    else:
                        rest[head.key] = f"{head.prefix}{double!r}"
                    return
        except (IndexError, UnicodeDecodeError, error):
            pass
        index, value = place(*key_value(encoded))
        if index >= 0:
            row[index] = value
        else:
            rest[value[0]] = value[1]

    def _remember(self, encoded: bytes, told: Remembered) -> None:
        if len(self._memo) >= _MEMO_MOST:
            self._memo.clear()  # what comes again is soon there again
        self._memo[encoded] = told

    def _head(self, encoded: bytes, at: int) -> Head:
        """What these bytes in front of a value mean, once they are known."""
        if encoded[0] != 0x0A or at > 132 or encoded[at - 3] != 0x12 or encoded[at - 2] > 127:
            raise IndexError
        head = Head(encoded[2 : at - 3].decode(), encoded[at - 1], at - 1 + encoded[at - 2])
        if len(self._heads) < _HEADS_MOST:
            self._heads[encoded[:at]] = head
        return head


def _parts(data: bytes, most: int) -> tuple[list[bytes], bytes]:
    """
    The log records of a ScopeLogs, and its InstrumentationScope.

    Raises:
        TooMany: More records than this.
    """
    records: list[bytes] = []
    scope = b""
    position, end = 0, len(data)
    while position < end:
        if data[position] != 0x12:
            tag, position = varint(data, position)
            if tag & 7 != 2:
                raise ValueError("another kind of field")
            length, position = varint(data, position)
            if tag == 0x0A:
                scope += data[position : position + length]  # twice is one, joined
        else:
            length, start = data[position + 1], position + 2
            if length > 127:
                length, start = varint(data, position + 1)
            position = start
            records.append(data[start : start + length])
            if len(records) > most:
                raise TooMany
        position += length
    if position != end:
        raise ValueError("cut short")
    return records, scope


class Head:
    """
    What stands in front of the values of one key, of one kind and length, and what becomes of these.

    Args:
        key: The attribute's.
        tag: Of the value.
        size: Of the whole KeyValue.
    """

    __slots__ = ("index", "is_double", "is_int", "is_once", "is_text", "key", "prefix", "size")

    def __init__(self, key: str, tag: int, size: int) -> None:
        self.key = key
        self.size = size
        self.index, kind = RECORD_KEYS.get(key, (-1, ""))
        # What does not go into its column as it is takes the long way.
        self.is_text = tag == 0x0A and kind in ("", "TEXT")
        self.is_int = tag == 0x18 and kind in ("", "INTEGER")
        self.is_double = tag == 0x21 and kind in ("", "REAL")
        self.is_once = key in _ONCE or size > _MEMO_LONGEST
        self.prefix = f"{encode_basestring(key)}:"
