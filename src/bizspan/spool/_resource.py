"""
Whose events these are: the resource of the providers that are there, else what the variables and `configure()` say.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Final, cast
from urllib.parse import unquote

_UNKNOWN: Final = "unknown_service"


def resource_attributes(
    service_name: str | None,
    environment: str | None,
    more: Mapping[str, str],
    providers: Iterable[object],
) -> dict[str, object]:
    """
    The attributes of the Resource under which events are sent.

    Args:
        service_name: ``service.name``, where no provider has a resource.
        environment: ``deployment.environment.name``, likewise.
        more: Further attributes, likewise.
        providers: The first one with a resource decides: spans, metrics and events then carry the same.
    """
    for provider in providers:
        attributes = getattr(getattr(provider, "resource", None), "attributes", None)
        if attributes:
            return dict(cast("Mapping[str, object]", attributes))
    told: dict[str, object] = {"telemetry.sdk.language": "python", "telemetry.sdk.name": "bizspan"}
    for pair in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(","):
        key, separator, value = pair.partition("=")
        if separator and key.strip():
            told[key.strip()] = unquote(value.strip())
    told.update(more)
    name = service_name or os.environ.get("OTEL_SERVICE_NAME", "").strip()
    if name:
        told["service.name"] = name
    if environment:
        told["deployment.environment.name"] = environment
    told.setdefault("service.name", _UNKNOWN)
    return told
