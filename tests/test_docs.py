"""
README, docs and examples do what they say.

A page is README.md or a Markdown file under docs/. Its `python` fences run top to bottom in one fresh process
and share one namespace, so a page reads as one story.

- A fence `python no-run: needs a Kafka broker` is compiled only. The reason stands in the fence, or on the
  line before it as `<!-- no-run: reason -->`.
- A `text` fence with `<!-- output -->` on the line before it is what the block above printed, standard error
  included. What differs from run to run is normalised on both sides (`NORMALISED`): `31 ms` becomes `N ms`.
- The commands of `shell` fences are run, or read, by test_docs_commands.py.
- A fence that looks like Python but would not run is an error: `py`, `python3`, `pycon`,
  `{code-block} python`.

An example is examples/NAME.py; a leading underscore makes it support code. It must end with exit code 0. One
that would take long, or never ends, offers `--quick`, and is run with it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parent.parent
TIMEOUT_S: Final = 120

NORMALISED: Final = (
    (re.compile(r"\x1b\[[0-9;]*m"), ""),  # colours
    (re.compile(r"\b\d+(\.\d+)? ?(ns|us|µs|ms)\b"), "N ms"),  # durations below a second
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)?"), "TIME"),
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "ID"),  # UUIDs
    (re.compile(r"\b(0x)?([0-9a-f]{32}|[0-9a-f]{16})\b"), "ID"),  # trace and span ids, addresses
    (re.compile(r"from /\S+/bizspan/lens\.db"), "from STORE"),  # where the lens keeps events for whoever runs it
    (re.compile(r"[ \t]+$", re.MULTILINE), ""),
)

FENCE: Final = re.compile(r"^(?P<indent> *)(?P<marks>`{3,}|~{3,})(?P<info>[^`]*)$")
NO_RUN: Final = re.compile(r"<!--\s*no-run:\s*\S.*-->")
OUTPUT: Final = "<!-- output -->"
NOT_EXECUTED: Final = re.compile(r"(py|python3|pycon|ipython|\{code(-block)?\} *python3?)\b")

# Runs in the page's own process. The marker goes out on the file descriptor, so that text which a library
# wrote past sys.stdout still lands in the block that caused it.
RUNNER: Final = """
import json, os, sys, types
page, marker, blocks = json.load(sys.stdin)
story = sys.modules["__main__"] = types.ModuleType("__main__")
story.__dict__["__file__"] = page
for line, source in blocks:
    code = compile("\\n" * line + source, page, "exec", dont_inherit=True)
    exec(code, story.__dict__)
    sys.stdout.flush()
    sys.stderr.flush()
    os.write(1, marker.encode())
"""
MARKER: Final = "\x00end of block\x00"


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: the line its text starts on (from 0), its info, its text, the line before it."""

    line: int
    info: str
    text: str
    before: str

    @property
    def is_python(self) -> bool:
        return self.info.split()[:1] == ["python"]

    @property
    def is_run(self) -> bool:
        return self.is_python and not self.info.removeprefix("python").strip().startswith("no-run")


def blocks_of(markdown: str) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    lines = markdown.splitlines()
    at = 0
    before = ""
    while at < len(lines):
        opening = FENCE.match(lines[at])
        if opening is None:
            before = lines[at].strip() or before
            at += 1
            continue
        marks, indent = opening["marks"], len(opening["indent"])
        start = at = at + 1
        while at < len(lines) and not (lines[at].strip().startswith(marks) and not lines[at].strip().strip(marks[0])):
            at += 1
        text = "\n".join(line[min(indent, len(line) - len(line.lstrip())) :] for line in lines[start:at])
        yield Block(start, opening["info"].strip(), text + "\n", before)
        before = ""
        at += 1


def pages() -> list[Path]:
    candidates = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [
        page
        for page in candidates
        if page.is_file() and "_build" not in page.parts and "```" in page.read_text("utf-8")
    ]


def examples() -> list[Path]:
    return [example for example in sorted((ROOT / "examples").glob("*.py")) if not example.name.startswith("_")]


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def normalised(text: str) -> str:
    for pattern, replacement in NORMALISED:
        text = pattern.sub(replacement, text)
    return text.strip("\n")


def clean_environment() -> dict[str, str]:
    """Ours without what would change the story: OpenTelemetry's settings, and coverage, which slows it."""
    ours = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "COVERAGE_", "BIZSPAN_"))}
    return {**ours, "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1", "NO_COLOR": "1"}


def expected_outputs(page: str, blocks: list[Block]) -> dict[int, Block]:
    """What each executed block must print, by its index among them. Checks the page's markup as well."""
    expected: dict[int, Block] = {}
    executed = -1
    last_ran = False
    for block in blocks:
        where = f"{page}:{block.line}"
        assert not NOT_EXECUTED.match(block.info), f"{where}: write ```python, so that the block is executed"
        if block.before == OUTPUT:
            assert block.info == "text", f"{where}: {OUTPUT} belongs before a ```text block"
            assert last_ran, f"{where}: no executed python block stands above this output"
            assert executed not in expected, f"{where}: the block above has its output already"
            expected[executed] = block
        elif block.is_run:
            executed += 1
        elif block.is_python:
            reason = block.info.partition("no-run")[2].strip(" :")
            assert reason or NO_RUN.fullmatch(block.before), f"{where}: say why it is not run: ```python no-run: reason"
            compile(block.text, where, "exec", dont_inherit=True)
        if block.is_python:
            last_ran = block.is_run
    return expected


@pytest.mark.parametrize("page", [pytest.param(page, id=named(page)) for page in pages()])
def test_a_page_runs_and_prints_what_it_shows(page: Path, tmp_path: Path) -> None:
    """
    The python blocks of a page run in order, and each shown output is the one printed.
    """
    blocks = list(blocks_of(page.read_text("utf-8")))
    expected = expected_outputs(named(page), blocks)
    story = [(block.line, block.text) for block in blocks if block.is_run]

    ran = subprocess.run(
        [sys.executable, "-c", RUNNER],
        input=json.dumps([str(page), MARKER, story]),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        cwd=tmp_path,
        env=clean_environment(),
        timeout=TIMEOUT_S,
        check=False,
    )
    printed = ran.stdout.split(MARKER)

    told = f"{named(page)} failed in its python block {len(printed)}:\n{''.join(printed)}"
    assert 0 == ran.returncode, told
    assert len(story) == len(printed) - 1
    for index, shown in expected.items():
        assert normalised(shown.text) == normalised(printed[index]), f"{named(page)}:{shown.line}"


@pytest.mark.parametrize("example", [pytest.param(example, id=named(example)) for example in examples()])
def test_an_example_runs(example: Path, tmp_path: Path) -> None:
    """
    The example ends with exit code 0, in its quick form where it has one.
    """
    quick = ["--quick"] if '"--quick"' in example.read_text("utf-8") else []

    ran = subprocess.run(
        [sys.executable, str(example), *quick],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        cwd=tmp_path,
        env=clean_environment(),
        timeout=TIMEOUT_S,
        check=False,
    )

    assert 0 == ran.returncode, ran.stdout


def test_the_test_command_of_the_readme_is_the_gates() -> None:
    """
    README names the very command that .ci/run calls.
    """
    readme, gate = ROOT / "README.md", ROOT / ".ci" / "run"
    if not (readme.is_file() and gate.is_file()):
        pytest.skip("README.md or .ci/run is not in this copy")
    command = next(line for line in gate.read_text("utf-8").splitlines() if line.startswith("pip install uv"))

    assert command in readme.read_text("utf-8").splitlines()


@pytest.mark.parametrize(
    ("page", "complaint"),
    [
        ("```python no-run\nx = 1\n```\n", "say why"),
        ("```py\nx = 1\n```\n", "write ```python"),
        ("```{code-block} python\nx = 1\n```\n", "write ```python"),
        ("<!-- output -->\n```text\n1\n```\n", "no executed python block"),
        ("```python\nprint(1)\n```\n<!-- output -->\n```console\n1\n```\n", "belongs before a ```text block"),
    ],
)
def test_markup_that_would_hide_a_block_is_refused(page: str, complaint: str) -> None:
    """
    A block that would silently not run, or an output that nothing prints, is an error with what to write.
    """
    with pytest.raises(AssertionError, match=complaint):
        expected_outputs("page.md", list(blocks_of(page)))


def test_blocks_are_read_with_their_place_and_reason() -> None:
    """
    Indented, tilde and unrunnable fences are found, and a nested fence stays text.
    """
    in_a_list = "1. a list\n\n   ~~~python\n   x = 1\n   ~~~\n\n"
    with_a_reason = "<!-- no-run: needs a broker -->\n```python no-run\ny = 2\n```\n"
    nested = "````text\n```python\nz = 3\n```\n````\n"

    assert [
        Block(3, "python", "x = 1\n", "1. a list"),
        Block(8, "python no-run", "y = 2\n", "<!-- no-run: needs a broker -->"),
        Block(11, "text", "```python\nz = 3\n```\n", ""),
    ] == list(blocks_of(in_a_list + with_a_reason + nested))


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("checkout ✓ 42.00 EUR  31 ms", "checkout ✓ 42.00 EUR  0.4 ms  "),
        ("uid 0af7651916cd43dd8448eb211c80319c", "uid 4bf92f3577b34da6a3ce929d0e0e4736"),
        ("at 2026-01-02T03:04:05Z", "at 2027-01-02 03:04:05.123+00:00"),
    ],
)
def test_only_what_differs_from_run_to_run_is_normalised(text: str, same: str) -> None:
    """
    Durations, ids and times compare equal; amounts do not.
    """
    assert normalised(text) == normalised(same)
    assert normalised("42.00 EUR") != normalised("42.01 EUR")
