"""
KPIs, the time zone and the start of the week from the TOML file: ``[tool.bizspan.kpi.NAME]`` in ``pyproject.toml``, or
``[kpi.NAME]`` in a file of its own.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, cast

from bizspan.errors import SetupError
from bizspan.kpi._calendar import Calendar
from bizspan.kpi._definition import (
    AverageOrderValue,
    Conversion,
    Count,
    Definition,
    Distinct,
    Quantile,
    Rates,
    Ratio,
    Recurring,
    Retention,
    Sum,
)
from bizspan.kpi._described import SECTIONS, Described, Descriptions
from bizspan.kpi._kpi import KPI
from bizspan.kpi._records import Records, conditions
from bizspan.vocabulary import Vocabulary

_RECORDS: Final = ("operation", "event", "feedback", "where", "unless")
_COMMON: Final = (
    "kind", "owner", "meaning", "playbook", "unit", "direction", "target", "per", "by", "minimum_group",
)  # fmt: skip
# By kind: what it takes beside the common keys.
KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "count": _RECORDS,
    "sum": ("money", "dated", "rates", *_RECORDS),
    "average_order_value": ("money", *_RECORDS),
    "distinct": ("subject", *_RECORDS),
    "ratio": ("of", "to"),
    "conversion": ("steps", "subject", "window", "reentry"),
    "quantile": ("q", "value", *_RECORDS),
    "retention": ("first", "again", "subject", "every", "periods", "at"),
    "recurring": ("gauge", "across", "stale"),
}
_DESCRIBED: Final = ("owner", "meaning")
_PARTS: Final = ("count", "sum", "distinct")


@dataclass(frozen=True, slots=True)
class Declared:
    """
    What a file declares.

    Args:
        kpis: By name, in the file's order.
        calendar: The time zone and the start of the week.
        path: The file.
        modules: Names of Python objects that hold further KPIs, which are not imported here.
        described: What operations, features and events mean.
    """

    kpis: Mapping[str, KPI]
    calendar: Calendar
    path: Path | None = None
    modules: tuple[str, ...] = ()
    described: Descriptions = field(default_factory=dict[str, Mapping[str, Described]])


class _Wrong(Exception):  # noqa: N818 - internal: turned into a SetupError with file and line
    """What is wrong, and at which keys below the KPI's table."""

    def __init__(self, message: str, *keys: str) -> None:
        super().__init__(message)
        self.message = message
        self.keys = keys


@dataclass(frozen=True, slots=True)
class Lines:
    """
    Finds the line of a key: TOML's own reader keeps none.

    Args:
        text: Of the file.
        prefix: The table that all keys are in.
    """

    text: str
    prefix: tuple[str, ...]

    def of(self, *keys: str) -> int:
        """The line of this key, or of the nearest table around it; 1 where none is found."""
        best, table = 1, cast("tuple[str, ...]", ())
        current: tuple[str, ...] = ()
        wanted = (*self.prefix, *keys)
        for number, line in enumerate(self.text.splitlines(), 1):
            header = re.match(r"\s*\[\[?\s*([^\]]+?)\s*\]", line)
            told = re.match(r"\s*([A-Za-z0-9_.\"'-]+)\s*=", line)
            if header:
                current = at = _path(header[1])
            elif told:
                at = (*current, *_path(told[1]))
            else:
                continue
            if len(at) > len(table) and wanted[: len(at)] == at:
                best, table = number, at
        return best


def _path(key: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in key.split("."))


def load(path: str | Path, vocabulary: Vocabulary | Iterable[Vocabulary] = ()) -> Declared:
    """
    The KPIs that a file declares.

    Args:
        path: The file.
        vocabulary: Declares facts of yours that the KPIs name.

    Raises:
        SetupError: When something is wrong; the text has the file, the line, the key, and what was expected.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SetupError(f"{path}: it is no TOML file ({error}).") from None
    except OSError as error:
        raise SetupError(f"{path}: it can't be read ({error.strerror}).") from None
    tool: Any = document.get("tool")
    inside: Any = cast("dict[str, Any]", tool).get("bizspan") if isinstance(tool, dict) else None
    if inside is None and path.name == "pyproject.toml":
        inside = {}
    prefix = () if inside is None else ("tool", "bizspan")
    lines = Lines(text, prefix)
    section: Any = document if inside is None else inside
    if not isinstance(section, dict):
        raise SetupError(f"{path}:{lines.of()}: expected a table.")
    return _declared(path, cast("dict[str, Any]", section), lines, vocabulary)


def _declared(
    path: Path, section: Mapping[str, Any], lines: Lines, vocabulary: Vocabulary | Iterable[Vocabulary]
) -> Declared:
    try:
        calendar = Calendar(section.get("time_zone", "UTC"), section.get("week_start", "monday"))
    except SetupError as error:
        key = "week_start" if "week" in str(error) else "time_zone"
        raise SetupError(f"{path}:{lines.of(key)}: {key}: {error}") from None
    tables = section.get("kpi", {})
    if not isinstance(tables, dict):
        raise SetupError(f"{path}:{lines.of('kpi')}: kpi: expected a table for each KPI, [kpi.NAME].")
    kpis: dict[str, KPI] = {}
    for name, told in cast("dict[str, Any]", tables).items():
        try:
            kpis[name] = _kpi(name, told, vocabulary)
        except _Wrong as wrong:
            where = ".".join(("kpi", name, *wrong.keys))
            raise SetupError(f"{path}:{lines.of('kpi', name, *wrong.keys)}: {where}: {wrong.message}") from None
        except SetupError as error:
            said = str(error).removeprefix(f"KPI {name!r}: ")
            raise SetupError(f"{path}:{lines.of('kpi', name)}: kpi.{name}: {said}") from None
    try:
        modules = _texts(section.get("kpi_module", []), "kpi_module")
    except _Wrong as wrong:
        raise SetupError(f"{path}:{lines.of('kpi_module')}: kpi_module: {wrong.message}") from None
    try:
        described = _descriptions(section.get("catalogue", {}))
    except _Wrong as wrong:
        where = ".".join(("catalogue", *wrong.keys))
        raise SetupError(f"{path}:{lines.of('catalogue', *wrong.keys)}: {where}: {wrong.message}") from None
    return Declared(kpis, calendar, path, modules, described)


def _descriptions(told: object) -> Descriptions:
    table = _table(told)
    _check_keys(table, tuple(SECTIONS))
    return {
        section: {name: _described(each, key, name) for name, each in _table(table.get(key, {}), key).items()}
        for key, section in SECTIONS.items()
    }


def _described(told: object, *around: str) -> Described:
    table = _table(told, *around)
    _check_keys(table, _DESCRIBED, *around)
    for key in _DESCRIBED:
        text = _required(table, key, *around)
        if not isinstance(text, str) or not text.strip():
            raise _Wrong(f"expected a text, got {text!r}.", *around, key)
    return Described(table["owner"], table["meaning"])


def _kpi(name: str, told: object, vocabulary: Vocabulary | Iterable[Vocabulary]) -> KPI:
    table = _table(told)
    kind = str(table.get("kind"))
    if kind not in KEYS:
        raise _Wrong(f"expected one of {', '.join(KEYS)}, got {kind!r}.", "kind")
    _check_keys(table, (*_COMMON, *KEYS[kind]))
    common = {key: table[key] for key in _COMMON if key in table and key not in ("kind", "by")}
    for required in ("owner", "meaning"):
        if required not in common:
            raise _Wrong("expected a text; a number that nobody explains is not trusted.", required)
    by = _texts(table.get("by", []), "by")
    return KPI(name, _definition(kind, table), by=by, vocabulary=vocabulary, **common)


def _definition(kind: str, table: Mapping[str, Any]) -> Definition:
    make: Mapping[str, Callable[[Mapping[str, Any]], Definition]] = {
        "count": lambda told: Count(_records(told)),
        "sum": lambda told: Sum(of=_records(told), rates=_rates(told), **_options(told, "money", "dated")),
        "average_order_value": lambda told: AverageOrderValue(of=_records(told), **_options(told, "money")),
        "distinct": lambda told: Distinct(of=_records(told), **_options(told, "subject")),
        "ratio": lambda told: Ratio(_part(told, "of"), _part(told, "to")),
        "conversion": lambda told: Conversion(_steps(told), **_options(told, "subject", "window", "reentry")),
        "quantile": lambda told: Quantile(_required(told, "q"), of=_records(told), **_options(told, "value")),
        "retention": _retention,
        "recurring": lambda told: Recurring(_required(told, "gauge"), **_options(told, "across", "stale")),
    }
    return make[kind](table)


def _retention(told: Mapping[str, Any]) -> Retention:
    first = _inner(_required(told, "first"), "first", _RECORDS)
    again = _inner(told["again"], "again", _RECORDS) if "again" in told else None
    options = _options(told, "subject", "every", "periods", "at")
    return Retention(_records(first), None if again is None else _records(again), **options)


def _part(told: Mapping[str, Any], key: str) -> Count | Sum | Distinct:
    table = _table(_required(told, key), key)
    kind = table.get("kind", "count")
    if kind not in _PARTS:
        raise _Wrong(f"expected one of {', '.join(_PARTS)}, got {kind!r}.", key, "kind")
    _inner(table, key, ("kind", *KEYS[kind]))
    return cast("Count | Sum | Distinct", _definition(kind, table))


def _steps(told: Mapping[str, Any]) -> tuple[Records, ...]:
    steps = _required(told, "steps")
    if not isinstance(steps, list):
        raise _Wrong("expected a list of tables such as {operation = 'checkout'}.", "steps")
    return tuple(_records(_inner(step, "steps", _RECORDS)) for step in cast("list[object]", steps))


def _records(told: Mapping[str, Any]) -> Records:
    where, unless = (_table(told.get(key, {}), key) for key in ("where", "unless"))
    return Records(
        operations=_texts(told.get("operation", []), "operation"),
        events=_texts(told.get("event", []), "event"),
        questions=_texts(told.get("feedback", []), "feedback"),
        where=conditions(where, unless),
    )


def _rates(told: Mapping[str, Any]) -> Rates | None:
    if "rates" not in told:
        return None
    table = _inner(told["rates"], "rates", ("to", "date", "per"))
    per = _table(_required(table, "per", "rates"), "rates", "per")
    return Rates(_required(table, "to", "rates"), str(_required(table, "date", "rates")), per)


def _options(told: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: told[key] for key in keys if key in told}


def _required(told: Mapping[str, Any], key: str, *around: str) -> Any:
    if key not in told:
        raise _Wrong("it is missing.", *around, key)
    return told[key]


def _inner(told: object, key: str, keys: tuple[str, ...]) -> Mapping[str, Any]:
    table = _table(told, key)
    _check_keys(table, keys, key)
    return table


def _table(told: object, *keys: str) -> Mapping[str, Any]:
    if not isinstance(told, dict):
        raise _Wrong(f"expected a table, got {told!r}.", *keys)
    return cast("dict[str, Any]", told)


def _check_keys(table: Mapping[str, Any], keys: tuple[str, ...], *around: str) -> None:
    for key in table:
        if key not in keys:
            near = get_close_matches(key, keys, n=1)
            question = f"; did you mean {near[0]!r}?" if near else ""
            raise _Wrong(f"expected one of {', '.join(keys)}{question}", *around, key)


def _texts(told: object, key: str) -> tuple[str, ...]:
    texts = [told] if isinstance(told, str) else told
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in cast("list[object]", texts)):
        raise _Wrong(f"expected a text, or a list of texts, got {told!r}.", key)
    return tuple(cast("list[str]", texts))
