"""
Alert rules as the configuration file has them: ``[tool.bizspan.alert.NAME]``.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from bizspan.errors import SetupError
from bizspan.vocabulary import Vocabulary

if TYPE_CHECKING:
    from bizspan.kpi import KPI, Records

Kind = Literal["target", "drop", "score", "stalled"]
Every = Literal["hour", "day", "week", "month"]

_COMMON: Final = ("kind", "every", "period")
# By kind: what it takes beside these.
KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "target": ("kpi",),
    "drop": ("kpi", "change"),
    "score": ("feedback", "below", "least"),
    "stalled": ("first", "then", "subject", "within", "names"),
}
_RECORDS: Final = ("operation", "event", "feedback", "where", "unless")
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}", re.ASCII)
_LEAST: Final = 5
_ANY_NS: Final = 1_700_000_000 * 10**9


@dataclass(frozen=True, slots=True)
class Rule:
    """
    When something is said.

    Args:
        name: Its name.
        kind: ``target`` of a KPI missed, ``drop`` of a KPI against the usual, ``score`` of a survey low, or
            ``stalled``: the one thing without the other.
        every: It is said once in this long at most.
        period: Of which time, as `Calendar.read` takes it.
        kpi: Of a target or a drop.
        change: Of a drop: from which part of the usual on.
        feedback: Of a score: the survey.
        below: Of a score: the mean that is too low.
        least: Of a score: fewer answers say nothing.
        first: Of what is stalled: what was done.
        then: What was not done since.
        subject: By whom, or for what.
        within_ns: How long it may take.
        names: Whether those that are stalled are named, ten at most; otherwise they are counted.
        vocabularies: Declare facts of yours that it names.
    """

    name: str
    kind: Kind
    every: Every = "day"
    period: str = "yesterday"
    kpi: KPI | None = None
    change: float = 0.0
    feedback: str = ""
    below: Decimal = Decimal(0)
    least: int = _LEAST
    first: Records | None = None
    then: Records | None = None
    subject: str = "customer"
    within_ns: int = 0
    names: bool = False
    vocabularies: tuple[Vocabulary, ...] = ()


class _Wrong(SetupError):  # noqa: N818 - named like what happened
    """What is wrong, and at which key of the rule."""

    def __init__(self, message: str, key: str) -> None:
        super().__init__(message)
        self.key = key


def load(path: Path | None, kpis: Mapping[str, KPI], vocabularies: tuple[Vocabulary, ...] = ()) -> tuple[Rule, ...]:
    """
    The rules of a file, in its order.

    Args:
        path: The file; None has none.
        kpis: Those that rules may name.
        vocabularies: Declare facts of yours that rules name.

    Raises:
        SetupError: A rule does not hold together; the text has the file, the line and the key.
    """
    if path is None:
        return ()
    from bizspan.kpi._file import Lines

    try:
        text = path.read_text(encoding="utf-8-sig")
        document: dict[str, Any] = tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise SetupError(f"{path}: it can't be read as TOML ({type(error).__name__}).") from None
    own: Any = document.get("tool", {}).get("bizspan")
    section: Any = own if own is not None else {} if path.name == "pyproject.toml" else document
    lines = Lines(text, () if own is None else ("tool", "bizspan"))
    tables: Any = section.get("alert", {})
    if not isinstance(tables, dict):
        raise SetupError(f"{path}:{lines.of('alert')}: alert: expected a table for each alert, [alert.NAME].")
    rules: list[Rule] = []
    for name, told in cast("dict[str, Any]", tables).items():
        try:
            rules.append(_rule(name, told, kpis, vocabularies))
        except SetupError as error:
            keys = (error.key,) if isinstance(error, _Wrong) else ()
            raise SetupError(f"{path}:{lines.of('alert', name, *keys)}: alert.{name}: {error}") from None
    return tuple(rules)


def _rule(name: str, told: Any, kpis: Mapping[str, KPI], vocabularies: tuple[Vocabulary, ...]) -> Rule:
    if not _NAME.fullmatch(name):
        raise SetupError("a name has small letters, digits and underscores: 'stalled_leads'.")
    table = _table(told, "it")
    kind = str(table.get("kind"))
    if kind not in KEYS:
        raise _Wrong(f"kind is one of {', '.join(KEYS)}, got {kind!r}.", "kind")
    _known(table, (*_COMMON, *KEYS[kind]))
    every, period = table.get("every", "day"), table.get("period")
    if every not in ("hour", "day", "week", "month"):
        raise _Wrong(f"every is hour, day, week or month, got {every!r}.", "every")
    if period is not None and not isinstance(period, str):
        raise _Wrong(f"period is a text such as 'yesterday' or '7d', got {period!r}.", "period")
    if period is not None:
        _check_period(period)
    if kind == "target":
        return _target(Rule(name, "target", every), period, table, kpis)
    if kind == "drop":
        return _drop(Rule(name, "drop", every), period, table, kpis)
    if kind == "score":
        return _score(Rule(name, "score", every), period, table)
    return _stalled(Rule(name, "stalled", every, vocabularies=vocabularies), period, table)


def _check_period(period: str) -> None:
    from bizspan.kpi import Calendar

    try:
        Calendar().read(period, _ANY_NS)
    except SetupError as error:
        raise _Wrong(str(error), "period") from None


def _target(rule: Rule, period: str | None, table: Mapping[str, Any], kpis: Mapping[str, KPI]) -> Rule:
    kpi = _kpi(table, kpis)
    if not kpi.targets:
        raise _Wrong(f"the KPI {kpi.name!r} has no target.", "kpi")
    usual = {"day": "yesterday", "": "yesterday"}.get(kpi.per, f"last-{kpi.per}")
    return replace(rule, period=period or usual, kpi=kpi)


def _drop(rule: Rule, period: str | None, table: Mapping[str, Any], kpis: Mapping[str, KPI]) -> Rule:
    from bizspan.kpi._usual import RATE_CHANGE, VOLUME_CHANGE, is_volume

    kpi = _kpi(table, kpis)
    if kpi.kind == "retention":
        raise _Wrong("a retention has a value for each cohort, and no usual one.", "kpi")
    change = table.get("change", VOLUME_CHANGE if is_volume(kpi) else RATE_CHANGE)
    if isinstance(change, bool) or not isinstance(change, int | float) or not 0.01 <= change < 1:
        raise _Wrong(f"change is a part of the usual, from 0.01 up to 1, such as 0.3; got {change!r}.", "change")
    return replace(rule, period=period or "last-hour", kpi=kpi, change=float(change))


def _kpi(table: Mapping[str, Any], kpis: Mapping[str, KPI]) -> KPI:
    named = _required(table, "kpi")
    kpi = kpis.get(named) if isinstance(named, str) else None
    if kpi is None:
        raise _Wrong(f"there is no KPI {named!r}; declared are {', '.join(kpis) or 'none'}.", "kpi")
    return kpi


def _score(rule: Rule, period: str | None, table: Mapping[str, Any]) -> Rule:
    survey, least = _required(table, "feedback"), table.get("least", _LEAST)
    if not isinstance(survey, str) or not survey.strip():
        raise _Wrong(f"feedback is the name of a survey, got {survey!r}.", "feedback")
    if isinstance(least, bool) or not isinstance(least, int) or least < 1:
        raise _Wrong(f"least is a whole number from 1, got {least!r}.", "least")
    try:
        below = Decimal(str(_required(table, "below")))
    except InvalidOperation:
        below = Decimal("NaN")
    if not below.is_finite():
        raise _Wrong(f"below is a number, got {table['below']!r}.", "below")
    return Rule(rule.name, rule.kind, rule.every, period or "7d", feedback=survey, below=below, least=least)


def _stalled(rule: Rule, period: str | None, table: Mapping[str, Any]) -> Rule:
    from bizspan.kpi._facts import FactTable
    from bizspan.kpi._spans import span_ns

    subject, names = table.get("subject", "customer"), table.get("names", False)
    if not isinstance(subject, str) or not isinstance(names, bool):
        wrong = "names" if isinstance(subject, str) else "subject"
        raise _Wrong("subject is a fact's name, and names is true or false.", wrong)
    records = [_records(key, _required(table, key)) for key in ("first", "then")]
    known = FactTable(rule.vocabularies)
    for fact in (subject, *(each.fact for of in records for each in of.where)):
        known[fact]
    try:
        within_ns = span_ns("within", _required(table, "within"))
    except SetupError as error:
        raise _Wrong(str(error), "within") from None
    return Rule(
        rule.name, rule.kind, rule.every, period or "30d", first=records[0], then=records[1], subject=subject,
        within_ns=within_ns, names=names, vocabularies=rule.vocabularies,
    )  # fmt: skip


def _records(key: str, told: Any) -> Records:
    from bizspan.kpi._records import Records, conditions

    table = _table(told, key)
    _known(table, _RECORDS, key)

    def texts(name: str) -> tuple[str, ...]:
        given: Any = table.get(name, [])
        several: Any = given
        listed: tuple[Any, ...] = tuple(several) if isinstance(given, list) else (given,)
        if not all(isinstance(each, str) for each in listed):
            raise _Wrong(f"{key}.{name} is a text, or a list of texts.", key)
        return listed

    where, unless = (_table(table.get(name, {}), f"{key}.{name}") for name in ("where", "unless"))
    found = Records(texts("operation"), texts("event"), texts("feedback"), conditions(where, unless))
    if found.is_everything:
        raise _Wrong(f"{key} names an operation, an event or a feedback: {{event = 'lead.created'}}.", key)
    return found


def _table(told: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(told, dict):
        raise _Wrong(f"{what} is a table, got {told!r}.", what.partition(".")[0])
    return cast("dict[str, Any]", told)


def _known(table: Mapping[str, Any], keys: tuple[str, ...], around: str = "") -> None:
    for key in table:
        if key not in keys:
            near = get_close_matches(key, keys, n=1)
            question = f"; did you mean {near[0]!r}?" if near else ""
            raise _Wrong(f"{key!r} is none of {', '.join(keys)}{question}", around or key)


def _required(table: Mapping[str, Any], key: str) -> Any:
    if key not in table:
        raise SetupError(f"{key} is missing.")
    return table[key]
