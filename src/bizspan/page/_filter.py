"""
What a page is asked about: a period, filters, and whose traffic. All of it stands in the URL.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from bizspan._columns import COLUMNS
from bizspan.errors import SetupError

if TYPE_CHECKING:
    from bizspan.kpi import Calendar, Period

PERIODS: Final[Mapping[str, str]] = {
    "1h": "This hour",
    "24h": "Last 24 hours",
    "today": "Today",
    "yesterday": "Yesterday",
    "7d": "Last 7 days",
    "30d": "Last 30 days",
    "this-month": "This month",
    "last-month": "Last month",
}
DEFAULT_PERIOD: Final = "24h"
CUSTOMERS, EVERYBODY = "", "all"
NOT_TOLD: Final = "__none__"  # as a filter's value: what does not tell it
# By which one may filter: every text column, by its name.
FILTERS: Final = tuple(
    column.name for column in COLUMNS.values()
    if column.kind == "TEXT" and column.name != "traffic" and not column.name.endswith(("_currency", "_invalid"))
)  # fmt: skip
_BESIDE: Final = ("period", "traffic", "from", "to", "dim", "value", "steps", "subject", "window", "at")
_LONGEST: Final = 300
_MINUTE_NS: Final = 60 * 10**9


class Wrong(Exception):  # noqa: N818 - an answer, not a failure
    """What was asked makes no sense; the text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Asked:
    """
    What a page is about.

    Args:
        path: Of the page.
        period_text: As it was written.
        since: Its start: whole minutes, in seconds since 1970.
        until: Its end, which is not part of it; never later than now.
        where: Columns and their values.
        traffic: ``""`` for customers, ``"all"``, or one kind.
        beside: What else the page takes.
        now_ns: When it was asked.
        calendar: Whose days.
        period: As the KPIs take it.
    """

    path: str
    period_text: str
    since: int
    until: int
    where: tuple[tuple[str, str], ...]
    traffic: str
    beside: tuple[tuple[str, str], ...]
    now_ns: int
    calendar: Calendar
    period: Period

    @property
    def filters(self) -> dict[str, str]:
        """Values by column."""
        return dict(self.where)

    def told(self, name: str) -> str:
        """What else the page takes, by name."""
        return dict(self.beside).get(name, "")

    def to(self, path: str | None = None, **changes: str) -> str:
        """
        A link to a page about the same.

        Args:
            path: Of the page; by default this one.
            changes: Filters that have another value there; an empty one is left out.
        """
        told = {
            "period": "" if self.period_text == DEFAULT_PERIOD else self.period_text,
            "traffic": self.traffic,
            **self.filters,
            **(dict(self.beside) if path is None else {}),
            **changes,
        }
        query = urlencode([(name, value) for name, value in told.items() if value], errors="replace")
        return (path or self.path) + (f"?{query}" if query else "")

    def about(self, period_text: str) -> Asked:
        """The same filters, in another period; for a link alone."""
        return replace(self, period_text=period_text)


def read(path: str, parameters: Iterable[tuple[str, str]], calendar: Calendar, now_ns: int | None = None) -> Asked:
    """
    What a URL asks for.

    Args:
        path: Of the page.
        parameters: Names and values, in order.
        calendar: Whose days.
        now_ns: By default, the time.

    Raises:
        Wrong: A name or a value is none.
    """
    told = _plain(parameters)
    now_ns = time.time_ns() if now_ns is None else now_ns
    text = told.get("period") or DEFAULT_PERIOD
    try:
        period = calendar.read(text, now_ns)
    except SetupError as why:
        raise Wrong(str(why)) from None
    since = period.since_ns // _MINUTE_NS * 60
    until = -(-min(period.until_ns, max(now_ns, period.since_ns + 1)) // _MINUTE_NS) * 60
    return Asked(
        path=path,
        period_text=text,
        since=since,
        until=max(until, since + 60),
        where=tuple((name, value) for name, value in told.items() if name in FILTERS and value),
        traffic="" if told.get("traffic") == "customer" else told.get("traffic", ""),
        beside=tuple((name, told[name]) for name in ("steps", "subject", "window", "at") if told.get(name)),
        now_ns=now_ns,
        calendar=calendar,
        period=period,
    )


def tidied(parameters: Sequence[tuple[str, str]]) -> list[tuple[str, str]] | None:
    """
    What a form sent, as a link would say it; None where it does already.

    Raises:
        Wrong: As `read`.
    """
    told = _plain(parameters)
    form = {name: told.pop(name, "") for name in ("from", "to", "dim", "value")}
    if not any(form.values()) and all(value for _, value in parameters):
        return None
    if form["dim"] and form["value"]:
        if form["dim"] not in FILTERS:
            raise Wrong(_unknown(form["dim"]))
        told[form["dim"]] = form["value"]
    if form["from"] or form["to"]:
        if not (form["from"] and form["to"]):
            raise Wrong("A time range needs both of its ends, from and to.")
        told["period"] = f"{form['from']}..{form['to']}"
    return [(name, value) for name, value in told.items() if value]


def _plain(parameters: Iterable[tuple[str, str]]) -> dict[str, str]:
    told: dict[str, str] = {}
    for name, value in parameters:
        if name not in FILTERS and name not in _BESIDE:
            raise Wrong(_unknown(name))
        if told.get(name) and value:
            raise Wrong(f"The filter {name} is there twice; it takes one value.")
        if len(value) > _LONGEST:
            raise Wrong(f"The value of {name} is longer than {_LONGEST} characters; nothing has such a value.")
        told[name] = value or told.get(name, "")
    return told


def _unknown(name: str) -> str:
    near = get_close_matches(name, (*FILTERS, *_BESIDE), n=1)
    question = f"; did you mean {near[0]}?" if near else f"; filters are {', '.join(FILTERS)}."
    return f"There is no filter {name[:60]!r}{question}"
