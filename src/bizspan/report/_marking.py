"""
``bizspan mark``: what no application tells, one by one or from a CSV file.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bizspan.errors import SetupError
from bizspan.report._times import is_day, moment_of

if TYPE_CHECKING:
    from bizspan.kpi import Calendar
    from bizspan.lens import Mark

Print = Callable[[str], None]
KINDS: Final = ("holiday", "price", "outage", "release", "campaign", "other")
COLUMNS: Final = ("label", "from", "to", "country", "kind")
_MOST_LINES: Final = 100_000
_MOST_BYTES: Final = 16 * 1024 * 1024


def mark_of(label: str, since: str, until: str, country: str, kind: str, calendar: Calendar) -> Mark:
    """
    A mark, from texts.

    Args:
        label: What it is called.
        since: A day or a moment.
        until: A moment before which it ends, or the last day; by default, the day of `since`, or the moment itself.
        country: Empty for everywhere.
        kind: One of `KINDS`; empty for ``other``.
        calendar: Whose days.

    Raises:
        SetupError: One of them is none of these.
    """
    from bizspan.lens import Mark

    since_ns = moment_of(since, calendar)
    if until:
        until_ns = moment_of(until, calendar, is_end=True)
    else:
        until_ns = moment_of(since, calendar, is_end=True) if is_day(since) else since_ns + 1
    return Mark(label, since_ns, until_ns, country, kind or "other")


def marks_of_file(path: Path, calendar: Calendar) -> list[Mark]:
    """
    The marks of a CSV file with the columns ``label``, ``from``, and, where wanted, ``to``, ``country``, ``kind``.

    Args:
        path: The file, in UTF-8.
        calendar: Whose days.

    Raises:
        SetupError: It can't be read, or a line is wrong; the text has its number.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise SetupError(f"{path}: it has over {_MOST_BYTES >> 20} MiB.")
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = [(name or "").strip().lower() for name in reader.fieldnames or ()]
            if not {"label", "from"} <= {*columns} <= {*COLUMNS}:
                raise SetupError(f"{path}: expected a head line with label, from and, if wanted, to, country, kind.")
            reader.fieldnames = columns
            return [
                _of_line(path, reader.line_num, line, calendar) for line in _bounded(path, reader)
            ]  # fmt: skip
    except OSError as error:
        raise SetupError(f"{path}: it can't be read ({error.strerror}).") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise SetupError(f"{path}: it is no CSV file in UTF-8 ({error}).") from None


def _bounded(path: Path, lines: Iterable[Mapping[str, Any]]) -> Iterable[Mapping[str, Any]]:
    for number, line in enumerate(lines):
        if number >= _MOST_LINES:
            raise SetupError(f"{path}: it has over {_MOST_LINES:,} lines.")
        yield line


def _of_line(path: Path, number: int, line: Mapping[str, Any], calendar: Calendar) -> Mark:
    cells = {name: (line.get(name) or "").strip() for name in COLUMNS}
    if None in line:
        raise SetupError(f"{path}:{number}: it has more cells than columns.")
    try:
        return mark_of(cells["label"], cells["from"], cells["to"], cells["country"], cells["kind"].lower(), calendar)
    except SetupError as error:
        raise SetupError(f"{path}:{number}: {error}") from None


def add(path: Path, marks: list[Mark], as_json: bool, show: Print) -> int:
    """
    Keep marks, and say how many are new.

    Raises:
        SetupError: The store can't be used.
    """
    from bizspan.lens import _marks

    added = _marks.add(path, marks)
    told = {"added": added, "already": len(marks) - added}
    show(json.dumps(told) if as_json else f"marked {added:,}, already there {len(marks) - added:,}")
    return 0


def list_all(path: Path, calendar: Calendar, as_json: bool, show: Print) -> int:
    """
    Print the marks of a store.

    Raises:
        SetupError: There is no store.
    """
    from bizspan.lens import _marks

    found = _marks.listed(path)
    if as_json:
        told = [
            {
                "id": each.id, "label": each.label, "from": _shown(each.since_ns, calendar),
                "to": _shown(each.until_ns, calendar), "country": each.country, "kind": each.kind,
            }
            for each in found
        ]  # fmt: skip
        show(json.dumps(told, indent=2))
        return 0
    for each in found:
        where = each.country or "everywhere"
        until = f" to {_shown(each.until_ns, calendar)}" if each.until_ns - each.since_ns > 1 else ""
        show(f"{each.id}  {_shown(each.since_ns, calendar)}{until}  {each.kind}  {where}  {each.label}")
    if not found:
        show('no marks; add one: bizspan mark "TV spot" --from 2026-03-01T20:15 --to 2026-03-01T20:45 --country DE')
    return 0


def remove(path: Path, number: int, as_json: bool, show: Print) -> int:
    """
    Forget a mark; 1 where there is none of this number.

    Raises:
        SetupError: The store can't be used.
    """
    from bizspan.lens import _marks

    is_gone = _marks.remove(path, number)
    said = f"removed mark {number}" if is_gone else f"there is no mark {number}; bizspan mark list has those there are"
    show(json.dumps({"removed": is_gone}) if as_json else said)
    return 0 if is_gone else 1


def _shown(time_ns: int, calendar: Calendar) -> str:
    return datetime.fromtimestamp(time_ns // 10**9, calendar.zone).isoformat(timespec="minutes")
