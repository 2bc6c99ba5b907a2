"""
The result, as text for people or as JSON for programs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from bizspan._plain import clean_text
from bizspan.money import EXPONENTS
from bizspan.reconcile._backfill import Backfilled
from bizspan.reconcile._compare import CATEGORIES, Amount, Category, DayKey, Difference, Sums, Tally
from bizspan.reconcile._events import Reading

FORMAT: Final = 1  # of the JSON; grows when a key goes or changes its meaning
_ORDER_LIMIT: Final = 120
_KIND: Final = {False: "sale", True: "refund"}
_KINDS: Final = {False: "sales", True: "refunds"}
_NO_CURRENCY: Final = "none"
_HEAD: Final = ("day", "", "currency", "ledger", "", "events", "", "difference", "")


@dataclass(slots=True)
class Found:
    """The differences: how many of each category, and the first of them."""

    counts: dict[Category, int] = field(default_factory=dict[Category, int])
    first: dict[Category, list[Difference]] = field(default_factory=dict[Category, list[Difference]])

    def add(self, difference: Difference, most: int) -> None:
        """Count it, and keep it where fewer than `most` of its category are kept."""
        self.counts[difference.category] = self.counts.get(difference.category, 0) + 1
        kept = self.first.setdefault(difference.category, [])
        if len(kept) < most:
            kept.append(difference)

    @property
    def total(self) -> int:
        """Of all categories."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class Report:
    """
    What a comparison found.

    Args:
        version: Of bizspan.
        ledger: Its path.
        ledger_lines: How many it has.
        time_zone: Whose days are compared.
        naive_zone: Of the ledger's times without an offset; empty where there are none.
        reading: What reading the events met.
        tally: Sums by day.
        found: What differs.
        delivered_twice: How many uids came more than once, and how many of these with another amount.
        most: How many rows and differences the text shows of each kind.
        backfilled: What became of the missing ones; None where nobody asked.
    """

    version: str
    ledger: str
    ledger_lines: int
    time_zone: str
    naive_zone: str
    reading: Reading
    tally: Tally
    found: Found
    delivered_twice: tuple[int, int]
    most: int
    backfilled: Backfilled | None

    @property
    def exit_code(self) -> int:
        """0 where both sides are equal, else 1."""
        return 1 if self.found.total or any(sums.differs for sums in self.tally.days.values()) else 0

    @property
    def totals(self) -> dict[DayKey, Sums]:
        """Over all days, by kind and currency."""
        totals: dict[DayKey, Sums] = {}
        for (_, is_refund, currency), sums in self.tally.days.items():
            total = totals.setdefault(("", is_refund, currency), Sums())
            total.ledger_count += sums.ledger_count
            total.ledger_minor += sums.ledger_minor
            total.events_count += sums.events_count
            total.events_minor += sums.events_minor
        return dict(sorted(totals.items()))

    # --- text -----------------------------------------------------------------------------------------------------

    def as_text(self, encoding: str = "utf-8") -> str:
        """
        The table of days, what differs by order, and the verdict in the last line.

        Args:
            encoding: Of the stream; what it cannot write is replaced.
        """
        lines = [*self._head(), "", *self._table(), *self._differences(), *self._after(), "", self._verdict()]
        return "\n".join(lines).encode(encoding, "replace").decode(encoding)

    def _head(self) -> Iterator[str]:
        yield f"ledger  {self.ledger}: {_counted(self.ledger_lines, 'line')}"
        yield f"events  {_counted(self.reading.events, 'event')} delivered"
        naive = f"; times of the ledger without an offset in {self.naive_zone}" if self.naive_zone else ""
        yield f"days    in {self.time_zone}{naive}"
        twice, differing = self.delivered_twice
        if twice:
            other = f", {differing:,} of them with another amount (the first counts)" if differing else ""
            yield f"        {_counted(twice, 'event')} delivered twice or more, counted once{other}"
        reading = self.reading
        if reading.bad_lines:
            yield f"        {_counted(reading.bad_lines, 'line')} of the events cannot be read:"
            yield from (f"          {problem}" for problem in reading.problems)
        if reading.without_name:
            yield (
                f"        {_counted(reading.without_name, 'record')} of bizspan without an event name, left out:"
                " what wrote the file does not know event names yet"
            )
        if reading.without_uid:
            yield f"        {_counted(reading.without_uid, 'record')} of bizspan without log.record.uid, left out"
        if self.tally.other_traffic:
            yield (
                f"        {_counted(self.tally.other_traffic, 'event')} of staff, tests and bots, unknown to the"
                " ledger, left out"
            )

    def _table(self) -> Iterator[str]:
        days = sorted(self.tally.days.items())
        rows = days if len(days) <= self.most else [each for each in days if each[1].differs][: self.most]
        cells = [_HEAD, *(_cells(key, sums) for key, sums in rows)]
        cells += [_cells(("total", *key[1:]), sums) for key, sums in self.totals.items()]
        widths = [max(len(row[column]) for row in cells) for column in range(len(_HEAD))]
        for row in cells:
            left = (f"{cell:<{width}}" for cell, width in zip(row[:3], widths[:3], strict=True))
            right = (f"{cell:>{width}}" for cell, width in zip(row[3:], widths[3:], strict=True))
            yield "  ".join((*left, *right)).rstrip()
        if len(rows) < len(days):
            hidden = sum(not sums.differs for _, sums in days)
            more = len(days) - hidden - len(rows)
            yield f"not shown: {_counted(hidden, 'row')} without a difference" + (
                f", {more:,} with one" if more else ""
            )

    def _differences(self) -> Iterator[str]:
        for category, title in CATEGORIES.items():
            count = self.found.counts.get(category, 0)
            if not count:
                continue
            yield ""
            yield f"{title}: {count:,}"
            shown = self.found.first[category]
            yield from (f"  {_told(difference)}" for difference in shown)
            if count > len(shown):
                yield f"  and {count - len(shown):,} more; --most {count} shows them"

    def _after(self) -> Iterator[str]:
        totals = self.totals
        refunds = [sums for key, sums in totals.items() if key[1]]
        if refunds and not any(sums.ledger_count for sums in refunds):
            yield ""
            yield "The ledger has no refunds; --no-refunds leaves those of the events out."
        done = self.backfilled
        if done is None:
            return
        yield ""
        if done.dry_run:
            yield f"backfill would emit {_counted(done.emitted, 'event')}; nothing was sent"
        elif done.acknowledged >= done.emitted:
            yield f"backfill sent {_counted(done.emitted, 'event')}, all acknowledged; compare again"
        else:
            yield (
                f"backfill stopped: of {_counted(done.emitted, 'event')} sent, {done.acknowledged:,} were acknowledged;"
                " run it again, nothing counts twice"
            )
        if done.ambiguous_count:
            orders = ", ".join(_shown(order) for order in done.ambiguous)
            yield (
                f"not backfilled: {_counted(done.ambiguous_count, 'line')} that share one idempotency key; pass"
                f" --columns key=NAME ({orders})"
            )
        others = self.found.total - self.found.counts.get("missing_in_events", 0)
        if others:
            yield f"not backfilled: {_counted(others, 'difference')} that a further event cannot repair"

    def _verdict(self) -> str:
        if self.exit_code:
            return f"different: {_counted(self.found.total, 'difference')}"
        said = [
            f"{_counted(sums.ledger_count, _KIND[key[1]])}, {_number(sums.ledger_minor, key[2])} {key[2]}"
            for key, sums in self.totals.items()
        ]
        return f"equal: {'; '.join(said) or 'nothing on either side'}"

    # --- JSON -----------------------------------------------------------------------------------------------------

    def as_json(self) -> str:
        """One JSON object; its shape is in the reference of the command line."""
        reading, done = self.reading, self.backfilled
        return json.dumps(
            {
                "format": FORMAT,
                "bizspan": self.version,
                "exit_code": self.exit_code,
                "time_zone": self.time_zone,
                "ledger_lines": self.ledger_lines,
                "events": {
                    "delivered": reading.events,
                    "delivered_twice": self.delivered_twice[0],
                    "delivered_differing": self.delivered_twice[1],
                    "other_traffic": self.tally.other_traffic,
                    "other_records": reading.other_records,
                    "without_name": reading.without_name,
                    "without_uid": reading.without_uid,
                    "bad_lines": reading.bad_lines,
                    "problems": reading.problems,
                },
                "days": [_row(key, sums) for key, sums in sorted(self.tally.days.items())],
                "totals": [_row(key, sums) for key, sums in self.totals.items()],
                "differences": {
                    category: {
                        "count": self.found.counts.get(category, 0),
                        "first": [_difference(each) for each in self.found.first.get(category, [])],
                    }
                    for category in CATEGORIES
                },
                "backfill": None
                if done is None
                else {
                    "dry_run": done.dry_run,
                    "emitted": done.emitted,
                    "acknowledged": done.acknowledged,
                    "ambiguous": done.ambiguous_count,
                },
            },
            indent=2,
        )


def _row(key: DayKey, sums: Sums) -> Mapping[str, Any]:
    day, is_refund, currency = key
    return {
        **({"day": day} if day else {}),
        "kind": _KINDS[is_refund],
        "currency": currency or None,
        "ledger": {"count": sums.ledger_count, "minor_units": sums.ledger_minor},
        "events": {"count": sums.events_count, "minor_units": sums.events_minor},
    }


def _difference(each: Difference) -> Mapping[str, Any]:
    def amounts(of: tuple[Amount, ...]) -> list[Mapping[str, Any]]:
        return [{"minor_units": minor, "currency": currency or None} for minor, currency in of]

    return {
        "order": each.order,
        "kind": _KINDS[each.is_refund],
        "day": each.day,
        "ledger": amounts(each.ledger),
        "events": amounts(each.events),
        "note": each.note,
    }


def _cells(key: DayKey, sums: Sums) -> tuple[str, ...]:
    day, is_refund, currency = key
    count, minor = sums.events_count - sums.ledger_count, sums.events_minor - sums.ledger_minor
    return (
        day,
        _KINDS[is_refund],
        currency or _NO_CURRENCY,
        f"{sums.ledger_count:,}",
        _number(sums.ledger_minor, currency),
        f"{sums.events_count:,}",
        _number(sums.events_minor, currency),
        f"{count:+,}" if count else "0",
        ("+" if minor > 0 else "") + _number(minor, currency),
    )


def _told(each: Difference) -> str:
    kind = "refund  " if each.is_refund else ""
    order = f"{_shown(each.order)}  {each.day}  {kind}"
    if each.category == "day_differs":
        return f"{order}{_amounts(each.ledger)}, the events say {each.note}"
    if each.ledger and each.events:
        note = f" ({_shown(each.note)})" if each.note else ""
        return f"{order}ledger {_amounts(each.ledger)}, events {_amounts(each.events)}{note}"
    return f"{order}{_amounts(each.ledger or each.events)}" + (f"  ({each.note})" if each.note else "")


def _amounts(amounts: tuple[Amount, ...]) -> str:
    return " + ".join(
        "no amount" if minor is None else f"{_number(minor, currency)} {currency}" for minor, currency in amounts[:10]
    ) + (" + ..." if len(amounts) > 10 else "")


def _number(minor: int, currency: str) -> str:
    exponent = EXPONENTS.get(currency, 0)
    whole, part = divmod(abs(minor), 10**exponent)
    return f"{'-' if minor < 0 else ''}{whole:,}" + (f".{part:0{exponent}d}" if exponent else "")


def _shown(text: str) -> str:
    """An id as a terminal may have it."""
    return clean_text(text, _ORDER_LIMIT)[0]


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
