"""
What each kind of KPI compiles to, and the reason where it does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from bizspan.kpi._definition import KINDS, Definition, Recurring
from bizspan.kpi._kpi import KPI
from bizspan.kpi._promql import why_not

Target = Literal["sqlite", "clickhouse", "prometheus"]

TARGETS: Final[tuple[Target, ...]] = ("sqlite", "clickhouse", "prometheus")
_SUBJECTS: Final = "metrics do not know who acted: subjects are never dimensions"
# By kind: why Prometheus can't have it.
_NOT_IN_PROMETHEUS: Final[Mapping[str, str]] = {
    "conversion": _SUBJECTS,
    "average_order_value": "metrics do not know orders; use the ratio of a sum and a count",
    "distinct": _SUBJECTS,
    "retention": _SUBJECTS,
}


def reason(kpi: KPI, target: Target) -> str:
    """
    Why a KPI can't be had from a target; empty where it can.

    Args:
        kpi: Which one.
        target: ``sqlite``, ``clickhouse`` or ``prometheus``.
    """
    return why_not(kpi) if target == "prometheus" else ""


def matrix() -> list[tuple[str, tuple[str, ...]]]:
    """By kind, what each of `TARGETS` gives: ``exact``, ``estimate``, or ``no: `` and the reason."""
    return [(kind.kind, tuple(_cell(kind, target) for target in TARGETS)) for kind in KINDS]


def _cell(kind: type[Definition], target: Target) -> str:
    if target == "prometheus":
        why = _NOT_IN_PROMETHEUS.get(kind.kind, "")
        return f"no: {why}" if why else "estimate"
    return "latest value" if kind is Recurring else "exact"
