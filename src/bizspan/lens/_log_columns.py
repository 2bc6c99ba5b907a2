"""
Log records into columns: those of one event with equally many attributes together, as they mostly come.

What is not alike is left to be read one by one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from operator import attrgetter, itemgetter
from typing import Any, Final

from bizspan._minor import INT64_MAX
from bizspan._protobuf import TooDeep, any_value
from bizspan.lens._layout import Batch, Columns
from bizspan.lens._log_keys import Key, ReadInts
from bizspan.lens._records import (
    ATTRIBUTES,
    BODY,
    FLAGS,
    NAME,
    NO_SPAN,
    NO_TRACE,
    OBSERVED,
    OLD_EVENT_NAME,
    RECEIVED,
    SEVERITY,
    SEVERITY_TEXT,
    SPAN,
    TIME,
    TRACE,
    UID,
    UID_LONGEST,
    Origin,
    as_json,
    content_uid,
)

_REMEMBERED_MOST: Final = 20_000
_KEYS_MOST: Final = 2_000
_ATTRIBUTES_MOST: Final = 256
_SPLITS_MOST: Final = 128  # of one scope: beyond, records are too different for this

_attributes_of: Final = attrgetter("attributes")
_name_of: Final = attrgetter("name")
_all_of: Final = itemgetter(slice(None))
_fields_of: Final = attrgetter("time", "observed", "severity", "flags", "trace", "span", "severity_text", "body")

# Records, and the encoded attributes of each.
Alike = tuple[list[Any], list[list[bytes]]]


class ColumnDecoder:
    """
    Decodes log records that look alike.

    Args:
        read_ints: Of the protobuf library.
    """

    def __init__(self, read_ints: ReadInts) -> None:
        self._read_ints = read_ints
        self._keys: dict[bytes, Key] = {}

    def decode(self, batch: Batch, records: Sequence[Any], origin: Origin) -> list[Any]:
        """
        Add records to a batch.

        Args:
            batch: Where they go.
            records: Parsed, with attributes as bytes.
            origin: Theirs.

        Returns:
            Those that have to be read one by one.

        Raises:
            ValueError: One of the records is none.
        """
        if sum(key.remembered for key in self._keys.values()) > _REMEMBERED_MOST:
            self._keys = {}  # what comes again is soon there again
        groups, left, splits = deque(_grouped(records)), list[Any](), 0
        while groups:
            group = groups.popleft()
            splits += 1
            strangers = range(len(group[0])) if splits > _SPLITS_MOST else self._group(batch, group, origin)
            if not strangers:
                continue
            others, rest = _split(group, strangers)
            # The first record says which keys are looked for: where it is a stranger itself, so are all of these.
            if strangers[0] == 0:
                left += others[0]
            else:
                groups.append(others)
            if rest[0]:
                groups.append(rest)
        return left

    def _group(self, batch: Batch, group: Alike, origin: Origin) -> Sequence[int]:
        """Add one block to the batch, or say which records are not like the first one."""
        records, attributes = group
        count = len(records)
        if len(attributes[0]) > _ATTRIBUTES_MOST:
            return range(count)
        columns: Columns = [[value] * count if value is not None else () for value in origin.template]
        rest: dict[str, list[str]] = {}
        seen: set[str] = set()
        for entries in zip(*attributes, strict=True):
            key = self._key(entries[0])
            if key is None or key.name in seen:
                return range(count)
            values, strangers = key.values(entries)
            if strangers:
                return strangers
            seen.add(key.name)
            if key.index >= 0:
                columns[key.index] = values
            else:
                rest[key.name] = values
        name = records[0].name.decode("utf-8", "replace")
        if not name and OLD_EVENT_NAME in rest:
            return range(count)
        columns[NAME] = [name] * count if name else ()
        strangers = _add_fields(columns, records)
        if strangers:
            return strangers
        together = list(map(",".join, zip(*rest.values(), strict=True))) if rest else [""] * count
        columns[ATTRIBUTES] = [f"{{{each}}}" for each in together]
        uids = columns[UID]
        if not uids or not all(uids) or max(map(len, uids)) > UID_LONGEST:
            columns[UID] = _content_uids(columns, [*rest.values()], count, batch.size)
        batch.add("events" if name else "logs", columns, count)
        return ()

    def _key(self, entry: bytes) -> Key | None:
        """The key of an attribute, if it is encoded as it mostly is: short, and in front of its value."""
        end = entry[1] + 3 if len(entry) > 1 else 3
        head = entry[:end]
        key = self._keys.get(head)
        if key is None:
            if len(head) != end or head[0] != 0x0A or head[1] > 0x7F or head[-1] != 0x12:
                return None
            if len(self._keys) >= _KEYS_MOST:
                self._keys = {}
            try:
                key = self._keys[head] = Key(head, self._read_ints)
            except UnicodeDecodeError:
                return None
        return key


def _grouped(records: Sequence[Any]) -> list[Alike]:
    attributes = map(_all_of, map(_attributes_of, records))
    groups: dict[tuple[int, bytes], Alike] = {}
    for record, name, told in zip(records, map(_name_of, records), attributes, strict=True):
        shape = (len(told), name)
        group = groups.get(shape)
        if group is None:
            group = groups[shape] = ([], [])
        group[0].append(record)
        group[1].append(told)
    return [*groups.values()]


def _split(group: Alike, positions: Sequence[int]) -> tuple[Alike, Alike]:
    """Those at these positions, and the others."""
    chosen = set(positions)
    parts: tuple[Alike, Alike] = (([], []), ([], []))
    for number, (record, told) in enumerate(zip(*group, strict=True)):
        part = parts[number not in chosen]
        part[0].append(record)
        part[1].append(told)
    return parts


def _add_fields(columns: Columns, records: Sequence[Any]) -> Sequence[int]:
    """Fill the columns of what is no attribute; or say which records have a body that is nested too deep."""
    times, observed, severities, flags, traces, spans, texts, bodies = zip(*map(_fields_of, records), strict=True)
    columns[BODY], strangers = _bodies(bodies)
    columns[OBSERVED] = _moments(observed)
    columns[TIME] = _moments(times, columns[OBSERVED] or repeat(None), columns[RECEIVED])
    columns[SEVERITY] = _each(severities, lambda number: number & 0xFF or None)
    columns[FLAGS] = _each(flags, lambda number: number or None)
    columns[SEVERITY_TEXT] = _each(texts, lambda text: text.decode("utf-8", "replace") or None)
    columns[TRACE], columns[SPAN] = _ids(traces, 16), _ids(spans, 8)
    if NO_TRACE in columns[TRACE] or NO_SPAN in columns[SPAN]:
        pairs = [
            (None, None) if trace == NO_TRACE or span == NO_SPAN else (trace, span)
            for trace, span in zip(columns[TRACE] or repeat(None), columns[SPAN] or repeat(None), strict=False)
        ]
        columns[TRACE], columns[SPAN] = zip(*pairs, strict=True)
    return strangers


def _moments(times: Sequence[int], *instead: Iterable[Any]) -> Sequence[Any]:
    """Times that a row can have; for others the first that there is instead, or none."""
    if min(times) > 0 and max(times) <= INT64_MAX:
        return times
    fitting = (time if 0 < time <= INT64_MAX else None for time in times)
    found = [next(filter(None, told), None) for told in zip(fitting, *instead, strict=False)]
    return found if any(found) else ()


def _each(values: Sequence[Any], converted: Callable[[Any], Any]) -> Sequence[Any]:
    if values.count(values[0]) != len(values):
        return [*map(converted, values)]
    value = converted(values[0])
    return () if value is None else [value] * len(values)


def _ids(ids: Sequence[bytes], size: int) -> Sequence[str | None]:
    if {*map(len, ids)} == {size}:
        return [*map(bytes.hex, ids)]
    return _each(ids, lambda told: told.hex() if len(told) == size else None)


def _bodies(bodies: Sequence[bytes]) -> tuple[Sequence[str | None], list[int]]:
    """As JSON, and which of them are nested too deep."""
    if not any(bodies):
        return (), []
    texts: dict[bytes, str | None] = {b"": None}
    deep: set[bytes] = set()
    for body in {*bodies} - {b""}:
        try:
            texts[body] = as_json(any_value(body))
        except TooDeep:
            deep.add(body)
    if deep:
        return (), [number for number, body in enumerate(bodies) if body in deep]
    return [*map(texts.__getitem__, bodies)], []


def _content_uids(columns: Columns, rest: Sequence[Sequence[str]], count: int, number: int) -> list[str]:
    """Uids, with those that records lack, or that are too long, made of their content."""
    rows = map(list[Any], zip(*(column or repeat(None, count) for column in columns), strict=True))
    attributes = zip(*rest, strict=True) if rest else repeat((), count)
    return [
        row[UID] if row[UID] and len(row[UID]) <= UID_LONGEST else content_uid(row, told, number + position)
        for position, (row, told) in enumerate(zip(rows, attributes, strict=True))
    ]
