"""
KPIs against their targets.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from bizspan._columns import COLUMNS
from bizspan.errors import SetupError
from bizspan.page import _show
from bizspan.page._filter import EVERYBODY, NOT_TOLD, Asked, Wrong
from bizspan.page._html import Html, tag
from bizspan.page._tables import About, Column, Table, csv_link

if TYPE_CHECKING:
    from bizspan.kpi import KPI, Answer, Figure, Filter

_GROUPS_SHOWN: Final = 8
KEYS: Final = {column.name: key for key, column in COLUMNS.items()}
_WITHHELD: Final = (
    "Not shown: this filter leaves fewer than {least}, or so few without it that they could be worked out. "
    "Remove a filter to see more."
)


def cards(kpis: Iterable[KPI], store: Path, asked: Asked) -> list[Html]:
    """Each KPI with its value, its target, and the period before."""
    _filter_of(asked)  # also where there is no KPI
    found: list[Html] = []
    for kpi in kpis:
        try:
            answer = _answer(kpi, store, asked, compare="previous")
        except SetupError as why:
            text = f"It can't be evaluated: {why}"
            found.append(tag("section", tag("h2", kpi.name), tag("p", text, class_="quiet"), class_="card"))
            continue
        found.append(_card(kpi, answer, asked))
    return found or [_no_kpis()]


def _answer(kpi: KPI, store: Path, asked: Asked, *, compare: Literal["previous"] | None = None) -> Answer:
    from bizspan.kpi import SqliteSource, filtered

    by = _filter_of(asked)
    return filtered(kpi, SqliteSource(store), asked.period, by, calendar=asked.calendar, compare=compare)


def group_table(kpi: KPI, store: Path, asked: Asked) -> Table:
    """
    A KPI's values by group, for their CSV.

    Raises:
        Wrong: It can't be evaluated with these filters.
    """
    try:
        answer = _answer(kpi, store, asked)
    except SetupError as why:
        raise Wrong(f"{kpi.name} can't be evaluated: {why}") from None
    has_currency = any(each.currency for each in answer.groups)
    has_interval = any(each.interval for each in answer.groups)
    rows: list[list[Any]] = []
    for each in answer.groups:
        low, high = each.interval or (None, None)
        told = [value for _, value in each.group]
        rows.append([*told, *([each.currency] if has_currency else ()), each.value, each.n,
                     *((low, high) if has_interval else ())])  # fmt: skip
    columns = [
        *(Column(name, "text") for name in kpi.by),
        *((Column("Currency", "text"),) if has_currency else ()),
        Column("Value", "number"), Column("n", "count"),
        *((Column("From (95 %)", "number"), Column("To (95 %)", "number")) if has_interval else ()),
    ]  # fmt: skip
    told_of = About(kpi.meaning, sum(each.n for each in answer.groups), answer.basis, owner=kpi.owner)
    return Table(f"kpi-{kpi.name}", kpi.name, columns, rows, told_of, withheld=_suppressed(answer))


def _suppressed(answer: Answer) -> str:
    if not answer.suppressed:
        return ""
    told = "1 group is" if answer.suppressed == 1 else f"{answer.suppressed:,} groups are"
    return f"{told} too small to be shown."


def _filter_of(asked: Asked) -> Filter:
    """What the URL says, in the words of KPIs."""
    from bizspan.kpi import Filter
    from bizspan.kpi._facts import FactTable
    from bizspan.kpi._filtered import MOST_FACTS

    if len(asked.where) > MOST_FACTS:
        raise Wrong(f"KPIs take at most {MOST_FACTS} filters; remove one.")
    table = FactTable()
    told = ((table[KEYS[column]].name, None if value == NOT_TOLD else value) for column, value in asked.where)
    return Filter(tuple(told), asked.traffic)


def _card(kpi: KPI, answer: Answer, asked: Asked) -> Html:
    from bizspan.kpi import value_text
    from bizspan.kpi._render import certainty

    groups = [
        tag(
            "tr",
            tag("th", tag("bdi", _group(each)), scope="row"),
            tag("td", value_text(kpi, each), class_="num"), tag("td", f"{each.n:,}", class_="num"),
        )
        for each in answer.groups[:_GROUPS_SHOWN]
    ]  # fmt: skip
    table = tag(
        "div",
        tag("table", tag("thead", tag("tr", tag("th", ", ".join(kpi.by), scope="col"), tag("th", "Value", scope="col",
            class_="num"), tag("th", "n", scope="col", class_="num"))), tag("tbody", groups)),
        class_="scroll", tabindex="0", role="region", aria_label=f"{kpi.name} by {', '.join(kpi.by)}, table",
    ) if groups else None  # fmt: skip
    lost = None if answer.kept_since_ns is None else certainty(answer).capitalize() + "."
    more = len(answer.groups) - _GROUPS_SHOWN
    small = _suppressed(answer)
    link = csv_link(asked, f"kpi-{kpi.name}", kpi.name) if groups else None
    return tag(
        "section",
        tag("h2", kpi.name, id=f"kpi-{kpi.name}"),
        tag("p", kpi.meaning, class_="lead"),
        [_total(answer.kpi, answer, each) for each in answer.total],
        tag("p", _WITHHELD.format(least=kpi.minimum_group), class_="quiet") if answer.withheld else None,
        None if answer.total or answer.withheld else tag("p", "Nothing in this period.", class_="quiet"),
        tag("p", small, class_="quiet") if small else None,
        tag("p", lost, class_="quiet") if lost else None,
        table,
        tag("p", f"{more:,} more; see the CSV", class_="quiet") if more > 0 else None,
        tag("div", about(answer, asked), link, class_="foot"),
        class_="card", aria_labelledby=f"kpi-{kpi.name}",
    )  # fmt: skip


def _group(figure: Figure) -> str:
    return ", ".join("not told" if value is None else _show.cut(value) for _, value in figure.group)


def _total(kpi: KPI, answer: Answer, figure: Figure) -> Html:
    from bizspan.kpi import Figure, value_text

    target = kpi.target_in(figure.currency)
    parts: list[Any] = [tag("span", value_text(kpi, figure), class_="figure")]
    if target is not None:
        said = {True: "met", False: "missed", None: "not judged for this period"}[figure.met]
        class_ = {True: "met", False: "missed", None: "quiet"}[figure.met]
        parts.append(
            tag("span", f"target {value_text(kpi, Figure(target, figure.currency))}"
                f"{' per ' + kpi.per if kpi.per else ''}: {said}", class_=f"badge {class_}")
        )  # fmt: skip
    beside = [f"n={figure.n:,}"]
    if figure.interval is not None:
        beside.append(f"95 %: {100 * figure.interval[0]:.1f} to {100 * figure.interval[1]:.1f} %")
    earlier = answer.previous if answer.previous and answer.previous.kept_since_ns is None else None
    before = earlier.figure(figure.currency) if earlier else None
    if before is not None:
        beside.append(f"before: {value_text(kpi, before)}")
    parts.append(tag("span", ", ".join(beside), class_="quiet"))
    return tag("p", parts, class_="kpi")


def about(answer: Answer, asked: Asked) -> Html:
    """What is behind a KPI's values."""
    from bizspan.kpi import kpi_text
    from bizspan.kpi._render import certainty

    kpi = answer.kpi
    zone = answer.calendar.zone
    moments = [
        datetime.fromtimestamp(at // 10**9, zone).isoformat(" ", "seconds")
        for at in (answer.period.since_ns, answer.period.until_ns, answer.as_of_ns)
    ]
    rows: list[tuple[str, Any]] = [
        ("Definition", tag("pre", kpi_text(kpi))),
        *((("Filter", _said(asked)),) if asked.where or asked.traffic else ()),
        ("Owner", kpi.owner),
        *((("Playbook", tag("a", kpi.playbook, href=kpi.playbook, rel="noreferrer")),) if kpi.playbook else ()),
        ("n", "not shown" if answer.withheld else ", ".join(f"{each.n:,}" for each in answer.total) or "0"),
        ("Period", f"{moments[0]} to {moments[1]}"),
        ("Time zone", answer.calendar.time_zone),
        ("As of", moments[2]),
        ("Basis", answer.basis),
        ("Certainty", certainty(answer)),
    ]
    for name, number in (
        ("Hidden", answer.hidden), ("Amounts missing", answer.missing), ("Without the subject", answer.unnamed),
        ("Late", answer.late), ("Still have time", answer.pending), ("Refunds of unknown orders", answer.unmatched),
    ):  # fmt: skip
        if number is not None:
            rows.append((name, f"{number:,}"))
    sql = (
        tag("pre", tag("code", each.text), tabindex="0", role="region", aria_label=f"SQL of {each.what}")
        for each in answer.statements
    )
    return tag(
        "details",
        tag("summary", "About", tag("span", f" {kpi.name}", class_="unseen")),
        tag("dl", ((tag("dt", name), tag("dd", value)) for name, value in rows)),
        tag("h3", "SQL"),
        sql,
        class_="about",
    )


def _said(asked: Asked) -> str:
    told = [f"{name} is {'not told' if value == NOT_TOLD else _show.cut(value)}" for name, value in asked.where]
    if asked.traffic:
        told.append("everybody's traffic" if asked.traffic == EVERYBODY else f"traffic is {_show.cut(asked.traffic)}")
    return "; ".join(told)


def _no_kpis() -> Html:
    example = (
        '[kpi.checkout_rate]\nkind = "ratio"\nowner = "ann"\nmeaning = "How many checkouts succeed"\ntarget = 0.9\n'
        'of = { kind = "count", operation = "checkout", where = { outcome = "success" } }\n'
        'to = { kind = "count", operation = "checkout" }\n'
    )
    return tag(
        "section",
        tag("h2", "No KPI is declared"),
        tag("p", "Write them into a file, and start the lens with it:"),
        tag("pre", tag("code", example), tabindex="0", role="region", aria_label="Example of a file"),
        tag(
            "pre", tag("code", "bizspan lens --config bizspan.toml"), tabindex="0", role="region", aria_label="Command"
        ),
        class_="note",
    )
