"""
The program that looks up the functions that the configuration file names, and what it finds.

In a process of its own, with telemetry switched off: it imports modules of the application.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final, cast

from bizspan._config_schema import Lazy
from bizspan.doctor._children import ask
from bizspan.doctor._finding import Finding, green, red, yellow
from bizspan.errors import SetupError

_BOUND_S: Final = 30.0
_MODULE: Final = "bizspan.doctor._functions"
_CHECK: Final = "function"


def check_functions(path: str | None, environment: Mapping[str, str]) -> Iterator[Finding]:
    """
    Whether each function that the file names is there, and fits what is said of it.

    Args:
        path: Of the file; None looks where the application would.
        environment: As the application will have it.
    """
    quiet = {**environment, "OTEL_SDK_DISABLED": "true"}  # an application that configures telemetry at its import
    answered = ask(_MODULE, {"path": path}, quiet, _BOUND_S, with_current_directory=True)
    wanted: list[str] = [name for line in answered.lines for name in line.get("wanted", ())]
    looked_up = {line["name"]: line for line in answered.lines if "name" in line}
    good = 0
    for name in wanted:
        found = looked_up.get(name)
        if found is None:
            why = f"its module ended the process with {answered.code}" if answered.in_time else "its module hangs"
            yield yellow(
                _CHECK, f"{name} was not looked up: {why}, or one before it.", f"python -c 'import {_module(name)}'"
            )
            return
        if found["wrong"]:
            yield red(_CHECK, f"{name}: {found['wrong']}", "correct its name or its keys in the configuration file")
        elif found["failed"]:
            said = f"{name} was not looked up: its module raises {found['failed']} when it is imported alone."
            yield yellow(_CHECK, said, f"python -c 'import {_module(name)}'")
        else:
            good += 1
    if good:
        yield green(_CHECK, f"{good} of the {len(wanted)} functions that the configuration names are there")


def _module(name: str) -> str:
    return name.partition(":")[0]


def main() -> None:
    """Write the names, then one JSON line for each, and end without what the application does at its exit."""
    lines = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    task: dict[str, Any] = json.load(sys.stdin)

    def write(line: Mapping[str, object]) -> None:
        lines.write(json.dumps(line) + "\n")
        lines.flush()

    try:
        loaded: Any = import_module("bizspan._config_file").load_config(Path(task["path"]) if task["path"] else None)
        functions = [*_lazy(loaded.requests)]
    except SetupError:  # the check of the file says so
        os._exit(0)
    write({"wanted": [*loaded.operations, *functions]})
    _start_django()
    for name, told in loaded.operations.items():
        write(_looked_up(name, told))
    for name in functions:
        write(_looked_up(name, None))
    os._exit(0)


def _lazy(value: object) -> Iterator[str]:
    """The names of functions anywhere in these options."""
    if isinstance(value, Lazy):
        yield value.name
    elif isinstance(value, Mapping):
        for each in cast("Mapping[object, object]", value).values():
            yield from _lazy(each)
    elif isinstance(value, list | tuple):
        for each in cast("list[object]", value):
            yield from _lazy(each)


def _start_django() -> None:
    """Models can't be imported before; what goes wrong here has a check of its own."""
    if os.environ.get("DJANGO_SETTINGS_MODULE"):
        try:
            import_module("django").setup()
        except BaseException:
            return


def _looked_up(name: str, told: Mapping[str, Any] | None) -> dict[str, str]:
    line = {"name": name, "wrong": "", "failed": ""}
    functions: Any = import_module("bizspan.integrations._functions")
    module, _, path = name.partition(":")
    try:
        loaded = _imported(module)
        if told is None:
            if not callable(functions.part_of(loaded, path)):
                raise SetupError("it is no function.")
        else:
            _, _, function = functions.member(loaded, path)
            functions.declared(told, getattr(function, "__func__", function))(function)
    except SetupError as error:
        line["wrong"] = str(error)
    except BaseException as error:  # a module may end the process on purpose
        line["failed"] = type(error).__name__  # its text may hold a value
    return line


def _imported(module: str) -> Any:
    """
    The module.

    Raises:
        SetupError: When it is not there, and not one that it imports.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name and (module == error.name or module.startswith(f"{error.name}.")):
            raise SetupError(f"there is no module {error.name!r}.") from None
        raise
