"""
One TOML file for what would otherwise be code: ``[tool.bizspan]`` in ``pyproject.toml``, or the file that
``BIZSPAN_CONFIG`` names. Environment variables beat the file.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from bizspan._config_schema import (
    CONFIGURE,
    FILE,
    FRAMEWORKS,
    REQUESTS,
    Check,
    Unexpected,
    load,
    named_object,
    texts_of,
    yes_or_no,
)
from bizspan.errors import SetupError
from bizspan.vocabulary import Vocabulary

VARIABLE: Final = "BIZSPAN_CONFIG"
# These have variables of OpenTelemetry's own: one for itself, and keys of OTEL_RESOURCE_ATTRIBUTES.
_OPENTELEMETRYS: Final = {
    "service_name": ("OTEL_SERVICE_NAME", ("service.name",)),
    "environment": ("", ("deployment.environment.name", "deployment.environment")),
}
_OURS_ELSEWHERE: Final = frozenset({"hash_key_id"})  # configure() reads its variable, with that of the key


@dataclass(frozen=True, slots=True)
class Loaded:
    """
    What the file and the environment say.

    Args:
        source: Where it stands, as an error names it.
        path: The file; None where there is none.
        configure: Arguments of `bizspan.configure()`.
        requests: Options of every framework's integration, ``routes`` among them.
        operations: Functions that are operations, by ``"package.module:function"``.
        tasks: Celery tasks that are operations, by the task's name.
        logging: Whether log records get fields, and which loggers are left alone.
        frameworks: Which integrations to switch on; None means all whose framework is installed.
        variables: The keys that the environment said.
    """

    source: str = ""
    path: Path | None = None
    configure: Mapping[str, Any] = field(default_factory=dict[str, Any])
    requests: Mapping[str, Any] = field(default_factory=dict[str, Any])
    operations: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    tasks: Mapping[str, str] = field(default_factory=dict[str, str])
    logging: Mapping[str, Any] = field(default_factory=dict[str, Any])
    frameworks: tuple[str, ...] | None = None
    variables: frozenset[str] = frozenset()

    def where(self, key: str, *more: str) -> str:
        """Where this key was said, as an error names it: the variable, or the file and the key."""
        if key in self.variables:
            return variable_of(key)
        path = ("requests", key) if key in REQUESTS else (key,)
        return f"{self.source}: {_joined((*path, *more))}"


# Variables that are not called after their key.
_NAMED: Final = {"spool": "BIZSPAN_SPOOL_DIR"}


def variable_of(key: str) -> str:
    """The environment variable of a key."""
    return _NAMED.get(key) or f"BIZSPAN_{key.upper()}"


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
    try:
        folder = start or Path.cwd()
    except OSError:  # somebody removed it
        return None
    for candidate in (folder, *folder.parents):
        path = candidate / "pyproject.toml"
        if _is_ours(path):
            return path
    return None


def _is_ours(path: Path) -> bool:
    """Whether this pyproject.toml has a section of ours. One that can't be read, and does not name us, has none."""
    try:
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError:
        return False
    return "bizspan" in text and _section(path) is not None


def load_config(path: Path | None = None, environment: Mapping[str, str] = os.environ) -> Loaded:
    """
    What this file says, or the one that applies, with the environment's variables over it.

    Raises:
        SetupError: When a value is wrong; the text has the file, the key, and what was expected.
    """
    path = path or find(environment)
    if path is None:
        return read_options({}, None, environment)
    section = _section(path)
    if section is None:
        raise SetupError(f"{path}: it has no [tool.bizspan]; add one, or name another file.")
    return read_options(section, path, environment)


def read_options(
    options: Mapping[str, Any], path: Path | None = None, environment: Mapping[str, str] = os.environ
) -> Loaded:
    """
    What these options say, as in the file, with the environment's variables over them.

    Args:
        options: As the file has them; without a path, of ``OTEL_CONFIG_FILE``.
        path: The file.
        environment: The variables.

    Raises:
        SetupError: As `load_config`.
    """
    source = str(path) if path is not None else "OTEL_CONFIG_FILE: bizspan"
    told = _checked(source, FILE, dict(options))
    configure = {name: told[name] for name in CONFIGURE if name in told}
    requests: dict[str, Any] = dict(told.get("requests", {}))
    logging: dict[str, Any] = dict(told.get("logging", {}))
    if told.get("routes"):
        requests["routes"] = told["routes"]
    said = _override(configure, CONFIGURE, environment) | _override(requests, REQUESTS, environment)
    for name, check in _FURTHER.items():
        value = _said_by(name, check, environment)
        if value is not None:
            said.add(name)
            if name == "logging":
                logging["enabled"] = value
            else:
                told[name] = value
    vocabulary = told.get("vocabulary")
    if vocabulary is not None:
        where = variable_of("vocabulary") if "vocabulary" in said else f"{source}: vocabulary"
        configure["vocabulary"] = _vocabulary(where, vocabulary)
    if told.get("metrics"):
        configure["metric_dimensions"] = {
            name: None if facts == "*" else facts for name, facts in told["metrics"].items()
        }
    return Loaded(
        source=source,
        path=path,
        configure=configure,
        requests=requests,
        operations=told.get("operations", {}),
        tasks=told.get("tasks", {}),
        logging=logging,
        frameworks=told.get("frameworks"),
        variables=frozenset(said),
    )


# Beside those of configure() and of the requests: what else a variable may say.
_FURTHER: Final[Mapping[str, Check]] = {
    "vocabulary": named_object,
    "frameworks": texts_of(*FRAMEWORKS),
    "logging": yes_or_no,
}
VARIABLES: Final = (VARIABLE, *(variable_of(key) for key in (*CONFIGURE, *REQUESTS, *_FURTHER)))


def _section(path: Path) -> dict[str, Any] | None:
    """The part of a file that is ours: ``[tool.bizspan]``; in a file of its own, all of it."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
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
        raise SetupError(f"{source}: {_joined(unexpected.key)}: expected {unexpected.expected}.") from None


def _joined(key: Iterable[str]) -> str:
    return ".".join(part if part.isidentifier() else f'"{part}"' for part in key) or "the file"


def _override(told: dict[str, Any], checks: Mapping[str, Check], environment: Mapping[str, str]) -> set[str]:
    """Put what the environment says over it; the keys that it said."""
    said: set[str] = set()
    for name, check in checks.items():
        if _is_opentelemetrys(name, environment) or (name in _OURS_ELSEWHERE and environment.get(variable_of(name))):
            told.pop(name, None)
            continue
        value = _said_by(name, check, environment)
        if value is not None:
            told[name] = value
            said.add(name)
    return said


def _is_opentelemetrys(name: str, environment: Mapping[str, str]) -> bool:
    variable, keys = _OPENTELEMETRYS.get(name, ("", ()))
    if environment.get(variable):
        return True
    pairs = environment.get("OTEL_RESOURCE_ATTRIBUTES", "").split(",")
    return any(pair.partition("=")[0].strip() in keys for pair in pairs)


def _said_by(name: str, check: Check, environment: Mapping[str, str]) -> Any:
    """What the variable of this key says; None where it says nothing."""
    given = environment.get(variable_of(name), "").strip()
    if not given:
        return None
    try:
        return _of_variable(check, given)
    except Unexpected as unexpected:
        raise SetupError(f"{variable_of(name)}: expected {unexpected.expected}.") from None


def _of_variable(check: Check, given: str) -> Any:
    """A variable's text, where the key takes a list: with commas between."""
    try:
        return check(given)
    except Unexpected as unexpected:
        try:
            return check(list(_split(given)))
        except Unexpected:
            raise unexpected from None


def _vocabulary(where: str, told: Vocabulary | str) -> Vocabulary:
    if isinstance(told, Vocabulary):
        return told
    try:
        found = load(told)
    except SetupError as error:
        raise SetupError(f"{where}: {error}") from error
    if not isinstance(found, Vocabulary):
        raise SetupError(f"{where}: expected the name of a Vocabulary, {told!r} is none.")
    return found


def _split(names: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in names.split(",") if name.strip())
