"""
What operations, features and events mean, and who answers for them, where the configuration file says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Described:
    """
    What a file says of one of them.

    Args:
        owner: Who answers for it.
        meaning: One line.
    """

    owner: str = ""
    meaning: str = ""


# By section of the catalogue, and by name.
Descriptions = Mapping[str, Mapping[str, Described]]
# What the file calls one of a section.
SECTIONS: Mapping[str, str] = {"operation": "operations", "feature": "features", "event": "events"}
