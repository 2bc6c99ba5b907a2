"""
What the pages show, read from the store: from the counts per minute and hour where they can tell it, from the events
otherwise.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import repeat
from typing import Any, Final, Protocol

from bizspan import names
from bizspan._columns import COLUMNS
from bizspan._currencies import EXPONENTS
from bizspan.page._blocks import Blocks
from bizspan.page._counted import OPERATIONS, SOLD, Counted, Group
from bizspan.page._filter import CUSTOMERS, EVERYBODY, NOT_TOLD, Asked
from bizspan.page._points import cell_of, step_of
from bizspan.page._statements import Statements, traffic_sql, where_sql, written

DIMENSIONS: Final = ("reason", "segment", "country", "channel", "campaign", "feature", "version")
_BASE: Final = frozenset({"operation", "outcome"})  # the minutes know them beside any dimension
HOUR: Final = 3_600
_CUSTOMER: Final = ("", "customer")
_MONEY: Final = tuple(
    (
        kind.removeprefix("business."),
        COLUMNS[names.MINOR_UNITS_KEYS[kind]].name,
        COLUMNS[names.CURRENCY_KEYS[kind]].name,
        COLUMNS[names.AMOUNT_INVALID_KEYS[kind]].name,
    )
    for kind in (names.REVENUE, names.REFUND, names.VALUE)
)

Cell = tuple[str, str, str, str, str]  # value, name, operation, outcome, and the currency or ""


def count(
    connection: sqlite3.Connection, asked: Asked, dimensions: Sequence[str], blocks: Blocks | None = None
) -> Counted:
    """
    What the period holds, altogether and by these dimensions.

    Args:
        connection: That reads, in a transaction.
        asked: The period and the filters.
        dimensions: Of `DIMENSIONS`, or any column where the events are read.
        blocks: Where what was counted before is kept.
    """
    by_minutes = is_of_minutes(asked) and set(dimensions) <= {*DIMENSIONS}
    read = _from_minutes if by_minutes else _from_events
    step = step_of(asked)
    cell_s = cell_of(asked, step)
    found = read(Unasked(), asked, dimensions, cell_s)
    found.step = step
    question = read.__name__, asked.where, asked.traffic, tuple(dimensions), cell_s

    def of_piece(since: int, until: int) -> Counted:
        return read(connection, replace(asked, since=since, until=until), dimensions, cell_s)

    kept = blocks or Blocks()
    for piece in kept.over(connection, question, (asked.since, asked.until), of_piece, lambda each: each.cells):
        found.add(piece)
    if by_minutes:
        _add_untold(found, dimensions)
    return found


def is_of_minutes(asked: Asked) -> bool:
    """Whether the minutes know what is asked for, as far as the filters go."""
    return asked.filters.keys() <= _BASE and NOT_TOLD not in asked.filters.values()


class Reader(Protocol):
    """What runs a query."""

    def execute(self, sql: str, values: Any = ..., /) -> Any:
        """Its rows come from `fetchall` of this."""
        ...


class Unasked:
    """In the place of a connection, where it is the SQL that is wanted, and nothing is to be run."""

    def execute(self, sql: str, values: Any = (), /) -> Unasked:
        """Nothing is run."""
        return self

    def fetchall(self) -> list[Any]:
        """No rows."""
        return []


def ran(connection: Reader, into: list[str], sql: str, values: Sequence[object]) -> list[Any]:
    """The rows of a query, which is noted as one can run it."""
    from bizspan.kpi._source import fetched

    into.append(written(sql, values))
    return fetched(connection, sql, values) if isinstance(connection, sqlite3.Connection) else []


def whole(minor: float | str) -> int:
    """A sum of minor units: a text beyond 64 bits, and a floating-point number where that came up in one minute."""
    return round(minor) if isinstance(minor, float) else int(minor)


# --- from the counts per minute -------------------------------------------------------------------------------------


def _from_minutes(connection: Reader, asked: Asked, dimensions: Sequence[str], step: int) -> Counted:
    found = Counted(
        step, "events, each counted once when it came in (minute_counts, minute_money)", Statements(asked, True, step)
    )
    base, base_values = where_sql(asked.where)
    listed = ", ".join(f"'{each}'" for each in ("", *dimensions))
    for at, since, until in stretches(connection, asked):
        ends = "min(first), max(last)" if at == "hour" else "min(minute), max(minute)"
        for row in ran(
            connection, [],
            "SELECT json_array(dimension, value, name, operation, outcome, traffic), sum(count), sum(timed), "
            f"sum(duration_us), {ends} FROM {at}_counts WHERE {within(at)}"
            f"{base} AND dimension IN ({listed}) GROUP BY 1",
            [since, until, *base_values],
        ):  # fmt: skip
            _add_counts(found, asked, cell(row))
        for row in ran(
            connection, [],
            "SELECT json_array(dimension, value, operation, outcome, traffic, kind, currency), sum(count), sum(minor) "
            f"FROM {at}_money WHERE {within(at)}{base} AND dimension IN ({listed}) GROUP BY 1",
            [since, until, *base_values],
        ):  # fmt: skip
            dimension, value, operation, outcome, traffic, kind, currency, number, minor = cell(row)
            if _counts(asked, traffic):
                found.is_exact = found.is_exact and not isinstance(minor, float)
                found.group(dimension, value).add_money((kind, currency, operation, outcome), number, whole(minor))
    _add_series(connection, found, asked, "", "")
    return found


def stretches(connection: Reader, asked: Asked) -> list[tuple[str, int, int]]:
    """
    From which counts a period is read: ``hour`` or ``minute``, since when and until when.

    Hours that were added up, and the minutes of the others; minutes alone for people, who see one statement.
    """
    first, end = -(-asked.since // HOUR) * HOUR, asked.until // HOUR * HOUR
    if isinstance(connection, Unasked) or first >= end:
        return [("minute", asked.since, asked.until)]
    opened = connection.execute(
        "SELECT hour FROM open_hours WHERE hour >= ? AND hour < ? ORDER BY hour", (first, end)
    ).fetchall()
    minutes = [(asked.since, first), *((hour, hour + HOUR) for (hour,) in opened), (end, asked.until)]
    merged: list[tuple[int, int]] = []
    for since, until in minutes:
        if merged and merged[-1][1] == since:
            merged[-1] = merged[-1][0], until
        elif since < until:
            merged.append((since, until))
    # An empty list leaves no hour: all of them are open, one after the other.
    is_hourly = merged != [(asked.since, asked.until)]
    return [*([("hour", first, end)] if is_hourly else []), *(("minute", *each) for each in merged)]


def within(at: str) -> str:
    """The condition of a stretch; hours that are open are not added up."""
    closed = " AND hour NOT IN (SELECT hour FROM open_hours)" if at == "hour" else ""
    return f"{at} >= ? AND {at} < ?{closed}"


def _add_series(connection: Reader, found: Counted, asked: Asked, dimension: str, value: str) -> None:
    """Operations and revenue over time, of one cell of the minutes."""
    traffic_is, traffic_values = traffic_sql(asked)
    base_is, base_values = where_sql([(name, told) for name, told in asked.where if name in _BASE])
    step = found.step
    read = stretches(connection, asked) if step % HOUR == 0 else [("minute", asked.since, asked.until)]
    for of, since, until in read:
        values = [since, until, *base_values, dimension, value]
        for at, outcome, number in ran(
            connection, found.sql,
            f"SELECT {of} / {step} * {step}, outcome, sum(count) FROM {of}_counts WHERE {within(of)}"
            f"{base_is} AND dimension = ? AND value = ? AND name = ?{traffic_is} GROUP BY 1, 2",
            [*values, names.EVENT_OPERATION, *traffic_values],
        ):  # fmt: skip
            found.outcomes[at, outcome] += number
        for at, currency, minor in ran(
            connection, found.sql,
            f"SELECT {of} / {step} * {step}, currency, sum(minor) FROM {of}_money WHERE {within(of)}"
            f"{base_is} AND dimension = ? AND value = ? AND kind = 'revenue' AND currency <> '' "
            f"AND outcome IN ('', 'success'){traffic_is} GROUP BY 1, 2",
            [*values, *traffic_values],
        ):  # fmt: skip
            if currency in EXPONENTS:
                found.revenue[at, currency] += whole(minor)


def cell(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """A row whose first value holds what it is grouped by: one key is sorted in two thirds of the time of many."""
    return (*json.loads(row[0]), *row[1:])


def _counts(asked: Asked, traffic: str) -> bool:
    if asked.traffic == CUSTOMERS:
        return traffic in _CUSTOMER
    return asked.traffic in (EVERYBODY, traffic)


def _add_counts(found: Counted, asked: Asked, row: tuple[Any, ...]) -> None:
    dimension, value, name, operation, outcome, traffic, number, timed, duration_us, first, last = row
    if not _counts(asked, traffic):
        if dimension:
            found.hidden_of[dimension] += number
        else:
            found.hidden += number
            found.hidden_of[OPERATIONS] += number if name == names.EVENT_OPERATION else 0
        return
    group = found.group(dimension, value)
    group.events += number
    group.first = min(group.first or first, first)
    group.last = max(group.last, last)
    if name == names.EVENT_OPERATION:
        group.operations[operation, outcome] += number
        before = group.timed.get(operation, (0, 0))
        group.timed[operation] = before[0] + timed, before[1] + round(duration_us)


def _add_untold(found: Counted, dimensions: Iterable[str]) -> None:
    """What does not tell a dimension: what all have, less what its values have."""
    for dimension in dimensions:
        values = list(found.by(dimension).values())
        rest = Group(found.all.events - sum(each.events for each in values))
        rest.operations = +(
            found.all.operations - sum((each.operations for each in values), Counter[tuple[str, str]]())
        )
        for key, (number, minor) in found.all.money.items():
            told = [each.money.get(key, (0, 0)) for each in values]
            left = number - sum(n for n, _ in told), minor - sum(m for _, m in told)
            if left != (0, 0):
                rest.money[key] = left
        if rest.events:
            found.groups.setdefault(dimension, {})[""] = rest


# --- from the events ------------------------------------------------------------------------------------------------


def _from_events(connection: Reader, asked: Asked, dimensions: Sequence[str], step: int) -> Counted:
    """
    One pass over the events, grouped by all dimensions together: their cells are folded afterwards.

    Where the minutes know the one filter there is, the series comes from them; otherwise each cell has its time too.
    """
    found = Counted(step, "events, each once (the table events)", Statements(asked, False, step))
    by_minutes = _one_dimension(asked)
    conditions, values = where_sql(asked.where)
    traffic_is, traffic_values = ("", []) if asked.traffic == CUSTOMERS else traffic_sql(asked)
    at = "0" if by_minutes else f"time_ns / {step * 10**9} * {step}"
    keys = [at, "name", "operation", "outcome", "traffic", *dimensions]
    within_is = f"FROM events WHERE time_ns >= ? AND time_ns < ?{conditions}{traffic_is}"
    told_values = [asked.since * 10**9, asked.until * 10**9, *values, *traffic_values]
    kinds = _kinds(connection)
    keys += [currency if kind in kinds else "NULL" for kind, _, currency, _ in _MONEY]
    # What is filtered by is the same in all rows; when a group was last seen is said of features alone.
    same = {
        place: None if asked.filters[key] == NOT_TOLD else asked.filters[key]
        for place, key in enumerate(keys)
        if key in asked.filters
    }
    keys = ["NULL" if place in same else key for place, key in enumerate(keys)]
    ends = "min(time_ns), max(time_ns)" if "feature" in dimensions else "0, 0"
    # Refused, or told in part, is missing: as in the minutes, and as KPIs have it.
    sums = ", ".join(
        f"count({minor}), sum({minor}), sum({invalid} IS NOT NULL OR ({minor} IS NULL) <> ({currency} IS NULL))"
        if kind in kinds
        else "0, NULL, 0"
        for kind, minor, currency, invalid in _MONEY
    )
    rows: list[list[Any]] = []
    for row in ran(
        connection, [],
        f"SELECT json_array({', '.join(keys)}), count(*), count(duration_s), sum(duration_s), {ends}, "
        f"{sums} {within_is} GROUP BY 1",
        told_values,
    ):  # fmt: skip
        told = [*cell(row)]
        for place, value in same.items():
            told[place] = value
        if _counts(asked, told[4] or ""):
            rows.append(told)
        else:
            _hide(found, dimensions, told)
    _add_cells(found, dimensions, rows)
    if by_minutes:
        _add_series(connection, found, asked, *by_minutes)
    else:
        _add_times(found, rows, 5 + len(dimensions))
    return found


def _kinds(connection: Reader) -> frozenset[str]:
    """The kinds of money that the store ever took in: to sort with those that it never had takes a third longer."""
    if connection.execute("SELECT 1 FROM dropped WHERE reason = 'again'").fetchall():
        return frozenset(kind for kind, *_ in _MONEY)  # there may be others, of events that were not counted
    return frozenset(
        kind
        for (kind,) in connection.execute("SELECT value FROM dimension_values WHERE dimension = 'money'").fetchall()
    )


def _one_dimension(asked: Asked) -> tuple[str, str] | None:
    """The one dimension that is filtered by, where the minutes know it."""
    told = [(name, value) for name, value in asked.where if name not in _BASE]
    is_known = len(told) == 1 and told[0][0] in DIMENSIONS and NOT_TOLD not in asked.filters.values()
    return told[0] if is_known else None


def _hide(found: Counted, dimensions: Sequence[str], row: Sequence[Any]) -> None:
    end = 5 + len(dimensions)
    number = row[end + len(_MONEY)]
    found.hidden += number
    found.hidden_of[OPERATIONS] += number if row[1] == names.EVENT_OPERATION else 0
    found.hidden_of.update(
        {dimension: number for dimension, value in zip(dimensions, row[5:end], strict=True) if value}
    )


def _add_cells(found: Counted, dimensions: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """
    Add rows to the groups of each dimension. They are put together by column, and then added: one by one, by each
    dimension, would take six times as long.
    """
    if not rows:
        return
    columns = [*zip(*rows, strict=True)]
    end = 5 + len(dimensions)
    bases = [*zip(*columns[1:4], *columns[end : end + len(_MONEY)], strict=True)]
    numbers = columns[end + len(_MONEY) :]
    for dimension, values in (("", repeat(None)), *zip(dimensions, columns[5:end], strict=True)):
        places: dict[tuple[Any, ...], list[int]] = {}
        for place, key in enumerate(zip(values, bases, strict=False)):
            places.setdefault(key, []).append(place)
        for (value, base), of in places.items():
            _add_cell(
                found.group(dimension, value or ""), base, [[column[place] for place in of] for column in numbers]
            )


def _add_cell(group: Group, base: tuple[Any, ...], numbers: Sequence[Sequence[Any]]) -> None:
    name, operation, outcome = base[0], base[1] or "", base[2] or ""
    number = sum(numbers[0])
    first, last = min(numbers[3]), max(numbers[4])
    group.events += number
    group.first = min(group.first or first, first // 10**9 // 60 * 60)
    group.last = max(group.last, last // 10**9 // 60 * 60)
    for at_kind, (kind, *_) in enumerate(_MONEY):
        of, minor, missing = (
            sum(int(number or 0) for number in each) for each in numbers[5 + 3 * at_kind : 8 + 3 * at_kind]
        )
        if of and base[3 + at_kind]:
            group.add_money((kind, base[3 + at_kind], operation, outcome), of, minor)
        if missing:
            group.add_money((kind, "", operation, outcome), missing, 0)
    if name == names.EVENT_OPERATION:
        group.operations[operation, outcome] += number
        before = group.timed.get(operation, (0, 0))
        seconds = sum(filter(None, numbers[2]))
        group.timed[operation] = before[0] + sum(numbers[1]), before[1] + round(seconds * 1e6)


def _add_times(found: Counted, rows: Sequence[Sequence[Any]], end: int) -> None:
    """Add rows to operations and revenue over time."""
    for row in rows:
        at, name, outcome, currency = row[0], row[1], row[3] or "", row[end]
        number, _, _, _, _, sold, minor = row[end + len(_MONEY) : end + len(_MONEY) + 7]
        if name == names.EVENT_OPERATION:
            found.outcomes[at, outcome] += number
        if sold and currency in EXPONENTS and outcome in SOLD:
            found.revenue[at, currency] += int(minor)
