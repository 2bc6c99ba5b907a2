"""Where KPIs are read from: files that are stores, files that are none, and ClickHouse over HTTP."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bizspan.errors import SetupError
from bizspan.kpi import CLICKHOUSE, KPI, ClickHouseSource, Count, SqliteSource, Statement, evaluate, operations
from tests.kpi.cases import compare
from tests.kpi.far import Engine, Far, serving
from tests.kpi.stores import HAS_CHDB, NO_CHDB, Told, sqlite_store
from tests.kpi.strategies import BERLIN, DAY, HOSTILE

ORDERS = KPI("orders", Count(operations("checkout", segment=HOSTILE)), owner="shop", meaning="x")
SALE = {"business.operation.name": "checkout", "business.customer.segment": HOSTILE}


def told(number: int = 1) -> list[Told]:
    return [Told(f"u-{n}", DAY.since_ns + n, "business.operation", SALE, copies=2) for n in range(number)]


def test_a_store_is_read_while_it_is_written(tmp_path: Path) -> None:
    """
    In WAL mode, with a writer in the middle of a transaction: what is committed is seen, and nothing is blocked.
    """
    source = sqlite_store(tmp_path / "store.db", told(3))
    with closing(sqlite3.connect(source.path)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("DELETE FROM events WHERE uid = 'u-0'")

        assert 3 == evaluate(ORDERS, source, DAY, calendar=BERLIN).total[0].value
        writer.commit()
        assert 2 == evaluate(ORDERS, source, DAY, calendar=BERLIN).total[0].value


def test_a_source_can_only_read(tmp_path: Path) -> None:
    """
    Even a statement that would change something changes nothing.
    """
    source = sqlite_store(tmp_path / "store.db", told())
    answer = evaluate(ORDERS, source, DAY, calendar=BERLIN)
    from dataclasses import replace

    with pytest.raises(SetupError, match="readonly"):
        source.rows([replace(answer.statements[0], sql="DELETE FROM events", parameters={})])


def test_a_file_that_is_no_store_is_said(tmp_path: Path) -> None:
    """
    Missing, empty, or something else: with its path.
    """
    (tmp_path / "empty.db").touch()
    (tmp_path / "text.db").write_text("no database at all, " * 100, encoding="utf-8")

    for name, said in (("missing.db", "no such file"), ("empty.db", "no such table"), ("text.db", "not a database")):
        with pytest.raises(SetupError, match=said):
            evaluate(ORDERS, SqliteSource(tmp_path / name), DAY, calendar=BERLIN)


# --- ClickHouse -------------------------------------------------------------------------------------------------------


@pytest.mark.server
def test_clickhouse_is_asked_with_parameters_and_headers() -> None:
    """
    The text has placeholders, values go beside it, the password goes into a header and nowhere else.
    """
    with serving(Far()) as far:
        source = ClickHouseSource(far.url, "reader", "s3cret", "telemetry")
        answer = evaluate(ORDERS, source, DAY, calendar=BERLIN)

    query, headers, text = far.asked[0]
    assert (3, 1, None) == (answer.total[0].value, answer.hidden, answer.late)
    assert "FORMAT JSONCompact" in text
    assert HOSTILE not in text
    assert HOSTILE.replace("\\", "\\\\").replace("\t", "\\t") in [value for told in query.values() for value in told]
    assert ["telemetry"] == query["database"]
    assert ("reader", "s3cret") == (headers["X-Clickhouse-User"], headers["X-Clickhouse-Key"])
    assert "s3cret" not in repr(source) + json.dumps(query) + text


@pytest.mark.server
@pytest.mark.parametrize(
    ("far", "said"),
    [
        (Far(403, b"Code: 516. DB::Exception: reader: Authentication failed"), "HTTP 403: Code: 516"),
        (Far(404, b""), "HTTP 404: no reason"),
        (Far(307, b"", "http://127.0.0.1:9/elsewhere"), "HTTP 307"),
        (Far(200, b"<html>a proxy's page</html>"), "no answer of ClickHouse: <html>"),
        (Far(200, b'{"data": [[1, 1]\nCode: 241. DB::Exception: Memory limit'), "Memory limit"),
        (Far(200, b"[]"), "no answer of ClickHouse"),
    ],
)
def test_what_clickhouse_refuses_is_said(far: Far, said: str) -> None:
    """
    Errors, redirects, pages of a proxy, and answers that end half-way: one line with the address, no password.
    """
    with serving(far):
        source = ClickHouseSource(far.url, password="s3cret")
        with pytest.raises(SetupError) as raised:
            evaluate(ORDERS, source, DAY, calendar=BERLIN)

    assert said in str(raised.value)
    assert str(raised.value).startswith(far.url)
    assert "s3cret" not in str(raised.value)


STREAMED = Statement("told", "SELECT 1", {}, (), CLICKHOUSE)


@pytest.mark.server
@pytest.mark.parametrize(
    ("far", "said"),
    [
        (Far(403, b"Code: 516. DB::Exception: reader: Authentication failed"), "HTTP 403: Code: 516"),
        (Far(200, b"<html>\na proxy's page</html>"), "no answer of ClickHouse: <html> a proxy's"),
        (Far(200, b'["1"]\nCode: 241. DB::Exception: Memory limit\n'), "no answer of ClickHouse: Code: 241"),
        (Far(200, b'["1"]\n__exception__\r\nCode: 241\n'), "no answer of ClickHouse: __exception__ Code: 241"),
        (Far(200, b'["1"]\n["2'), 'ends half-way: ["2'),
        (Far(200, b'["1"]\n', lacks=7), "ends half-way"),
        (Far(200, b"1\n"), "no answer of ClickHouse"),
    ],
)
def test_a_stream_that_fails_is_said(far: Far, said: str) -> None:
    """
    At once or half-way, also where the connection ends between two rows: what came before is no answer.
    """
    with serving(far), pytest.raises(SetupError) as raised:
        list(ClickHouseSource(far.url, password="s3cret").stream(STREAMED))

    assert said in str(raised.value)
    assert str(raised.value).startswith(far.url)
    assert "s3cret" not in str(raised.value)


@pytest.mark.server
def test_a_stream_has_any_number_of_rows() -> None:
    """
    More than are read at once.
    """
    rows = [[number, "x" * 97] for number in range(20_000)]
    with serving(Far(200, "".join(f"{json.dumps(row)}\n" for row in rows).encode())) as far:
        assert [tuple(row) for row in rows] == list(ClickHouseSource(far.url).stream(STREAMED))

    assert far.asked[0][2].endswith("FORMAT JSONCompactEachRow")


def test_clickhouse_that_is_not_there_is_said() -> None:
    """
    A closed port is no traceback of urllib.
    """
    import socket

    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        with pytest.raises(SetupError, match="refused"):
            evaluate(ORDERS, ClickHouseSource(url, timeout_s=5), DAY, calendar=BERLIN)


@pytest.mark.parametrize(
    "url", ["", "localhost:8123", "file:///etc/passwd", "http://u:p@host:8123", "http://host/?user=x"]
)
def test_an_address_has_no_secrets_and_is_http(url: str) -> None:
    """
    Anything else is a set-up error that does not repeat it.
    """
    with pytest.raises(SetupError, match="the address of ClickHouse") as raised:
        ClickHouseSource(url)

    assert "u:p" not in str(raised.value)


def test_the_environment_names_clickhouse() -> None:
    """
    Address, user, password and database.
    """
    told = {"URL": "http://h:8123", "USER": "u", "PASSWORD": "p", "DATABASE": "d"}
    source = ClickHouseSource.from_environment({f"BIZSPAN_CLICKHOUSE_{name}": value for name, value in told.items()})

    assert ("http://h:8123", "u", "p", "d") == (source.url, source.user, source.password, source.database)
    with pytest.raises(SetupError, match="set BIZSPAN_CLICKHOUSE_URL"):
        ClickHouseSource.from_environment({})


@pytest.mark.server
@pytest.mark.skipif(not HAS_CHDB, reason=NO_CHDB)
def test_clickhouse_behind_http_says_what_plain_python_says() -> None:
    """
    Through the client, with parameters as the HTTP interface takes them, hostile ones as well.
    """
    engine = Engine()
    engine.engine.load(told(4))
    with serving(engine):
        for name in ("count", "count_own_facts", "conversion", "converted"):
            compare(name, ClickHouseSource(engine.url), told(4), [], DAY.until_ns)
