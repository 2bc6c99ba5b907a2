"""Ledgers as people have them: CSV of several kinds, SQLite, times and amounts; and what is said about bad ones."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from bizspan.errors import SetupError
from bizspan.reconcile._ledger import Ledger, LedgerLine
from bizspan.reconcile._times import Clock
from tests.shop_files import HEAD, write_csv, write_sqlite

NOON_NS = 1_767_268_800_000_000_000  # 2026-01-01T12:00:00Z
QUERY = 'SELECT "order", amount, currency, time FROM sales'
QUOTED = ('"order"', "amount", "currency", "time")


def read(ledger: Ledger) -> list[LedgerLine]:
    return [*ledger.lines(Clock(ZoneInfo("Europe/Berlin"), UTC))]


def money(lines: list[LedgerLine]) -> list[tuple[str, bool, str, int]]:
    return [(each.order, each.is_refund, each.currency, each.minor) for each in lines]


def test_csv_as_spreadsheets_write_it(tmp_path: Path) -> None:
    """
    A byte order mark, semicolons, quotes, line breaks in quotes, blanks and further columns are all fine.
    """
    path = tmp_path / "book.csv"
    path.write_text(
        '\ufeffno;order ;amount;"currency";time;comment\r\n1; o-1 ;12.50;eur;2026-01-01T12:00:00Z;"a;\r\nb"\r\n\r\n'
        "2;o-2;-3;JPY;2026-01-01;\r\n",
        encoding="utf-8",
    )

    lines = read(Ledger(str(path)))

    assert [("o-1", False, "EUR", 1250), ("o-2", True, "JPY", 3)] == money(lines)
    assert [(3, True), (5, False)] == [(each.row, each.is_exact) for each in lines]  # the line where a row ends


def test_sqlite_keeps_its_types(tmp_path: Path) -> None:
    """
    Text, whole numbers, and floats by their shortest form; orders may be numbers, times epochs.
    """
    rows = [
        (17, "12.50", "EUR", NOON_NS // 10**9),
        ("o-2", 3, "EUR", NOON_NS // 10**6),
        ("o-3", 19.99, "EUR", "2026-01-01 12:00:00"),
        ("o-4", 0.0, "EUR", float(NOON_NS // 10**9)),
    ]
    path = write_sqlite(tmp_path / "book.db", rows, QUOTED)

    lines = read(Ledger(str(path), QUERY))

    assert [1250, 300, 1999, 0] == [each.minor for each in lines]
    assert "17" == lines[0].order
    assert {(NOON_NS, "2026-01-01")} == {(each.time_ns, each.day) for each in lines}


def test_columns_currency_and_minor_units_are_named(tmp_path: Path) -> None:
    """
    Columns by their own names, one currency for all, whole minor units, kinds and keys.
    """
    path = write_csv(
        tmp_path / "pay.csv",
        [("a", "1250", "2026-01-01", "sale", "k-1"), ("a", "-300", "2026-01-01", "Refund", "k-2"),
         ("b", "200", "2026-01-01", "refund", "k-3")],
        ("number", "cents", "at", "what", "pay"),
    )  # fmt: skip
    columns = {"order": "number", "amount": "cents", "time": "at", "kind": "what", "key": "pay"}

    lines = read(Ledger(str(path), columns=columns, currency="EUR", is_minor=True))

    assert [("a", False, "EUR", 1250), ("a", True, "EUR", 300), ("b", True, "EUR", 200)] == money(lines)
    assert ["k-1", "k-2", "k-3"] == [each.key for each in lines]


def test_a_date_alone_is_that_day(tmp_path: Path) -> None:
    """
    A day in the ledger is that day in the zone of the comparison, and begins at midnight there.
    """
    path = write_csv(tmp_path / "book.csv", [("a", "1", "EUR", "2026-07-01")])

    (line,) = read(Ledger(str(path)))

    assert ("2026-07-01", 1_782_856_800_000_000_000, False) == (line.day, line.time_ns, line.is_exact)


SECRET = "4711.0815,77"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (("", "1.00", "EUR", "2026-01-01"), "row 3, column order: expected text or a whole number, not nothing"),
        (("a", SECRET, "EUR", "2026-01-01"), "row 3, column amount: expected a plain decimal number such as 1234.50"),
        (("a", "1.005", "EUR", "2026-01-01"), "row 3, column amount: expected no more decimals than EUR has (2)"),
        (("a", "9" * 30, "EUR", "2026-01-01"), "row 3, column amount: expected an amount that fits 64 bits"),
        (("a", "", "EUR", "2026-01-01"), "row 3, column amount: expected a plain decimal number"),
        (("a", "1.00", "EURO", "2026-01-01"), "row 3, column currency: expected an ISO 4217 code such as EUR"),
        (("a", "1.00", "", "2026-01-01"), "row 3, column currency: expected text"),
        (("a", "1.00", "EUR", "01.02.2026"), "row 3, column time: expected a time as 2026-03-01"),
        (("a", "1.00", "EUR", "1969-12-31T00:00:00Z"), "row 3, column time: expected a time"),
        (("a", "1.00", "EUR", "12345678901"), "row 3, column time: expected a time"),
        (("a", "1.00", "EUR"), "row 3: expected 4 columns, as in its head"),
    ],
    ids=str,
)
def test_a_bad_row_is_named_and_not_repeated(tmp_path: Path, row: Sequence[object], said: str) -> None:
    """
    The error has row, column and what was expected, and none of the ledger's values.
    """
    path = write_csv(tmp_path / "book.csv", [("fine", "1.00", "EUR", "2026-01-01"), row])

    with pytest.raises(SetupError) as refused:
        read(Ledger(str(path)))

    assert said in str(refused.value)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "is empty; expected a first line"),
        (b"a,b\n", "has no column order for the order among its 2; pass --columns order=NAME."),
        (b"order,amount,time\n", "has no column currency; pass --columns currency=NAME, or --currency EUR for all."),
        (b"order,amount,currency,time\n\xff\xfe,1,EUR,2026-01-01\n", "expected text in UTF-8"),
        (b'order,amount,currency,time\n"a"b,1,EUR,2026-01-01\n', "after line 1: not CSV"),
    ],
    ids=str,
)
def test_what_is_no_ledger_is_refused(tmp_path: Path, text: bytes, said: str) -> None:
    """
    Empty files, other columns, other encodings and broken quotes are refused with what was expected.
    """
    path = tmp_path / "book.csv"
    path.write_bytes(text)

    with pytest.raises(SetupError) as refused:
        read(Ledger(str(path)))

    assert said in str(refused.value)


def test_a_sale_below_zero_is_refused(tmp_path: Path) -> None:
    """
    Where a column tells the kind, a negative sale is an error, and so is another kind.
    """
    head = (*HEAD, "kind")
    negative = write_csv(tmp_path / "a.csv", [("a", "-1.00", "EUR", "2026-01-01", "sale")], head)
    other = write_csv(tmp_path / "b.csv", [("a", "1.00", "EUR", "2026-01-01", "gift")], head)

    with pytest.raises(SetupError, match="column amount: expected a sale's amount, not below zero"):
        read(Ledger(str(negative)))
    with pytest.raises(SetupError, match="column kind: expected sale or refund"):
        read(Ledger(str(other)))


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("", "is a SQLite database; pass --ledger-query"),
        ("SELECT gone FROM sales", "no such column: gone"),
        ("DELETE FROM sales", "readonly database"),
        ("PRAGMA user_version = 1", "readonly database|gives no rows"),
        ("SELECT 1; SELECT 2", "one statement at a time"),
    ],
    ids=str,
)
def test_a_query_that_does_not_read_is_refused(tmp_path: Path, query: str, said: str) -> None:
    """
    The database is opened for reading, and only one SELECT is taken.
    """
    path = write_sqlite(tmp_path / "book.db", [("a", 1, "EUR", "2026-01-01")], QUOTED)

    with pytest.raises(SetupError, match=said):
        read(Ledger(str(path), query))

    with closing(sqlite3.connect(path)) as database:
        assert (1,) == database.execute("SELECT count(*) FROM sales").fetchone()


def test_a_query_needs_a_database(tmp_path: Path) -> None:
    """
    A query on a CSV file, and a file that is not there, are refused.
    """
    path = write_csv(tmp_path / "book.csv", [])

    with pytest.raises(SetupError, match="is no SQLite database"):
        read(Ledger(str(path), QUERY))
    with pytest.raises(SetupError, match="cannot be read: No such file"):
        read(Ledger(str(tmp_path / "gone.csv")))


def test_text_that_is_not_utf_8_is_not_repeated(tmp_path: Path) -> None:
    """
    A database with bytes that are no UTF-8 is read; what cannot be is replaced, not quoted in an error.
    """
    path = write_sqlite(tmp_path / "book.db", [("a", 1, "EUR", "2026-01-01")], QUOTED)
    query = "SELECT cast(x'61ff' AS TEXT) AS \"order\", amount, currency, time FROM sales"

    assert ["a\ufffd"] == [each.order for each in read(Ledger(str(path), query))]
