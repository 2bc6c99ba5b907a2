"""
Gauges: numbers pulled from the system of record, at their own interval, off the export thread.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from opentelemetry.metrics import Observation

from bizspan import _active, _guard, names
from bizspan._values import clean_name, number
from bizspan.context import with_attributes
from bizspan.errors import SetupError
from bizspan.money import Money

if TYPE_CHECKING:
    from bizspan._pipeline import Pipeline
    from bizspan._types import Attributes

F = TypeVar("F", bound=Callable[[], Any])
_SETS_LIMIT: Final = 1900
_STALE_AFTER_INTERVALS: Final = 3


class Gauge:
    """
    One gauge: its function, and the values of its last pull.

    Args:
        name: The metric's name.
        function: Gives a number or a Money, or yields them, each alone or with facts.
        every_s: Seconds between pulls.
        timeout_s: Seconds that a pull may take; a later result is dropped and counted.
        unit: The metric's unit (UCUM).
        description: The metric's description.
    """

    def __init__(
        self, name: str, function: Callable[[], Any], every_s: float, timeout_s: float, unit: str, description: str
    ) -> None:
        self.name = name
        self.unit = unit
        self.description = description
        self._function = function
        self._every_s = every_s
        self._timeout_s = timeout_s
        self._points: list[Observation] = []
        self._pulled_at = 0.0
        self._due_at: float | None = None
        self._served: Pipeline | None = None
        self._stop = threading.Event()

    def serve(self, pipeline: Pipeline) -> None:
        """Register with this pipeline, and pull from now on in a thread of its own."""
        if self._served is pipeline:
            return
        self._stop.set()
        self._served = pipeline
        self._points = []
        self._stop = threading.Event()
        name = self.name  # not self: a meter keeps the first callback of a name, and the gauge may be declared again
        pipeline.meter.create_observable_gauge(
            self.name,
            callbacks=[lambda options: _observe(name, pipeline)],
            unit=self.unit,
            description=self.description,
        )
        if not pipeline.isolated:
            threading.Thread(
                target=self._run, args=(pipeline, self._stop), name=f"bizspan-gauge-{self.name}", daemon=True
            ).start()

    def retire(self) -> None:
        """Stop pulling, and give nothing more, until a pipeline is served again."""
        self._served = None
        self._stop.set()

    def _run(self, pipeline: Pipeline, stop: threading.Event) -> None:
        while not stop.is_set() and not pipeline.closed:
            self.pull(pipeline)
            stop.wait(self._every_s)

    def pull(self, pipeline: Pipeline) -> None:
        """
        Ask the function, and keep what it gives for the next collections.
        """
        self._due_at = due_at = time.monotonic() + self._timeout_s
        try:
            points = list(self._points_of(pipeline, self._function(), due_at))
        except TimeoutError:
            self.note_overdue(pipeline)
        except Exception as error:
            pipeline.accounts.refuse_value(self.name, "gauge_failed", f"It raised {type(error).__name__}.")
        else:
            self._points = points
            self._pulled_at = time.monotonic()
        finally:
            self._due_at = None

    def note_overdue(self, pipeline: Pipeline) -> None:
        """Count a pull that takes too long, once: here, because one that hangs never gets to do it itself."""
        due_at = self._due_at
        if due_at is not None and time.monotonic() > due_at:
            self._due_at = None
            pipeline.accounts.refuse_value(self.name, "gauge_timeout", f"It took over {self._timeout_s:g} s.")

    def _points_of(self, pipeline: Pipeline, given: object, deadline: float) -> Iterator[Observation]:
        sets: dict[tuple[Any, ...], Observation] = {}
        for row in _rows(given):
            if time.monotonic() > deadline:
                raise TimeoutError
            if len(sets) >= _SETS_LIMIT:
                pipeline.accounts.refuse_value(self.name, "too_many", f"Give at most {_SETS_LIMIT} values.")
                break
            try:
                parts = _parts(row)
                value, facts = (parts[0], parts[1]) if len(parts) == 2 else (row, None)
                observation = self._observation(pipeline, value, facts)
            except Exception:  # properties of a foreign object may raise anything; the other rows are good
                observation = None
            if observation is None:
                pipeline.accounts.refuse_value(self.name, "type", "Give a finite number or a Money.")
            else:
                sets[tuple(sorted((observation.attributes or {}).items()))] = observation
        if time.monotonic() > deadline:
            raise TimeoutError
        yield from sets.values()

    def _observation(self, pipeline: Pipeline, value: object, facts: object) -> Observation | None:
        attributes: Attributes = {}
        if isinstance(facts, Mapping):
            pipeline.facts.resolve(with_attributes(cast("object", facts)), attributes)
            dimensions = pipeline.totals.dimensions_of(attributes)
            for key in attributes.keys() - dimensions.keys():
                pipeline.accounts.refuse_value(key, "no_dimension", "Only declared dimensions go onto metrics.")
        fitted = pipeline.locked(lambda: pipeline.totals.fit(attributes))
        if hasattr(value, "amount") and hasattr(value, "currency"):
            money = Money(cast("Any", value))
            told: int | float | None = money.minor_units / 10**money.exponent
            fitted[names.CURRENCY_KEYS[names.VALUE]] = money.currency
        else:
            told = number(value)
        return None if told is None else Observation(told, fitted)

    def observe(self, pipeline: Pipeline) -> Iterable[Observation]:
        """The values of the last pull; nothing once they are too old."""
        if self._served is not pipeline or pipeline.pid != os.getpid():
            return []
        self.note_overdue(pipeline)
        age_s = time.monotonic() - self._pulled_at
        return [] if age_s > _STALE_AFTER_INTERVALS * self._every_s + self._timeout_s else self._points


_gauges: dict[str, Gauge] = {}


def _observe(name: str, pipeline: Pipeline) -> Iterable[Observation]:
    declared = _gauges.get(name)
    return [] if declared is None else declared.observe(pipeline)


def gauge(
    name: str,
    *,
    every_s: float = 60.0,
    timeout_s: float = 10.0,
    unit: str = "",
    description: str = "",
) -> Callable[[F], F]:
    """
    Declare a gauge: its function is called at its own interval, in a thread of its own, and its last values are
    exported. The function itself stays as it is.

    The function gives a number or a `Money`, or yields several, each alone or as ``(value, facts)``. A value is
    dropped when it is older than three intervals. Never sum a gauge over processes: each pulls the same system.

    Args:
        name: The metric's name, for example ``"subscriptions.active"``.
        every_s: Seconds between pulls, at least 0.1.
        timeout_s: Seconds that a pull may take.
        unit: UCUM, for example ``"{subscription}"``.
        description: One line.

    Raises:
        SetupError: When the declaration is wrong.
    """
    # What OpenTelemetry takes as a name and a unit; a description that can't be encoded would lose every metric.
    if type(name) is not str or re.fullmatch(r"[A-Za-z][\w.\-/]{0,199}", name, re.ASCII) is None:
        raise SetupError(f"gauge({name!r}) needs a name such as 'subscriptions.active'.")
    if not (type(unit) is str and unit.isascii() and unit.isprintable() and len(unit) <= 63):
        raise SetupError(f"gauge({name!r}) needs a UCUM unit such as '{{subscription}}', of at most 63 letters.")
    description = clean_name(description, limit=1024) or ""
    if not (_is_number(every_s) and every_s >= 0.1 and _is_number(timeout_s) and timeout_s > 0):
        raise SetupError("gauge() needs every_s of at least 0.1 and timeout_s above 0, in seconds.")

    def declare(function: F) -> F:
        if not callable(function):
            raise SetupError(f"gauge({name!r}) decorates a function without arguments.")
        from inspect import isasyncgenfunction, iscoroutinefunction

        if iscoroutinefunction(function) or isasyncgenfunction(function):
            raise SetupError(f"gauge({name!r}) is pulled in a thread; give it a plain function, not an async one.")
        declared = Gauge(name, function, every_s, timeout_s, unit, description)
        previous = _gauges.get(name)
        if previous is not None:
            previous.retire()
        _gauges[name] = declared
        pipeline = _active.current
        if pipeline is not None:
            declared.serve(pipeline)
        return function

    return declare


def declared_gauges() -> dict[str, Gauge]:
    """The gauges by name."""
    return dict(_gauges)


def _serve_all() -> None:
    pipeline = _active.current
    if pipeline is None:
        return
    for declared in list(_gauges.values()):
        try:
            declared.serve(pipeline)
        except Exception as error:
            _guard.swallowed("starting a gauge", error)


def _stop_all() -> None:
    for declared in list(_gauges.values()):
        declared.retire()


_active.on_start.append(_serve_all)
_active.on_remove.append(_stop_all)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _rows(given: Any) -> Iterable[Any]:
    parts = _parts(given)
    single = len(parts) == 2 and isinstance(parts[1], Mapping)
    several = isinstance(given, Iterable) and not isinstance(given, (str, bytes, Mapping))
    return cast("Iterable[Any]", given if several and not single else (given,))


def _parts(row: object) -> tuple[object, ...]:
    return cast("tuple[object, ...]", row) if isinstance(row, tuple) else ()
