"""
Events from spool directories: what waits there, and no collector has yet. And which source a path is.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bizspan import names
from bizspan.reconcile._clickhouse import ClickHouseEvents
from bizspan.reconcile._events import Event, Reading, Selection, Source, event_of
from bizspan.reconcile._lens import LensStores, is_store
from bizspan.reconcile._otlp_json import OtlpJsonLines

if TYPE_CHECKING:
    from bizspan.kpi import ClickHouseSource


class Stored:
    """
    Events that wait in spools. Takes nothing out of them; their processes may go on.

    Dead letters are left out: no collector has them, and none will.

    Args:
        paths: Directories.
    """

    def __init__(self, paths: Sequence[str | Path]) -> None:
        self._paths = [os.fspath(path) for path in paths]

    def events(self, reading: Reading) -> Iterator[Event]:
        """See `Source`."""
        from bizspan.spool._inspect import events_in

        def damaged(name: str, size: int) -> None:
            reading.bad(name, f"{size:,} damaged bytes")

        for path in self._paths:
            for _, stored in events_in(path, damaged=damaged):
                uid = stored.attributes.get(names.RECORD_UID)
                if not uid or not stored.event_name:  # a log record of somebody else: ours have both
                    reading.no_event(has_uid=bool(uid), is_ours=False)
                    continue
                try:
                    event = event_of(stored.event_name, stored.time_ns, stored.attributes)
                except (KeyError, TypeError, ValueError, OverflowError):
                    reading.bad(path, "an event that is not one of bizspan's")
                    continue
                reading.events += 1
                yield event


class _Several:
    """One source after the other."""

    def __init__(self, *sources: Source) -> None:
        self._sources = sources

    def events(self, reading: Reading) -> Iterator[Event]:
        """See `Source`."""
        for source in self._sources:
            yield from source.events(reading)


def source_of(
    paths: Sequence[str | Path], clickhouse: ClickHouseSource | None = None, selection: Selection | None = None
) -> Source:
    """
    What these paths hold: OTLP JSON lines, spools, stores of the lens, or some of each; and what ClickHouse has.

    Args:
        paths: Files, directories of files, directories of spools, and stores.
        clickhouse: Where the Collector's exporter writes to as well.
        selection: Which events are sales, so that others need not leave ClickHouse.

    Raises:
        SetupError: A path does not exist, or a directory holds neither.
    """
    spools = [path for path in paths if _is_spool(os.fspath(path))]
    stores = [path for path in paths if is_store(os.fspath(path))]
    files = [path for path in paths if path not in spools and path not in stores]
    # Spools first: what is sent meanwhile is read twice, and has one uid. The other way round, it would be missed.
    several: list[Source] = [Stored(spools)] if spools else []
    several += [LensStores(stores)] if stores else []
    several += [OtlpJsonLines(files)] if files else []
    if clickhouse is not None:
        several.append(ClickHouseEvents(clickhouse, selection or Selection()))
    return several[0] if len(several) == 1 else _Several(*several)


def _is_spool(path: str) -> bool:
    from bizspan.spool._inspect import is_spool

    return is_spool(path) or _is_drained(path)


def _is_drained(path: str) -> bool:
    """Whether it looks as a spool does in which nothing waits: empty, and closed to everybody but its owner."""
    try:
        told = os.lstat(path)
        return stat.S_ISDIR(told.st_mode) and stat.S_IMODE(told.st_mode) == 0o700 and not os.listdir(path)
    except OSError:
        return False
