"""
What the pages show, read from the events, and from what was counted of them per hour by facts together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any, Final

from bizspan import names
from bizspan._columns import DURATION, HOUR_MONEY, money_of_events, money_of_hours
from bizspan._currencies import EXPONENTS
from bizspan.page._counted import OPERATIONS, SOLD, Counted, Group
from bizspan.page._filter import CUSTOMERS, NOT_TOLD, Asked
from bizspan.page._of_minutes import add_series
from bizspan.page._queries import BASE, DIMENSIONS, HOUR, Facts, Reader, at_once, counts, stretches_by_facts
from bizspan.page._statements import Statements, traffic_sql, where_sql

_PART: Final = 5  # of a row: where the values of the dimensions begin


def from_events(
    connection: Reader, asked: Asked, dimensions: Sequence[str], step: int, facts: Facts | None, kinds: Sequence[str]
) -> Counted:
    """
    One pass over the events, grouped by all dimensions together: their cells are folded afterwards.

    What was counted by these facts is read instead, where the time within an hour does not matter. Where the minutes
    know the one filter there is, the series comes from them; else from the events.

    Args:
        connection: That reads.
        asked: The period and the filters.
        dimensions: Of the events' columns.
        step: Of the series, in seconds.
        facts: How far events were counted.
        kinds: What `kinds_of` says.
    """
    by_minutes = _one_dimension(asked)
    read = stretches_by_facts(facts, asked, (*dimensions, *asked.filters))
    is_apart = by_minutes is not None or (step % HOUR != 0 and read[0][0] == "hour_facts")
    found = Counted(step, "events, each once (the table events)", Statements(asked, False, step))
    rows: list[list[Any]] = []
    for table, since, until in read:
        part = replace(asked, since=since, until=until)
        later = facts.until_id if facts and table == facts.later else None
        for told in _cells(connection, _Read(table, later, dimensions, kinds, 0 if is_apart else step), part):
            if counts(asked, told[4] or ""):
                rows.append(told)
            else:
                _hide(found, dimensions, told, len(kinds))
    _add_cells(found, dimensions, kinds, rows)
    if by_minutes:
        add_series(connection, found, asked, *by_minutes)
    elif is_apart:
        cells = _cells(connection, _Read("events", None, (), kinds, step), asked)
        _add_times(found, [told for told in cells if counts(asked, told[4] or "")], kinds, _PART)
    else:
        _add_times(found, rows, kinds, _PART + len(dimensions))
    return found


@dataclass(frozen=True, slots=True)
class _Read:
    """
    What is read.

    Args:
        table: ``hour_facts``, or ``events`` and through which index.
        later: Of the events, those alone that came in after this one.
        dimensions: By which there is a row, beside time, name, operation, outcome and traffic.
        kinds: Of `HOUR_MONEY`.
        step: Of the time, in seconds; 0 for all of it together.
    """

    table: str
    later: int | None
    dimensions: Sequence[str]
    kinds: Sequence[str]
    step: int

    @property
    def time(self) -> tuple[str, int]:
        """The column that says when, and how many of its units a second has."""
        return ("hour", 1) if self.table == "hour_facts" else ("time_ns", 10**9)

    @property
    def keys(self) -> list[str]:
        """By which there is a row."""
        time, unit = self.time
        at = f"{time} / {self.step * unit} * {self.step}" if self.step else "0"
        currencies = [f"{kind}_currency" for kind in self.kinds]
        return [at, "name", "operation", "outcome", "traffic", *self.dimensions, *currencies]

    @property
    def sums(self) -> str:
        """What each row has; when a group was last seen is said of features alone."""
        if self.table == "hour_facts":
            return ", ".join(("sum(count), sum(timed), sum(duration_s), 0, 0", *map(money_of_hours, self.kinds)))
        ends = "min(time_ns), max(time_ns)" if "feature" in self.dimensions else "0, 0"
        return ", ".join((f"count(*), count({DURATION}), sum({DURATION})", ends, *map(money_of_events, self.kinds)))


def _cells(connection: Reader, read: _Read, asked: Asked) -> list[list[Any]]:
    """
    What there is, one row for what agrees in all that is asked for.

    Args:
        connection: That reads.
        read: From where, and by what.
        asked: The time and the filters.

    Returns:
        Rows of the keys; then how many, how many with a duration, seconds, the first and the last time; then of each
        kind of money how many, minor units, and how many are missing.
    """
    conditions, values = where_sql(asked.where)
    traffic_is, traffic_values = ("", []) if asked.traffic == CUSTOMERS else traffic_sql(asked)
    later_is, later = ("", []) if read.later is None else (" AND id > ?", [read.later])
    time, unit = read.time
    # What is filtered by is the same in all rows.
    same = {
        place: None if asked.filters[key] == NOT_TOLD else asked.filters[key]
        for place, key in enumerate(read.keys)
        if key in asked.filters
    }
    keys = ["NULL" if place in same else key for place, key in enumerate(read.keys)]
    found = at_once(
        connection, [],
        f"SELECT json_array({', '.join(keys)}), {read.sums} FROM {read.table} "
        f"WHERE {time} >= ? AND {time} < ?{later_is}{conditions}{traffic_is} GROUP BY 1",
        [asked.since * unit, asked.until * unit, *later, *values, *traffic_values], width=6 + 3 * len(read.kinds),
    )  # fmt: skip
    for place, value in same.items():
        for told in found:
            told[place] = value
    return found


def kinds_of(connection: Reader) -> list[str]:
    """The kinds of money that the store ever took in: to sort with those that it never had takes a third longer."""
    if connection.execute("SELECT 1 FROM dropped WHERE reason = 'again'").fetchall():
        return [*HOUR_MONEY]  # there may be others, of events that were not counted
    known = connection.execute("SELECT value FROM dimension_values WHERE dimension = 'money'").fetchall()
    return [kind for kind in HOUR_MONEY if (kind,) in known]


def _one_dimension(asked: Asked) -> tuple[str, str] | None:
    """The one dimension that is filtered by, where the minutes know it."""
    told = [(name, value) for name, value in asked.where if name not in BASE]
    is_known = len(told) == 1 and told[0][0] in DIMENSIONS and NOT_TOLD not in asked.filters.values()
    return told[0] if is_known else None


def _hide(found: Counted, dimensions: Sequence[str], row: Sequence[Any], kinds: int) -> None:
    end = _PART + len(dimensions)
    number = row[end + kinds]
    found.hidden += number
    found.hidden_of[OPERATIONS] += number if row[1] == names.EVENT_OPERATION else 0
    found.hidden_of.update(
        {dimension: number for dimension, value in zip(dimensions, row[_PART:end], strict=True) if value}
    )


def _add_cells(found: Counted, dimensions: Sequence[str], kinds: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """
    Add rows to the groups of each dimension. They are put together by column, and then added: one by one, by each
    dimension, would take six times as long.
    """
    if not rows:
        return
    columns = [*zip(*rows, strict=True)]
    end = _PART + len(dimensions)
    bases = [*zip(*columns[1:4], *columns[end : end + len(kinds)], strict=True)]
    numbers = columns[end + len(kinds) :]
    for dimension, values in (("", repeat(None)), *zip(dimensions, columns[_PART:end], strict=True)):
        places: dict[tuple[Any, ...], list[int]] = {}
        for place, key in enumerate(zip(values, bases, strict=False)):
            places.setdefault(key, []).append(place)
        for (value, base), of in places.items():
            _add_cell(
                found.group(dimension, value or ""), base, kinds, [[*map(each.__getitem__, of)] for each in numbers]
            )


def _add_cell(group: Group, base: tuple[Any, ...], kinds: Sequence[str], numbers: Sequence[Sequence[Any]]) -> None:
    name, operation, outcome = base[0], base[1] or "", base[2] or ""
    number = sum(numbers[0])
    first, last = min(numbers[3]), max(numbers[4])
    group.events += number
    group.first = min(group.first or first, first // 10**9 // 60 * 60)
    group.last = max(group.last, last // 10**9 // 60 * 60)
    for at_kind, kind in enumerate(kinds):
        of, minor, missing = map(_sum, numbers[5 + 3 * at_kind : 8 + 3 * at_kind])
        if of and base[3 + at_kind]:
            group.add_money((kind, base[3 + at_kind], operation, outcome), of, minor)
        if missing:
            group.add_money((kind, "", operation, outcome), missing, 0)
    if name == names.EVENT_OPERATION:
        group.operations[operation, outcome] += number
        before = group.timed.get(operation, (0, 0))
        seconds = sum(filter(None, numbers[2]))
        group.timed[operation] = before[0] + sum(numbers[1]), before[1] + round(seconds * 1e6)


def _sum(numbers: Sequence[Any]) -> int:
    """Of sums, which are NULL where there is nothing, and a text beyond 64 bits."""
    try:
        return sum(numbers)
    except TypeError:
        return sum(int(number or 0) for number in numbers)


def _add_times(found: Counted, rows: Sequence[Sequence[Any]], kinds: Sequence[str], end: int) -> None:
    """Add rows to operations and revenue over time."""
    is_sold = bool(kinds) and kinds[0] == "revenue"
    for row in rows:
        at, name, outcome, currency = row[0], row[1], row[3] or "", row[end] if is_sold else None
        number, _, _, _, _, *money = row[end + len(kinds) :]
        if name == names.EVENT_OPERATION:
            found.outcomes[at, outcome] += number
        if currency in EXPONENTS and money[0] and outcome in SOLD:
            found.revenue[at, currency] += int(money[1])
