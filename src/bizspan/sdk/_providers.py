"""
Providers: those that the application set are joined, the missing ones are built.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from opentelemetry import _logs, metrics, trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from bizspan import _guard
from bizspan.sdk._histograms import WithHistograms
from bizspan.sdk._processors import StampLogs, StampSpans

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource

    from bizspan._pipeline import Pipeline

Stamp = StampSpans | StampLogs
_stamps: WeakKeyDictionary[Any, Stamp] = WeakKeyDictionary()


def build_tracer_provider(resource: Resource, exporter: Any) -> TracerProvider:
    """A tracer provider that stamps business facts and exports in batches; no exit handler of its own."""
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    stamp_spans(provider)
    if exporter is not None:
        provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


def build_meter_provider(resource: Resource, exporter: Any, pipeline: Callable[[], Pipeline | None]) -> MeterProvider:
    """A meter provider with one reader, whose exporter takes the histograms from the pipeline's totals."""
    readers: list[MetricReader] = []
    if isinstance(exporter, MetricReader):
        readers.append(exporter)
    elif exporter is not None:
        readers.append(PeriodicExportingMetricReader(WithHistograms(exporter, pipeline)))
    return MeterProvider(metric_readers=readers, resource=resource, shutdown_on_exit=False)


def build_logger_provider(resource: Resource, exporter: Any) -> LoggerProvider:
    """A logger provider that stamps business facts and exports in batches."""
    provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
    stamp_logs(provider)
    if exporter is not None:
        provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    return provider


def stamp_spans(provider: object) -> Stamp | None:
    """
    Have this provider's spans stamped. A provider that was stamped before gets no second processor.
    """
    add = getattr(provider, "add_span_processor", None)
    return _stamp(provider, add, StampSpans)


def stamp_logs(provider: object) -> Stamp | None:
    """
    Have this provider's log records stamped, before any processor exports them.
    """
    return _stamp(provider, _put_first(provider), StampLogs)


def _stamp(provider: object, add: Callable[[Any], object] | None, kind: type[Stamp]) -> Stamp | None:
    if add is None:
        _guard.say_once(
            f"stamp:{type(provider).__name__}",
            f"bizspan: {type(provider).__name__} takes no processors, so spans and log records of other libraries"
            " don't carry the business context.",
        )
        return None
    stamp = _stamps.get(provider)
    if stamp is None:
        stamp = _stamps[provider] = kind()
        add(stamp)
    stamp.active = True
    return stamp


def _put_first(provider: object) -> Callable[[Any], object] | None:
    # A processor added after a SimpleLogRecordProcessor would stamp what was already sent, and there is no public way
    # to the front; where the SDK changed, the back is what remains.
    multi = getattr(provider, "_multi_log_record_processor", None)
    processors = getattr(multi, "_log_record_processors", None)
    if not isinstance(processors, tuple):
        return getattr(provider, "add_log_record_processor", None)

    def put(stamp: Any) -> None:
        assert multi is not None
        with multi._lock:
            multi._log_record_processors = (stamp, *multi._log_record_processors)

    return put


class Globals:
    """
    The API's global providers: set where none is, and set back.
    """

    def __init__(self) -> None:
        self._set: list[tuple[Any, str]] = []

    def set_tracer_provider(self, provider: TracerProvider) -> None:
        """Make this the global one."""
        trace.set_tracer_provider(provider)
        self._set.append((trace, "_TRACER_PROVIDER"))

    def set_meter_provider(self, provider: metrics.MeterProvider) -> None:
        """Make this the global one."""
        metrics.set_meter_provider(provider)
        self._set.append((metrics, "_METER_PROVIDER"))

    def set_logger_provider(self, provider: LoggerProvider) -> None:
        """Make this the global one."""
        _logs.set_logger_provider(provider)
        self._set.append((_logs, "_LOGGER_PROVIDER"))

    def reset(self) -> None:
        """
        Set back what was set here. The API has no way to do that; where it changed, the provider stays.
        """
        for module, variable in self._set:
            home = getattr(module, "_internal", module)
            once = getattr(home, f"{variable}_SET_ONCE", None)
            if once is None or not hasattr(home, variable) or not hasattr(once, "_done"):
                continue
            setattr(home, variable, None)
            once._done = False
            # What the metrics API hands out while no provider is set goes on to the one that was set last.
            proxy = f"_PROXY{variable}"
            if hasattr(home, proxy):
                setattr(home, proxy, type(getattr(home, proxy))())
        self._set.clear()


def is_disabled() -> bool:
    """``OTEL_SDK_DISABLED``: nothing is built."""
    return os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
