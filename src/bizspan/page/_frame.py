"""
What all pages share: the head, the way around, and the filters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from bizspan.page import _show
from bizspan.page._filter import EVERYBODY, FILTERS, NOT_TOLD, PERIODS, Asked
from bizspan.page._html import Html, joined, tag

PAGES: Final[Mapping[str, str]] = {
    "/": "Overview",
    "/features": "Features",
    "/funnel": "Funnel",
    "/technical": "Technical",
    "/kpis": "KPIs",
    "/events": "Events",
}
SELECTS: Final = ("segment", "country", "channel", "campaign", "operation", "version")
_TRAFFIC: Final = {"": "Customers", "all": "Everybody", "staff": "Staff", "test": "Tests", "bot": "Bots"}


def document(title: str, *body: Html, live: bool = False) -> bytes:
    """A whole page."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{title} · bizspan lens"),
        tag("link", rel="icon", href="/assets/icon.svg", type="image/svg+xml"),
        tag("link", rel="stylesheet", href="/assets/uPlot.min.css"),
        tag("link", rel="stylesheet", href="/assets/page.css"),
        tag("script", src="/assets/uPlot.iife.min.js", defer=True),
        tag("script", src="/assets/page.js", defer=True),
    )
    return ("<!doctype html>" + tag("html", head, tag("body", *body, data_live=live), lang="en")).encode(
        "utf-8", "replace"
    )


def page(asked: Asked, main: Sequence[Html], values: Mapping[str, Sequence[str]], *, title: str = "") -> bytes:
    """
    A page with filters.

    Args:
        asked: What it is about.
        main: Its sections.
        values: What the selects offer, by column.
        title: By default, that of its place in the menu.
    """
    name = title or PAGES.get(asked.path, "Lens")
    return document(
        name,
        tag("a", "Skip to the figures", href="#main", class_="skip"),
        _header(asked),
        _filters(asked, values),
        tag("main", tag("h1", name, class_="unseen"), joined(main), id="main", tabindex="-1"),
        _footer(asked),
        live=True,
    )


def message(status: int, text: str, then: Html | None = None) -> bytes:
    """A page that says what went wrong, and what to do."""
    return document(
        f"{status}",
        tag("header", tag("a", "bizspan ", tag("span", "lens"), href="/", class_="brand"), class_="top"),
        tag(
            "main",
            tag(
                "section", tag("h1", text), then or tag("p", tag("a", "Back to the overview", href="/")), class_="note"
            ),
            id="main",
        ),
    )


def _header(asked: Asked) -> Html:
    links = (
        tag("a", name, href=asked.to(path), aria_current="page" if path == asked.path else None)
        for path, name in PAGES.items()
    )
    live = tag(
        "div",
        tag("span", "", class_="dot", aria_hidden="true"),
        tag("span", "not live", id="live", role="status"),
        tag("button", "Pause", type="button", id="pause", hidden=True),
        class_="live",
    )
    return tag(
        "header",
        tag("a", "bizspan ", tag("span", "lens"), href="/", class_="brand"),
        tag("nav", links, aria_label="Pages"),
        live,
        class_="top",
    )


def _filters(asked: Asked, values: Mapping[str, Sequence[str]]) -> Html:
    filters = asked.filters
    periods = dict(PERIODS)
    periods.setdefault(asked.period_text, asked.period_text.replace("..", " to "))
    fields = [_select("period", "Period", periods, asked.period_text)]
    for column in SELECTS:
        offered = {"": "Any", **{value: _show.cut(value, 40) for value in values.get(column, ())}}
        chosen = filters.get(column, "")
        if chosen:
            offered.setdefault(chosen, "not told" if chosen == NOT_TOLD else _show.cut(chosen, 40))
        if len(offered) > 1:
            fields.append(_select(column, column.capitalize(), offered, chosen))
    traffic = dict(_TRAFFIC)
    traffic.setdefault(asked.traffic, asked.traffic)
    fields.append(_select("traffic", "Traffic", traffic, asked.traffic))
    shown = [column for column in SELECTS if values.get(column) or filters.get(column)]
    kept = [
        tag("input", type="hidden", name=name, value=value)
        for name, value in (*asked.where, *asked.beside)
        if name not in shown and name != "at"
    ]
    facts = (
        _select("dim", "Fact", {"": "Choose", **{name: name for name in FILTERS}}, ""),
        _field("Value", tag("input", type="text", name="value", id="f-value", maxlength="300")),
    )  # fmt: skip
    more = tag(
        "details",
        tag("summary", "More"),
        tag(
            "div",
            _field("From", tag("input", type="datetime-local", name="from", id="f-from")),
            _field("To", tag("input", type="datetime-local", name="to", id="f-to")),
            facts,
            class_="fields",
        ),
        class_="more",
    )
    form = tag(
        "form", tag("div", fields, tag("button", "Apply", type="submit"), class_="fields"), kept, more,
        action=asked.path if not asked.path.startswith("/trace/") else "/", method="get", class_="filters",
        aria_label="Filters",
    )  # fmt: skip
    chips = [
        _chip(asked, name, "not told" if value == NOT_TOLD else _show.cut(value, 40)) for name, value in asked.where
    ]
    if len(chips) > 1:
        chips.append(tag("a", "Clear all", href=asked.to(**dict.fromkeys(filters, "")), class_="chip"))
    return tag("div", form, tag("div", chips, class_="chips") if chips else None, class_="bar-of-filters")


def _chip(asked: Asked, name: str, text: str) -> Html:
    return tag(
        "a", tag("span", name, class_="quiet"), " ", tag("bdi", text), tag("span", " ×", aria_hidden="true"),
        href=asked.to(**{name: ""}), class_="chip", aria_label=f"Remove the filter {name} {text}",
    )  # fmt: skip


def _select(name: str, label: str, options: Mapping[str, str], chosen: str) -> Html:
    return _field(
        label,
        tag(
            "select",
            (tag("option", text, value=value, selected=value == chosen) for value, text in options.items()),
            name=name,
            id=f"f-{name}",
        ),
    )


def _field(label: str, control: Html) -> Html:
    return tag("label", tag("span", label), control)


def _footer(asked: Asked) -> Html:
    whose = "Everybody's traffic" if asked.traffic == EVERYBODY else "Customers' traffic"
    return tag(
        "footer",
        f"{_show.moment(asked.since, asked.calendar)} to {_show.moment(asked.until, asked.calendar)}, "
        f"{asked.calendar.time_zone}. {whose if asked.traffic in ('', EVERYBODY) else f'Traffic: {asked.traffic}'}. "
        "As of ",
        tag(
            "time", datetime.fromtimestamp(asked.now_ns // 10**9, asked.calendar.zone).strftime("%H:%M:%S"), id="as-of"
        ),
        ". Amounts are exact and never added across currencies.",
    )


def empty(asked: Asked, endpoint: str, newest_ns: int | None, *, has_token: bool = False) -> Html:
    """What stands there before there is anything, or where a filter leaves nothing."""
    token = "OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20TOKEN " if has_token else ""
    if newest_ns is None:
        return tag(
            "section",
            tag("h2", "Waiting for the first event"),
            tag("p", "Point an application at this address, and run it:"),
            tag("pre", tag("code", f"OTEL_EXPORTER_OTLP_ENDPOINT={endpoint} {token}python shop.py"), tabindex="0",
                role="region", aria_label="Command"),
            tag("p", "In it, one operation is enough:"),
            tag(
                "pre",
                tag(
                    "code",
                    'import bizspan\n\nwith bizspan.configure(service_name="shop"):\n'
                    '    with bizspan.operation("checkout", segment="smb", country="DE") as op:\n'
                    '        op.revenue("42.00", "EUR")',
                ),
                tabindex="0",
                role="region",
                aria_label="Program",
            ),
            tag("p", "This page shows it as soon as it arrives.", class_="quiet"),
            class_="note", id="empty",
        )  # fmt: skip
    second = newest_ns // 10**9
    day = datetime.fromtimestamp(second, asked.calendar.zone).date().isoformat()
    ways = [tag("li", tag("a", f"Show {day}, the day of the newest event", href=asked.about(day).to()))]
    if asked.where:
        ways.append(tag("li", tag("a", "Remove all filters", href=asked.to(**dict.fromkeys(asked.filters, "")))))
    if asked.traffic != EVERYBODY:
        ways.append(tag("li", tag("a", "Show everybody's traffic", href=asked.to(traffic=EVERYBODY))))
    return tag(
        "section",
        tag("h2", "Nothing in this period, with these filters"),
        tag("p", f"The newest event of the store is of {_show.moment(second, asked.calendar)}."),
        tag("ul", ways),
        class_="note", id="empty",
    )  # fmt: skip
