"""
Series for uPlot, tiles, and what stands behind them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from bizspan import names
from bizspan.page import _show
from bizspan.page._counted import Counted
from bizspan.page._filter import Asked
from bizspan.page._html import Html, tag
from bizspan.page._points import DAY, place, times
from bizspan.page._sections import CURRENCIES_SHOWN, about, currencies
from bizspan.page._tables import Column, Table, csv_link
from bizspan.page._tables import about as about_html

Mark = tuple[int, str, int]  # from, what, and until; 0 where it has no end


def summed(asked: Asked, step: int, found: Mapping[tuple[int, str], int], wanted: Sequence[str]) -> list[int]:
    """The sums of these names, for every point."""
    at = {moment: index for index, moment in enumerate(times(asked, step))}
    values = [0] * len(at)
    for (second, name), number in found.items():
        if name in wanted and (index := at.get(place(asked, step, second))) is not None:
            values[index] += number
    return values


def chart(
    title: str, asked: Asked, x: Sequence[int], series: Sequence[tuple[str, Sequence[Any]]], *,
    unit: str, marks: Sequence[Mark] = (), kind: str = "line", said: str = "",
) -> Html:  # fmt: skip
    """
    One small chart.

    Args:
        title: Above it.
        asked: For the time zone.
        x: Seconds since 1970.
        series: Names and values.
        unit: Behind each value.
        marks: Releases, and what people marked.
        kind: ``line`` or ``bars``.
        said: What a screen reader says of it.
    """
    told = json.dumps(
        {
            "x": x, "series": [{"label": name, "data": data} for name, data in series], "unit": unit, "kind": kind,
            "marks": [{"at": at, "label": label, "until": until} for at, label, until in marks],
            "zone": asked.calendar.time_zone,
        },
        separators=(",", ":"),
    )  # fmt: skip
    return tag(
        "figure",
        tag(
            "figcaption",
            title,
            tag("span", f" {unit}", class_="quiet") if unit and unit != "%" and unit not in title else None,
        ),
        tag("div", data_chart=told, class_="chart", role="img", aria_label=f"{title}: {said}"),
        class_="small",
    )


def series(asked: Asked, counted: Counted, marks: Sequence[Mark]) -> Html:
    """Revenue by currency, operations and how many of them succeed, over time."""
    x = times(asked, counted.step)
    figures: list[Html] = []
    codes = currencies([counted.all])
    for code in codes[:CURRENCIES_SHOWN]:
        data = [float(_show.amount(v, code)) for v in summed(asked, counted.step, counted.revenue, (code,))]
        total = counted.all.sums("revenue").get(code, 0)
        said = f"{_show.money(total, code)} {code} in all, from {len(x)} points; the table is in the CSV"
        figures.append(
            chart(f"Revenue {code}", asked, x, [(code, data)], unit=code, marks=marks, kind="bars", said=said)
        )
    ended = {outcome for _, outcome in counted.outcomes}
    if ended:
        tried = summed(asked, counted.step, counted.outcomes, tuple(ended))
        good = summed(asked, counted.step, counted.outcomes, (names.SUCCESS,))
        rates = [round(100 * g / t, 2) if t else None for g, t in zip(good, tried, strict=True)]
        figures.append(
            chart("Operations", asked, x, [("all", tried), ("not successful", [t - g for g, t in zip(good, tried,
                  strict=True)])], unit="", marks=marks, said=f"{sum(tried):,} in all")
        )  # fmt: skip
        figures.append(
            chart("Success rate", asked, x, [("success", rates)], unit="%", marks=marks,
                  said=f"{_show.rate(sum(good), sum(tried))} in all")
        )  # fmt: skip
    if not figures:
        return tag("section", tag("h2", "Over time"), tag("p", "No operation and no revenue yet.", class_="quiet"),
                   class_="card")  # fmt: skip
    told = about(
        counted,
        f"Revenue that counts and operations, for each {_length(counted.step)}; the success rate is the part of the "
        "operations of that time with the outcome success. A line with a name is a release: the first appearance of "
        "that service.version. A shaded stretch is what someone marked with bizspan mark.",
        counted.all.count(),
        sql=counted.series_sql(codes),
    )
    link = csv_link(asked, "series", "Series")
    return tag(
        "section",
        tag("h2", "Over time", id="series-title"),
        tag("div", figures, class_="charts"),
        tag("noscript", tag("p", "Charts need JavaScript; the CSV and all tables do not.", class_="quiet")),
        tag("div", about_html(told, asked, "the series"), link, class_="foot"),
        class_="card wide", id="series", aria_labelledby="series-title",
    )  # fmt: skip


def series_table(asked: Asked, counted: Counted) -> Table:
    """The series as a table, for its CSV."""
    codes = currencies([counted.all])
    ended = tuple({outcome for _, outcome in counted.outcomes})
    columns = [
        times(asked, counted.step),
        *(summed(asked, counted.step, counted.revenue, (code,)) for code in codes),
        summed(asked, counted.step, counted.outcomes, ended),
        summed(asked, counted.step, counted.outcomes, (names.SUCCESS,)),
    ]
    rows = [[at * 10**9, *rest] for at, *rest in zip(*columns, strict=True)]
    titles = [
        Column("From", "time"), *(Column(f"Revenue {code}", "money", code) for code in codes),
        Column("Operations", "count"), Column("Successes", "count"),
    ]  # fmt: skip
    return Table(
        "series",
        "Over time",
        titles,
        rows,
        about(counted, "Series.", counted.all.count(), sql=counted.series_sql(codes)),
    )


def _length(step: int) -> str:
    known = {60: "minute", 3600: "hour", DAY: "day"}
    return known.get(step) or f"{step // 60} minutes"


# --- tiles ----------------------------------------------------------------------------------------------------------


def tile(name: str, value: Html | str, beside: str = "", *, class_: str = "") -> Html:
    """One number."""
    return tag(
        "div", tag("dt", name), tag("dd", tag("span", value, class_="figure"), tag("span", beside, class_="quiet")),
        class_=f"tile {class_}".strip(),
    )  # fmt: skip


def tiles(asked: Asked, counted: Counted) -> Html:
    """What a founder looks at first."""
    everything = counted.all
    found: list[Html] = []
    sums = everything.sums("revenue")
    refunds = everything.sums("refund")
    for code in currencies([everything])[:CURRENCIES_SHOWN]:
        back = f"{_show.money(refunds[code], code, short=True)} refunded" if refunds.get(code) else "revenue"
        value = [_show.money(sums.get(code, 0), code, short=True), tag("small", f" {code}")]
        found.append(tile("Revenue", tag("span", value), back, class_="first"))
    more = currencies([everything])[CURRENCIES_SHOWN:]
    tried, good = everything.count(), everything.count(names.SUCCESS)
    found.append(tile("Operations", f"{tried:,}", f"{everything.events:,} events"))
    found.append(tile("Success", _show.rate(good, tried), _interval(good, tried)))
    lost = everything.count(names.REJECTED, names.FAILED)
    stake = everything.sums("value", names.REJECTED, names.FAILED)
    risk = ", ".join(f"{_show.money(minor, code, short=True)} {code}" for code, minor in sorted(stake.items())[:2])
    found.append(tile("Rejected or failed", f"{lost:,}", f"{risk} at stake" if risk else _show.rate(lost, tried)))
    found.append(
        tile("Hidden", f"{counted.hidden:,}", "not customers' traffic" if not asked.traffic else "none left out")
    )
    notes = ["The interval beside the success rate is Wilson's, 95 %."]
    if more:
        notes.append(f"There is revenue in {', '.join(more)} too; see the tables.")
    told = about(
        counted,
        "Revenue that counts: with the outcome success, or told by an event without outcome. Refunds by the day on "
        "which money went back. Operations are events named business.operation.",
        everything.events,
        *notes,
        sql=counted.statements.totals(currencies([everything])),
    )
    return tag(
        "section",
        tag("h2", "Now", class_="unseen", id="now-title"),
        tag("dl", found, class_="tiles"),
        tag("div", about_html(told, asked, "these figures"), class_="foot"),
        class_="wide plain", id="now", aria_labelledby="now-title",
    )  # fmt: skip


def _interval(hits: int, of: int) -> str:
    from bizspan.kpi._small import wilson

    found = wilson(hits, of)
    return f"{100 * found[0]:.1f} to {100 * found[1]:.1f} %, n={of:,}" if found else "nothing to divide by"
