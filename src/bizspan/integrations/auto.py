"""
Zero code: what ``opentelemetry-instrument`` switches on when bizspan is installed beside it.

Vocabulary, routes and the rest come from one TOML file, from the environment, or from the part
``instrumentation/development: python: bizspan`` of ``OTEL_CONFIG_FILE``. Providers that a distro set are joined; where
there is none they are built.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace

from bizspan import _guard, _signals
from bizspan._config_file import Loaded, load_config, read_options
from bizspan.configure import configure_by_file, refused
from bizspan.errors import SetupError
from bizspan.integrations._at_start import said, say, when_imported
from bizspan.integrations._functions import wrap_when_imported
from bizspan.integrations._rules import rules_of, set_defaults

if TYPE_CHECKING:
    from bizspan.configure import Configuration

    class BaseInstrumentor:
        """Ships no types."""

        @property
        def is_instrumented_by_opentelemetry(self) -> bool: ...
        def instrument(self, **options: Any) -> Any: ...
        def uninstrument(self, **options: Any) -> Any: ...

else:
    from opentelemetry.instrumentation.instrumentor import BaseInstrumentor

_DISABLED: Final = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"
_SDK_DISABLED: Final = "OTEL_SDK_DISABLED"
_CONFIG_FILE: Final = "OTEL_CONFIG_FILE"
_UNSET: Final = "unknown_service"

# By framework: the modules whose import switches something of ours on, and the function that does.
_HOOKS: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "flask": (("flask.app", "bizspan.integrations.flask:switch_on"),),
    "django": (
        ("django.core.handlers.base", "bizspan.integrations.django:switch_on"),
        (
            "django.db.transaction",
            "bizspan.integrations._django_commit:install",
        ),  # commands and workers have no handler
    ),
    "starlette": (
        ("starlette.applications", "bizspan.integrations.asgi:switch_on"),
        ("fastapi.applications", "bizspan.integrations.asgi:switch_on"),
    ),
    "celery": (("celery.app.base", "bizspan.integrations.celery:switch_on"),),
    "sqlalchemy": (("sqlalchemy.orm", "bizspan.integrations.sqlalchemy:switch_on"),),
}
_ALIASES: Final = {"fastapi": "starlette"}


class BizspanInstrumentor(BaseInstrumentor):
    """
    Found by ``opentelemetry-instrument``, and switched off by ``OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=bizspan``.
    """

    _configuration: Configuration | None = None

    def instrumentation_dependencies(self) -> Collection[str]:
        """None: a framework that is not installed is never imported."""
        return ()

    def instrument(self, **options: Any) -> Any:
        """The second time, nothing happens: ``OTEL_CONFIG_FILE`` and ``opentelemetry-instrument`` both call it."""
        return None if self.is_instrumented_by_opentelemetry else super().instrument(**options)

    def _instrument(self, **options: Any) -> None:
        if _is_switched_off(os.environ):
            return
        try:
            loaded = read_options(options) if options else load_config(None, os.environ)
            self._configuration = _configured(loaded)
        except SetupError as error:
            say(f"{error} The application runs without bizspan until this is corrected.")
        except Exception as error:
            _guard.swallowed("starting without code", error)
        else:
            _switch_on(loaded)

    def _uninstrument(self, **options: Any) -> None:
        if self._configuration is not None:
            self._configuration.shutdown()
            self._configuration = None


def _is_switched_off(environment: Mapping[str, str]) -> bool:
    # OTEL_CONFIG_FILE switches instrumentations on without looking at the variable.
    named = {name.strip() for name in environment.get(_DISABLED, "").split(",")}
    return bool(named & {"bizspan", "*"}) or environment.get(_SDK_DISABLED, "").strip().lower() == "true"


def _configured(loaded: Loaded) -> Configuration:
    """
    The rules of requests, and `configure()`, as the file says.

    Raises:
        SetupError: When a value can't be used; the text has file and key.
    """
    try:
        set_defaults(loaded.requests)
    except SetupError as error:
        raise SetupError(f"{_of_requests(loaded)}: {error}") from error
    told = _possible(loaded)
    try:
        return configure_by_file(told)
    except SetupError as error:
        key = refused(told)
        if not key:
            raise
        raise SetupError(f"{loaded.where(_KEYS.get(key, key))}: {error}") from error


_KEYS: Final = {"metric_dimensions": "metrics"}


def _of_requests(loaded: Loaded) -> str:
    """Which of the requests' options is the wrong one."""
    for name, value in loaded.requests.items():
        each = [(key, {key: told}) for key, told in value.items()] if name == "routes" else [("", value)]
        for key, part in each:
            try:
                rules_of({name: part})
            except SetupError:
                return loaded.where(name, *([key] if key else []))
    return loaded.source


def _possible(loaded: Loaded) -> dict[str, Any]:
    """Without what the providers that are set already can't do; that is said."""
    told = dict(loaded.configure)
    has_tracer, has_meter, has_logger = _signals.providers_set()
    if os.environ.get(_CONFIG_FILE):
        # That file alone says what is sent: a signal that it leaves out is none that the variables could switch on.
        told["export"] = _without_otlp(told.get("export", "otlp"))
        if not (has_tracer or has_meter or has_logger or "console" in told["export"]):
            say(f"{_CONFIG_FILE} is set, and no providers are; nothing is recorded.")
    if "metric_dimensions" in told and (has_meter or "otlp" not in told.get("export", "otlp")):
        del told["metric_dimensions"]
        say(
            f"{loaded.where('metrics')}: needs a meter provider that bizspan builds, and one is set already; start with"
            " OTEL_PYTHON_CONFIGURATOR=none, and bizspan builds all providers from the OTEL_ variables."
            if has_meter
            else f"{loaded.where('metrics')}: needs a meter provider that bizspan builds, and it builds none here."
        )
    if "service_name" in told and has_tracer:
        resource: Any = getattr(trace.get_tracer_provider(), "resource", None)
        name = str(getattr(resource, "attributes", {}).get("service.name", ""))
        if name.startswith(_UNSET):
            say(
                f"{loaded.where('service_name')}: providers are set already, with no name; start with"
                f" OTEL_SERVICE_NAME={told['service_name']}."
            )
    return told


def _without_otlp(export: str | Sequence[str]) -> tuple[str, ...]:
    exports = (export,) if isinstance(export, str) else export
    return tuple(name for name in exports if name != "otlp") or ("none",)


def _switch_on(loaded: Loaded) -> None:
    for target, told in loaded.operations.items():
        wrap_when_imported(target, told)
    for name, hooks in _HOOKS.items():
        if _is_wanted(name, loaded):
            for module, function in hooks:
                step = partial(_call, function, {"tasks": loaded.tasks} if name == "celery" else {})
                for each in (module, function.partition(":")[0]):
                    when_imported(each, step, partial(_not_on, name))
    try:
        if loaded.logging.get("enabled", True):
            logs: Any = import_module("bizspan.integrations.logging")
            logs.instrument(exclude=loaded.logging.get("exclude", ()))
    except Exception as error:
        _not_on("logging", error)


def _is_wanted(name: str, loaded: Loaded) -> bool:
    if loaded.frameworks is not None:
        return name in {_ALIASES.get(told, told) for told in loaded.frameworks}
    if name != "sqlalchemy":
        return True
    # It has each statement looked at, which is for emission on commit alone.
    emits = [loaded.configure.get("emit"), *(told.get("emit") for told in loaded.operations.values())]
    return "on_commit" in emits


def _call(function: str, options: Mapping[str, Any], module: object) -> None:
    ours, _, name = function.partition(":")
    # Missing where the application imports ours first, which is what imports the framework: then ours comes again.
    step: Callable[..., None] | None = getattr(import_module(ours), name, None)
    if step is not None:
        step(**options)


def _not_on(name: str, error: Exception) -> None:
    if _guard.fatal and not isinstance(error, SetupError):
        raise error
    say(f"{name} is not switched on: {said(error)}")
