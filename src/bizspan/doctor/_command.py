"""
The environment that a command will have, and what in the command switches telemetry off. The command is not run.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bizspan.doctor._finding import Finding, green, one_line, red, yellow

INSTRUMENT: Final = "opentelemetry-instrument"
_ASSIGNMENT: Final = re.compile(r"^([A-Za-z_][A-Za-z0-9_]*)=(.*)$", re.DOTALL)
_ISOLATED: Final = re.compile(r"^-[A-Za-z]*[EIS]")
# opentelemetry-instrument names its options after the variables, without OTEL_ or OTEL_PYTHON_.
_PYTHON_OPTIONS: Final = frozenset({"disabled_instrumentations", "distro", "configurator", "exclude_urls"})


@dataclass(frozen=True, slots=True)
class Command:
    """
    A command line, taken apart.

    Args:
        environment: As the program will see it.
        program: What is run in the end, with its arguments.
        is_zero_code: Whether it starts through ``opentelemetry-instrument``.
        launcher: ``opentelemetry-instrument`` as it is written; empty without it.
    """

    environment: dict[str, str]
    program: tuple[str, ...] = ()
    is_zero_code: bool = False
    launcher: str = ""


def command(words: Sequence[str], environment: Mapping[str, str]) -> Command:
    """
    Take a command line apart: ``NAME=value`` and ``env`` before it, ``opentelemetry-instrument`` and its options.
    """
    variables = dict(environment)
    rest = list(words)
    if rest and _base(rest[0]) == "env":
        rest.pop(0)
    while rest and (assigned := _ASSIGNMENT.match(rest[0])):
        variables[assigned[1]] = assigned[2]
        rest.pop(0)
    if not rest or _base(rest[0]) != INSTRUMENT:
        return Command(variables, tuple(rest))
    launcher = rest.pop(0)
    while rest and rest[0].startswith("--"):
        option, separator, value = rest.pop(0)[2:].partition("=")
        if not separator and rest:
            value = rest.pop(0)
        prefix = "OTEL_PYTHON_" if option in _PYTHON_OPTIONS else "OTEL_"
        variables[f"{prefix}{option.upper()}"] = value
    return Command(variables, tuple(rest), True, launcher)


def check_command(words: Sequence[str], told: Command) -> Iterator[Finding]:
    """Whether the command can be found, runs in this installation, and lets telemetry start."""
    if not words:
        return
    names = [name for name in (told.launcher, *told.program[:1]) if name]
    path = told.environment.get("PATH")
    for name in names:
        found = shutil.which(name, path=path)
        if found is None:
            yield red("command", f"{name[:80]} is not found.", f"check the path of {name[:80]}")
            return
        if elsewhere := _other_installation(found):
            yield yellow(
                "command",
                f"{name[:80]} runs in {elsewhere}, and this doctor looked into {sys.prefix}.",
                f"{elsewhere}/bin/python -m bizspan doctor -- ...",
            )
            return
    shown = one_line(" ".join(_base(name) for name in names))
    yield green("command", f"{shown} is found" + (", zero-code" if told.is_zero_code else ""))
    yield from _check_program(told)


def _check_program(told: Command) -> Iterator[Finding]:
    program = told.program
    if told.is_zero_code and program and _base(program[0]).startswith("python"):
        options = [word for word in program[1:] if word.startswith("-")]
        if options and program[1:2] == (options[0],) and _ISOLATED.match(options[0]) and options[0][1] != "-":
            yield red(
                "command.python",
                f"python {options[0]} leaves sitecustomize out, so {INSTRUMENT} does nothing.",
                f"take {options[0]} away",
            )
    words = {*program}
    if told.is_zero_code and "runserver" in words and "--noreload" not in words:
        yield yellow(
            "command.reload",
            "runserver starts the application in a second process.",
            "python manage.py runserver --noreload",
        )
    if told.is_zero_code and "--reload" in words:
        yield yellow("command.reload", "--reload starts the application in a second process.", "leave --reload out")


def _other_installation(path: str) -> str:
    """The environment of a script's interpreter, when it is not ours."""
    try:
        with Path(path).open("rb") as script:
            first = script.readline(512)
    except OSError:
        return ""
    if not first.startswith(b"#!"):
        # An interpreter by its own path: python of another environment.
        parent = Path(path).parent.parent
        is_python = _base(path).startswith("python") and (parent / "pyvenv.cfg").exists()
        return str(parent) if is_python and not _same(parent, sys.prefix) else ""
    interpreter = os.fsdecode(first[2:].split()[0]) if first[2:].split() else ""
    home = Path(interpreter).parent.parent
    is_other = _base(interpreter).startswith("python") and (home / "pyvenv.cfg").exists()
    return str(home) if is_other and not _same(home, sys.prefix) else ""


def _same(one: Path, other: str) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _base(word: str) -> str:
    return word.rsplit("/", 1)[-1].rsplit("\\", 1)[-1]
