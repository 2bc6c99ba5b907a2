"""
Exact totals and duration buckets, read out when metrics are collected.

One consumer at a time adds records (the pipeline holds the lock), so nothing here needs one. Money stays in integer
minor units until it is read out; durations stay in integer nanoseconds.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from bizspan import _guard, names
from bizspan._accounts import Accounts
from bizspan._record import Record
from bizspan.money import EXPONENTS

if TYPE_CHECKING:
    from bizspan._types import Attributes, Replay, Value

INT64_MAX: Final = 2**63 - 1
CEILING: Final = 1900  # OpenTelemetry's default cardinality limit is 2,000 sets per instrument
_FOLDING_ROOM: Final = 20
_FOLDED_CEILING: Final = 1940
_LAST_CEILING: Final = 1945  # leaves room for 50 further currencies, which are never folded
_NAME_BUDGET: Final = 200
_CACHE_LIMIT: Final = 16384
_REPEATS_LIMIT: Final = 10_000
_NANOS: Final = 1_000_000_000
_REPLAYING: Final = "adding to a histogram"


class Budgets:
    """
    The distinct values of each dimension; what is beyond a budget becomes ``__other__`` for that one.
    """

    __slots__ = ("_seen", "by_key")

    def __init__(self) -> None:
        self.by_key: dict[str, int] = {}
        self._seen: dict[str, set[Value]] = {}

    def declare(self, budgets: Mapping[str, int]) -> None:
        """Take these budgets, by attribute key, from now on."""
        self.by_key = dict(budgets)

    def fit(self, dimensions: Attributes) -> Attributes:
        """The same dimensions, each within its budget."""
        fitted: Attributes = {}
        for key, value in dimensions.items():
            seen = self._seen.setdefault(key, set())
            if value not in seen and value != names.OTHER:
                if len(seen) >= self.by_key.get(key, _NAME_BUDGET):
                    value = names.OTHER
                else:
                    seen.add(value)
            fitted[key] = value
        return fitted

    def widest_first(self, keys: Iterable[str]) -> list[str]:
        """The keys that may be folded, those with the most values first."""
        foldable = [key for key in keys if key in self.by_key]
        return sorted(foldable, key=lambda key: (-len(self._seen.get(key, ())), key))


class Total:
    """One point of a counter."""

    __slots__ = ("attributes", "value")

    def __init__(self, attributes: Attributes) -> None:
        self.attributes = attributes
        self.value = 0


class Buckets:
    """One point of a histogram; the sum is in the unit that was added, a whole number for durations."""

    __slots__ = ("attributes", "count", "counts", "largest", "smallest", "total")

    def __init__(self, attributes: Attributes, size: int) -> None:
        self.attributes = attributes
        self.counts = [0] * size
        self.count = 0
        self.total: float = 0
        self.smallest: float = 0
        self.largest: float = 0

    def add(self, value: float, bucket: int) -> None:
        """Count one measurement in this bucket."""
        self.smallest = value if not self.count or value < self.smallest else self.smallest
        self.largest = value if not self.count or value > self.largest else self.largest
        self.counts[bucket] += 1
        self.count += 1
        self.total += value


P = TypeVar("P", Total, Buckets)


class Sets(Generic[P]):
    """
    The attribute sets of one instrument, with a ceiling.

    Args:
        make: Makes the point of a new set.
        budgets: Knows which dimension has the most values.
    """

    __slots__ = ("_budgets", "_make", "points")

    def __init__(self, make: Callable[[Attributes], P], budgets: Budgets) -> None:
        self._make: Callable[[Attributes], P] = make
        self._budgets = budgets
        self.points: dict[tuple[tuple[str, Value], ...], P] = {}

    def point(self, attributes: Attributes) -> P:
        """
        The point of this set; beyond the ceiling, of the set with its widest dimensions folded into ``__other__``.
        """
        key = tuple(sorted(attributes.items()))
        point = self.points.get(key)
        if point is not None:
            return point
        if len(self.points) < CEILING:
            return self._add(key, attributes)
        folded = dict(attributes)
        for position, dimension in enumerate(self._budgets.widest_first(attributes), 1):
            folded[dimension] = names.OTHER
            key = tuple(sorted(folded.items()))
            point = self.points.get(key)
            if point is not None:
                return point
            # Each step has room of its own: the widest alone would take all, and the narrow ones go wrong with it.
            if len(self.points) < min(CEILING + position * _FOLDING_ROOM, _FOLDED_CEILING):
                return self._add(key, folded)
        for name in (names.OPERATION_NAME, names.EVENT_NAME, names.FEEDBACK_NAME):
            if name in folded:
                folded[name] = names.OTHER
        key = tuple(sorted(folded.items()))
        point = self.points.get(key)
        if point is None and len(self.points) >= _LAST_CEILING:
            # Which dimensions a record has is a product of its own: 2 to the power of their number.
            folded = {name: value for name, value in folded.items() if name not in self._budgets.by_key}
            key = tuple(sorted(folded.items()))
            point = self.points.get(key)
        return point or self._add(key, folded)

    def _add(self, key: tuple[tuple[str, Value], ...], attributes: Attributes) -> P:
        point = self.points[key] = self._make(dict(attributes))
        return point


def _no_buckets(attributes: Attributes) -> Buckets:
    return Buckets(attributes, 0)


def _duration_buckets(attributes: Attributes) -> Buckets:
    return Buckets(attributes, len(names.DURATION_BOUNDARIES_S) + 1)


def _feedback_buckets(attributes: Attributes) -> Buckets:
    return Buckets(attributes, len(names.FEEDBACK_BOUNDARIES) + 1)


_DURATION_BOUNDARIES_NS: Final = tuple(round(bound * _NANOS) for bound in names.DURATION_BOUNDARIES_S)


class Points:
    """The points that records of one name, outcome and set of dimensions add to."""

    __slots__ = ("duration", "events", "money")

    def __init__(self, duration: Buckets | None, events: Total) -> None:
        self.duration = duration
        self.events = events
        self.money: dict[tuple[str, str], Total] = {}


class Totals:
    """
    All business metrics of one process.

    Args:
        accounts: Where an amount that no total can hold is counted.
        replay_duration: Takes each duration (seconds) where the provider's own histogram keeps the buckets;
            None keeps them here.
        replay_score: The same for feedback scores.
    """

    def __init__(
        self,
        accounts: Accounts,
        replay_duration: Replay | None = None,
        replay_score: Replay | None = None,
    ) -> None:
        self._accounts = accounts
        self._replay_duration = replay_duration
        self._replay_score = replay_score
        self._budgets = Budgets()
        self._cache: dict[tuple[object, ...], Points] = {}
        self._repeats: OrderedDict[str, None] = OrderedDict()
        self.durations = Sets(_no_buckets if replay_duration else _duration_buckets, self._budgets)
        self.scores = Sets(_no_buckets if replay_score else _feedback_buckets, self._budgets)
        self.events = Sets(Total, self._budgets)
        self.money = {kind: Sets(Total, self._budgets) for kind in (names.REVENUE, names.REFUND, names.COST)}

    def add(self, record: Record) -> None:
        """
        Count one record. A repeat of an idempotency key within the last 10,000 adds nothing.
        """
        if record.outcome is not None and record.duration_ns is None:
            return  # an event whose transaction was rolled back: it did not happen
        if record.idempotent and self._is_repeat(record.uid):
            return
        dimensions = self.dimensions_of(record.attributes)
        raw = (record.event_name, record.name, record.outcome, *dimensions.items())
        points = self._cache.get(raw)
        if points is None:
            points = self._points(record, dimensions)
            if len(self._cache) >= _CACHE_LIMIT:
                self._cache.clear()
            self._cache[raw] = points
        duration = points.duration
        points.events.value += 1
        if duration is not None and record.duration_ns is not None:
            if self._replay_duration is not None:
                try:
                    self._replay_duration(record.duration_ns / _NANOS, duration.attributes)
                except Exception as error:  # money and score count all the same
                    _guard.swallowed(_REPLAYING, error)
            else:
                elapsed = record.duration_ns
                duration.add(elapsed, bisect_left(_DURATION_BOUNDARIES_NS, elapsed))
        if record.score is not None:
            self._add_score(record, record.score)
        for kind, minor_units, currency in record.amounts:
            if kind in self.money and (kind != names.REVENUE or record.outcome in (None, names.SUCCESS)):
                self._add_money(record, kind, minor_units, currency, points)

    def _is_repeat(self, uid: str) -> bool:
        if uid in self._repeats:
            return True
        self._repeats[uid] = None
        if len(self._repeats) > _REPEATS_LIMIT:
            self._repeats.popitem(last=False)
        return False

    def _points(self, record: Record, dimensions: Attributes) -> Points:
        dimensions = self._budgets.fit(dimensions)
        named = self._budgets.fit(_named(record))
        events = self.events.point({names.EVENT_NAME: record.event_name, **named, **dimensions})
        if record.outcome is None:
            return Points(None, events)
        outcome = {**named, names.OPERATION_OUTCOME: record.outcome, **dimensions}
        return Points(self.durations.point(outcome), events)

    def _add_money(self, record: Record, kind: str, minor_units: int, currency: str, points: Points) -> None:
        total = points.money.get((kind, currency))
        if total is None:
            named = self._budgets.fit({**_named(record), **self.dimensions_of(record.attributes)})
            total = self.money[kind].point({**named, names.CURRENCY_KEYS[kind]: currency})
            points.money[kind, currency] = total
        if total.value + minor_units > INT64_MAX:
            self._accounts.refuse_value(kind, "total_range", "The sum in this process no longer fits 64 bits.")
            return
        total.value += minor_units

    def _add_score(self, record: Record, score: float) -> None:
        feedback = {names.FEEDBACK_NAME: record.attributes.get(names.FEEDBACK_NAME, record.name)}
        point = self.scores.point(self._budgets.fit({**feedback, **self.dimensions_of(record.attributes)}))
        if self._replay_score is not None:
            try:
                self._replay_score(score, point.attributes)
            except Exception as error:
                _guard.swallowed(_REPLAYING, error)
        else:
            point.add(score, bisect_left(names.FEEDBACK_BOUNDARIES, score))

    def declare(self, budgets: Mapping[str, int]) -> None:
        """Take these budgets, how many distinct values each dimension may have by attribute key, from now on."""
        self._budgets.declare(budgets)
        self._cache.clear()

    def dimensions_of(self, attributes: Attributes) -> Attributes:
        """The part of these attributes that metrics carry."""
        keys = self._budgets.by_key
        return {key: value for key, value in attributes.items() if key in keys}

    def fit(self, attributes: Attributes) -> Attributes:
        """The dimensions among these attributes, each within its budget."""
        return self._budgets.fit(self.dimensions_of(attributes))

    def counted_events(self) -> list[tuple[int, Attributes]]:
        """The points of ``business.events``."""
        return [(point.value, point.attributes) for point in self.events.points.values()]

    def counted_money(self, kind: str) -> list[tuple[float, Attributes]]:
        """
        The points of one money counter in major units: each the double nearest to its exact total.
        """
        key = names.CURRENCY_KEYS[kind]
        return [
            (point.value / 10 ** EXPONENTS[str(point.attributes[key])], point.attributes)
            for point in self.money[kind].points.values()
        ]


def _named(record: Record) -> Attributes:
    if record.event_name != record.name:  # an operation's, or of one of its further currencies
        return {names.OPERATION_NAME: record.name}
    return {names.EVENT_NAME: record.name}
