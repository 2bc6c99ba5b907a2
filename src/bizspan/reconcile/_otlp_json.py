"""
Events from OTLP JSON lines: what the Collector's file exporter writes, one export request a line.

The encoding is that of the OTLP specification, "JSON Protobuf Encoding": 64-bit integers as text, trace ids in hex.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from bizspan import names
from bizspan._lines import files_of, lines_of
from bizspan.reconcile._events import Event, Reading, event_of

_NUMBERS: Final = ("intValue", "doubleValue", "boolValue")

_WANTED: Final = frozenset(
    {
        names.RECORD_UID, names.OPERATION_NAME, names.OPERATION_OUTCOME, names.ORDER, names.TRAFFIC,
        *(keys[kind] for kind in (names.REVENUE, names.REFUND)
          for keys in (names.MINOR_UNITS_KEYS, names.CURRENCY_KEYS, names.AMOUNT_INVALID_KEYS)),
    }
)  # fmt: skip


class OtlpJsonLines:
    """
    Events in files of OTLP JSON lines, plain or gzipped.

    Args:
        paths: Files, and directories of files that end in .json, .jsonl or .ndjson, each also with .gz.

    Raises:
        SetupError: A path does not exist, or a directory has no such file.
    """

    def __init__(self, paths: Sequence[str | Path]) -> None:
        self._files = [file for path in paths for file in files_of(Path(path))]

    def events(self, reading: Reading) -> Iterator[Event]:
        """See `Source`."""
        for file in self._files:
            for where, line in lines_of(file, reading.bad):
                yield from _from_line(where, line, reading)


def _from_line(where: str, line: bytes, reading: Reading) -> list[Event]:
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        reading.bad(where, "not JSON" if line.endswith(b"\n") else "not JSON; the file may end within the line")
        return []
    # To the end before the first is given out: a line that turns out to be damaged counts as a whole.
    try:
        found = [*_from_request(request, reading)]
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
        reading.bad(where, "not an OTLP export request")
        return []
    reading.events += len(found)
    return found


def _from_request(request: Any, reading: Reading) -> Iterator[Event]:
    for by_resource in request.get("resourceLogs") or ():
        for by_scope in by_resource.get("scopeLogs") or ():
            scope: Mapping[str, Any] = by_scope.get("scope") or {}
            is_ours = scope.get("name") == names.SCOPE
            for record in by_scope.get("logRecords") or ():
                if (event := _event(record, is_ours, reading)) is not None:
                    yield event


def _event(record: Mapping[str, Any], is_ours: bool, reading: Reading) -> Event | None:
    said = {each["key"]: _plain(each["value"]) for each in record.get("attributes") or () if each["key"] in _WANTED}
    event_name = record.get("eventName") or ""
    uid = said.get(names.RECORD_UID)
    if not uid or not event_name:
        reading.no_event(has_uid=bool(uid), is_ours=is_ours)
        return None
    # A number in JSON may be text.
    time_ns = int(record.get("timeUnixNano") or 0) or int(record.get("observedTimeUnixNano") or 0)
    return event_of(event_name, time_ns, said)


def _plain(value: Mapping[str, Any]) -> Any:
    text = value.get("stringValue")
    return text if text is not None else next((value[kind] for kind in _NUMBERS if kind in value), "")
