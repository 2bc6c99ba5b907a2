"""
The scope of one request or task: its facts, resolved once and lazily, and its entry span.

What is learned inside, by `annotate()` or an inner `context()`, also lands on the entry span while it records, on the
request's own operation, and on everything that comes later in the request.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeVar
from weakref import WeakKeyDictionary, ref

from opentelemetry import trace

from bizspan import _active, _guard
from bizspan._run import Run, start
from bizspan._values import known_name
from bizspan.context import Frame, Scope, frame

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from bizspan._facts import FactTable
    from bizspan._pipeline import Pipeline
    from bizspan._types import Attributes

T = TypeVar("T")
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
        "__weakref__", "_added", "_before", "_changes", "_identity_facts", "_is_ready", "_lock", "_pipeline",
        "_recorded", "_request_facts", "_span", "_written", "operation",
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
        self._pipeline = pipeline
        self._request_facts = request_facts
        self._identity_facts = identity_facts
        self._is_ready = is_ready
        self._changes = 0
        self._added: Mapping[str, object] = _NOTHING
        self._lock = threading.RLock()  # two threads of one request: the second waits for the first's facts
        self._before = around
        self._span: ref[Span] | None = None
        self._recorded = False
        self._written: Attributes = {}

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

    def _fill(self, facts: FactTable) -> None:
        with self._lock:
            self._ask()
            super()._fill(facts)
            self._write()

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
            self._pipeline.accounts.refuse_value(
                name, "extractor_failed", f"Its function raised {type(error).__name__}."
            )
            return _NOTHING

    def complete(self) -> None:
        """
        Ask for what was not asked yet, and put it onto the entry span: before the request's span ends.
        """
        with self._lock:
            self._ask(ready=True)
        self.resolve(self._pipeline)

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
                self._pipeline.accounts.refuse_value(
                    name, LATE, "The entry span had ended; later spans and events carry it."
                )
        elif self._request_facts is None:
            self.resolve(self._pipeline)

    def _known(self) -> dict[str, object]:
        return {**self._added, **self.facts, **(self.late or _NOTHING)}

    def refuse(self, name: str, reason: str, hint: str) -> None:
        """Count a value of this request that was dropped; see `Accounts.refuse_value`."""
        self._pipeline.accounts.refuse_value(name, reason, hint)

    # --- its entry span -------------------------------------------------------------------------------------------

    @property
    def span(self) -> Span | None:
        """The entry span while something else keeps it: the server's, or the consumer's."""
        return None if self._span is None else self._span()

    def attach(self, span: Span) -> None:
        """
        Remember this as the entry span; the first one stays.
        """
        if self._span is not None:
            return
        self._span = ref(span)
        self._recorded = span.is_recording()
        _entries[span] = self
        if self._request_facts is None:
            self._write()

    def _write(self) -> None:
        """Put what is known and not written yet onto the entry span."""
        span = self.span
        if span is None or not span.is_recording():
            return
        new = {key: value for key, value in self.attributes.items() if self._written.get(key) != value}
        if new:
            self._written = {**self._written, **new}
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
        if innermost is not None and (innermost is self or _is_inside(innermost, self)):
            frame.set(self._before)

    def operate(self, name: str, facts: Mapping[str, object]) -> None:
        """
        Begin the operation that the request as a whole is; on the entry span where there is one.

        Args:
            name: The operation's name.
            facts: Of the operation, by keyword.
        """
        clean = known_name(name)
        if clean is None or self.operation is not None:
            return
        innermost = frame.get()
        # Around this scope, not inside it: beginning inside would ask for the request's facts before there is a user.
        frame.set(self._before)
        try:
            mode = "current" if self.span is not None else "new"
            run = start(self._pipeline, clean, facts, None, mode, None)
        finally:
            frame.set(innermost)
        if run.pipeline is not None:
            self.operation = self.run = run

    def end(self, error: BaseException | None = None, rejects: object = ()) -> None:
        """
        End its operation with everything that the request learned. The second time, nothing happens.

        Args:
            error: What the request raised.
            rejects: Exceptions that are business refusals.
        """
        self.complete()
        run, self.operation = self.operation, None
        if run is not None:
            run.learn(self._known())
            run.ended(error, rejects)


def _is_inside(innermost: Frame, entry: Entry) -> bool:
    scope: Scope | None = innermost.ambient
    while scope is not None:
        if scope is entry:
            return True
        scope = scope.outer
    return False


def begin(
    request_facts: Source | None = None, identity_facts: Source | None = None, is_ready: Callable[[], bool] = _always
) -> Entry | None:
    """
    The scope of a request or task that begins here, entered; None while nothing is configured. Never raises.

    The span that is current is its entry span, unless it came from another process.

    Args:
        request_facts: See `Entry`.
        identity_facts: See `Entry`.
        is_ready: See `Entry`.
    """
    try:
        pipeline = _active.current or _active.pipeline()
        if pipeline is None:
            return None
        entry = Entry(pipeline, frame.get(), request_facts, identity_facts, is_ready)
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
    if about.is_valid and not about.is_remote:
        entry.attach(span)


@contextmanager
def within(entry: Entry) -> Generator[None]:
    """The block runs in this scope again: a body that is sent after the scope was left."""
    entry.enter()
    try:
        yield
    finally:
        entry.leave()


def iterate(entry: Entry, body: Iterator[T], done: Callable[[BaseException | None], None]) -> Generator[T]:
    """
    A streaming body whose every step runs in the scope of its request.

    Args:
        entry: The request's.
        body: What the application streams.
        done: Called once, at the end, with what the body raised.
    """
    failure: BaseException | None = None
    try:
        while True:
            with within(entry):
                try:
                    part = next(body)
                except StopIteration:
                    return
            yield part
    except BaseException as error:
        failure = None if isinstance(error, GeneratorExit) else error
        raise
    finally:
        close = getattr(body, "close", None)
        try:
            if close is not None:
                with within(entry):
                    close()
        finally:
            done(failure)
