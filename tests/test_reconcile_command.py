"""`bizspan reconcile` by real runs: sell, lose some, compare, backfill, compare again."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

import bizspan
from _purchases import FILE, read_purchases
from bizspan import _active, names
from bizspan.reconcile._compare import CATEGORIES
from bizspan.reconcile._ledger import ROLES
from tests.child import BOUND_S, environment
from tests.shop_files import FileReceiver, write_csv, write_sqlite

pytestmark = pytest.mark.once

HEAD = ("order", "amount", "currency", "time", "key")
DAY = "2026-03-01"
REFERENCE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "command-line.md"


def ran(*words: object, receiver: FileReceiver | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m bizspan reconcile` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "bizspan", "reconcile", *map(str, words)],
        env=environment(receiver, PYTHONUTF8="1", **variables),
        capture_output=True,
        text=True,
        timeout=BOUND_S,
        check=False,
    )


@contextmanager
def selling(receiver: FileReceiver, monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """The real pipeline, with OTLP to this receiver; everything has arrived at the end."""
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.http_endpoint)
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "none")
    with bizspan.configure(service_name="shop") as telemetry:
        yield
        assert telemetry.force_flush(10.0)


def dropped(file: Path, is_lost: Callable[[dict[str, Any]], bool]) -> int:
    """Take events out of a file of OTLP JSON lines, as a crash would have; how many."""
    count, lines = 0, [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    for line in lines:
        for by_resource in line["resourceLogs"]:
            for by_scope in by_resource["scopeLogs"]:
                before = by_scope["logRecords"]
                by_scope["logRecords"] = [record for record in before if not is_lost(said(record))]
                count += len(before) - len(by_scope["logRecords"])
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return count


def said(record: dict[str, Any]) -> dict[str, Any]:
    return {each["key"]: next(iter(each["value"].values()), None) for each in record["attributes"]}


@pytest.mark.parametrize("kind", ["csv", "sqlite"])
def test_what_was_lost_is_found_and_backfilled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """
    Events are lost; the ledger names them; after a backfill both sides are equal, also after a second one.
    """
    events = tmp_path / "events.jsonl"
    rows: list[tuple[object, ...]] = [(f"o-{n}", f"{n}.50", "EUR", DAY, f"pay-{n}") for n in range(20)]
    rows.append(("o-1", "-0.50", "EUR", DAY, "back-1"))
    if kind == "csv":
        ledger: list[object] = ["--ledger", write_csv(tmp_path / "book.csv", rows, HEAD)]
    else:
        path = write_sqlite(tmp_path / "book.db", rows, ('"order"', *HEAD[1:]))
        ledger = ["--ledger", path, "--ledger-query", "SELECT * FROM sales"]
    with FileReceiver(events) as receiver:
        with selling(receiver, monkeypatch):
            sold(rows)
        words = ["--events", events, *ledger, "--operation", "checkout"]
        equal = ran(*words)
        lost = dropped(events, lambda event: event[names.ORDER] in ("o-1", "o-7"))
        found = ran(*words, "--format", "json")
        dry = ran(*words, "--backfill", "--dry-run", receiver=receiver)
        size = events.stat().st_size
        backfilled = ran(*words, "--backfill", receiver=receiver, OTEL_SERVICE_NAME="shop")
        grew = events.stat().st_size > size
        after = ran(*words)
        again = ran(*words, "--backfill", receiver=receiver)
        receiver_saw_no_more = ran(*words)

    assert (0, 3, 1) == (equal.returncode, lost, found.returncode), equal.stdout + equal.stderr
    missing = json.loads(found.stdout)["differences"]["missing_in_events"]
    assert [("o-1", "sales"), ("o-1", "refunds"), ("o-7", "sales")] == [
        (each["order"], each["kind"]) for each in missing["first"]
    ]
    assert "backfill would emit 3 events; nothing was sent" in dry.stdout
    assert (1, True) == (backfilled.returncode, grew)
    assert "backfill sent 3 events, all acknowledged; compare again" in backfilled.stdout
    assert ["equal: 20 sales, 200.00 EUR; 1 refund, 0.50 EUR"] * 2 == [
        each.stdout.splitlines()[-1] for each in (after, receiver_saw_no_more)
    ]
    assert "backfill sent 0 events" in again.stdout


def sold(rows: Iterable[tuple[object, ...]]) -> None:
    """What the ledger has, told by an application on the ledger's days."""
    pipeline = _active.pipeline()
    assert pipeline is not None
    for order, amount, currency, day, key in rows:
        # An operation happens when it happens, and a test cannot wait for it.
        noon = round(datetime.fromisoformat(f"{day}T12:00:00+00:00").timestamp()) * 1_000_000_000
        pipeline.time_ns = lambda noon=noon: noon  # type: ignore[misc]
        if str(amount).startswith("-"):
            bizspan.refund(str(amount)[1:], str(currency), order=str(order), idempotency_key=str(key))
            continue
        with bizspan.operation("checkout", order=str(order), idempotency_key=str(key)) as op:
            op.revenue(str(amount), str(currency))


def test_a_backfilled_event_is_the_same_fact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Operations, events and refunds get the uid that the application gives them with the same key, the ledger's time,
    and a note; nothing but the event is sent.
    """
    events = tmp_path / "events.jsonl"
    events.touch()
    ledger = write_csv(tmp_path / "book.csv", [("o-1", "9.90", "EUR", DAY, "k-1"), ("o-1", "-1.00", "EUR", DAY, "k-2")],
                       HEAD)  # fmt: skip
    with FileReceiver(events) as receiver:
        for sale in (["--operation", "checkout"], ["--event", "invoice.paid", "--no-refunds"]):
            done = ran("--events", events, "--ledger", ledger, *sale, "--backfill", receiver=receiver)
            assert 1 == done.returncode, done.stderr
        late = {event["event_name"]: event for event in receiver.events()}
        signals = {request.signal for request in receiver.requests()}
        with selling(receiver, monkeypatch):
            with bizspan.operation("checkout", idempotency_key="k-1") as op:
                op.revenue("9.90", "EUR")
            bizspan.refund("1.00", "EUR", idempotency_key="k-2")
            bizspan.event("invoice.paid", idempotency_key="k-1")
        own = {event["event_name"]: event for event in receiver.events()}

    assert {"logs"} == signals
    assert {"business.operation", "business.refund", "invoice.paid"} == set(late) == set(own)
    for name, event in late.items():
        assert own[name]["attributes"][names.RECORD_UID] == event["attributes"][names.RECORD_UID]
        assert (["event:backfilled"], "o-1") == (event["attributes"][names.NOTES], event["attributes"][names.ORDER])
        assert 1_772_323_200_000_000_000 == event["time_unix_nano"]
    operation = late["business.operation"]["attributes"]
    assert ("checkout", "success", 990, "EUR", False) == (
        operation[names.OPERATION_NAME],
        operation[names.OPERATION_OUTCOME],
        operation[names.MINOR_UNITS_KEYS[names.REVENUE]],
        operation[names.CURRENCY_KEYS[names.REVENUE]],
        names.OPERATION_DURATION in operation,
    )
    assert 100 == late["business.refund"]["attributes"][names.MINOR_UNITS_KEYS[names.REFUND]]


def test_lines_under_one_key_are_not_backfilled(tmp_path: Path) -> None:
    """
    Two missing refunds of one order would get one uid, and count as one: they are named instead.
    """
    events = tmp_path / "events.jsonl"
    events.touch()
    rows = [("o-1", "9.90", "EUR", DAY), ("o-1", "-1.00", "EUR", DAY), ("o-1", "-2.00", "EUR", DAY)]
    ledger = write_csv(tmp_path / "book.csv", rows)

    dry = ran("--events", events, "--ledger", ledger, "--operation", "checkout", "--backfill", "--dry-run")

    assert "backfill would emit 1 event; nothing was sent" in dry.stdout
    assert "not backfilled: 2 lines that share one idempotency key; pass --columns key=NAME (o-1)" in dry.stdout


def test_a_backfill_that_nobody_acknowledges_stops(tmp_path: Path) -> None:
    """
    An endpoint that refuses is seen: the backfill stops after the first batch and says what arrived.
    """
    events = tmp_path / "events.jsonl"
    events.touch()
    ledger = write_csv(tmp_path / "book.csv", [(f"o-{n}", "1.00", "EUR", DAY) for n in range(1200)])
    with FileReceiver(events) as receiver:
        receiver.behaviour = "unavailable"
        words = ["--events", events, "--ledger", ledger, "--operation", "checkout", "--backfill"]
        done = ran(*words, receiver=receiver, OTEL_EXPORTER_OTLP_TIMEOUT="1")
        off = ran(*words, receiver=receiver, OTEL_LOGS_EXPORTER="none")

    assert 1 == done.returncode
    assert (
        "backfill stopped: of 500 events sent, 0 were acknowledged; run it again, nothing counts twice" in done.stdout
    )
    assert (2, True) == (off.returncode, "switches events off here" in off.stderr)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "the following arguments are required: --ledger"),
        (["--ledger", "gone.csv"], "say where the events are: --events PATH ..., or --clickhouse [URL]."),
        (["--ledger", "gone.csv", "--clickhouse"], "set BIZSPAN_CLICKHOUSE_URL"),
        (["--ledger", __file__, "--clickhouse", "http://u:p@h"], "has no user, password or query in it"),
        (["--columns", "order"], "must be ROLE=COLUMN"),
        (["--columns", "price=total"], "must be ROLE=COLUMN"),
        (["--most", "0"], "must be a whole number above 0"),
        (["--tolerance-s", "-1"], "must be a number of seconds"),
        (["--events", "gone.jsonl", "--ledger", "gone.csv"], "gone.jsonl does not exist"),
        (["--events", __file__, "--ledger", "gone.csv"], "gone.csv cannot be read: No such file or directory"),
    ],
    ids=str,
)
def test_wrong_arguments_end_in_2(words: list[str], said: str) -> None:
    """
    What cannot be understood or read ends with exit code 2 and a sentence on the error stream.
    """
    done = ran(*words)

    assert (2, "", True) == (done.returncode, done.stdout, said in done.stderr), done.stderr


def test_the_reference_has_every_option_kind_and_key(tmp_path: Path) -> None:
    """
    What `--help` lists, the kinds of differences and the keys of the JSON are those of the reference page.
    """
    page = REFERENCE.read_text("utf-8").split("\n## bizspan reconcile\n")[1]
    options, columns, kinds, keys = (re.findall(r"^\| (`.*?) \|", part, re.MULTILINE) for part in page.split("\n### "))
    events = tmp_path / "events.jsonl"
    events.touch()
    report = json.loads(
        ran("--events", events, "--ledger", write_csv(tmp_path / "a.csv", []), "--format", "json").stdout
    )

    assert {*re.findall(r"--[a-z-]+", ran("--help").stdout)} - {"--help"} == {*re.findall(r"--[a-z-]+", str(options))}
    assert [*ROLES] == [cell.strip("`") for cell in columns]
    assert [*CATEGORIES] == [cell.strip("`") for cell in kinds] == [*report["differences"]]
    assert [*report] == [cell.strip("`") for cell in keys]


# --- the purchases of a real shop ---------------------------------------------------------------------------


def test_the_purchases_of_a_real_shop_agree_to_the_cent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    6,919 purchases on their days, 244,091.94 USD: 300 are lost, found by order, backfilled, and everything agrees.
    """
    events = tmp_path / "events.jsonl"
    dates = sorted(line.split(",")[1] for line in FILE.read_text("utf-8").splitlines()[1:])
    rows = [
        (each.order, str(each.total), "USD", date, each.order)
        for each, date in zip(read_purchases(), dates, strict=True)
    ]
    lost = {str(row[0]) for row in random.Random(6919).sample(rows, 300)}
    words = ["--events", events, "--ledger", write_csv(tmp_path / "cdnow.csv", rows, HEAD), "--operation", "checkout",
             "--format", "json", "--most", 400]  # fmt: skip
    with FileReceiver(events) as receiver:
        with selling(receiver, monkeypatch):
            sold(rows)
        assert 300 == dropped(events, lambda event: event[names.ORDER] in lost)
        before = json.loads(ran(*words).stdout)
        done = json.loads(ran(*words, "--backfill", receiver=receiver).stdout)
        after = json.loads(ran(*words).stdout)

    assert lost == {each["order"] for each in before["differences"]["missing_in_events"]["first"]}
    assert {"dry_run": False, "emitted": 300, "acknowledged": 300, "ambiguous": 0} == done["backfill"]
    (total,) = after["totals"]
    assert {"count": 6919, "minor_units": 24_409_194} == total["ledger"] == total["events"]
    assert (0, 545) == (after["exit_code"], len(after["days"]))


def test_days_are_those_of_kpis_and_reports(tmp_path: Path) -> None:
    """
    The time zone of the configuration file that applies, or that is named, unless another one is told; else UTC.
    """
    (tmp_path / "events.jsonl").touch()
    ledger = write_csv(tmp_path / "book.csv", [("o-1", "9.90", "EUR", f"{DAY}T23:30:00Z", "k-1")], HEAD)
    config = tmp_path / "shop.toml"
    config.write_text('[tool.bizspan]\ntime_zone = "Europe/Berlin"\n', "utf-8")
    words = ["--events", tmp_path / "events.jsonl", "--ledger", ledger, "--operation=checkout", "--format=json"]

    found = [
        json.loads(each.stdout)
        for each in (
            ran(*words),
            ran(*words, BIZSPAN_CONFIG=str(config)),
            ran(*words, "--config", config),
            ran(*words, "--config", config, "--time-zone=Pacific/Apia"),
        )
    ]
    wrong = ran(*words, "--config", tmp_path / "gone.toml")

    assert [("UTC", DAY), ("Europe/Berlin", "2026-03-02"), ("Europe/Berlin", "2026-03-02"),
            ("Pacific/Apia", "2026-03-02")] == [
        (each["time_zone"], each["days"][0]["day"]) for each in found
    ]  # fmt: skip
    assert (2, f"bizspan reconcile: error: {tmp_path / 'gone.toml'}: there is no such file.\n") == (
        wrong.returncode, wrong.stderr
    )  # fmt: skip
