"""
Whether a filter leaves so few records that nothing is said of them.

The rule is that of filtered KPIs. What a filter by customers' facts leaves is a group of the breakdown by these facts,
and is shown where that breakdown shows it: not where it is small, nor where it and the others that are shown would give
a small one away by subtraction, nor where that holds without one of the facts.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Final

from bizspan import names
from bizspan.page._blocks import Blocks
from bizspan.page._filter import CUSTOMERS, NOT_TOLD, Asked
from bizspan.page._html import Html, tag
from bizspan.page._queries import DIMENSIONS, at_once, facts_of, stretches, stretches_by_facts, within
from bizspan.page._statements import traffic_sql, where_sql

# What tells of the software, and not of who uses it.
_OF_SOFTWARE: Final = frozenset(
    {"service", "version", "environment", "operation", "outcome", "reason", "error_type", "feature", "flag", "variant"}
)
_FACTS_MOST: Final = 4  # as of KPIs
_SPLIT, _WITHIN, _NOTHING = "\x1f", "\x1e", "\x1d"

Values = tuple[str | None, ...]
Sizes = Mapping[Values, int]


class Guard:
    """
    Says what is not shown.

    Args:
        minimum: The least that is.
        blocks: Where what was counted before is kept.
    """

    def __init__(self, minimum: int, blocks: Blocks) -> None:
        self.minimum = minimum
        self._blocks = blocks

    def is_few(self, connection: sqlite3.Connection, asked: Asked) -> bool:
        """Whether nothing is to be said of what these filters leave."""
        told = [(name, value) for name, value in asked.where if name not in _OF_SOFTWARE]
        if not told or self.minimum <= 1:
            return False
        if len(told) > _FACTS_MOST or 0 < self.at_least(connection, asked) < self.minimum:
            return True
        facts = tuple(name for name, _ in told)
        wanted = tuple(None if value == NOT_TOLD else value for _, value in told)
        # Customers are a part of everybody, so what is hidden of theirs is hidden there as well.
        return any(
            self._is_dark(self._sizes(connection, replace(asked, traffic=traffic), facts), wanted)
            for traffic in dict.fromkeys((asked.traffic, CUSTOMERS))
        )

    def said(self) -> str:
        """What stands there instead."""
        return (
            f"Not shown: this filter leaves fewer than {self.minimum} records, or so few without it that they could be "
            "worked out. Remove a filter, or choose a longer period."
        )

    def note(self, asked: Asked) -> Html:
        """The same, as a section, with what to do."""
        remove = asked.to(**dict.fromkeys(asked.filters, ""))
        return tag(
            "section", tag("h2", "Too few to be shown"), tag("p", self.said()),
            tag("p", tag("a", "Remove all filters", href=remove)), class_="note", id="few",
        )  # fmt: skip

    def at_least(self, connection: sqlite3.Connection, asked: Asked) -> int:
        """How many records there are; not more than matters."""
        conditions, values = where_sql(asked.where)
        traffic_is, traffic_values = traffic_sql(asked)
        found: int = connection.execute(
            "SELECT count(*) FROM (SELECT 1 FROM events WHERE time_ns >= ? AND time_ns < ?"
            f"{conditions}{traffic_is} LIMIT {self.minimum})",
            [asked.since * 10**9, asked.until * 10**9, *values, *traffic_values],
        ).fetchone()[0]
        return found

    def _is_dark(self, sizes: Sizes, wanted: Values) -> bool:
        every = tuple(range(len(wanted)))
        if wanted in sizes:
            return wanted not in self._light(sizes, every)
        # That two facts never meet would tell that one of them is a part of the other.
        parts = [places for size in every[1:] for places in combinations(every, size)]
        return any(
            (part := tuple(wanted[place] for place in places)) in _summed(sizes, places)
            and part not in self._light(sizes, places)
            for places in parts
        )

    def _light(self, sizes: Sizes, places: Sequence[int]) -> set[Values]:
        """The groups by some of the facts that are shown."""
        from bizspan.kpi._small import too_small, totals

        found = dict(_summed(sizes, places))
        for less in combinations(range(len(places)), len(places) - 1) if len(places) > 1 else ():
            light = self._light(sizes, [places[at] for at in less])
            # What is hidden without a fact can't be what others hide behind.
            found |= {group: 0 for group in found if tuple(group[at] for at in less) not in light}
        hidden = too_small({(None, *group): size for group, size in found.items()}, self.minimum, totals)
        return {group for group in found if (None, *group) not in hidden}

    def _sizes(self, connection: sqlite3.Connection, asked: Asked, facts: tuple[str, ...]) -> Sizes:
        """How many records each group by these facts has."""
        if len(facts) == 1 and facts[0] in DIMENSIONS:
            sizes = _of_minutes(connection, asked, facts[0])
            if (names.OTHER,) not in sizes:
                return sizes

        counted = facts_of(connection)

        def of_piece(since: int, until: int) -> Sizes:
            found: Counter[Values] = Counter()
            for table, first, end in stretches_by_facts(counted, replace(asked, since=since, until=until), facts):
                part = replace(asked, since=first, until=end)
                if table == "hour_facts":
                    found.update(_of_hours(connection, part, facts))
                else:
                    later = counted.until_id if counted and table == counted.later else None
                    found.update(_of_events(connection, part, facts, table, later))
            return found

        found: Counter[Values] = Counter()
        question = "sizes", facts, asked.traffic
        for piece in self._blocks.over(connection, question, (asked.since, asked.until), of_piece, len):
            found.update(piece)
        return found


def _summed(sizes: Sizes, places: Sequence[int]) -> Sizes:
    if all(len(group) == len(places) for group in sizes):
        return sizes
    found: Counter[Values] = Counter()
    for group, size in sizes.items():
        found[tuple(group[place] for place in places)] += size
    return found


def _of_minutes(connection: sqlite3.Connection, asked: Asked, dimension: str) -> Sizes:
    traffic_is, traffic_values = traffic_sql(asked)
    found: Counter[Values] = Counter()
    for at, since, until in stretches(connection, asked):
        for of, value, number in at_once(
            connection, [],
            f"SELECT dimension, value, sum(count) FROM {at}_counts WHERE {within(at)} AND dimension IN ('', ?)"
            f"{traffic_is} GROUP BY 1, 2",
            [since, until, dimension, *traffic_values], width=3,
        ):  # fmt: skip
            found[(value if of else None,)] += number
    found[None,] -= sum(number for (value,), number in found.items() if value is not None)
    return +found


def _of_hours(connection: sqlite3.Connection, asked: Asked, facts: Sequence[str]) -> Sizes:
    traffic_is, traffic_values = traffic_sql(asked)
    rows = at_once(
        connection, [],
        f"SELECT json_array({', '.join(facts)}), sum(count) FROM hour_facts WHERE hour >= ? AND hour < ?{traffic_is} "
        "GROUP BY 1",
        [asked.since, asked.until, *traffic_values], width=2,
    )  # fmt: skip
    return {tuple(told): size for *told, size in rows}


def _of_events(
    connection: sqlite3.Connection, asked: Asked, facts: Sequence[str], table: str, later: int | None
) -> Sizes:
    """Without a sort, which would take three times as long: SQLite has no hash table, and Python has."""
    traffic_is, traffic_values = traffic_sql(asked)
    later_is, later_values = ("", []) if later is None else (" AND id > ?", [later])
    of = f"FROM {table} WHERE time_ns >= ? AND time_ns < ?{later_is}{traffic_is}"
    values = [asked.since * 10**9, asked.until * 10**9, *later_values, *traffic_values]
    key = f" || '{_WITHIN}' || ".join(f"coalesce({name}, '{_NOTHING}')" for name in facts)
    unclear = " + ".join(f"total({name} = '{_NOTHING}')" for name in facts)
    number, text, others = connection.execute(
        f"SELECT count(*), group_concat({key}, '{_SPLIT}'), {unclear} {of}", values
    ).fetchone()
    if not number:
        return {}
    keys = str(text).split(_SPLIT)
    found = {tuple(each.split(_WITHIN)): size for each, size in Counter(keys).items()}
    if not others and len(keys) == number and all(len(group) == len(facts) for group in found):
        return {tuple(None if value == _NOTHING else value for value in group): size for group, size in found.items()}
    rows = at_once(connection, [], f"SELECT json_array({', '.join(facts)}), count(*) {of} GROUP BY 1", values, width=2)
    return {tuple(told): size for *told, size in rows}
