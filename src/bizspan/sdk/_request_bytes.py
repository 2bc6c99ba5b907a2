"""
A request of spans or log records as OTLP bytes: what its entries have in common comes once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from bizspan import names
from bizspan._wire import export_request, resource, scope, utf8


def request(items: Iterable[Any], entry: Callable[[Any, bool], bytes]) -> bytes:
    """
    An export request.

    Args:
        items: The SDK's, each with its resource and its scope.
        entry: Encodes one, with the tag and length that it has inside its scope; told whether its scope is bizspan's.
    """
    # By identity: to compare resources costs more than to encode an item, and a process has few of both.
    groups: dict[tuple[int, int], tuple[Any, Any, bool, list[bytes]]] = {}
    for item in items:
        of, made_by = item.resource, item.instrumentation_scope
        key = (id(of), id(made_by))
        group = groups.get(key)
        if group is None:
            group = groups[key] = (of, made_by, made_by is not None and made_by.name == names.SCOPE, [])
        group[3].append(entry(item, group[2]))
    by_resource: dict[int, tuple[Any, list[tuple[bytes, bytes, Sequence[bytes]]]]] = {}
    for of, made_by, _, entries in groups.values():
        _, scopes = by_resource.setdefault(id(of), (of, []))
        scopes.append((*_scope(made_by), entries))
    return b"".join(
        export_request(resource(of.attributes, of.schema_url), scopes) for of, scopes in by_resource.values()
    )


def _scope(made_by: Any) -> tuple[bytes, bytes]:
    """What stands at the front of its entries, and its schema URL."""
    if made_by is None:
        return b"\x0a\x00", b""
    return scope(made_by.name, made_by.version, made_by.attributes), utf8(made_by.schema_url or "")
