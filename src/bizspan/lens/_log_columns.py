"""
Log records into columns: those of one event with equally many attributes together, as they mostly come.

What is not alike is left to be read one by one.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
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
_TOGETHER: Final = 250  # so that what is made of them stays in the processor's cache
_ALIKE_LEAST: Final = 24  # for fewer, one by one is faster
_STRANGERS_MOST: Final = 4  # one of so many: beyond, they are not alike

_all_of: Final = itemgetter(slice(None))
_name_and_attributes: Final = attrgetter("name", "attributes")
_fields_of: Final = attrgetter("time", "observed", "severity", "flags", "trace", "span", "severity_text", "body")


@dataclass(frozen=True, slots=True)
class _Alike:
    """
    Records of one event with equally many attributes.

    Args:
        name: Of the event, as it is encoded.
        records: Parsed, with attributes as bytes.
        attributes: Of each.
    """

    name: bytes
    records: Sequence[Any]
    attributes: Sequence[list[bytes]]

    def at(self, positions: Iterable[int]) -> _Alike:
        """Some of them."""
        chosen = [*positions]
        return _Alike(self.name, [*map(self.records.__getitem__, chosen)], [*map(self.attributes.__getitem__, chosen)])


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
        if sum(key.remembered for key in [*self._keys.values()]) > _REMEMBERED_MOST:
            self._keys = {}  # what comes again is soon there again
        left: list[Any] = []
        for start in range(0, len(records), _TOGETHER):
            left += self._some(batch, records[start : start + _TOGETHER], origin)
        return left

    def _some(self, batch: Batch, records: Sequence[Any], origin: Origin) -> list[Any]:
        if len(records) < _ALIKE_LEAST:
            return [*records]
        left: list[Any] = []
        groups = deque(_grouped(records))
        while groups:
            group = groups.popleft()
            count = len(group.records)
            strangers = self._group(batch, group, origin) if count >= _ALIKE_LEAST else range(count)
            if not strangers:
                continue
            left += group.at(strangers).records
            if len(strangers) < count:
                groups.append(group.at({*range(count)}.difference(strangers)))
        return left

    def _group(self, batch: Batch, group: _Alike, origin: Origin) -> Sequence[int]:
        """Add one block to the batch, or say which records are not like the first one."""
        count = len(group.records)
        if len(group.attributes[0]) > _ATTRIBUTES_MOST:
            return range(count)
        columns: Columns = [[value] * count if value is not None else () for value in origin.template]
        rest: dict[str, list[str]] = {}
        seen: set[str] = set()
        strangers: set[int] = set()
        for entries in zip(*group.attributes, strict=True):
            key = self._key(entries[0])
            if key is None or key.name in seen:
                return range(count)
            values, others = key.values(entries)
            strangers.update(others)
            if len(strangers) * _STRANGERS_MOST > count:
                return range(count)
            seen.add(key.name)
            if key.index >= 0:
                columns[key.index] = values
            else:
                rest[key.name] = values
        strangers.update(_add_fields(columns, group.records))
        if strangers:
            return sorted(strangers)
        name = group.name.decode("utf-8", "replace")
        if not name and OLD_EVENT_NAME in rest:
            return range(count)
        columns[NAME] = [name] * count if name else ()
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


def _grouped(records: Sequence[Any]) -> Iterable[_Alike]:
    names, attributes = zip(*map(_name_and_attributes, records), strict=True)
    told = [*map(_all_of, attributes)]
    positions: defaultdict[tuple[int, bytes], list[int]] = defaultdict(list)
    for position, shape in enumerate(zip(map(len, told), names, strict=True)):
        positions[shape].append(position)
    whole = _Alike(names[0], records, told)
    if len(positions) == 1:
        return (whole,)
    return [replace(whole.at(chosen), name=name) for (_, name), chosen in positions.items()]


def _add_fields(columns: Columns, records: Sequence[Any]) -> list[int]:
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
    found: list[int | None] = [
        next((each for each in told if each), None) for told in zip(fitting, *instead, strict=False)
    ]
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
