"""What the tests of the table of bad inputs share: counting refusals, and taking the one event that there is."""

from __future__ import annotations

from typing import Any

import bizspan
from bizspan import names
from bizspan.testing import Capture, CapturedEvent


def refusals() -> dict[str, int]:
    """Values that were dropped or changed, by reason."""
    return bizspan.diagnostics().values_refused


def only(events: list[CapturedEvent]) -> CapturedEvent:
    """The one event that there is."""
    assert 1 == len(events)
    return events[0]


def fact(told: Capture, value: object, *, name: str = "note") -> tuple[Any, Any]:
    """What an event keeps of one fact, and the notes on it."""
    told_facts: dict[str, Any] = {name: value}
    bizspan.event("seen", attributes=told_facts)
    attributes = only(told.events("seen")).attributes
    return attributes.get(f"{names.CUSTOM_PREFIX}{name}"), attributes.get(names.NOTES)
