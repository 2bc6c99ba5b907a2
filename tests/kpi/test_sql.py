"""The statements themselves: both dialects parse, what is printed gives what is asked, and values stay values."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlglot
from sqlglot import exp

from bizspan.errors import SetupError
from bizspan.kpi import CLICKHOUSE, SQLITE, ClickHouse, Dialect, Source, Statement, operations, statements
from bizspan.kpi._clickhouse import parameters_of
from tests.kpi.cases import DEFINITIONS, kpi
from tests.kpi.stores import HAS_CHDB, NO_CHDB, ChdbSource, Told, sqlite_store
from tests.kpi.strategies import BERLIN, DAY, HOSTILE, HOUR

BOTH: list[Dialect] = [SQLITE, CLICKHOUSE, ClickHouse("telemetry.logs", "telemetry.gauge", False, "TimestampTime")]


class Nowhere:
    """Only its dialect is used."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect

    def rows(self, statements: Any) -> list[Any]:
        raise AssertionError("nobody should ask")


def asked(name: str, dialect: Dialect) -> tuple[Statement, ...]:
    measured = kpi(name)
    source: Source = Nowhere(dialect)
    return statements(measured, source, DAY, calendar=BERLIN, by=measured.by, as_of_ns=DAY.until_ns)


@pytest.mark.parametrize("dialect", BOTH, ids=["sqlite", "clickhouse", "clickhouse-older"])
@pytest.mark.parametrize("name", DEFINITIONS)
def test_what_is_printed_is_one_query(name: str, dialect: Dialect) -> None:
    """
    A parser of that dialect reads one query from our tables in each text, hostile values and all.
    """
    for statement in asked(name, dialect):
        (tree,) = sqlglot.parse(statement.text, dialect=dialect.name)

        assert isinstance(tree, exp.Query)
        tables = {table.sql() for table in tree.find_all(exp.Table)} - {each.alias for each in tree.find_all(exp.CTE)}
        assert tables - {"JSON_EACH(gauges.attributes)"} <= {dialect.table, dialect.gauges}


@pytest.mark.parametrize("name", DEFINITIONS)
def test_values_are_parameters(name: str) -> None:
    """
    No text of a definition stands in the SQL: each is a parameter; only keys and whole numbers are written out.
    """
    for dialect in BOTH:
        for statement in asked(name, dialect):
            assert HOSTILE not in statement.sql
            assert "checkout" not in statement.sql
            assert all(
                dialect.placeholder(each, value) in statement.sql for each, value in statement.parameters.items()
            )


def _told() -> list[Told]:
    facts = {
        "business.operation.name": "checkout", "business.operation.outcome": "success", "business.order.id": "o",
        "business.customer.segment": HOSTILE, "shop.bonus": HOSTILE, "shop.points": 2, "shop.gift": True,
        "business.revenue.minor_units": 100, "business.revenue.currency": "EUR", "enduser.pseudo.id": "a",
    }  # fmt: skip
    return [Told(f"u-{n}", DAY.since_ns + n * HOUR, "business.operation", facts, DAY.since_ns) for n in range(5)] + [
        Told("s", DAY.since_ns, "signup", facts, DAY.since_ns)
    ]


@pytest.mark.parametrize("name", DEFINITIONS)
def test_what_is_printed_for_sqlite_gives_what_is_asked(name: str, tmp_path: Path) -> None:
    """
    The text with its values in it, pasted, has the rows of the one with parameters; the tables stay.
    """
    source = sqlite_store(tmp_path / "store.db", _told())

    with closing(sqlite3.connect(source.path)) as database:
        for statement in asked(name, SQLITE):
            assert source.rows([statement])[0] == database.execute(statement.text).fetchall()


@pytest.mark.skipif(not HAS_CHDB, reason=NO_CHDB)
def test_what_is_printed_for_clickhouse_gives_what_is_asked_again_and_again() -> None:
    """
    As for SQLite; and a second time, when the engine's caches are warm.
    """
    source = ChdbSource()
    source.load(_told())

    for name in DEFINITIONS:
        for statement in asked(name, CLICKHOUSE):
            by_parameters = [
                sorted(source.ask(statement.sql, parameters_of(statement.parameters)), key=repr) for _ in "ab"
            ]
            by_text = [sorted(source.ask(statement.text), key=repr) for _ in "ab"]
            assert [by_parameters[0]] * 4 == [*by_parameters, *by_text], statement.text


@pytest.mark.skipif(not HAS_CHDB, reason=NO_CHDB)
def test_an_older_table_is_read_by_its_attribute() -> None:
    """
    Where there is no column for the event's name, and with the column that the table is partitioned by.
    """
    source = ChdbSource(ClickHouse(has_event_name=False, time_column="TimestampTime"))
    source.load([Told(each.uid, each.time_ns, "", {**each.attributes, "event.name": each.name}) for each in _told()])

    (counted, *_) = statements(kpi("count"), source, DAY, calendar=BERLIN, as_of_ns=DAY.until_ns)

    assert [[(5, 5)]] == source.rows([counted])


def test_placeholders_are_replaced_in_one_pass() -> None:
    """
    A value that looks like a placeholder stays as it was told, and :p1 is not the beginning of :p12.
    """
    parameters = {f"p{number}": f":p{number + 1}" for number in range(1, 13)}
    statement = Statement("value", ", ".join(f":{name}" for name in parameters), parameters, (), SQLITE)

    assert ", ".join(f"':p{number}'" for number in range(2, 14)) == statement.text


@pytest.mark.parametrize("table", ["otel_logs; DROP TABLE x", "a.b.c", "", "`x`", "x y"])
def test_a_table_has_the_name_of_a_table(table: str) -> None:
    """
    It goes into the statement as it is, so it is checked.
    """
    with pytest.raises(SetupError, match="no name of a table"):
        ClickHouse(table)


@pytest.mark.parametrize("fact", ["a.b'", 'a.b"', "a.b c", "a.b\\", "ä.b"])
def test_a_key_that_could_end_its_quotes_is_no_fact(fact: str) -> None:
    """
    Keys stand in the statement; only letters, digits, dots, dashes and underscores do.
    """
    from bizspan.kpi import KPI, Count

    with pytest.raises(SetupError, match="is not known"):
        KPI("x", Count(operations("checkout")), owner="shop", meaning="x", by=(fact,))
