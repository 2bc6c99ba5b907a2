"""
Business context on the counters and histograms of other libraries that the user names.

A meter provider around another. Only an instrument that is named is wrapped; all others are the underlying objects
themselves. The dimensions join the attributes of a measurement before any view or cardinality limit sees it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from opentelemetry import metrics, trace
from opentelemetry.metrics import Counter, Histogram, Meter, MeterProvider

from bizspan import _active, _dimensions, _guard, _signals, names
from bizspan._entry import entry_of
from bizspan._totals import Budgets
from bizspan.context import ambient_scope
from bizspan.errors import SetupError
from bizspan.vocabulary import Vocabulary, merged

if TYPE_CHECKING:
    from opentelemetry.context import Context

    from bizspan._dimensions import Named
    from bizspan._facts import FactTable
    from bizspan._types import Attributes, Value
    from bizspan.context import Scope

_NOTHING: Mapping[str, Any] = {}
_PASSED_ON = "its measurements stay as they are, because only counters and histograms can carry dimensions"


def with_business_context(
    provider: MeterProvider,
    metric_dimensions: Mapping[str, Iterable[str] | None],
    *,
    vocabulary: Vocabulary | Iterable[Vocabulary] = (),
) -> WithBusinessContext:
    """
    A meter provider around yours whose named counters and histograms carry the dimensions in scope.

    Set it with `metrics.set_meter_provider()`, or pass it to an instrumentation as ``meter_provider=``. Everything that
    yours can do, it can: its readers, views and ``shutdown()`` are those of yours.

    Args:
        provider: Yours, for example the SDK's.
        metric_dimensions: The names of instruments, each with its facts by keyword; None stands for every dimension.
        vocabulary: Your facts, as for `configure()`; needed where `configure()` comes later.

    Raises:
        SetupError: When a name is no instrument's, a fact is unknown or no dimension, or the provider is none.
    """
    if not isinstance(provider, MeterProvider):
        raise SetupError(f"with_business_context() takes a meter provider, got {provider!r}.")
    if not _signals.providers_set()[1] and provider is metrics.get_meter_provider():
        raise SetupError(
            "No meter provider is set yet, so there is none to wrap; wrap the SDK's MeterProvider before it is set."
        )
    vocabularies = (vocabulary,) if isinstance(vocabulary, Vocabulary) else tuple(vocabulary)
    if any(not isinstance(each, Vocabulary) for each in vocabularies):
        raise SetupError(f"vocabulary= takes Vocabulary objects, got {vocabulary!r}.")
    running = _active.current
    declared = merged(vocabularies) if vocabularies or running is None else running.declared
    return WithBusinessContext(provider, _dimensions.checked(metric_dimensions, declared))


class _Around:
    """Everything that is not overridden is the inner one's: private parts too, which tools look into."""

    _inner: Any

    def __getattr__(self, name: str) -> Any:
        if name == "_inner" or name.startswith("__"):  # half made, by copy or pickle
            raise AttributeError(name)
        return getattr(self._inner, name)


class WithBusinessContext(_Around, MeterProvider):
    """
    Wraps the meters of a provider, bizspan's own excepted.

    Args:
        inner: The provider.
        named: Which instruments take which facts.
    """

    def __init__(self, inner: MeterProvider, named: Named) -> None:
        self._inner = inner
        budgets = SharedBudgets()
        self._added = {name: Added(facts, budgets) for name, facts in named.items()}

    def get_meter(self, name: str, *args: Any, **options: Any) -> Meter:
        """The inner provider's meter, wrapped."""
        meter: Meter = self._inner.get_meter(name, *args, **options)
        # bizspan's metrics have their dimensions, and its fork handling looks for the SDK's parts behind its meter.
        return meter if name == names.SCOPE else WrappedMeter(meter, self._added)


class WrappedMeter(_Around, Meter):
    """
    Wraps the counters and histograms that are named.

    Args:
        inner: The meter.
        added: What is added, by instrument name.
    """

    def __init__(self, inner: Meter, added: Mapping[str, Added]) -> None:
        super().__init__(inner.name, inner.version, inner.schema_url)
        self._inner = inner
        self._added = added

    def create_counter(self, name: str, *args: Any, **options: Any) -> Counter:
        """The inner counter, wrapped if it is named."""
        counter: Counter = self._inner.create_counter(name, *args, **options)
        added = self._of(name)
        return counter if added is None else WrappedCounter(counter, added)

    def create_histogram(self, name: str, *args: Any, **options: Any) -> Histogram:
        """The inner histogram, wrapped if it is named."""
        histogram: Histogram = self._inner.create_histogram(name, *args, **options)
        added = self._of(name)
        return histogram if added is None else WrappedHistogram(histogram, added)

    def create_up_down_counter(self, name: str, *args: Any, **options: Any) -> Any:
        """The inner one. Its +1 and its -1 would get different dimensions, and never add up to 0 again."""
        self._refuse(name, "an up-down counter")
        return self._inner.create_up_down_counter(name, *args, **options)

    def create_gauge(self, name: str, *args: Any, **options: Any) -> Any:
        """The inner one. A gauge says what is, whoever asks."""
        self._refuse(name, "a gauge")
        return self._inner.create_gauge(name, *args, **options)

    def create_observable_counter(self, name: str, *args: Any, **options: Any) -> Any:
        """The inner one. No request is around its callback."""
        self._refuse(name, "an observable counter")
        return self._inner.create_observable_counter(name, *args, **options)

    def create_observable_gauge(self, name: str, *args: Any, **options: Any) -> Any:
        """The inner one. No request is around its callback."""
        self._refuse(name, "an observable gauge")
        return self._inner.create_observable_gauge(name, *args, **options)

    def create_observable_up_down_counter(self, name: str, *args: Any, **options: Any) -> Any:
        """The inner one. No request is around its callback."""
        self._refuse(name, "an observable up-down counter")
        return self._inner.create_observable_up_down_counter(name, *args, **options)

    def _of(self, name: object) -> Added | None:
        return self._added.get(name.strip().lower()) if isinstance(name, str) else None

    def _refuse(self, name: object, kind: str) -> None:
        if self._of(name) is not None:
            _guard.say_once(
                f"named:{name}", f"bizspan: metric_dimensions names {name!r}, which is {kind}; {_PASSED_ON}."
                " Take it out of metric_dimensions.",
            )  # fmt: skip


class WrappedCounter(_Around, Counter):
    """A counter whose additions carry the dimensions in scope."""

    def __init__(self, inner: Counter, added: Added) -> None:
        self._inner = inner
        self._told = inner.add
        self._to = added.to

    def add(self, amount: float, attributes: Any = None, context: Context | None = None) -> None:
        """Add to the inner counter."""
        self._told(amount, self._to(attributes, context), context)


class WrappedHistogram(_Around, Histogram):
    """A histogram whose measurements carry the dimensions in scope."""

    def __init__(self, inner: Histogram, added: Added) -> None:
        self._inner = inner
        self._told = inner.record
        self._to = added.to

    def record(self, amount: float, attributes: Any = None, context: Context | None = None) -> None:
        """Record in the inner histogram."""
        self._told(amount, self._to(attributes, context), context)


class SharedBudgets:
    """
    The distinct values of each dimension on all instruments of one provider. Any thread may ask.
    """

    def __init__(self) -> None:
        self._budgets = Budgets()
        self._kept: set[tuple[str, Value]] = set()
        self._lock = threading.RLock()  # a finalizer may record in the middle of it
        self._pid = os.getpid()

    def declare(self, budgets: Mapping[str, int]) -> None:
        """Take these budgets, by attribute key, beside those that are known."""
        with self._locked():
            self._budgets.declare({**self._budgets.by_key, **budgets})

    def fit(self, dimensions: Attributes) -> Attributes:
        """The same dimensions, each within its budget."""
        kept = self._kept
        for dimension in dimensions.items():
            if dimension not in kept:
                break
        else:
            return dimensions
        with self._locked():
            fitted = self._budgets.fit(dimensions)
            kept.update(fitted.items())
        return fitted

    def _locked(self) -> threading.RLock:
        if self._pid != os.getpid():  # another thread of the parent may have held it at the fork
            self._lock, self._pid = threading.RLock(), os.getpid()
        return self._lock


class Added:
    """
    What is added to the measurements of one instrument.

    Args:
        facts: The dimensions by keyword; None is every one.
        budgets: Of all instruments.
    """

    __slots__ = ("_budgets", "_facts", "_keys")

    def __init__(self, facts: tuple[str, ...] | None, budgets: SharedBudgets) -> None:
        self._facts = facts
        self._budgets = budgets
        self._keys: tuple[FactTable | None, frozenset[str]] = (None, frozenset())

    def to(self, attributes: Any, context: Context | None) -> Any:
        """
        These attributes over the dimensions in scope; the attributes alone, counted, where a step fails.
        """
        try:
            scope = _scope_of(context)
            pipeline = None if scope is None else _active.pipeline()
            if scope is None or pipeline is None:
                return attributes
            keys = self._keys_of(pipeline.facts)
            told = scope.resolve(pipeline).attributes
            own: Mapping[str, Any] = attributes or _NOTHING
            # What the measurement says itself takes no room in the budget.
            dimensions = {key: value for key, value in told.items() if key in keys and key not in own}
            return {**self._budgets.fit(dimensions), **own} if dimensions else attributes
        except Exception as error:
            _guard.swallowed("adding dimensions", error)
            return attributes

    def _keys_of(self, table: FactTable) -> frozenset[str]:
        known, keys = self._keys
        if known is not table:
            slots = table.slots
            wanted = slots.values() if self._facts is None else [slots[name] for name in self._facts if name in slots]
            budgets = {slot.key: slot.attribute.budget for slot in wanted if slot.attribute.dimension}
            self._budgets.declare(budgets)
            keys = frozenset(budgets)
            self._keys = (table, keys)
        return keys


def _scope_of(context: Context | None) -> Scope | None:
    """
    The scope in force. An instrumentation measures after the request's scope was left, or around it: then it is that
    of the request whose entry span is current in the measurement's context.
    """
    scope = ambient_scope()
    if scope is not None and scope.entry is not None:
        return scope
    entry = entry_of(trace.get_current_span(context))
    if entry is None or scope is None:
        return scope if entry is None else entry
    around = entry.outer
    while around is not None and around is not scope:
        around = around.outer
    return scope if around is None else entry
