"""
Ambient business facts: told once, carried by everything inside.

``with bizspan.context(segment="gold"):`` puts the fact on every operation, event and metric point in the block; with
`configure()`, also on every span and log record of other libraries. Scopes nest, the inner one wins.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from opentelemetry import trace

from bizspan import _active, _guard
from bizspan._facts import FACTS_LIMIT
from bizspan._values import coerce
from bizspan.errors import SetupError

if TYPE_CHECKING:
    from opentelemetry.trace import Span, SpanKind

    from bizspan._facts import FactTable
    from bizspan._pipeline import Pipeline
    from bizspan._types import Attributes, Plain

F = TypeVar("F", bound=Callable[..., Any])
_FOREIGN_LIMIT = 1024
_NAME_LIMIT = 200


class OpenOperation(Protocol):
    """What `annotate` and events need of the operation around them."""

    id: str

    @property
    def is_open(self) -> bool:
        """Whether it has not ended: a task may outlive the operation that it was made in."""
        ...

    def learn(self, facts: Mapping[str, object], /) -> None:
        """Take facts that were learned late."""


class RequestScope(Protocol):
    """What the scopes inside a request or task need of it."""

    kind: SpanKind

    @property
    def epoch(self) -> int:
        """Raised whenever its facts change."""
        ...

    def told_inside(self, facts: Mapping[str, object], /, *, wins: bool) -> None:
        """Take facts that were learned inside it."""

    has_span: bool  # whether an entry span was attached

    @property
    def span(self) -> Span | None:
        """Its entry span, where it has one."""
        ...

    def attach(self, span: Span, /) -> bool:
        """Remember this as its entry span; the first one stays. Whether this is it."""
        ...

    @property
    def would_ask(self) -> bool:
        """Whether the next that needs its facts calls a function for them, which may be the user's."""
        ...


class Frame(Protocol):
    """What is innermost: a scope or an operation."""

    @property
    def ambient(self) -> Scope | None:
        """The scope in force."""

    @property
    def run(self) -> OpenOperation | None:
        """The operation around."""


class Scope:
    """
    The facts in force: those of this block over those of the blocks around it.

    Args:
        facts: Told here, by keyword.
        outer: The scope around this one.
        run: The operation around this one.
    """

    __slots__ = ("_epoch", "_resolved_by", "attributes", "entry", "facts", "late", "outer", "run")

    def __init__(self, facts: Mapping[str, object], outer: Scope | None, run: OpenOperation | None) -> None:
        self.facts = facts
        self.outer = outer
        self.run = run
        # The request or task around it. What it learns late raises its epoch, and the scopes inside fill in again.
        self.entry: RequestScope | None = None if outer is None else outer.entry
        self._epoch = 0
        self.late: dict[str, object] | None = None
        self.attributes: Attributes = {}
        self._resolved_by: FactTable | None = None

    @property
    def ambient(self) -> Scope:
        """Itself: an operation has an ambient scope, a scope is one."""
        return self

    @property
    def is_entry(self) -> bool:
        """Whether this is the scope of a request or task itself."""
        return False

    def resolve(self, pipeline: Pipeline) -> Scope:
        """
        This scope with its attributes filled in for this pipeline; done once.
        """
        facts = pipeline.facts
        entry = self.entry
        if self._resolved_by is facts and (entry is None or self._epoch == entry.epoch):
            return self
        # A loop, because scopes may be nested deeper than Python's stack.
        waiting: list[Scope] = [self]
        outer = self.outer
        while outer is not None and not outer._is_filled(facts):
            waiting.append(outer)
            outer = outer.outer
        for scope in reversed(waiting):
            scope._fill(facts)
        return self

    def _is_filled(self, facts: FactTable) -> bool:
        return self._resolved_by is facts and (self.entry is None or self._epoch == self.entry.epoch)

    def _fill(self, facts: FactTable) -> None:
        entry = self.entry
        epoch = 0 if entry is None else entry.epoch
        attributes: Attributes = {} if self.outer is None else {**self.outer.attributes}
        self._fill_own(facts, attributes)
        if len(attributes) > FACTS_LIMIT:
            facts.drop_surplus(attributes, attributes)
        self.attributes, self._epoch, self._resolved_by = attributes, epoch, facts

    def _fill_own(self, facts: FactTable, attributes: Attributes) -> None:
        facts.resolve(self.facts, attributes)
        if self.late:
            facts.resolve(self.late, attributes)

    def learn(self, facts: Mapping[str, object]) -> None:
        """Add facts that were learned after the scope began."""
        self.late = {**(self.late or {}), **facts}
        self._resolved_by = None


# The innermost scope or operation of this thread or task.
frame: ContextVar[Frame | None] = ContextVar("bizspan", default=None)


def ambient_scope() -> Scope | None:
    """
    The scope in force, whether or not an operation is open inside it.
    """
    innermost = frame.get()
    return None if innermost is None else innermost.ambient


class context:  # noqa: N801 - reads as a verb at the call site, like contextlib's
    """
    Put facts on everything inside: a block, or a function when used as a decorator.

    Args:
        attributes: Facts whose names clash with an option.
        facts: Facts by keyword. None means "not told".

    Raises:
        SetupError: At decoration of a generator, which would leak its context into its caller.
    """

    __slots__ = ("_facts", "_outer", "_scope")

    def __init__(self, /, *, attributes: Mapping[str, Plain] | None = None, **facts: Plain) -> None:
        self._facts: dict[str, object] = {**with_attributes(attributes), **facts}
        self._scope: Scope | None = None
        self._outer: Frame | None = None

    def __enter__(self) -> None:
        if self._scope is not None:
            raise SetupError("This context() block is already open; make a new one with context(...) for each block.")
        outer = frame.get()
        self._outer = outer
        if outer is None:
            self._scope = Scope(self._facts, None, None)
        else:
            self._scope = scope = Scope(self._facts, outer.ambient, outer.run)
            if scope.entry is not None and self._facts:
                try:
                    scope.entry.told_inside(self._facts, wins=False)
                except Exception as error:
                    _guard.swallowed("telling a request what a context() knows", error)
        frame.set(self._scope)

    def __exit__(self, *exception: object) -> None:
        # Not where another thread or task closes the block, or where blocks end out of order (generators).
        if frame.get() is self._scope:
            frame.set(self._outer)
        self._scope = self._outer = None

    def __call__(self, function: F) -> F:
        from bizspan._wrapping import decorate

        facts = self._facts

        def block() -> context:
            fresh = context()
            fresh._facts = facts
            return fresh

        return decorate(function, block, "context")


def annotate(*, attributes: Mapping[str, Plain] | None = None, **facts: Plain) -> None:
    """
    Tell facts that were learned late.

    They land on the current operation, where the call's own facts win over them; outside of any operation on the
    rest of the innermost `context`; and without either on the current span. Inside a request or task they also land
    on its entry span, its own operation, and everything that comes later in it.

    Args:
        attributes: Facts whose names clash with an option.
        facts: Facts by keyword. None means "not told".
    """
    try:
        told = {**with_attributes(attributes), **facts}
        innermost = frame.get()
        run = None if innermost is None else innermost.run
        scope = None if innermost is None else innermost.ambient
        entry = None if scope is None else scope.entry
        if entry is not None:
            entry.told_inside(told, wins=True)
        if run is not None and run.is_open:
            run.learn(told)
            return
        if scope is not None and not scope.is_entry:
            scope.learn(told)
        pipeline = _active.pipeline()
        if pipeline is not None:
            _annotate_span(pipeline, told, alone=scope is None)
    except Exception as error:
        _guard.swallowed("annotating", error)


def _annotate_span(pipeline: Pipeline, told: Mapping[str, object], *, alone: bool) -> None:
    span = trace.get_current_span()
    if span.is_recording():
        attributes: Attributes = {}
        pipeline.facts.resolve(told, attributes)
        span.set_attributes(attributes)
    elif alone:
        pipeline.accounts.refuse_value(
            "annotate", "no_target", "Annotate inside an operation, a context() block or a recording span."
        )


def with_attributes(attributes: object) -> Mapping[str, object]:
    """
    The facts of an ``attributes=`` argument; nothing, counted, where it is not a mapping.
    """
    if attributes is None:
        return {}
    named: dict[str, object] = {}
    try:
        if type(attributes) is dict:
            told: dict[Any, object] = dict(cast("dict[Any, object]", attributes))
        elif isinstance(attributes, Mapping):
            # Bounded, because a mapping of someone else's may never end.
            told = dict(islice(cast("Mapping[Any, object]", attributes).items(), _FOREIGN_LIMIT))
        else:
            told = {None: None}
        names = [_named(name) for name in told]
        # By position: a key of another type may bring a __hash__ and an __eq__ that raise.
        named = {name: value for name, value in zip(names, told.values(), strict=True) if name is not None}
        if None not in names:
            return named
    except Exception:  # methods of foreign objects may raise anything
        named = {}
    pipeline = _active.current
    if pipeline is not None:
        pipeline.accounts.refuse_value("attributes", "type", "Pass a dict of names and values.")
    return named


def _named(name: object) -> str | None:
    """The text of a name that is a str, an int or a member of an Enum; None for what names nothing."""
    if type(name) is str:
        return name
    clean, _ = coerce(name, limit=_NAME_LIMIT)
    return str(clean) if type(clean) is str or type(clean) is int else None
