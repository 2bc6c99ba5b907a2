"""
The values of one attribute in many log records at once.

A loop over values in Python takes ten times as long as one that the interpreter runs in C. So what repeats, such as
``segment=enterprise``, is decoded once and then looked up by its bytes; what does not, such as the number of an order,
is cut out of all records, joined, and decoded as one text, or by the protobuf library as one list of numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from json.encoder import encode_basestring
from math import isfinite
from operator import itemgetter
from struct import unpack
from typing import Any, Final

from bizspan._protobuf import TooDeep, key_value
from bizspan.lens._records import RECORD_KEYS, place

# An attribute whose values are mostly new ones is not remembered.
_LEARNED: Final = 256
_LONGEST: Final = 120  # bytes of what is remembered, key included
_TEXT, _INT, _DOUBLE = 0x0A, 0x18, 0x21  # tags of an AnyValue
_TYPES: Final = {_TEXT: "TEXT", _INT: "INTEGER", _DOUBLE: "REAL"}
_AFTER_TAG: Final = {_TEXT: 1, _INT: 0, _DOUBLE: 0}  # bytes between it and the value: a text has its length
_VALUE_MOST: Final = 0x7F  # bytes of an AnyValue whose length is one byte

# Reads packed varints as int64.
ReadInts = Callable[[bytes], list[int]]


class _Fronts(dict[int, bytes]):
    """
    What stands in front of the value of a short attribute, by the length of the whole.

    Args:
        head: What stands in front of the AnyValue's length.
        tag: Of the AnyValue.
    """

    def __init__(self, head: bytes, tag: int) -> None:
        super().__init__()
        self._head, self._tag = head, tag

    def __missing__(self, size: int) -> bytes:
        inner = size - len(self._head) - 1
        length = inner - 2
        if length < 0 or inner > _VALUE_MOST or (self._tag == _DOUBLE and inner != 9):
            raise KeyError(size)
        front = self._head + bytes((inner, self._tag, length) if self._tag == _TEXT else (inner, self._tag))
        self[size] = front
        return front


class Key:
    """
    An attribute's key: where its values go, and how they are read.

    Args:
        head: The key as it is encoded, with its tag and length, and the tag of a value.
        read_ints: Of the protobuf library.

    Raises:
        ValueError: The key is no UTF-8.
    """

    __slots__ = ("_fronts", "_head", "_is_new_each_time", "_memo", "_missed", "_prefix", "_read_ints", "_type", "_seen",
                 "index", "name")  # fmt: skip

    def __init__(self, head: bytes, read_ints: ReadInts) -> None:
        self.name = head[2:-1].decode()
        self.index, self._type = RECORD_KEYS.get(self.name, (-1, ""))
        self._head = head
        self._prefix = f"{encode_basestring(self.name)}:"
        self._read_ints = read_ints
        self._fronts: dict[int, _Fronts] = {}
        self._memo: dict[bytes, Any] = {}
        self._seen = self._missed = 0
        self._is_new_each_time = False

    def values(self, entries: Sequence[bytes]) -> tuple[list[Any], list[int]]:
        """
        What goes into the column; without one, key and value as JSON.

        Args:
            entries: The attribute of each record, as it is encoded.

        Returns:
            The values, and which of them are none: the attribute has another key, or does not fit its column.

        Raises:
            ValueError: One is no attribute.
        """
        if self._is_new_each_time and (at_once := self._at_once(entries)) is not None:
            return at_once, []
        try:
            found = list(map(self._memo.__getitem__, entries))
        except KeyError:
            return self._partly_new(entries)
        self._seen += len(found)
        return found, []

    def _partly_new(self, entries: Sequence[bytes]) -> tuple[list[Any], list[int]]:
        known = self._memo  # another thread may add to it, and never takes away
        new = {entry: self._one(entry) for entry in {*entries}.difference(known)}
        self._learn(new, len(entries))
        found = [new[entry] if entry in new else known[entry] for entry in entries]
        return found, [number for number, value in enumerate(found) if value is None]

    def _learn(self, new: dict[bytes, Any], seen: int) -> None:
        self._seen += seen
        self._missed += len(new)
        if self._missed > _LEARNED and self._missed * 4 > self._seen:
            self._is_new_each_time = True
            self._memo = {}
        if not self._is_new_each_time:
            self._memo.update((e, told) for e, told in new.items() if told is not None and len(e) <= _LONGEST)

    @property
    def remembered(self) -> int:
        """How many values."""
        return len(self._memo)

    def _one(self, entry: bytes) -> Any:
        """The value of one attribute; None where it is none of this key and its column."""
        if not entry.startswith(self._head):
            return None
        try:
            key, value = key_value(entry)
        except TooDeep:
            return None
        index, told = place(key, value)
        if key != self.name or index != self.index:
            return None
        return told if index >= 0 else told[1]

    def _at_once(self, entries: Sequence[bytes]) -> list[Any] | None:
        """The values; None where they are not all of one kind, and short."""
        at = len(self._head)
        tag = entries[0][at + 1] if len(entries[0]) > at + 1 else -1
        if tag not in _TYPES or self._type not in ("", _TYPES[tag]):
            return None
        fronts = self._fronts.get(tag) or self._fronts.setdefault(tag, _Fronts(self._head, tag))
        try:
            cut = [*map(bytes.removeprefix, entries, map(fronts.__getitem__, map(len, entries)))]
            # Each was cut by as much, or not at all.
            left = sum(map(len, entries)) - len(entries) * (at + 2 + _AFTER_TAG[tag])
            if sum(map(len, cut)) != left:
                return None
            return self._texts(cut) if tag == _TEXT else self._ints(cut) if tag == _INT else self._doubles(cut)
        except (KeyError, ValueError):
            return None

    def _texts(self, cut: list[bytes]) -> list[str] | None:
        texts = b"\0".join(cut).decode().split("\0")
        if len(texts) != len(cut):
            return None  # one has the separator in it
        return texts if self.index >= 0 else self._as_json(map(encode_basestring, texts))

    def _ints(self, cut: list[bytes]) -> list[Any] | None:
        numbers = self._read_ints(b"".join(cut))
        # As many as there are bytes that end one, and each is at an end: so each has one.
        if len(numbers) != len(cut) or max(map(itemgetter(-1), cut)) > 0x7F:
            return None
        return numbers if self.index >= 0 else self._as_json(map(str, numbers))

    def _doubles(self, cut: list[bytes]) -> list[Any] | None:
        numbers = unpack(f"<{len(cut)}d", b"".join(cut))
        if not all(map(isfinite, numbers)):
            return None
        return [*numbers] if self.index >= 0 else self._as_json(map(repr, numbers))

    def _as_json(self, values: map[str]) -> list[str]:
        return list(map(self._prefix.__add__, values))
