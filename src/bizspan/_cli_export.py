"""
``bizspan export prometheus|grafana|catalogue``.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from bizspan._cli_declared import Found, add_arguments, everything
from bizspan.errors import SetupError

if TYPE_CHECKING:
    from bizspan.kpi import KPI
    from bizspan.kpi._catalogue import Declared
    from bizspan.lens import Mark

_WELL, _NOTHING = 0, 1
_NO_KPI: Final = "no KPI is declared; add [tool.bizspan.kpi.NAME] to pyproject.toml, or pass --module."

Show = Callable[[str], None]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions and their options."""
    actions = parser.add_subparsers(dest="action", metavar="WHAT", required=True)
    prometheus = actions.add_parser("prometheus", help="recording and alert rules for each KPI")
    grafana = actions.add_parser("grafana", help="a dashboard with a row for each KPI")
    catalogue = actions.add_parser("catalogue", help="a page of every fact, metric, event, operation, feature and KPI")
    for action in (prometheus, grafana, catalogue):
        add_arguments(action)
        action.add_argument("--output", metavar="FILE", help="where to write it (default: print it)")
    for action in (prometheus, grafana):
        action.add_argument("--kpi", action="append", default=[], metavar="NAME", help="this one; may be repeated")
        action.add_argument(
            "--gauge",
            action="append",
            default=[],
            metavar="NAME=METRIC",
            help="how Prometheus calls a gauge that has a unit; may be repeated",
        )
    prometheus.add_argument(
        "--volume-change", type=float, default=0.5, metavar="PART", help="a drop of counts and sums (default: 0.5)"
    )
    prometheus.add_argument(
        "--rate-change", type=float, default=0.2, metavar="PART", help="a drop of other values (default: 0.2)"
    )
    prometheus.add_argument(
        "--severity", default="warning", metavar="TEXT", help="the alerts' label (default: warning)"
    )
    prometheus.add_argument(
        "--marks", nargs="?", const="", metavar="STORE",
        help="leave what is marked there out of the usual; by default the store of bizspan lens",
    )  # fmt: skip
    grafana.add_argument(
        "--source", choices=("prometheus", "clickhouse", "both"), default="prometheus", help="default: prometheus"
    )
    grafana.add_argument("--uid", default="bizspan-kpis", help="what Grafana knows it by (default: bizspan-kpis)")
    grafana.add_argument("--table", metavar="NAME", help="ClickHouse's table of logs (default: otel_logs)")
    grafana.add_argument("--title", default="KPIs", metavar="TEXT", help="of the dashboard (default: KPIs)")
    catalogue.add_argument("--format", choices=("md", "html"), default="md", help="default: md")
    parser.epilog = "Exit code: 0 it was written, 1 no KPI can be exported, 2 wrong arguments or a wrong file."


def run(options: argparse.Namespace, show: Show) -> int:
    """
    Do what was asked.

    Args:
        options: What was typed.
        show: Prints.

    Raises:
        SetupError: What was asked can not be done; the text says what to do instead.
    """
    return _ACTIONS[options.action](options, everything(options), show)


def _prometheus(options: argparse.Namespace, found: Found, show: Show) -> int:
    from bizspan.kpi._prometheus import RuleOptions, prometheus_rules

    kpis = _chosen(options, found)
    chosen = RuleOptions(options.volume_change, options.rate_change, options.severity, _gauges(options.gauge))
    rules = prometheus_rules(kpis, chosen, _marks(options))
    return _written(options, rules.text, rules.skipped, len(kpis), show)


def _marks(options: argparse.Namespace) -> list[Mark]:
    from bizspan.lens import _marks as kept
    from bizspan.lens import default_path

    if options.marks is None:
        return []
    return kept.listed(Path(options.marks) if options.marks else default_path())


def _grafana(options: argparse.Namespace, found: Found, show: Show) -> int:
    from bizspan.kpi import CLICKHOUSE, ClickHouse
    from bizspan.kpi._grafana import grafana_dashboard
    from bizspan.kpi._grafana_panels import SOURCES, DashboardOptions, Source

    kpis = _chosen(options, found)
    sources: tuple[Source, ...] = tuple(each for each in SOURCES if options.source in (each, "both"))
    tables = ClickHouse(table=options.table) if options.table else CLICKHOUSE
    zone = _axes(found.calendar.time_zone)
    chosen = DashboardOptions(sources, options.uid, options.title, zone, _gauges(options.gauge), tables)
    dashboard = grafana_dashboard(kpis, chosen)
    return _written(options, dashboard.text, dashboard.skipped, len(kpis), show)


def _axes(time_zone: str) -> str:
    return "utc" if time_zone == "UTC" else time_zone


def _catalogue(options: argparse.Namespace, found: Found, show: Show) -> int:
    from bizspan.kpi._catalogue import catalogue
    from bizspan.kpi._catalogue_text import as_html, as_markdown

    sections = catalogue(found.kpis.values(), found.vocabularies, _declared(found))
    return _written(options, as_html(sections) if options.format == "html" else as_markdown(sections), {}, 0, show)


def _declared(found: Found) -> Declared:
    """Operations, features and metrics of the configuration file, and where they are."""
    from bizspan.kpi._catalogue import Declared

    operations: dict[str, tuple[str, ...]] = {}
    features: dict[str, tuple[str, ...]] = {}
    if found.loaded is None:
        return Declared(described=found.described)

    def at(place: dict[str, tuple[str, ...]], name: object, where: str) -> None:
        if isinstance(name, str) and name:
            place[name] = (*place.get(name, ()), where)

    routes: Mapping[str, object] = found.loaded.requests.get("routes", {})
    for route, told in routes.items():
        table = cast("Mapping[str, object]", told) if isinstance(told, Mapping) else {"operation": told}
        at(operations, table.get("operation"), route)
        at(features, table.get("feature"), route)
    for function, told in found.loaded.operations.items():
        at(operations, told.get("name") or function.rpartition(":")[2].rpartition(".")[2], function)
        at(features, told.get("facts", {}).get("feature"), function)
    for task, name in found.loaded.tasks.items():
        at(operations, name, task)
    metrics: Mapping[str, Iterable[str] | None] = found.loaded.configure.get("metric_dimensions") or {}
    dimensions = {name: tuple(facts or ()) for name, facts in metrics.items()}
    return Declared(operations, features, dimensions, found.described)


_ACTIONS: Final[Mapping[str, Callable[[argparse.Namespace, Found, Show], int]]] = {
    "prometheus": _prometheus,
    "grafana": _grafana,
    "catalogue": _catalogue,
}


def _chosen(options: argparse.Namespace, found: Found) -> list[KPI]:
    from bizspan.kpi._command import named

    if not found.kpis:
        raise SetupError(_NO_KPI)
    return [named(found.kpis, name) for name in options.kpi] or list(found.kpis.values())


def _gauges(told: Iterable[str]) -> dict[str, str]:
    gauges: dict[str, str] = {}
    for pair in told:
        name, _, metric = pair.partition("=")
        if not name or not metric.isidentifier() or not metric.isascii():
            raise SetupError(f"--gauge is NAME=METRIC, such as stock.value=stock_value_EUR; got {pair!r}.")
        gauges[name] = metric
    return gauges


def _written(options: argparse.Namespace, text: str, skipped: Mapping[str, str], count: int, show: Show) -> int:
    for name, reason in skipped.items():
        print(f"bizspan export: {name} is left out: {reason}", file=sys.stderr)
    if count and len(skipped) == count:
        return _NOTHING
    if options.output is None:
        show(text.removesuffix("\n"))
        return _WELL
    _replace(Path(options.output), text)
    show(f"{options.output} written")
    return _WELL


def _replace(path: Path, text: str) -> None:
    """Write a file as a whole: who reads it meanwhile sees the old one or the new one."""
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    except OSError as error:
        raise SetupError(f"{path}: it can't be written ({error.strerror}).") from None
    try:
        with open(descriptor, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)
        os.replace(name, path)
    except OSError as error:
        os.unlink(name)
        raise SetupError(f"{path}: it can't be written ({error.strerror}).") from None
