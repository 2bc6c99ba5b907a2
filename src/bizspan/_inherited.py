"""
What a forked child inherits from its parent's SDK: measurements that are the parent's, and locks that nobody releases.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from bizspan import names

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter

# Those that this process, or one that it was forked from, made instruments with.
meters: WeakSet[Meter] = WeakSet()


def drop_inherited() -> None:
    """
    In a forked child: take the parent's bizspan measurements out of the SDK's readers, and give the readers new locks.

    An SDK histogram is copied with the process, so a cumulative reader of the child would report the parent's
    measurements again, under the child's instance id. And a lock that another thread of the parent held is never
    released in the child: its first collection, or our next instrument, would wait for ever. There is no public way;
    where the SDK changed, nothing happens.
    """
    consumers = {id(consumer): consumer for meter in list(meters) if (consumer := _consumer(meter)) is not None}
    for consumer in consumers.values():
        _renew_lock(consumer)
        storages: Mapping[object, object] = getattr(consumer, "_reader_storages", {})
        for reader, storage in list(storages.items()):
            if hasattr(reader, "_export_lock"):
                setattr(reader, "_export_lock", threading.Lock())  # noqa: B010 - typed as not there
            _drop(storage)


def _consumer(meter: object) -> object | None:
    real = getattr(meter, "_real_meter", None) or meter
    return getattr(real, "_measurement_consumer", None)


def _drop(storage: object) -> None:
    _renew_lock(storage)
    matches: dict[Any, Any] = getattr(storage, "_instrument_view_instrument_matches", {})
    for instrument in list(matches):
        scope = getattr(instrument, "instrumentation_scope", None)
        if getattr(scope, "name", None) == names.SCOPE:
            matches.pop(instrument, None)
            continue
        for match in matches[instrument]:
            _renew_lock(match)
            for aggregation in getattr(match, "_attributes_aggregation", {}).values():
                _renew_lock(aggregation)
                _renew_lock(getattr(aggregation, "_reservoir", None))


def _renew_lock(holder: Any) -> None:
    if hasattr(holder, "_lock"):
        holder._lock = type(holder._lock)() if isinstance(holder._lock, _RLOCK) else threading.Lock()


_RLOCK = type(threading.RLock())
