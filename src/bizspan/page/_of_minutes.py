"""
What the pages show, read from the counts per minute and hour.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from bizspan import names
from bizspan._currencies import EXPONENTS
from bizspan.page._counted import OPERATIONS, Counted, Group
from bizspan.page._filter import Asked
from bizspan.page._queries import BASE, HOUR, Reader, at_once, counts, stretches, whole, within
from bizspan.page._statements import Statements, traffic_sql, where_sql


def from_minutes(connection: Reader, asked: Asked, dimensions: Sequence[str], step: int) -> Counted:
    found = Counted(
        step, "events, each counted once when it came in (minute_counts, minute_money)", Statements(asked, True, step)
    )
    base, base_values = where_sql(asked.where)
    listed = ", ".join(f"'{each}'" for each in ("", *dimensions))
    for at, since, until in stretches(connection, asked):
        ends = "min(first), max(last)" if at == "hour" else "min(minute), max(minute)"
        for row in at_once(
            connection, [],
            "SELECT json_array(dimension, value, name, operation, outcome, traffic), sum(count), sum(timed), "
            f"sum(duration_us), {ends} FROM {at}_counts WHERE {within(at)}"
            f"{base} AND dimension IN ({listed}) GROUP BY 1",
            [since, until, *base_values], width=6,
        ):  # fmt: skip
            _add_counts(found, asked, row)
        for row in at_once(
            connection, [],
            "SELECT json_array(dimension, value, operation, outcome, traffic, kind, currency), sum(count), sum(minor) "
            f"FROM {at}_money WHERE {within(at)}{base} AND dimension IN ({listed}) GROUP BY 1",
            [since, until, *base_values], width=3,
        ):  # fmt: skip
            dimension, value, operation, outcome, traffic, kind, currency, number, minor = row
            if counts(asked, traffic):
                found.is_exact = found.is_exact and not isinstance(minor, float)
                found.group(dimension, value).add_money((kind, currency, operation, outcome), number, whole(minor))
    add_series(connection, found, asked, "", "")
    return found


def add_series(connection: Reader, found: Counted, asked: Asked, dimension: str, value: str) -> None:
    """Operations and revenue over time, of one cell of the minutes."""
    traffic_is, traffic_values = traffic_sql(asked)
    base_is, base_values = where_sql([(name, told) for name, told in asked.where if name in BASE])
    step = found.step
    read = stretches(connection, asked) if step % HOUR == 0 else [("minute", asked.since, asked.until)]
    for of, since, until in read:
        values = [since, until, *base_values, dimension, value]
        for at, outcome, number in at_once(
            connection, found.sql,
            f"SELECT {of} / {step} * {step}, outcome, sum(count) FROM {of}_counts WHERE {within(of)}"
            f"{base_is} AND dimension = ? AND value = ? AND name = ?{traffic_is} GROUP BY 1, 2",
            [*values, names.EVENT_OPERATION, *traffic_values], width=3,
        ):  # fmt: skip
            found.outcomes[at, outcome] += number
        for at, currency, minor in at_once(
            connection, found.sql,
            f"SELECT {of} / {step} * {step}, currency, sum(minor) FROM {of}_money WHERE {within(of)}"
            f"{base_is} AND dimension = ? AND value = ? AND kind = 'revenue' AND currency <> '' "
            f"AND outcome IN ('', 'success'){traffic_is} GROUP BY 1, 2",
            [*values, *traffic_values], width=3,
        ):  # fmt: skip
            if currency in EXPONENTS:
                found.revenue[at, currency] += whole(minor)


def _add_counts(found: Counted, asked: Asked, row: Sequence[Any]) -> None:
    dimension, value, name, operation, outcome, traffic, number, timed, duration_us, first, last = row
    if not counts(asked, traffic):
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


def add_untold(found: Counted, dimensions: Iterable[str]) -> None:
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
