"""
The scope of one request or task: its facts, resolved once and lazily, and its entry span.

What is learned inside, by `annotate()` or an inner `context()`, also lands on the entry span while it records, on the
request's own operation, and on everything that comes later in the request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final
from weakref import ref

from opentelemetry import context as otel
from opentelemetry import trace
from opentelemetry.trace import SpanKind

from bizspan import _active, _guard
from bizspan._apart import outside_of_requests
from bizspan._asked import Asked, Source, always
from bizspan._contexts import SPAN, get_current
from bizspan._run import Run, start_around, start_on
from bizspan._travel import Received
from bizspan._values import KNOWN_NAMES, known_name
from bizspan.context import Frame, Scope, frame

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span

    from bizspan._pipeline import Pipeline
    from bizspan._types import Attributes

# On the span object, not by its ids: an entry goes when its span goes, sampled or not.
# A weak dictionary would make four calls for each.
_ENTRY: Final = "_bizspan_entry"


def _no_span() -> None:
    return None


def entry_of(span: Span) -> Entry | None:
    """
    The request or task whose entry span this is: for measurements that are taken after its scope was left.
    """
    entry: Entry | None = getattr(span, _ENTRY, None)
    return entry


class Entry(Asked):
    """
    The outermost scope of a request or task: see `Asked` for its facts.
    """

    __slots__ = (
        "__weakref__", "_around", "_before", "_inside", "_outside", "_recorded", "_since", "_span", "_written",
        "ends_first", "has_span", "is_apart", "kind", "on_attach", "operation",
    )  # fmt: skip

    def __init__(
        self,
        pipeline: Pipeline,
        around: Frame | None,
        request_facts: Source | None = None,
        identity_facts: Source | None = None,
        is_ready: Callable[[], bool] = always,
    ) -> None:
        super().__init__(pipeline, around, request_facts, identity_facts, is_ready)
        self.operation: Run | None = None
        self._around = self._before = around
        self._since = (pipeline.time_ns(), pipeline.monotonic_ns())
        self.is_apart = False
        self.ends_first = False  # whether it always ends before its entry span: then it writes there once, at its end
        self.kind = SpanKind.SERVER
        self.on_attach: Callable[[], None] | None = None
        self._span: ref[Span] | None = None
        self.has_span = False
        self._recorded = False
        self._written: Attributes = {}
        # OpenTelemetry's contexts around and inside its operation, where that has a span of its own.
        self._outside: Context | None = None
        self._inside: Context | None = None

    @property
    def entry(self) -> Entry:  # type: ignore[override] # pyright: ignore[reportIncompatibleVariableOverride]
        """Itself. As an attribute it would be a cycle, and every request work for the garbage collector."""
        return self

    # --- its facts ------------------------------------------------------------------------------------------------

    def complete(self) -> None:
        """
        Ask for what was not asked yet, and put it onto the entry span: before the request's span ends. An open
        operation of the request does that at its end, in one go.
        """
        if self._request_facts is not None or self._identity_facts is not None:
            self.ask(ready=True)
        if self.operation is None:
            self.publish()
        elif self.is_eager:
            self.resolve(self.pipeline)

    def told_inside(self, facts: Mapping[str, object], /, *, wins: bool) -> None:
        """
        Take facts that were learned mid-request.

        Args:
            facts: By keyword.
            wins: Whether they replace what is known (`annotate`), or only add to it (an inner `context`, which may be
                one of many in a request).
        """
        new = self.learned(facts, wins=wins)
        if not new or not self._recorded:
            return
        span = self.span
        if span is None or not span.is_recording():
            for name in new:
                self.refuse(name, "late", "The entry span had ended; later spans and events carry it.")
        elif self.is_eager or (self.operation is None and self._request_facts is None):
            self.publish()

    # --- its entry span -------------------------------------------------------------------------------------------

    @property
    def span(self) -> Span | None:
        """The entry span while something else keeps it: the server's, or the consumer's."""
        return None if self._span is None else self._span()

    def attach(self, span: Span, *, is_inside: bool = True, is_recording: bool = True) -> bool:
        """
        Remember this as the entry span; the first one stays.

        Args:
            span: The server's, or the consumer's.
            is_inside: Whether it began inside this scope: it may end before the request does, at any moment.
            is_recording: Whether it records, as one does that is just starting.

        Returns:
            Whether this is the entry span.
        """
        if self._span is not None:
            return self._span() is span
        self.is_eager = is_inside and not self.ends_first
        self._span = ref(span)
        self.has_span = True
        self._recorded = is_recording
        try:
            setattr(span, _ENTRY, self)
        except Exception as error:  # another library's may take no attributes, and `entry_of` does not find it then
            _guard.swallowed("remembering a request by its span", error)
        if self.is_eager:
            self.publish()
        if self.on_attach is not None:
            self.on_attach()
        return True

    def publish(self) -> None:
        """Put what is known and not written yet onto the entry span, which may end before the request does."""
        span = self.span
        if span is None or not span.is_recording():
            return
        attributes, written = self.resolve(self.pipeline).attributes, self._written
        new: Attributes = {}
        if attributes is not written:  # or nothing was learned since
            new = {key: value for key, value in attributes.items() if key not in written or written[key] != value}
            self._written = attributes
        if self.operation is not None:
            new.update(self.operation.unpublished())
        if new:
            self.pipeline.write(span, new)

    # --- its life -------------------------------------------------------------------------------------------------

    def enter(self, before: Frame | None) -> None:
        """
        Become the scope of this thread or task.

        Args:
            before: The innermost frame there.
        """
        self._before = before
        frame.set(self)

    def leave(self) -> None:
        """
        Stop being the scope of this thread or task, with whatever was left open inside: a worker's next request must
        not start in it.
        """
        innermost = frame.get()
        if innermost is self:
            frame.set(self._before)
        elif innermost is not None and self.is_around(innermost):
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

    @property
    def inside(self) -> Context | None:
        """OpenTelemetry's context inside its operation, while that is open and has a span of its own."""
        return None if self.operation is None else self._inside

    def restore(self, before: Context) -> None:
        """
        Back to this context, if its operation's span is still the current one: others may have left something
        attached on top of it, which would keep it current for the thread's next request.
        """
        if trace.get_current_span() is trace.get_current_span(self._inside):
            otel.attach(before)

    def operate(
        self,
        name: str,
        facts: Mapping[str, object],
        *,
        caller: Callable[[], Span | None] = _no_span,
        becomes_current: bool = True,
    ) -> None:
        """
        Begin the operation that the request as a whole is: on the entry span where there is one, and from when the
        request began.

        Args:
            name: The operation's name.
            facts: Of the operation, by keyword.
            caller: Gives the parent of its span, where it gets one of its own; by default the current span.
            becomes_current: Whether such a span becomes the current one.
        """
        clean = (KNOWN_NAMES.get(name) if type(name) is str else None) or known_name(name)
        if clean is None or self.operation is not None:
            return
        # Around this scope, not inside it: beginning inside would ask for the request's facts before there is a user.
        span = None if self._span is None else self._span()
        inside: Context | None = None
        if span is not None:
            run = start_on(self.pipeline, clean, facts, self._around, span, self._recorded, self._since)
        else:
            run, inside = start_around(self.pipeline, clean, facts, self._around, caller(), self._since)
        if run.pipeline is None:
            return
        self.operation = self.run = run
        if inside is not None and becomes_current:
            self._outside, self._inside = otel.get_current(), inside
            otel.attach(inside)

    def end(self, error: BaseException | None = None, rejects: object = ()) -> None:
        """
        End its operation with everything that the request learned. The second time, nothing happens.

        Args:
            error: What the request raised.
            rejects: Exceptions that are business refusals.
        """
        if (
            self.operation is None
            or self.is_eager
            or self._request_facts is not None
            or self._identity_facts is not None
        ):
            self.complete()
        self._is_ready = always  # it may lead back here: without the cycle, a request goes with its last use
        run, self.operation = self.operation, None
        if run is None:
            return
        if self._outside is not None:
            self.restore(self._outside)
        run.inherit(self.resolve(self.pipeline).attributes)
        run.ended(error, rejects)


def begin(
    request_facts: Source | None = None,
    identity_facts: Source | None = None,
    is_ready: Callable[[], bool] = always,
    *,
    apart: bool = False,
    kind: SpanKind = SpanKind.SERVER,
    received: Callable[[Pipeline], Attributes] | None = None,
    yields: bool = False,
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
        yields: Whether what is known around wins over those.
    """
    try:
        pipeline = _active.current or _active.pipeline()
        if pipeline is None:
            return None
        current = frame.get()
        around = outside_of_requests(current) if apart and current is not None else current
        is_apart = around is not current
        if received is not None and (carried := received(pipeline)):
            around = Received(carried, around, yields=yields)
        entry = Entry(pipeline, around, request_facts, identity_facts, is_ready)
        entry.is_apart, entry.kind = is_apart, kind
        attach_current(entry)
        entry.enter(current)
        return entry
    except Exception as error:
        _guard.swallowed("beginning a request", error)
        return None


def attach_current(entry: Entry) -> None:
    """Remember the current span as the entry span, where a server or consumer of this process began it for this one."""
    span: Any = get_current().get(SPAN)
    if span is None or span is trace.INVALID_SPAN or entry_of(span) is not None:
        return
    # Not, where it ended, or is of what happens inside.
    if span.is_recording():
        if getattr(span, "kind", None) is entry.kind:
            entry.attach(span, is_inside=False)
    elif _may_be_unsampled(span, entry):
        entry.attach(span, is_inside=False, is_recording=False)


def _may_be_unsampled(span: Span, entry: Entry) -> bool:
    """Such a span has no kind; anybody's may be around a request that is not in somebody else's context."""
    about = span.get_span_context()
    is_ours = about.is_valid and not about.is_remote and not about.trace_flags.sampled
    return is_ours and not entry.is_apart and entry.kind is SpanKind.SERVER
