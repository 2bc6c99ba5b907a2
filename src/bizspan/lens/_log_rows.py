"""
Log records into rows, one by one: those that are not like others beside them.

What repeats, such as ``segment=enterprise``, is decoded once and then recognised by its bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from json.encoder import encode_basestring
from math import isfinite
from struct import Struct, error
from typing import Any, Final

from bizspan import names
from bizspan._protobuf import any_value, key_value, signed, varint
from bizspan.lens._layout import Batch, Row
from bizspan.lens._records import (
    BODY,
    FLAGS,
    NAME,
    OBSERVED,
    RECORD_KEYS,
    SEVERITY,
    SEVERITY_TEXT,
    SPAN,
    TIME,
    TRACE,
    Origin,
    as_json,
    finish,
    place,
)

_MEMO_MOST: Final = 20_000
_MEMO_LONGEST: Final = 120
_HEADS_MOST: Final = 4_000
# Another value at each record.
_ONCE: Final = frozenset({names.RECORD_UID, names.OPERATION_ID, names.ORDER, names.CUSTOMER, names.SESSION})

_double: Final = Struct("<d").unpack_from
# Column and value; or -1, key and value as JSON, and the key.
Remembered = tuple[int, Any, str]


_TEXT, _COLUMN_ONCE, _INT, _DOUBLE, _OTHER = range(5)
# By an AnyValue's tag: what it is, and in which type of column it goes as it is.
_KINDS: Final = {0x0A: (_TEXT, "TEXT"), 0x18: (_INT, "INTEGER"), 0x21: (_DOUBLE, "REAL")}


@dataclass(frozen=True, slots=True)
class Head:
    """
    What stands in front of the values of one key, of one kind and length.

    Args:
        key: The attribute's.
        prefix: The key as JSON, with a colon.
        is_once: The values are others each time, or long.
    """

    key: str
    prefix: str
    is_once: bool


# Column or -1, kind, size of the whole KeyValue, and what is seldom needed.
Known = tuple[int, int, int, Head]


class RowDecoder:
    """
    Decodes log records, one after the other or at once.
    """

    def __init__(self) -> None:
        self._memo: dict[bytes, Remembered] = {}
        self._heads: dict[bytes, Known] = {}

    def add(self, batch: Batch, record: Any, origin: Origin) -> None:
        """
        Add a record to a batch.

        Args:
            batch: Where it goes.
            record: Parsed, with attributes as bytes.
            origin: Its own.

        Raises:
            TooDeep: It has a value that is nested too deep.
            ValueError: It is none.
        """
        row = origin.template.copy()
        rest: dict[str, str] = {}
        row[TIME], row[OBSERVED] = record.time, record.observed
        row[SEVERITY], row[FLAGS] = record.severity & 0xFF or None, record.flags or None
        if len(trace := record.trace) == 16:
            row[TRACE] = trace.hex()
        if len(span := record.span) == 8:
            row[SPAN] = span.hex()
        if name := record.name:
            row[NAME] = name.decode("utf-8", "replace")
        if text := record.severity_text:
            row[SEVERITY_TEXT] = text.decode("utf-8", "replace")
        if body := record.body:
            row[BODY] = as_json(any_value(body))
        attributes = record.attributes[:]
        for encoded, told in zip(attributes, map(self._memo.get, attributes), strict=True):
            if told is None:
                self._attribute(encoded, row, rest)
                continue
            index, value, key = told
            if index >= 0:
                row[index] = value
            else:
                rest[key] = value
        finish(batch, row, rest)

    def _attribute(self, encoded: bytes, row: Row, rest: dict[str, str]) -> None:
        """One that was not seen before, or is another one at each record."""
        try:
            # A key of less than 128 bytes; the tag and length of its value, which is one too; the value's own tag.
            at = encoded[1] + 5
            index, kind, size, head = self._heads.get(encoded[:at]) or self._head(encoded, at)
            if size == len(encoded):
                if kind == _COLUMN_ONCE:
                    if encoded[at] == size - at - 1:
                        row[index] = encoded[at + 1 :].decode()
                        return
                elif kind == _TEXT:
                    if encoded[at] == size - at - 1:
                        text = encoded[at + 1 :].decode()
                        if index >= 0:
                            row[index] = text
                        else:
                            rest[head.key] = head.prefix + encode_basestring(text)
                        if not head.is_once:
                            self._remember(encoded, (index, text if index >= 0 else rest[head.key], head.key))
                        return
                elif kind == _DOUBLE:
                    (double,) = _double(encoded, at)
                    if at + 8 == size and isfinite(double):
                        if index >= 0:
                            row[index] = double
                        else:
                            rest[head.key] = head.prefix + repr(double)
                        return
                elif kind == _INT:
                    is_short = at + 1 == size and encoded[at] < 0x80
                    number, end = (encoded[at], size) if is_short else varint(encoded, at)
                    if end == size:
                        if number >> 63:
                            number = signed(number)
                        if index >= 0:
                            row[index] = number
                        else:
                            rest[head.key] = f"{head.prefix}{number}"
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

    def _head(self, encoded: bytes, at: int) -> Known:
        """What these bytes in front of a value mean, once they are known."""
        if encoded[0] != 0x0A or at > 132 or encoded[at - 3] != 0x12 or encoded[at - 2] > 127:
            raise IndexError
        key, tag, size = encoded[2 : at - 3].decode(), encoded[at - 1], at - 1 + encoded[at - 2]
        index, column = RECORD_KEYS.get(key, (-1, ""))
        kind, fitting = _KINDS.get(tag, (_OTHER, ""))
        # What does not go into its column as it is takes the long way.
        head = Head(key, f"{encode_basestring(key)}:", key in _ONCE or size > _MEMO_LONGEST)
        if column not in ("", fitting):
            kind = _OTHER
        elif kind == _TEXT and index >= 0 and head.is_once:
            kind = _COLUMN_ONCE
        known = (index, kind, size, head)
        if len(self._heads) < _HEADS_MOST:
            self._heads[encoded[:at]] = known
        return known
