"""
Log records into rows: which attribute goes where, and what a record has that its sender did not say.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from json.encoder import encode_basestring
from typing import Any, Final, cast

from bizspan import names
from bizspan._columns import COLUMNS
from bizspan._minor import INT64_MAX, INT64_MIN
from bizspan.lens._layout import EMPTY, INDEX, Batch, Row

RECORD_BYTES_MOST: Final = 1 << 20
RECORDS_MOST: Final = 50_000  # of one request: each takes the room of a row, also an empty one
_GROUPS_MOST: Final = 10_000
UID_LONGEST: Final = 256
OLD_EVENT_NAME: Final = "event.name"  # before OTLP had a field for it

UID, TIME, OBSERVED, RECEIVED, NAME, SEVERITY, SEVERITY_TEXT, FLAGS, TRACE, SPAN, BODY, ATTRIBUTES = (
    INDEX[name]
    for name in (
        "uid", "time_ns", "observed_ns", "received_ns", "name", "severity", "severity_text", "flags", "trace_id",
        "span_id", "body", "attributes",
    )
)  # fmt: skip
_RESOURCE, _SCOPE = INDEX["resource_id"], INDEX["scope_id"]

# By attribute key: column, and its type.
RECORD_KEYS: Final = {
    names.RECORD_UID: (UID, "TEXT"),
    **{key: (INDEX[each.name], each.kind) for key, each in COLUMNS.items() if each.of == "record"},
}
_RESOURCE_KEYS: Final = {key: INDEX[each.name] for key, each in COLUMNS.items() if each.of == "resource"}

_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,30}")
NO_TRACE, NO_SPAN = "0" * 32, "0" * 16


class TooMany(Exception):  # noqa: N818 - named like what happened
    """A request with more records than are taken at once; its sender should send fewer."""


# Column and value; or -1, and key and JSON of an attribute without a column.
Place = tuple[int, Any]


def place(key: str, value: Any) -> Place:
    """
    Where an attribute goes.

    A text column takes any plain value, as text. A column of numbers takes numbers, one of whole numbers also their
    digits as text: a Collector's table has them as text anyhow. What else is told there stays with the attributes that
    have no column, so that nothing is lost.
    """
    column = RECORD_KEYS.get(key)
    if column is not None:
        index, kind = column
        plain: object = value  # so that a type checker knows what type() gives
        told = type(plain)
        if kind == "TEXT":
            if told is str:
                return index, value
            if told in (int, float, bool):
                return index, plain_text(value)
        elif told is str:
            if kind == "INTEGER" and _WHOLE.fullmatch(value) and INT64_MIN <= (number := int(value)) <= INT64_MAX:
                return index, number
        elif told is int or (told is float and kind == "REAL" and math.isfinite(value)):
            return index, float(value) if kind == "REAL" else value
    return -1, (key, f"{encode_basestring(key)}:{as_json(value)}")


def plain_text(value: Any) -> str:
    """A number or a boolean as the Collector writes it into a map of texts."""
    return ("false", "true")[value] if isinstance(value, bool) else str(value)


def as_json(value: Any) -> str:
    """A value as JSON; numbers that JSON does not have are texts, as in OTLP/JSON."""
    if type(value) is str:
        return encode_basestring(value)
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), ensure_ascii=False, separators=(",", ":"))


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, list):
        return [_finite(each) for each in cast("list[Any]", value)]  # type: ignore[redundant-cast]
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in cast("dict[str, Any]", value).items()}
    return value


def attributes_json(attributes: Iterable[tuple[str, Any]]) -> str:
    """Attributes as one JSON object, in the order of their keys."""
    return as_json(dict(sorted(dict(attributes).items())))


def content_id(*parts: str) -> int:
    """A whole number of 63 bits that stands for this content."""
    return int.from_bytes(blake2b("\0".join(parts).encode("utf-8", "replace"), digest_size=8).digest(), "big") >> 1


@dataclass(frozen=True, slots=True)
class Origin:
    """
    Whose records follow.

    Args:
        resource_id: Of the resource.
        scope_id: Of the instrumentation scope.
        template: A row with what all of them share.
    """

    resource_id: int
    scope_id: int
    template: Row


def resource_of(batch: Batch, attributes: dict[str, Any], received_ns: int) -> tuple[int, Row]:
    """
    Note a resource; its id, and a row with its columns.

    Raises:
        TooMany: Of them and of scopes there are more than are taken at once.
    """
    _count_group(batch)
    document = attributes_json(attributes.items())
    number = content_id("resource", document)
    batch.resources[number] = document
    row = EMPTY.copy()
    for key, index in _RESOURCE_KEYS.items():
        value = attributes.get(key)
        if isinstance(value, str | int | float):
            row[index] = value if isinstance(value, str) else plain_text(value)
    row[_RESOURCE] = number
    row[RECEIVED] = received_ns
    return number, row


def origin_of(batch: Batch, resource: tuple[int, Row], name: str, version: str, attributes: dict[str, Any]) -> Origin:
    """
    Note a scope of this resource.

    Raises:
        TooMany: See `resource_of`.
    """
    _count_group(batch)
    document = attributes_json(attributes.items())
    number = content_id("scope", name, version, document)
    batch.scopes[number] = (name, version, document)
    row = resource[1].copy()
    row[_SCOPE] = number
    return Origin(resource[0], number, row)


def _count_group(batch: Batch) -> None:
    batch.groups += 1
    if batch.groups > _GROUPS_MOST:
        raise TooMany


def finish(batch: Batch, row: Row, rest: dict[str, str]) -> None:
    """
    Complete a row and add it to its table.

    Args:
        batch: Of the request.
        row: With what the record told.
        rest: Attributes without a column: by key, `key:value` as JSON.
    """
    # None, 0 and what does not fit are all outside of it.
    if not 0 < (row[OBSERVED] or 0) <= INT64_MAX:
        row[OBSERVED] = None
    if not 0 < (row[TIME] or 0) <= INT64_MAX:
        row[TIME] = row[OBSERVED] or row[RECEIVED]
    name, uid = row[NAME], row[UID]
    if not name and OLD_EVENT_NAME in rest:
        told = json.loads(f"{{{rest.pop(OLD_EVENT_NAME)}}}")[OLD_EVENT_NAME]
        name = row[NAME] = told if isinstance(told, str) else None
    if row[TRACE] == NO_TRACE or row[SPAN] == NO_SPAN:
        row[TRACE] = row[SPAN] = None
    row[ATTRIBUTES] = "{" + ",".join(rest.values()) + "}"
    if not uid or len(uid) > UID_LONGEST:
        row[UID] = content_uid(row, rest.values(), batch.size)
    batch.rows["events" if name else "logs"].append(row)


def content_uid(row: Row, rest: Iterable[str], number: int) -> str:
    """
    The same for the same record sent again, however it was encoded.

    A record without any time can't be told from a further one like it: each counts that comes.

    Args:
        row: With all but its uid.
        rest: What stands in the JSON of its attributes.
        number: Another one for each record of a request.
    """
    told: list[Any] = row.copy()
    told[ATTRIBUTES] = sorted(rest)
    for index in (SEVERITY, SEVERITY_TEXT, FLAGS):
        told[index] = told[index] or None  # the same in protobuf
    if told[TIME] == told[RECEIVED]:
        told.append(number)
    else:
        told[RECEIVED] = None
    return "content:" + blake2b(repr(told).encode("utf-8", "replace"), digest_size=16).hexdigest()
