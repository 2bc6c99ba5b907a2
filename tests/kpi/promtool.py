"""Prometheus' own `promtool`, which checks files of rules and runs them over series that a test makes up."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest

BOUND_S: Final = 120
_YAML: Any = import_module("yaml")  # its types are incomplete
DAY: Final = 24 * 60  # in minutes, the distance of samples

_is_here = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not here; Debian's package prometheus brings it"
)
_Test = TypeVar("_Test", bound=Callable[..., object])


def needs_promtool(test: _Test) -> _Test:
    """Skip it where there is no promtool, and run it on one Python alone: it tests what promtool computes."""
    once: _Test = pytest.mark.once(_is_here(test))
    return once


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert that fires: its labels, and what it says."""

    labels: dict[str, str]
    annotations: dict[str, str]


@dataclass(frozen=True, slots=True)
class Run:
    """
    What became of series under rules.

    Args:
        alerts: What fires, by the alert's name and the minute.
        values: What expressions give, by expression and minute: values by labels.
    """

    alerts: dict[tuple[str, int], list[Alert]]
    values: dict[tuple[str, int], dict[tuple[tuple[str, str], ...], float]]

    def firing(self, name: str, at: int) -> list[tuple[str, str]]:
        """KPI and currency of what fires under this name."""
        return sorted((each.labels["kpi"], each.labels.get("currency", "")) for each in self.alerts[name, at])


def as_yaml(document: object) -> str:
    """A document as YAML, by a library of others."""
    return str(_YAML.safe_dump(document))


def checked(rules: str, folder: Path) -> str:
    """What `promtool check rules` says about a file that it accepts."""
    path = folder / "rules.yml"
    path.write_text(rules, encoding="utf-8")
    ran = subprocess.run(
        ["promtool", "check", "rules", str(path)], capture_output=True, text=True, timeout=BOUND_S, check=False
    )
    assert 0 == ran.returncode, ran.stdout + ran.stderr
    return ran.stdout


def run(
    rules: str,
    folder: Path,
    series: Mapping[str, str],
    *,
    alerts: Iterable[tuple[str, int]] = (),
    expressions: Iterable[tuple[str, int]] = (),
    every: str = "30m",
) -> Run:
    """
    Run rules over series.

    Args:
        rules: The file.
        folder: For the files.
        series: By name and labels, values as promtool writes them, one a minute.
        alerts: Names and minutes to look at.
        expressions: Expressions and minutes to look at.
        every: How often rules are evaluated.
    """
    # promtool prints what it got where that is not what was expected.
    never = [{"exp_labels": {"never": "there"}, "exp_annotations": {}}]
    wanted_alerts, wanted_values = sorted(alerts, key=lambda each: each[1]), list(expressions)
    made: dict[str, Any] = {
        "interval": "1m",
        "input_series": [{"series": name, "values": told} for name, told in series.items()],
        "alert_rule_test": [
            {"alertname": name, "eval_time": f"{at}m", "exp_alerts": never} for name, at in wanted_alerts
        ],
        "promql_expr_test": [
            {"expr": text, "eval_time": f"{at}m", "exp_samples": [{"labels": '{never="there"}', "value": 0}]}
            for text, at in wanted_values
        ],
    }
    # Of all at one moment, promtool alone may ask for what marks say before it knows it. Each is named: those that
    # are not have the place of the first.
    order = [group["name"] for group in _YAML.safe_load(rules)["groups"]]
    document = {
        "rule_files": ["rules.yml"], "evaluation_interval": every, "group_eval_order": order, "tests": [made],
    }  # fmt: skip
    (folder / "rules.yml").write_text(rules, encoding="utf-8")
    (folder / "tests.yml").write_text(as_yaml(document), encoding="utf-8")
    ran = subprocess.run(
        ["promtool", "test", "rules", "tests.yml"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=BOUND_S,
        check=False,
    )
    got = [said.partition("got:")[2] for said in re.split(r"^ +(?:alertname|expr): ", ran.stdout, flags=re.M)[1:]]
    assert len(wanted_alerts) + len(wanted_values) == len(got), ran.stdout
    return Run(
        {key: _alerts(said) for key, said in zip(wanted_alerts, got, strict=False)},
        {key: _values(said) for key, said in zip(wanted_values, got[len(wanted_alerts) :], strict=True)},
    )


def _alerts(said: str) -> list[Alert]:
    found: list[Alert] = []
    for line in said.splitlines():
        kind, _, told = line.strip().partition(":")
        if kind == "Labels":
            found.append(Alert(_pairs(told), {}))
        elif kind == "Annotations":
            found[-1].annotations.update(_pairs(told))
    return found


def _values(said: str) -> dict[tuple[tuple[str, str], ...], float]:
    told = re.findall(r"(\{(?:[^}\"]|\"(?:[^\"\\]|\\.)*\")*\}) ([-+.\w]+)", said)
    return {
        tuple(sorted((name, value) for name, value in _pairs(labels).items() if name != "__name__")): float(value)
        for labels, value in told
    }


def _pairs(told: str) -> dict[str, str]:
    return {name: ast.literal_eval(value) for name, value in re.findall(r'(\w+)=("(?:[^"\\]|\\.)*")', told)}
