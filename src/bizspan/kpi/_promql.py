"""
A KPI as PromQL over the metrics that bizspan emits, under the names that Prometheus' OTLP receiver and the Collector
give them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from bizspan import names
from bizspan.kpi._definition import (
    AverageOrderValue,
    Conversion,
    Count,
    Distinct,
    Quantile,
    Ratio,
    Recurring,
    Retention,
    Sum,
    records_of,
)
from bizspan.kpi._facts import Fact
from bizspan.kpi._kpi import KPI
from bizspan.kpi._records import Condition, Records
from bizspan.kpi._yaml import encodable
from bizspan.vocabulary import Attribute, Vocabulary, merged

_NOTHING: Final[Mapping[str, str]] = {}


def metric_name(name: str, suffix: str = "") -> str:
    """
    The name of a metric in Prometheus.

    Args:
        name: OpenTelemetry's.
        suffix: What the unit and the kind add: ``_total``. Units in braces add nothing.
    """
    plain = "_".join(part for part in re.split(r"[^A-Za-z0-9:]+", name) if part)
    return ("_" if plain[:1].isdigit() else "") + plain + suffix


def label_name(key: str) -> str:
    """The name of an attribute key in Prometheus."""
    label = re.sub(r"[^A-Za-z0-9_]", "_", key)
    return f"key{'_' if label[0].isdigit() else ''}{label}" if not label[0].isalpha() else label


DURATION: Final = metric_name(names.METRIC_DURATION, "_seconds")
SCORE: Final = metric_name(names.METRIC_FEEDBACK)
EVENTS: Final = metric_name(names.METRIC_EVENTS, "_total")
OFFERED: Final = metric_name(names.METRIC_OFFERED, "_total")
MONEY: Final = {kind: metric_name(f"business.{kind}", "_total") for kind in ("revenue", "refund", "cost")}

_OPERATION, _OUTCOME = label_name(names.OPERATION_NAME), label_name(names.OPERATION_OUTCOME)
_EVENT, _QUESTION = label_name(names.EVENT_NAME), label_name(names.FEEDBACK_NAME)
_TRAFFIC: Final = label_name(names.TRAFFIC)
_RESOURCES: Final = ("service", "version", "environment")


class NotExpressible(Exception):  # noqa: N818 - an answer, with its reason, rather than an error
    """
    A KPI that metrics can't tell.

    Args:
        reason: Why, and what can be done instead.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def quoted(text: str) -> str:
    """A text as PromQL writes it: in ASCII, with escapes as in Go."""
    written: list[str] = []
    for letter in encodable(text):
        if letter in '"\\':
            written.append(f"\\{letter}")
        elif letter in "$[":  # Grafana puts variables there
            written.append(f"\\x{ord(letter):02x}")
        elif letter.isascii() and letter.isprintable():
            written.append(letter)
        else:
            written.append(f"\\u{ord(letter):04x}" if ord(letter) < 0x10000 else f"\\U{ord(letter):08x}")
    return '"' + "".join(written) + '"'


def _literally(text: str) -> str:
    """A text as a regular expression of RE2; of U+FFFD, which Prometheus' own parser refuses, any letter."""
    return re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", text).replace("\ufffd", ".")


def matcher(label: str, values: Iterable[str], is_not: bool = False) -> str:
    """A matcher of series whose label has one of these values, or none of them."""
    texts = list(dict.fromkeys(map(encodable, values)))
    if len(texts) == 1 and "\ufffd" not in texts[0]:
        return f"{label}{'!=' if is_not else '='}{quoted(texts[0])}"
    return f"{label}{'!~' if is_not else '=~'}{quoted('|'.join(map(_literally, texts)))}"


def _texts(condition: Condition) -> list[str]:
    texts: list[str] = []
    for value in condition.values:
        # The Collector writes true, Python's own exporter True.
        texts += [str(value).lower(), str(value)] if isinstance(value, bool) else [str(value)]
    return texts


@dataclass(frozen=True, slots=True)
class Promql:
    """
    Writes expressions for one KPI.

    Args:
        kpi: Which one.
        gauges: How Prometheus calls gauges whose unit is not empty: ``{"stock.value": "stock_value_EUR"}``.
    """

    kpi: KPI
    gauges: Mapping[str, str] = field(default_factory=lambda: _NOTHING, hash=False)

    def value(self, window: str, by: tuple[str, ...] = ()) -> str:
        """
        Its value over the last time of this length, by currency where it is money.

        Args:
            window: As PromQL has it: ``1h``.
            by: Facts that it is broken down by.

        Raises:
            NotExpressible: When metrics can't tell it.
        """
        labels = self.labels(by)
        match self.kpi.of:
            case Count() | Sum() as part:
                return self._part(part, window, labels)
            case Ratio(of=of, to=to):
                return self._ratio(of, to, window, labels)
            case Quantile() as quantile:
                buckets = f"increase({self._buckets(quantile)}[{window}])"
                return f"histogram_quantile({quantile.q!r}, sum by ({_listed('le', *labels)}) ({buckets}))"
            case Recurring() as gauge:
                return self._gauge(gauge, labels)
            case Distinct():
                raise NotExpressible(f"metrics do not know each {self.kpi.of.subject}; it is counted from events.")
            case AverageOrderValue():
                raise NotExpressible(
                    "metrics do not know which records are one order; declare a ratio of a sum to a count."
                )
            case Conversion():
                raise NotExpressible(
                    f"metrics do not know which {self.kpi.of.subject} took which step; declare a ratio of two counts."
                )
            case Retention():
                raise NotExpressible("metrics do not know who came back; cohorts are counted from events.")

    def records(self, window: str, by: tuple[str, ...] = ()) -> str:
        """
        How many records are behind it, over the last time of this length; empty for a gauge.

        Of money it is how often a counter was seen to rise, by currency: that many sales at least.

        Args:
            window: As for `value`.
            by: As for `value`.

        Raises:
            NotExpressible: When metrics can't tell it.
        """
        labels = self.labels(by)
        match self.kpi.of:
            case (Count() as part) | Ratio(of=Count(), to=Count() as part):
                return self._part(part, window, labels)
            case (Sum() as part) | Ratio(of=Sum() as part):
                return self._sum(part, "changes", window, labels)
            case Quantile() as quantile:
                count = self._buckets(quantile).replace("_bucket{", "_count{", 1)
                return f"sum{_by(labels)} (increase({count}[{window}]))"
            case _:
                return ""

    # --- parts ------------------------------------------------------------------------------------------------------

    def _part(self, part: Count | Sum | Distinct, window: str, labels: tuple[str, ...]) -> str:
        if isinstance(part, Distinct):
            raise NotExpressible(f"metrics do not know each {part.subject}; it is counted from events.")
        if isinstance(part, Count):
            told = " or ".join(f"increase({each}[{window}])" for each in self._counters(part.of))
            return f"sum{_by(labels)} ({told})"
        return self._sum(part, "increase", window, labels)

    def _sum(self, part: Sum, function: str, window: str, labels: tuple[str, ...]) -> str:
        told = " or ".join(f"{function}({each}[{window}])" for each in self._money(part))
        currency = label_name(names.CURRENCY_KEYS[f"business.{part.money}"])
        named = f'label_replace({told}, "currency", "$1", "{currency}", "(.*)")'
        return f"sum{_by(('currency', *labels))} ({named})"

    def _ratio(self, of: Count | Sum | Distinct, to: Count | Sum | Distinct, window: str, by: tuple[str, ...]) -> str:
        upper, lower = self._part(of, window, by), self._part(to, window, by)
        if isinstance(of, Sum) and not isinstance(to, Sum):
            return f"{upper}\n  / on ({_listed(*by)}) group_left () ({lower} > 0)"
        # A counter that nobody told yet is not there: none of them is 0.
        return f"({upper} or 0 * {lower})\n  / ({lower} > 0)"

    def _counters(self, of: Records) -> list[str]:
        found: list[str] = []
        if of.operations:
            named = [matcher(_OPERATION, of.operations)]
            found.append(self._selector(f"{DURATION}_count", of, named, {"operation": _OPERATION, "outcome": _OUTCOME}))
        if of.events:
            found.append(self._selector(EVENTS, of, [matcher(_EVENT, of.events)], {}))
        if of.questions:
            named = [matcher(_QUESTION, of.questions)]
            found.append(self._selector(f"{SCORE}_count", of, named, {"question": _QUESTION}))
        return found

    def _money(self, part: Sum) -> list[str]:
        if part.money not in MONEY:
            raise NotExpressible(f"{part.money} is not on metrics, only on spans and events.")
        if part.rates is not None:
            raise NotExpressible("metrics are shown by currency, never converted; leave rates out for an alert.")
        if part.dated == "order":
            raise NotExpressible("metrics do not know when the order was sold; dated='record' is there.")
        if part.of.questions:
            raise NotExpressible("feedback has no money.")
        metric = MONEY[part.money]
        sources: list[tuple[list[str], Records]] = []
        if part.of.is_everything:
            sources.append(([], part.of))
        if part.of.operations:
            sources.append(([matcher(_OPERATION, part.of.operations)], part.of))
        if part.of.events:
            sources.append(([matcher(_EVENT, part.of.events)], part.of))
        return [self._selector(metric, of, named, {"operation": _OPERATION}) for named, of in sources]

    def _buckets(self, quantile: Quantile) -> str:
        of = quantile.of
        if quantile.value == "duration" and not of.events and not of.questions:
            named = [matcher(_OPERATION, of.operations)] if of.operations else []
            return self._selector(f"{DURATION}_bucket", of, named, {"operation": _OPERATION, "outcome": _OUTCOME})
        if quantile.value == "score" and not of.events and not of.operations:
            named = [matcher(_QUESTION, of.questions)] if of.questions else []
            return self._selector(f"{SCORE}_bucket", of, named, {"question": _QUESTION})
        raise NotExpressible(
            f"metrics have no values of {quantile.value!r} there, only durations of operations and scores of feedback."
        )

    def _gauge(self, gauge: Recurring, labels: tuple[str, ...]) -> str:
        metric = self.gauges.get(gauge.gauge) or metric_name(gauge.gauge)
        currency = label_name(names.CURRENCY_KEYS[names.VALUE])
        # By every dimension there is, and by nothing else: whatever tells processes apart must not be added up.
        dimensions = sorted(label_name(each.key) for each in self._known().values() if each.dimension)
        apart = ("job",) if gauge.across == "services" else ()
        latest = f"max by ({_listed(*apart, *dimensions, currency)}) ({metric})"
        return f'sum{_by(("currency", *labels))} (label_replace({latest}, "currency", "$1", "{currency}", "(.*)"))'

    def _known(self) -> Mapping[str, Attribute]:
        told = self.kpi.vocabulary
        return merged((told,) if isinstance(told, Vocabulary) else told)

    # --- labels -----------------------------------------------------------------------------------------------------

    def labels(self, by: tuple[str, ...]) -> tuple[str, ...]:
        """
        The labels of these facts.

        Raises:
            NotExpressible: When one of them is no dimension.
        """
        return tuple(self._label(self.kpi.facts.get(name), name) for name in by)

    def _selector(self, metric: str, of: Records, named: list[str], own: Mapping[str, str]) -> str:
        told = [*named]
        for condition in of.where:
            label = own.get(condition.fact) or self._label(self.kpi.facts.get(condition.fact), condition.fact)
            told.append(matcher(label, _texts(condition), condition.is_not))
        if not of.asks("traffic"):
            told.append(f'{_TRAFFIC}=~"|customer"')
        return f"{metric}{{{', '.join(told)}}}"

    def _label(self, fact: Fact | None, name: str) -> str:
        known = self._known()
        key = fact.key if fact is not None else known[name].key if name in known else name
        if any(each.dimension and each.key == key for each in known.values()):
            return label_name(key)
        if name in _RESOURCES:
            raise NotExpressible(f"the fact {name!r} is the process', which Prometheus keeps apart, in target_info.")
        raise NotExpressible(f"the fact {name!r} is not on these metrics; only a declared dimension is.")


def _by(labels: tuple[str, ...]) -> str:
    return f" by ({_listed(*labels)})" if labels else ""


def _listed(*labels: str) -> str:
    return ", ".join(dict.fromkeys(labels))


def operations_of(kpi: KPI) -> tuple[str, ...]:
    """The operations that a KPI names, in its order."""
    return tuple(dict.fromkeys(name for records in records_of(kpi.of) for name in records.operations))


def why_not(kpi: KPI) -> str:
    """Why metrics can't tell a KPI; empty where they can."""
    try:
        Promql(kpi).value("1h")
    except NotExpressible as error:
        return error.reason
    return ""
