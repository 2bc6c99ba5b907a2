"""
What a Celery worker knows beside its tasks: which of them were killed or never began, and when its processes end.

A child that is killed can't tell what became of its task; the worker's main process can.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from threading import Thread
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakValueDictionary

from celery.app.task import Context
from celery.exceptions import TimeLimitExceeded, WorkerLostError
from opentelemetry import _logs, metrics, propagate, trace

from bizspan import _active, _guard, names
from bizspan._run import abandon_open_runs, start_around
from bizspan._travel import Received, incoming
from bizspan.configure import current_configuration

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from bizspan._pipeline import Pipeline

HEADER: Final = "bizspan"
EXIT_BOUND_S: Final = 2.0
# How billiard has a child end on SIGTERM: `sys.exit` with this.
_TERMINATED: Final = -(256 - signal.SIGTERM)

_KILLED: Final[Mapping[type, str]] = {TimeLimitExceeded: "time_limit", WorkerLostError: "worker_lost"}

FactsOf = Callable[[Any], Mapping[str, Any]]


class Watch:
    """
    Records the operations of tasks that no child can record.

    Args:
        tasks: Operations by the name of their task.
        resolver: Gives facts of a task from its request.
        propagates: Whether facts are taken from the message.
        is_running: Whether a request runs in this process, which then records it itself.
    """

    def __init__(
        self, tasks: Mapping[str, str], resolver: FactsOf | None, propagates: bool, is_running: Callable[[object], bool]
    ) -> None:
        self._tasks = tasks
        self._resolver = resolver
        self._propagates = propagates
        self._is_running = is_running
        self._requests: WeakValueDictionary[str, Any] = WeakValueDictionary()

    def received(self, request: Any, **about: Any) -> None:
        """Remember a message for as long as Celery does."""
        if request.name in self._tasks:
            self._requests[request.id] = request

    def failed(self, sender: Any, task_id: str, exception: object, **about: Any) -> None:
        """A hard time limit was met, or the child is gone."""
        reason = _KILLED.get(type(exception))
        request = self._requests.get(task_id)
        if reason is None or request is None:
            return
        outcome = names.FAILED
        if reason == "worker_lost" and _is_terminating():  # Celery 5.3 tells a cold shutdown so
            outcome, reason = names.CANCELLED, "shutdown"
        self._record(sender.name, Context(request.request_dict), outcome, reason)

    def revoked(self, sender: Any, request: Any, terminated: bool = False, expired: bool = False, **about: Any) -> None:
        """It was revoked before it began, or killed while it ran, or it expired."""
        reason = "expired" if expired else "terminated" if terminated else "revoked"
        self._record(sender.name, request, names.CANCELLED, reason)

    def cancelled(self, sender: Any, request: Any, **about: Any) -> None:
        """The worker's cold shutdown killed it. A retry that the task asked for is the child's to record."""
        if self._requests.get(request.id) is not None and not self._is_running(request):
            self._record(sender.name, request, names.CANCELLED, "shutdown")

    def _record(self, task: str, request: Any, outcome: str, reason: str) -> None:
        name = self._tasks.get(task)
        pipeline = None if name is None else _active.pipeline()
        if name is None or pipeline is None:
            return
        known = self._requests.pop(request.id, None)
        if known is not None and known.worker_pid == os.getpid():
            return  # threads and greenlets record their own end
        carried = incoming(pipeline, getattr(request, HEADER, None)) if self._propagates else {}
        facts = self._facts(pipeline, request)
        run, _ = start_around(
            pipeline, name, facts or {}, Received(carried, None), caller(request), _since(pipeline, known),
        )  # fmt: skip
        if facts is None:
            run.missed("request facts")
        run.identify(attempt(request))
        run.finish(outcome, reason, None)

    def _facts(self, pipeline: Pipeline, request: Any) -> Mapping[str, object] | None:
        if self._resolver is None:
            return {}
        try:
            return dict(self._resolver(request))
        except Exception as error:  # the user's code: counted as such, and never fatal
            pipeline.accounts.refuse_value(
                "request facts", "extractor_failed", f"Its function raised {type(error).__name__}."
            )
            return None


def _is_terminating() -> bool:
    """Whether this worker is in its cold shutdown."""
    state = sys.modules.get("celery.worker.state")
    return getattr(state, "should_terminate", None) not in (None, False)


def attempt(request: Any) -> str | None:
    """
    What two deliveries of one message have in common, and a further attempt that the task asked for has not. None where
    nothing delivers it again.
    """
    return None if request.is_eager or not request.id else f"{request.id}/{request.retries or 0}"


def _since(pipeline: Pipeline, request: Any) -> tuple[int, int]:
    """When it began, by both clocks; now, if it never did."""
    now = pipeline.time_ns()
    started = None if request is None else request.time_start
    elapsed = 0 if started is None else max(0, time.time_ns() - int(started * 1e9))
    return now - elapsed, pipeline.monotonic_ns() - elapsed


def is_terminated(error: BaseException | None) -> bool:
    """Whether the worker's main process ended this child while its task ran."""
    return isinstance(error, SystemExit) and error.code == _TERMINATED


def caller(request: Any) -> Span | None:
    """
    The sender's span, unless one is current: OpenTelemetry's instrumentation may be connected after ours, or not at
    all.
    """
    if trace.get_current_span().get_span_context().is_valid:
        return None
    headers = {
        name: value
        for name in propagate.get_global_textmap().fields
        if isinstance(value := getattr(request, name, None), str)
    }
    found = trace.get_current_span(propagate.extract(headers))
    return found if found.get_span_context().is_valid else None


def flush(bound_s: float = EXIT_BOUND_S) -> None:
    """
    Hand everything on, for so long at most: Celery's children end without running exit handlers.
    """
    deadline = time.monotonic() + bound_s
    abandon_open_runs()
    _all_until(deadline, [_hand_over])
    # Providers that the application set, which `configure()` may know nothing of.
    providers: list[Any] = [trace.get_tracer_provider(), metrics.get_meter_provider(), _logs.get_logger_provider()]
    _all_until(deadline, [provider.force_flush for provider in providers if hasattr(provider, "force_flush")])
    configuration = current_configuration()
    if configuration is not None:
        configuration.say_unconfirmed()


def _hand_over(bound_ms: int) -> None:
    configuration = current_configuration()
    if configuration is not None:
        configuration.force_flush(bound_ms / 1000)
    elif _active.current is not None:
        _active.current.take(bound_ms / 1000)


def _all_until(deadline: float, flushes: list[Callable[[int], object]]) -> None:
    """Side by side, each in a thread: an exporter that hangs can only be left behind."""
    left_ms = int((deadline - time.monotonic()) * 1000)
    if left_ms <= 0:
        return
    threads = [Thread(target=_guarded, args=(flush, left_ms), daemon=True) for flush in flushes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))


def _guarded(flush: Callable[[int], object], left_ms: int) -> None:
    try:
        flush(left_ms)
    except Exception as error:
        _guard.swallowed("flushing at a worker's end", error)
