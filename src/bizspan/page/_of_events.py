"""
What the pages show, read from the events, and from what hours that are over have of them by facts together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import repeat
from typing import Any, Final

from bizspan import names
from bizspan._columns import COLUMNS, HOUR_FACTS
from bizspan._currencies import EXPONENTS
from bizspan.page._counted import OPERATIONS, SOLD, Counted, Group
from bizspan.page._filter import CUSTOMERS, NOT_TOLD, Asked
from bizspan.page._of_minutes import add_series
from bizspan.page._queries import BASE, DIMENSIONS, HOUR, Reader, all_events, cell, counts, fact_stretches, ran
from bizspan.page._statements import Statements, traffic_sql, where_sql

_MONEY: Final = tuple(
    (
        kind.removeprefix("business."),
        COLUMNS[names.MINOR_UNITS_KEYS[kind]].name,
        COLUMNS[names.CURRENCY_KEYS[kind]].name,
        COLUMNS[names.AMOUNT_INVALID_KEYS[kind]].name,
    )
    for kind in (names.REVENUE, names.REFUND, names.VALUE)
)
_PART: Final = 5  # of a row: where the values of the dimensions begin


def from_events(connection: Reader, asked: Asked, dimensions: Sequence[str], step: int) -> Counted:
    """
    One pass over the events, grouped by all dimensions together: their cells are folded afterwards.

    Hours that were counted by these facts are read instead, where the time within an hour does not matter. Where the
    minutes know the one filter there is, the series comes from them; else from the events.
    """
    by_minutes = _one_dimension(asked)
    is_of_hours = {*dimensions, *asked.filters} <= {*HOUR_FACTS}
    read = fact_stretches(connection, asked) if is_of_hours else all_events(asked)
    is_apart = by_minutes is not None or (step % HOUR != 0 and read != all_events(asked))
    found = Counted(step, "events, each once (the table events)", Statements(asked, False, step))
    rows: list[list[Any]] = []
    for table, since, until in read:
        part = replace(asked, since=since, until=until)
        for told in _cells(connection, table, part, dimensions, 0 if is_apart else step):
            if counts(asked, told[4] or ""):
                rows.append(told)
            else:
                _hide(found, dimensions, told)
    _add_cells(found, dimensions, rows)
    if by_minutes:
        add_series(connection, found, asked, *by_minutes)
    elif is_apart:
        cells = _cells(connection, "events", asked, (), step)
        _add_times(found, [told for told in cells if counts(asked, told[4] or "")], _PART)
    else:
        _add_times(found, rows, _PART + len(dimensions))
    return found


def _cells(connection: Reader, table: str, asked: Asked, dimensions: Sequence[str], step: int) -> list[list[Any]]:
    """
    What there is, one row for what agrees in all that is asked for.

    Args:
        connection: That reads.
        table: ``events`` or ``hour_facts``.
        asked: The time and the filters.
        dimensions: Beside name, operation, outcome and traffic.
        step: Of the time, in seconds; 0 for all of it together.

    Returns:
        Rows of time, name, operation, outcome, traffic, the dimensions, and the currency of each kind of money; then
        how many, how many with a duration, seconds, the first and the last time; then of each kind how many, minor
        units, and how many are missing.
    """
    conditions, values = where_sql(asked.where)
    traffic_is, traffic_values = ("", []) if asked.traffic == CUSTOMERS else traffic_sql(asked)
    time, unit = ("time_ns", 10**9) if table == "events" else ("hour", 1)
    keys = [f"{time} / {step * unit} * {step}" if step else "0", "name", "operation", "outcome", "traffic", *dimensions]
    kinds = _kinds(connection)
    keys += [currency if kind in kinds else "NULL" for kind, _, currency, _ in _MONEY]
    # What is filtered by is the same in all rows; when a group was last seen is said of features alone.
    same = {
        place: None if asked.filters[key] == NOT_TOLD else asked.filters[key]
        for place, key in enumerate(keys)
        if key in asked.filters
    }
    keys = ["NULL" if place in same else key for place, key in enumerate(keys)]
    rows = ran(
        connection, [],
        f"SELECT json_array({', '.join(keys)}), {_sums(table, kinds, 'feature' in dimensions)} FROM {table} "
        f"WHERE {time} >= ? AND {time} < ?{conditions}{traffic_is} GROUP BY 1",
        [asked.since * unit, asked.until * unit, *values, *traffic_values],
    )  # fmt: skip
    found = [[*cell(row)] for row in rows]
    for place, value in same.items():
        for told in found:
            told[place] = value
    return found


def _sums(table: str, kinds: frozenset[str], has_ends: bool) -> str:
    if table == "hour_facts":
        numbers = ", ".join(
            f"sum({kind}_count), sum({minor}), sum({kind}_missing)" if kind in kinds else "0, NULL, 0"
            for kind, minor, _, _ in _MONEY
        )
        return f"sum(count), sum(timed), sum(duration_s), 0, 0, {numbers}"
    # Refused, or told in part, is missing: as in the minutes, and as KPIs have it.
    numbers = ", ".join(
        f"count({minor}), sum({minor}), sum({invalid} IS NOT NULL OR ({minor} IS NULL) <> ({currency} IS NULL))"
        if kind in kinds
        else "0, NULL, 0"
        for kind, minor, currency, invalid in _MONEY
    )
    ends = "min(time_ns), max(time_ns)" if has_ends else "0, 0"
    return f"count(*), count(duration_s), sum(duration_s), {ends}, {numbers}"


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
    told = [(name, value) for name, value in asked.where if name not in BASE]
    is_known = len(told) == 1 and told[0][0] in DIMENSIONS and NOT_TOLD not in asked.filters.values()
    return told[0] if is_known else None


def _hide(found: Counted, dimensions: Sequence[str], row: Sequence[Any]) -> None:
    end = _PART + len(dimensions)
    number = row[end + len(_MONEY)]
    found.hidden += number
    found.hidden_of[OPERATIONS] += number if row[1] == names.EVENT_OPERATION else 0
    found.hidden_of.update(
        {dimension: number for dimension, value in zip(dimensions, row[_PART:end], strict=True) if value}
    )


def _add_cells(found: Counted, dimensions: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """
    Add rows to the groups of each dimension. They are put together by column, and then added: one by one, by each
    dimension, would take six times as long.
    """
    if not rows:
        return
    columns = [*zip(*rows, strict=True)]
    end = _PART + len(dimensions)
    bases = [*zip(*columns[1:4], *columns[end : end + len(_MONEY)], strict=True)]
    numbers = columns[end + len(_MONEY) :]
    for dimension, values in (("", repeat(None)), *zip(dimensions, columns[_PART:end], strict=True)):
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
