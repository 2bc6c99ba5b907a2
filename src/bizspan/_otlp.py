"""
The ``OTEL_EXPORTER_OTLP_*`` variables: which one applies, and what is wrong with it, before the first byte is sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import unquote

from bizspan.errors import SetupError

Signal = Literal["traces", "metrics", "logs"]
COMPRESSIONS: Final = ("none", "gzip", "deflate")


@dataclass(frozen=True, slots=True)
class Told:
    """A variable that applies, and its value; the name is the general one where neither is set."""

    variable: str
    value: str = field(repr=False)
    is_set: bool


def told(environment: Mapping[str, str], signal: Signal, name: str) -> Told:
    """The OTLP variable of this name that applies to a signal: its own one first. An empty one is as good as unset."""
    own, general = f"OTEL_EXPORTER_OTLP_{signal.upper()}_{name}", f"OTEL_EXPORTER_OTLP_{name}"
    for variable in (own, general):
        if environment.get(variable, "").strip():
            return Told(variable, environment[variable].strip(), True)
    return Told(general, "", False)


def parsed_headers(text: str) -> tuple[tuple[str, str], ...]:
    """Names and values of ``OTEL_EXPORTER_OTLP_HEADERS``; a part without ``=`` is left out."""
    pairs = (pair.partition("=") for pair in text.split(",") if "=" in pair)
    return tuple((name.strip().lower(), unquote(value.strip())) for name, _, value in pairs if name.strip())


def check(environment: Mapping[str, str], signal: Signal, *, over_http: bool) -> None:
    """
    Look at a signal's endpoint, headers, compression and timeout.

    Args:
        environment: The variables.
        signal: Of OpenTelemetry.
        over_http: Whether the protocol is HTTP, where an endpoint needs a scheme.

    Raises:
        SetupError: When one is wrong. Values are not repeated: they may hold secrets.
    """
    endpoint = told(environment, signal, "ENDPOINT")
    check_endpoint(endpoint.variable, endpoint.value, over_http=over_http)
    check_headers(told(environment, signal, "HEADERS"))
    compression = told(environment, signal, "COMPRESSION")
    if compression.is_set and compression.value not in COMPRESSIONS:
        raise SetupError(f"{compression.variable} is unknown; use gzip or none.")
    timeout = told(environment, signal, "TIMEOUT")
    if timeout.is_set and not is_positive(timeout.value):
        raise SetupError(f"{timeout.variable} must be a number above 0.")


def check_endpoint(variable: str, endpoint: str, *, over_http: bool) -> None:
    """Look at one endpoint; see `check`."""
    if endpoint and over_http and not endpoint.startswith(("http://", "https://")):
        raise SetupError(f"{variable} has no scheme; write http://host:4318 or https://host:4318.")
    if "@" in endpoint.split("//", 1)[-1].split("/", 1)[0]:
        raise SetupError(f"{variable} holds credentials; put them into OTEL_EXPORTER_OTLP_HEADERS.")


def check_headers(headers: Told) -> None:
    """Look at the text of headers; see `check`."""
    if any(character in headers.value for character in "\r\n\0"):
        raise SetupError(f"{headers.variable} holds a line break; write key=value pairs with commas between them.")
    if not all("=" in pair for pair in headers.value.split(",") if pair.strip()):
        # The exporter would write the whole of it into its log.
        raise SetupError(f"{headers.variable} has a part without '='; write key=value pairs with commas between them.")


def is_positive(text: str) -> bool:
    """Whether a text is a finite number above 0."""
    try:
        return 0 < float(text) < float("inf")
    except ValueError:
        return False
