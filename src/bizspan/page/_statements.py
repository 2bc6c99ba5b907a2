"""
SQL for people: of each table one statement that gives its figures, to be run on the store as it stands there.

The pages themselves add up what they know of hours that are over; these read the same rows, and say it in one go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bizspan import names
from bizspan._columns import COLUMNS, DURATION
from bizspan.page._filter import CUSTOMERS, EVERYBODY, NOT_TOLD, Asked

_OPERATION: Final = f"name = '{names.EVENT_OPERATION}'"
_SUCCESS: Final = f"outcome = '{names.SUCCESS}'"
_SOLD: Final = f"outcome IN ('', '{names.SUCCESS}')"
_LOST: Final = f"outcome IN ('{names.REJECTED}', '{names.FAILED}')"


def written(sql: str, values: Sequence[object]) -> str:
    """A statement with its values in it, for people."""
    parts = sql.split("?")
    return "".join(part + value for part, value in zip(parts, [*map(_quoted, values), ""], strict=True))


def _quoted(value: object) -> str:
    return str(value) if isinstance(value, int | float) else "'" + str(value).replace("'", "''") + "'"


def traffic_sql(asked: Asked, column: str = "traffic") -> tuple[str, list[object]]:
    """Whose traffic counts, as a condition behind others: `` AND ...``, or nothing."""
    if asked.traffic == EVERYBODY:
        return "", []
    if asked.traffic == CUSTOMERS:
        return f" AND coalesce({column}, '') IN ('', 'customer')", []
    return f" AND {column} = ?", [asked.traffic]


def where_sql(where: Sequence[tuple[str, str]]) -> tuple[str, list[object]]:
    """Filters on columns, as a condition behind others: `` AND ...``, or nothing."""
    parts, values = list[str](), list[object]()
    for column, value in where:  # checked: a column's name
        if value == NOT_TOLD:
            parts.append(f" AND {column} IS NULL")
        else:
            parts.append(f" AND {column} = ?")
            values.append(value)
    return "".join(parts), values


@dataclass(frozen=True, slots=True)
class Statements:
    """
    The statements of the tables of a page.

    Args:
        asked: The period and the filters.
        by_minutes: Whether the counts per minute are read, and not the events.
        cell_s: Over how many seconds a series is added up.
    """

    asked: Asked
    by_minutes: bool
    cell_s: int

    def breakdown(self, dimension: str, codes: Sequence[str]) -> str:
        """Revenue and operations by the values of a dimension; ``''`` is what does not tell it."""
        columns = [f'value AS "{dimension}"', *_amounts("Revenue", codes, _SOLD), *_counts(_SUCCESS, "Successes")]
        told = "FROM cells\nGROUP BY 1\nHAVING sum(n) > 0"
        return f"{self._cells(dimension, names.REVENUE)}\nSELECT {_listed(columns)}\n{told}"

    def features(self, codes: Sequence[str]) -> list[str]:
        """The same by feature with what failed; and when each was used last, ever."""
        failed = _counts(f"outcome = '{names.FAILED}'", "Failed")
        columns = ['value AS "feature"', 'sum(n) AS "Uses"', *_amounts("Revenue", codes, _SOLD), *failed]
        uses = "FROM cells\nWHERE value <> ''\nGROUP BY 1\nHAVING sum(n) > 0"
        last = 'SELECT value AS "feature", max(minute) AS "Last used"\nFROM minute_counts'
        return [
            f"{self._cells('feature', names.REVENUE)}\nSELECT {_listed(columns)}\n{uses}",
            f"{last}\nWHERE dimension = 'feature'\nGROUP BY 1",
        ]

    def outcomes(self, codes: Sequence[str]) -> str:
        """Operations by outcome and reason."""
        number = f"sum(CASE WHEN {_OPERATION} THEN n ELSE 0 END)"
        columns = [
            "operation", "outcome", 'value AS "reason"', f'{number} AS "Count"',
            f'sum({number}) OVER (PARTITION BY operation) AS "Of"', *_amounts("At stake", codes, _LOST),
        ]  # fmt: skip
        told = f"FROM cells\nGROUP BY operation, outcome, value\nHAVING {number} > 0\nORDER BY 1, 4 DESC, 3"
        return f"{self._cells('reason', names.VALUE)}\nSELECT {_listed(columns)}\n{told}"

    def conversion(self) -> str:
        """Operations, how they ended, and their mean time in seconds."""
        columns = [
            "operation", 'sum(n) AS "Tried"', f'sum(CASE WHEN {_SUCCESS} THEN n ELSE 0 END) AS "Succeeded"',
            f'sum(CASE WHEN {_LOST} THEN n ELSE 0 END) AS "Rejected or failed"',
            'sum(duration_us) / sum(timed) / 1e6 AS "Mean time"',
        ]  # fmt: skip
        told = f"FROM cells\nWHERE {_OPERATION}\nGROUP BY 1\nHAVING sum(n) > 0\nORDER BY 2 DESC, 1"
        return f"{self._cells('', names.REVENUE)}\nSELECT {_listed(columns)}\n{told}"

    def totals(self, codes: Sequence[str]) -> list[str]:
        """Of all together: events, operations, revenue; refunds; and what was at stake."""
        kinds = (
            (names.REVENUE, "Revenue", _SOLD), (names.REFUND, "Refunds", _SOLD), (names.VALUE, "At stake", _LOST),
        )  # fmt: skip
        lost = f'sum(CASE WHEN {_OPERATION} AND {_LOST} THEN n ELSE 0 END) AS "Rejected or failed"'
        found: list[str] = []
        for kind, title, counts in kinds:
            first = ['sum(n) AS "Events"', *_counts(_SUCCESS, "Successes"), lost] if kind == names.REVENUE else []
            columns = [*first, *_amounts(title, codes, counts)]
            if columns:
                found.append(f"{self._cells('', kind)}\nSELECT {_listed(columns)}\nFROM cells")
        return found

    def over_time(self, codes: Sequence[str]) -> str:
        """The same by time, from the events."""
        columns = [
            f'time_ns / {self.cell_s * 10**9} * {self.cell_s} AS "From, seconds since 1970"',
            *_amounts("Revenue", codes, _SOLD), *_counts(_SUCCESS, "Successes"),
        ]  # fmt: skip
        return f"{self._of_events('', names.REVENUE)}\nSELECT {_listed(columns)}\nFROM cells\nGROUP BY 1\nORDER BY 1"

    def _cells(self, dimension: str, kind: str) -> str:
        return self._of_minutes(dimension, kind) if self.by_minutes else self._of_events(dimension, kind)

    def _of_events(self, dimension: str, kind: str) -> str:
        value = f"coalesce({dimension}, '')" if dimension else "''"
        minor, code = (COLUMNS[key[kind]].name for key in (names.MINOR_UNITS_KEYS, names.CURRENCY_KEYS))
        within, values = self._within("time_ns", 10**9)
        return written(
            f"WITH cells AS (\n  SELECT {value} AS value, time_ns, name, coalesce(operation, '') AS operation, "
            f"coalesce(outcome, '') AS outcome,\n    1 AS n,\n    {DURATION} IS NOT NULL AS timed,\n    "
            f"{DURATION} * 1e6 AS duration_us,\n    {code} AS currency, {minor} AS minor\n"
            f"  FROM events\n  WHERE {within}\n)",
            values,
        )

    def _of_minutes(self, dimension: str, kind: str) -> str:
        """What does not tell the dimension is all, less what tells it."""
        within, values = self._within("minute", 1)
        of = f"dimension IN ('', '{dimension}')" if dimension else "dimension = ''"
        cells = "value, name, operation, outcome, n, timed, duration_us, currency, minor"
        untold = cells.replace("value, ", "'', ", 1).replace("n, timed", "-n, timed").replace("minor", "-minor")
        rest = f"\n  UNION ALL\n  SELECT {untold}\n  FROM found WHERE dimension <> ''" if dimension else ""
        return written(
            "WITH found AS (\n  SELECT dimension, value, name, operation, outcome, count AS n, timed, duration_us, "
            f"'' AS currency, 0 AS minor\n  FROM minute_counts\n  WHERE {within} AND {of}\n  UNION ALL\n"
            "  SELECT dimension, value, name, operation, outcome, 0, 0, 0, currency, minor\n  FROM minute_money\n"
            f"  WHERE {within} AND {of} AND kind = ?\n), cells AS (\n  SELECT {cells}\n  FROM found{rest}\n)",
            [*values, *values, kind.removeprefix("business.")],
        )

    def _within(self, column: str, unit: int) -> tuple[str, list[object]]:
        where, where_values = where_sql(self.asked.where)
        traffic, traffic_values = traffic_sql(self.asked)
        period = [self.asked.since * unit, self.asked.until * unit]
        return f"{column} >= ? AND {column} < ?{where}{traffic}", [*period, *where_values, *traffic_values]


def _amounts(title: str, codes: Sequence[str], counts: str) -> list[str]:
    return [
        f"sum(CASE WHEN currency = '{code}' AND {counts} THEN minor END) AS \"{title} {code}, minor units\""
        for code in codes
    ]


def _counts(condition: str, title: str) -> list[str]:
    return [
        f'sum(CASE WHEN {_OPERATION} THEN n ELSE 0 END) AS "Operations"',
        f'sum(CASE WHEN {_OPERATION} AND {condition} THEN n ELSE 0 END) AS "{title}"',
    ]


def _listed(columns: Sequence[str]) -> str:
    return ",\n  ".join(columns)
