"""
What is installed, and whether it fits together.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Final

from bizspan.doctor._finding import Finding, green, red, yellow
from bizspan.doctor._settings import GRPC, Target
from bizspan.doctor._specifiers import Requirement, normalised, requirement, satisfies

_OURS: Final = "bizspan"
_MINIMUM_PYTHON: Final = (3, 11)
_EXPORTERS: Final = {
    "http/protobuf": ("opentelemetry-exporter-otlp-proto-http", "otlp"),
    GRPC: ("opentelemetry-exporter-otlp-proto-grpc", "grpc"),
}
_SHOWN: Final = ("opentelemetry-api", "opentelemetry-sdk", "opentelemetry-instrumentation")


@dataclass(frozen=True, slots=True)
class Package:
    """An installed distribution: its normalised name, its version, and what it requires."""

    name: str
    version: str
    requires: tuple[Requirement, ...]


def installed() -> dict[str, Package]:
    """Every installed distribution by its normalised name; of two of one name, the one that Python imports."""
    found: dict[str, Package] = {}
    for distribution in metadata.distributions():
        package = _package(distribution)
        if package is not None:
            found.setdefault(package.name, package)
    return found


def _package(distribution: metadata.Distribution) -> Package | None:
    """None where the metadata is damaged, as an interrupted installation leaves it."""
    try:
        name, version = distribution.metadata["Name"], distribution.version
        lines = [requirement(line) for line in distribution.requires or ()]
    except Exception:  # each Python version raises something else
        return None
    known = tuple(line for line in lines if line is not None)
    return Package(normalised(name), version, known) if name and version else None


def check_python(packages: dict[str, Package]) -> Iterator[Finding]:
    """Python's version, and the versions that matter."""
    version = platform.python_version()
    if sys.version_info < _MINIMUM_PYTHON:
        yield red("python", f"Python {version} is too old.", "install Python 3.11 or newer")
    else:
        yield green("python", f"Python {version} in {sys.prefix}")
    shown = [f"{name} {packages[name].version}" for name in (_OURS, *_SHOWN) if name in packages]
    yield green("versions", ", ".join(shown))


def check_versions(packages: dict[str, Package]) -> Iterator[Finding]:
    """Whether the installed OpenTelemetry packages, and ours, accept each other."""
    wrong = False
    for package in packages.values():
        if not _is_opentelemetry(package.name) and package.name != _OURS:
            continue
        for wanted in package.requires:
            found = packages.get(wanted.name)
            if wanted.extra.startswith("instruments") or wanted.is_conditional:
                continue
            if found is None:
                if wanted.extra:
                    continue
                wrong = True
                yield red(
                    f"versions.{package.name}",
                    f"{package.name} {package.version} needs {wanted.name}, which is not installed.",
                    f'pip install "{wanted.name}{wanted.specifiers}"',
                )
            elif not satisfies(found.version, wanted.specifiers):
                wrong = True
                yield red(
                    f"versions.{package.name}",
                    f"{package.name} {package.version} needs {wanted.name}{wanted.specifiers},"
                    f" but {found.version} is installed.",
                    _install_together(packages),
                )
    if not wrong:
        yield green("versions.compatible", "the installed OpenTelemetry packages accept each other")


def check_instrumented(packages: dict[str, Package]) -> Iterator[Finding]:
    """Instrumentations whose library is outside their range: they stay off and say so in a log only."""
    for package in packages.values():
        if not package.name.startswith("opentelemetry-instrumentation-"):
            continue
        ranges = [
            (wanted, packages[wanted.name].version)
            for wanted in package.requires
            if wanted.extra.startswith("instruments") and wanted.name in packages
        ]
        if ranges and not any(satisfies(version, wanted.specifiers) for wanted, version in ranges):
            wanted, version = ranges[0]
            yield yellow(
                f"versions.{package.name}",
                f"{package.name} instruments {wanted.name}{wanted.specifiers}; {version} is here, so it stays off.",
                f"pip install --upgrade {package.name}",
            )


def check_extras(packages: dict[str, Package], targets: Iterable[Target]) -> Iterator[Finding]:
    """Whether the exporters that are configured are installed."""
    wanted = sorted({target.protocol for target in targets if target.is_otlp and target.protocol in _EXPORTERS})
    for protocol in wanted:
        name, extra = _EXPORTERS[protocol]
        missing = _missing(packages, protocol)
        if missing:
            yield red(
                f"extra.{extra}",
                f"OTLP over {protocol} is configured, and not installed: {', '.join(missing)}.",
                f'pip install "bizspan[{extra}]"',
            )
        else:
            yield green(f"extra.{extra}", f"{name} {packages[name].version}")


def can_export(packages: Mapping[str, Package], target: Target) -> bool:
    """Whether the exporter of this target is installed."""
    return not _missing(packages, target.protocol)


def _missing(packages: Mapping[str, Package], protocol: str) -> list[str]:
    needed = ("opentelemetry-sdk", *_EXPORTERS.get(protocol, ())[:1])
    return [name for name in needed if name not in packages]


def _is_opentelemetry(name: str) -> bool:
    return name.startswith("opentelemetry-")


def _install_together(packages: dict[str, Package]) -> str:
    """Has pip find versions that fit, of everything that is there."""
    names = sorted(name for name in packages if name in _SHOWN or name.startswith("opentelemetry-exporter-otlp-proto-"))
    contrib = sorted(name for name in packages if name.startswith("opentelemetry-instrumentation-"))
    return f"pip install --upgrade {' '.join(names + contrib)}"
