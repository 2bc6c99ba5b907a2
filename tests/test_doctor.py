"""`bizspan doctor`: the examination itself, and its report."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

import pytest

from bizspan import doctor
from bizspan.doctor import Finding, Report, Request, _environment, examine
from tests.child import environment
from tests.doctor_set_up import look

REFERENCE: Final = Path(__file__).resolve().parent.parent / "docs" / "reference" / "command-line.md"


def test_a_check_that_crashes_is_a_red_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The others stand, and the error's own text, which may hold a value, is left out.
    """

    def crash(told: Mapping[str, str]) -> Iterator[Finding]:
        raise ValueError("hush-hush")

    monkeypatch.setattr(_environment, "check_disabled", crash)
    report = examine(Request(environment(), canary=False))

    (found,) = [each for each in report.findings if each.check == "sdk-disabled"]
    assert ("red", True, 1) == (found.level, "ValueError in crash" in found.text, report.exit_code)
    assert "hush-hush" not in report.as_json()
    assert {"python", "hash-key", "endpoint.logs"} <= {each.check for each in report.findings}


def test_every_finding_that_is_not_green_has_a_next_step() -> None:
    """
    A set-up that is wrong in many ways gets a step for each of them.
    """
    found = look(
        OTEL_SDK_DISABLED="yes", OTEL_EXPORTER_OTLP_ENDPOINT="c", OTEL_EXPORTER_OTLP_PROTOCOL="x",
        OTEL_EXPORTER_OTLP_HEADERS="x", OTEL_LOGS_EXPORTER="a,b", BIZSPAN_HASH_KEY="x",
    )  # fmt: skip

    assert 8 <= len([each for each in found.values() if each.level != "green"])
    assert [] == [each for each in found.values() if each.level != "green" and not each.next_step]


def test_lines_that_say_the_same_are_one() -> None:
    """
    As text; JSON keeps them apart.
    """
    same = [Finding(f"endpoint.{signal}", "red", "gone", "start it") for signal in ("traces", "logs")]
    report = Report("1", (*same, Finding("python", "green", "fine")))

    assert "✗ endpoint.traces,logs: gone\n  next: start it\n✓ python: fine\n\n1 green, 0 yellow, 2 red" == (
        report.as_text(colour=False)
    )
    assert 3 == report.as_json().count('"check"')


def test_nothing_in_a_report_moves_the_terminal() -> None:
    """
    Escape codes and line breaks of a value that is shown are taken out.
    """
    found = look(OTEL_SERVICE_NAME="shop\x1b[2J\r\nred\u202e")["service-name"]

    assert "service.name is shop [2J red" == found.text


def said_in_the_source() -> Iterator[str]:
    """The check of each finding that the doctor's source makes; `*` stands for what is filled in."""
    for file in sorted(Path(doctor.__file__).parent.glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            match node:
                case ast.Call(func=ast.Name(id="green" | "yellow" | "red"), args=[ast.Constant(value=str(check)), *_]):
                    yield check
                case ast.Call(
                    func=ast.Name(id="green" | "yellow" | "red"),
                    args=[ast.JoinedStr(values=[ast.Constant(value=str(begin)), *_]), *_],
                ):
                    yield f"{begin}*"
                case _:
                    pass


@pytest.mark.skipif(not REFERENCE.is_file(), reason="docs/ is not in this copy")
def test_every_check_is_in_the_reference() -> None:
    """
    The table of checks names each one that the source makes.
    """
    table = REFERENCE.read_text("utf-8").split("### Checks")[1].split("### JSON")[0]
    shown = re.findall(r"`([a-z.-]+(?:[A-Z]+)?)`", table)

    said = {*said_in_the_source()}
    assert {"python", "endpoint.*", "versions.*"} <= said
    assert [] == [check for check in said if not any(fnmatchcase(name, check) for name in shown)]
