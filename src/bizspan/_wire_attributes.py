"""
Attributes as OTLP bytes, mostly looked up: what stands in front of a value depends on its key alone, and few attributes
have more than a few values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

from bizspan import names
from bizspan._wire import (
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
    varint,
)

# What is remembered at most, some 1.5 MB: keys, values of one key, and of all; longer values are not.
KEYS: Final = 1024
VALUES_EACH: Final = 256
VALUES_ALL: Final = 4096
LONGEST: Final = 64
SHORT: Final = 128

# Another value at each record: remembering these would take the room of what comes again.
ONCE: Final = frozenset({names.RECORD_UID, names.OPERATION_ID, names.ORDER, names.CUSTOMER, names.SESSION})
_NONE: Final[frozenset[str]] = frozenset()


class Key:
    """
    What stands in front of the values of one key; and the texts and whole numbers that were seen, each as the whole
    attribute.

    Args:
        tag: Of the field that holds the attribute.
        key: The attribute's.
        once: Whether its values are another one each time, and not remembered.
    """

    __slots__ = ("before", "double", "false", "ints", "numbers", "once", "texts", "true")

    def __init__(self, tag: bytes, key: str, *, once: bool = True) -> None:
        key_field = field(b"\x0a", key.encode())
        self.once = once
        self.texts: dict[str, bytes] = {}
        self.numbers: dict[int, bytes] = {}
        self.before = _BeforeTexts(tag, key_field)
        self.false, self.true = (before_value(tag, key_field, start, 0) for start in BOOL)
        self.double = before_value(tag, key_field, DOUBLE, 8)
        self.ints = tuple(before_value(tag, key_field, INT, length) for length in range(11))


class _BeforeTexts(dict[int, bytes]):
    """What stands in front of a text, by the number of its bytes."""

    __slots__ = ("field", "tag")

    def __init__(self, tag: bytes, key_field: bytes) -> None:
        super().__init__()
        self.tag = tag
        self.field = key_field

    def __missing__(self, length: int) -> bytes:
        if length > MOST_BYTES:
            raise WireError("size")
        before = before_value(self.tag, self.field, STRING + varint(length), length)
        if length < SHORT:
            self[length] = before
        return before


class Attributes:
    """
    Encodes attributes, and remembers keys and values within bounds.

    Args:
        tag: Of the field that holds each.
        once: Keys whose values are not remembered; None for all: they may be personal, and would take the room of what
            comes again.
        never: Keys that are never remembered, so that leaving them out costs nothing where they do not occur.
    """

    __slots__ = ("_keys", "_never", "_once", "_remembered", "_tag")

    def __init__(self, tag: bytes, *, once: frozenset[str] | None = None, never: frozenset[str] = _NONE) -> None:
        self._tag = tag
        self._once = once
        self._never = never
        self._keys: dict[str, Key] = {}
        self._remembered = 0

    def add(self, attributes: dict[str, Any], add: Callable[[bytes], object], without: frozenset[str] = _NONE) -> None:
        """
        Encode each.

        Args:
            attributes: By key.
            add: Takes the bytes, in order.
            without: Of `never`: keys that are left out.

        Raises:
            WireError: When a value cannot be carried.
            UnicodeEncodeError: For a lone surrogate.
        """
        keys = self._keys
        for key, value in attributes.items():
            try:
                known = keys[key]
            except KeyError:
                add(self._unseen(key, value, without))
                continue
            plain: object = value  # so that a type checker knows what type() gives
            kind = type(plain)
            if kind is str:
                if known.once:
                    text = value.encode()
                    add(known.before[len(text)])
                    add(text)
                else:
                    try:  # by far the most: half as dear as get()
                        add(known.texts[value])
                    except KeyError:
                        add(self._unseen_text(known, value))
            elif kind is int:
                try:
                    add(known.numbers[value])
                except KeyError:
                    add(self._unseen_number(known, value))
            elif kind is float:
                add(known.double)
                add(pack_double(value))
            elif kind is bool:
                add(known.true if value else known.false)
            else:
                add(self._other(key, value))

    def encode(self, walk: Walk, attributes: Any) -> tuple[bytes, int]:
        """
        The fields of any attributes, and how many had to be left out. Never raises.

        Args:
            walk: Encodes what cannot be looked up, and takes what is said.
            attributes: By key, or None.
        """
        if attributes is None:
            return b"", 0
        try:
            copied: object = attributes.copy()  # of BoundedAttributes too a dict, at once
            if type(copied) is dict:
                parts: list[bytes] = []
                self.add(cast("dict[str, Any]", copied), parts.append)
                return b"".join(parts), 0
        except Exception:
            return walk.attributes(self._tag, attributes)
        return walk.attributes(self._tag, attributes)

    def _unseen(self, key: str, value: object, without: frozenset[str]) -> bytes:
        if key in without:
            return b""
        if type(key) is str and len(key) <= VALUES_EACH and len(self._keys) < KEYS and key not in self._never:
            self._keys[key] = Key(self._tag, key, once=self._once is None or key in self._once)
        return self._other(key, value)

    def _unseen_text(self, key: Key, value: str) -> bytes:
        """A whole attribute, which is remembered where there is room."""
        text = value.encode()
        whole = key.before[len(text)] + text
        if len(text) <= LONGEST and len(key.texts) < VALUES_EACH and self._remembered < VALUES_ALL:
            # Two threads at once may count one less: the bound is on memory, not on the number.
            self._remembered += 1
            key.texts[value] = whole
        return whole

    def _unseen_number(self, key: Key, value: int) -> bytes:
        number = varint(value)
        whole = key.ints[len(number)] + number
        if not key.once and len(key.numbers) < VALUES_EACH and self._remembered < VALUES_ALL:
            self._remembered += 1
            key.numbers[value] = whole
        return whole

    def _other(self, key: str, value: object) -> bytes:
        return field(self._tag, Walk(_raised).key_value(key, value))


def _raised(reason: str) -> None:
    raise WireError(reason)
