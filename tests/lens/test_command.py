"""`bizspan lens`, `bizspan import` and `bizspan reconcile` over a store, by real runs."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

import bizspan
from bizspan import _importing, cli, names
from bizspan.errors import SetupError
from bizspan.lens import Intake, Store, reading
from bizspan.lens._command import size_of
from bizspan.testing import capture
from tests.child import BOUND_S, environment, run
from tests.lens.asking import rows
from tests.lens.requests import Shop
from tests.otlp_lines import otlp_json
from tests.shop_files import write_csv, write_events
from tests.wire import events

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "command-line.md"


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def ran(*words: object, **variables: str) -> Done:
    """Run the command in this process, with variables of its own."""
    out, err = StringIO(), StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        for name, value in variables.items():
            patch.setenv(name, value)
        try:
            code = cli.main([str(word) for word in words])
        except SystemExit as ended:
            code = int(ended.code or 0)
    return Done(code, out.getvalue(), err.getvalue())


@contextmanager
def running(*words: object, **variables: str) -> Generator[subprocess.Popen[str]]:
    """Start `bizspan lens`; it ends with the block at the latest."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bizspan", "lens", *map(str, words)],
        env=environment(None, PYTHONUTF8="1", **variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=BOUND_S)


def posted(url: str, data: bytes, **headers: str) -> int:
    request = urllib.request.Request(f"{url}/v1/logs", data, {"Content-Type": "application/x-protobuf", **headers})
    with urllib.request.urlopen(request, timeout=BOUND_S) as answer:
        return int(answer.status)


def lines_of(*requests: bytes) -> bytes:
    """As the Collector's file exporter writes them."""
    return b"".join(otlp_json(ExportLogsServiceRequest.FromString(each)).encode() + b"\n" for each in requests)


@pytest.mark.server
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_lens_listens_until_it_is_told_to_end(tmp_path: Path, number: int) -> None:
    """
    It says where, takes what comes, and ends well with an account on Ctrl-C and SIGTERM.
    """
    store = tmp_path / "lens.db"
    with running("--port", 0, "--store", store, "--format", "json") as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        (request,) = Shop().requests(5)
        statuses = [posted(told["url"], request) for _ in range(2)]
        process.send_signal(number)
        out, err = process.communicate(timeout=BOUND_S)

    url = told["url"]
    assert ({"url": url, "page": f"{url}/", "store": str(store), "events": 0}, [200, 200]) == (told, statuses)
    assert (0, "") == (process.returncode, err)
    assert {"stored": 5, "already": 5, "refused": 0} == json.loads(out)
    with reading(store) as connection:
        assert (5,) == connection.execute("SELECT count(*) FROM events").fetchone()


@pytest.mark.server
def test_an_application_needs_one_variable(tmp_path: Path) -> None:
    """
    With the lens running, a program that sets nothing but the endpoint is stored, in words that a person reads.
    """
    store = tmp_path / "state" / "bizspan" / "lens.db"
    with running("--port", 0, XDG_STATE_HOME=str(tmp_path / "state")) as process:
        assert process.stdout is not None
        said = [process.stdout.readline().rstrip("\n") for _ in range(5)]
        url = said[0].split()[1]
        child = run(
            """
            import bizspan

            with bizspan.configure(service_name="shop"):
                with bizspan.operation("checkout", segment="smb") as op:
                    op.revenue("42.00", "EUR")
            """,
            OTEL_EXPORTER_OTLP_ENDPOINT=url,
        )
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=BOUND_S)

    assert [
        f"lens     {url}", f"page     {url}/", f"store    {store}, 0 events",
        f"send to  OTEL_EXPORTER_OTLP_ENDPOINT={url}",
        "Ctrl-C ends it.",
    ] == said  # fmt: skip
    assert (0, "") == (child.code, child.err)
    assert re.fullmatch(r"stored \d+, already there 0, refused 0\n", out)
    with reading(store) as connection:
        assert [("checkout", "smb", 4200)] == connection.execute(
            "SELECT operation, segment, revenue_minor FROM events"
        ).fetchall()


@pytest.mark.server
def test_the_token_comes_from_a_variable(tmp_path: Path) -> None:
    """
    So that a list of processes does not show it.
    """
    with running("--port", 0, "--store", tmp_path / "a.db", "--format", "json", BIZSPAN_LENS_TOKEN="t-1") as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        assert 200 == posted(url, events("a", {}), Authorization="Bearer t-1")
        with pytest.raises(OSError, match="401"):
            posted(url, events("b", {}))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--host", "0.0.0.0"], "lets other machines in; pass a token, of 16 characters at least, as python -c '"),
        (["--host", "0.0.0.0", "--token", "a" * 15], "lets other machines in; pass a longer token, of 16 characters"),
        (["--host", "no-such-host.invalid"], "The host no-such-host.invalid is not known here ("),
        (["--host", "no-such-host.invalid", "--token", "a" * 16], "is not known here ("),
        (["--port", "99999"], "must be a port"),
        (["--port", "-1"], "must be a port"),
        (["--retention-days", "0"], "must be a number of days above 0"),
        (["--max-size", "10"], "must be a size of at least 1MB"),
        (["--max-size", "many"], "must be a size of at least 1MB"),
        (["--minimum-group", "0"], "must be a whole number from 1 on"),
        (["--minimum-group", "few"], "must be a whole number from 1 on"),
        (["--token", "two words"], "ASCII without spaces"),
        (["--store", "/proc/none/lens.db"], "can't be opened"),
    ],
    ids=str,
)
def test_wrong_arguments_end_in_2(tmp_path: Path, words: list[str], said: str) -> None:
    """
    With a sentence, before anything is made.
    """
    done = ran("lens", *words, XDG_STATE_HOME=str(tmp_path))

    assert (2, "", True) == (done.returncode, done.stdout, said in done.stderr), done.stderr
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("words", [["lens"], ["import", "events.jsonl"]], ids=lambda words: words[0])
def test_a_missing_extra_names_the_command_that_was_typed(
    tmp_path: Path, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    With the pip line, before anything is made.
    """
    monkeypatch.setitem(sys.modules, "opentelemetry.proto.collector.trace.v1", None)
    done = ran(*words, "--store", tmp_path / "lens.db")

    said = f'bizspan {words[0]} needs packages that are not installed; run: pip install "bizspan[lens]"'
    assert (2, "", f"bizspan {words[0]}: error: {said}\n") == (done.returncode, done.stdout, done.stderr)
    assert [] == list(tmp_path.iterdir())


def test_a_port_that_is_taken_ends_in_2(tmp_path: Path) -> None:
    """
    With what may have it.
    """
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = ran("lens", "--port", taken.getsockname()[1], "--store", tmp_path / "lens.db")

    assert (2, True) == (done.returncode, "a collector or another lens may have it" in done.stderr), done.stderr


@pytest.mark.parametrize(
    ("text", "size"),
    [("500MB", 500_000_000), ("2g", 2_000_000_000), ("1.5 GB", 1_500_000_000), ("1000000", 1_000_000)],
)
def test_sizes_are_read(text: str, size: int) -> None:
    """
    In the units that people write.
    """
    assert size == size_of(text)


def test_without_its_packages_the_pip_line_is_said(tmp_path: Path) -> None:
    """
    The core has none of them.
    """
    child = run(
        """
        import sys

        sys.modules["opentelemetry.proto"] = None
        from bizspan.cli import main

        sys.exit(main(["lens"]))
        """,
        XDG_STATE_HOME=str(tmp_path),
    )

    assert (2, True) == (child.code, 'pip install "bizspan[lens]"' in child.err), child.err
    assert [] == list(tmp_path.iterdir())


# --- import -----------------------------------------------------------------------------------------------------------


def test_files_are_imported_once(tmp_path: Path) -> None:
    """
    Lines, gzipped lines and directories of them; again, everything is already there.
    """
    first, second, third = Shop().requests(30, size=10)
    (tmp_path / "events.jsonl").write_bytes(lines_of(first))
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "1.json.gz").write_bytes(gzip.compress(lines_of(second, third)))
    words = ["import", tmp_path / "events.jsonl", tmp_path / "old", "--store", tmp_path / "lens.db"]

    done, again = ran(*words), ran(*words, "--format", "json")

    assert (0, "stored 30, already there 0, refused 0\n", "") == (done.returncode, done.stdout, done.stderr)
    assert {"stored": 0, "already": 30, "refused": 0, "damaged": 0, "problems": []} == json.loads(again.stdout)
    with reading(tmp_path / "lens.db") as connection:
        assert (30,) == connection.execute("SELECT sum(count) FROM minute_counts WHERE dimension = ''").fetchone()


def test_lines_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    """
    The others are stored; the exit code says that not everything is.
    """
    (request,) = Shop().requests(5)
    odd = {"resourceLogs": [{"scopeLogs": [{"logRecords": [7, {"eventName": "good"}]}]}]}
    bad = [b"{", b"[]", b'{"a": 1}', json.dumps(odd).encode()]
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"\n".join([*bad, lines_of(request)]))

    done = ran("import", path, "--store", tmp_path / "lens.db")

    assert 1 == done.returncode
    assert [
        "stored 6, already there 0, refused 1, 3 unreadable",
        "  events.jsonl:1: not JSON: Expecting property name enclosed in double quotes: line 2 column 1 (char 2)",
        "  events.jsonl:2: not a JSON object",
        "  events.jsonl:3: not an OTLP export request",
        "  events.jsonl:4: 1 refused: a log record that is not one of OTLP/JSON, or a number beyond 64 bits",
    ] == done.stdout.splitlines()


def test_a_damaged_gzip_file_keeps_what_came_before(tmp_path: Path) -> None:
    """
    Its readable lines are stored, and the rest is named.
    """
    (request,) = Shop().requests(5)
    path = tmp_path / "events.json.gz"
    path.write_bytes(gzip.compress(lines_of(request) + os.urandom(5_000))[:-2_000])

    done = ran("import", path, "--store", tmp_path / "lens.db")

    assert (1, True) == (done.returncode, "stored 5, " in done.stdout)
    assert "events.json.gz:" in done.stdout


def test_spans_and_points_in_files_are_imported(tmp_path: Path) -> None:
    """
    As the Collector writes them, each signal in lines of its own.
    """
    from tests.lens.test_messages import as_json, metrics_request, trace_request

    path = tmp_path / "all.jsonl"
    path.write_bytes(as_json(trace_request()) + b"\n" + as_json(metrics_request()) + b"\n")

    found = _importing.import_into(tmp_path / "lens.db", [str(path)])

    assert (5, 0, 1) == (found.stored, found.already, found.refused)
    with Store(tmp_path / "lens.db") as store:
        assert [(1, 2, 1, 1)] == rows(
            store,
            "SELECT (SELECT count(*) FROM spans), (SELECT count(*) FROM gauges), (SELECT count(*) FROM sums), "
            "(SELECT count(*) FROM histograms)",
        )


@pytest.mark.server
def test_what_waits_in_a_spool_is_imported_and_stays(tmp_path: Path) -> None:
    """
    A process was killed before it could send: its events are in the store, and still wait for their collector.
    """
    child = run(
        """
        import os, signal
        import bizspan

        bizspan.configure(service_name="shop", spool=os.environ["SPOOL"])
        for number in range(700):
            with bizspan.operation("checkout", order=f"o-{number}") as op:
                op.revenue("1.00", "EUR")
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        SPOOL=str(tmp_path / "spool"), OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9",
        OTEL_TRACES_EXPORTER="none", OTEL_METRICS_EXPORTER="none",
    )  # fmt: skip
    words = ["import", tmp_path / "spool", "--store", tmp_path / "lens.db", "--format", "json"]

    done, again = ran(*words), ran(*words)

    assert -signal.SIGKILL == child.code
    assert (0, 700) == (done.returncode, json.loads(done.stdout)["stored"]), done.stderr
    assert (0, 700) == (json.loads(again.stdout)["stored"], json.loads(again.stdout)["already"])
    with reading(tmp_path / "lens.db") as connection:
        assert (700, 70_000, "shop", "bizspan") == connection.execute(
            "SELECT count(*), sum(revenue_minor), min(service), min(s.name) FROM events e "
            "JOIN scopes s ON s.id = e.scope_id"
        ).fetchone()


def test_damage_in_a_spool_is_named(tmp_path: Path) -> None:
    """
    Whole frames before and behind it are imported.
    """
    child = run(
        """
        import os, signal
        import bizspan

        bizspan.configure(service_name="shop", spool=os.environ["SPOOL"])
        for number in range(20):
            bizspan.event("invoice.paid", order=f"o-{number}")
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        SPOOL=str(tmp_path / "spool"), OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9",
        OTEL_TRACES_EXPORTER="none", OTEL_METRICS_EXPORTER="none",
    )  # fmt: skip
    (segment,) = [each for each in (tmp_path / "spool").iterdir() if each.stat().st_size > 1_000]
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 0xFF
    segment.write_bytes(bytes(content))

    done = ran("import", tmp_path / "spool", "--store", tmp_path / "lens.db")

    assert -signal.SIGKILL == child.code
    assert (1, True) == (done.returncode, "stored 19, already there 0, refused 0, 1 unreadable" in done.stdout)
    assert "damaged bytes" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [([], "the following arguments are required: PATH"), (["gone.jsonl"], "gone.jsonl does not exist")],
    ids=str,
)
def test_an_import_of_nothing_ends_in_2(tmp_path: Path, words: list[str], said: str) -> None:
    """
    And makes no store.
    """
    done = ran("import", *words, XDG_STATE_HOME=str(tmp_path))

    assert (2, True) == (done.returncode, said in done.stderr), done.stderr
    assert [] == list(tmp_path.iterdir())


def test_a_full_disk_ends_an_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    With what to know: what was imported so far is kept.
    """
    path = tmp_path / "events.jsonl"
    path.write_bytes(lines_of(*Shop().requests(4_000, size=500)))
    real = Store.__init__

    def small(self: Store, *args: Any, **named: Any) -> None:
        real(self, *args, **named)
        (pages,) = self._connection.execute("PRAGMA page_count").fetchone()
        self._connection.execute(f"PRAGMA max_page_count = {pages + 100}")

    monkeypatch.setattr(Store, "__init__", small)
    with pytest.raises(SetupError, match=r"can't be written \(.*full.*\); what was imported so far is in it"):
        _importing.import_into(tmp_path / "lens.db", [str(path)])


def test_a_bar_is_drawn_on_a_terminal(tmp_path: Path) -> None:
    """
    In bytes of the files, up to all of them; then in events of the spools.
    """
    path, bar = tmp_path / "events.jsonl", StringIO()
    path.write_bytes(lines_of(*Shop().requests(100, size=10)))
    child = run(
        """
        import os, signal
        import bizspan

        bizspan.configure(service_name="shop", spool=os.environ["SPOOL"])
        for number in range(20):
            bizspan.event("invoice.paid", order=f"o-{number}")
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        SPOOL=str(tmp_path / "spool"), OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9",
        OTEL_TRACES_EXPORTER="none", OTEL_METRICS_EXPORTER="none",
    )  # fmt: skip

    _importing.import_into(tmp_path / "lens.db", [str(path), str(tmp_path / "spool")], bar)

    size = path.stat().st_size
    assert -signal.SIGKILL == child.code
    assert f"[{'#' * 30}] {size:,} of {size:,} bytes" in bar.getvalue()
    assert f"[{'#' * 30}] 20 of 20 events" in bar.getvalue()


# --- reconcile --------------------------------------------------------------------------------------------------------


def test_a_ledger_is_compared_with_the_store(tmp_path: Path) -> None:
    """
    Sales and refunds in the store agree with the ledger, as they do in the lines that it was filled from.
    """
    with capture() as told:
        for order, amount in (("o-1", "12.50"), ("o-2", "30.00"), ("o-3", "9.99")):
            with bizspan.operation("checkout", order=order, idempotency_key=order) as op:
                op.revenue(amount, "EUR")
        bizspan.refund("9.99", "EUR", order="o-3", idempotency_key="o-3")
        lines = write_events(tmp_path / "events.jsonl", told)
    head = ("order", "amount", "currency", "time")
    day = "2026-01-01"
    ledger = [("o-1", "12.50", "EUR", day), ("o-2", "30.00", "EUR", day), ("o-3", "9.99", "EUR", day),
              ("o-3", "-9.99", "EUR", day)]  # fmt: skip
    equal = write_csv(tmp_path / "equal.csv", ledger, head)
    more = write_csv(tmp_path / "more.csv", [*ledger, ("o-4", "8.00", "EUR", day)], head)
    assert 0 == ran("import", lines, "--store", tmp_path / "lens.db").returncode
    with Store(tmp_path / "lens.db") as store:
        Intake(store).take("logs", "protobuf", events("from.elsewhere", {names.ORDER: "o-9"}))

    words = ["reconcile", "--operation", "checkout", "--events", tmp_path / "lens.db"]
    same, both, different = (
        ran(*words, "--ledger", equal, "--format", "json"),
        ran(*words, lines, "--ledger", equal, "--format", "json"),
        ran(*words, "--ledger", more),
    )

    report = json.loads(same.stdout)
    assert (0, 4, 0, 1) == (
        same.returncode, *(report["events"][key] for key in ("delivered", "delivered_twice", "other_records")),
    )  # fmt: skip
    assert (0, 4) == (both.returncode, json.loads(both.stdout)["events"]["delivered_twice"])
    assert (1, True) == (different.returncode, "o-4  2026-01-01  8.00 EUR" in different.stdout)


def test_a_foreign_database_is_no_store(tmp_path: Path) -> None:
    """
    It ends with exit code 2 and a sentence.
    """
    with sqlite3.connect(tmp_path / "shop.db") as connection:
        connection.execute("CREATE TABLE orders (id)")
    connection.close()
    ledger = write_csv(tmp_path / "a.csv", [], ("order", "amount", "currency", "time"))

    done = ran("reconcile", "--events", tmp_path / "shop.db", "--ledger", ledger)

    assert (2, True) == (done.returncode, "a database of another program" in done.stderr), done.stderr


@pytest.mark.parametrize("command", ["lens", "import"])
def test_the_reference_has_every_option(command: str) -> None:
    """
    What `--help` lists is what the reference page lists.
    """
    page = REFERENCE.read_text("utf-8").split(f"\n## bizspan {command}\n")[1].split("\n## ")[0]
    options = re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)

    assert {*re.findall(r"--[a-z-]+", ran(command, "--help").stdout)} - {"--help"} == {
        *re.findall(r"--[a-z-]+", str(options))
    }
