"""
Setting up: one call at the start of the program.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from bizspan import _active, _baggage, _guard, _signals
from bizspan._arguments import Arguments, checked, refuse_unbuilt
from bizspan._pipeline import CAPACITY, Pipeline
from bizspan._run import abandon_open_runs
from bizspan._signals import OpenBook, Providers, Settings
from bizspan.errors import MissingExtra, SetupError
from bizspan.vocabulary import Vocabulary

if TYPE_CHECKING:
    from opentelemetry._logs import LoggerProvider
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from bizspan._commit import Emit
    from bizspan.spool import Spool

Export = Literal["otlp", "console", "none"]
_EXIT_BOUND_S: Final = 2.0


class Configuration:
    """
    What `configure()` set up. Usable in ``with``: leaving the block takes it back.
    """

    def __init__(self, pipeline: Pipeline, flush: Callable[[float], bool], undo: Callable[[float], None]) -> None:
        self._pipeline = pipeline
        self._flush = flush
        self._undo = undo
        self._active = True
        self.say_unconfirmed: Callable[[], None] = lambda: None
        self.settings: Settings | None = None
        self.told_by_file: Mapping[str, Any] | None = None

    def force_flush(self, timeout_s: float = 10.0) -> bool:
        """
        Hand everything that was told so far to its receiver.

        Args:
            timeout_s: How long to wait, in seconds.

        Returns:
            Whether everything was handed over in time. Never raises.
        """
        try:
            return self._flush(timeout_s)
        except Exception as error:
            _guard.swallowed("flushing", error)
            return False

    def shutdown(self, timeout_s: float = 2.5) -> None:
        """
        Flush, stop, and go back to the unconfigured state. The second time, nothing happens.

        Args:
            timeout_s: How long to wait, in seconds.
        """
        if not self._active:
            return
        self._active = False
        global _current
        if _current is self:
            _current = None
            _baggage.hosts = None
        try:
            self._undo(timeout_s)
        except Exception as error:
            _guard.swallowed("shutting down", error)

    @property
    def is_active(self) -> bool:
        """Whether this is still in force."""
        return self._active

    def __enter__(self) -> Configuration:
        return self

    def __exit__(self, *exception: object) -> None:
        self.shutdown()


class _Unsaid(str):
    """A default: equal to the same text in code, which wins over a file, and another object."""

    __slots__ = ()


_OTLP: Final = cast("Export", _Unsaid("otlp"))
_EXCL_TAX: Final = cast("Literal['excl_tax']", _Unsaid("excl_tax"))
_NOW: Final = cast("Emit", _Unsaid("now"))

_current: Configuration | None = None
_configuring = threading.Lock()


def current_configuration() -> Configuration | None:
    """The configuration in force, for integrations that flush at the end of a worker."""
    return _current


def configure(
    *,
    service_name: str | None = None,
    export: Export | Sequence[Export] = _OTLP,
    vocabulary: Vocabulary | Iterable[Vocabulary] = (),
    hash_key: bytes | str | None = None,
    hash_key_id: str | None = None,
    environment: str | None = None,
    revenue_basis: Literal["excl_tax", "incl_tax"] = _EXCL_TAX,
    resource_attributes: dict[str, str] | None = None,
    capacity: int = CAPACITY,
    emit: Emit = _NOW,
    metric_dimensions: Mapping[str, Iterable[str] | None] | None = None,
    spool: str | os.PathLike[str] | Spool | None = None,
    baggage_hosts: Iterable[str] | None = None,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
    logger_provider: LoggerProvider | None = None,
) -> Configuration:
    """
    Set bizspan up, once, at the start of the program.

    With ``export="otlp"`` it joins the OpenTelemetry providers that the application set already, and builds the
    missing ones from the ``OTEL_*`` variables (OTLP over HTTP by default). A second call changes nothing, says so once,
    and gives back the first one's handle.

    Args:
        service_name: ``service.name``; wins over ``OTEL_SERVICE_NAME``.
        export: ``"otlp"`` (needs the extra), ``"console"`` prints receipts, ``"none"`` uses what the application set.
            Several may be given.
        vocabulary: Your facts, beside the standard ones.
        hash_key: The secret for personal facts, at least 16 bytes; by default ``BIZSPAN_HASH_KEY``.
        hash_key_id: Names the key, so that a rotation shows; by default ``BIZSPAN_HASH_KEY_ID``, else ``"k1"``.
        environment: ``deployment.environment.name``; in ``"production"`` personal facts without a key are dropped.
        revenue_basis: Whether revenue is told without tax or with it.
        resource_attributes: Further resource attributes of providers that are built.
        capacity: How many events may wait; what is beyond is refused and counted.
        emit: ``"on_commit"`` has successes and events that are told inside a database transaction wait for its commit,
            with Django or SQLAlchemy; see `operation`. For all that do not say it themselves.
        metric_dimensions: Counters and histograms of other libraries, by name, each with the dimensions in scope that
            its measurements carry: ``{"http.server.request.duration": ("segment", "country")}``, None for every one.
            For the meter provider that is built; for yours see `bizspan.sdk.with_business_context()`.
        spool: A directory; events are on disk before they count as acknowledged, and are sent over OTLP/HTTP from
            there, past the logger provider, until a collector has taken them. `bizspan.spool.Spool` has its options.
            By default ``BIZSPAN_SPOOL_DIR``.
        baggage_hosts: Where facts that are declared ``propagate=`` travel, in the header ``baggage`` of requests,
            httpx, aiohttp, urllib3 and gRPC: hosts, or ``"*.shop.internal"`` for all below that name. An empty list
            sends none, and passes none on. Default: nothing is done.
        tracer_provider: To be joined instead of the global one.
        meter_provider: The same for metrics.
        logger_provider: The same for events.

    Raises:
        MissingExtra: When an exporter is not installed; the text has the pip line.
        SetupError: When an argument or a variable is wrong; the text says what to do.
    """
    told = locals()  # the parameters, and nothing else yet
    return _configure({name: value for name, value in told.items() if value is not _UNSAID[name]})


_UNSAID: Final[Mapping[str, Any]] = dict(configure.__kwdefaults__ or {})
DEFAULTS: Final = {name: str(value) if isinstance(value, _Unsaid) else value for name, value in _UNSAID.items()}
# What an already built or joined provider can't take any more.
_FIXED: Final = frozenset(
    {
        "service_name", "resource_attributes", "metric_dimensions", "spool", "tracer_provider", "meter_provider",
        "logger_provider",
    }
)  # fmt: skip


def configure_by_file(told: Mapping[str, Any]) -> Configuration:
    """
    As `configure()`, before the application starts: a call of its own wins over this one.

    Args:
        told: Arguments of `configure()`, of a file and the environment.

    Raises:
        SetupError: As `configure()`.
    """
    return _configure(told, by_file=True)


def refused(told: Mapping[str, Any]) -> str:
    """
    Which of these arguments `configure()` refuses by itself; empty where it is none of them.
    """
    try:
        checked(DEFAULTS)  # where this fails, a variable is wrong
    except SetupError:
        return ""
    for name, value in told.items():
        vocabulary = {"vocabulary": told["vocabulary"]} if name == "metric_dimensions" and "vocabulary" in told else {}
        try:
            checked({**DEFAULTS, **vocabulary, name: value})
        except SetupError:
            return name
    return ""


def _configure(told: Mapping[str, Any], *, by_file: bool = False) -> Configuration:
    global _current
    with _configuring:
        if _current is not None:
            if _current.told_by_file is not None and not by_file:
                return _win(_current, told)
            _guard.say_once(
                "configured", "bizspan: configure() was called again; the first call stays in force."
                " Call shutdown() on its result to change it.",
            )  # fmt: skip
            return _current
        arguments = checked({**DEFAULTS, **told})
        settings = arguments.settings
        if _active.current is not None and _active.current.isolated:
            # A test captures: the application's set-up is checked, its vocabulary applies, and nothing is sent.
            _active.current.declare(settings.declared, _active.current.hasher)
            _active.current.on_commit = settings.on_commit
            return Configuration(_active.current, _active.current.take, lambda timeout_s: None)
        made = _set_up(arguments)
        made.told_by_file = told if by_file else None
        return made


def _win(current: Configuration, told: Mapping[str, Any]) -> Configuration:
    """The application's own call, after a file's: its arguments win, on the providers that are there."""
    by_file = {**DEFAULTS, **(current.told_by_file or {})}
    if not told:
        current.told_by_file = None
        return current
    arguments = checked({**by_file, **told})
    if "otlp" in arguments.exports and "otlp" not in checked(by_file).exports:
        current.shutdown()  # on providers that are built now, there were none
        return _set_up(arguments)
    late = {name for name in told.keys() & _FIXED if told[name] != by_file[name]}
    if told.get("service_name") == os.environ.get("OTEL_SERVICE_NAME"):
        late.discard("service_name")
    if "otlp" not in arguments.exports and "export" in told:
        late |= {"export"}
    if late:
        _guard.say_once(
            "configured:late",
            f"bizspan: configure({', '.join(f'{name}=...' for name in sorted(late))}) came after the providers were"
            " set up without code; say it in the configuration file or in the environment.",
        )
    if current.settings is not None:
        current.settings.adopt(arguments.settings)
        _active.restart()
    _guard_baggage(arguments)
    current.told_by_file = None
    return current


def _set_up(arguments: Arguments) -> Configuration:
    global _current
    _current = _configure_sdk(arguments) if "otlp" in arguments.exports else _configure_api(arguments)
    _current.settings = arguments.settings
    _guard_baggage(arguments)
    return _current


def _guard_baggage(arguments: Arguments) -> None:
    """Send facts to the hosts that are allowed, from the clients that are imported now or later."""
    if arguments.baggage_hosts is not None:
        clients: Any = import_module("bizspan.integrations._clients")
        clients.install()
    _baggage.hosts = arguments.baggage_hosts


def _configure_api(arguments: Arguments) -> Configuration:
    """On whatever providers the application has: the bare install."""
    settings, given = arguments.settings, arguments.given
    refuse_unbuilt(arguments)
    providers = Providers(*given)
    settings.book = _opens_book(arguments, lambda: given)
    unstamp = _stamp_sdk_providers(given)
    pipeline = _active.install(lambda generation: _signals.build(settings, providers, generation))

    def flush(timeout_s: float) -> bool:
        running = _active.current
        return True if running is None else running.flush(timeout_s)

    def at_exit() -> None:
        abandon_open_runs()
        running = _active.current
        if running is None or running.book is None:
            flush(_EXIT_BOUND_S)
        else:
            running.close(_EXIT_BOUND_S)

    def undo(timeout_s: float) -> None:
        atexit.unregister(at_exit)
        running = _active.current
        _active.remove()
        if running is not None:
            running.close(timeout_s)
        unstamp()

    atexit.register(at_exit)
    return Configuration(pipeline, flush, undo)


def _stamp_sdk_providers(given: tuple[Any, Any, Any]) -> Callable[[], None]:
    """Have the application's providers stamp ambient facts, where it uses the SDK; what takes that back."""
    if "opentelemetry.sdk.trace" not in sys.modules:
        return lambda: None
    sdk: Any = import_module("bizspan.sdk")
    return cast("Callable[[], None]", sdk.stamp(given))


def _opens_book(arguments: Arguments, providers: Callable[[], Iterable[object]]) -> OpenBook | None:
    """What opens the spool of each process; None where there is none."""
    if arguments.spool is None:
        return None
    room: Any = import_module("bizspan.spool")
    return cast(
        "OpenBook",
        room.opens(
            arguments.spool,
            lambda: room.resource_attributes(
                arguments.service_name, arguments.environment, arguments.resource_attributes, providers()
            ),
            arguments.settings.schema_url,
        ),
    )


def _configure_sdk(arguments: Arguments) -> Configuration:
    try:
        sdk: Any = import_module("bizspan.sdk")
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("opentelemetry"):
            raise
        raise MissingExtra('export="otlp" (export="console" prints receipts without it)', "otlp") from None
    pipeline, flush, undo, say_unconfirmed = sdk.set_up(
        arguments.settings, arguments.given, arguments.service_name, arguments.environment,
        arguments.resource_attributes, named=arguments.named,
        opens_book=partial(_opens_book, arguments),
    )  # fmt: skip
    made = Configuration(pipeline, flush, undo)
    made.say_unconfirmed = say_unconfirmed
    return made
