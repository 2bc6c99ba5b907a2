"""
KPIs as rules of Prometheus: their values recorded, and alerts on targets, drops and missing data.

What metrics say is an estimate beside the events: `increase` extrapolates, and a counter's first value is not counted.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from bizspan.errors import SetupError
from bizspan.kpi import _prometheus_marks
from bizspan.kpi._definition import Count, Quantile, Ratio, Recurring, is_additive
from bizspan.kpi._design import Placed
from bizspan.kpi._kpi import KPI
from bizspan.kpi._prometheus_marks import Gate
from bizspan.kpi._promql import OFFERED, NotExpressible, Promql
from bizspan.kpi._usual import IN_THE_TAIL, NEEDED_WEEKS, RATE_CHANGE, VOLUME_CHANGE, WEEKS, is_volume, least_expected
from bizspan.kpi._yaml import Block, Node, written

WINDOWS: Final[Mapping[str, str]] = {"hour": "1h", "day": "1d", "week": "1w", "month": "30d"}
_SPOKEN: Final = {"1h": "hour", "1d": "24 hours", "1w": "7 days", "30d": "30 days"}
_WEEKS: Final = tuple(f"{back}w" for back in range(1, WEEKS + 1))
_EXPECTED_AT_LEAST: Final = 5  # by Poisson, none at all comes by chance in fewer than 1 of 100 such hours
_FOR_DROP, _FOR_TARGET, _FOR_NO_DATA = "5m", "15m", "15m"
_VALUE, _RECORDS, _TARGET = "bizspan:kpi_value", "bizspan:kpi_records", "bizspan:kpi_target"
_MEDIAN, _EXPECTED = "bizspan:kpi_median:4w", "bizspan:kpi_expected:4w"


@dataclass(frozen=True, slots=True)
class RuleOptions:
    """
    How alerts are set.

    Args:
        volume_change: From which part on a drop of a count or a sum is said: 0.5 is half. Where down is good, a rise.
        rate_change: The same of everything else.
        severity: The alerts' label ``severity``.
        gauges: How Prometheus calls gauges whose unit is not empty: ``{"stock.value": "stock_value_EUR"}``.

    Raises:
        SetupError: When a change is not a part from 0.01 up to 1.
    """

    volume_change: float = VOLUME_CHANGE
    rate_change: float = RATE_CHANGE
    severity: str = "warning"
    gauges: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)

    def __post_init__(self) -> None:
        for name, change in (("volume_change", self.volume_change), ("rate_change", self.rate_change)):
            if not 0.01 <= change < 1:
                raise SetupError(f"{name} is a part of the usual, from 0.01 up to 1, such as 0.3; got {change!r}.")


@dataclass(frozen=True, slots=True)
class Rules:
    """
    The rules of several KPIs.

    Args:
        text: A file of rules for Prometheus, in YAML.
        skipped: By KPI, why it has none.
    """

    text: str
    skipped: Mapping[str, str]


_DEFAULTS: Final = RuleOptions()


def prometheus_rules(
    kpis: Iterable[KPI],
    options: RuleOptions = _DEFAULTS,
    marks: Iterable[Placed] = (),
    *,
    now_ns: int | None = None,
) -> Rules:
    """
    Recording and alert rules for each KPI that metrics can tell.

    Args:
        kpis: Which ones.
        options: How alerts are set.
        marks: Hours with one of these in them are left out of the usual, and no drop is said in them. Rules have those
            of the last four weeks and of the year that comes.
        now_ns: What is now.
    """
    told = _prometheus_marks.current(marks, time.time_ns() if now_ns is None else now_ns)
    groups: list[Node] = []
    skipped: dict[str, str] = {}
    for kpi in kpis:
        writer = _Writer(kpi, options, Gate(kpi, is_open=not told))
        try:
            groups += writer.groups()
        except NotExpressible as error:
            skipped[kpi.name] = error.reason
            continue
    if groups:
        groups = [*([_prometheus_marks.group(told, _WEEKS)] if told else []), *groups, _silence(options)]
    head = ["# Rules of KPIs, by `bizspan export prometheus`. Checked by: promtool check rules FILE"]
    head += [f"# Marks: {len(told)}. Export again after `bizspan mark`."] if told else []
    head += [f"# {name} has no rules: {reason}" for name, reason in skipped.items()]
    return Rules("\n".join(head) + "\n" + written({"groups": groups}), skipped)


def _silence(options: RuleOptions) -> Node:
    alert: Node = {
        "alert": "BizspanNoData",
        "expr": Block(f"absent({OFFERED})"),
        "for": _FOR_NO_DATA,
        "labels": {"severity": literal(options.severity)},
        "annotations": {
            "summary": "No process reports business metrics",
            "description": "No series of bizspan has arrived: look at the collector, and at `bizspan doctor`.",
        },
    }
    return {"name": "bizspan", "rules": [alert]}


def literal(text: str) -> str:
    """A text that Prometheus' templates leave as it is."""
    return text.replace("{", '{{ "{" }}')


class _Writer:
    """Writes the groups of one KPI."""

    def __init__(self, kpi: KPI, options: RuleOptions, gate: Gate) -> None:
        self.kpi = kpi
        self.options = options
        self.gate = gate
        self.promql = Promql(kpi, options.gauges)
        self.is_gauge = isinstance(kpi.of, Recurring)
        self.window = "now" if self.is_gauge else WINDOWS[kpi.per or "day"]
        self.here = f'{{kpi="{kpi.name}"}}'
        self.current = f"{_VALUE}:{'now' if self.is_gauge else '1h'}"

    def groups(self) -> list[Node]:
        kpi = self.kpi
        hour: list[Node] = [self.record(self.current, self.promql.value("1h"))]
        records = self.promql.records("1h")
        if records:
            hour.append(self.record(f"{_RECORDS}:1h", records))
        hour.append(self.record(_MEDIAN, self.median(f"{self.current}{self.here}")))
        if records:
            hour.append(self.record(_EXPECTED, self.median(f"{_RECORDS}:1h{self.here}")))
        hour += [*self.drop(records), *self.no_data()]
        groups: list[Node] = [{"name": f"bizspan-kpi-{kpi.name}", "interval": "1m", "rules": hour}]
        if kpi.targets and self.window in ("1h", "now"):
            hour += self.target()
        elif kpi.targets:
            # Below the five minutes that Prometheus looks back for a value.
            groups.append({"name": f"bizspan-kpi-{kpi.name}-target", "interval": "2m", "rules": self.target()})
        return groups

    def median(self, series: str) -> str:
        """Of this hour in four weeks, from three of them on."""
        told = "\n  or ".join(f'label_replace({series} offset {week}, "week", "{week}", "", "")' for week in _WEEKS)
        weeks = self.gate.weeks(told)
        usual = f"quantile by (kpi, currency) (0.5,\n  {weeks}\n)"
        return f"{usual}\nand count by (kpi, currency) (\n  {weeks}\n) >= {NEEDED_WEEKS}"

    def record(self, name: str, expression: str, **labels: str) -> Node:
        return {"record": name, "expr": Block(expression), "labels": {"kpi": self.kpi.name, **labels}}

    def alert(self, name: str, expression: str, wait: str, summary: str, description: str) -> Node:
        kpi = self.kpi
        annotations = {
            "summary": f"{literal(kpi.name)}{_CURRENCY}: {summary}",
            "description": description,
            "meaning": literal(kpi.meaning),
        }
        if kpi.playbook:
            annotations["runbook_url"] = literal(kpi.playbook)
        return {
            "alert": name,
            "expr": Block(expression),
            "for": wait,
            "labels": {"kpi": kpi.name, "owner": literal(kpi.owner), "severity": literal(self.options.severity)},
            "annotations": annotations,
        }

    def shown(self, value: str = "$value") -> str:
        """A value in a template."""
        return f"{{{{ {value} | humanizePercentage }}}}" if self.kpi.is_rate else f'{{{{ {value} | printf "%.6g" }}}}'

    # --- target missed ----------------------------------------------------------------------------------------------

    def target(self) -> list[Node]:
        kpi, window = self.kpi, self.window
        rules: list[Node] = []
        value, records = f"{_VALUE}:{window}", f"{_RECORDS}:{window}"
        if window not in ("1h", "now"):
            rules.append(self.record(value, self.promql.value(window)))
        enough = ""
        if is_additive(kpi.of):
            # Younger than its period, it would miss every target.
            enough = f"\nand on (kpi, currency) {_VALUE}:1h{self.here} offset {window}"
        elif not self.is_gauge and self.promql.records(window):
            if window != "1h":
                rules.append(self.record(records, self.promql.records(window)))
            enough = f"\nand on (kpi, currency) {records}{self.here} >= {kpi.minimum_group}"
        for currency, target in kpi.targets.items():
            labels = {"currency": currency} if currency else {}
            rules.append(self.record(f"{_TARGET}:{window}", f"vector({_number(target)})", **labels))
        worse = "<" if kpi.direction == "up" else ">"
        expression = f"{value}{self.here}\n  {worse} on (kpi, currency) {_TARGET}:{window}{self.here}{enough}"
        bound = "at least" if kpi.direction == "up" else "at most"
        targets = ", ".join(f"{_number(target)} {currency}".strip() for currency, target in kpi.targets.items())
        when = "now" if self.is_gauge else f"in the last {_SPOKEN[window]}"
        description = f"{self.shown()}{_CURRENCY} {when}; the target is {bound} {targets}."
        rules.append(self.alert("KpiTargetMissed", expression, _FOR_TARGET, "target missed", description))
        return rules

    # --- drop -------------------------------------------------------------------------------------------------------

    def drop(self, records: str) -> list[Node]:
        kpi = self.kpi
        change = self.options.volume_change if is_volume(kpi) else self.options.rate_change
        enough = self.enough(change, records)
        value, median = f"{self.current}{self.here}", f"{_MEDIAN}{self.here}"
        if kpi.direction == "up":
            name, summary = "KpiDropped", "below the usual"
            expression = f"{value}\n  < {_float(1 - change)} * {median}{enough}{self.gate.now()}"
        else:
            name, summary = "KpiRisen", "above the usual"
            expression = f"{value}\n  > {_float(1 + change)} * {median}{enough}{self.gate.now()}"
        when = "now" if self.is_gauge else "in the last hour"
        query = f'printf `{_MEDIAN}{{kpi="{kpi.name}", currency=%q}}` $labels.currency | query'
        usual = f"{{{{ with {query} }}}}{self.shown('. | first | value')}{{{{ end }}}}"
        description = f"{self.shown()}{_CURRENCY} {when}; the median of this hour in four weeks is {usual}."
        return [self.alert(name, expression, _FOR_DROP, summary, description)]

    def enough(self, change: float, records: str) -> str:
        """The condition that as much is expected as makes such a change no accident."""
        if not records:
            return ""  # of a gauge: a system of record counts, and does not sample
        least = least_expected(change)
        now, median = f"{_RECORDS}:1h{self.here}", f"{_MEDIAN}{self.here}"
        match self.kpi.of:
            case Ratio(of=Count(), to=Count()):
                chance = f" * (1 - {median})" if self.kpi.is_rate else ""
                return f"\nand {median} * on (kpi) group_left () {now}\n  >= {least}{chance}"
            case Quantile(q=q):
                return f"\nand on (kpi) {_float(min(q, 1 - q))} * {now} >= {IN_THE_TAIL}"
            case _:
                return f"\nand on (kpi, currency) {_EXPECTED}{self.here} >= {least}"

    # --- no data ----------------------------------------------------------------------------------------------------

    def no_data(self) -> list[Node]:
        value = f"{self.current}{self.here}"
        if self.is_gauge:
            expression = f"absent({value})"
            description = "The gauge has no value: nobody pulls it, or it fails."
        else:
            usual = f"({_EXPECTED}{self.here} or {_RECORDS}:1h{self.here} offset 1d)"
            expression = f"{usual} >= {_EXPECTED_AT_LEAST}\nunless on (kpi, currency) {value}"
            description = 'Nothing has arrived where {{ $value | printf "%.0f" }} records an hour are usual.'
        return [self.alert("KpiNoData", expression, _FOR_NO_DATA, "no data", description)]


_CURRENCY: Final = "{{ with $labels.currency }} {{ . }}{{ end }}"


def _number(value: Decimal) -> str:
    return f"{value.normalize():f}"


def _float(value: float) -> str:
    return f"{round(value, 9):g}"
