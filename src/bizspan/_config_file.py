"""
One TOML file for what would otherwise be code: ``[tool.bizspan]`` in ``pyproject.toml``, or the file that
``BIZSPAN_CONFIG`` names. Environment variables beat the file.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from bizspan._config_schema import CONFIGURE, FILE, REQUESTS, Check, Unexpected, load
from bizspan.errors import SetupError
from bizspan.vocabulary import Vocabulary

VARIABLE: Final = "BIZSPAN_CONFIG"
# These have variables of OpenTelemetry's own, or are secrets that configure() reads itself.
_OPENTELEMETRYS: Final = {"service_name": "OTEL_SERVICE_NAME"}
_OURS_ELSEWHERE: Final = frozenset({"hash_key_id"})


@dataclass(frozen=True, slots=True)
class Loaded:
    """
    What the file and the environment say.

    Args:
        path: The file; None where there is none.
        configure: Arguments of `bizspan.configure()`.
        requests: Options of every framework's integration, ``routes`` among them.
        operations: Functions that are operations, by ``"package.module:function"``.
        tasks: Celery tasks that are operations, by the task's name.
        logging: Whether log records get fields, and which loggers are left alone.
        frameworks: Which integrations to switch on; None means all whose framework is installed.
    """

    path: Path | None = None
    configure: Mapping[str, Any] = field(default_factory=dict[str, Any])
    requests: Mapping[str, Any] = field(default_factory=dict[str, Any])
    operations: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    tasks: Mapping[str, str] = field(default_factory=dict[str, str])
    logging: Mapping[str, Any] = field(default_factory=dict[str, Any])
    frameworks: tuple[str, ...] | None = None


def find(environment: Mapping[str, str] = os.environ, start: Path | None = None) -> Path | None:
    """
    The file that applies: the one that ``BIZSPAN_CONFIG`` names, else the nearest ``pyproject.toml`` from the working
    directory upwards that has a ``[tool.bizspan]``; None where there is neither.

    Raises:
        SetupError: When the named file is not there.
    """
    named = environment.get(VARIABLE, "").strip()
    if named:
        path = Path(named)
        if not path.is_file():
            raise SetupError(f"{VARIABLE} names {named!r}, which is no file; correct it, or unset it.")
        return path
    folder = start or Path.cwd()
    for candidate in (folder, *folder.parents):
        path = candidate / "pyproject.toml"
        if path.is_file() and _section(path) is not None:
            return path
    return None


def load_config(path: Path | None = None, environment: Mapping[str, str] = os.environ) -> Loaded:
    """
    What this file says, or the one that applies, with the environment's variables over it.

    Raises:
        SetupError: When a value is wrong; the text has the file, the key, and what was expected.
    """
    path = path or find(environment)
    told: dict[str, Any] = {}
    if path is not None:
        section = _section(path)
        if section is None and path.name == "pyproject.toml":
            raise SetupError(f"{path}: it has no [tool.bizspan]; add one, or name another file.")
        told = _checked(str(path), FILE, section or {})
    configure = {name: told[name] for name in CONFIGURE if name in told}
    requests: dict[str, Any] = dict(told.get("requests", {}))
    if told.get("routes"):
        requests["routes"] = told["routes"]
    _override(configure, CONFIGURE, environment)
    _override(requests, REQUESTS, environment)
    vocabulary = told.get("vocabulary")
    if vocabulary is not None:
        configure["vocabulary"] = _vocabulary(path, vocabulary)
    if told.get("metrics"):
        configure["metric_dimensions"] = {
            name: None if facts == "*" else facts for name, facts in told["metrics"].items()
        }
    frameworks = environment.get("BIZSPAN_FRAMEWORKS")
    return Loaded(
        path=path,
        configure=configure,
        requests=requests,
        operations=told.get("operations", {}),
        tasks=told.get("tasks", {}),
        logging=told.get("logging", {}),
        frameworks=told.get("frameworks") if frameworks is None else _split(frameworks),
    )


def _section(path: Path) -> dict[str, Any] | None:
    """The part of a file that is ours: ``[tool.bizspan]``; in a file of its own, all of it."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SetupError(f"{path}: it is no TOML file ({error}).") from None
    except OSError as error:
        raise SetupError(f"{path}: it can't be read ({error.strerror}).") from None
    tool: Any = document.get("tool")
    section: Any = cast("dict[str, Any]", tool).get("bizspan") if isinstance(tool, dict) else None
    if section is None:
        return None if path.name == "pyproject.toml" else document
    if not isinstance(section, dict):
        raise SetupError(f"{path}: [tool.bizspan]: expected a table.")
    return cast("dict[str, Any]", section)


def _checked(source: str, check: Check, told: object) -> dict[str, Any]:
    try:
        return cast("dict[str, Any]", check(told))
    except Unexpected as unexpected:
        key = ".".join(part if part.isidentifier() else f'"{part}"' for part in unexpected.key)
        raise SetupError(f"{source}: {key or 'the file'}: expected {unexpected.expected}.") from None


def _override(told: dict[str, Any], checks: Mapping[str, Check], environment: Mapping[str, str]) -> None:
    for name, check in checks.items():
        if name in _OPENTELEMETRYS and environment.get(_OPENTELEMETRYS[name]):
            told.pop(name, None)
            continue
        if name in _OURS_ELSEWHERE:
            if environment.get(f"BIZSPAN_{name.upper()}"):
                told.pop(name, None)
            continue
        given = environment.get(f"BIZSPAN_{name.upper()}")
        if not given:
            continue
        try:
            told[name] = _of_variable(check, given)
        except Unexpected as unexpected:
            raise SetupError(f"BIZSPAN_{name.upper()}: expected {unexpected.expected}.") from None


def _of_variable(check: Check, given: str) -> Any:
    """A variable's text, where the key takes a list: with commas between."""
    try:
        return check(given)
    except Unexpected as unexpected:
        try:
            return check(list(_split(given)))
        except Unexpected:
            raise unexpected from None


def _vocabulary(path: Path | None, told: Vocabulary | str) -> Vocabulary:
    if isinstance(told, Vocabulary):
        return told
    try:
        found = load(told)
    except SetupError as error:
        raise SetupError(f"{path}: vocabulary: {error}") from error
    if not isinstance(found, Vocabulary):
        raise SetupError(f"{path}: vocabulary: expected the name of a Vocabulary, {told!r} is none.")
    return found


def _split(names: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in names.split(",") if name.strip())
