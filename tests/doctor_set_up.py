"""A set-up for `bizspan doctor`, and what it finds; nothing is sent."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bizspan.doctor import Finding, Request, examine
from bizspan.doctor._packages import Package
from bizspan.doctor._specifiers import requirement
from tests.child import environment


def look(config: Path | None = None, words: Iterable[str] = (), /, **variables: str) -> dict[str, Finding]:
    """Every finding of an examination that sends nothing, by its check; of several, the worst."""
    told = environment(None, **variables)
    if variables.get("BIZSPAN_HASH_KEY") == "":
        del told["BIZSPAN_HASH_KEY"]
    request = Request(told, None if config is None else str(config), canary=False, command=tuple(words))
    order = ("green", "yellow", "red")
    return {found.check: found for found in sorted(examine(request).findings, key=lambda each: order.index(each.level))}


def packages(*told: tuple[str, str, list[str]]) -> dict[str, Package]:
    """Installed packages: name, version, requirements."""
    return {
        name: Package(name, version, tuple(line for line in map(requirement, requires) if line is not None))
        for name, version, requires in told
    }
