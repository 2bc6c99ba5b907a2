"""
What ``opentelemetry-instrument`` will find: distros, configurators, and bizspan's own instrumentor.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points

from bizspan._otlp import told
from bizspan.doctor._finding import Finding, red, yellow
from bizspan.doctor._packages import Package
from bizspan.doctor._settings import SIGNALS

_GROUPS = {"distro": "opentelemetry_distro", "configurator": "opentelemetry_configurator"}
_DISTRO = "opentelemetry-distro"


def with_distro_defaults(environment: Mapping[str, str], packages: Mapping[str, Package]) -> dict[str, str]:
    """The environment as ``opentelemetry-distro`` completes it before exporters are made."""
    completed = dict(environment)
    if _DISTRO in packages:
        for signal in SIGNALS:
            completed.setdefault(f"OTEL_{signal.upper()}_EXPORTER", "otlp")
        completed.setdefault("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    return completed


def check_zero_code(
    environment: Mapping[str, str], packages: Mapping[str, Package], is_zero_code: bool
) -> Iterator[Finding]:
    """What decides about providers under ``opentelemetry-instrument``, where that is installed or asked for."""
    if is_zero_code and "opentelemetry-instrumentation" not in packages:
        yield red(
            "zero-code",
            "opentelemetry-instrumentation is not installed here.",
            "pip install opentelemetry-instrumentation",
        )
        return
    if "opentelemetry-instrumentation" not in packages:
        return
    for kind, group in _GROUPS.items():
        names = sorted({entry.name for entry in entry_points(group=group)})
        variable = f"OTEL_PYTHON_{kind.upper()}"
        chosen = environment.get(variable, "").strip()
        if chosen and chosen not in names:
            yield red(f"zero-code.{kind}", f"{variable} names none that is installed.", f"unset {variable}")
        elif len(names) > 1 and not chosen:
            yield yellow(
                f"zero-code.{kind}",
                f"several {kind}s are installed ({', '.join(names)[:120]}); only the first that is found is used.",
                f"export {variable}={names[0]}",
            )
    yield from _check_protocol(environment, packages)


def _check_protocol(environment: Mapping[str, str], packages: Mapping[str, Package]) -> Iterator[Finding]:
    if _DISTRO not in packages or all(told(environment, signal, "PROTOCOL").is_set for signal in SIGNALS):
        return
    yield yellow(
        "zero-code.protocol",
        f"{_DISTRO} sends over gRPC unless a protocol is set; bizspan.configure() sends over HTTP.",
        "export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
    )
