"""
``bizspan kpi list|show|sql|check``. Exit codes: 0 it went well, 1 a KPI can't be evaluated, 2 wrong arguments or file.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final, cast

from bizspan.errors import SetupError
from bizspan.kpi._calendar import Calendar
from bizspan.kpi._clickhouse import ClickHouseSource
from bizspan.kpi._dialect import CLICKHOUSE, SQLITE, ClickHouse, Dialect
from bizspan.kpi._evaluate import evaluate, statements
from bizspan.kpi._kpi import KPI
from bizspan.kpi._render import answer_data, answer_text, kpi_data, kpi_text
from bizspan.kpi._source import Source, SqliteSource
from bizspan.kpi._support import TARGETS, reason

Print = Callable[[str], None]
_WELL, _NOT_ALL = 0, 1
_NO_KPI: Final = "no KPI is declared; add [tool.bizspan.kpi.NAME] to pyproject.toml, or pass --module."


@dataclass(frozen=True, slots=True)
class Request:
    """
    What a command is about.

    Args:
        kpis: By name.
        calendar: Whose days.
        source: Where from; None for none.
        period: As `Calendar.read` takes it.
        by: Facts to break down by; None for the KPI's own.
        compare: Whether the period before is evaluated too.
        as_json: Whether to print data.
        show: Prints.
    """

    kpis: Mapping[str, KPI]
    calendar: Calendar
    source: Source | None
    period: str
    by: tuple[str, ...] | None
    compare: bool
    as_json: bool
    show: Print


def merged(kpis: Mapping[str, KPI], objects: Iterable[tuple[str, object]]) -> dict[str, KPI]:
    """
    The KPIs of a file, and those of Python objects: a `KPI`, or several.

    Raises:
        SetupError: When an object is none, or a name is there twice.
    """
    found = dict(kpis)
    for where, told in objects:
        for kpi in _several(where, told):
            if not isinstance(kpi, KPI):
                raise SetupError(f"{where}: expected KPIs, got {kpi!r}.")
            if kpi.name in found:
                raise SetupError(f"{where}: KPI {kpi.name!r} is declared twice; rename one.")
            found[kpi.name] = kpi
    return found


def _several(where: str, told: object) -> Iterable[object]:
    if isinstance(told, KPI):
        return (told,)
    if isinstance(told, Mapping):
        return cast("Mapping[str, object]", told).values()
    if not isinstance(told, Iterable) or isinstance(told, str):
        raise SetupError(f"{where}: expected a KPI, or a list of them.")
    return cast("Iterable[object]", told)


def named(kpis: Mapping[str, KPI], name: str) -> KPI:
    """
    The KPI of this name.

    Raises:
        SetupError: There is none.
    """
    if name in kpis:
        return kpis[name]
    near = get_close_matches(name, kpis, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "bizspan kpi list prints those that there are."
    raise SetupError(f"there is no KPI {name!r}; {hint}")


def place_of(source: Source) -> str:
    """Where a source reads, for people: the file, or the address of ClickHouse."""
    if isinstance(source, SqliteSource):
        return str(source.path)
    return source.url if isinstance(source, ClickHouseSource) else type(source).__name__


def list_all(request: Request) -> int:
    """Print each KPI on a line."""
    if request.as_json:
        request.show(json.dumps([kpi_data(kpi) for kpi in request.kpis.values()], indent=2, default=str))
        return _WELL
    width = max((len(name) for name in request.kpis), default=0)
    kinds = max((len(kpi.kind) for kpi in request.kpis.values()), default=0)
    for kpi in request.kpis.values():
        request.show(f"{kpi.name:<{width}}  {kpi.kind:<{kinds}}  {kpi.owner}: {kpi.meaning}")
    if not request.kpis:
        request.show(_NO_KPI)
    return _WELL


def show_one(request: Request, name: str) -> int:
    """Print a KPI's definition; with a source, its values."""
    kpi = named(request.kpis, name)
    if request.source is None:
        data, text = kpi_data(kpi), kpi_text(kpi)
        request.show(json.dumps(data, indent=2, default=str) if request.as_json else text)
        return _WELL
    now_ns = time.time_ns()
    period = request.calendar.begun(request.calendar.read(request.period, now_ns), now_ns)
    answer = evaluate(
        kpi,
        request.source,
        period,
        calendar=request.calendar,
        by=request.by,
        compare="previous" if request.compare else None,
    )
    place = place_of(request.source)
    if request.as_json:
        request.show(json.dumps({**answer_data(answer), "source": place}, indent=2))
    else:
        request.show(f"{answer_text(answer)}\nfrom {place}")
    return _WELL


@dataclass(frozen=True, slots=True)
class _Nowhere:
    """A source of which only the dialect is used."""

    dialect: Dialect

    def rows(self, statements: object) -> list[Any]:
        """It has none."""
        raise SetupError("there is no source to ask.")


def sql(request: Request, name: str, dialect: str, table: str) -> int:
    """Print the statements that a KPI compiles to, ready to be pasted."""
    kpi = named(request.kpis, name)
    chosen: Dialect = SQLITE if dialect == "sqlite" else ClickHouse(table=table) if table else CLICKHOUSE
    period = request.calendar.read(request.period, time.time_ns())
    by = kpi.by if request.by is None else request.by
    asked = statements(kpi, _Nowhere(chosen), period, calendar=request.calendar, by=by)
    if request.as_json:
        request.show(json.dumps([{"gives": each.what, "sql": each.text} for each in asked], indent=2))
        return _WELL
    request.show("\n\n".join(f"-- {kpi.name}: {each.what}\n{each.text};" for each in asked))
    return _WELL


def check(request: Request) -> int:
    """
    Print whether each KPI holds together; with a source, whether it can be evaluated.

    Raises:
        SetupError: There is none: a gate that looks at nothing is not passed.
    """
    if not request.kpis:
        raise SetupError(_NO_KPI)
    found: list[dict[str, Any]] = []
    for kpi in request.kpis.values():
        told: dict[str, Any] = {"kpi": kpi.name, "ok": True, "said": ""}
        told["not_in"] = {target: why for target in TARGETS if (why := reason(kpi, target))}
        if request.source is not None:
            now_ns = time.time_ns()
            period = request.calendar.begun(request.calendar.read(request.period, now_ns), now_ns)
            try:
                answer = evaluate(kpi, request.source, period, calendar=request.calendar, by=request.by)
                told["n"] = sum(each.n for each in answer.total)
            except SetupError as error:
                told["ok"], told["said"] = False, str(error)
        found.append(told)
    if request.as_json:
        request.show(json.dumps(found, indent=2))
    else:
        for each in found:
            n = f"  n={each['n']}" if "n" in each else ""
            request.show(f"{'ok    ' if each['ok'] else 'failed'} {each['kpi']}{n}  {each['said']}".rstrip())
        place = f", from {place_of(request.source)}" if request.source is not None else ""
        request.show(f"{len(found)} KPIs, {sum(1 for each in found if not each['ok'])} failed{place}")
    return _WELL if all(each["ok"] for each in found) else _NOT_ALL
