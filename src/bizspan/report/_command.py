"""
``bizspan report``. Exit codes: 0 it went well, 1 a KPI is below what was asked or can't be evaluated, or an alert was
said, 2 wrong arguments, 3 the webhook did not take it, 4 an alert's rule can't be judged.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bizspan.errors import SetupError
from bizspan.report._alerts import Alert, Unjudged, alerts
from bizspan.report._build import Request, build
from bizspan.report._data import as_csv, as_json
from bizspan.report._html import as_html
from bizspan.report._model import Report, Row
from bizspan.report._rules import Rule
from bizspan.report._tables import change_text, page_of
from bizspan.report._text import as_markdown, as_text
from bizspan.report._usual import Situation
from bizspan.report._webhook import UnreachedError, Webhook, WebhookError, message

if TYPE_CHECKING:
    from bizspan.kpi import KPI

WELL, NOT_WELL, USAGE, NOT_POSTED, NOT_JUDGED = 0, 1, 2, 3, 4
_BELOW: Final = re.compile(r"([a-z][a-z0-9_]*)(?:=(?:([A-Z]{3}):)?(-?[0-9.]+)(%?))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Below:
    """
    One ``--fail-below``.

    Args:
        kpi: Its name.
        target: What it must reach; None for its own target.
        currency: Of money; empty for all that there are.
    """

    kpi: str
    target: Decimal | None = None
    currency: str = ""


@dataclass(frozen=True, slots=True)
class Output:
    """
    Where it goes.

    Args:
        show: Prints.
        complain: Prints a sentence for people, beside the report.
        format: ``text``, ``md``, ``html``, ``json`` or ``csv``.
        colour: With the terminal's colours.
        encoding: Of the stream.
        webhook: Also there.
        width: Of the terminal; 0 where it is none.
    """

    show: Callable[[str], None]
    complain: Callable[[str], None]
    format: str = "text"
    colour: bool = False
    encoding: str = "utf-8"
    webhook: Webhook | None = None
    width: int = 0


def below_of(text: str) -> Below:
    """
    From text as ``revenue``, ``success_rate=0.9``, ``success_rate=90%`` or ``revenue=EUR:1000``.

    Raises:
        ValueError: It is none.
    """
    found = _BELOW.fullmatch(text.strip())
    if found is None:
        raise ValueError(text)
    if found[3] is None:
        return Below(found[1])
    try:
        target = Decimal(found[3])
    except InvalidOperation:
        raise ValueError(text) from None
    return Below(found[1], target / 100 if found[4] else target, found[2] or "")


def report(request: Request, below: Sequence[Below], output: Output) -> int:
    """
    Print a report, post it where asked, and say which KPIs are below what was asked.

    Args:
        request: What is reported.
        below: Which KPIs must reach what.
        output: Where it goes.

    Raises:
        SetupError: The source can't answer, or no KPI has such a name.
    """
    from bizspan.kpi._command import place_of

    if request.kpis:
        _check_names(below, request.kpis)
    built = replace(build(request), source=place_of(request.source))
    _check_names(below, {row.kpi: row for row in built.rows})
    write = {"md": as_markdown, "html": as_html, "json": as_json, "csv": as_csv}.get(output.format)
    if write:
        shown = write(built)
    else:
        shown = as_text(built, colour=output.colour, encoding=output.encoding, width=output.width)
    output.show(shown)
    failed = [f"{row.kpi} can't be evaluated: {row.error}" for row in built.rows if row.error]
    failed += (sentence for each in below for sentence in _failed(each, built.rows))
    for sentence in failed:
        output.complain(sentence)
    if output.webhook is not None:
        try:
            output.webhook.post(_message(built, failed))
        except WebhookError as error:
            output.complain(str(error))
            return NOT_POSTED
    return NOT_WELL if failed else WELL


def _check_names(below: Sequence[Below], known: Mapping[str, object]) -> None:
    for each in below:
        if each.kpi not in known:
            raise SetupError(f"--fail-below: there is no KPI {each.kpi!r}; there are {', '.join(known) or 'none'}.")


def _failed(below: Below, rows: Sequence[Row]) -> list[str]:
    mine = [row for row in rows if row.kpi == below.kpi and below.currency in ("", row.currency)]
    if any(row.error for row in rows if row.kpi == below.kpi):
        return []  # it is said anyhow
    if not mine:
        return [f"{below.kpi} has no value in {below.currency}."]
    if any(row.kept_since_ns is not None for row in mine):
        return [f"{below.kpi} is incomplete: the store has dropped a part of what it needs."]
    if below.target is None:
        if all(row.target is None for row in mine):
            raise SetupError(f"--fail-below {below.kpi}: it has no target; add one: {below.kpi}=0.9.")
        return [_sentence(row, row.target_shown, row.per) for row in mine if row.target is not None and _is_missed(row)]
    if len(mine) > 1 and not below.currency:
        currencies = ", ".join(row.currency for row in mine)
        raise SetupError(f"--fail-below {below.kpi}: say the currency, {below.kpi}=EUR:1000; there are {currencies}.")
    (row,) = mine
    shown = f"{below.target * 100:.1f} %" if row.is_rate else f"{below.target:,} {row.currency}".rstrip()
    return [] if _reaches(row, below.target) else [_sentence(row, shown, "")]


def _is_missed(row: Row) -> bool:
    return row.met is False or (row.value is None and row.n == 0)


def _reaches(row: Row, target: Decimal) -> bool:
    if row.value is None:
        return False
    value = Decimal(str(row.value))
    return value >= target if row.direction == "up" else value <= target


def _sentence(row: Row, target: str, per: str) -> str:
    side = "below" if row.direction == "up" else "above"
    reached = row.shown if row.mean is None or not per else f"{row.mean:,} {row.currency}".rstrip() + f" a {per}"
    if row.value is None:
        return f"{row.kpi} has no value ({row.shown}); wanted is {target}."
    return f"{row.kpi} is {reached}, {side} {target}{f' a {per}' if per else ''} (n={row.n:,})."


def _message(built: Report, failed: Sequence[str]) -> dict[str, object]:
    page = page_of(built)
    lines = [
        f"{row.kpi}: {row.shown}  {change_text(row)}{'  MISSED' if row.met is False else ''}" for row in built.rows
    ]
    sections = ["\n".join(page.head), *(["\n".join(failed)] if failed else []), "\n".join(lines)]
    for table in page.tables[1:3]:
        if table.rows:
            sections.append("\n".join([table.title, *("  ".join(row) for row in table.rows[:10])]))
    return message(f"{page.title}", [*sections, "\n".join(page.notes)])


# --- alerts ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Watch:
    """
    What is watched.

    Args:
        rules: The rules.
        now: On what they are judged.
        state: A store of the lens, which remembers what was said.
    """

    rules: Sequence[Rule]
    now: Situation
    state: Path


def watch(asked: Watch, output: Output) -> int:
    """
    Say each alert that was not said in its period yet; remembered once the webhook, if any, has taken it. A rule that
    can't be judged, or whose message is not taken, is said, and costs no other one.

    Args:
        asked: What is watched.
        output: Where it goes.

    Raises:
        SetupError: There is no rule, or the state can't be read or kept.
    """
    from bizspan.lens import _marks

    if not asked.rules:
        raise SetupError("no alert is declared; add [tool.bizspan.alert.NAME] to pyproject.toml.")
    found, unjudged = alerts(asked.rules, asked.now)
    keys = {each.rule: each.since_ns for each in found}
    said = {rule for rule, since_ns in keys.items() if _marks.is_said(asked.state, rule, since_ns)}
    new = [each for each in found if each.rule not in said]
    _show(found, new, unjudged, output)
    for each in unjudged:
        output.complain(f"alert {each.rule} can't be judged: {each.reason}")
    taken: list[Alert] = []
    try:
        _post(new, taken, output)
    finally:
        if taken:
            _marks.say(asked.state, [(each.rule, each.since_ns) for each in taken], asked.now.as_of_ns)
    if len(taken) < len(new):
        return NOT_POSTED
    return NOT_JUDGED if unjudged else NOT_WELL if new else WELL


def _show(found: Sequence[Alert], new: Sequence[Alert], unjudged: Sequence[Unjudged], output: Output) -> None:
    if output.format == "json":
        told = [{"alert": each.rule, "text": each.text, "new": each in new, "error": ""} for each in found]
        told += [{"alert": each.rule, "text": "", "new": False, "error": each.reason} for each in unjudged]
        output.show(json.dumps(told, indent=2))
        return
    for each in new:
        output.show(f"{each.rule}: {each.text}")
    if not new:
        output.show("no new alert" + (f"; {len(found)} said before" if found else ""))


def _post(new: Sequence[Alert], taken: list[Alert], output: Output) -> None:
    """Post what each rule says as a message of its own, and add it to what was taken."""
    rules = list(dict.fromkeys(each.rule for each in new))
    for number, rule in enumerate(rules, 1):
        mine = [each for each in new if each.rule == rule]
        if output.webhook is not None:
            try:
                output.webhook.post(message("bizspan alert", [f"{each.rule}: {each.text}" for each in mine]))
            except WebhookError as error:
                output.complain(f"alert {rule}: {error}")
                if isinstance(error, UnreachedError) and rules[number:]:
                    rest = ", ".join(rules[number:])
                    output.complain(f"nobody answers, so that {rest} were not tried; they are said the next time.")
                    return
                continue
        taken += mine


def kpis_of(kpis: Mapping[str, KPI], chosen: Sequence[str]) -> dict[str, KPI]:
    """
    The KPIs of these names; all, where none is named.

    Raises:
        SetupError: There is none of a name.
    """
    from bizspan.kpi._command import named

    return {name: named(kpis, name) for name in chosen} if chosen else dict(kpis)
