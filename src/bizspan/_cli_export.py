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
from typing import TYPE_CHECKING, Final

from bizspan._cli_declared import Found, add_arguments, everything
from bizspan.errors import SetupError

if TYPE_CHECKING:
    from bizspan.kpi import KPI

_WELL, _NOTHING, _USAGE = 0, 1, 2
_NO_KPI: Final = "no KPI is declared; add [tool.bizspan.kpi.NAME] to pyproject.toml, or pass --module."

Show = Callable[[str], None]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions and their options."""
    actions = parser.add_subparsers(dest="action", metavar="WHAT", required=True)
    prometheus = actions.add_parser("prometheus", help="recording and alert rules for each KPI")
    for action in (prometheus,):
        add_arguments(action)
        action.add_argument("--output", metavar="FILE", help="where to write it (default: print it)")
    for action in (prometheus,):
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
    parser.epilog = "Exit code: 0 it was written, 1 no KPI can be exported, 2 wrong arguments or a wrong file."


def run(options: argparse.Namespace, show: Show) -> int:
    """
    Do what was asked.

    Args:
        options: What was typed.
        show: Prints.
    """
    try:
        return _ACTIONS[options.action](options, everything(options), show)
    except SetupError as error:
        print(f"bizspan export: error: {error}", file=sys.stderr)
        return _USAGE


def _prometheus(options: argparse.Namespace, found: Found, show: Show) -> int:
    from bizspan.kpi._prometheus import RuleOptions, prometheus_rules

    kpis = _chosen(options, found)
    chosen = RuleOptions(options.volume_change, options.rate_change, options.severity, _gauges(options.gauge))
    rules = prometheus_rules(kpis, chosen)
    return _written(options, rules.text, rules.skipped, len(kpis), show)


_ACTIONS: Final[Mapping[str, Callable[[argparse.Namespace, Found, Show], int]]] = {
    "prometheus": _prometheus,
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
