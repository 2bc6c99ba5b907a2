"""
The durable event pipe: an event is written to a file before it counts as acknowledged, and sent until a collector has
answered that it took it. Standard library only.
"""

from __future__ import annotations

from bizspan.spool._book import opens, opens_for, packed_scope
from bizspan.spool._options import Spool
from bizspan.spool._resource import resource_attributes

__all__ = ["Spool", "opens", "opens_for", "packed_scope", "resource_attributes"]
