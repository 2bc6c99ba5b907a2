"""
The tables of the store, and the views that look as the Collector's ClickHouse exporter writes.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from bizspan._columns import COLUMNS, TOOK_S
from bizspan.errors import SetupError
from bizspan.lens import _hour_facts
from bizspan.lens._layout import TABLES

FORMAT: Final = 4  # PRAGMA user_version
APPLICATION: Final = 0x42697A73  # PRAGMA application_id: "Bizs"

_CELL: Final = (
    "minute INTEGER NOT NULL, name TEXT NOT NULL, operation TEXT NOT NULL, outcome TEXT NOT NULL, "
    "traffic TEXT NOT NULL, dimension TEXT NOT NULL, value TEXT NOT NULL"
)
_CELL_KEY: Final = "minute, dimension, name, operation, outcome, traffic, value"

# What most KPIs and filtered pages read of an event stands in the one index beside the time, so that they need not read
# its row: a quarter of the file, and KPIs take half the time. Events come in nearly by time, so each goes to the
# index's end; a further index by name would cost an event 2 us, and saves less.
_READ: Final = (
    "name, operation, outcome, traffic, received_ns, customer, order_id, country, segment, duration_s, "
    "revenue_minor, revenue_currency, revenue_invalid, refund_minor, refund_currency, refund_invalid, "
    "reason, channel, campaign, value_minor, value_currency, value_invalid"
)

# Whoever writes minutes reopens their hour: also a process of an older version, and one beside another that adds it up.
_REOPEN: Final = (
    "ON minute_counts WHEN NEW.dimension = '' AND NOT EXISTS "
    "(SELECT 1 FROM open_hours WHERE hour = NEW.minute / 3600 * 3600) "
    "BEGIN INSERT INTO open_hours VALUES (NEW.minute / 3600 * 3600); END"
)
_HOUR_CELL, _HOUR_KEY = (text.replace("minute", "hour", 1) for text in (_CELL, _CELL_KEY))
_OTHER_TABLES: Final = f"""
CREATE TABLE resources (id INTEGER PRIMARY KEY, attributes TEXT NOT NULL);
CREATE TABLE scopes (id INTEGER PRIMARY KEY, name TEXT NOT NULL, version TEXT NOT NULL, attributes TEXT NOT NULL);
CREATE TABLE minute_counts ({_CELL}, count INTEGER NOT NULL, timed INTEGER NOT NULL, duration_us INTEGER NOT NULL,
    PRIMARY KEY ({_CELL_KEY})) WITHOUT ROWID;
CREATE TABLE minute_money ({_CELL}, kind TEXT NOT NULL, currency TEXT NOT NULL, count INTEGER NOT NULL,
    minor INTEGER NOT NULL, PRIMARY KEY ({_CELL_KEY}, kind, currency)) WITHOUT ROWID;
CREATE TABLE dimension_values (dimension TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (dimension, value)) WITHOUT ROWID;
CREATE TABLE dropped (what TEXT NOT NULL, reason TEXT NOT NULL, count INTEGER NOT NULL, until_ns INTEGER NOT NULL,
    PRIMARY KEY (what, reason)) WITHOUT ROWID;
CREATE INDEX events_by_time ON events (time_ns, {_READ});
CREATE UNIQUE INDEX spans_once ON spans (trace_id, span_id);
CREATE INDEX spans_by_operation ON spans (operation, start_ns) WHERE operation IS NOT NULL;
CREATE INDEX spans_by_start ON spans (start_ns);
CREATE INDEX gauges_by_name ON gauges (name, time_ns);
CREATE INDEX sums_by_name ON sums (name, time_ns);
CREATE INDEX histograms_by_name ON histograms (name, time_ns);
"""

# What people know that no application tells, and which alerts were said: since format 2.
_MARKS: Final = """
CREATE TABLE marks (id INTEGER PRIMARY KEY, label TEXT NOT NULL, since_ns INTEGER NOT NULL, until_ns INTEGER NOT NULL,
    country TEXT NOT NULL, kind TEXT NOT NULL, UNIQUE (label, since_ns, until_ns, country, kind));
CREATE TABLE alerts_said (alert TEXT NOT NULL, since_ns INTEGER NOT NULL, said_ns INTEGER NOT NULL,
    PRIMARY KEY (alert, since_ns)) WITHOUT ROWID;
"""
# The minutes of an hour added up, where the hour is not among those that are open: since format 3.
_HOURS: Final = f"""
CREATE TABLE hour_counts ({_HOUR_CELL}, count INTEGER NOT NULL, timed INTEGER NOT NULL, duration_us INTEGER NOT NULL,
    first INTEGER NOT NULL, last INTEGER NOT NULL, PRIMARY KEY ({_HOUR_KEY})) WITHOUT ROWID;
CREATE TABLE hour_money ({_HOUR_CELL}, kind TEXT NOT NULL, currency TEXT NOT NULL, count INTEGER NOT NULL,
    minor INTEGER NOT NULL, PRIMARY KEY ({_HOUR_KEY}, kind, currency)) WITHOUT ROWID;
CREATE TABLE open_hours (hour INTEGER PRIMARY KEY);
CREATE TRIGGER reopen_of_new AFTER INSERT {_REOPEN};
CREATE TRIGGER reopen_of_old AFTER UPDATE {_REOPEN};
"""
_STRETCH: Final = (
    "CASE " + " ".join(f"WHEN duration_s <= {bound} THEN '{n}'" for n, bound in enumerate(TOOK_S))
    + f" ELSE '{len(TOOK_S)}' END"
)  # fmt: skip
_TOOK: Final = (
    "time_ns / 60000000000 * 60, coalesce(name, ''), coalesce(operation, ''), coalesce(outcome, ''), "
    f"coalesce(traffic, ''), 'took', {_STRETCH}"
)
# As sum(revenue_minor), which fails beyond 64 bits: this becomes a floating-point number there.
_SUMMED: Final = "sum(revenue_minor >> 32) * 4294967296 + sum(revenue_minor & 4294967295)"
# Of the events that an older store has, how long they took was counted by no minute.
_OLDER: Final = f"""
INSERT OR IGNORE INTO minute_counts SELECT {_TOOK}, count(*), 0, 0 FROM events WHERE duration_s IS NOT NULL
    GROUP BY 1, 2, 3, 4, 5, 7;
INSERT OR IGNORE INTO minute_money SELECT {_TOOK}, 'revenue', revenue_currency, count(*), {_SUMMED} FROM events
    WHERE duration_s IS NOT NULL AND revenue_minor IS NOT NULL AND revenue_currency IS NOT NULL
    GROUP BY 1, 2, 3, 4, 5, 7, 9;
DROP INDEX events_by_time;
CREATE INDEX events_by_time ON events (time_ns, {_READ});
INSERT OR IGNORE INTO dimension_values SELECT DISTINCT 'money', kind FROM minute_money;
INSERT OR IGNORE INTO open_hours SELECT DISTINCT minute / 3600 * 3600 FROM minute_counts;
"""
# Events counted per hour by facts together: since format 4.
_FACTS: Final = _hour_facts.TABLES
# What makes a store of one format one of the next.
_STEPS: Final = {1: _MARKS, 2: f"{_HOURS}{_OLDER}", 3: _FACTS}


def _moment(column: str) -> str:
    return (
        f"strftime('%Y-%m-%d %H:%M:%S', t.{column} / 1000000000, 'unixepoch')"
        f" || printf('.%09d', t.{column} % 1000000000)"
    )


def _promoted() -> str:
    pairs = ", ".join(f"'{key}', t.{column.name}" for key, column in COLUMNS.items() if column.of == "record")
    # Patching an empty object leaves out what is null.
    return f"json_patch(json_patch('{{}}', json_object('log.record.uid', t.uid, {pairs})), t.attributes)"


_FROM: Final = "FROM {table} t LEFT JOIN resources r ON r.id = t.resource_id LEFT JOIN scopes s ON s.id = t.scope_id"
_POINT: Final = (
    "r.attributes AS ResourceAttributes, s.name AS ScopeName, s.version AS ScopeVersion, "
    "s.attributes AS ScopeAttributes, coalesce(t.service, '') AS ServiceName, t.name AS MetricName, "
    "t.description AS MetricDescription, t.unit AS MetricUnit, t.attributes AS Attributes, "
    f"{_moment('start_ns')} AS StartTimeUnix, {_moment('time_ns')} AS TimeUnix, coalesce(t.flags, 0) AS Flags"
)
_LOG: Final = (
    f"SELECT {_moment('time_ns')} AS Timestamp, "
    "strftime('%Y-%m-%d %H:%M:%S', t.time_ns / 1000000000, 'unixepoch') AS TimestampTime, "
    "coalesce(t.trace_id, '') AS TraceId, coalesce(t.span_id, '') AS SpanId, coalesce(t.flags, 0) AS TraceFlags, "
    "coalesce(t.severity_text, '') AS SeverityText, coalesce(t.severity, 0) AS SeverityNumber, "
    "coalesce(t.service, '') AS ServiceName, coalesce(t.body, '') AS Body, r.attributes AS ResourceAttributes, "
    f"s.name AS ScopeName, s.version AS ScopeVersion, s.attributes AS ScopeAttributes, {_promoted()} AS LogAttributes, "
    "coalesce(t.name, '') AS EventName "
)
_SPAN_KINDS: Final = ("Unspecified", "Internal", "Server", "Client", "Producer", "Consumer")
_STATUSES: Final = ("Unset", "Ok", "Error")


def _words(column: str, words: tuple[str, ...]) -> str:
    return f"CASE t.{column} {' '.join(f'WHEN {n} THEN {word!r}' for n, word in enumerate(words))} ELSE '' END"


# Column names of the Collector's ClickHouse exporter; maps are JSON objects here, and times are text in UTC.
_VIEWS: Final = {
    "otel_logs": f"{_LOG}{_FROM.format(table='events')} UNION ALL {_LOG}{_FROM.format(table='logs')}",
    "otel_traces": (
        f"SELECT {_moment('start_ns')} AS Timestamp, t.trace_id AS TraceId, t.span_id AS SpanId, "
        "coalesce(t.parent, '') AS ParentSpanId, coalesce(t.trace_state, '') AS TraceState, t.name AS SpanName, "
        f"{_words('kind', _SPAN_KINDS)} AS SpanKind, coalesce(t.service, '') AS ServiceName, "
        "r.attributes AS ResourceAttributes, s.name AS ScopeName, s.version AS ScopeVersion, "
        "t.attributes AS SpanAttributes, t.end_ns - t.start_ns AS Duration, "
        f"{_words('status', _STATUSES)} AS StatusCode, coalesce(t.status_message, '') AS StatusMessage, "
        f"coalesce(t.events, '[]') AS Events, coalesce(t.links, '[]') AS Links {_FROM.format(table='spans')}"
    ),
    "otel_metrics_gauge": f"SELECT {_POINT}, t.value AS Value {_FROM.format(table='gauges')}",
    "otel_metrics_sum": (
        f"SELECT {_POINT}, t.value AS Value, t.temporality AS AggregationTemporality, "
        f"t.is_monotonic AS IsMonotonic {_FROM.format(table='sums')}"
    ),
    "otel_metrics_histogram": (
        f"SELECT {_POINT}, t.count AS Count, t.sum AS Sum, t.bucket_counts AS BucketCounts, "
        "t.bounds AS ExplicitBounds, t.min AS Min, t.max AS Max, t.temporality AS AggregationTemporality "
        f"{_FROM.format(table='histograms')}"
    ),
}


def ddl() -> str:
    """The statements that make an empty store."""
    tables = "".join(
        f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, {', '.join(f'{n} {kind}' for n, kind in columns.items())});\n"
        for table, columns in TABLES.items()
    )
    views = "".join(f"CREATE VIEW {name} AS {query};\n" for name, query in _VIEWS.items())
    return f"{tables}{_OTHER_TABLES}{_MARKS}{_HOURS}{_FACTS}{views}"


def prepare(connection: sqlite3.Connection, path: str) -> None:
    """
    Have the tables in a database: new, or of this format, or of an older one, which becomes one of this.

    Args:
        connection: For writing.
        path: Of the file, for messages.

    Raises:
        SetupError: It is something else's, or of a newer bizspan.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        if not is_there(connection, path):
            _run(connection, ddl())
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute(f"PRAGMA user_version = {FORMAT}")
        for older in range(format_of(connection), FORMAT):
            _run(connection, _STEPS[older])
            connection.execute(f"PRAGMA user_version = {older + 1}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _run(connection: sqlite3.Connection, statements: str) -> None:
    for statement in statements.split(";\n"):
        connection.execute(statement)


def format_of(connection: sqlite3.Connection) -> int:
    """The format that a store has; a reader may meet one that no writer has brought up to date."""
    found: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return found


def check(connection: sqlite3.Connection, path: str) -> None:
    """
    Look whether this is a store that can be read.

    Raises:
        SetupError: It is none, or of a newer bizspan.
    """
    if not is_there(connection, path):
        raise SetupError(f"{path} is an empty database; pass the store of a lens.")


def is_there(connection: sqlite3.Connection, path: str) -> bool:
    """
    Whether a database is a store; not, where it is empty.

    Raises:
        SetupError: It is something else's, or of a newer bizspan.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    found = format_of(connection)
    if application == APPLICATION:
        if found > FORMAT:
            raise SetupError(
                f"{path} was written by a newer bizspan (format {found}, this one knows {FORMAT}): "
                "update bizspan, or name another file."
            )
        return True
    if application or connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise SetupError(f"{path} is a database of another program; name a file that the lens may make.")
    return False
