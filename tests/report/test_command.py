"""``bizspan report`` as it is typed: each exit code, cron and CI, alerts once in their period, and ClickHouse."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from bizspan import names
from bizspan.cli import main
from bizspan.errors import SetupError
from bizspan.report import load
from tests.child import environment
from tests.kpi.stores import Told
from tests.report.hooks import Hook, listening
from tests.report.shops import DAY, HOUR, WEEK, lens_store
from tests.report.test_pages import small_shop

AS_OF = ["--since", "2026-03-02", "--until", "2026-03-09", "--as-of", "2026-03-10"]
KPIS = """
[tool.bizspan]
time_zone = "Europe/Berlin"

[tool.bizspan.kpi.revenue]
kind = "sum"
owner = "shop"
meaning = "Revenue."
target = {EUR = "100"}
per = "day"

[tool.bizspan.kpi.paid]
kind = "ratio"
owner = "shop"
meaning = "Checkouts that end in an order."
of = {operation = "checkout", where = {outcome = "success"}}
to = {operation = "checkout"}
target = 0.95
playbook = "https://wiki.example.com/checkout"

[tool.bizspan.kpi.lost]
kind = "count"
owner = "shop"
meaning = "Checkouts that were refused."
operation = "checkout"
where = {outcome = "rejected"}
direction = "down"
"""
FILE = (
    KPIS
    + """
[tool.bizspan.alert.paid_low]
kind = "target"
kpi = "paid"
period = "7d"

[tool.bizspan.alert.nps_low]
kind = "score"
feedback = "nps"
below = 7

[tool.bizspan.alert.leads]
kind = "stalled"
first = {event = "lead.created"}
then = {event = "lead.contacted"}
subject = "order"
within = "3d"
names = true
"""
)


def event(uid: str, time_ns: int, name: str, **facts: Any) -> Told:
    told = {getattr(names, key): value for key, value in facts.items()}
    return Told(uid, time_ns, name, told, time_ns)


def scores(*told: float, at: int = WEEK.since_ns + 5 * DAY) -> list[Told]:
    return [
        event(f"nps-{number}", at, names.EVENT_FEEDBACK, FEEDBACK_NAME="nps", FEEDBACK_SCORE=score)
        for number, score in enumerate(told)
    ]


LEADS = [
    event("l-1", WEEK.since_ns + DAY, "lead.created", ORDER="waits"),
    event("l-2", WEEK.since_ns + DAY, "lead.created", ORDER="<moved>"),
    event("l-3", WEEK.since_ns + 6 * DAY, "lead.contacted", ORDER="<moved>"),
    event("l-4", WEEK.since_ns + 7 * DAY - HOUR, "lead.created", ORDER="has time"),
    event("l-5", WEEK.since_ns - 60 * DAY, "lead.created", ORDER="long ago"),
    event("l-6", WEEK.since_ns + DAY, "lead.created", ORDER="robot", TRAFFIC="bot"),
]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with KPIs and alerts, and a store of two weeks."""
    (tmp_path / "pyproject.toml").write_text(FILE, encoding="utf-8")
    lens_store(tmp_path / "lens.db", [*small_shop(), *scores(9, 2, 3, 8, 4), *LEADS])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for name in ("BIZSPAN_CONFIG", "BIZSPAN_WEBHOOK_URL", "BIZSPAN_WEBHOOK_SECRET"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def report(*words: str) -> int:
    return main(["report", "--store", "lens.db", *AS_OF, *words])


def test_it_prints_and_ends_well(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    The same each time, for the same store and moment.
    """
    assert 0 == report()
    first = capsys.readouterr()
    assert 0 == report()

    assert first == capsys.readouterr()
    assert first.out.startswith("Report 2026-03-02..2026-03-09\n")
    assert "missed: 89.60 EUR a day, 0 of 7 days met" in first.out
    assert "" == first.err


def test_a_terminal_gets_lines_of_its_width(
    shop: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    On a terminal no line is wider than it; in a file lines are as long as they are.
    """
    monkeypatch.setenv("COLUMNS", "64")
    monkeypatch.setenv("NO_COLOR", "1")
    report()
    in_a_file = capsys.readouterr().out
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    report()
    on_a_terminal = capsys.readouterr().out

    assert max(map(len, in_a_file.splitlines())) > 100
    assert 64 >= max(map(len, on_a_terminal.splitlines()))


@pytest.mark.parametrize("form", ["text", "md", "html", "json", "csv"])
def test_each_format_is_printed(shop: Path, capsys: pytest.CaptureFixture[str], form: str) -> None:
    """
    And each names the KPI.
    """
    assert 0 == report("--format", form, "--kpi", "revenue")
    out = capsys.readouterr().out

    assert "revenue" in out
    assert "paid" not in out


@pytest.mark.parametrize(
    ("below", "said"),
    [
        ("paid", "paid is 70.0 %, below 95.0 % (n=70)."),
        ("paid=0.75", "paid is 70.0 %, below 75.0 % (n=70)."),
        ("paid=75%", "paid is 70.0 %, below 75.0 % (n=70)."),
        ("revenue", "revenue is 89.60 EUR a day, below 100.00 EUR a day (n=49)."),
        ("revenue=EUR:700", "revenue is 627.20 EUR, below 700 EUR (n=49)."),
        ("revenue=USD:1", "revenue has no value in USD."),
        ("lost=20", "lost is 21, above 20 (n=21)."),
    ],
)
def test_below_is_exit_code_1_with_a_sentence(
    shop: Path, capsys: pytest.CaptureFixture[str], below: str, said: str
) -> None:
    """
    On standard error, so that the report can go to a file.
    """
    assert 1 == report("--fail-below", below)

    assert f"bizspan report: {said}\n" == capsys.readouterr().err


@pytest.mark.parametrize("good", ["paid=70%", "paid=0.7", "revenue=627.20", "lost=21"])
def test_what_reaches_it_is_well(shop: Path, capsys: pytest.CaptureFixture[str], good: str) -> None:
    """
    The border is part of it.
    """
    assert 0 == report("--fail-below", good)
    assert "" == capsys.readouterr().err


@pytest.mark.parametrize("form", ["text", "md", "html", "json", "csv"])
def test_a_kpi_that_cannot_be_evaluated_costs_its_row_alone(
    shop: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    """
    Retention by days of two years has too many cohorts: the row says so, the others are shown, and exit code 1.
    """
    with (shop / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write(
            '\n[tool.bizspan.kpi.back]\nkind = "retention"\nowner = "shop"\nmeaning = "Come back."\n'
            'every = "day"\ntarget = 0.2\nfirst = {operation = "checkout"}\n'
        )
    words = ("--since", "2024-01-01", "--until", "2026-03-09", "--format", form)

    assert 1 == report(*words)
    out, err = capsys.readouterr()
    assert "bizspan report: back can't be evaluated: over 420 periods; ask for fewer cohorts.\n" == err
    assert "over 420 periods" in out
    assert "revenue" in out
    if form == "text":
        assert any(line.split()[:4] == ["back", "can't", "be", "evaluated"] for line in out.splitlines())
    assert 1 == report(*words, "--fail-below", "back")
    assert "back has no target" not in capsys.readouterr().err


def test_nothing_to_count_is_not_well(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    A gate that has no number does not open.
    """
    words = ["report", "--store", "lens.db", "--since", "2025-01-01", "--until", "2025-01-08"]

    assert 1 == main([*words, "--fail-below", "paid"])
    assert "paid has no value (nothing to divide by); wanted is 95.0 %." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--fail-below", "nothing"], "there is no KPI 'nothing'"),
        (["--fail-below", "lost"], "it has no target"),
        (["--fail-below", "Paid=x"], "must be KPI"),
        (["--fail-below", "paid=1.2.3"], "must be KPI"),
        (["--by", "segmnet"], "did you mean 'segment'?"),
        (["--kpi", "piad"], "did you mean 'paid'?"),
        (["--most", "0"], "whole number"),
        (["--since", "soon"], "is no period"),
        (["--until", "2026-01-01"], "a period ends after it starts"),
        (["--as-of", "soon"], "no day or moment"),
        (["--store", "none.db"], "none.db"),
        (["--store", "pyproject.toml"], "pyproject.toml"),
        (["--config", "none.toml"], "no such file"),
        (["--webhook"], "set BIZSPAN_WEBHOOK_URL"),
        (["--webhook", "http://example.com/s3cret"], "needs https://"),
        (["--clickhouse"], "BIZSPAN_CLICKHOUSE_URL"),
        (["--clickhouse", "http://127.0.0.1:9"], "127.0.0.1:9"),
    ],
)
def test_wrong_words_are_exit_code_2(
    shop: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    """
    With what is wrong, and no secret in it.
    """
    monkeypatch.delenv("BIZSPAN_CLICKHOUSE_URL", raising=False)
    try:
        code = report(*words)
    except SystemExit as ended:
        code = int(str(ended.code))

    err = capsys.readouterr().err
    assert (2, True) == (code, said in err), err
    assert "s3cret" not in err


# --- the webhook ----------------------------------------------------------------------------------------------------


@pytest.mark.server
def test_a_report_is_posted_from_the_environment(
    shop: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Signed, with what is below; the exit code is that of the report.
    """
    with listening(Hook()) as hook:
        monkeypatch.setenv("BIZSPAN_WEBHOOK_URL", hook.url)
        monkeypatch.setenv("BIZSPAN_WEBHOOK_SECRET", "a secret of 16 or more")
        assert 1 == report("--webhook", "--fail-below", "paid")

    ((_, headers, body),) = hook.got
    assert headers["x-bizspan-signature"].startswith("v1=")
    text = json.loads(body)["text"]
    assert "paid is 70.0 %, below 95.0 % (n=70)." in text
    assert "revenue: 627.20 EUR  -17.7 %  MISSED" in text
    assert "s3cret" not in "".join(capsys.readouterr())


@pytest.mark.server
def test_a_webhook_that_does_not_take_it_is_exit_code_3(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    The report is printed all the same; the address is not.
    """
    with listening(Hook((403,))) as hook:
        assert 3 == report("--webhook", hook.url)

    out, err = capsys.readouterr()
    assert out.startswith("Report")
    assert "bizspan report: the webhook answered HTTP 403.\n" == err


# --- alerts ---------------------------------------------------------------------------------------------------------


def watch(as_of: str, *words: str) -> int:
    return main(["report", "--alerts", "--store", "lens.db", "--as-of", as_of, *words])


def test_alerts_are_said_once_in_their_period(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    With exit code 1 the first time, 0 after that; and again the day after.
    """
    assert 1 == watch("2026-03-09T08:00")
    said = capsys.readouterr().out.splitlines()
    assert 0 == watch("2026-03-09T09:00")
    again = capsys.readouterr().out.splitlines()

    assert [
        (
            "paid_low: paid missed its target: 70.0 %, target 95.0 % (2026-03-03..2026-03-10, n=60; owner shop); "
            "https://wiki.example.com/checkout"
        ),
        "nps_low: the score of nps is low: 5.20 on average, below 7 (2026-03-03..2026-03-10, n=5)",
        "leads: 1 stalled by order: lead.created without lead.contacted after 3 days (2026-02-08..2026-03-10): waits",
    ] == said
    assert ["no new alert; 3 said before"] == again
    assert 1 == watch("2026-03-10T08:00")


@pytest.mark.server
def test_an_alert_that_did_not_arrive_is_said_again(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    It is remembered once the webhook has taken it: one message for each rule.
    """
    with listening(Hook((403, 403, 403, 200))) as hook:
        assert 3 == watch("2026-03-09T08:00", "--webhook", hook.url)
        assert 1 == watch("2026-03-09T08:05", "--webhook", hook.url)
        assert 0 == watch("2026-03-09T08:10", "--webhook", hook.url)

    said = [json.loads(body)["text"] for _, _, body in hook.got]
    assert said[:3] == said[3:]
    assert ["paid_low", "nps_low", "leads"] == [
        text.removeprefix("bizspan alert\n").partition(":")[0] for text in said[:3]
    ]


def test_too_few_answers_say_nothing(shop: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """
    Four low scores are no survey; five whose mean is the border are not below it.
    """
    for number, told in enumerate([(1, 1, 1, 1), (7, 7, 7, 7, 7)]):
        lens_store(tmp_path / f"few-{number}.db", scores(*told))
        main(["report", "--alerts", "--store", f"few-{number}.db", "--as-of", "2026-03-09T08:00"])

    assert "nps_low" not in capsys.readouterr().out


def test_json_says_what_is_new(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    For programs, all that apply.
    """
    watch("2026-03-09T08:00", "--format", "json")
    watch("2026-03-09T08:00", "--format", "json")
    first, second = (json.loads(f"[{part}") for part in capsys.readouterr().out.split("[\n")[1:])

    assert [True] * 3 == [each["new"] for each in first]
    assert [False] * 3 == [each["new"] for each in second]


def test_without_rules_it_says_where_they_go(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    With exit code 2.
    """
    (shop / "pyproject.toml").write_text("[tool.bizspan]\n", encoding="utf-8")

    assert 2 == watch("2026-03-09")
    assert "add [tool.bizspan.alert.NAME]" in capsys.readouterr().err


def test_a_rule_names_facts_of_the_file_s_vocabulary(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    The subject is a fact that the same file declares.
    """
    own = """
[tool.bizspan.vocabulary]
prefix = "sales"

[tool.bizspan.vocabulary.facts.lead]
type = "str"
meaning = "A lead."
"""
    file = (shop / "pyproject.toml").read_text("utf-8").replace('subject = "order"', 'subject = "lead"')
    (shop / "pyproject.toml").write_text(file + own, encoding="utf-8")
    told = [Told("l-1", WEEK.since_ns + DAY, "lead.created", {"sales.lead": "L-7"}, 0)]
    lens_store(shop / "own.db", told)

    assert 1 == main(["report", "--alerts", "--store", "own.db", "--as-of", "2026-03-09T08:00"])
    assert "1 stalled by lead: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ('kind = "party"', "kind is one of target, drop, score, stalled"),
        ('kind = "target"', "kpi is missing"),
        ('kind = "target"\nkpi = "none"', "there is no KPI 'none'"),
        ('kind = "target"\nkpi = "paid"\nperiode = "7d"', "did you mean 'period'?"),
        ('kind = "target"\nkpi = "paid"\nevery = "year"', "every is hour, day, week or month"),
        ('kind = "target"\nkpi = "lost"', "has no target"),
        ('kind = "target"\nkpi = "paid"\nperiod = 7', "period is a text"),
        ('kind = "target"\nkpi = "paid"\nperiod = "soon"', "'soon' is no period"),
        ('kind = "score"\nfeedback = ""\nbelow = 7', "feedback is the name"),
        ('kind = "stalled"\nfirst = 1\nthen = 1\nwithin = "3d"', "first is a table"),
        ('kind = "stalled"\nfirst = {event = 1}\nthen = 1\nwithin = "3d"', "first.event is a text"),
        ('kind = "stalled"\nfirst = {event = "a"}\nthen = {event = "b"}\nwithin = "3d"\nnames = 1', "true or false"),
        ('kind = "score"\nfeedback = "nps"\nbelow = "low"', "below is a number"),
        ('kind = "score"\nfeedback = "nps"\nbelow = 7\nleast = 0', "least is a whole number"),
        ('kind = "stalled"\nfirst = {}\nthen = {event = "b"}\nwithin = "3d"', "first names an operation"),
        (
            'kind = "stalled"\nfirst = {event = "a"}\nthen = {event = "b"}\nwithin = "soon"',
            "within is a length of time",
        ),
        ('kind = "stalled"\nfirst = {event = "a"}\nthen = {event = "b"}\nwithin = "3d"\nsubject = "no"', "not known"),
    ],
)
def test_a_wrong_rule_is_said_with_its_key(tmp_path: Path, rule: str, said: str) -> None:
    """
    When the file is read.
    """
    from bizspan.kpi import load as kpis

    path = tmp_path / "bizspan.toml"
    path.write_text(f"{FILE.replace('tool.bizspan.', '').replace('[tool.bizspan]', '')}\n", encoding="utf-8")
    declared = kpis(path).kpis
    path.write_text(f"[alert.mine]\n{rule}\n", encoding="utf-8")

    with pytest.raises(SetupError) as caught:
        load(path, declared)
    assert said in str(caught.value)
    found = re.match(rf"{re.escape(str(path))}:(\d+): alert\.mine: ", str(caught.value))
    assert found is not None
    # The line of its key, where the sentence begins with one that is told; else that of the rule.
    key = re.match(r"[a-z]*", said)
    told = [number for number, line in enumerate(rule.splitlines(), 2) if key and key[0] and line.startswith(key[0])]
    assert int(found[1]) in (told or range(1, 8))


# --- ClickHouse, and a process of its own ---------------------------------------------------------------------------


@contextmanager
def clickhouse(asked: list[tuple[str, str]]) -> Generator[str]:
    """Something that answers as ClickHouse with empty tables does."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """The base class would print a line for each request."""

        def do_POST(self) -> None:
            sql = self.rfile.read(int(self.headers["Content-Length"])).decode()
            asked.append((self.headers["X-ClickHouse-Key"], sql))
            body = b'{"data": []}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.server
def test_clickhouse_is_asked_over_http(
    shop: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    With the password of the environment, and no store of a lens beside it.
    """
    asked: list[tuple[str, str]] = []
    monkeypatch.setenv("BIZSPAN_CLICKHOUSE_PASSWORD", "s3cret")
    with clickhouse(asked) as url:
        assert 0 == main(["report", "--clickhouse", url, *AS_OF])

    out, err = capsys.readouterr()
    assert "No operation in this time." in out
    assert {"s3cret"} == {password for password, _ in asked}
    assert all("FROM otel_logs" in sql for _, sql in asked)
    assert "s3cret" not in out + err


@pytest.mark.server
def test_alerts_over_clickhouse_begin_their_store(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    What was said is kept in a store of its own, which is not there the first time, and has no marks.
    """
    with clickhouse([]) as url:
        ran = [main(["report", "--alerts", "--clickhouse", url, "--store", "said.db", *AS_OF]) for _ in range(2)]

    assert 2 not in ran, capsys.readouterr().err
    assert 4 not in ran, capsys.readouterr().err


def test_without_kpis_there_is_a_standard_set(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    Operations, success with its interval, revenue, order value, refunds, and the survey.
    """
    (shop / "pyproject.toml").write_text("[tool.bizspan]\ntime_zone = 'Europe/Berlin'\n", encoding="utf-8")

    assert 0 == report("--format", "json")
    told = json.loads(capsys.readouterr().out)

    assert told["is_standard"]
    rows = {row["kpi"]: row for row in told["rows"]}
    assert {"operations", "success_rate", "revenue", "average_order_value", "refunds", "feedback_nps"} == rows.keys()
    assert (70, 0.7, "627.20", "12.80", 4.0) == (
        rows["operations"]["value"], rows["success_rate"]["value"], rows["revenue"]["value"],
        rows["average_order_value"]["value"], rows["feedback_nps"]["value"],
    )  # fmt: skip
    assert [0.585, 0.795] == [round(each, 3) for each in rows["success_rate"]["interval"]]


@pytest.mark.server
def test_in_a_pipe_without_unicode_it_is_ascii(shop: Path) -> None:
    """
    As cron runs it: the C locale, no terminal, no colours.
    """
    ran = subprocess.run(
        [sys.executable, "-m", "bizspan", "report", "--store", "lens.db", *AS_OF],
        env=environment(PYTHONIOENCODING="ascii"), capture_output=True, timeout=60, check=False,
    )  # fmt: skip

    assert (0, b"") == (ran.returncode, ran.stderr)
    assert b"\x1b" not in ran.stdout
    assert "  _.-=*%#\n" in ran.stdout.decode("ascii")


def test_no_color_counts_on_a_terminal(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Colours are for terminals, and not where NO_COLOR says so.
    """

    class Terminal(io.StringIO):
        encoding = "utf-8"

        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    shown: list[str] = []
    for no_color in ("", "1"):
        monkeypatch.setenv("NO_COLOR", no_color)
        terminal = Terminal()
        monkeypatch.setattr(sys, "stdout", terminal)
        assert 0 == report()
        shown.append(terminal.getvalue())

    assert "\x1b[31m" in shown[0]
    assert "\x1b" not in shown[1]
