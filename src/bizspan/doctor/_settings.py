"""
Where each signal goes, as OpenTelemetry's exporters read it from the environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

from bizspan._otlp import Signal, parsed_headers, told

SIGNALS: Final[tuple[Signal, ...]] = ("traces", "metrics", "logs")
HTTP: Final = "http/protobuf"
GRPC: Final = "grpc"
_DEFAULT_PORTS: Final = {HTTP: 4318, GRPC: 4317}
SPOOL_VARIABLE: Final = "BIZSPAN_SPOOL_DIR"
ENVIRONMENT_KEYS: Final = ("deployment.environment.name", "deployment.environment")


@dataclass(frozen=True, slots=True)
class Target:
    """
    Where one signal goes.

    Args:
        signal: Of OpenTelemetry.
        exporter: ``otlp``, ``console``, ``none``, or the name of another one.
        protocol: Of OTLP, as it is written in the variable.
        url: What the exporter will connect to, for HTTP with its path.
        variable: The variable that sets the endpoint.
        is_default: Whether no variable sets it.
        is_own: Whether the variable is that of the one signal.
        headers: What is sent along; values are secrets.
        ca_file: The certificate authorities to trust instead of the usual ones.
        client_certificate: Shown to the server.
        client_key: Of the client certificate.
        is_insecure: gRPC without TLS.
    """

    signal: Signal
    exporter: str
    protocol: str
    url: str = field(repr=False)
    variable: str
    is_default: bool
    is_own: bool
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    ca_file: str
    client_certificate: str
    client_key: str
    is_insecure: bool

    @property
    def default_port(self) -> int:
        """The port where the URL has none."""
        return 443 if self.protocol == GRPC or self.url.lower().startswith("https:") else 80

    @property
    def is_otlp(self) -> bool:
        """Whether it goes over the wire as OTLP."""
        return self.exporter == "otlp"

    @property
    def uses_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return not self.is_insecure if self.protocol == GRPC else self.url.lower().startswith("https:")


def exporters_of(environment: Mapping[str, str], signal: Signal) -> list[str]:
    """The exporters named for a signal; OTLP where none is."""
    names = environment.get(f"OTEL_{signal.upper()}_EXPORTER", "").split(",")
    return [name.strip() for name in names if name.strip()] or ["otlp"]


def targets(environment: Mapping[str, str]) -> list[Target]:
    """Where each signal goes, one entry for each exporter that is named."""
    return [
        _target(environment, signal, exporter)
        for signal in SIGNALS
        for exporter in dict.fromkeys(exporters_of(environment, signal))
    ]


def _target(environment: Mapping[str, str], signal: Signal, exporter: str) -> Target:
    protocol = told(environment, signal, "PROTOCOL").value or HTTP
    # The exporters' own names also say the protocol.
    by_name = {"otlp_proto_http": HTTP, "otlp_proto_grpc": GRPC}.get(exporter)
    if by_name is not None:
        exporter, protocol = "otlp", by_name
    endpoint = told(environment, signal, "ENDPOINT")
    is_own = endpoint.is_set and f"_{signal.upper()}_" in endpoint.variable
    url = endpoint.value or f"http://localhost:{_DEFAULT_PORTS.get(protocol, 4318)}"
    if protocol != GRPC and not is_own:
        url = f"{url.removesuffix('/')}/v1/{signal}"
    return Target(
        signal=signal,
        exporter=exporter,
        protocol=protocol,
        url=url,
        variable=endpoint.variable,
        is_default=not endpoint.is_set,
        is_own=is_own,
        headers=parsed_headers(told(environment, signal, "HEADERS").value),
        ca_file=told(environment, signal, "CERTIFICATE").value,
        client_certificate=told(environment, signal, "CLIENT_CERTIFICATE").value,
        client_key=told(environment, signal, "CLIENT_KEY").value,
        is_insecure=_is_insecure(environment, signal, url),
    )


def _is_insecure(environment: Mapping[str, str], signal: Signal, url: str) -> bool:
    if url.lower().startswith("https:"):
        return False
    insecure = told(environment, signal, "INSECURE")
    return insecure.value.lower() == "true" if insecure.is_set else url.lower().startswith("http:")


def is_switched_off(environment: Mapping[str, str]) -> bool:
    """Whether ``opentelemetry-instrument`` leaves bizspan's instrumentor out."""
    names = [name.strip() for name in environment.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "").split(",")]
    return "bizspan" in names or "*" in names


def bundle_variable(environment: Mapping[str, str]) -> str:
    """The variable whose certificate authorities win over all others over HTTP, or an empty text: requests' order."""
    return next((name for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE") if environment.get(name)), "")


def resource_attributes(environment: Mapping[str, str]) -> dict[str, str]:
    """``OTEL_RESOURCE_ATTRIBUTES``, with ``OTEL_SERVICE_NAME`` on top."""
    found = {
        name.strip(): unquote(value.strip())
        for name, separator, value in (
            pair.partition("=") for pair in environment.get("OTEL_RESOURCE_ATTRIBUTES", "").split(",")
        )
        if separator
    }
    service = environment.get("OTEL_SERVICE_NAME", "").strip()
    return {**found, "service.name": service} if service else found


def environment_name(environment: Mapping[str, str]) -> str:
    """``deployment.environment.name`` of the variables; empty when they don't say."""
    attributes = resource_attributes(environment)
    return next((attributes[key] for key in ENVIRONMENT_KEYS if attributes.get(key)), "")
