"""
A funnel of steps that one chooses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bizspan import names
from bizspan.errors import SetupError
from bizspan.page import _show
from bizspan.page._filter import EVERYBODY, NOT_TOLD, Asked, Wrong
from bizspan.page._html import Html, tag
from bizspan.page._kpis import KEYS, about
from bizspan.page._tables import About, Column, Table, csv_link

if TYPE_CHECKING:
    from bizspan.kpi import Answer, Records

_STEPS_MOST: Final = 6
SUBJECTS: Final = ("customer", "session", "order")
WINDOWS: Final = {"30min": "30 minutes", "1d": "1 day", "7d": "7 days"}


def funnel(
    asked: Asked, store: Path, operations: Sequence[str], event_names: Sequence[str], few: Html | None = None
) -> list[Html]:
    """Who reached which step, in order, within a window; or what stands there, where these are too few."""
    known = [*operations, *(name for name in event_names if name != names.EVENT_OPERATION and name not in operations)]
    steps = _steps(asked)
    found = [_form(asked, known, steps, *_whose(asked))]
    if len(steps) >= 2:
        found.append(few or _funnel(asked, _reached(asked, store, frozenset(operations), steps), steps))
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


def _reached(asked: Asked, store: Path, operations: frozenset[str], steps: Sequence[str]) -> Answer:
    """How many came how far."""
    from bizspan.kpi import KPI, Conversion, SqliteSource, evaluate

    subject, window = _whose(asked)
    try:
        kpi = KPI(
            "funnel",
            Conversion(tuple(_records(asked, name, name in operations) for name in steps), subject, window),
            owner="whoever made this page's address",
            meaning=f"The part of {subject}s that go from {steps[0]} to {steps[-1]}".replace("\n", " "),
        )
        return evaluate(kpi, SqliteSource(store), asked.period, calendar=asked.calendar)
    except SetupError as why:
        raise Wrong(str(why)) from None


def _whose(asked: Asked) -> tuple[str, str]:
    """Subject and window."""
    return asked.told("subject") or "customer", asked.told("window") or "1d"


def _rows(answer: Answer, steps: Sequence[str]) -> list[tuple[str, int, tuple[int, int], tuple[int, int] | None]]:
    """Each step, how many reached it, and that of the first and of the one before."""
    reached = answer.total[0].steps or (0,) * len(steps)
    return [
        (name, number, (number, reached[0]), (number, reached[at - 1]) if at else None)
        for at, (name, number) in enumerate(zip(steps, reached, strict=True))
    ]


def table(asked: Asked, store: Path, operations: Sequence[str]) -> Table:
    """
    The funnel, for its CSV.

    Raises:
        Wrong: There are no two steps, or something else of it makes no sense.
    """
    steps = _steps(asked)
    if len(steps) < 2:
        raise Wrong("A funnel has two steps or more: steps=cart,checkout.")
    answer = _reached(asked, store, frozenset(operations), steps)
    columns = [
        Column("Step", "text"), Column("Reached", "count"), Column("Of the first", "rate"),
        Column("Of the one before", "rate"),
    ]  # fmt: skip
    told = About(answer.kpi.meaning, answer.total[0].n, answer.basis)
    return Table("funnel", "Funnel", columns, _rows(answer, steps), told)


def _funnel(asked: Asked, answer: Answer, steps: Sequence[str]) -> Html:
    subject, window = _whose(asked)
    found = _rows(answer, steps)
    first = found[0][1] or 1
    rows = [
        tag(
            "tr", tag("th", tag("bdi", _show.cut(name)), scope="row"),
            tag("td", tag("svg", tag("rect", width=f"{100 * number / first:.1f}%", height="100%", rx="3"),
                class_="funnel-bar", aria_hidden="true"), class_="when"),
            tag("td", f"{number:,}", class_="num"),
            *(tag("td", tag("span", _show.rate(*rate), title=_show.rate_said(*rate)) if rate else "–", class_="num")
              for rate in rates),
        )
        for name, number, *rates in found
    ]  # fmt: skip
    link = csv_link(asked, "funnel", "Funnel", steps=",".join(steps), subject=subject, window=window)
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
        tag("div", about(answer, asked), link, class_="foot"),
        class_="card wide", id="funnel", aria_labelledby="funnel-title",
    )  # fmt: skip


def _records(asked: Asked, name: str, is_operation: bool) -> Records:
    from bizspan.kpi import Records
    from bizspan.kpi._records import Condition

    conditions = [
        Condition(KEYS[column], () if value == NOT_TOLD else (value,))
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
