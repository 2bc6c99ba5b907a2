"""
A pipeline on OpenTelemetry's API: its tracer, its instruments, its event sink.

Needs the API only. Which providers stand behind it (the application's, ours, none yet) is the API's business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import _logs, metrics, trace
from opentelemetry._logs import SeverityNumber
from opentelemetry.context import Context

from bizspan import _inherited, _self_metrics, names
from bizspan._clock import Clock, Ids
from bizspan._facts import Hasher
from bizspan._pipeline import CAPACITY, Pipeline, Sink, Write, set_attributes
from bizspan._record import Record
from bizspan.vocabulary import Attribute

if TYPE_CHECKING:
    from opentelemetry._logs import Logger, LoggerProvider
    from opentelemetry.metrics import Meter, MeterProvider
    from opentelemetry.trace import TracerProvider

    from bizspan._book import Book
    from bizspan._types import Replay


# Gives None where the book can't be kept: events then wait in memory, and that is exported.
OpenBook = Callable[["Ids"], "Book | None"]


class Settings:
    """
    What a pipeline is built from, again after each fork.

    Args:
        declared: The facts by keyword.
        hasher: Hashes personal facts; None drops them.
        schema_url: Names the vocabulary and its version.
        consoles: Sinks that print.
        revenue_basis: ``excl_tax`` or ``incl_tax``.
        capacity: How many events may wait.
        clock: Time.
        ids: Makes the ids of a new pipeline.
        isolated, on_commit: See `Pipeline`.
        book: Opens the book of a pipeline; None has events wait in memory.
    """

    # Not a dataclass, as elsewhere: making one takes 0.7 ms of the import.
    __slots__ = (
        "book", "capacity", "clock", "consoles", "declared", "hasher", "ids", "isolated", "on_commit", "revenue_basis",
        "schema_url",
    )  # fmt: skip

    def __init__(
        self,
        *,
        declared: Mapping[str, Attribute],
        hasher: Hasher | None,
        schema_url: str = names.SCHEMA_URL,
        consoles: tuple[Sink, ...] = (),
        revenue_basis: str = "excl_tax",
        capacity: int = CAPACITY,
        clock: Clock | None = None,
        ids: Callable[[], Ids] = Ids,
        isolated: bool = False,
        on_commit: bool = False,
        book: OpenBook | None = None,
    ) -> None:
        self.book = book
        self.declared = declared
        self.hasher = hasher
        self.schema_url = schema_url
        self.consoles = consoles
        self.revenue_basis = revenue_basis
        self.capacity = capacity
        self.clock = clock or Clock()
        self.ids = ids
        self.isolated = isolated
        self.on_commit = on_commit

    def adopt(self, other: Settings) -> None:
        """Take the other's values, for pipelines that are built from now on."""
        for name in self.__slots__:
            if name == "book":  # it is open
                continue
            setattr(self, name, getattr(other, name))


class Providers:
    """
    The providers to use; None means the API's global one, whichever it is then.

    Args:
        own_buckets: Whether an exporter of ours takes the histograms straight from the totals.
        event_sink: Makes the sink on a logger; by default `EventSink`.
        write: See `Pipeline`.
        replay: What takes a duration for this histogram; by default its `record`.
    """

    __slots__ = ("event_sink", "logger", "meter", "own_buckets", "replay", "tracer", "write")

    def __init__(
        self,
        tracer: TracerProvider | None = None,
        meter: MeterProvider | None = None,
        logger: LoggerProvider | None = None,
        *,
        own_buckets: bool = False,
        event_sink: MakeSink | None = None,
        write: Write = set_attributes,
        replay: Callable[[metrics.Histogram], Replay] | None = None,
    ) -> None:
        self.tracer = tracer
        self.meter = meter
        self.logger = logger
        self.own_buckets = own_buckets
        self.event_sink = event_sink or EventSink
        self.write = write
        self.replay = replay or _recording


def _recording(histogram: metrics.Histogram) -> Replay:
    return histogram.record


@cache
def library_version() -> str:
    """bizspan's version, as installed."""
    from importlib.metadata import PackageNotFoundError, version  # takes 15 ms to import

    try:
        return version("bizspan")
    except PackageNotFoundError:
        return "0"


_NANOS: Final = 1_000_000_000


def context_of(record: Record) -> Context:
    """The context that links an event to its trace; never an empty one, which would mean the caller's own."""
    span_context = record.span_context or trace.INVALID_SPAN_CONTEXT
    return trace.set_span_in_context(trace.NonRecordingSpan(span_context), Context())


class EventSink:
    """
    Turns a record into a log-based event.

    Args:
        logger: OpenTelemetry's.
        ids: Names the writer.
        flush: The provider's ``force_flush``. Called after every so many events, on the thread that hands them over:
            the SDK's batch processor keeps 2,048 records and drops the oldest in silence, so a burst must wait here,
            where what does not fit is refused and counted.
    """

    __slots__ = ("_emit", "_flush", "_since_flush", "_writer_id")

    FLUSH_EVERY: Final = 1000

    def __init__(self, logger: Logger, ids: Ids, flush: Callable[[], object] | None = None) -> None:
        self._emit = logger.emit
        self._flush = flush
        self._since_flush = 0
        self._writer_id = ids.writer_id

    def __call__(self, record: Record, sequence: int) -> None:
        attributes = record.attributes
        if record.duration_ns is not None:
            attributes[names.OPERATION_DURATION] = record.duration_ns / _NANOS
        attributes[names.RECORD_UID] = record.uid
        attributes[names.WRITER_ID] = self._writer_id
        attributes[names.SEQUENCE] = sequence
        self.emit(record)
        self._since_flush += 1
        if self._since_flush >= self.FLUSH_EVERY and self._flush is not None:
            self._since_flush = 0
            self._flush()

    def emit(self, record: Record) -> None:
        """Hand one event to the logger."""
        self._emit(
            timestamp=record.time_ns,
            context=context_of(record),
            severity_number=SeverityNumber.INFO,
            event_name=record.event_name,
            attributes=record.attributes,
        )


MakeSink = Callable[["Logger", Ids, Callable[[], object] | None], EventSink]


def build(settings: Settings, providers: Providers, generation: int = 0) -> Pipeline:
    """
    A pipeline of this process on these providers.

    Args:
        settings: The vocabulary and the rest.
        providers: Where signals go.
        generation: Raised for each further pipeline on the same providers, so that its instruments are new ones:
            a provider hands out an instrument of one scope once, and a forked child's must not be its parent's.
    """
    version = library_version()
    scope = {names.GENERATION: generation} if generation else None
    tracers = providers.tracer or trace.get_tracer_provider()
    meters = providers.meter or metrics.get_meter_provider()
    meter = meters.get_meter(names.SCOPE, version, settings.schema_url, scope)
    ids = settings.ids()

    def event_sinks() -> tuple[Sink, ...]:
        if providers.logger is None and not logger_provider_is_set():
            return ()
        loggers = providers.logger or _logs.get_logger_provider()
        # Printing receipts, events are handed over on the application's thread, which must not wait for a flush.
        flush = None if settings.consoles else getattr(loggers, "force_flush", None)
        return (providers.event_sink(loggers.get_logger(names.SCOPE, version, settings.schema_url), ids, flush),)

    replays: dict[str, Any] = {}
    if not providers.own_buckets:
        duration, score = _histograms(meter)
        replays = {"replay_duration": providers.replay(duration), "replay_score": score.record}
    book = None if settings.book is None else settings.book(ids)
    events = event_sinks() if book is None else ()
    pipeline = Pipeline(
        tracer=tracers.get_tracer(names.SCOPE, version, settings.schema_url),
        meter=meter,
        declared=settings.declared,
        hasher=settings.hasher,
        sinks=(*settings.consoles, *events),
        late_sinks=None if events or book is not None else event_sinks,
        clock=settings.clock,
        ids=ids,
        capacity=settings.capacity,
        immediate=bool(settings.consoles),
        revenue_basis=settings.revenue_basis,
        isolated=settings.isolated,
        on_commit=settings.on_commit,
        generation=generation,
        write=providers.write,
        book=book,
        **replays,
    )
    _self_metrics.register(meter, pipeline)
    if settings.book is not None:
        _self_metrics.register_book(meter, pipeline)
    _inherited.meters.add(meter)
    return pipeline


def _histograms(meter: Meter) -> tuple[metrics.Histogram, metrics.Histogram]:
    duration = meter.create_histogram(
        names.METRIC_DURATION,
        unit=names.UNIT_SECONDS,
        description="How long business operations took.",
        explicit_bucket_boundaries_advisory=names.DURATION_BOUNDARIES_S,
    )
    score = meter.create_histogram(
        names.METRIC_FEEDBACK,
        unit=names.UNIT_SCORE,
        description="What customers answered.",
        explicit_bucket_boundaries_advisory=names.FEEDBACK_BOUNDARIES,
    )
    return duration, score


def logger_provider_is_set() -> bool:
    """Whether the application, or bizspan, set a global logger provider."""
    return _is_set(_logs, "_LOGGER_PROVIDER", _logs.get_logger_provider)


def providers_set() -> tuple[bool, bool, bool]:
    """
    Whether the global tracer, meter and logger providers are set.
    """
    return (
        _is_set(trace, "_TRACER_PROVIDER", trace.get_tracer_provider),
        _is_set(metrics, "_METER_PROVIDER", metrics.get_meter_provider),
        logger_provider_is_set(),
    )


def any_provider_is_set() -> bool:
    """
    Whether any of the three is set: asked for each record until one is.
    """
    return (
        _is_set(trace, "_TRACER_PROVIDER", trace.get_tracer_provider)
        or _is_set(metrics, "_METER_PROVIDER", metrics.get_meter_provider)
        or logger_provider_is_set()
    )


_MISSING: Any = object()


def _is_set(api: Any, variable: str, getter: Callable[[], object]) -> bool:
    # The public getter reads the environment each time (0.6 us); the variable that it guards is one read.
    home = getattr(api, "_internal", api)
    provider = getattr(home, variable, _MISSING)
    if provider is _MISSING:
        return not type(getter()).__name__.lstrip("_").startswith(("Proxy", "NoOp"))
    return provider is not None
