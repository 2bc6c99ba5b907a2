"""One state at a time: bare call, H, ours as block and as decorator; CPU and calls."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

from . import ours
from .by_hand import ByHand
from .measure import CallCounter, Calls, Cost, Subject, interleaved, medians, ratios
from .pipelines import signals
from .shop import COUNTRY, ORDER, SEGMENT, place
from .targets import BARE, BY_HAND, OURS, TARGETS

# Less than the SDK's batch of 512: no worker wakes up while calls are counted.
COUNTED_OPERATIONS: Final = 100


@dataclass(frozen=True, slots=True)
class Comparison:
    """What one state of the application's telemetry costs, by subject."""

    state: str
    costs: Mapping[str, Cost]
    to_by_hand: Mapping[str, Cost]
    calls: Mapping[str, Calls]

    def worst(self) -> Cost:
        """Block or decorator to H, whichever is dearer, figure by figure."""
        return Cost(
            max(self.to_by_hand[name].app_us for name in OURS),
            max(self.to_by_hand[name].total_us for name in OURS),
        )

    def within(self, room: float = 1.0) -> bool:
        """
        Whether block and decorator both reach every target of this state.

        Args:
            room: Multiplies the targets; above 1 for a machine whose clock is not trusted.
        """
        target, worst = TARGETS[self.state], self.worst()
        return worst.app_us <= room * target.app and (target.total is None or worst.total_us <= room * target.total)


@contextmanager
def subjects(state: str) -> Generator[list[Subject]]:
    """
    Everything that is measured in one state, with pipelines of its own.

    Args:
        state: One of `pipelines.STATES`; `NO_SDK` has to come before anything sets a global provider.
    """
    by_hand = signals(state)
    try:
        with ours.pipeline(state) as (block, decorator):
            yield [
                Subject(BARE, partial(place, ORDER), _nothing),
                Subject(BY_HAND, partial(ByHand(by_hand).checkout, SEGMENT, COUNTRY, ORDER), by_hand.flush),
                block,
                decorator,
            ]
    finally:
        by_hand.close()


def count_calls(state: str) -> dict[str, Calls]:
    """
    Calls per operation, by subject: the same in every run.

    Args:
        state: One of `pipelines.STATES`.
    """
    counter = CallCounter()
    counter.watch_new_threads()
    try:
        with subjects(state) as measured:
            return {subject.name: counter.count(subject, COUNTED_OPERATIONS) for subject in measured}
    finally:
        counter.forget_new_threads()


def compare(state: str, *, rounds: int, operations: int) -> Comparison:
    """
    Measure one state.

    Args:
        state: One of `pipelines.STATES`.
        rounds: Interleaved rounds; the figures are medians over them.
        operations: Operations per round and subject.
    """
    calls = count_calls(state)
    with subjects(state) as measured:
        costs = interleaved(measured, rounds=rounds, operations=operations)
    return Comparison(state, medians(costs), {name: ratios(costs, name, BY_HAND) for name in costs}, calls)


def _nothing() -> None:
    return None
