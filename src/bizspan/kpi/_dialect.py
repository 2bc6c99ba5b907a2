"""
What differs between the two engines: where a fact stands, and the few functions whose names differ.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from bizspan import names
from bizspan._columns import COLUMNS, SERVICE_NAME
from bizspan.errors import SetupError
from bizspan.kpi._facts import Fact

Parameter = str | int | float


class Dialect(Protocol):
    """One engine's SQL."""

    @property
    def name(self) -> str:
        """``sqlite`` or ``clickhouse``."""
        ...

    @property
    def table(self) -> str:
        """Of events."""
        ...

    @property
    def gauges(self) -> str:
        """The table of a gauge's points."""
        ...

    @property
    def event_name(self) -> str:
        """The event's name."""
        ...

    @property
    def time(self) -> str:
        """When the event happened, in nanoseconds."""
        ...

    @property
    def received(self) -> str:
        """When it arrived, in nanoseconds; empty where the engine's table does not keep it."""
        ...

    @property
    def row(self) -> str:
        """What tells one event from all others."""
        ...

    @property
    def once(self) -> str:
        """What follows the conditions, so that each event is read once."""
        ...

    def placeholder(self, name: str, value: Parameter) -> str:
        """Where a parameter stands."""
        ...

    def literal(self, value: Parameter) -> str:
        """A value in the text of a statement, for people who paste it."""
        ...

    def fact(self, fact: Fact) -> str:
        """A fact of an event; NULL where it was not told."""
        ...

    def between(self, since: str, until: str) -> str:
        """Whether the event happened from one moment, before another."""
        ...

    def whole_part(self, dividend: str, divisor: str) -> str:
        """Of a division of whole numbers."""
        ...

    def total(self, expression: str) -> str:
        """The exact sum of whole numbers."""
        ...

    # --- gauges ---------------------------------------------------------------------------------------------------

    @property
    def gauge_name(self) -> str:
        """The gauge's name."""
        ...

    @property
    def gauge_time(self) -> str:
        """When the point was taken, in nanoseconds."""
        ...

    @property
    def gauge_value(self) -> str:
        """Its value."""
        ...

    @property
    def gauge_service(self) -> str:
        """Which service told it."""
        ...

    @property
    def gauge_set(self) -> str:
        """All its facts as one value that can be compared, whatever order they were told in."""
        ...

    def gauge_fact(self, fact: Fact) -> str:
        """A fact of a point."""
        ...


def _json(column: str, fact: Fact) -> str:
    path = f"'$.\"{fact.key}\"'"
    found = f"json_extract({column}, {path})"
    if fact.kind in ("int", "float"):
        return found
    # A boolean is 1 in SQL, and 'true' in every other place where people see it.
    kind = f"json_type({column}, {path})"
    return f"CASE WHEN {kind} IN ('true', 'false') THEN {kind} ELSE CAST({found} AS TEXT) END"


@dataclass(frozen=True, slots=True)
class Sqlite:
    """The lens's store."""

    name: str = "sqlite"
    table: str = "events"
    gauges: str = "gauges"
    event_name: str = "name"
    time: str = "time_ns"
    received: str = "received_ns"
    row: str = "id"
    once: str = ""
    gauge_name: str = "name"
    gauge_time: str = "time_ns"
    gauge_value: str = "value"
    gauge_service: str = "service"
    gauge_set: str = (
        "(SELECT json_group_array(json_array(key, value)) FROM"
        " (SELECT key, value FROM json_each(gauges.attributes) ORDER BY key))"
    )

    def placeholder(self, name: str, value: Parameter) -> str:
        """Where a parameter stands."""
        return f":{name}"

    def literal(self, value: Parameter) -> str:
        """A value in the text of a statement."""
        if isinstance(value, str):
            text = value.replace("'", "''")
            # SQLite's text of a statement ends at a NUL.
            return "'" + text.replace("\x00", "' || char(0) || '") + "'"
        return repr(value)

    def fact(self, fact: Fact) -> str:
        """A fact of an event."""
        column = COLUMNS.get(fact.key)
        return _json("attributes", fact) if column is None else column.name

    def between(self, since: str, until: str) -> str:
        """Whether the event happened then."""
        return f"time_ns >= {since} AND time_ns < {until}"

    def whole_part(self, dividend: str, divisor: str) -> str:
        """Of a division of whole numbers."""
        return f"({dividend}) / {divisor}"

    def total(self, expression: str) -> str:
        """The exact sum."""
        return f"sum({expression})"

    def gauge_fact(self, fact: Fact) -> str:
        """A fact of a point."""
        return "service" if fact.key == SERVICE_NAME else _json("attributes", fact)


_TABLE: Final = re.compile(r"[A-Za-z_]\w{0,63}(\.[A-Za-z_]\w{0,63})?", re.ASCII)
# Where the Collector's exporter puts what is not in the record's own attributes.
_RESOURCE: Final[Mapping[str, str]] = {
    key: "ServiceName" if key == SERVICE_NAME else f"ResourceAttributes['{key}']"
    for key, column in COLUMNS.items()
    if column.of == "resource"
}
_TYPES: Final[Mapping[str, str]] = {"int": "toInt64OrNull", "float": "toFloat64OrNull"}


@dataclass(frozen=True, slots=True)
class ClickHouse:
    """
    The tables of the OpenTelemetry Collector's ClickHouse exporter.

    Args:
        table: Of logs; with a database before it, where it is not the connection's.
        gauges: Of gauges.
        has_event_name: Whether the table has the column ``EventName``; older ones have it as attribute ``event.name``.
        time_column: A column by which the table is partitioned, read beside ``Timestamp``; empty where there is none.

    Raises:
        SetupError: When the name of a table is none.
    """

    table: str = "otel_logs"
    gauges: str = "otel_metrics_gauge"
    has_event_name: bool = True
    time_column: str = ""
    name: str = "clickhouse"
    time: str = "toUnixTimestamp64Nano(Timestamp)"
    received: str = ""
    row: str = f"LogAttributes['{names.RECORD_UID}']"
    gauge_name: str = "MetricName"
    gauge_time: str = "toUnixTimestamp64Nano(TimeUnix)"
    gauge_value: str = "Value"
    gauge_service: str = "ServiceName"
    gauge_set: str = "toString(arraySort(arrayZip(mapKeys(Attributes), mapValues(Attributes))))"

    def __post_init__(self) -> None:
        for told in (self.table, self.gauges, self.time_column or "none"):
            if not _TABLE.fullmatch(told):
                raise SetupError(f"{told!r} is no name of a table or column, such as 'otel_logs' or 'telemetry.logs'.")

    @property
    def event_name(self) -> str:
        """The event's name."""
        return "EventName" if self.has_event_name else "LogAttributes['event.name']"

    @property
    def once(self) -> str:
        """A retry stores an event again, with the same uid."""
        return f"LIMIT 1 BY {self.row}"

    def placeholder(self, name: str, value: Parameter) -> str:
        """Where a parameter stands."""
        kind = "String" if isinstance(value, str) else "Int64" if isinstance(value, int) else "Float64"
        return f"{{{name}:{kind}}}"

    def literal(self, value: Parameter) -> str:
        """A value in the text of a statement."""
        if isinstance(value, str):
            escaped = value.replace("\\", "\\\\").replace("'", "\\'").replace("\x00", "\\0")
            return f"'{escaped}'"
        return f"toInt64({value})" if isinstance(value, int) else repr(value)

    def fact(self, fact: Fact) -> str:
        """A fact of an event."""
        return _typed(_RESOURCE.get(fact.key) or f"LogAttributes['{fact.key}']", fact)

    def between(self, since: str, until: str) -> str:
        """Whether the event happened then."""
        when = f"Timestamp >= fromUnixTimestamp64Nano({since}) AND Timestamp < fromUnixTimestamp64Nano({until})"
        if not self.time_column:
            return when
        # In seconds, both ends included: it only leaves out parts of the table.
        coarse = (
            f"{self.time_column} >= toDateTime(fromUnixTimestamp64Nano({since}))"
            f" AND {self.time_column} <= toDateTime(fromUnixTimestamp64Nano({until}))"
        )
        return f"{coarse} AND {when}"

    def whole_part(self, dividend: str, divisor: str) -> str:
        """Of a division of whole numbers."""
        return f"intDiv({dividend}, {divisor})"

    def total(self, expression: str) -> str:
        """The exact sum: of 64 bits, it would wrap round in silence."""
        return f"sum(toInt128({expression}))"

    def gauge_fact(self, fact: Fact) -> str:
        """A fact of a point."""
        return _typed("ServiceName" if fact.key == SERVICE_NAME else f"Attributes['{fact.key}']", fact)


def _typed(read: str, fact: Fact) -> str:
    # A missing key reads as the empty text.
    return f"{_TYPES[fact.kind]}({read})" if fact.kind in _TYPES else f"nullif({read}, '')"


SQLITE: Final = Sqlite()
CLICKHOUSE: Final = ClickHouse()
