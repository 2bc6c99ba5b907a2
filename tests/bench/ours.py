"""Ours: the checkout of by_hand.py with bizspan, as block and as decorator, and our totals alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Final

import bizspan
from bizspan import _active, _signals
from bizspan._accounts import Accounts
from bizspan._book import Book
from bizspan._clock import Ids
from bizspan._record import Record
from bizspan._totals import Totals
from bizspan._types import Attributes
from bizspan.names import COUNTRY as COUNTRY_KEY
from bizspan.names import EVENT_OPERATION, REVENUE, SUCCESS
from bizspan.names import SEGMENT as SEGMENT_KEY
from bizspan.sdk._events import ReadyEventSink
from bizspan.sdk._histograms import WithHistograms
from bizspan.sdk._providers import stamp_logs, stamp_spans
from bizspan.sdk._span_attributes import write
from bizspan.vocabulary import merged

from .measure import Subject
from .pipelines import NO_SDK, Exporters, build_providers
from .shop import COUNTRY, ORDER, SEGMENT, place
from .targets import BLOCK, DECORATOR

TOTALS: Final = "bizspan totals"
ELAPSED_NS: Final = 31_000_000


def checkout_block(segment: str, country: str, order: str) -> Decimal:
    """Place the order inside a block."""
    with bizspan.operation("checkout", segment=segment, country=country, order=order) as op:
        total = place(order)
        op.revenue(total, "EUR")
    return total


@contextmanager
def pipeline(
    state: str, exporters: Exporters | None = None, book: Callable[[Ids], Book] | None = None
) -> Generator[tuple[Subject, Subject]]:
    """
    Block and decorator, on a pipeline of their own in the state asked for.

    Args:
        state: One of `pipelines.STATES`.
        exporters: Where signals go; nowhere, by default.
        book: Opens a spool for the events.
    """
    decorated = bizspan.operation(
        "checkout",
        segment=lambda segment: segment,
        country=lambda country: country,
        order=lambda order: order,
        revenue=lambda result: (result, "EUR"),
    )(_checkout)
    runs = (
        (BLOCK, partial(checkout_block, SEGMENT, COUNTRY, ORDER)),
        (DECORATOR, partial(decorated, SEGMENT, COUNTRY, ORDER)),
    )
    if state == NO_SDK:
        block, decorator = (Subject(name, run, _nothing) for name, run in runs)
        yield block, decorator
        return
    wanted = exporters or Exporters()
    # What configure() does, without touching the process's global providers.
    made = build_providers(state, replace(wanted, metrics=WithHistograms(wanted.metrics, lambda: _active.current)))
    stamp_spans(made.tracer)
    stamp_logs(made.logger)
    ours = _signals.build(
        _signals.Settings(declared=merged(()), hasher=None, book=book),
        _signals.Providers(
            made.tracer, made.meter, made.logger, own_buckets=True, event_sink=ReadyEventSink, write=write
        ),
    )

    def flush() -> None:
        ours.flush(30.0)
        made.flush()

    before = _active.swap(ours)
    try:
        block, decorator = (Subject(name, run, flush) for name, run in runs)
        yield block, decorator
        # A refused event is a cheap event: figures with one in them would flatter.
        assert {} == ours.accounts.refused.values()
    finally:
        _active.swap(before)
        ours.close()
        made.close()


def totals_alone() -> Subject:
    """
    What prometheus_client does, with our totals: a record in the loop, the adding at the flush.
    """
    totals = Totals(Accounts())
    totals.declare({SEGMENT_KEY: 50, COUNTRY_KEY: 260})
    intake: deque[Record] = deque()

    def run() -> None:
        dimensions: Attributes = {SEGMENT_KEY: SEGMENT, COUNTRY_KEY: COUNTRY}
        amounts = ((REVENUE, 4200, "EUR"),)
        intake.append(Record(EVENT_OPERATION, "checkout", "", 0, dimensions, amounts, None, SUCCESS, ELAPSED_NS))

    def flush() -> None:
        while intake:
            totals.add(intake.popleft())
        totals.counted_events()
        totals.counted_money(REVENUE)

    return Subject(TOTALS, run, flush)


def _checkout(segment: str, country: str, order: str) -> Decimal:
    return place(order)


def _nothing() -> None:
    return None
