"""
The scope of one request or task: its facts, resolved once and lazily, and its entry span.

What is learned inside, by `annotate()` or an inner `context()`, also lands on the entry span while it records, on the
request's own operation, and on everything that comes later in the request.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary, ref

from opentelemetry import context as otel
from opentelemetry import trace
from opentelemetry.trace import SpanKind

from bizspan import _active, _guard
from bizspan._apart import is_new_span, outside_of_requests
from bizspan._run import Run, start_around
from bizspan._travel import Received
from bizspan._values import known_name
from bizspan.context import Frame, Scope, frame

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span

    from bizspan._facts import FactTable
    from bizspan._pipeline import Pipeline
    from bizspan._types import Attributes

Source = Callable[[], Mapping[str, object]]

LATE: Final = "late"
_NOTHING: Final[Mapping[str, object]] = {}

# By the span object, not by its ids: an entry goes when its span goes, sampled or not.
_entries: WeakKeyDictionary[Span, Entry] = WeakKeyDictionary()


def entry_of(span: Span) -> Entry | None:
    """
    The request or task whose entry span this is: for measurements that are taken after its scope was left.
    """
    return _entries.get(span)


def _always() -> bool:
    return True


class Entry(Scope):
    """
    The outermost scope of a request or task.

    Args:
        pipeline: Resolves its facts.
        around: The frame around it.
        request_facts: Gives what the request says, by keyword. Called once, when it is first needed.
        identity_facts: The same for who acts, which wins.
        is_ready: Whether who acts is known yet: not before authentication. Until then `identity_facts` is not asked.
    """

    __slots__ = (
        "__weakref__", "_added", "_around", "_before", "_changes", "_identity_facts", "_inside", "_is_eager",
        "_is_ready", "_lock", "_outside", "_recorded", "_request_facts", "_sealed", "_since", "_span",
        "_written", "ends_first", "is_apart", "kind", "on_attach", "operation", "pipeline",
    )  # fmt: skip

    def __init__(
        self,
        pipeline: Pipeline,
        around: Frame | None,
        request_facts: Source | None = None,
        identity_facts: Source | None = None,
        is_ready: Callable[[], bool] = _always,
    ) -> None:
        super().__init__({}, None if around is None else around.ambient, None if around is None else around.run)
        self.entry = self
        self.operation: Run | None = None
        self.pipeline = pipeline
        self._request_facts = request_facts
        self._identity_facts = identity_facts
        self._is_ready = is_ready
        self._changes = 0
        self._added: Mapping[str, object] = _NOTHING
        self._lock = threading.RLock()  # two threads of one request: the second waits for the first's facts
        self._around = self._before = around
        self._since = (pipeline.time_ns(), pipeline.monotonic_ns())
        self._sealed: int | None = None
        self.is_apart = False
        self.ends_first = False  # whether it always ends before its entry span: then it writes there once, at its end
        self.kind = SpanKind.SERVER
        self.on_attach: Callable[[], None] | None = None
        self._span: ref[Span] | None = None
        self._recorded = self._is_eager = False
        self._written: Attributes = {}
        # OpenTelemetry's contexts around and inside its operation, where that has a span of its own.
        self._outside: Context | None = None
        self._inside: Context | None = None

    # --- its facts ------------------------------------------------------------------------------------------------

    @property
    def is_entry(self) -> bool:
        """It is one."""
        return True

    @property
    def epoch(self) -> int:
        """Raised whenever its facts change; who acts becoming known is such a change."""
        if self._identity_facts is not None and self._is_ready():
            return self._changes + 1  # scopes fill in again, and that asks
        return self._changes

    def try_claim(self) -> bool:
        """Whether no other thread is asking for the facts; then none does until `unclaim`. It never waits."""
        return self._lock.acquire(blocking=False)

    def unclaim(self) -> None:
        """Undo a `try_claim` that succeeded."""
        self._lock.release()

    def _fill(self, facts: FactTable) -> None:
        with self._lock:
            self._ask()
            super()._fill(facts)
            if self._is_eager:
                self.publish()

    def _fill_own(self, facts: FactTable, attributes: Attributes) -> None:
        facts.resolve(self._added, attributes)
        super()._fill_own(facts, attributes)

    def _ask(self, *, ready: bool = False) -> None:
        # Forgotten first, so that what a source itself records does not ask it again.
        request_facts, self._request_facts = self._request_facts, None
        if request_facts is not None:
            self.facts = {**self._given(request_facts, "request facts"), **self.facts}
            self._changes += 1
        if self._identity_facts is not None and (ready or self._is_ready()):
            identity_facts, self._identity_facts = self._identity_facts, None
            self.facts = {**self.facts, **self._given(identity_facts, "resolver")}
            self._changes += 1

    def _given(self, source: Source, name: str) -> Mapping[str, object]:
        try:
            return {name: value for name, value in source().items() if value is not None}
        except Exception as error:  # the user's code: counted as such, and never fatal
            self.pipeline.accounts.refuse_value(
                name, "extractor_failed", f"Its function raised {type(error).__name__}."
            )
            return _NOTHING

    def complete(self) -> None:
        """
        Ask for what was not asked yet, and put it onto the entry span: before the request's span ends. An open
        operation of the request does that at its end, in one go.
        """
        if self._request_facts is not None or self._identity_facts is not None:
            with self._lock:
                self._ask(ready=True)
        if self.operation is None:
            self.publish()
        else:
            self.resolve(self.pipeline)

    def told_inside(self, facts: Mapping[str, object], /, *, wins: bool) -> None:
        """
        Take facts that were learned mid-request.

        Args:
            facts: By keyword.
            wins: Whether they replace what is known (`annotate`), or only add to it (an inner `context`, which may be
                one of many in a request).
        """
        with self._lock:
            if wins:
                self.learn(facts)
            else:
                known = self._known()
                facts = {name: value for name, value in facts.items() if known.get(name) is None}
                if not facts:
                    return
                self._added = {**self._added, **facts}
            self._changes += 1
        if not self._recorded:
            return
        span = self.span
        if span is None or not span.is_recording():
            for name in facts:
                self.pipeline.accounts.refuse_value(
                    name, LATE, "The entry span had ended; later spans and events carry it."
                )
        elif self._is_eager or (self.operation is None and self._request_facts is None):
            self.publish()

    def _known(self) -> dict[str, object]:
        return {**self._added, **self.facts, **(self.late or _NOTHING)}

    def refuse(self, name: str, reason: str, hint: str) -> None:
        """Count a value of this request that was dropped; see `Accounts.refuse_value`."""
        self.pipeline.accounts.refuse_value(name, reason, hint)

    # --- its entry span -------------------------------------------------------------------------------------------

    @property
    def span(self) -> Span | None:
        """The entry span while something else keeps it: the server's, or the consumer's."""
        return None if self._span is None else self._span()

    def attach(self, span: Span, *, is_inside: bool = True) -> None:
        """
        Remember this as the entry span; the first one stays.

        Args:
            span: The server's, or the consumer's.
            is_inside: Whether it began inside this scope: it may end before the request does, at any moment.
        """
        if self._span is not None:
            return
        self._is_eager = is_inside and not self.ends_first
        self._span = ref(span)
        self._recorded = span.is_recording()
        _entries[span] = self
        if self._is_eager:
            self.publish()
        if self.on_attach is not None:
            self.on_attach()

    def publish(self, more: Attributes | None = None) -> None:
        """
        Put what is known and not written yet onto the entry span, which may end before the request does.

        Args:
            more: Of its operation; by default what that has to say by now.
        """
        span = self.span
        if span is None or not span.is_recording():
            return
        self.resolve(self.pipeline)
        written = self._written
        new = {key: value for key, value in self.attributes.items() if key not in written or written[key] != value}
        if more is None and self.operation is not None:
            more = self.operation.unpublished()
        if new:
            self._written = {**written, **new}
        if more:
            new.update(more)
        if new:
            span.set_attributes(new)

    # --- its life -------------------------------------------------------------------------------------------------

    def enter(self) -> None:
        """Become the scope of this thread or task."""
        self._before = frame.get()
        frame.set(self)

    def leave(self) -> None:
        """
        Stop being the scope of this thread or task, with whatever was left open inside: a worker's next request must
        not start in it.
        """
        innermost = frame.get()
        if innermost is not None and self.is_around(innermost):
            run = innermost.run
            while isinstance(run, Run) and self.is_around(run):
                run.leave()  # or its span stays the current one
                run = None if run.outer is None else run.outer.run
            frame.set(self._before)
        if self._outside is not None:
            self.restore(self._outside)

    def is_around(self, innermost: Frame | None) -> bool:
        """Whether this frame is it, or was made in it."""
        scope: Scope | None = None if innermost is None else innermost.ambient
        while scope is not None and scope is not self:
            scope = scope.outer
        return scope is self

    def resume(self) -> Context | None:
        """
        Make the span of its open operation current again, where it has one of its own.

        Returns:
            What was there before, for `restore`; None where nothing was done.
        """
        if self._inside is None or self.operation is None:
            return None
        before = otel.get_current()
        otel.attach(self._inside)
        return before

    def restore(self, before: Context) -> None:
        """
        Back to this context, if its operation's span is still the current one: others may have left something
        attached on top of it, which would keep it current for the thread's next request.
        """
        if trace.get_current_span() is trace.get_current_span(self._inside):
            otel.attach(before)

    def operate(
        self, name: str, facts: Mapping[str, object], *, caller: Span | None = None, becomes_current: bool = True
    ) -> None:
        """
        Begin the operation that the request as a whole is: on the entry span where there is one, and from when the
        request began.

        Args:
            name: The operation's name.
            facts: Of the operation, by keyword.
            caller: The parent of its span, where it gets one of its own; by default the current span.
            becomes_current: Whether such a span becomes the current one.
        """
        clean = known_name(name)
        if clean is None or self.operation is not None:
            return
        # Around this scope, not inside it: beginning inside would ask for the request's facts before there is a user.
        span = self.span
        run, inside = start_around(self.pipeline, clean, facts, self._around, span, caller, self._since)
        if run.pipeline is None:
            return
        self.operation = self.run = run
        if inside is not None and becomes_current:
            self._outside, self._inside = otel.get_current(), inside
            otel.attach(inside)

    def seal(self) -> None:
        """
        The answer is complete: outcome, money and duration are those of now, and go onto the entry span, which may end
        before the request does. What is learned from here on reaches events and points.
        """
        run = self.operation
        self.publish(None if run is None else run.sealed())
        if run is not None:
            self._sealed = self.pipeline.monotonic_ns()

    def end(self, error: BaseException | None = None, rejects: object = ()) -> None:
        """
        End its operation with everything that the request learned. The second time, nothing happens.

        Args:
            error: What the request raised.
            rejects: Exceptions that are business refusals.
        """
        self.complete()
        self._is_ready = _always  # it may lead back here: without the cycle, a request goes with its last use
        run, self.operation = self.operation, None
        if run is None:
            return
        if self._outside is not None:
            self.restore(self._outside)
        run.inherit(self.attributes)
        if self._sealed is not None:
            run.ended_at(self._sealed)
        else:
            run.ended(error, rejects)


def begin(
    request_facts: Source | None = None,
    identity_facts: Source | None = None,
    is_ready: Callable[[], bool] = _always,
    *,
    apart: bool = False,
    kind: SpanKind = SpanKind.SERVER,
    received: Callable[[Pipeline], Attributes] | None = None,
) -> Entry | None:
    """
    The scope of a request or task that begins here, entered; None while nothing is configured. Never raises.

    The span that is current is its entry span, unless it came from another process.

    Args:
        request_facts: See `Entry`.
        identity_facts: See `Entry`.
        is_ready: See `Entry`.
        apart: Whether it is never inside another request, whatever its context looks like.
        kind: Of its entry span: a task's is the consumer's, however many other spans are around it.
        received: Gives the facts that came with it from another process, checked, by attribute key.
    """
    try:
        pipeline = _active.current or _active.pipeline()
        if pipeline is None:
            return None
        current = frame.get()
        around = outside_of_requests(current) if apart else current
        is_apart = around is not current
        if received is not None and (carried := received(pipeline)):
            around = Received(carried, around)
        entry = Entry(pipeline, around, request_facts, identity_facts, is_ready)
        entry.is_apart, entry.kind = is_apart, kind
        attach_current(entry)
        entry.enter()
        return entry
    except Exception as error:
        _guard.swallowed("beginning a request", error)
        return None


def attach_current(entry: Entry) -> None:
    """Remember the current span as the entry span, where it is one of this process."""
    span = trace.get_current_span()
    about = span.get_span_context()
    is_choosy = entry.is_apart or entry.kind is not SpanKind.SERVER
    if is_choosy and (span in _entries or not is_new_span(span, entry.kind)):
        return  # the other request's
    if about.is_valid and not about.is_remote:
        entry.attach(span, is_inside=False)
