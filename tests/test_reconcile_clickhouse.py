"""`bizspan reconcile --clickhouse`: the tables of the Collector's exporter, against the same events as files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import bizspan
from bizspan import names
from bizspan.cli import main
from bizspan.errors import SetupError
from bizspan.kpi import ClickHouse, ClickHouseSource
from bizspan.reconcile import ClickHouseEvents, Ledger, OtlpJsonLines, Reading, Request, Selection, reconcile
from bizspan.testing import Capture, capture
from tests.kpi.far import Engine, Far, serving
from tests.kpi.stores import HAS_CHDB, NO_CHDB, Told
from tests.shop_files import write_csv, write_events

HOSTILE = "o'); DROP TABLE otel_logs; -- \\"
ROWS = (
    ("o-1", "12.50", "EUR", "2026-01-01"), ("o-2", "1200", "JPY", "2026-01-01"), ("o-1", "-2.50", "EUR", "2026-01-01"),
    ("o-5", "7.00", "EUR", "2026-01-01"), ("lost", "8.00", "EUR", "2026-01-01"), (HOSTILE, "1.00", "EUR", "2026-01-01"),
)  # fmt: skip
needs_clickhouse = pytest.mark.skipif(not HAS_CHDB, reason=NO_CHDB)


def shop() -> Capture:
    """Of everything something: sales, refunds, other currencies, failures, bots, late facts, a hostile id."""
    with capture() as told:
        for order, amount, currency in (("o-1", "12.50", "EUR"), ("o-2", "1200", "JPY"), (HOSTILE, "1.00", "EUR")):
            with bizspan.operation("checkout", order=order, idempotency_key=order) as op:
                op.revenue(amount, currency)
        with bizspan.operation("checkout", order="o-3") as op:
            op.revenue("5.00", "EUR")
            op.reject("card_declined")
        with bizspan.operation("checkout", order="two") as op:
            op.revenue("5.00", "EUR")
            op.revenue("6.00", "USD")
        with bizspan.operation("checkout", order="inexact") as op:
            op.revenue(0.1 + 0.2, "EUR")
        with bizspan.operation("checkout", order="free"):
            pass
        with bizspan.context(traffic="bot"), bizspan.operation("checkout", order="bot") as op:
            op.revenue("99.00", "EUR")
        with bizspan.operation(HOSTILE, order="o-4") as op:
            op.revenue("3.00", "EUR")
        bizspan.event("invoice.paid", revenue=("7.00", "EUR"), order="o-5", idempotency_key="o-5")
        bizspan.event("newsletter.sent")
        bizspan.cost("0.30", "EUR", order="o-1")
        bizspan.refund("2.50", "EUR", order="o-1")
        told.allow("precision")
        told.events()
    return told


def stored(told: Capture, copies: int = 1) -> list[Told]:
    events = [*told.operations(), *told.events()]
    return [Told(each.uid, each.time_ns, each.event_name, each.attributes, copies=copies) for each in events]


def as_data(request: Request) -> Mapping[str, Any]:
    told: Mapping[str, Any] = json.loads(reconcile(request).as_json())
    return told


@pytest.mark.server
@needs_clickhouse
@pytest.mark.parametrize(
    "selection",
    [
        Selection(),
        Selection(frozenset({"checkout"})),
        Selection(frozenset({"checkout", HOSTILE}), frozenset({"invoice.paid"})),
        Selection(events=frozenset({"invoice.paid"}), refunds=False),
    ],
)
def test_clickhouse_says_what_files_say(tmp_path: Path, selection: Selection) -> None:
    """
    The same counts, sums, days and differences, to the last key; however often a row is there, it counts once.
    """
    told = shop()
    ledger = Ledger(str(write_csv(tmp_path / "book.csv", ROWS)))
    files = OtlpJsonLines([write_events(tmp_path / "events.jsonl", told)])
    request = Request(files, ledger, selection, time_zone="Europe/Berlin", since="2026-01-01")
    engine = Engine()
    engine.engine.load([*stored(told, copies=1)])
    with serving(engine):
        asked = replace(request, source=ClickHouseEvents(ClickHouseSource(engine.url), selection))
        once = as_data(asked)
        engine.engine.load([*stored(told, copies=3)])
        thrice = as_data(asked)

    expected = as_data(request)
    assert expected == once
    assert expected["differences"]["missing_in_events"]["count"]
    for part in ("days", "totals", "differences", "exit_code"):
        assert expected[part] == thrice[part]
    assert thrice["events"]["delivered_twice"]


@pytest.mark.server
@needs_clickhouse
def test_records_of_others_stay_in_clickhouse() -> None:
    """
    They are counted, as those of files are; what is none of bizspan's events is named by its uid.
    """
    told = [
        Told("u-1", 10**18, "business.refund", {"business.refund.minor_units": 250}),
        Told("", 10**18, "sale", {}),
        Told("u-2", 10**18, "", {}),
        Told("u-3", 10**18, "sale", {"business.revenue.minor_units": 250, "business.revenue.currency": "EUR"}),
        Told("u-4", 10**18, "sale", {"business.revenue.minor_units": "x", "business.revenue.currency": "EUR"}),
    ]
    engine, reading = Engine(), Reading()
    engine.engine.load(told)
    engine.engine.answer("INSERT INTO otel_logs (Timestamp, Body) VALUES (now64(9), 'GET /')", {})
    with serving(engine):
        found = [*ClickHouseEvents(ClickHouseSource(engine.url), Selection()).events(reading)]

    assert [("u-3", ((names.REVENUE, 250, "EUR"),))] == [(each.uid, each.amounts) for each in found]
    assert (1, 1, 1, 1) == (reading.events, reading.without_uid, reading.without_name, reading.other_records)
    assert [f"{engine.url}: u-{n}: an event that is not one of bizspan's" for n in (1, 4)] == sorted(reading.problems)


@pytest.mark.server
@needs_clickhouse
def test_an_older_table_says_what_files_say(tmp_path: Path) -> None:
    """
    One that keeps an event's name as an attribute.
    """
    told = shop()
    ledger = Ledger(str(write_csv(tmp_path / "book.csv", ROWS)))
    request = Request(OtlpJsonLines([write_events(tmp_path / "events.jsonl", told)]), ledger)
    engine = Engine()
    engine.engine.load(
        [Told(each.uid, each.time_ns, "", {**each.attributes, "event.name": each.name}) for each in stored(told)]
    )
    with serving(engine):
        older = ClickHouseSource(engine.url, dialect=ClickHouse(has_event_name=False))
        found = as_data(replace(request, source=ClickHouseEvents(older, request.selection)))
        engine.engine.answer("ALTER TABLE otel_logs DROP COLUMN EventName", {})
        with pytest.raises(SetupError, match=r"HTTP 404: .*EventName"):
            reconcile(replace(request, source=ClickHouseEvents(ClickHouseSource(engine.url), request.selection)))

    assert as_data(request) == found


@pytest.mark.server
@needs_clickhouse
def test_the_command_reads_clickhouse_and_a_spool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Named by the environment; an event that is in both counts once, and the password is in no text.
    """
    told = shop()
    book = str(write_csv(tmp_path / "book.csv", ROWS[:3]))
    both = str(write_events(tmp_path / "events.jsonl", told))
    engine = Engine()
    engine.engine.load(stored(told))
    words = ["reconcile", "--ledger", book, "--operation", "checkout", "--format", "json"]
    with serving(engine):
        monkeypatch.setenv("BIZSPAN_CLICKHOUSE_URL", engine.url)
        monkeypatch.setenv("BIZSPAN_CLICKHOUSE_PASSWORD", "s3cret")
        codes = [main([*words, "--clickhouse"])]
        first = capsys.readouterr()
        codes.append(main([*words, "--events", both, "--clickhouse", engine.url]))
        second = capsys.readouterr()

    alone, beside = json.loads(first.out), json.loads(second.out)
    assert [1, 1] == codes
    assert alone["totals"] == beside["totals"]
    assert (0, alone["events"]["delivered"] * 2) == (
        alone["events"]["delivered_twice"], beside["events"]["delivered"]
    )  # fmt: skip
    assert beside["events"]["delivered_twice"]
    assert {"s3cret"} == {headers["X-Clickhouse-Key"] for _, headers, _ in engine.asked}
    assert "s3cret" not in "".join((*first, *second))


class Scripted(Far):
    """Answers the two questions of a reconciliation with what it was given."""

    def __init__(self, counts: list[int], rows: list[list[object]]) -> None:
        super().__init__()
        self._counts, self._rows = counts, rows

    def answer(self, query: dict[str, list[str]], headers: dict[str, str], text: str) -> tuple[int, bytes]:
        self.asked.append((query, headers, text))
        rows = [self._counts] if "countIf" in text else self._rows
        return 200, "".join(f"{json.dumps(row)}\n" for row in rows).encode()


@pytest.mark.server
def test_what_was_selected_is_bound_beside_the_text(tmp_path: Path) -> None:
    """
    Names of operations and events are parameters; a row is an event with the amounts that it has.
    """
    sale = ["business.operation", 1_767_225_600 * 10**9, "u-1", "checkout", "success", "o-1", "", "1250", "", "EUR"]
    far = Scripted([1, 2, 3, 4], [[*sale, *[""] * 3]])
    ledger = Ledger(str(write_csv(tmp_path / "book.csv", [("o-1", "12.50", "EUR", "2026-01-01")])))
    selection = Selection(frozenset({HOSTILE, "checkout"}), frozenset({"invoice.paid"}))
    with serving(far):
        report = reconcile(Request(ClickHouseEvents(ClickHouseSource(far.url), selection), ledger, selection))

    assert 0 == report.exit_code, report.as_text()
    assert (1, 2, 3, 4) == (
        report.reading.events, report.reading.without_uid, report.reading.without_name, report.reading.other_records
    )  # fmt: skip
    (_, (query, _, text)) = far.asked
    assert HOSTILE not in text
    assert HOSTILE.replace("\\", "\\\\") in [value for told in query.values() for value in told]


@pytest.mark.server
@pytest.mark.parametrize(
    ("far", "said"),
    [
        (Far(403, b"Code: 516. Authentication failed"), "HTTP 403: Code: 516"),
        (Far(200, b'["1","0","0","0"]\nCode: 241. Memory limit'), "Code: 241"),
    ],
)
def test_clickhouse_that_fails_is_no_difference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], far: Far, said: str
) -> None:
    """
    Exit code 2 with what it said, not 1 with everything missing.
    """
    book = str(write_csv(tmp_path / "book.csv", ROWS))
    with serving(far):
        code = main(["reconcile", "--ledger", book, "--clickhouse", far.url])

    assert 2 == code
    assert f"bizspan reconcile: error: {far.url}: " in (err := capsys.readouterr().err)
    assert said in err
