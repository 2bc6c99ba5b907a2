"""
KPIs against their targets, and a funnel of steps that one chooses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bizspan import names
from bizspan._columns import COLUMNS
from bizspan.errors import SetupError
from bizspan.page import _show
from bizspan.page._filter import EVERYBODY, NOT_TOLD, Asked, Wrong
from bizspan.page._html import Html, tag

if TYPE_CHECKING:
    from bizspan.kpi import KPI, Answer, Figure, Filter, Records

_GROUPS_SHOWN: Final = 8
_KEYS: Final = {column.name: key for key, column in COLUMNS.items()}
_STEPS_MOST: Final = 6
SUBJECTS: Final = ("customer", "session", "order")
_WITHHELD: Final = (
    "Not shown: this filter leaves fewer than {least}, or so few without it that they could be worked out. "
    "Remove a filter to see more."
)
WINDOWS: Final = {"30min": "30 minutes", "1d": "1 day", "7d": "7 days"}


def cards(kpis: Iterable[KPI], store: Path, asked: Asked) -> list[Html]:
    """Each KPI with its value, its target, and the period before."""
    from bizspan.kpi import SqliteSource, filtered
    from bizspan.kpi._filtered import MOST_FACTS

    if len(asked.where) > MOST_FACTS:
        raise Wrong(f"KPIs take at most {MOST_FACTS} filters; remove one.")
    by = _filter_of(asked)
    source = SqliteSource(store)
    found: list[Html] = []
    for kpi in kpis:
        try:
            answer = filtered(kpi, source, asked.period, by, calendar=asked.calendar, compare="previous")
        except SetupError as why:
            text = f"It can't be evaluated: {why}"
            found.append(tag("section", tag("h2", kpi.name), tag("p", text, class_="quiet"), class_="card"))
            continue
        found.append(_card(kpi, answer, asked))
    return found or [_no_kpis()]


def _filter_of(asked: Asked) -> Filter:
    """What the URL says, in the words of KPIs."""
    from bizspan.kpi import Filter
    from bizspan.kpi._facts import FactTable

    table = FactTable()
    told = ((table[_KEYS[column]].name, None if value == NOT_TOLD else value) for column, value in asked.where)
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
    small = f"{answer.suppressed} groups are too small to be shown." if answer.suppressed else None
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
        tag("div", about(answer, asked), class_="foot"),
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


# --- the funnel -----------------------------------------------------------------------------------------------------


def funnel(asked: Asked, store: Path, operations: Sequence[str], event_names: Sequence[str]) -> list[Html]:
    """Who reached which step, in order, within a window."""
    known = [*operations, *(name for name in event_names if name != names.EVENT_OPERATION and name not in operations)]
    steps = _steps(asked)
    subject, window = asked.told("subject") or "customer", asked.told("window") or "1d"
    found = [_form(asked, known, steps, subject, window)]
    if len(steps) >= 2:
        found.append(_funnel(asked, store, frozenset(operations), steps, subject, window))
    return found


def _steps(asked: Asked) -> list[str]:
    cleaned = [step.strip() for step in asked.told("steps").split(",") if step.strip()]
    if len(cleaned) > _STEPS_MOST:
        raise Wrong(f"A funnel has at most {_STEPS_MOST} steps.")
    return cleaned


def _form(asked: Asked, known: Sequence[str], steps: Sequence[str], subject: str, window: str) -> Html:
    def select(name: str, label: str, options: Mapping[str, str], chosen: str) -> Html:
        return tag(
            "label",
            tag("span", label),
            tag("select", (tag("option", t, value=v, selected=v == chosen) for v, t in options.items()), name=name),
        )

    hidden = [
        tag("input", type="hidden", name=name, value=value)
        for name, value in (
            ("period", asked.period_text), *asked.where, *((("traffic", asked.traffic),) if asked.traffic else ()),
        )
    ]  # fmt: skip
    names_field = tag(
        "label", tag("span", "Steps, in order, with commas between"),
        tag("input", name="steps", type="text", value=",".join(steps), placeholder="cart,checkout", maxlength="300"),
        class_="grow",
    )  # fmt: skip
    offered = tag(
        "p", "Known: ", [(tag("a", tag("bdi", _show.cut(name, 40)), href=asked.to(steps=",".join([*steps, name])),
        class_="chip", aria_label=f"Add the step {_show.cut(name, 40)}"), " ") for name in known[:24]], class_="chips",
    )  # fmt: skip
    return tag(
        "section",
        tag("h2", "Which steps?", id="steps-title"),
        tag(
            "form", hidden, names_field,
            select("subject", "Who", {each: each for each in (*SUBJECTS, *({subject} - {*SUBJECTS}))}, subject),
            select("window", "Within", {**WINDOWS, **({} if window in WINDOWS else {window: window})}, window),
            tag("button", "Count", type="submit"), action="/funnel", method="get", class_="fields",
        ),
        offered if known else None,
        tag("a", "Start again", href=asked.to(steps="")) if steps else None,
        class_="card wide", id="steps", aria_labelledby="steps-title",
    )  # fmt: skip


def _funnel(
    asked: Asked, store: Path, operations: frozenset[str], steps: Sequence[str], subject: str, window: str
) -> Html:
    from bizspan.kpi import KPI, Conversion, SqliteSource, evaluate

    try:
        kpi = KPI(
            "funnel",
            Conversion(tuple(_records(asked, name, name in operations) for name in steps), subject, window),
            owner="whoever made this page's address",
            meaning=f"The part of {subject}s that go from {steps[0]} to {steps[-1]}".replace("\n", " "),
        )
        answer = evaluate(kpi, SqliteSource(store), asked.period, calendar=asked.calendar)
    except SetupError as why:
        raise Wrong(str(why)) from None
    figure = answer.total[0]
    reached = figure.steps or (0,) * len(steps)
    first = reached[0] or 1
    rows = [
        tag(
            "tr", tag("th", tag("bdi", _show.cut(name)), scope="row"),
            tag("td", tag("svg", tag("rect", width=f"{100 * number / first:.1f}%", height="100%", rx="3"),
                class_="funnel-bar", aria_hidden="true"), class_="when"),
            tag("td", f"{number:,}", class_="num"), tag("td", _show.rate(number, reached[0]), class_="num"),
            tag("td", "–" if not at else _show.rate(number, reached[at - 1]), class_="num"),
        )
        for at, (name, number) in enumerate(zip(steps, reached, strict=True))
    ]  # fmt: skip
    head = tag(
        "tr",
        (
            tag("th", title, scope="col", class_="num" if at > 1 else None)
            for at, title in enumerate(("Step", "Reached", f"{subject}s", "Of the first", "Of the one before"))
        ),
    )
    return tag(
        "section",
        tag("h2", "Funnel", id="funnel-title"),
        tag("div", tag("table", tag("thead", head), tag("tbody", rows), class_="funnel"), class_="scroll", tabindex="0",
            role="region", aria_label="Funnel, table"),
        tag("div", about(answer, asked), class_="foot"),
        class_="card wide", id="funnel", aria_labelledby="funnel-title",
    )  # fmt: skip


def _records(asked: Asked, name: str, is_operation: bool) -> Records:
    from bizspan.kpi import Records
    from bizspan.kpi._records import Condition

    conditions = [
        Condition(_KEYS[column], () if value == NOT_TOLD else (value,))
        for column, value in asked.where
        if column not in ("operation", "outcome")
    ]
    if is_operation:
        conditions.append(Condition("outcome", (names.SUCCESS,)))
    if asked.traffic == EVERYBODY:
        conditions.append(Condition("traffic", ("",), is_not=True))
    elif asked.traffic:
        conditions.append(Condition("traffic", (asked.traffic,)))
    return Records((name,) if is_operation else (), () if is_operation else (name,), (), tuple(conditions))
