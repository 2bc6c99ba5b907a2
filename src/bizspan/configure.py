"""
Setting up: one call at the start of the program.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from bizspan import _active, _guard, _signals, names
from bizspan._pipeline import CAPACITY, Pipeline, Sink
from bizspan._run import abandon_open_runs
from bizspan._signals import Providers, Settings
from bizspan.errors import MissingExtra, SetupError
from bizspan.vocabulary import Attribute, Vocabulary, merged

if TYPE_CHECKING:
    from opentelemetry._logs import LoggerProvider
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

Export = Literal["otlp", "console", "none"]
_EXPORTS: Final = ("otlp", "console", "none")
_KEY_VARIABLE: Final = "BIZSPAN_HASH_KEY"
_KEY_ID_VARIABLE: Final = "BIZSPAN_HASH_KEY_ID"
_KEY_MIN_BYTES: Final = 16
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


_current: Configuration | None = None
_configuring = threading.Lock()


def configure(
    *,
    service_name: str | None = None,
    export: Export | Sequence[Export] = "otlp",
    vocabulary: Vocabulary | Iterable[Vocabulary] = (),
    hash_key: bytes | str | None = None,
    hash_key_id: str | None = None,
    environment: str | None = None,
    revenue_basis: Literal["excl_tax", "incl_tax"] = "excl_tax",
    resource_attributes: dict[str, str] | None = None,
    capacity: int = CAPACITY,
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
        tracer_provider: To be joined instead of the global one.
        meter_provider: The same for metrics.
        logger_provider: The same for events.

    Raises:
        MissingExtra: When an exporter is not installed; the text has the pip line.
        SetupError: When an argument or a variable is wrong; the text says what to do.
    """
    global _current
    with _configuring:
        if _current is not None:
            _guard.say_once(
                "configured", "bizspan: configure() was called again; the first call stays in force."
                " Call shutdown() on its result to change it.",
            )  # fmt: skip
            return _current
        exports = _checked_exports(export)
        given = (tracer_provider, meter_provider, logger_provider)
        _check_texts(service_name=service_name, environment=environment, hash_key_id=hash_key_id)
        if resource_attributes is not None and not isinstance(resource_attributes, Mapping):
            raise SetupError("resource_attributes= must be a dict of texts.")
        environment_name = _active.environment_name(environment, resource_attributes, given)
        settings = _settings(
            exports, vocabulary, _checked_key(hash_key), hash_key_id, environment_name, revenue_basis, capacity
        )
        if _active.current is not None and _active.current.isolated:
            # A test captures: the application's set-up is checked, its vocabulary applies, and nothing is sent.
            _active.current.declare(settings.declared, _active.current.hasher)
            return Configuration(_active.current, _active.current.take, lambda timeout_s: None)
        if "otlp" in exports:
            _current = _configure_sdk(settings, given, service_name, environment, resource_attributes)
        else:
            _current = _configure_api(settings, given)
        return _current


def _configure_api(settings: Settings, given: tuple[Any, Any, Any]) -> Configuration:
    """On whatever providers the application has: the bare install."""
    providers = Providers(*given)
    unstamp = _stamp_sdk_providers(given)
    pipeline = _active.install(lambda generation: _signals.build(settings, providers, generation))

    def flush(timeout_s: float) -> bool:
        running = _active.current
        return True if running is None else running.take(timeout_s)

    def at_exit() -> None:
        abandon_open_runs()
        flush(_EXIT_BOUND_S)

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


def _configure_sdk(
    settings: Settings,
    given: tuple[Any, Any, Any],
    service_name: str | None,
    environment: str | None,
    resource_attributes: dict[str, str] | None,
) -> Configuration:
    try:
        sdk: Any = import_module("bizspan.sdk")
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("opentelemetry"):
            raise
        raise MissingExtra('export="otlp" (export="console" prints receipts without it)', "otlp") from None
    pipeline, flush, undo = sdk.set_up(settings, given, service_name, environment, resource_attributes or {})
    return Configuration(pipeline, flush, undo)


def _settings(
    exports: tuple[str, ...],
    vocabulary: Vocabulary | Iterable[Vocabulary],
    key: bytes | None,
    key_id: str | None,
    environment: str,
    revenue_basis: str,
    capacity: int,
) -> Settings:
    vocabularies = _checked_vocabularies(vocabulary)
    if revenue_basis not in ("excl_tax", "incl_tax"):
        raise SetupError(f"revenue_basis={revenue_basis!r} is unknown; use 'excl_tax' or 'incl_tax'.")
    if not _is_whole(capacity) or capacity < 1:
        raise SetupError("capacity= must be a whole number above 0: how many events may wait.")
    declared = merged(vocabularies)
    key_id = key_id or os.environ.get(_KEY_ID_VARIABLE) or "k1"
    return Settings(
        declared=declared,
        hasher=_active.hasher_for(key, key_id, environment),
        schema_url="+".join([names.SCHEMA_URL, *(f"{v.prefix}:{v.version}" for v in vocabularies)]),
        consoles=_consoles(declared) if "console" in exports else (),
        revenue_basis=revenue_basis,
        capacity=capacity,
    )


def _checked_vocabularies(given: object) -> tuple[Vocabulary, ...]:
    items: list[object] = [given]
    if not isinstance(given, Vocabulary) and isinstance(given, Iterable):
        items = list(cast("Iterable[object]", given))
    vocabularies = tuple(item for item in items if isinstance(item, Vocabulary))
    if len(vocabularies) < len(items):
        raise SetupError(f"vocabulary= takes Vocabulary objects, got {given!r}.")
    return vocabularies


def _is_whole(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool)


def _consoles(declared: Mapping[str, Attribute]) -> tuple[Sink, ...]:
    from bizspan._console import Receipts

    return (Receipts(declared),)


def _check_texts(**texts: object) -> None:
    for name, text in texts.items():
        if text is not None and not isinstance(text, str):
            raise SetupError(f"{name}= must be a text, got {type(text).__name__}.")


def _checked_exports(export: object) -> tuple[str, ...]:
    several = cast("Sequence[object]", export) if isinstance(export, (list, tuple)) else ()
    exports = (export,) if isinstance(export, str) else tuple(str(name) for name in several)
    if not exports or any(name not in _EXPORTS for name in exports):
        raise SetupError(f"export={export!r} is unknown; use 'otlp', 'console', 'none', or a list of them.")
    return exports


def _checked_key(key: object) -> bytes | None:
    if key is None:
        key = os.environ.get(_KEY_VARIABLE) or None
    if key is None:
        return None
    secret = key.encode() if isinstance(key, str) else key
    if not isinstance(secret, bytes) or len(secret) < _KEY_MIN_BYTES:
        raise SetupError(f"hash_key= must be a secret of at least {_KEY_MIN_BYTES} bytes; use secrets.token_bytes(32).")
    return secret
