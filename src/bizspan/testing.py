"""
Business telemetry in tests: the real pipeline in memory, a fixed clock and fixed ids, assertions in business words.

Needs the OpenTelemetry SDK: ``pip install "bizspan[otlp]"``. With pytest, use the ``capbiz`` fixture.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from bizspan import _active, _guard, _signals, names
from bizspan._accounts import Accounts
from bizspan._captured import CapturedEvent, captured_event
from bizspan._clock import Clock, Ids
from bizspan._facts import FactTable, Hasher
from bizspan._pipeline import Pipeline
from bizspan.errors import MissingExtra
from bizspan.gauges import declared_gauges
from bizspan.money import Money
from bizspan.vocabulary import Vocabulary, merged

if TYPE_CHECKING:
    from bizspan._types import Plain, Value

__all__ = ["START_NS", "Capture", "CapturedEvent", "FixedClock", "capture"]

START_NS: Final = 1_767_225_600_000_000_000  # 2026-01-01T00:00:00Z
_KEY: Final = b"bizspan-testing-key-0123456789ab"
_WRITER: Final = "0" * 20


class FixedClock(Clock):
    """
    A clock that stands still until it is told to move.
    """

    __slots__ = ("_now_ns",)

    def __init__(self) -> None:
        self._now_ns = START_NS
        super().__init__(lambda: self._now_ns, lambda: self._now_ns)

    def tick(self, seconds: float) -> None:
        """Move forward."""
        self._now_ns += round(seconds * 1_000_000_000)


class Capture:
    """
    What the code under test told. Made by `capture` and by the ``capbiz`` fixture.
    """

    def __init__(self, pipeline: Pipeline, memory: Any, clock: FixedClock, *, strict: bool) -> None:
        self._pipeline = pipeline
        self._memory = memory
        self._clock = clock
        self._strict = strict
        self._allowed: set[str] = set()
        self._swallowed_before = _guard.swallowed_errors.values()

    # --- what happened --------------------------------------------------------------------------------------------

    def operations(
        self, name: str | None = None, *, outcome: str | None = None, reason: str | None = None, **facts: Plain
    ) -> list[CapturedEvent]:
        """The operations, in the order of their end, that match all that is given."""
        return [
            event
            for event in self._all(facts)
            if event.event_name == names.EVENT_OPERATION
            and name in (None, event.name)
            and outcome in (None, event.outcome)
            and reason in (None, event.reason)
        ]

    def events(self, name: str | None = None, **facts: Plain) -> list[CapturedEvent]:
        """The events that are not operations, in order, that match all that is given."""
        return [
            event
            for event in self._all(facts)
            if event.event_name != names.EVENT_OPERATION and name in (None, event.event_name)
        ]

    def revenue(self, currency: str, **facts: Plain) -> Money:
        """Revenue of successful operations and of events, de-duplicated by uid, refunds not taken off."""
        return self._sum(names.REVENUE, currency, facts)

    def refunds(self, currency: str, **facts: Plain) -> Money:
        """Money that went back."""
        return self._sum(names.REFUND, currency, facts)

    def costs(self, currency: str, **facts: Plain) -> Money:
        """Money that was spent."""
        return self._sum(names.COST, currency, facts)

    def spans(self, name: str | None = None) -> list[Any]:
        """The ended spans (the SDK's ``ReadableSpan``), in order of their end."""
        return [span for span in self._memory.spans() if name in (None, span.name)]

    def metric(self, name: str, **facts: Plain) -> float:
        """
        A metric's value over all points that match: the sum of a counter's, the count of a histogram's.
        """
        wanted = self._wanted(facts)
        total = 0.0
        for point in self.points(name):
            present: Mapping[str, object] = point.attributes or {}
            if all(present.get(key) == value for key, value in wanted.items()):
                total += point.count if hasattr(point, "count") else point.value
        return total

    def points(self, name: str) -> list[Any]:
        """A metric's points (the SDK's), collected now."""
        self._take()
        return [point for metric in self._memory.metrics() if metric.name == name for point in metric.data.data_points]

    def gauge(self, name: str, **facts: Plain) -> float | None:
        """
        A gauge's value, pulled now; None where no value matches.
        """
        gauges = declared_gauges()
        if name not in gauges:
            raise KeyError(f"No gauge is called {name!r}; declared are {sorted(gauges)}.")
        gauges[name].serve(self._pipeline)
        gauges[name].pull(self._pipeline)
        wanted = self._wanted(facts)
        for point in self.points(name):
            present: Mapping[str, object] = point.attributes or {}
            if all(present.get(key) == value for key, value in wanted.items()):
                return float(point.value)
        return None

    # --- time -----------------------------------------------------------------------------------------------------

    def tick(self, seconds: float) -> None:
        """Let time pass for bizspan: durations and event times."""
        self._clock.tick(seconds)

    # --- problems -------------------------------------------------------------------------------------------------

    def problems(self) -> list[str]:
        """
        What bizspan refused or changed, and with ``strict`` each undeclared fact: ``"revenue (a.py:12): precision"``.
        """
        self._take()
        accounts = self._pipeline.accounts
        found = [problem for problem in accounts.problems if problem.rsplit(": ", 1)[-1] not in self._allowed]
        found += [f"event: {reason}" for reason in accounts.refused.values() if reason not in self._allowed]
        if self._strict:
            found += [f"{name}: undeclared" for name in accounts.undeclared if "undeclared" not in self._allowed]
        for step, times in _guard.swallowed_errors.values().items():
            if times > self._swallowed_before.get(step, 0):
                found.append(f"{step}: swallowed")
        return found

    def allow(self, *reasons: str) -> None:
        """Take these reasons as expected: ``capbiz.allow("precision")``."""
        self._allowed.update(reasons)

    def check(self) -> None:
        """
        Fail when something was refused: production only counts it, a test should know.

        Raises:
            AssertionError: With the problems; `allow` takes one as expected.
        """
        problems = self.problems()
        if problems:
            raise AssertionError(
                "bizspan refused or changed what was told:\n  "
                + "\n  ".join(problems)
                + '\nFix the call, or expect it with capbiz.allow("<reason>").'
            )

    def assert_consistent(self) -> None:
        """
        Prove that spans, metric points and events agree, and that the accounts hold.

        Raises:
            AssertionError: With every difference.
        """
        from bizspan._consistency import differences

        self._take()
        found = differences(self._all({}), self._memory, self._pipeline)
        if found:
            raise AssertionError("The signals disagree:\n  " + "\n  ".join(found))

    # --- below ----------------------------------------------------------------------------------------------------

    def _take(self) -> None:
        self._pipeline.take()

    def _all(self, facts: Mapping[str, object]) -> list[CapturedEvent]:
        self._take()
        wanted = self._wanted(facts)
        events = [captured_event(record) for record in self._memory.logs() if names.RECORD_UID in record.attributes]
        return [e for e in events if all(e.attributes.get(key) == value for key, value in wanted.items())]

    def _wanted(self, facts: Mapping[str, object]) -> dict[str, Value]:
        wanted: dict[str, Value] = {}
        # A table of its own: what a test asks for is not counted as told.
        FactTable(self._pipeline.declared, Accounts(), self._pipeline.hasher).resolve(facts, wanted)
        return wanted

    def _sum(self, kind: str, currency: str, facts: Mapping[str, object]) -> Money:
        total = Money.from_minor(0, currency)
        seen: set[str] = set()
        for event in self._all(facts):
            amount = event.counted(kind)
            if amount is not None and amount.currency == total.currency and event.uid not in seen:
                seen.add(event.uid)
                total += amount
        return total


@contextmanager
def capture(
    *,
    vocabulary: Vocabulary | Iterable[Vocabulary] | None = None,
    strict: bool = False,
    sampled: bool = True,
    check: bool = True,
) -> Generator[Capture]:
    """
    Capture everything that bizspan is told in this process, in memory, beside any other OpenTelemetry set-up.

    Args:
        vocabulary: Your facts; by default those that the application configured.
        strict: Whether an undeclared fact is a problem too.
        sampled: Whether spans are sampled; events and metrics do not depend on it.
        check: Whether the block fails at its end when something was refused.

    Raises:
        MissingExtra: Without the SDK.
        AssertionError: At the end of the block, when something was refused and not allowed.
    """
    if find_spec("opentelemetry.sdk") is None:
        raise MissingExtra("capture()", "otlp")
    pipeline, memory, clock = _in_memory(vocabulary, sampled)
    previous = _active.swap(pipeline)
    captured = Capture(pipeline, memory, clock, strict=strict)
    _guard.forget_said()
    try:
        yield captured
        if check:
            captured.check()
    finally:
        _active.swap(previous)
        pipeline.close()
        memory.shutdown()


def _in_memory(vocabulary: Vocabulary | Iterable[Vocabulary] | None, sampled: bool) -> tuple[Pipeline, Any, FixedClock]:
    from bizspan.sdk._memory import Memory

    configured = _active.current
    if vocabulary is None:
        declared = merged(()) if configured is None else configured.declared
    else:
        declared = merged((vocabulary,) if isinstance(vocabulary, Vocabulary) else vocabulary)
    clock = FixedClock()
    made: list[Pipeline] = []
    with _sdk_enabled():
        memory = Memory(lambda: made[0] if made else None, sampled=sampled)
    settings = _signals.Settings(
        declared=declared,
        hasher=Hasher(_KEY, "test"),
        clock=clock,
        ids=lambda: Ids(_WRITER),
        isolated=True,
        on_commit=configured is not None and configured.on_commit,
    )
    providers = _signals.Providers(
        memory.tracer_provider, memory.meter_provider, memory.logger_provider, own_buckets=True
    )
    made.append(_signals.build(settings, providers))
    return made[0], memory, clock


@contextmanager
def _sdk_enabled() -> Generator[None]:
    # Test runs often set OTEL_SDK_DISABLED so that nothing leaves them; nothing leaves a capture either.
    disabled = os.environ.pop("OTEL_SDK_DISABLED", None)
    try:
        yield
    finally:
        if disabled is not None:
            os.environ["OTEL_SDK_DISABLED"] = disabled
