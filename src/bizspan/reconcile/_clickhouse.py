"""
Events from ClickHouse, as the OpenTelemetry Collector's exporter keeps them: each as often as it was delivered.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from bizspan import names
from bizspan.reconcile._events import Event, Reading, Selection, event_of

if TYPE_CHECKING:
    from bizspan.kpi import ClickHouseSource, Statement
    from bizspan.kpi._emit import Emitter

_COUNTS: Final = ("events", "without_uid", "without_name", "others")
_MONEY: Final = tuple(
    key
    for keys in (names.MINOR_UNITS_KEYS, names.CURRENCY_KEYS, names.AMOUNT_INVALID_KEYS)
    for key in (keys[names.REVENUE], keys[names.REFUND])
)
_TOLD: Final = (
    names.RECORD_UID, names.OPERATION_NAME, names.OPERATION_OUTCOME, names.ORDER, names.TRAFFIC, *_MONEY
)  # fmt: skip


class ClickHouseEvents:
    """
    Events in the exporter's table of logs. Only those that may be a sale or a refund leave the database.

    Args:
        source: Where it answers, and how its table is called.
        selection: Which events are sales.
    """

    def __init__(self, source: ClickHouseSource, selection: Selection) -> None:
        self._source = source
        self._selection = selection

    def events(self, reading: Reading) -> Iterator[Event]:
        """See `Source`."""
        ((events, without_uid, without_name, others),) = self._source.stream(self._counts())
        reading.events += int(events)
        reading.without_uid += int(without_uid)
        reading.without_name += int(without_name)
        reading.other_records += int(others)
        for event_name, time_ns, *values in self._source.stream(self._told()):
            told = {key: value for key, value in zip(_TOLD, values, strict=True) if value}
            try:
                event = event_of(event_name, time_ns, told)
            except (KeyError, ValueError):
                reading.events -= 1
                reading.bad(f"{self._source.url}: {told[names.RECORD_UID]}", "an event that is not one of bizspan's")
                continue
            yield event

    def _counts(self) -> Statement:
        emit = self._emitter()
        has_uid, has_name = f"{emit.dialect.row} <> ''", f"{emit.dialect.event_name} <> ''"
        is_ours = f"ScopeName = {emit.bind(names.SCOPE)}"
        conditions = (
            f"{has_uid} AND {has_name}",
            f"NOT {has_uid} AND {is_ours}",
            f"{has_uid} AND NOT {has_name} AND {is_ours}",
            f"NOT ({has_uid} AND {has_name}) AND NOT {is_ours}",
        )
        counted = ", ".join(f"countIf({each}) AS {name}" for name, each in zip(_COUNTS, conditions, strict=True))
        return _statement("counts", f"SELECT {counted}\nFROM {emit.dialect.table}", emit)

    def _told(self) -> Statement:
        emit = self._emitter()
        event = emit.dialect.event_name
        kinds = [f"{event} = {emit.bind(names.EVENT_REFUND)}", *(f"{_read(key)} <> ''" for key in _MONEY)]
        if self._selection.operations:
            kinds.append(emit.among(_read(names.OPERATION_NAME), sorted(self._selection.operations)))
        if self._selection.events:
            kinds.append(emit.among(event, sorted(self._selection.events)))
        outcome = _read(names.OPERATION_OUTCOME)
        took_place = f"({outcome} = '' OR {outcome} = {emit.bind(names.SUCCESS)})"
        read = ", ".join([event, emit.dialect.time, *map(_read, _TOLD)])
        text = (
            f"SELECT {read}\nFROM {emit.dialect.table}\n"
            f"WHERE {emit.dialect.row} <> '' AND {event} <> '' AND {took_place}\n    AND ({' OR '.join(kinds)})"
        )
        return _statement("events", text, emit)

    def _emitter(self) -> Emitter:
        from bizspan.kpi._emit import Emitter

        return Emitter(self._source.dialect, {})


def _read(key: str) -> str:
    """An attribute of a record; a missing one reads as the empty text."""
    return f"LogAttributes['{key}']"


def _statement(what: str, text: str, emit: Emitter) -> Statement:
    from bizspan.kpi import Statement

    return Statement(what, text, dict(emit.parameters), (), emit.dialect)
