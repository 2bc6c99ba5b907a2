"""
The resource of providers that bizspan builds.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4, uuid5

from opentelemetry.sdk.resources import Resource
from opentelemetry.util.types import AttributeValue

INSTANCE_ID = "service.instance.id"


_forks = uuid4()


def _process() -> tuple[UUID, int]:
    """Tells processes apart: a process id alone comes back after its process has ended."""
    return _forks, os.getpid()


def _renew_in_child() -> None:
    global _forks
    _forks = uuid4()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_in_child)


class ProcessResource(Resource):
    """
    A resource whose ``service.instance.id`` is another one in each process.

    A forked child inherits its parent's providers. With the same instance id, the backend would take the child's
    counters, which start at zero, for resets of the parent's.
    """

    def __init__(self, attributes: Mapping[str, AttributeValue], schema_url: str | None = None) -> None:
        super().__init__(attributes, schema_url)
        self._process = _process()

    @property
    def attributes(self) -> Any:
        """The attributes, as they are in this process."""
        process = _process()
        if self._process != process:
            # Computed, not drawn: several exporters of a child may ask for the first time at once.
            fresh = {**super().attributes, INSTANCE_ID: str(uuid5(_forks, str(process)))}
            super().__init__(fresh, self.schema_url)
            self._process = process
        return super().attributes

    def merge(self, other: Resource) -> ProcessResource:
        """Both resources as one that still knows its process: the SDK merges after a fork."""
        attributes = {**self.attributes, **other.attributes, INSTANCE_ID: self.attributes[INSTANCE_ID]}
        return ProcessResource(attributes, self.schema_url or other.schema_url)


def build_resource(service_name: str | None, environment: str | None, more: Mapping[str, str]) -> ProcessResource:
    """
    The detected resource (``OTEL_RESOURCE_ATTRIBUTES``, ``OTEL_SERVICE_NAME``), with what was told in code on top.

    Args:
        service_name: ``service.name``.
        environment: ``deployment.environment.name``.
        more: Further attributes.
    """
    told: dict[str, AttributeValue] = dict(more)
    if service_name is not None:
        told["service.name"] = service_name
    if environment is not None:
        told["deployment.environment.name"] = environment
    detected = Resource.create(told)
    attributes = dict(detected.attributes)
    attributes[INSTANCE_ID] = told.get(INSTANCE_ID) or str(uuid4())
    return ProcessResource(attributes, detected.schema_url)
