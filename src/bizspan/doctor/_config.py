"""
What the configuration file says, as far as the diagnosis needs it, and the program that reads it.

In a process of its own: a file may name Python objects of the application, and reading it imports them.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from bizspan.doctor._children import ask
from bizspan.doctor._finding import Finding, green, red, yellow
from bizspan.doctor._spool import SpoolSettings, told_of
from bizspan.errors import SetupError

_BOUND_S: Final = 30.0
_MODULE: Final = "bizspan.doctor._config"


@dataclass(frozen=True, slots=True)
class Settings:
    """
    What a file says, with the variables of bizspan over it; None where both are silent.

    Args:
        service_name: ``service.name``.
        environment: ``deployment.environment.name``.
        exports: As `configure()` takes them.
        names_functions: Whether it names functions of the application.
        spool: Where events are kept; None keeps them in memory.
    """

    service_name: str | None = None
    environment: str | None = None
    exports: tuple[str, ...] = ("otlp",)
    names_functions: bool = False
    spool: SpoolSettings | None = None


class _Loaded(Protocol):
    """The part of what the file's reader gives that is used here."""

    @property
    def path(self) -> Path | None: ...

    @property
    def configure(self) -> Mapping[str, Any]: ...

    @property
    def operations(self) -> Mapping[str, Any]: ...

    @property
    def requests(self) -> Mapping[str, Any]: ...


def read(path: str | None, environment: Mapping[str, str]) -> tuple[Settings, list[Finding]]:
    """
    What the file says, and what there is to say about it.

    Args:
        path: Of the file; None looks where the application would.
        environment: As the application will have it.
    """
    answered = ask(_MODULE, {"path": path}, environment, _BOUND_S, with_current_directory=True)
    told = answered.lines[0] if answered.lines else {"failed": f"no answer within {_BOUND_S:g} s"}
    if not answered.lines and answered.in_time:
        told = {"failed": f"exit code {answered.code}"}
    return _settings(told), list(_said(told))


def _settings(told: Mapping[str, Any]) -> Settings:
    configure: Mapping[str, Any] = told.get("configure", {})
    export: Any = configure.get("export") or "otlp"
    exports: Sequence[str] = (export,) if isinstance(export, str) else export
    spool = told.get("spool")
    return Settings(
        configure.get("service_name"),
        configure.get("environment"),
        tuple(exports),
        bool(told.get("names_functions")),
        None if spool is None else SpoolSettings(**spool),
    )


def _said(told: Mapping[str, Any]) -> Iterator[Finding]:
    if "refused" in told:
        yield red("config", told["refused"], "correct the file; the application runs without it")
        return
    if "failed" in told:
        yield red("config", f"the configuration cannot be read ({told['failed']}).", "correct the file")
        return
    path = told["path"]
    yield green("config", f"the configuration is {path}" if path else "there is no configuration file")
    exports = _settings(told).exports
    if "otlp" not in exports:
        yield yellow(
            "export", f"export is {', '.join(exports)}: bizspan sends nothing over the wire.", 'set export = "otlp"'
        )


def main() -> None:
    """Read the file, write one JSON line."""
    # What the application prints while it is imported must not get before our line.
    line = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    task: dict[str, Any] = json.load(sys.stdin)
    try:
        from bizspan._config_file import load_config

        loaded: _Loaded = load_config(Path(task["path"]) if task["path"] else None)
        kept = {name: loaded.configure.get(name) for name in ("service_name", "environment", "export")}
        told: dict[str, Any] = {
            "path": str(loaded.path or ""),
            "configure": kept,
            "names_functions": bool(loaded.operations or loaded.requests),
            "spool": told_of(loaded.configure.get("spool")),
        }
    except SetupError as error:
        told = {"refused": str(error)}
    except BaseException as error:  # an application that is imported may end the process
        told = {"failed": type(error).__name__}
    line.write(json.dumps(told) + "\n")
    line.flush()
