"""
The tables of the pages, made from what was counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from bizspan import names
from bizspan.page._counted import OPERATIONS, Counted, Group
from bizspan.page._filter import Asked
from bizspan.page._tables import FEW, About, Column, Table

CURRENCIES_SHOWN: Final = 3
_LOST: Final = (names.REJECTED, names.FAILED)
TITLES: Final[Mapping[str, str]] = {
    "segment": "Revenue by segment",
    "country": "Revenue by country",
    "channel": "Revenue by channel",
    "campaign": "Campaigns",
    "feature": "Features",
}


def about(
    counted: Counted, definition: str, n: int, *notes: str, sql: Sequence[str], missing: int | None = None, of: str = ""
) -> About:
    """
    What stands beside figures that were counted here.

    Args:
        counted: Where they are from.
        definition: What they are.
        n: From how many records.
        notes: What else is to know.
        sql: How they are read.
        missing: How many amounts are missing, if not those of all revenue.
        of: What they are made of, if not all events: `OPERATIONS`, or the events that tell a dimension.
    """
    return About(
        definition, n, counted.basis, counted.is_exact, counted.hidden_of[of] if of else counted.hidden,
        counted.all.missing() if missing is None else missing, sql, notes,
    )  # fmt: skip


def currencies(groups: Sequence[Group], kind: str = "revenue") -> list[str]:
    """Which there are, that of the most records first."""
    found: dict[str, int] = {}
    for group in groups:
        for (which, currency, *_), (number, _) in group.money.items():
            if which == kind and currency:
                found[currency] = found.get(currency, 0) + number
    return sorted(found, key=lambda code: (-found[code], code))


def breakdown(counted: Counted, dimension: str, minimum: int) -> Table:
    """Revenue, operations and how many succeed, by the values of a dimension: of groups as large as KPIs show them."""
    groups = counted.by(dimension)
    codes = currencies(list(groups.values()))
    hidden = _hidden(groups, minimum)
    rows: list[list[Any]] = []
    for value, group in groups.items():
        sums = group.sums("revenue")
        tried = group.count()
        ended = [tried, (group.count(names.SUCCESS), tried) if tried else None]
        told: list[Any] = [
            *(FEW if (code, value or None) in hidden else sums.get(code) for code in codes),
            *([FEW, FEW] if ("", value or None) in hidden else ended),
        ]
        is_seen = any(cell is not FEW and cell not in (None, 0) for cell in told)
        if is_seen or (FEW not in told and group.events >= minimum):
            rows.append([value, *told])
    first = len(codes[:1])
    rows.sort(key=lambda row: (-_size(row[1]) if first else 0, -_size(row[1 + len(codes)]), row[0]))
    columns = [
        Column(dimension.capitalize(), "value", dimension),
        *(Column(f"Revenue {code}", "money", code, bar=number == 0) for number, code in enumerate(codes)),
        Column("Operations", "count"),
        Column("Success", "rate"),
    ]
    said = about(
        counted,
        f"For each {dimension}: revenue that counts (outcome success, or an event without outcome), for each currency "
        "apart; operations; and the part of them that succeeded.",
        sum(group.events for group in groups.values()),
        "Currencies are never added up. Rows are in the order of the currency with the most records.",
        f"Groups of fewer than {minimum} are not shown, nor those that would give one away.",
        sql=[counted.statements.breakdown(dimension, codes)],
    )
    title = TITLES.get(dimension, f"By {dimension}")
    return Table(
        dimension, title, columns, rows, said,
        empty=f"No event of this period tells a {dimension}: pass {dimension}=... to operation() or context().",
        withheld=_withheld(len(groups) - len(rows), sum(FEW in row for row in rows), minimum),
    )  # fmt: skip


def _hidden(groups: Mapping[str, Group], minimum: int) -> set[tuple[str | None, ...]]:
    """
    Of which currency and value, and of which value's operations, nothing is shown.

    In the words of KPIs, where None is not told: of groups of one size the same one is left out.
    """
    from bizspan.kpi._small import too_small, totals

    sizes: dict[tuple[str | None, ...], int] = {}
    for value, group in groups.items():
        sizes.update({(code, value or None): number for code, number in group.numbers("revenue").items() if number})
        if tried := group.count():
            sizes["", value or None] = tried
    return too_small(sizes, minimum, totals)


def _withheld(groups: int, others: int, minimum: int) -> str:
    """What is said of groups that are not shown, or not whole."""
    told = [f"{groups:,} {'group is' if groups == 1 else 'groups are'} too small to be shown"] if groups else []
    if others:
        what = "" if groups else "group " if others == 1 else "groups "
        told.append(f"{others:,} {what}{'is' if others == 1 else 'are'} shown in part")
    least = f": fewer than {minimum} records, or a figure that would give such a group away." if told else ""
    return ", and ".join(told) + least


def _size(cell: Any) -> int:
    return 0 if cell is None or cell is FEW else int(cell)


def outcomes(counted: Counted) -> Table:
    """How operations ended, and why."""
    rows: list[list[Any]] = []
    by_operation: dict[str, int] = {}
    for (operation, _), number in counted.all.operations.items():
        by_operation[operation] = by_operation.get(operation, 0) + number
    codes = currencies([counted.all], "value")
    for reason, group in counted.by("reason").items():
        for (operation, outcome), number in group.operations.items():
            stake = [
                sum(
                    minor
                    for (kind, currency, of, ended), (_, minor) in group.money.items()
                    if (kind, currency, of, ended) == ("value", code, operation, outcome)
                )
                or None
                if outcome in _LOST
                else None
                for code in codes
            ]
            rows.append([operation, outcome, reason or None, number, (number, by_operation.get(operation, 0)), *stake])
    if not counted.by("reason"):
        rows = [
            [operation, outcome, None, number, (number, by_operation[operation]), *(None for _ in codes)]
            for (operation, outcome), number in counted.all.operations.items()
        ]
    rows.sort(key=lambda row: (row[0], -row[3], row[2] or ""))
    columns = [
        Column("Operation", "value", "operation"),
        Column("Outcome", "value", "outcome"),
        Column("Reason", "value", "reason"),
        Column("Count", "count", bar=True),
        Column("Share", "rate"),
        *(Column(f"At stake {code}", "money", code) for code in codes),
    ]
    return Table(
        "outcomes", "Outcomes and their reasons", columns, rows,
        about(
            counted,
            "Operations by outcome and reason; the share is that of the operation. At stake is what value= said.",
            counted.all.count(),
            missing=counted.all.missing("value"), of=OPERATIONS, sql=[counted.statements.outcomes(codes)],
        ),
        empty="No operation in this period: record one with bizspan.operation().",
        shown=14,
    )  # fmt: skip


def conversion(counted: Counted) -> Table:
    """Of each operation: tried, succeeded, and how long it took."""
    tried: dict[str, dict[str, int]] = {}
    for (operation, outcome), number in counted.all.operations.items():
        tried.setdefault(operation, {})[outcome] = number
    rows: list[list[Any]] = []
    for operation, ends in tried.items():
        timed, duration_us = counted.all.timed.get(operation, (0, 0))
        total = sum(ends.values())
        rows.append(
            [
                operation, total, (ends.get(names.SUCCESS, 0), total), sum(ends.get(each, 0) for each in _LOST),
                duration_us / timed / 1e6 if timed else None,
            ]
        )  # fmt: skip
    rows.sort(key=lambda row: (-row[1], row[0]))
    columns = [
        Column("Operation", "value", "operation"),
        Column("Tried", "count"),
        Column("Succeeded", "rate", bar=True),
        Column("Rejected or failed", "count"),
        Column("Mean time", "seconds"),
    ]
    return Table(
        "conversion", "Conversion by operation", columns, rows,
        about(
            counted, "Of each operation: runs, and the part with the outcome success.", counted.all.count(),
            missing=0, of=OPERATIONS, sql=[counted.statements.conversion()],
        ),
        empty="No operation in this period.",
    )  # fmt: skip


def features(counted: Counted, seen: Mapping[str, tuple[int, int]], asked: Asked) -> Table:
    """Which features are used, what they bring, how they fail, and when they were last used."""
    groups = {value: group for value, group in counted.by("feature").items() if value}
    codes = currencies(list(groups.values()))
    total = sum(group.events for group in groups.values())
    rows: list[list[Any]] = []
    for value in {*groups, *(seen if not asked.where else ())}:
        group = groups.get(value) or Group()
        sums = group.sums("revenue")
        tried = group.count()
        last = max(group.last, seen.get(value, (0, 0))[1])
        rows.append(
            [
                value, group.events, *(sums.get(code) for code in codes), (group.count(names.FAILED), tried) if tried
                else None, last * 10**9 if last else None, _verdict(group, total, bool(sums)),
            ]
        )  # fmt: skip
    rows.sort(key=lambda row: (-row[1], row[0]))
    columns = [
        Column("Feature", "value", "feature"),
        Column("Uses", "count", bar=True),
        *(Column(f"Revenue {code}", "money", code) for code in codes),
        Column("Failed", "rate"),
        Column("Last used", "time", "minute"),
        Column("What stands out", "text"),
    ]
    return Table(
        "features", "Features", columns, rows,
        about(
            counted,
            "Events that tell a feature: how many, what revenue they tell, the part of operations that failed, and the "
            "minute of the last one ever. 'Could be removed' is said of what was not used in the period, and of what "
            "has less than 1 % of all uses and brought no revenue.",
            total,
            "Revenue is told by the events with this feature; it does not prove that the feature caused it.",
            missing=sum(group.missing() for group in groups.values()), of="feature",
            sql=counted.statements.features(codes),
        ),
        empty="No event of this period tells a feature: pass feature=... to operation() or context().",
        shown=40,
    )  # fmt: skip


def _verdict(group: Group, total: int, sells: bool) -> str:
    tried = group.count()
    if not group.events:
        return "not used in this period: could be removed"
    if tried >= 30 and group.count(names.FAILED) / tried > 0.1:
        return "fails often: repair it first"
    if total >= 100 and group.events / total < 0.01 and not sells:
        return "hardly used, no revenue: could be removed"
    return ""
