"""
What there is, in the business's words: facts, metrics, events, operations, features and KPIs, with owner and meaning.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from bizspan import names
from bizspan.kpi._definition import Recurring, records_of, subjects_of
from bizspan.kpi._described import Described, Descriptions
from bizspan.kpi._grafana_sql import named_sql
from bizspan.kpi._kpi import KPI
from bizspan.kpi._promql import NotExpressible, Promql
from bizspan.kpi._words import in_words
from bizspan.vocabulary import STANDARD, Attribute, Vocabulary

Where = Mapping[str, tuple[str, ...]]
_NOWHERE: Final[Where] = {}


@dataclass(frozen=True, slots=True)
class Declared:
    """
    What an application's configuration file declares beside facts and KPIs.

    Args:
        operations: By name, where they are: routes, functions, tasks.
        features: By name, where they are.
        metrics: Metrics of other libraries, by name, with the dimensions that they get.
        described: What operations, features and events mean, and who answers for them.
    """

    operations: Where = field(default_factory=lambda: _NOWHERE)
    features: Where = field(default_factory=lambda: _NOWHERE)
    metrics: Where = field(default_factory=lambda: _NOWHERE)
    described: Descriptions = field(default_factory=dict[str, Mapping[str, Described]])

    def of(self, section: str) -> Mapping[str, Described]:
        """What is said of those of a section, by name."""
        return self.described.get(section, {})


@dataclass(frozen=True, slots=True)
class Reference:
    """A mention of another entry: its section and its name."""

    section: str
    name: str


@dataclass(frozen=True, slots=True)
class Entry:
    """
    One thing.

    Args:
        name: What it is called.
        owner: Who answers for it; empty where nobody is declared.
        meaning: One line.
        rows: What else is known: a label, and texts or references.
        link: A page about it.
        code: Texts for machines: a label, and the text.
    """

    name: str
    owner: str = ""
    meaning: str = ""
    rows: tuple[tuple[str, tuple[str | Reference, ...]], ...] = ()
    link: str = ""
    code: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """
    Entries of one kind, in the order of their names.

    Args:
        key: Of links.
        title: For people.
        about: A sentence.
        entries: The entries.
    """

    key: str
    title: str
    about: str
    entries: tuple[Entry, ...]


_EVENTS: Final[Mapping[str, str]] = {
    names.EVENT_OPERATION: "A run of an operation has ended.",
    names.EVENT_REVENUE: "Revenue of an operation in a further currency.",
    names.EVENT_REFUND: "Money went back.",
    names.EVENT_COST: "Something has cost money.",
    names.EVENT_FEEDBACK: "A customer has answered a question.",
}
_METRICS: Final = (
    (names.METRIC_DURATION, "histogram", names.UNIT_SECONDS, "How long operations take; its count is how many ran."),
    (names.REVENUE, "counter", names.UNIT_CURRENCY, "Revenue of operations that succeeded, and of events."),
    (names.REFUND, "counter", names.UNIT_CURRENCY, "Money that went back."),
    (names.COST, "counter", names.UNIT_CURRENCY, "What operations and events have cost."),
    (names.METRIC_EVENTS, "counter", names.UNIT_EVENT, "How many events were told, by name."),
    (names.METRIC_FEEDBACK, "histogram", names.UNIT_SCORE, "What customers answered."),
)


def catalogue(
    kpis: Iterable[KPI], vocabularies: Iterable[Vocabulary] = (), declared: Declared | None = None
) -> tuple[Section, ...]:
    """
    The sections of a catalogue.

    Args:
        kpis: The KPIs.
        vocabularies: The user's; the standard facts are in it anyway.
        declared: What else the configuration file declares.
    """
    known = tuple(kpis)
    declared = declared or Declared()
    uses = _uses(known)
    sections = (
        ("kpis", "KPIs", "Numbers that people steer by.", _kpis(known)),
        (
            "operations",
            "Operations",
            "What the business does.",
            _named(uses, "operations", declared.operations, declared),
        ),
        ("features", "Features", "What customers use.", _named(uses, "features", declared.features, declared)),
        ("events", "Events", "What happened.", _events(uses, declared.of("events"))),
        ("facts", "Facts", "What may be said about all of them.", _facts(uses, vocabularies)),
        ("metrics", "Metrics", "The fast view; figures are counted from events.", _metrics(uses, declared.metrics)),
    )
    return tuple(
        Section(key, title, about, tuple(sorted(entries, key=lambda each: each.name)))
        for key, title, about, entries in sections
    )


# --- who uses what ----------------------------------------------------------------------------------------------------

_Uses = Mapping[str, Mapping[str, tuple[Reference, ...]]]


def _uses(kpis: tuple[KPI, ...]) -> _Uses:
    """By section and name, the KPIs that read it."""
    found: dict[str, dict[str, list[str]]] = {
        key: {} for key in ("operations", "features", "events", "facts", "metrics")
    }
    for kpi in kpis:
        for section, name in _read_by(kpi):
            readers = found[section].setdefault(name, [])
            if kpi.name not in readers:
                readers.append(kpi.name)
    return {
        section: {name: tuple(Reference("kpis", each) for each in sorted(readers)) for name, readers in told.items()}
        for section, told in found.items()
    }


def _read_by(kpi: KPI) -> Iterable[tuple[str, str]]:
    for fact in (*kpi.by, *subjects_of(kpi.of)):
        yield "facts", kpi.facts[fact].name if fact in kpi.facts else fact
    for records in records_of(kpi.of):
        yield from (("operations", name) for name in records.operations)
        yield from (("events", name) for name in records.events)
        if records.questions:
            yield "events", names.EVENT_FEEDBACK
        for condition in records.where:
            yield "facts", condition.fact
            if condition.fact == "feature":
                yield from (("features", str(value)) for value in condition.values)
    if isinstance(kpi.of, Recurring):
        yield "metrics", kpi.of.gauge


# --- entries ----------------------------------------------------------------------------------------------------------


def _kpis(kpis: tuple[KPI, ...]) -> Iterable[Entry]:
    for kpi in kpis:
        target = ", ".join(f"{amount:f} {currency}".rstrip() for currency, amount in kpi.targets.items())
        period = f" per {kpi.per}" if kpi.per else ""
        operations = dict.fromkeys(name for records in records_of(kpi.of) for name in records.operations)
        events = dict.fromkeys(name for records in records_of(kpi.of) for name in records.events)
        rows: list[tuple[str, tuple[str | Reference, ...]]] = [
            ("kind", (kpi.kind.replace("_", " "),)),
            ("good is", (kpi.direction,)),
            ("target", (f"{target}{period}",) if target else ()),
            ("unit", (kpi.shown_unit,) if kpi.shown_unit else ()),
            ("measures", (in_words(kpi.of),)),
            ("operations", tuple(Reference("operations", name) for name in operations)),
            ("events", tuple(Reference("events", name) for name in events)),
            ("by", tuple(Reference("facts", name) for name in kpi.by)),
            ("smallest group shown", (str(kpi.minimum_group),)),
        ]
        code = [(f"SQL for ClickHouse: {what}", text) for what, text in named_sql(kpi)]
        try:
            code.append(("PromQL, of an hour", Promql(kpi).value("1h")))
        except NotExpressible as error:
            rows.append(("not in Prometheus", (error.reason,)))
        told = tuple((label, values) for label, values in rows if values)
        yield Entry(kpi.name, kpi.owner, kpi.meaning, told, kpi.playbook, tuple(code))


def _named(uses: _Uses, section: str, places: Where, declared: Declared) -> Iterable[Entry]:
    described = declared.of(section)
    for name in {**places, **uses[section], **described}:
        said = described.get(name, Described())
        rows = _told(("declared at", places.get(name, ())), ("read by", uses[section].get(name, ())))
        yield Entry(name, said.owner, said.meaning, rows)


def _events(uses: _Uses, described: Mapping[str, Described]) -> Iterable[Entry]:
    known = {**{name: Described("bizspan", meaning) for name, meaning in _EVENTS.items()}, **described}
    for name in {**known, **uses["events"]}:
        said = known.get(name, Described())
        yield Entry(name, said.owner, said.meaning, _told(("read by", uses["events"].get(name, ()))))


def _facts(uses: _Uses, vocabularies: Iterable[Vocabulary]) -> Iterable[Entry]:
    for vocabulary in (STANDARD, *vocabularies):
        for fact in vocabulary:
            readers = {*uses["facts"].get(fact.name, ()), *uses["facts"].get(fact.key, ())}
            travels = fact.propagate or any(fact.name in each.propagate for each in vocabularies)
            yield Entry(fact.name, fact.owner, fact.meaning, _of_fact(fact, vocabulary, travels, _in_order(readers)))


def _in_order(references: Iterable[Reference]) -> tuple[Reference, ...]:
    return tuple(sorted(references, key=lambda each: each.name))


def _of_fact(
    fact: Attribute, vocabulary: Vocabulary, travels: bool, readers: tuple[Reference, ...]
) -> tuple[tuple[str, tuple[str | Reference, ...]], ...]:
    allowed = () if fact.allowed is None else tuple(sorted(map(str, cast("Iterable[Any]", fact.allowed))))
    return _told(
        ("attribute", (fact.key,)),
        ("vocabulary", (f"{vocabulary.prefix}, version {vocabulary.version}",)),
        ("type", (fact.type.__name__ if fact.format == "text" else f"{fact.type.__name__}, {fact.format}",)),
        ("allowed", allowed),
        ("on metrics", (f"yes, {fact.budget} values in one process",) if fact.dimension else ()),
        ("personal", ("yes, kept as a keyed hash",) if fact.personal else ()),
        ("travels to other services", ("yes",) if travels else ()),
        ("read by", readers),
    )


def _metrics(uses: _Uses, others: Where) -> Iterable[Entry]:
    for name, kind, unit, meaning in _METRICS:
        yield Entry(name, "bizspan", meaning, _told(("kind", (kind,)), ("unit", (unit,))))
    for name, readers in uses["metrics"].items():
        yield Entry(name, rows=_told(("kind", ("gauge",)), ("read by", readers)))
    for name, dimensions in others.items():
        yield Entry(name, rows=_told(("of another library, with", dimensions or ("every dimension",))))


def _told(
    *rows: tuple[str, tuple[str, ...] | tuple[Reference, ...]],
) -> tuple[tuple[str, tuple[str | Reference, ...]], ...]:
    return tuple((label, values) for label, values in rows if values)
