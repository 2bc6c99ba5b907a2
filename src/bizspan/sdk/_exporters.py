"""
Exporters from the ``OTEL_*`` variables, checked before the first byte is sent.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Final, cast

from opentelemetry.sdk.metrics.export import MetricReader

from bizspan._otlp import Signal, check, told
from bizspan.errors import MissingExtra, SetupError
from bizspan.sdk._quick import quick

_PROTOCOLS: Final = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}
_EXTRAS: Final = {"otlp_proto_http": "otlp", "otlp_proto_grpc": "grpc"}


@dataclass(frozen=True, slots=True)
class Exporters:
    """
    One exporter per signal; None exports nothing.
    """

    spans: Any = None
    metrics: Any = None
    logs: Any = None


def from_environment(wanted: tuple[bool, ...] = (True, True, True)) -> Exporters:
    """
    The exporters that the variables ask for: OTLP over HTTP with protobuf where they are silent.

    Args:
        wanted: Whether to make one for spans, metrics and logs.

    Raises:
        MissingExtra: When the protocol's exporter is not installed.
        SetupError: When a variable is wrong. Values are not repeated: they may hold secrets.
    """
    spans, metrics, logs = wanted
    return Exporters(
        spans=_exporter("traces") if spans else None,
        metrics=_exporter("metrics") if metrics else None,
        logs=_exporter("logs") if logs else None,
    )


def _exporter(signal: Signal) -> Any:
    variable = f"OTEL_{signal.upper()}_EXPORTER"
    name = os.environ.get(variable, "").strip() or "otlp"
    if name == "none":
        return None
    if "," in name:
        raise SetupError(f"{variable} names several exporters; name one, and join your own providers for more.")
    if name == "otlp":
        name = _protocol(signal)
        check(os.environ, signal, over_http=name == "otlp_proto_http")
    found = list(entry_points(group=f"opentelemetry_{signal}_exporter", name=name))
    if not found:
        if name in _EXTRAS:
            raise MissingExtra(f"the exporter {name!r}", _EXTRAS[name])
        raise SetupError(f"{variable}={name!r} is unknown; use otlp, console or none, or install its package.")
    try:
        make: Any = found[0].load()
        if isinstance(make, type) and issubclass(cast("type[object]", make), MetricReader):
            return make()
        return PerProcess(lambda: quick(make()))
    except ImportError:
        raise MissingExtra(f"the exporter {name!r}", _EXTRAS.get(name, "otlp")) from None
    except Exception as error:
        # The exporter's own text may repeat a header or a URL with credentials.
        raise SetupError(
            f"The {signal} exporter {name!r} refused its settings ({type(error).__name__});"
            " check the OTEL_EXPORTER_OTLP_* variables."
        ) from None


class PerProcess:
    """
    An exporter that a forked child makes anew.

    With its parent's, two processes would write into one connection, and the collector would read garbage.

    Args:
        make: Makes the exporter.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        # requests imports it within its first request: a child that is forked at that moment never gets the lock.
        import_module("netrc")
        self._make = make
        self._pid = os.getpid()
        self._exporter = make()
        self._inherited: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._of_this_process(), name)

    def _of_this_process(self) -> Any:
        if self._pid != os.getpid():
            # Kept, not closed: another thread of the parent may have held a lock of its connections.
            self._inherited = self._exporter
            self._exporter = self._make()
            self._pid = os.getpid()
        return self._exporter

    def export(self, *args: Any, **kwargs: Any) -> Any:
        """Export."""
        return self._of_this_process().export(*args, **kwargs)

    def shutdown(self, *args: Any, **kwargs: Any) -> Any:
        """Shut down what this process has made."""
        return self._exporter.shutdown(*args, **kwargs) if self._pid == os.getpid() else None


def _protocol(signal: Signal) -> str:
    protocol = told(os.environ, signal, "PROTOCOL")
    if not protocol.is_set:
        return _PROTOCOLS["http/protobuf"]
    if protocol.value not in _PROTOCOLS:
        raise SetupError(f"{protocol.variable} is {protocol.value[:32]!r}; use 'http/protobuf' or 'grpc'.")
    return _PROTOCOLS[protocol.value]
