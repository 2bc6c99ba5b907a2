"""
Celery: business context travels with a task, and a task can be an operation by its name.

::

    from bizspan.integrations import celery

    celery.instrument(tasks={"shop.tasks.charge": "charge"})
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import context as otel
from opentelemetry import propagate, trace
from opentelemetry.trace import SpanKind

from bizspan import _active, _entry, _guard
from bizspan._travel import incoming, outgoing
from bizspan._values import known_name
from bizspan.errors import MissingExtra, SetupError

try:
    from celery import signals, states
    from celery.exceptions import SoftTimeLimitExceeded
except ModuleNotFoundError as missing:
    if not (missing.name or "").startswith("celery"):
        raise
    raise MissingExtra("bizspan.integrations.celery", "celery") from None

from bizspan.integrations._celery_worker import HEADER, Watch, attempt, caller, flush, is_terminated

if TYPE_CHECKING:
    from bizspan._entry import Entry
    from bizspan.integrations._celery_worker import FactsOf

# Untyped in Celery.
_PRERUN: Final[Any] = signals.task_prerun
_POSTRUN: Final[Any] = signals.task_postrun
_OPENTELEMETRY: Final = "opentelemetry.instrumentation.celery"
_REFUSED: Final = {states.IGNORED: "ignored", states.REJECTED: "rejected"}


class Instrumentation:
    """
    The hooks of one process. Usable in ``with``: leaving the block takes them back.

    Args:
        tasks: Operations by the name of their task.
        resolver: Gives facts of a task by keyword, from the task's request (Celery's `Context`).
        propagate_facts: Whether facts travel with the tasks that are sent, and are taken from those that arrive.
    """

    def __init__(self, tasks: Mapping[str, str], resolver: FactsOf | None, propagate_facts: bool) -> None:
        self.is_default = False  # of a configuration file, over which code wins
        self._tasks = dict(tasks)
        self._resolver = resolver
        self._propagates = propagate_facts
        # By the request object: a task that is retried eagerly runs inside itself, under the same id.
        self._running: dict[int, Entry] = {}
        self._connected: list[tuple[Any, str]] = []
        self._is_over = False
        watch = Watch(self._tasks, resolver, propagate_facts, self._is_running)
        for signal, step in (
            (signals.before_task_publish, self._publish),
            (_PRERUN, self._begin),
            (_POSTRUN, self._end),
            (signals.worker_process_init, self._worker_began),
            (signals.worker_process_shutdown, self._worker_ends),
            (signals.task_received, watch.received),
            (signals.task_failure, watch.failed),
            (signals.task_revoked, watch.revoked),
            (signals.task_retry, watch.cancelled),
        ):
            self._connect(signal, step)
        # There OpenTelemetry's instrumentation ends the task's span.
        _place(_POSTRUN, self._uid(self._end), first=True)

    def uninstrument(self) -> None:
        """Take the hooks back. Tasks that run now end as they began."""
        global _current
        if _current is self:
            _current = None
        for signal, uid in self._connected:
            if signal is not _POSTRUN:
                signal.disconnect(dispatch_uid=uid)
        self._is_over = True
        self._leave_when_idle()

    def __enter__(self) -> Instrumentation:
        return self

    def __exit__(self, *exception: object) -> None:
        self.uninstrument()

    def _connect(self, signal: Any, step: Callable[..., None]) -> None:
        name = step.__name__

        def receive(*args: Any, **about: Any) -> None:
            try:
                step(**about)
            except Exception as error:
                _guard.swallowed(f"a task:{name.replace('_', ' ')}", error)

        uid = self._uid(step)
        signal.connect(receive, weak=False, dispatch_uid=uid)
        self._connected.append((signal, uid))

    def _uid(self, step: Callable[..., None]) -> str:
        return f"bizspan.{id(self)}.{step.__name__}"

    # --- where a task is sent -------------------------------------------------------------------------------------

    def _publish(self, headers: dict[str, Any] | None = None, **about: Any) -> None:
        if headers is None:
            return
        if self._propagates and (facts := outgoing()):
            headers[HEADER] = facts
        # OpenTelemetry's instrumentation, where there is one, puts its producer's span here, before or after this. In a
        # context without baggage: what of that travels is the application's choice, not ours.
        propagate.inject(headers, trace.set_span_in_context(trace.get_current_span(), otel.Context()))

    # --- where it runs --------------------------------------------------------------------------------------------

    def _is_running(self, request: object) -> bool:
        return id(request) in self._running

    def _begin(self, task: Any, **about: Any) -> None:
        request = task.request
        resolver = self._resolver
        entry = _entry.begin(
            None if resolver is None else lambda: resolver(request),
            apart=not request.is_eager,
            kind=SpanKind.CONSUMER,
            received=(lambda pipeline: incoming(pipeline, getattr(request, HEADER, None)))
            if self._propagates
            else None,
        )
        if entry is None:
            return
        self._running[id(request)] = entry
        entry.ask()  # not in the middle of the task: its database session or its lock may be the resolver's too
        name = self._tasks.get(task.name)
        if name is None:
            return
        if entry.span is None and _is_early(self._uid(self._begin)):
            # The consumer's span is still to come, for this once.
            _place(_PRERUN, self._uid(self._begin), first=False)
            entry.on_attach = lambda: entry.operate(name, {})
        else:
            entry.operate(name, {}, caller=lambda: caller(request))

    def _end(self, task: Any, state: object = None, retval: object = None, **about: Any) -> None:
        request = task.request
        entry = self._running.pop(id(request), None)
        if entry is None:
            return
        entry.on_attach = None
        try:
            error = _raised(state, retval)
            self._decide(entry, task, request, state, error)
            entry.end(error, getattr(task, "throws", ()))
        finally:
            entry.leave()
            self._leave_when_idle()

    def _leave_when_idle(self) -> None:
        if self._is_over and not self._running:
            _POSTRUN.disconnect(dispatch_uid=self._uid(self._end))

    def _decide(self, entry: Entry, task: Any, request: Any, state: object, error: BaseException | None) -> None:
        name = self._tasks.get(task.name)
        if name is not None and entry.operation is None:  # it waited for a span that is not recorded
            _entry.attach_current(entry)
            entry.operate(name, {}, caller=lambda: caller(request), becomes_current=False)
        run = entry.operation
        if run is None:
            return
        run.identify(attempt(request))
        if is_terminated(error):
            run.discard()  # the worker's main process knows why, and records it
        elif state == states.RETRY:
            run.fail("retry")
        elif isinstance(state, str) and state in _REFUSED:
            run.reject(_REFUSED[state])
        elif isinstance(error, SoftTimeLimitExceeded):
            run.fail("soft_time_limit")

    # --- the worker's child processes -----------------------------------------------------------------------------

    def _worker_began(self, **about: Any) -> None:
        _active.pipeline()  # so that a child that only makes spans of others flushes them too

    def _worker_ends(self, **about: Any) -> None:
        flush()


def _raised(state: object, retval: object) -> BaseException | None:
    """What ended the task, where it did not end by itself."""
    if state == states.FAILURE:
        return retval if isinstance(retval, BaseException) else None
    # Without a state, Celery's handler is left by the exception that is under way.
    return sys.exc_info()[1] if state is None else None


def _is_early(uid: str) -> bool:
    """Whether OpenTelemetry's instrumentation opens the span of a task after this receiver of ours."""
    instrumentation = sys.modules.get(_OPENTELEMETRY)
    if instrumentation is None or not instrumentation.CeleryInstrumentor().is_instrumented_by_opentelemetry:
        return False
    (last, _), _ = _PRERUN.receivers[-1]
    return bool(last != uid)


def _place(signal: Any, uid: str, *, first: bool) -> None:
    """
    Have our receiver called before all others of this signal, or after them: Celery offers the order of connection
    alone, and that of OpenTelemetry's instrumentation is not ours to choose.
    """
    with signal.lock:
        receivers: list[tuple[tuple[object, object], object]] = signal.receivers
        ours = [receiver for receiver in receivers if receiver[0][0] == uid]
        others = [receiver for receiver in receivers if receiver[0][0] != uid]
        receivers[:] = [*ours, *others] if first else [*others, *ours]
        signal.sender_receivers_cache.clear()


_current: Instrumentation | None = None


def instrument(
    *,
    tasks: Mapping[str, str] | None = None,
    resolver: FactsOf | None = None,
    propagate_facts: bool = True,
) -> Instrumentation:
    """
    Switch bizspan on for every Celery application of this process; in the worker and where tasks are sent.

    Args:
        tasks: Operations by the name of their task: ``{"shop.tasks.charge": "charge"}``. The task's end is the
            outcome: success, failed, rejected where the task's ``throws`` names the exception, failed with reason
            ``retry`` for an attempt that is tried again.
        resolver: Gives facts by keyword of a task that runs, from its request; asked once, when they are needed.
        propagate_facts: Whether the facts in force travel with tasks that are sent, and are taken from tasks that
            arrive. Personal ones travel as hashes.

    Raises:
        SetupError: When it is switched on already, or an argument can't be used.
        MissingExtra: At import, when Celery is not installed.
    """
    global _current
    if _current is not None and not _current.is_default:
        raise SetupError("bizspan is switched on for Celery already; call uninstrument() on the first result.")
    named: object = {} if tasks is None else tasks
    if not isinstance(named, Mapping) or not all(
        isinstance(task, str) and known_name(name) is not None for task, name in named.items()
    ):
        raise SetupError("tasks= must be a dict of operations by task, such as {'shop.tasks.charge': 'charge'}.")
    if resolver is not None and not callable(resolver):
        raise SetupError("resolver= must be a function of the task's request.")
    if _current is not None:
        _current.uninstrument()  # of the configuration file: code wins
    _current = Instrumentation(tasks or {}, resolver, propagate_facts)
    return _current


def switch_on(tasks: Mapping[str, str] | None = None) -> None:
    """For starting without code: unless the application switched it on."""
    if _current is None:
        instrument(tasks=tasks).is_default = True
