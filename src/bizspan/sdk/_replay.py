"""
Durations into a histogram of the SDK's, without checking and hashing the same attributes for each.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from math import inf
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from opentelemetry.context import Context
from opentelemetry.sdk.metrics import Histogram, TraceBasedExemplarFilter

from bizspan import _guard

if TYPE_CHECKING:
    from bizspan._types import Attributes

try:  # private, so another SDK may have them elsewhere
    from opentelemetry.sdk.metrics._internal import _view_instrument_match
    from opentelemetry.sdk.metrics._internal.measurement import Measurement

    _hashed: Any = getattr(_view_instrument_match, "_hash_attributes", None)
    _Measurement: Any = Measurement
except ImportError:
    _hashed, _Measurement = None, object

# What is kept at most; the totals hand over no more sets than that.
_SETS: Final = 4096
_NOWHERE: Final = Context()


class _Clean(_Measurement):  # type: ignore[misc]
    """A measurement whose attributes are clean."""

    def __post_init__(self) -> None:
        """Nothing to check."""


class _Place(NamedTuple):
    """Where the measurements of one set of attributes are added up, for one reader and view."""

    sets: Mapping[object, object]
    key: object
    aggregation: Any


class Replay:
    """
    What `histogram.record` does, for clean attributes whose dictionary is the same each time. Of its 87 calls, 70 find
    out again which set they are; here that is looked up once.

    Wherever the SDK is another one, a view changes the attributes, exemplars are taken by a rule of the application's,
    the set is not where it was, or the value is negative or not finite, the measurement goes the SDK's own way.

    Args:
        histogram: Takes the measurements.
    """

    __slots__ = ("_consumer", "_histogram", "_places", "_readers", "_record")

    def __init__(self, histogram: Any) -> None:
        self._histogram = histogram
        self._record = histogram.record
        self._consumer: Any = getattr(histogram, "_measurement_consumer", None)
        self._readers: object = None
        self._places: dict[int, tuple[Attributes, list[_Place]]] = {}
        if not isinstance(histogram, Histogram) or _hashed is None:
            self._consumer = None

    def __call__(self, value: float, attributes: Attributes) -> None:
        if not 0 <= value < inf:
            self._record(value, attributes)  # it says that this is no measurement
            return
        known = self._places.get(id(attributes))
        taken = 0
        try:
            if known is not None and known[0] is attributes and self._are_there(known[1]):
                measurement = _Clean(value, time.time_ns(), self._histogram, _NOWHERE, attributes)
                for place in known[1]:
                    place.aggregation.aggregate(measurement, False)
                    taken += 1
                return
        except Exception as error:
            self._give_up()
            _guard.swallowed("replaying a measurement", error)
            if taken:
                return  # rather not by one reader than twice by another
        self._record(value, attributes)
        if self._consumer is not None:
            self._look_for(attributes)

    def _are_there(self, places: list[_Place]) -> bool:
        if self._consumer._reader_storages is not self._readers or not self._histogram._is_enabled():
            return False
        for place in places:  # noqa: SIM110 - a generator would be a call for each
            if place.sets.get(place.key) is not place.aggregation:
                return False
        return True

    def _look_for(self, attributes: Attributes) -> None:
        try:
            readers = self._consumer._reader_storages
            if self._readers is not readers or len(self._places) >= _SETS:
                self._places, self._readers = {}, readers
            # Without a span around, as here, none is taken by this rule, which is the SDK's own.
            if type(self._consumer._sdk_config.exemplar_filter) is not TraceBasedExemplarFilter:
                raise AttributeError("exemplar_filter")
            key, places = _hashed(attributes), list[_Place]()
            for storage in readers.values():
                for match in storage._get_or_init_view_instrument_match(self._histogram):
                    sets = match._attributes_aggregation
                    if match._view._attribute_keys is not None or key not in sets:
                        return
                    places.append(_Place(sets, key, sets[key]))
            self._places[id(attributes)] = (attributes, places)
        except AttributeError:  # another SDK
            self._give_up()
        except Exception as error:
            self._give_up()
            _guard.swallowed("looking for a histogram's sets", error)

    def _give_up(self) -> None:
        """From now on, measurements go the SDK's own way."""
        self._consumer = None
        self._places = {}
