"""
The same events as a list, as the lens's SQLite store, and as the tables of the Collector's ClickHouse exporter.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from bizspan import names
from bizspan._columns import COLUMNS, ENVIRONMENT, SERVICE_NAME, SERVICE_VERSION
from bizspan.kpi import CLICKHOUSE, Dialect, SqliteSource, Statement
from bizspan.kpi._clickhouse import parameters_of, rows_of

HAS_CHDB: Final = find_spec("chdb") is not None
NO_CHDB: Final = "needs chdb, 900 MB: the session `clickhouse` of the gate installs it"
SECOND: Final = 1_000_000_000
_RESOURCE: Final = (SERVICE_NAME, SERVICE_VERSION, ENVIRONMENT)

Scalar = str | int | float | bool


@dataclass(frozen=True)
class Told:
    """One event, as it was told; `copies` is how often it was delivered."""

    uid: str
    time_ns: int
    name: str
    attributes: Mapping[str, Any]
    received_ns: int = 0
    copies: int = 1

    def __getitem__(self, key: str) -> Any:
        return self.attributes.get(key)


@dataclass(frozen=True)
class Point:
    """One point of a gauge."""

    time_ns: int
    name: str
    value: float
    service: str = "shop"
    attributes: Mapping[str, Scalar] = field(default_factory=dict[str, Scalar])


def schema() -> str:
    """The tables of a store of the lens, as far as KPIs read them."""
    promoted = ", ".join(f"{column.name} {column.kind}" for column in COLUMNS.values())
    return (
        "CREATE TABLE events (id INTEGER PRIMARY KEY, uid TEXT UNIQUE, time_ns INTEGER, observed_ns INTEGER,"
        f" received_ns INTEGER, name TEXT, trace_id TEXT, span_id TEXT, resource_id INTEGER, {promoted},"
        " attributes TEXT);"
        "CREATE TABLE gauges (time_ns INTEGER, name TEXT, value REAL, service TEXT, attributes TEXT);"
        "CREATE INDEX by_time ON events (time_ns);"
    )


def sqlite_store(path: Path, events: Iterable[Told], points: Iterable[Point] = ()) -> SqliteSource:
    """A store with these, each once, as ingest leaves them."""
    path.unlink(missing_ok=True)
    columns = ["uid", "time_ns", "received_ns", "name", *(column.name for column in COLUMNS.values()), "attributes"]
    marks = ", ".join("?" * len(columns))
    with closing(sqlite3.connect(path)) as database:
        database.executescript(f"PRAGMA synchronous = OFF; PRAGMA journal_mode = OFF; BEGIN; {schema()}")
        database.executemany(
            f"INSERT OR IGNORE INTO events ({', '.join(columns)}) VALUES ({marks})",
            (
                (
                    each.uid, each.time_ns, each.received_ns, each.name, *(each[key] for key in COLUMNS),
                    json.dumps({key: value for key, value in each.attributes.items() if key not in COLUMNS}),
                )
                for each in events
            ),
        )  # fmt: skip
        database.executemany(
            "INSERT INTO gauges VALUES (?, ?, ?, ?, ?)",
            ((each.time_ns, each.name, each.value, each.service, json.dumps(each.attributes)) for each in points),
        )
        database.commit()
    return SqliteSource(path)


# As the exporter creates them, without codecs and indexes.
_LOGS: Final = """
CREATE OR REPLACE TABLE otel_logs (
    Timestamp DateTime64(9), TimestampTime DateTime DEFAULT toDateTime(Timestamp), TraceId String, SpanId String,
    TraceFlags UInt8, SeverityText LowCardinality(String), SeverityNumber UInt8, ServiceName LowCardinality(String),
    Body String, ResourceSchemaUrl LowCardinality(String), ResourceAttributes Map(LowCardinality(String), String),
    ScopeSchemaUrl LowCardinality(String), ScopeName String, ScopeVersion LowCardinality(String),
    ScopeAttributes Map(LowCardinality(String), String), LogAttributes Map(LowCardinality(String), String),
    EventName String
) ENGINE = MergeTree PARTITION BY toDate(TimestampTime) PRIMARY KEY (ServiceName, TimestampTime)
ORDER BY (ServiceName, TimestampTime, Timestamp)
"""
_GAUGES: Final = """
CREATE OR REPLACE TABLE otel_metrics_gauge (
    ResourceAttributes Map(LowCardinality(String), String), ServiceName LowCardinality(String), MetricName String,
    MetricUnit String, Attributes Map(LowCardinality(String), String), TimeUnix DateTime64(9), Value Float64
) ENGINE = MergeTree ORDER BY (ServiceName, MetricName, TimeUnix)
"""


class ChdbSource:
    """ClickHouse in this process, asked as over HTTP: the same text, the same form of parameters, the same answers."""

    def __init__(self, dialect: Dialect = CLICKHOUSE) -> None:
        from importlib import import_module

        self.dialect = dialect
        # By name: type checkers run without it.
        self._session: Any = import_module("chdb.session").Session()

    def load(self, events: Iterable[Told], points: Iterable[Point] = ()) -> None:
        """Have these in the tables: each as often as it was delivered."""
        self._session.query(_LOGS)
        self._session.query(_GAUGES)
        logs = [_as_log(each) for each in events for _ in range(each.copies)]
        told = "\n".join(map(json.dumps, logs))
        if logs:
            self._session.query(f"INSERT INTO otel_logs FORMAT JSONEachRow {told}")
        gauges = "\n".join(json.dumps(_as_gauge(each)) for each in points)
        if gauges:
            self._session.query(f"INSERT INTO otel_metrics_gauge FORMAT JSONEachRow {gauges}")

    def rows(self, statements: Sequence[Statement]) -> list[list[tuple[Any, ...]]]:
        """The rows of each."""
        return [self.ask(each.sql, parameters_of(each.parameters)) for each in statements]

    def ask(self, sql: str, parameters: Mapping[str, str] | None = None) -> list[tuple[Any, ...]]:
        """The rows of one text."""
        return rows_of(self.answer(f"{sql}\nFORMAT JSONCompact", parameters or {}), "chdb")

    def answer(self, text: str, parameters: Mapping[str, str]) -> bytes:
        """What the HTTP interface has in its body."""
        told = {name.removeprefix("param_"): value for name, value in parameters.items()}
        return str(self._session.query(text, params=told)).encode()


def _as_text(value: Scalar) -> str:
    """As the Collector turns an attribute into a text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.17g}" if isinstance(value, float) else str(value)


def _as_log(each: Told) -> dict[str, Any]:
    record = {key: _as_text(value) for key, value in each.attributes.items() if key not in _RESOURCE}
    return {
        "Timestamp": _moment(each.time_ns),
        "ServiceName": each[SERVICE_NAME] or "",
        "ScopeName": names.SCOPE,
        "ResourceAttributes": {key: each[key] for key in _RESOURCE if each[key] is not None},
        "LogAttributes": {**record, names.RECORD_UID: each.uid},
        "EventName": each.name,
    }


def _as_gauge(each: Point) -> dict[str, Any]:
    return {
        "ServiceName": each.service,
        "MetricName": each.name,
        "Attributes": {key: _as_text(value) for key, value in each.attributes.items()},
        "TimeUnix": _moment(each.time_ns),
        "Value": each.value,
    }


def _moment(time_ns: int) -> str:
    seconds, nanos = divmod(time_ns, SECOND)
    return f"{seconds}.{nanos:09d}"
