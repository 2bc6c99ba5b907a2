"""
Do span, metric and event agree? Compared from the outside: from what the exporters got.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from bizspan import names
from bizspan.money import EXPONENTS

if TYPE_CHECKING:
    from bizspan._captured import CapturedEvent
    from bizspan._pipeline import Pipeline

_ON_EVENTS_ONLY = frozenset({names.RECORD_UID, names.WRITER_ID, names.SEQUENCE, names.OPERATION_DURATION})
Set = frozenset[tuple[str, Any]]


def differences(events: Iterable[CapturedEvent], memory: Any, pipeline: Pipeline) -> list[str]:
    """
    Every way in which the three signals and the accounts disagree, one sentence each.
    """
    events = list(events)
    metrics = {metric.name: metric.data.data_points for metric in memory.metrics()}
    dimensions = frozenset(a.key for a in pipeline.declared.values() if a.dimension)
    found = _span_differences(events, memory)
    unique = list({event.uid: event for event in events}.values())
    found += _count_differences(unique, metrics, dimensions)
    for kind in (names.REVENUE, names.REFUND, names.COST):
        found += _money_differences(kind, unique, metrics, dimensions)
    found += _account_differences(events, pipeline)
    return found


def _span_differences(events: list[CapturedEvent], memory: Any) -> list[str]:
    spans = {format(span.context.span_id, "016x"): span for span in memory.spans()}
    sampled = {format(span_id, "016x") for span_id in memory.ids.spans_made} if spans else set[str]()
    found: list[str] = []
    for event in events:
        if event.event_name != names.EVENT_OPERATION or event.span_id not in sampled:
            continue
        span = spans.get(event.span_id)
        if span is None:
            found.append(f"operation {event.name!r} has an event and no span")
            continue
        if format(span.context.trace_id, "032x") != event.trace_id:
            found.append(f"operation {event.name!r}: the event is in another trace than the span")
        keys = set(event.attributes)
        if _is_ours(span):  # a server's span, with the request's operation on it, also says what HTTP said
            keys |= set(span.attributes)
        for key in sorted(keys - _ON_EVENTS_ONLY):
            on_span, on_event = span.attributes.get(key), event.attributes.get(key)
            if on_span != on_event:
                found.append(f"operation {event.name!r}: {key} is {on_span!r} on the span, {on_event!r} on the event")
    with_event = {event.span_id for event in events}
    for span_id, span in spans.items():
        if _is_ours(span) and span_id not in with_event:
            found.append(f"span {span.name!r} has no event")
    return found


def _is_ours(span: Any) -> bool:
    return span.instrumentation_scope is not None and span.instrumentation_scope.name == names.SCOPE


def _count_differences(events: list[CapturedEvent], metrics: dict[str, Any], dimensions: frozenset[str]) -> list[str]:
    operations: Counter[Set] = Counter()
    counted: Counter[Set] = Counter()
    for event in events:
        if not event.took_place:
            continue
        own = _named(event) | _kept(event, dimensions)
        counted[own | {(names.EVENT_NAME, event.event_name)}] += 1
        if event.event_name == names.EVENT_OPERATION:
            operations[own | {(names.OPERATION_OUTCOME, event.outcome)}] += 1
    durations = {_set(point): point.count for point in metrics.get(names.METRIC_DURATION, ())}
    totals = {_set(point): point.value for point in metrics.get(names.METRIC_EVENTS, ())}
    return [
        *_compared(names.METRIC_DURATION, dict(operations), durations),
        *_compared(names.METRIC_EVENTS, dict(counted), totals),
    ]


def _money_differences(
    kind: str, events: list[CapturedEvent], metrics: dict[str, Any], dimensions: frozenset[str]
) -> list[str]:
    from_events: Counter[Set] = Counter()
    for event in events:
        amount = event.counted(kind)
        if amount is None:
            continue
        key = _named(event) | _kept(event, dimensions) | {(names.CURRENCY_KEYS[kind], amount.currency)}
        from_events[key] += amount.minor_units
    from_metric: dict[Set, int] = {}
    for point in metrics.get(kind, ()):
        key = _set(point)
        scale = 10 ** EXPONENTS[point.attributes[names.CURRENCY_KEYS[kind]]]
        exact = from_events.get(key, 0)
        # Beyond 2**53 minor units a double is the nearest one, and no more exact.
        from_metric[key] = exact if exact / scale == point.value else round(point.value * scale)
    return _compared(kind, dict(from_events), from_metric)


def _compared(what: str, events: dict[Set, int], metric: dict[Set, int]) -> list[str]:
    if any(value == names.OTHER for key in metric for _, value in key):
        # Folded sets can't be told apart any more; their sum still has to agree.
        events, metric = {frozenset(): sum(events.values())}, {frozenset(): sum(metric.values())}
    return [
        f"{what} {dict(sorted(key))}: {events.get(key, 0)} from events, {metric.get(key, 0)} in the metric"
        for key in events.keys() | metric.keys()
        if events.get(key, 0) != metric.get(key, 0)
    ]


def _account_differences(events: list[CapturedEvent], pipeline: Pipeline) -> list[str]:
    accounts = pipeline.accounts
    acknowledged, handed_over = accounts.acknowledged.value, accounts.handed_over.value
    if len(events) == handed_over == acknowledged:
        return []
    return [f"{acknowledged} events were acknowledged, {handed_over} handed over, {len(events)} arrived"]


def _set(point: Any) -> Set:
    return frozenset(point.attributes.items())


def _named(event: CapturedEvent) -> Set:
    of_operation = names.OPERATION_NAME in event.attributes
    return frozenset({(names.OPERATION_NAME if of_operation else names.EVENT_NAME, event.name)})


def _kept(event: CapturedEvent, dimensions: frozenset[str]) -> Set:
    return frozenset((key, value) for key, value in event.attributes.items() if key in dimensions)
