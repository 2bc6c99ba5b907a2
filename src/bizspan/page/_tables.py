"""
Tables: once as data, shown as HTML and as CSV.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from bizspan.page import _show
from bizspan.page._filter import NOT_TOLD, Asked
from bizspan.page._html import Html, tag

Kind = Literal["value", "text", "count", "money", "rate", "seconds", "time", "trace", "number"]
_NUMBERS: Final = frozenset({"count", "money", "rate", "seconds", "number"})
# What a spreadsheet would take for a formula, or for the start of another cell; with the signs that look like them.
_FORMULA: Final = re.compile(r"^\s*[=+\-@|%\t\r\n\uff1d\uff0b\uff0d\uff20]")


class Few:
    """In the place of a figure that is of too few records, or would give such a figure away."""


FEW: Final = Few()


@dataclass(frozen=True, slots=True)
class Column:
    """
    One column.

    Args:
        title: Its heading.
        kind: What is in it. ``value`` is a value of a dimension, ``money`` minor units, ``rate`` two numbers,
            ``time`` nanoseconds, ``trace`` an id and nanoseconds.
        of: The currency of money; the dimension of values; ``minute`` for times that are no more exact.
        bar: Whether a bar stands beside the number.
    """

    title: str
    kind: Kind
    of: str = ""
    bar: bool = False


@dataclass(frozen=True, slots=True)
class About:
    """
    What must be said beside figures.

    Args:
        definition: What they are.
        n: From how many records.
        basis: Where they come from.
        exact: Whether they are exact.
        hidden: How many records of other traffic are left out.
        missing: How many amounts were told and refused, came in part, or are in no currency.
        sql: How they are read.
        notes: What else is to know.
        owner: Who answers for the definition.
    """

    definition: str
    n: int
    basis: str
    exact: bool = True
    hidden: int = 0
    missing: int = 0
    sql: Sequence[str] = ()
    notes: Sequence[str] = ()
    owner: str = "bizspan (built in)"


@dataclass(frozen=True, slots=True)
class Table:
    """
    One table.

    Args:
        name: In its CSV's path.
        title: For people.
        columns: Its columns.
        rows: Of cells that fit the columns; None is nothing, and `FEW` is not shown.
        about: See `About`.
        shown: How many rows the page shows; the CSV has all.
        empty: What stands there instead of no rows.
        lead: A sentence above it.
        extra: What else stands in the address of its CSV.
        withheld: What is said of groups that are too small to be shown.
    """

    name: str
    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Any]]
    about: About
    shown: int = 12
    empty: str = "Nothing in this period."
    lead: str = ""
    extra: Mapping[str, str] = field(default_factory=dict[str, str])
    withheld: str = ""


def as_html(table: Table, asked: Asked, *, class_: str = "") -> Html:
    """A section with the table, what is behind it, and its CSV."""
    head = tag("h2", table.title, id=f"{table.name}-title")
    lead = tag("p", table.lead, class_="lead") if table.lead else None
    body = _body(table, asked) if table.rows else None if table.withheld else tag("p", table.empty, class_="quiet")
    more = len(table.rows) - table.shown
    note = tag("p", f"and {more:,} more in the CSV", class_="quiet") if more > 0 else None
    withheld = tag("p", table.withheld, class_="quiet") if table.withheld else None
    link = csv_link(asked, table.name, table.title, **table.extra)
    foot = tag("div", about(table.about, asked, table.title), link, class_="foot")
    return tag(
        "section", head, lead, body, note, withheld, foot,
        class_=f"card {class_}".strip(), aria_labelledby=f"{table.name}-title", id=table.name,
    )  # fmt: skip


def csv_link(asked: Asked, name: str, title: str, **more: str) -> Html:
    """
    The link to a table's CSV.

    Args:
        asked: What it is about.
        name: Of the table.
        title: For people.
        more: What else stands in the address.
    """
    return tag(
        "a", "CSV", href=asked.to(f"/csv/{name}", **more), class_="csv", download=f"{name}.csv",
        aria_label=f"{title} as CSV",
    )  # fmt: skip


def _body(table: Table, asked: Asked) -> Html:
    tops = [
        max((_size(row[number], each.kind) for row in table.rows[: table.shown]), default=0) if each.bar else 0
        for number, each in enumerate(table.columns)
    ]
    head = tag(
        "tr",
        (tag("th", each.title, scope="col", class_="num" if each.kind in _NUMBERS else None) for each in table.columns),
    )
    rows = [
        tag(
            "tr",
            (
                _cell(cell, column, asked, top, is_first=number == 0)
                for number, (cell, column, top) in enumerate(zip(row, table.columns, tops, strict=True))
            ),
        )
        for row in table.rows[: table.shown]
    ]
    return tag(
        "div", tag("table", tag("thead", head), tag("tbody", rows)), class_="scroll", tabindex="0", role="region",
        aria_label=f"{table.title}, table",
    )  # fmt: skip


def _size(cell: Any, kind: Kind) -> float:
    if cell is None or cell is FEW:
        return 0
    if kind == "rate":
        return float(cell[0] / cell[1]) if cell[1] else 0
    return max(0.0, float(cell))


def _cell(cell: Any, column: Column, asked: Asked, top: float, *, is_first: bool) -> Html:
    shown = _shown(cell, column, asked)
    class_ = "num" if column.kind in _NUMBERS else None
    if column.bar and cell is not None and cell is not FEW:
        width = round(100 * _size(cell, column.kind) / top, 1) if top else 0
        picture = tag(
            "svg", tag("rect", width=f"{width}%", height="100%"), class_="bar", aria_hidden="true", focusable="false"
        )
        return tag("td", tag("span", shown), picture, class_="num barred")
    return tag("th", shown, scope="row") if is_first and column.kind in ("value", "text") else tag(
        "td", shown, class_=class_
    )  # fmt: skip


def _shown(cell: Any, column: Column, asked: Asked) -> Html | str:
    if cell is None:
        return "–"
    if cell is FEW:
        return tag("span", "few", title="Not shown: too few, or it would give too few away", class_="quiet")
    match column.kind:
        case "value":
            told = cell or NOT_TOLD
            text = _show.cut(cell) if cell else "not told"
            if asked.filters.get(column.of) == told or not column.of:
                return tag("bdi", text)
            return tag(
                "a", tag("bdi", text), href=asked.to(**{column.of: told}), title=f"Only {column.of} {_show.cut(cell)}"
            )
        case "count":
            return f"{cell:,}"
        case "money":
            return _show.money(cell, column.of)
        case "rate":
            return tag("span", _show.rate(*cell), title=_show.rate_said(*cell))
        case "seconds":
            return _show.seconds(cell)
        case "time":
            if column.of == "minute":
                return tag("time", _show.moment(cell // 10**9, asked.calendar))
            return tag("time", _show.exact_moment(cell, asked.calendar))
        case "trace":
            if not cell[0]:
                return "–"
            return tag(
                "a", cell[0][:8], href=asked.to(f"/trace/{cell[0]}", at=str(cell[1])),
                aria_label=f"Spans of trace {cell[0]}",
            )  # fmt: skip
        case _:
            return tag("bdi", _show.cut(str(cell), 120))


def about(told: About, asked: Asked, title: str) -> Html:
    """What is behind figures, to be opened."""
    rows: list[tuple[str, Any]] = [
        ("Definition", told.definition),
        ("Owner", told.owner),
        ("n", f"{told.n:,}"),
        ("Period", f"{_show.moment(asked.since, asked.calendar)} to {_show.moment(asked.until, asked.calendar)}"),
        ("Time zone", asked.calendar.time_zone),
        ("As of", _show.exact_moment(asked.now_ns, asked.calendar)),
        ("Basis", told.basis),
        ("Certainty", "exact" if told.exact else "an estimate"),
        ("Hidden", f"{told.hidden:,} records of traffic that is not customers'"),
        ("Amounts missing", f"{told.missing:,} were told and refused, came in part, or are in no currency"),
        *(("Note", note) for note in told.notes),
    ]
    listed = tag("dl", ((tag("dt", name), tag("dd", value)) for name, value in rows))
    queries = (tag("pre", tag("code", each), tabindex="0", role="region", aria_label="SQL") for each in told.sql)
    return tag(
        "details",
        tag("summary", "About", tag("span", f" {title}", class_="unseen")),
        listed,
        tag("h3", "SQL") if told.sql else None,
        queries,
        class_="about",
    )


# --- CSV ------------------------------------------------------------------------------------------------------------


def as_csv(table: Table, asked: Asked) -> bytes:
    """
    The whole table, with a last line where groups are not shown.

    Texts that a spreadsheet would run as formulas have a ' before them.
    """
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow([each for column in table.columns for each in _titles(column)])
    for row in table.rows:
        writer.writerow(
            [each for cell, column in zip(row, table.columns, strict=True) for each in _plain(cell, column, asked)]
        )
    if table.withheld:
        width = sum(len(_titles(column)) for column in table.columns)
        writer.writerow([table.withheld, *[""] * (width - 1)])
    return out.getvalue().encode("utf-8", "replace")


def _titles(column: Column) -> tuple[str, ...]:
    title = neutral(column.title)
    return (f"{title} count", f"{title} of") if column.kind == "rate" else (title,)


def _plain(cell: Any, column: Column, asked: Asked) -> tuple[object, ...]:
    if cell is None:
        return ("", "") if column.kind == "rate" else ("",)
    if cell is FEW:
        return ("few", "few") if column.kind == "rate" else ("few",)
    match column.kind:
        case "money":
            return (f"{_show.amount(cell, column.of):f}",)
        case "rate":
            return (cell[0], cell[1])
        case "time":
            whole, rest = divmod(cell, 10**9)
            moment = datetime.fromtimestamp(whole, asked.calendar.zone).replace(microsecond=rest // 1000)
            return (moment.isoformat(),)
        case "trace":
            return (neutral(cell[0] or ""),)
        case "count" | "seconds" | "number":
            return (cell,)
        case _:
            return (neutral(str(cell)),)


def neutral(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if _FORMULA.match(text) else text
