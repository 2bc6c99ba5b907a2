"""
The commands that pages show are run: those of the guides around what is seen, and of the tutorial.

A page's `python` fences above its first command run first, in a directory of their own; what they leave there is what
the commands find. Then each line of a `shell` fence runs as it stands, with the `bizspan` and `python` that are here,
and with what a page can't know put in: a free port, the address of a server that is there, a token. The commands of
every other page are read by the parser of the command line, so that an option that is gone fails here.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Generator, Mapping
from contextlib import ExitStack, closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest

from bizspan import cli
from tests.child import BOUND_S, environment
from tests.kpi.far import Engine, Far, serving
from tests.test_docs import MARKER, ROOT, RUNNER, TIMEOUT_S, Block, blocks_of, clean_environment, named, pages

GUIDES: Final = ("kpis", "lens", "reports", "grafana", "clickhouse", "releases", "monday-review")
RUN: Final = [*(f"docs/how-to/{name}.md" for name in GUIDES), *(named(p) for p in pages() if "tutorial" in p.parts)]
# By how the line begins: why it is not run. What it names is checked all the same.
NOT_RUN: Final = {
    "pip install": "it would install into the environment of the tests; the extras that it names are looked up",
    "bizspan demo": "it takes a minute; tests/demo runs it, and its options are read here",
}
SHELLS: Final = ("shell", "console", "sh", "bash")
ENDS: Final = {"compare": (0, 1, 3)}  # a verdict; everything else ends with 0
ASSIGNMENT: Final = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
SHOP: Final = """
import bizspan
with bizspan.configure(service_name="shop") as telemetry:
    with bizspan.operation("checkout", order="o-1") as op:
        op.revenue("9.90", "EUR")
    assert telemetry.force_flush(10.0)
"""
EVENT: Final = '{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"eventName":"signup"}]}]}]}\n'
KPI: Final = """
[tool.bizspan.kpi.revenue]
kind = "sum"
owner = "shop"
meaning = "What customers paid."
operation = "checkout"
"""


def commands_of(block: Block) -> list[str]:
    """The lines of a shell block, each with what it is continued by, without comments."""
    text = block.text.replace("\\\n", " ")
    lines = (line.strip().removeprefix("$ ") for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def shells(page: Path) -> list[Block]:
    return [block for block in blocks_of(page.read_text("utf-8")) if block.info.partition(" ")[0] in SHELLS]


class Stage:
    """
    Where the commands of a page run.

    Args:
        path: An empty directory.
        clickhouse: The address of one.
    """

    def __init__(self, path: Path, clickhouse: str) -> None:
        self.path = path
        self.token = ""
        self.clickhouse = clickhouse
        self.lens: subprocess.Popen[str] | None = None
        self.url, self.store = "", Path()
        self.variables: dict[str, str] = {"XDG_STATE_HOME": str(path / "state"), "PYTHONUTF8": "1"}
        (path / "shop.py").write_text(SHOP, "utf-8")
        (path / "bizspan.toml").write_text(KPI, "utf-8")
        (path / "var/lib/otelcol/business").mkdir(parents=True)
        (path / "var/lib/otelcol/business/events.json").write_text(EVENT, "utf-8")

    def play(self, page: Path) -> None:
        """Run what the page has in Python above its first command; its store is where the lens would keep it."""
        ours = [block.line for block in shells(page) if any(each.startswith("bizspan") for each in commands_of(block))]
        blocks = blocks_of(page.read_text("utf-8"))
        story = [(block.line, block.text) for block in blocks if block.is_run and block.line < min(ours)]
        told = json.dumps([str(page), MARKER, story])
        subprocess.run(
            [sys.executable, "-c", RUNNER], input=told, encoding="utf-8", cwd=self.path, env=clean_environment(),
            capture_output=True, timeout=TIMEOUT_S, check=True,
        )  # fmt: skip
        if "/var/lib/shop/spool" in page.read_text("utf-8"):
            kept = {"BIZSPAN_SPOOL_DIR": str(self.path / "var/lib/shop/spool"), "OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
            code = SHOP.replace("    assert telemetry.force_flush(10.0)\n", "")
            assert (
                0 == self._ended(["-c", code], {**kept, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}).returncode
            )
        if (self.path / "lens.db").is_file():
            (self.path / "state/bizspan").mkdir(parents=True)
            shutil.copy(self.path / "lens.db", self.path / "state/bizspan/lens.db")
        declared = self.path / "pyproject.toml"
        if not (declared.is_file() and "tool.bizspan.kpi" in declared.read_text("utf-8")):
            declared.write_text(KPI, "utf-8")

    def run(self, line: str) -> None:
        """Run one line, to its end; a lens runs until another one does, or the page is over."""
        line = line.replace("/var/lib/", f"{self.path}/var/lib/").replace("https://clickhouse:8443", self.clickhouse)
        line = line.replace("http://127.0.0.1:4318", self.url).replace("...", self.token or "secret")
        words = shlex.split(line, comments=True)
        variables = dict(self.variables)
        while words and (told := ASSIGNMENT.fullmatch(words[0] if words[0] != "export" else words[1])):
            (self.variables if words[0] == "export" else variables)[told[1]] = told[2]
            del words[: 2 if words[0] == "export" else 1]
        if not words:
            return
        assert not {"|", "||", "&&", ">", ";"} & {*words}, f"a shell would be needed for: {line}"
        program, *rest = words
        assert program in ("bizspan", "python"), f"nobody knows how to run: {line}"
        if program == "bizspan":
            rest = ["-m", "bizspan", *rest]
        if rest[:3] == ["-m", "bizspan", "lens"]:
            self.start(rest, variables)
            return
        if rest[0] == "shop.py" and self.lens is None:
            self.start(["-m", "bizspan", "lens"], variables)
        before = self.stored()
        ended = self._ended(rest, variables)
        allowed = ENDS.get(rest[2], (0,)) if program == "bizspan" else (0,)
        assert ended.returncode in allowed, f"{line}\n{ended.stderr}"
        assert "Traceback" not in ended.stderr, ended.stderr
        if rest[0] == "shop.py":
            assert before + 1 == self.stored(), line
        if "token_urlsafe" in line:
            self.token = ended.stdout.strip()

    def start(self, rest: list[str], variables: Mapping[str, str]) -> None:
        """Start a lens on a free port, and end the one before."""
        self.end()
        self.lens = subprocess.Popen(
            [sys.executable, *rest, "--port", "0", "--format", "json"], cwd=self.path,
            env=environment(None, **variables), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.lens.stdout is not None
        said = self.lens.stdout.readline()
        assert said, self.lens.communicate(timeout=BOUND_S)
        told = json.loads(said)
        self.url, self.store = told["url"], Path(told["store"])

    def stored(self) -> int:
        if self.lens is None:
            return 0
        with closing(sqlite3.connect(self.store)) as database:
            return int(database.execute("SELECT count(*) FROM events").fetchone()[0])

    def end(self) -> None:
        """A lens that is told to ends well."""
        if self.lens is not None:
            lens, self.lens = self.lens, None
            lens.send_signal(signal.SIGTERM)
            _, said = lens.communicate(timeout=BOUND_S)
            assert (0, "") == (lens.returncode, said)

    def _ended(self, rest: list[str], variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        sent = {"OTEL_EXPORTER_OTLP_ENDPOINT": self.url} if self.url else {}
        return subprocess.run(
            [sys.executable, *rest], cwd=self.path, env=environment(None, **{**sent, **variables}), capture_output=True,
            text=True, timeout=TIMEOUT_S, check=False,
        )  # fmt: skip


@contextmanager
def clickhouse() -> Generator[Far]:
    """ClickHouse itself where it is installed; else a server that has nothing in its tables."""
    far = Engine() if find_spec("chdb") else Far(body=b'{"data": []}')
    if isinstance(far, Engine):
        far.engine.load(())
    with serving(far):
        yield far


@pytest.mark.server
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGTERM")
@pytest.mark.parametrize("page", [pytest.param(ROOT / name, id=name) for name in RUN if shells(ROOT / name)])
def test_the_commands_of_a_page_run(page: Path, tmp_path: Path) -> None:
    """
    Each line does something, and ends as it should; servers answer, take what is sent to them, and end when told to.
    """
    lines = [line for block in shells(page) for line in commands_of(block)]
    runs = [line for line in lines if not line.startswith(tuple(NOT_RUN))]
    with ExitStack() as stack:
        if runs:
            far = stack.enter_context(clickhouse())
            stage = Stage(tmp_path, far.url)
            stage.play(page)
            stack.callback(stage.end)
            for line in runs:
                stage.run(line)
            if any("clickhouse" in line for line in runs):
                asked = {(query["database"][0], headers["X-Clickhouse-User"]) for query, headers, _ in far.asked}
                assert {("telemetry", "reader")} == asked


@pytest.mark.parametrize("page", [pytest.param(page, id=named(page)) for page in pages() if shells(page)])
def test_the_commands_of_every_page_can_be_read(page: Path) -> None:
    """
    Each command, option and value is one that there is; so is each extra that is installed.
    """
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    for block in shells(page):
        for line in commands_of(block):
            words = list(shlex.shlex(line, posix=True, punctuation_chars=True))
            at = f"{named(page)}:{block.line}: {line}"
            assert [] == [name for names in re.findall(r"bizspan\[([\w,]+)\]", line) for name in names.split(",")
                          if name not in extras], at  # fmt: skip
            for arguments in _ours(shlex.split(line, comments=True) if words else []):
                try:
                    cli._parser().parse_args(arguments)
                except SystemExit as ended:
                    assert 0 == ended.code, at


def _ours(words: list[str]) -> Generator[list[str]]:
    """What stands behind each ``bizspan`` that is a command, up to an operator of the shell or another command."""
    is_first = True
    for number, word in enumerate(words):
        if word == "bizspan" and is_first:
            rest = words[number + 1 :]
            ends = [rest.index(end) for end in ("|", "||", "&&", ">", ";", "--") if end in rest]
            yield rest[: min(ends, default=len(rest))]
        is_first = word in ("|", "||", "&&", ";", "export") or bool(is_first and ASSIGNMENT.fullmatch(word))


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("bizspan kpi lists", "invalid choice"),
        ("bizspan compare --base 1.4 --candidate 1.5 --by", "expected one argument"),
        ("bizspan report --store nowhere.db", "nowhere.db"),
        ("python nowhere.py", "nowhere.py"),
        ("surgeon --help", "nobody knows how to run"),
        ("bizspan kpi list | head", "a shell would be needed"),
    ],
)
def test_a_command_that_is_broken_is_an_error(line: str, complaint: str, tmp_path: Path) -> None:
    """
    A wrong option, a file that is not there, a program that nobody knows.
    """
    stage = Stage(tmp_path, "")
    with pytest.raises(AssertionError, match=complaint):
        stage.run(line)
