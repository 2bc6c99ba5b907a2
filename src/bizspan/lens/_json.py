"""
OTLP/JSON: log records into rows, and spans and metrics into the messages that protobuf would give.

The encoding is that of the OTLP specification, "JSON Protobuf Encoding": 64-bit integers as text, trace ids in hex.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Iterator, Mapping
from typing import Any, Final, Protocol, cast

from bizspan._minor import INT64_MAX, INT64_MIN
from bizspan._wire import DEPTH_MOST, TooDeep
from bizspan.lens._layout import Batch, Row
from bizspan.lens._logs import Damaged
from bizspan.lens._records import (
    BODY,
    FLAGS,
    NAME,
    OBSERVED,
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

_HALF_ESCAPED: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_SURROGATES: Final = re.compile("[\ud800-\udfff]")
_TRACE_ID: Final = re.compile("[0-9a-fA-F]{32}")
_SPAN_ID: Final = re.compile("[0-9a-fA-F]{16}")
_IDS: Final = frozenset({"traceId", "spanId", "parentSpanId"})
_UINT64: Final = 2**64


class _Parsed(Protocol):
    """A class of protobuf messages."""

    def __call__(self) -> Any: ...


def document_of(data: bytes) -> dict[str, Any]:
    """
    The JSON object of a request.

    Raises:
        Damaged: It is none.
    """
    try:
        found: Any = json.loads(data)
        if _HALF_ESCAPED.search(data):
            found = _whole(found)
    except RecursionError:
        raise Damaged("the JSON is nested too deep") from None
    except ValueError as error:
        raise Damaged(f"not JSON: {error}") from None
    if not isinstance(found, dict):
        raise Damaged("not a JSON object")
    return cast("dict[str, Any]", found)


def _whole(value: Any) -> Any:
    """The same without halves of surrogate pairs, which no database takes."""
    if isinstance(value, str):
        return _SURROGATES.sub("\ufffd", value)
    if isinstance(value, list):
        return [_whole(each) for each in cast("list[Any]", value)]  # type: ignore[redundant-cast]
    if isinstance(value, dict):
        return {_whole(key): _whole(each) for key, each in cast("dict[str, Any]", value).items()}
    return value


def logs(document: Mapping[str, Any], received_ns: int) -> Batch:
    """
    The rows of an ExportLogsServiceRequest.

    Raises:
        Damaged: It is none.
        TooMany: It has more records than are taken at once.
    """
    batch = Batch()
    count = 0
    try:
        for by_resource in document.get("resourceLogs") or ():
            told: Mapping[str, Any] = by_resource.get("resource") or {}
            resource = resource_of(batch, _attributes(told.get("attributes")), received_ns)
            for by_scope in by_resource.get("scopeLogs") or ():
                scope: Mapping[str, Any] = by_scope.get("scope") or {}
                origin = origin_of(
                    batch, resource, str(scope.get("name") or ""), str(scope.get("version") or ""),
                    _attributes(scope.get("attributes")),
                )  # fmt: skip
                records = by_scope.get("logRecords") or ()
                count += len(records)
                if count > RECORDS_MOST:
                    raise TooMany
                for record in records:
                    _record(batch, record, origin)
    except (AttributeError, KeyError, TypeError, ValueError) as why:
        raise Damaged(f"not an ExportLogsServiceRequest: {type(why).__name__}") from None
    return batch


def _record(batch: Batch, record: Any, origin: Origin) -> None:
    row: Row = origin.template.copy()
    rest: dict[str, str] = {}
    try:
        for key, value in _pairs(record.get("attributes"), 0):
            index, told = place(key, value)
            if index >= 0:
                row[index] = told
            else:
                rest[told[0]] = told[1]
        row[TIME] = _unsigned(record.get("timeUnixNano"))
        row[OBSERVED] = _unsigned(record.get("observedTimeUnixNano"))
        row[SEVERITY] = _unsigned(record.get("severityNumber")) & 0xFF or None
        row[FLAGS] = _unsigned(record.get("flags")) & 0xFFFFFFFF or None
        row[SEVERITY_TEXT] = _text(record.get("severityText"))
        row[NAME] = _text(record.get("eventName"))
        row[TRACE] = _id(record.get("traceId"), _TRACE_ID)
        row[SPAN] = _id(record.get("spanId"), _SPAN_ID)
        body = record.get("body")
        if body is not None and (told := _any_value(body, 0)) is not None:
            row[BODY] = as_json(told)
    except TooDeep:
        batch.refuse("a log record with a value that is nested too deep")
        return
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
        batch.refuse("a log record that is not one of OTLP/JSON, or a number beyond 64 bits")
        return
    finish(batch, row, rest)


def _attributes(attributes: Any) -> dict[str, Any]:
    return dict(_pairs(attributes, 0))


def _pairs(attributes: Any, depth: int) -> Iterator[tuple[str, Any]]:
    for each in attributes or ():
        key = each.get("key", "")
        if not isinstance(key, str):
            raise TypeError
        yield key, _any_value(each.get("value") or {}, depth)


def _any_value(value: Mapping[str, Any], depth: int) -> Any:
    if depth > DEPTH_MOST:
        raise TooDeep
    for kind, told in value.items():
        if told is None:
            continue
        match kind:
            case "stringValue":
                if not isinstance(told, str):
                    raise TypeError
                return told
            case "intValue":
                return _int64(told)
            case "boolValue":
                return bool(told)
            case "doubleValue":
                return float(told)
            case "arrayValue":
                return [_any_value(each, depth + 1) for each in told.get("values") or ()]
            case "kvlistValue":
                return dict(_pairs(told.get("values"), depth + 1))
            case "bytesValue":
                try:
                    return b64decode(told).hex()
                except NotBase64:
                    raise ValueError from None
            case _:
                continue
    return None


def _int64(told: Any) -> int:
    if isinstance(told, bool | float):
        raise TypeError
    number = int(told)
    if not INT64_MIN <= number <= INT64_MAX:
        raise ValueError
    return number


def _unsigned(told: Any) -> int:
    if told is None:
        return 0
    number = int(told)
    if not 0 <= number < _UINT64:
        return 0
    return number


def _text(told: Any) -> str | None:
    if told is not None and not isinstance(told, str):
        raise TypeError
    return told or None


def _id(told: Any, form: re.Pattern[str]) -> str | None:
    return told.lower() if isinstance(told, str) and form.fullmatch(told) else None


def message(document: dict[str, Any], kind: _Parsed) -> Any:
    """
    The message that a JSON object stands for.

    Args:
        document: Of a request.
        kind: The class of the message.

    Raises:
        Damaged: It is none.
    """
    from google.protobuf import json_format

    try:
        return json_format.ParseDict(_with_base64_ids(document), kind(), ignore_unknown_fields=True)
    except (json_format.ParseError, RecursionError, ValueError, TypeError, AttributeError) as why:
        raise Damaged(f"not an OTLP export request: {str(why)[:200]}") from None


def _with_base64_ids(value: Any) -> Any:
    """Ids as protobuf's own JSON has them."""
    if isinstance(value, list):
        return [_with_base64_ids(each) for each in cast("list[Any]", value)]  # type: ignore[redundant-cast]
    if isinstance(value, dict):
        return {
            key: b64encode(bytes.fromhex(each)).decode() if key in _IDS and isinstance(each, str) else
            _with_base64_ids(each)
            for key, each in cast("dict[str, Any]", value).items()
        }  # fmt: skip
    return value
