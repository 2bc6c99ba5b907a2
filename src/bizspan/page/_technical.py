"""
Technical beside business: latency and errors of spans against conversion, and what slow requests cost.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Final

from bizspan import names
from bizspan._columns import TOOK_S
from bizspan._currencies import EXPONENTS
from bizspan.page import _show
from bizspan.page._blocks import Blocks
from bizspan.page._charts import Mark, chart, summed
from bizspan.page._counted import Counted
from bizspan.page._filter import Asked
from bizspan.page._html import Html, tag
from bizspan.page._points import cell_of, place, times
from bizspan.page._queries import Reader, Unasked, at_once, stretches, whole, within
from bizspan.page._reading import is_of_minutes
from bizspan.page._statements import traffic_sql, where_sql
from bizspan.page._tables import About, Column, Table
from bizspan.page._tables import about as about_html

# Seconds; of latencies, the 95th part is told as the end of its bin.
_BINS: Final = (
    0.005,
    0.01,
    0.02,
    0.035,
    0.05,
    0.075,
    0.1,
    0.15,
    0.2,
    0.3,
    0.5,
    0.75,
    1.0,
    1.5,
    2.0,
    3.0,
    5.0,
    10.0,
    60.0,
)
_LABELS: Final = (
    f"up to {_show.seconds(TOOK_S[0])}",
    *(f"{_show.seconds(low)} to {_show.seconds(high)}" for low, high in pairwise(TOOK_S)),
    f"over {_show.seconds(TOOK_S[-1])}",
)
_ENOUGH: Final = 30
_SPAN_COLUMNS: Final = frozenset({"operation", "service", "version"})


@dataclass(frozen=True, slots=True)
class Latency:
    """
    Of the requests of one stretch of time.

    Args:
        count: How many.
        errors: How many of them failed.
        bins: How many took how long.
    """

    count: int
    errors: int
    bins: tuple[int, ...]

    def p95_ms(self) -> float | None:
        """At least 95 % took no longer; to the end of a bin."""
        seen = 0
        for number, bound in zip(self.bins, _BINS, strict=False):
            seen += number
            if seen >= 0.95 * self.count:
                return bound * 1000
        return None


def latencies(connection: sqlite3.Connection, asked: Asked, step: int, sql: list[str]) -> dict[int, Latency]:
    """Entry spans by time: those of servers, and those without a parent."""
    bins = " ".join(f"WHEN end_ns - start_ns <= {round(bound * 1e9)} THEN {n}" for n, bound in enumerate(_BINS))
    step = cell_of(asked, step)
    known = [each for each in asked.where if each[0] in _SPAN_COLUMNS and each[0] != "operation"]
    conditions, values = where_sql(known)
    found: dict[int, list[int]] = {}
    for at, which, number, errors in at_once(
        connection, sql,
        f"SELECT start_ns / {step * 10**9} * {step}, CASE {bins} ELSE {len(_BINS)} END, count(*), sum(status = 2) "
        f"FROM spans WHERE start_ns >= ? AND start_ns < ? AND (kind = 2 OR parent IS NULL){conditions} "
        "GROUP BY 1, 2",
        [asked.since * 10**9, asked.until * 10**9, *values], width=4,
    ):  # fmt: skip
        row = found.setdefault(at, [0] * (len(_BINS) + 2))
        row[which] += number
        row[-1] += errors
    return {at: Latency(sum(row[:-1]), row[-1], tuple(row[:-1])) for at, row in found.items()}


def beside(
    asked: Asked, counted: Counted, found: dict[int, Latency], sql: Sequence[str], marks: Sequence[Mark]
) -> Html:
    """Latency and errors above, conversion below, over the same time."""
    x = times(asked, counted.step)
    at = {moment: index for index, moment in enumerate(x)}
    rows = [[0] * (len(_BINS) + 2) for _ in x]
    for second, each in found.items():
        if (index := at.get(place(asked, counted.step, second))) is not None:
            for number, value in enumerate((*each.bins, each.errors)):
                rows[index][number] += value
    merged = [Latency(sum(row[:-1]), row[-1], tuple(row[:-1])) for row in rows]
    ended = tuple({outcome for _, outcome in counted.outcomes})
    tried = summed(asked, counted.step, counted.outcomes, ended)
    good = summed(asked, counted.step, counted.outcomes, (names.SUCCESS,))
    total, errors = sum(each.count for each in merged), sum(each.errors for each in merged)
    told = About(
        "Requests are entry spans: those of kind SERVER, and those without a parent. Latency is the 95th percentile, "
        "read from bins; the error rate is the part with status ERROR. Success is the part of the operations' events "
        "with the outcome success. Spans may be sampled; events never are.",
        total, f"spans (the table spans) beside {counted.basis}", False, counted.hidden, 0,
        [*sql, *counted.series_sql(())],
        ("Filters by operation and by customers' facts apply to events alone; those by service and version to both.",),
    )  # fmt: skip
    charts = [
        chart("Latency, 95th percentile", asked, x, [("p95", [e.p95_ms() if e.count else None for e in merged])],
              unit="ms", marks=marks, said=f"of {total:,} requests"),
        chart("Error rate", asked, x,
              [("errors", [round(100 * e.errors / e.count, 2) if e.count else None for e in merged])],
              unit="%", marks=marks, said=f"{_show.rate(errors, total)} of {total:,} requests"),
        chart("Success rate", asked, x,
              [("success", [round(100 * g / t, 2) if t else None for g, t in zip(good, tried, strict=True)])],
              unit="%", marks=marks, said=f"{_show.rate(sum(good), sum(tried))} of {sum(tried):,} operations"),
    ]  # fmt: skip
    none = tag(
        "p",
        "No spans in this period. Send traces to the same endpoint (OTEL_TRACES_EXPORTER=otlp) to see latency and "
        "errors of requests here.",
        class_="quiet",
    )
    return tag(
        "section",
        tag("h2", "Requests beside business", id="beside-title"),
        tag("div", charts, class_="charts") if total or sum(tried) else None,
        none if not total else None,
        tag("div", about_html(told, asked, "requests beside business"), class_="foot"),
        class_="card wide", id="beside", aria_labelledby="beside-title",
    )  # fmt: skip


# --- what slow requests cost ----------------------------------------------------------------------------------------


@dataclass(slots=True)
class Band:
    """
    Runs of one operation that took about as long.

    Args:
        tried: How many.
        good: How many succeeded.
        revenue: By currency: how many successes told some, and minor units.
    """

    tried: int = 0
    good: int = 0
    revenue: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])

    def add(self, other: Band) -> None:
        """Add another's."""
        self.tried += other.tried
        self.good += other.good
        for currency, (number, minor) in other.revenue.items():
            before = self.revenue.get(currency, (0, 0))
            self.revenue[currency] = before[0] + number, before[1] + minor

    @property
    def rate(self) -> float:
        """The part that succeeded."""
        return self.good / self.tried


Bands = dict[str, list[Band]]


def bands(connection: sqlite3.Connection, asked: Asked, sql: list[str], blocks: Blocks | None = None) -> Bands:
    """
    Of each operation, its runs by how long they took.

    Args:
        connection: That reads, in a transaction.
        asked: The period and the filters.
        sql: Where the statement is noted.
        blocks: Where what was counted before is kept.
    """
    found = _bands(Unasked(), asked, sql)

    def of_piece(since: int, until: int) -> Bands:
        return _bands(connection, replace(asked, since=since, until=until), [])

    question = "bands", asked.where, asked.traffic  # the filters say from where
    kept = blocks or Blocks()
    for piece in kept.over(connection, question, (asked.since, asked.until), of_piece, lambda each: 25 * len(each)):
        for operation, of_operation in piece.items():
            for mine, theirs in zip(found.setdefault(operation, _no_bands()), of_operation, strict=True):
                mine.add(theirs)
    return found


def _no_bands() -> list[Band]:
    return [Band() for _ in _LABELS]


def _bands(connection: Reader, asked: Asked, sql: list[str]) -> Bands:
    return (_bands_of_minutes if is_of_minutes(asked) else _bands_of_events)(connection, asked, sql)


def _bands_of_minutes(connection: Reader, asked: Asked, sql: list[str]) -> Bands:
    found: Bands = {}
    conditions, values = where_sql(asked.where)
    traffic_is, traffic_values = traffic_sql(asked)
    of = f"{conditions} AND dimension = 'took' AND name = ?{traffic_is}"
    for at, since, until in stretches(connection, asked):
        told = [since, until, *values, names.EVENT_OPERATION, *traffic_values]
        for operation, number, outcome, count in at_once(
            connection, sql,
            f"SELECT operation, value, outcome, sum(count) FROM {at}_counts WHERE {within(at)}{of} GROUP BY 1, 2, 3",
            told, width=4,
        ):  # fmt: skip
            band = found.setdefault(operation, _no_bands())[int(number)]
            band.tried += count
            band.good += count if outcome == names.SUCCESS else 0
        for operation, number, currency, count, minor in at_once(
            connection, sql,
            f"SELECT operation, value, currency, sum(count), sum(minor) FROM {at}_money WHERE {within(at)}{of} "
            "AND outcome = ? AND kind = 'revenue' GROUP BY 1, 2, 3",
            [*told, names.SUCCESS], width=5,
        ):  # fmt: skip
            if currency in EXPONENTS:
                revenue = found.setdefault(operation, _no_bands())[int(number)].revenue
                before = revenue.get(currency, (0, 0))
                revenue[currency] = before[0] + count, before[1] + whole(minor)
    return found


def _bands_of_events(connection: Reader, asked: Asked, sql: list[str]) -> Bands:
    cases = " ".join(f"WHEN duration_s <= {bound} THEN {number}" for number, bound in enumerate(TOOK_S))
    conditions, values = where_sql(asked.where)
    traffic_is, traffic_values = traffic_sql(asked)
    found: Bands = {}
    for operation, number, outcome, currency, count, told, minor in at_once(
        connection, sql,
        f"SELECT json_array(coalesce(operation, ''), CASE {cases} ELSE {len(TOOK_S)} END, outcome, revenue_currency), "
        "count(*), count(revenue_minor), sum(revenue_minor) FROM events WHERE time_ns >= ? AND time_ns < ? "
        f"AND name = ? AND duration_s IS NOT NULL{conditions}{traffic_is} GROUP BY 1",
        [asked.since * 10**9, asked.until * 10**9, names.EVENT_OPERATION, *values, *traffic_values], width=4,
    ):  # fmt: skip
        of_operation = found.setdefault(str(operation), _no_bands())
        band = of_operation[int(number)]
        band.tried += count
        if outcome == names.SUCCESS:
            band.good += count
            if told and currency in EXPONENTS:
                before = band.revenue.get(currency, (0, 0))
                band.revenue[currency] = before[0] + told, before[1] + whole(minor)
    return found


def missed(of_operation: Sequence[Band]) -> list[float | None]:
    """How many more of each band would have succeeded at the rate of the fastest one with enough runs."""
    fast = next((band for band in of_operation if band.tried >= _ENOUGH), None)
    is_behind = False
    found: list[float | None] = []
    for band in of_operation:
        told = fast is not None and is_behind and band.tried >= _ENOUGH
        found.append(max(0.0, fast.rate - band.rate) * band.tried if fast is not None and told else None)
        is_behind = is_behind or band is fast
    return found


def cost(found: Bands, asked: Asked, counted: Counted, sql: Sequence[str]) -> Table:
    """How operations end by how long they take, and what that may cost."""
    codes = sorted({code for of_operation in found.values() for band in of_operation for code in band.revenue})
    rows: list[list[Any]] = []
    lost_of: dict[str, float] = dict.fromkeys(codes, 0.0)
    by_size = sorted(found.items(), key=lambda each: (-sum(len(band.revenue) for band in each[1]), each[0]))
    for operation, of_operation in by_size:
        for label, band, more in zip(_LABELS, of_operation, missed(of_operation), strict=True):
            lost: list[int | None] = []
            for code in codes:
                _, minor = band.revenue.get(code, (0, 0))
                value = round(more * minor / band.good) if more is not None and minor and band.good else None
                lost_of[code] += value or 0
                lost.append(value)
            if band.tried:
                more_said = None if more is None else round(more)
                rows.append([operation, label, band.tried, (band.good, band.tried), more_said, *lost])
    columns = [
        Column("Operation", "value", "operation"), Column("Took", "text"), Column("Tried", "count", bar=True),
        Column("Succeeded", "rate"), Column("Missed", "count"),
        *(Column(f"Missed {code}", "money", code) for code in codes),
    ]  # fmt: skip
    return Table(
        "cost", "What slow operations cost", columns, rows,
        About(
            "Operations by their duration. Missed is how many more would have succeeded at the rate of the "
            f"same operation's fastest group with at least {_ENOUGH} runs, and what these bring at the average of "
            "their own group.",
            sum(band.tried for of_operation in found.values() for band in of_operation), "events (the table events)",
            False, counted.hidden, 0, sql,
            ("An estimate: that slow ones end worse does not prove that slowness is why.",),
        ),
        lead=_lead(lost_of, (asked.until - asked.since) / 3600),
        empty="No operation of this period tells how long it took.",
        shown=30,
    )  # fmt: skip


def _lead(lost_of: Mapping[str, float], hours: float) -> str:
    said = [
        f"{_show.money(round(minor), code)} {code} ({_show.money(round(minor / hours), code)} {code} an hour)"
        for code, minor in lost_of.items()
        if minor
    ]
    if not said:
        return "Slower operations did not end worse than fast ones, or there are too few of them to say so."
    return f"Had slow operations ended as well as fast ones, about {', '.join(said)} more would have been sold."
