"""
Attributes as OTLP bytes, mostly looked up: what stands in front of a value depends on its key alone, and few attributes
have more than a few values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

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

_NONE: Final[frozenset[str]] = frozenset()


class Key:
    """
    What stands in front of the values of one key, and the values that were seen, whole.

    Args:
        tag: Of the field that holds the attribute.
        key: The attribute's.
        once: Whether its values are another one each time, and not remembered.
    """

    __slots__ = ("double", "false", "field", "ints", "known", "once", "tag", "true")

    def __init__(self, tag: bytes, key: str, *, once: bool = True) -> None:
        self.tag = tag
        self.field = field(b"\x0a", key.encode())
        self.once = once
        # By value: the whole attribute. By length: what stands in front of a text of so many bytes.
        self.known: dict[str | int, bytes] = {}
        self.false, self.true = (before_value(tag, self.field, start, 0) for start in BOOL)
        self.double = before_value(tag, self.field, DOUBLE, 8)
        self.ints = tuple(before_value(tag, self.field, INT, length) for length in range(11))

    def before_text(self, length: int) -> bytes:
        """What stands in front of a text."""
        return before_value(self.tag, self.field, STRING + varint(length), length)


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
            known = keys.get(key)
            if known is None:
                add(self._unseen(key, value, without))
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
                add(before or self.before_text(known, value, text))
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

    def before_text(self, key: Key, value: str, text: bytes) -> bytes:
        """What stands in front of this text, which is remembered where there is room."""
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
        return field(self._tag, Walk(_raised).key_value(key, value))


def _raised(reason: str) -> None:
    raise WireError(reason)
