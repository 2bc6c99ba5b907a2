"""
From a run to its record: opens the span, becomes the current operation, and makes every signal at the end.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, cast

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Status, StatusCode

from bizspan import _guard, names
from bizspan._amounts import Lines, write_amount, write_money
from bizspan._codes import code, error_type
from bizspan._contexts import attach as _attach
from bizspan._contexts import get_current as _get_current
from bizspan._facts import FACTS_LIMIT, write_missing
from bizspan._record import Record
from bizspan.context import Frame, OpenOperation, frame

if TYPE_CHECKING:
    from opentelemetry.trace import Span, SpanContext

    from bizspan._pipeline import Pipeline
    from bizspan._types import Attributes


_ERROR = Status(StatusCode.ERROR)
# The context of an operation that never is the current one: what a request as a whole is.
NOWHERE = Context()
_NOTHING: Mapping[str, object] = {}
_NEW = "new"  # interned, as the default is
# On the hot path a global is half the price of a module's attribute.
_NAME, _ID, _OUTCOME = names.OPERATION_NAME, names.OPERATION_ID, names.OPERATION_OUTCOME
_OPERATION, _NOTES = names.EVENT_OPERATION, names.NOTES


class Recording:
    """
    An operation under way, as the pipeline sees it.

    Args:
        pipeline: Takes the record; None makes every call do nothing.
        name: The operation's name.
    """

    __slots__ = (
        "__weakref__", "_annotated", "_called", "_context", "_invalid", "_key", "_lines", "_open", "_outer",
        "_outer_context", "_own_span", "_outcome", "_quiet", "_reason", "_recording", "_result", "_span", "_started_ns",
        "_ticks", "_tied", "_told", "ambient", "attributes", "id", "name", "pipeline",
    )  # fmt: skip

    def __init__(self, pipeline: Pipeline | None, name: str) -> None:
        self.pipeline = pipeline
        self._open = False
        self._told: Mapping[str, object]
        self._annotated: Mapping[str, object]
        self.name = name
        self.id = ""

    @property
    def run(self) -> OpenOperation | None:
        """Itself while it is open, for `annotate()`; then the operation around it."""
        innermost = still_open(self)
        return innermost if innermost is None or isinstance(innermost, Recording) else innermost.run

    @property
    def outer(self) -> Frame | None:
        """What was innermost when it began."""
        return self._outer

    def learn(self, facts: Mapping[str, object]) -> None:
        """Add facts from `bizspan.annotate()`: they win over context, and yield to the call's own."""
        self._annotated = {**self._annotated, **facts}

    def begin(
        self,
        facts: Mapping[str, object],
        prepared: Attributes | None,
        span: str,
        key: object,
        tied: bool,
        since: tuple[int, int] | None,
    ) -> None:
        """
        Open the span and become the current operation.

        Args:
            facts: Told at this call.
            prepared: Attributes that are the same for every call.
            span: ``"new"``, or ``"current"`` to write onto the span that is there.
            key: The idempotency key, or None.
            tied: Whether a success waits for the commit of the database transaction that is open then.
            since: When it began, by both clocks, where that was before now.
        """
        pipeline = self.pipeline
        assert pipeline is not None
        self._key = key
        self._tied = tied
        self._outcome: str | None = None
        self._reason: str | None = None
        self._lines: Lines = ()
        self._invalid: dict[str, str] | None = None
        self._told = self._annotated = _NOTHING
        self._result: Attributes | None = None
        self.id = run_id = pipeline.new_id()
        outer = frame.get()
        if outer is not None:
            outer = still_open(outer)
        self._outer = outer
        attributes: Attributes = {_NAME: self.name, _ID: run_id}
        # Without context, all attributes were told at the call: no second dictionary is needed to know which.
        called = attributes
        self.ambient = ambient = None if outer is None else outer.ambient
        if ambient is not None:
            ambient.resolve(pipeline)
            attributes.update(ambient.attributes)
            called = {}
        if prepared:
            called.update(prepared)
        if facts:
            pipeline.facts.resolve(facts, called)
        if called is not attributes:
            attributes.update(called)
        if len(attributes) > FACTS_LIMIT:
            pipeline.facts.drop_surplus(attributes, attributes)
        self.attributes = attributes
        self._called = called
        self._started_ns = pipeline.time_ns() if since is None else since[0]
        self._open_span(pipeline, span)
        frame.set(self)
        self._open = True
        self._ticks = pipeline.monotonic_ns() if since is None else since[1]

    def begin_on(
        self, span: Span, is_recording: bool, facts: Mapping[str, object], around: Frame | None, since: tuple[int, int]
    ) -> None:
        """
        Begin as the operation that a request as a whole is: without becoming current, and without a word on the span
        before its end, because an SDK span takes 5 us for each.

        Args:
            span: The request's.
            is_recording: Whether that records.
            facts: Of the operation.
            around: The frame around the request.
            since: When the request arrived, by both clocks.
        """
        pipeline = self.pipeline
        assert pipeline is not None
        self._key = self._outcome = self._reason = self._invalid = self._result = None
        self._tied = pipeline.on_commit
        self._own_span = False
        self._lines = ()
        self._told = self._annotated = _NOTHING
        self._quiet = True
        self.id = pipeline.new_id()
        self._outer = around = None if around is None else still_open(around)
        self.ambient = None if around is None else around.ambient
        attributes: Attributes = {_NAME: self.name, _ID: self.id}
        if facts:
            pipeline.facts.resolve(facts, attributes)
        self.attributes = self._called = attributes  # what is around the request comes with `inherit`
        self._outer_context = self._context = NOWHERE  # the current one would keep the span alive, and by it all this
        self._span = span
        self._recording = is_recording
        self._started_ns, self._ticks = since
        self._open = True

    def _open_span(self, pipeline: Pipeline, mode: str) -> None:
        self._outer_context = outer = _get_current()
        if mode is not _NEW and self._is_current(pipeline, mode):
            self._own_span = False
            self._context = outer
            self._span = span = trace.get_current_span(outer)
            self._recording = span.is_recording()
            self._quiet = False
            if self._recording:
                pipeline.write(span, self.attributes)
            return
        self._own_span = True
        self._span = span = pipeline.start_span(
            self.name, outer, attributes=self.attributes, start_time=self._started_ns
        )
        self._recording = span.is_recording()
        self._context = context = trace.set_span_in_context(span, outer)
        _attach(context)

    def _is_current(self, pipeline: Pipeline, mode: object) -> bool:
        if type(mode) is str and mode in ("new", "current"):
            return mode == "current"
        pipeline.accounts.refuse_value("span", "type", "Pass 'new' or 'current'.")
        return False

    def leave(self) -> None:
        """
        Stop being the current operation, in this thread or task, where it still is.

        Restores what was there before, instead of using tokens: a token may only be used where it was made, and
        generators and callbacks end elsewhere.
        """
        outer = self._outer
        before = self._outer_context
        # What was there before may have ended meanwhile: a generator's operation, when its caller opened this one.
        while outer is not None and isinstance(outer, Recording) and not outer._open:
            if before is outer._context:
                before = outer._outer_context
            outer = outer._outer
        if frame.get() is self:
            frame.set(outer)
        if self._own_span and _get_current() is self._context:
            _attach(before)

    def finish(self, outcome: str, reason: str | None, error: BaseException | None) -> None:
        """
        Make the record, and every signal from it, or have the commit decide. The second time, nothing happens.
        """
        pipeline = self.pipeline
        if not self._open or pipeline is None:
            return
        self._open = False  # before anything else, so that nothing can finish it twice
        elapsed = pipeline.monotonic_ns() - self._ticks
        if elapsed < 0:
            elapsed = 0
        attributes = self.attributes
        # What a recording span still has to learn is kept apart; otherwise there is nobody to tell it to.
        end: Attributes = {} if self._recording else attributes
        if reason:
            end[names.OPERATION_REASON] = code(reason) or "invalid"
        if error is not None:
            end[names.ERROR_TYPE] = error_type(error)
        if self._annotated:
            self._merge_annotated(pipeline, end)
        if self._result:
            end.update(self._result)
        if self._told:
            pipeline.facts.resolve(self._told, end)
        if len(attributes) + len(end) > FACTS_LIMIT:
            pipeline.facts.drop_surplus(attributes, end)
        lines = further = self._lines
        if lines:
            lines, further = write_money(end, lines, pipeline.revenue_basis)
        if self._invalid is not None:
            write_missing(end, self._invalid)
        if self._recording and _NOTES in end and _NOTES in attributes:
            end[_NOTES] = (
                *cast("tuple[str, ...]", attributes[_NOTES]),
                *cast("tuple[str, ...]", end[_NOTES]),
            )
        if self._tied and outcome == names.SUCCESS:
            if self._recording and not self._own_span and self._span.is_recording():
                # It may be over before the transaction is.
                pipeline.write(self._span, {**attributes, **end} if self._quiet else end)
            if pipeline.waiting.hold(partial(self._decided, end, lines, further, elapsed)):
                return
        self._signal(pipeline, end, lines, further, elapsed, outcome)

    def _decided(self, end: Attributes, lines: Lines, further: Lines, elapsed: int, reason: str | None) -> None:
        """The transaction ended: with a commit, where there is no reason."""
        pipeline = self.pipeline
        assert pipeline is not None
        try:
            if reason is not None:
                end[names.OPERATION_REASON] = reason
            if self._recording and not (self._own_span or self._span.is_recording()):
                pipeline.accounts.refuse_value(
                    "emit", "span_ended", "The span ended before the commit and lacks the outcome; use span='new'."
                )
            self._signal(pipeline, end, lines, further, elapsed, names.SUCCESS if reason is None else names.FAILED)
        except Exception as problem:
            pipeline.refuse_internal()
            _guard.swallowed("ending an operation on commit", problem)

    def _signal(
        self, pipeline: Pipeline, end: Attributes, lines: Lines, further: Lines, elapsed: int, outcome: str
    ) -> None:
        """Close the span, and hand on the record."""
        end[_OUTCOME] = outcome
        ended_ns = self._started_ns + elapsed
        attributes = self.attributes
        span = self._span
        linked = span.get_span_context()
        if self._recording:
            attributes.update(end)
            pipeline.write(span, end if self._own_span or not self._quiet else attributes)
            if self._own_span:
                if outcome == names.FAILED and span.is_recording():
                    span.set_status(_ERROR)
                span.end(ended_ns)
        uid = self.id if self._key is None else self._keyed_uid(pipeline, outcome)
        # Made before the first is accepted: from then on its attributes are the consumer's.
        more: list[Record] = []
        if further:
            more = [
                self._further(line, f"{uid}-{position}", ended_ns, outcome, linked)
                for position, line in enumerate(further, 2)
            ]
        pipeline.accept(
            Record(
                _OPERATION, self.name, uid, ended_ns, attributes, lines,
                linked, outcome, elapsed, None, self._key is not None,
            )
        )  # fmt: skip
        for record in more:
            pipeline.accept(record)
        self._span = trace.INVALID_SPAN

    def discard(self) -> None:
        """End without a record: another process makes it."""
        if self._open:
            self._open = False
            self.leave()
            if self._own_span:
                self._span.end()

    def _keyed_uid(self, pipeline: Pipeline, outcome: str) -> str:
        # A failed attempt and the success of its retry are two facts, though the caller's key is the same.
        name = self.name if outcome == names.SUCCESS else f"{self.name}\0{outcome}"
        return pipeline.uid_for(name, self._key)

    def resume(self) -> None:
        """Become the current operation again: where a coroutine starts that was made inside it."""
        self._outer = still_open(frame.get())
        self._outer_context = _get_current()
        frame.set(self)
        if self._own_span:
            _attach(self._context)

    def _merge_annotated(self, pipeline: Pipeline, end: Attributes) -> None:
        late: Attributes = {}
        pipeline.facts.resolve(self._annotated, late)
        called = self._called
        end.update({key: value for key, value in late.items() if key not in called})

    def inherit(self, attributes: Attributes) -> None:
        """Take clean attributes of its request, and of what is around that; what was told at the call stays."""
        own, called = self.attributes, self._called
        if own is called and not self._own_span:
            for key, value in attributes.items():  # not a comprehension: it would be a call more
                if key not in own:
                    own[key] = value
            return
        new = {
            key: value
            for key, value in attributes.items()
            if key not in called and (key not in own or own[key] != value)
        }
        own.update(new)
        pipeline = self.pipeline
        if new and self._open and self._own_span and self._recording and pipeline is not None:
            pipeline.write(self._span, new)

    def unpublished(self) -> Attributes:
        """What its request's span, which somebody else may end before the operation ends, does not have yet."""
        if not self._open or self._own_span or not self._quiet:
            return {}
        self._quiet = False
        return self.attributes

    def take_result(self, facts: Mapping[str, object]) -> None:
        """Take facts that extractors made of the result: they count as told at the call."""
        if self._open and self.pipeline is not None:
            self._result = {}
            self.pipeline.facts.resolve(facts, self._result)
            self._called.update(self._result)

    def _further(self, line: tuple[str, int, str], uid: str, time_ns: int, outcome: str, linked: SpanContext) -> Record:
        """Money in a second currency: an event of its own with the same operation id."""
        kind, units, code = line
        # Without the money that the operation's own event tells: it would count twice.
        attributes = {key: value for key, value in self.attributes.items() if key not in names.MONEY_KEYS}
        write_amount(attributes, kind, units, code)
        lines = (line,) if outcome == names.SUCCESS or kind != names.REVENUE else ()
        return Record(
            names.EVENT_REVENUE if kind == names.REVENUE else names.EVENT_COST, self.name, uid, time_ns,
            attributes, lines, linked, None, None, None, self._key is not None,
        )  # fmt: skip

    @property
    def is_open(self) -> bool:
        """Whether it was begun and not yet finished."""
        return getattr(self, "_open", False)

    @property
    def is_of_this_process(self) -> bool:
        """Whether it was begun here, not in the process that this one was forked from."""
        return self.pipeline is not None and self.pipeline.pid == os.getpid()


def still_open(outer: Frame | None) -> Frame | None:
    """The innermost of these that has not ended: operations in generators may end out of order."""
    while isinstance(outer, Recording) and not outer.is_open:
        outer = outer._outer  # pyright: ignore[reportPrivateUsage] - of the same kind
    return outer
