"""
The room that needs the OpenTelemetry SDK: providers, processors, exporters, and the end of the process.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from opentelemetry import _logs, metrics, trace
from opentelemetry.sdk.metrics.export import MetricReader

from bizspan import _active, _signals
from bizspan._dimensions import Named, refuse_unbuilt
from bizspan._pipeline import Pipeline
from bizspan._run import abandon_open_runs
from bizspan._signals import OpenBook, Providers, Settings
from bizspan.sdk import _providers
from bizspan.sdk._delivery import Delivery
from bizspan.sdk._events import ReadyEventSink
from bizspan.sdk._exit import AtEnd, Workers
from bizspan.sdk._exporters import Exporters, from_environment
from bizspan.sdk._named_metrics import WithBusinessContext, with_business_context
from bizspan.sdk._replay import Replay
from bizspan.sdk._resource import build_resource
from bizspan.sdk._span_attributes import write

__all__ = ["Exporters", "set_up", "stamp", "with_business_context"]

_TAKE_SHARE = 0.4  # of the bound, for handing what waits to the providers; the rest is theirs
_UNDO_S = 1.0  # for providers that were built before a later step of the set-up failed
_FLUSHERS = 4  # one per signal, and one that waits for them when a signal comes


def set_up(
    settings: Settings,
    given: tuple[Any, Any, Any],
    service_name: str | None,
    environment: str | None,
    resource_attributes: dict[str, str],
    exporters: Exporters | None = None,
    named: Named | None = None,
    opens_book: Callable[[Callable[[], list[Any]]], OpenBook | None] = lambda providers: None,
) -> tuple[Pipeline, Callable[[float], bool], Callable[[float], None], Callable[[], None]]:
    """
    A pipeline on the application's providers where they are set, and on built ones where they are not.

    Args:
        settings: The vocabulary and the rest.
        given: Tracer, meter and logger provider to join; None means the global one.
        service_name: Of built providers.
        environment: Of built providers.
        resource_attributes: Of built providers.
        exporters: Of built providers; by default from the ``OTEL_*`` variables.
        named: Instruments that carry dimensions, on a built meter provider.
        opens_book: Gives what opens the book of each process, given how to get the providers, which have the resource.

    Returns:
        The pipeline, how to flush it within some seconds, how to take everything back, and how to say what may be lost.

    Raises:
        SetupError: When instruments are named, and the meter provider is not built here.
    """
    if named and (given[1] is not None or _signals.providers_set()[1]):
        refuse_unbuilt(joined=True)
    collected = Collected(given, named)
    if not _providers.is_disabled():
        try:
            collected.complete(lambda: build_resource(service_name, environment, resource_attributes), exporters)
        except BaseException:
            collected.workers.ensure()
            collected.end(_UNDO_S)
            collected.undo()
            raise
    settings.book = opens_book(lambda: collected.providers)
    providers = Providers(
        *collected.providers, own_buckets=collected.own_buckets, event_sink=ReadyEventSink, write=write,
        replay=Replay,
    )  # fmt: skip
    at_end = AtEnd(collected.end, collected.workers)

    def recipe(generation: int) -> Pipeline:
        collected.workers.ensure()
        at_end.install_in_worker()
        return collected.delivery.of(_signals.build(settings, providers, generation))

    pipeline = _active.install(recipe)
    at_end.install()

    def undo(timeout_s: float) -> None:
        at_end.remove()
        collected.end(timeout_s)
        _active.remove()
        collected.undo()

    return pipeline, collected.flush, undo, collected.delivery.say_unconfirmed


def stamp(given: tuple[Any, Any, Any]) -> Callable[[], None]:
    """
    Stamp the spans and log records of these tracer and logger providers, or of the global ones where they are set.

    Returns:
        What takes it back.
    """
    is_set = _signals.providers_set()
    tracer = given[0] or (trace.get_tracer_provider() if is_set[0] else None)
    logger = given[2] or (_logs.get_logger_provider() if is_set[2] else None)
    stamps = [
        None if tracer is None else _providers.stamp_spans(tracer),
        None if logger is None else _providers.stamp_logs(logger),
    ]

    def undo() -> None:
        for stamped in stamps:
            if stamped is not None:
                stamped.active = False

    return undo


class Collected:
    """
    The three providers, and which of them are ours.
    """

    def __init__(self, given: tuple[Any, Any, Any], named: Named | None = None) -> None:
        self._named = named
        self.providers: list[Any] = list(given)
        self.own_buckets = False
        self.workers = Workers(_FLUSHERS)
        self.delivery = Delivery()
        self._built: list[Any] = []
        self._stamps: list[_providers.Stamp | None] = []
        self._globals = _providers.Globals()

    def complete(self, resource: Callable[[], Any], exporters: Exporters | None) -> None:
        """Join what is set, build the rest."""
        getters = (trace.get_tracer_provider, metrics.get_meter_provider, _logs.get_logger_provider)
        for position, (is_set, getter) in enumerate(zip(_signals.providers_set(), getters, strict=True)):
            if self.providers[position] is None and is_set:
                self.providers[position] = getter()
        tracer, _, logger = self.providers
        if tracer is not None:
            self._stamps.append(_providers.stamp_spans(tracer))
        if logger is not None:
            self._stamps.append(_providers.stamp_logs(logger))
        if None in self.providers:
            missing = tuple(provider is None for provider in self.providers)
            self._build(resource(), exporters or from_environment(missing))

    def _build(self, resource: Any, exporters: Exporters) -> None:
        tracer, meter, logger = self.providers
        if tracer is None:
            self.providers[0] = tracer = _providers.build_tracer_provider(resource, exporters.spans)
            self._built.append(tracer)
            self._globals.set_tracer_provider(tracer)
        if meter is None:
            built = _providers.build_meter_provider(resource, exporters.metrics, lambda: _active.current)
            self.providers[1] = built
            self.own_buckets = not isinstance(exporters.metrics, MetricReader)
            self._built.append(built)
            self._globals.set_meter_provider(WithBusinessContext(built, self._named) if self._named else built)
        if logger is None:
            self.providers[2] = logger = _providers.build_logger_provider(
                resource, self.delivery.counted(exporters.logs)
            )
            self._built.append(logger)
            self._globals.set_logger_provider(logger)

    def flush(self, timeout_s: float) -> bool:
        """Hand everything to the providers, and have all of them flush."""
        deadline = time.monotonic() + timeout_s
        taken = self._take(timeout_s)
        millis = int(timeout_s * 1000)
        tasks = [
            (lambda provider=provider: provider.force_flush(millis))
            for provider in self.providers
            if hasattr(provider, "force_flush")
        ]
        return self.workers.run(tasks, max(0.0, deadline - time.monotonic())) and taken

    def end(self, timeout_s: float) -> None:
        """
        Abandon what is open, hand over what waits, shut down what was built, all within the bound; say how many events
        may be lost.
        """
        deadline = time.monotonic() + timeout_s
        self.workers.ensure()
        abandon_open_runs()
        pipeline = _active.current
        if pipeline is not None:
            share_s = timeout_s * _TAKE_SHARE
            self.workers.run([lambda: pipeline.close(share_s)], share_s)
        tasks = [provider.shutdown for provider in self._built]
        self.workers.run(tasks, max(0.0, deadline - time.monotonic()))
        self.delivery.say_unconfirmed()

    def _take(self, timeout_s: float) -> bool:
        # In a worker, because handing over many events flushes the provider, which may hang.
        pipeline = _active.current
        return pipeline is None or self.workers.run([lambda: pipeline.flush(timeout_s)], timeout_s)

    def undo(self) -> None:
        """Back to how it was."""
        for stamp in self._stamps:
            if stamp is not None:
                stamp.active = False
        self._globals.reset()
        self.workers.stop()
