"""
What the variables say, read as the process will read them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Final

from bizspan._otlp import told
from bizspan.doctor._config import Settings
from bizspan.doctor._finding import Finding, green, red, yellow
from bizspan.doctor._packages import Package
from bizspan.doctor._settings import (
    SIGNALS,
    environment_name,
    exporters_of,
    is_switched_off,
    resource_attributes,
)
from bizspan.doctor._variables import check_misspelled

KEY_MIN_BYTES: Final = 16  # what configure() asks for
_KNOWN_EXPORTERS: Final = frozenset({"otlp", "otlp_proto_http", "otlp_proto_grpc", "console", "none"})
_MOST_TIMEOUT_S: Final = 120.0
_FASTAPI: Final = "FASTAPI_OTEL_AUTO_CONFIGURE"
_NEW_KEY: Final = "python -c 'import secrets; print(secrets.token_hex(32))'"


def check_disabled(environment: Mapping[str, str]) -> Iterator[Finding]:
    """``OTEL_SDK_DISABLED``, and our own part in zero-code."""
    disabled = environment.get("OTEL_SDK_DISABLED", "").strip()
    if disabled.lower() == "true":
        yield red("sdk-disabled", "OTEL_SDK_DISABLED is true: nothing leaves the process.", "unset OTEL_SDK_DISABLED")
    elif disabled and disabled.lower() != "false":
        yield yellow(
            "sdk-disabled",
            "OTEL_SDK_DISABLED is set to something that is neither true nor false; the SDK stays on.",
            "unset OTEL_SDK_DISABLED",
        )
    variable = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"
    if is_switched_off(environment):
        yield yellow(
            "zero-code",
            f"{variable} switches bizspan off under opentelemetry-instrument.",
            f"take {'bizspan' if 'bizspan' in environment[variable] else '*'} out of {variable}",
        )


def check_exporters(environment: Mapping[str, str], is_zero_code: bool) -> Iterator[Finding]:
    """Which exporters are named: none, console, several, unknown."""
    for signal in SIGNALS:
        variable = f"OTEL_{signal.upper()}_EXPORTER"
        names = exporters_of(environment, signal)
        check = f"exporter.{signal}"
        if "none" in names:
            text = f"{variable} is none: no {signal} are sent"
            if signal == "logs":
                yield red(check, f"{text}; business events are logs, so none arrives.", f"unset {variable}")
            else:
                yield yellow(check, f"{text}.", f"unset {variable}")
        elif len(names) > 1 and not is_zero_code:
            yield red(
                check,
                f"{variable} names several exporters; bizspan.configure() takes one.",
                f"export {variable}=otlp, and join your own providers for more",
            )
        elif len(names) > len({*names}):
            yield yellow(check, f"{variable} names an exporter twice.", f"export {variable}={names[0]}")
        elif names == ["console"]:
            yield yellow(check, f"{variable} is console: {signal} are printed, not sent.", f"export {variable}=otlp")
        elif unknown := [name for name in names if name not in _KNOWN_EXPORTERS and not _is_installed(signal, name)]:
            yield red(
                check, f"{variable} names {unknown[0][:32]!r}, which is not installed.", f"export {variable}=otlp"
            )
        else:
            yield green(check, f"{signal} go to {', '.join(names)}")


def check_otlp_values(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Protocol, headers, compression and timeout: their form. Values are not repeated."""
    seen: set[str] = set()
    for signal in SIGNALS:
        if not {"otlp", "otlp_proto_http", "otlp_proto_grpc"} & {*exporters_of(environment, signal)}:
            continue
        for name, check in _VALUES.items():
            applies = told(environment, signal, name)
            if applies.is_set and applies.variable not in seen:
                seen.add(applies.variable)
                finding = check(applies.variable, environment[applies.variable])
                if finding is not None:
                    yield finding


def _check_protocol(variable: str, value: str) -> Finding | None:
    if value.strip() in ("http/protobuf", "grpc"):
        return None
    if value.strip() == "http/json":
        text = f"{variable} is http/json, which Python's exporters don't speak."
    else:
        text = f"{variable} is {value.strip()[:32]!r}, which is no protocol of OTLP."
    return red("protocol", text, f"export {variable}=http/protobuf")


def _check_headers(variable: str, value: str) -> Finding | None:
    step = f"export {variable}=name=value, with commas between several; encode a space as %20"
    if any(character in value for character in "\r\n\0"):
        return red("headers", f"{variable} holds a line break.", step)
    if not all("=" in pair for pair in value.split(",") if pair.strip()):
        return red("headers", f"{variable} has a part without '='.", step)
    if not value.isascii():
        return red("headers", f"{variable} holds letters that a header cannot carry.", step)
    names = [pair.partition("=")[0].strip() for pair in value.split(",") if pair.strip()]
    return green("headers", f"{variable} sends {', '.join(names)} (values are not shown)")


def _check_compression(variable: str, value: str) -> Finding | None:
    if value.strip().lower() in ("none", "gzip", "deflate"):
        return None
    return red("compression", f"{variable} is no known compression.", f"export {variable}=gzip")


def _check_timeout(variable: str, value: str) -> Finding | None:
    step = f"export {variable}=10"
    try:
        seconds = float(value)
    except ValueError:
        return red("timeout", f"{variable} is not a number.", step)
    if not 0 < seconds < float("inf"):
        return red("timeout", f"{variable} must be above 0.", step)
    if seconds > _MOST_TIMEOUT_S:
        return yellow(
            "timeout", f"{variable} is {seconds:g} seconds: Python's exporters read seconds, not milliseconds.", step
        )
    return None


_VALUES: Final = {
    "PROTOCOL": _check_protocol,
    "HEADERS": _check_headers,
    "COMPRESSION": _check_compression,
    "TIMEOUT": _check_timeout,
}


def check_identity(environment: Mapping[str, str], settings: Settings) -> Iterator[Finding]:
    """Service name, environment, and the key for personal facts."""
    service = settings.service_name or resource_attributes(environment).get("service.name", "")
    if not service or service.startswith("unknown_service"):
        yield yellow(
            "service-name",
            "service.name is missing: everything arrives as unknown_service, unless configure(service_name=) says it.",
            "export OTEL_SERVICE_NAME=shop",
        )
    else:
        yield green("service-name", f"service.name is {service}")
    where = settings.environment or environment_name(environment)
    if where:
        yield green("environment", f"deployment.environment.name is {where}")
    else:
        yield yellow(
            "environment",
            "deployment.environment.name is missing: production and test cannot be told apart.",
            "export OTEL_RESOURCE_ATTRIBUTES=deployment.environment.name=production",
        )
    yield _check_key(environment.get("BIZSPAN_HASH_KEY", ""), where)


def _check_key(key: str, where: str) -> Finding:
    step = f"export BIZSPAN_HASH_KEY with the output of: {_NEW_KEY}"
    if key and len(key.encode("utf-8", "surrogateescape")) < KEY_MIN_BYTES:
        return red("hash-key", f"BIZSPAN_HASH_KEY has less than {KEY_MIN_BYTES} bytes; configure() refuses it.", step)
    if key:
        return green("hash-key", "BIZSPAN_HASH_KEY is set: personal facts are hashed with it")
    if where.strip().casefold() == "production":
        return red("hash-key", "BIZSPAN_HASH_KEY is missing: in production, personal facts are dropped.", step)
    return yellow(
        "hash-key", "BIZSPAN_HASH_KEY is missing: each process hashes personal facts with a key of its own.", step
    )


def check_double_export(environment: Mapping[str, str], packages: Mapping[str, Package]) -> Iterator[Finding]:
    """What sets up a second export beside ours."""
    if environment.get(_FASTAPI, "").strip().lower() == "true":
        said = f"{_FASTAPI} is true: beside bizspan's providers every span and log event is exported twice."
        make = red if "fastapi" in packages else yellow
        yield make("double-export", said, f"unset {_FASTAPI}")
    else:
        yield green("double-export", f"{_FASTAPI} is off")


def check_variables(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Misspelled variables, and those that change what instrumentations write."""
    yield from check_misspelled(environment)
    config = environment.get("OTEL_CONFIG_FILE", "").strip()
    if config and not os.path.isfile(config):
        yield red("otel-config-file", "OTEL_CONFIG_FILE names a file that is not there.", "unset OTEL_CONFIG_FILE")
    elif config:
        yield yellow(
            "otel-config-file",
            "OTEL_CONFIG_FILE decides over most OTEL_ variables; what follows was tested with the variables.",
            "read the exporters in that file, or unset OTEL_CONFIG_FILE",
        )
    opted = environment.get("OTEL_SEMCONV_STABILITY_OPT_IN", "")
    opted_in = [name.strip() for name in opted.split(",") if name.strip()]
    metric = "http.server.request.duration" if {"http", "http/dup"} & {*opted_in} else "http.server.duration"
    said = f"OTEL_SEMCONV_STABILITY_OPT_IN is {','.join(opted_in)[:60] or 'not set'}"
    yield green("semantic-conventions", f"{said}: the HTTP server metric is named {metric}")


def _is_installed(signal: str, name: str) -> bool:
    from importlib.metadata import entry_points

    return bool(list(entry_points(group=f"opentelemetry_{signal}_exporter", name=name)))
