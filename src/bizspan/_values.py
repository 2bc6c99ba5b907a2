"""
From arbitrary objects to what OpenTelemetry accepts, without running their code.

Single values are cleaned in `_plain`; here containers are walked, within bounds of depth, number and size.
"""

from __future__ import annotations

import time
from collections import Counter, OrderedDict, defaultdict, deque
from decimal import Decimal
from enum import Enum
from itertools import islice

from bizspan import _guard
from bizspan._minor import INT64_MAX
from bizspan._plain import clean_leaf, clean_text, nanoseconds
from bizspan.errors import type_name

TYPE_CHECKING = False
if TYPE_CHECKING:  # `typing` itself is not imported at run time: it would be half of this module's import.
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from bizspan._plain import Primitive

    Value = Primitive | tuple[str, ...] | tuple[bool, ...] | tuple[int, ...] | tuple[float, ...]

DEPTH = 5
ENTRIES_EACH = 64
ENTRIES_ALL = 512
KEY_LIMIT = 200

_DAY_NS = 86_400 * 10**9
_MAPPINGS = frozenset({dict, OrderedDict, defaultdict, Counter})
_SETS = frozenset({set, frozenset})
_CONTAINERS = _MAPPINGS | _SETS | {list, tuple, deque}
_ITEMS = dict[object, object].items  # the items of an OrderedDict would hash its keys, of whatever type
_PRIMITIVES = frozenset({str, bool, int, float})


def _is_container(value: object) -> bool:
    kind = type(value)
    # A class with a metaclass may bring its own __hash__ for the class itself.
    return type(kind) is type and kind in _CONTAINERS


def first_entries(take: Callable[[], list[Any]]) -> list[Any] | None:
    # Another thread may change the container meanwhile; None when it never rests.
    for _ in range(3):
        try:
            return take()
        except RuntimeError:
            continue
    return None


class _Walk:
    """
    One walk through nested containers, with a stack of its own: however deep the input, Python's stack stays.

    Args:
        limit: Bytes of UTF-8 that the JSON text of the result may have.
    """

    __slots__ = ("entries", "note", "on_path", "room", "stack")

    def __init__(self, limit: int) -> None:
        self.room = limit - 2
        self.entries = ENTRIES_ALL
        self.note: str | None = None
        self.on_path: set[int] = set()
        self.stack: list[tuple[Any, Any, Iterator[Any]]] = []

    def open(self, value: object) -> Any:
        """Begin a container; its clean copy is filled by `run`."""
        mapping = type(value) in _MAPPINGS
        source: Any = value
        items: Callable[[Any], Iterable[Any]] = _ITEMS if mapping else iter
        found = first_entries(lambda: list(islice(items(source), ENTRIES_EACH + 1)))
        if found is None:
            self.said("type")
            return None
        if len(found) > ENTRIES_EACH:
            self.said("size")
        entries = found[:ENTRIES_EACH]
        out: Any = {} if mapping else []
        self.on_path.add(id(value))
        self.stack.append((value, out, iter(entries if mapping else [(None, item) for item in entries])))
        return out

    def said(self, note: str | None) -> None:
        self.note = self.note or note

    def run(self) -> None:
        """Fill what is open until it is done, or a bound is met."""
        while self.stack:
            source, out, entries = self.stack[-1]
            for key, item in entries:
                if self.entries <= 0 or self.room <= 0:
                    self.said("size" if self.entries <= 0 else "truncated")
                    self.stack.clear()
                    return
                self.entries -= 1
                if self.put(source, out, key, item):
                    break  # a container was opened: first its entries, then the rest of these
            else:
                if type(source) in _SETS and _one_primitive(out):
                    out.sort()
                self.on_path.discard(id(source))
                self.stack.pop()

    def name(self, key: Any, taken: dict[str, Any]) -> str | None:
        """The text of a key; None for what is no name, or one that is taken."""
        name, note = clean_leaf(key, KEY_LIMIT)
        text = str(name) if type(name) is int else name
        if isinstance(text, str) and text not in taken:
            self.said(note)
            return text
        self.said("type")
        return None

    def put(self, source: Any, out: Any, key: Any, item: Any) -> bool:
        """Add one entry to `out`; True when it is a container that now waits on the stack."""
        mapping = type(source) in _MAPPINGS
        if mapping:
            key = self.name(key, out)
            if key is None:
                return False
            self.room -= _json_size(key) + 1
        self.room -= 1  # the comma
        opened = _is_container(item) and id(item) not in self.on_path and len(self.stack) < DEPTH
        clean = self.open(item) if opened else self.single(item)
        opened = opened and clean is not None
        size = 2 if opened else _json_size(clean)
        if size > self.room:
            self.said("truncated")
            self.room = 0  # which ends the walk
            return False
        self.room -= size
        if mapping:
            out[key] = clean
        else:
            out.append(clean)
        return opened

    def single(self, item: Any) -> Primitive | None:
        """What stands for an entry that is not opened."""
        if item is None:
            return None
        if _is_container(item):
            mark = "cyclic" if id(item) in self.on_path else "depth"
            self.said(mark)
            return f"<{mark}>"
        room = max(self.room - 2, 0)  # without the quotes
        clean, note = clean_leaf(item, room)
        self.said(note)
        if clean is None and note in (None, "type", "bytes"):
            self.said("type")
            return f"<{clean_text(type_name(item), 80)[0]}>"
        if type(clean) is str and _json_size(clean) > self.room:
            self.said("truncated")
            return clean_text(clean, room // 2)[0]  # it is full of quotes, which take two bytes each
        return clean


def _json_size(value: Primitive | None) -> int:
    if type(value) is str:
        return len(value.encode()) + value.count('"') + value.count("\\") + 2
    return len(repr(value))


def _one_primitive(items: list[Any]) -> bool:
    kinds: set[type[object]] = {type(item) for item in items}
    return len(kinds) <= 1 and kinds <= _PRIMITIVES


def _packed(value: object, limit: int) -> tuple[Value | None, str | None]:
    walk = _Walk(limit)
    out = walk.open(value)
    walk.run()
    if out is None:
        return None, walk.note
    if type(value) not in _MAPPINGS and _one_primitive(out):
        return tuple(out), walk.note
    from json import dumps  # at first use: most applications never pass anything nested

    text, note = clean_text(dumps(out, ensure_ascii=False, separators=(",", ":"), allow_nan=False), limit)
    return text, walk.note or note


def coerce(value: object, *, limit: int = 8192) -> tuple[Value | None, str | None]:
    """
    A value that OpenTelemetry accepts, and a word on what was done to it.

    Lists of one primitive type become tuples, other containers compact JSON text.

    Args:
        value: Anything. None, and what cannot be kept, gives None.
        limit: Bytes of UTF-8; longer text is cut between two characters.

    Returns:
        The clean value, and None when nothing is to be said, or one of ``truncated``, ``surrogate``,
        ``control``, ``type``, ``cyclic``, ``depth``, ``size``, ``bytes``, ``int64``, ``nonfinite``.
    """
    if type(value) is str and value.isascii() and value.isprintable() and len(value) <= limit:
        return value, None
    try:
        clean, note = clean_leaf(value, limit)
        if clean is not None or note is not None or value is None:
            return clean, note
        return _packed(value, limit) if _is_container(value) else (None, "type")
    except Exception as error:
        _guard.swallowed("cleaning a value", error)
        return None, "type"


def number(value: object) -> int | float | None:
    """
    A finite number that OpenTelemetry accepts; None for everything else, booleans and text included.
    """
    try:
        clean, _ = coerce(float(value) if type(value) is Decimal else value)
    except ValueError:  # a signalling NaN
        return None
    return clean if type(clean) is int or type(clean) is float else None


def clean_name(value: object, *, limit: int = 200) -> str | None:
    """
    Text fit to name something, without control characters and outer blanks; None when nothing is left.

    Args:
        value: A str, or an Enum member whose value is one.
        limit: Bytes of UTF-8; a longer name is cut.
    """
    if type(value) is str and value.isascii() and value.isprintable() and len(value) <= limit:
        return value.strip() or None
    try:
        if issubclass(type(value), Enum):
            value = object.__getattribute__(value, "_value_")
        text, _ = clean_leaf(value, limit) if issubclass(type(value), str) else (None, None)
        return (text.strip() or None) if isinstance(text, str) else None
    except Exception as error:
        _guard.swallowed("cleaning a name", error)
        return None


def timestamp_ns(value: object) -> int | None:
    """
    Nanoseconds since the epoch, or None for what is no time that a collector would take.

    Args:
        value: An int of nanoseconds, or a datetime (without a time zone it is UTC), from 1970 until one day
            from now.
    """
    try:
        ns = nanoseconds(value)
    except Exception:  # a tzinfo is foreign code, and the years 1 and 9999 have no UTC everywhere
        return None
    return ns if ns is not None and 0 <= ns <= min(INT64_MAX, time.time_ns() + _DAY_NS) else None


KNOWN_NAMES: dict[str, str] = {}


def known_name(name: object) -> str | None:
    """
    The clean form of an operation's or event's name, remembered; None where there is none.
    """
    if type(name) is str:
        known = KNOWN_NAMES.get(name)
        if known is not None:
            return known
    clean = clean_name(name)
    # Short ones only: what a caller makes up at each call may be a megabyte.
    if clean is not None and type(name) is str and len(name) <= 256 and len(KNOWN_NAMES) < 4096:
        KNOWN_NAMES[name] = clean
    return clean
