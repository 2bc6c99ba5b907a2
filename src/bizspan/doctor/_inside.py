"""
The program that looks at a process as ``opentelemetry-instrument`` sets it up, and what it sees.

It runs in a process of its own, started through OpenTelemetry's own launcher with the application's environment; the
application itself is not imported, and nothing is exported.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Final, cast

from bizspan.doctor._children import ask
from bizspan.doctor._finding import Finding, green, one_line, red, shown_url, yellow
from bizspan.doctor._settings import SPOOL_VARIABLE, is_switched_off

_MODULE: Final = "bizspan.doctor._inside"
_STAMP: Final = "StampLogs"
_WRAPPERS: Final = 3  # of bizspan, at most, around the exporter that knows the endpoint
# The SDK has no public list of processors; where its names change, nothing is said about them.
_LISTS: Final = {
    "traces": ("_active_span_processor", "_span_processors"),
    "logs": ("_multi_log_record_processor", "_log_record_processors"),
}


def check_inside(environment: Mapping[str, str], bound_s: float, has_spool: bool) -> Iterator[Finding]:
    """Providers, double export, order, and bizspan itself, in a process that starts without code."""
    with tempfile.TemporaryDirectory() as place:
        # A process adopts what others left in its spool, and sends it: this one gets a spool of its own.
        apart = {SPOOL_VARIABLE: os.path.join(place, "spool")} if has_spool else {}
        answered = ask(_MODULE, {}, {**environment, **apart}, bound_s, instrumented=True)
    if not answered.lines:
        why = f"exit code {answered.code}" if answered.in_time else f"nothing within {bound_s:g} s"
        yield red(
            "providers",
            f"a process under opentelemetry-instrument does not start ({why}).",
            "opentelemetry-instrument python -V",
        )
        return
    seen = answered.lines[0]
    missing = [signal for signal, name in seen["providers"].items() if not name]
    if missing:
        yield yellow("providers", f"no provider of {', '.join(missing)} is set.", "pip install opentelemetry-distro")
    else:
        yield green("providers", ", ".join(dict.fromkeys(seen["providers"].values())))
    exporters: dict[str, list[str]] = seen["exporters"]
    for signal, names in exporters.items():
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            yield red(
                f"double-export.{signal}",
                f"{signal} are exported twice, by {one_line(twice[0])[:80]}.",
                f"set OTEL_{signal.upper()}_EXPORTER to one, and leave out what adds the other",
            )
    if seen["stamp_is_late"]:
        yield red(
            "order.logs",
            "log records are exported before bizspan adds its context.",
            "start bizspan before the processor that exports",
        )
    yield from _about_us(environment, bool(seen["is_on"]))


def _about_us(environment: Mapping[str, str], is_on: bool) -> Iterator[Finding]:
    check = "zero-code.bizspan"
    if is_on:
        yield green(check, "bizspan switches on by itself")
    elif not list(entry_points(group="opentelemetry_instrumentor", name="bizspan")):
        yield red(check, "this installation of bizspan has no instrumentor.", "pip install --force-reinstall bizspan")
    elif not is_switched_off(environment):  # that one has a finding of its own
        yield red(
            check,
            "bizspan does not switch on under opentelemetry-instrument.",
            "correct the configuration file, or read the line that begins with bizspan: in the application's log",
        )


def main() -> None:
    """Write one JSON line about this process, and end before anything is exported."""
    line = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    line.write(json.dumps(_seen()) + "\n")
    line.flush()
    # Without the exit handlers of exporters: they would send, and wait for whoever does not answer.
    os._exit(0)


def _seen() -> dict[str, Any]:
    from opentelemetry import _logs, metrics, trace

    from bizspan import _active

    providers: dict[str, object] = {
        "traces": trace.get_tracer_provider(),
        "metrics": metrics.get_meter_provider(),
        "logs": _logs.get_logger_provider(),
    }
    processors = {signal: _processors(providers[signal], *names) for signal, names in _LISTS.items()}
    exporters = {signal: [name for each in found if (name := _exporter(each))] for signal, found in processors.items()}
    return {
        "providers": {signal: _real(provider) for signal, provider in providers.items()},
        "exporters": exporters,
        "stamp_is_late": _is_late(processors["logs"]),
        "is_on": _active.current is not None,
    }


def _real(provider: object) -> str:
    """The provider's class; empty for those that the API hands out while none is set."""
    kind = type(provider)
    if kind.__module__.startswith(("opentelemetry.trace", "opentelemetry.metrics", "opentelemetry._logs")):
        return ""
    return f"{kind.__module__.partition('.')[0]} {kind.__qualname__}"


def _processors(provider: object, holder: str, names: str) -> list[object]:
    found: object = getattr(getattr(provider, holder, None), names, ())
    return list(cast("Iterable[object]", found)) if isinstance(found, list | tuple) else []


def _exporter(processor: object) -> str:
    """The exporter of a processor, with its endpoint; empty for one that exports nothing."""
    batch: object = getattr(processor, "_batch_processor", processor)
    exporter: object = getattr(batch, "_exporter", None) or getattr(processor, "span_exporter", None)
    if exporter is None:
        return ""
    inner: object = exporter
    for _ in range(_WRAPPERS):
        inner = vars(inner).get("_exporter", inner) if hasattr(inner, "__dict__") else inner
    return f"{type(inner).__qualname__} {shown_url(str(getattr(inner, '_endpoint', '')))}"


def _is_late(processors: list[object]) -> bool:
    names = [type(each).__name__ for each in processors]
    exporting = [position for position, each in enumerate(processors) if _exporter(each)]
    return _STAMP in names and bool(exporting) and names.index(_STAMP) > exporting[0]


def is_installed() -> bool:
    """Whether OpenTelemetry's launcher is there."""
    try:
        import_module("opentelemetry.instrumentation.auto_instrumentation")
    except ImportError:
        return False
    return True
