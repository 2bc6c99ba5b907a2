"""
The durable event pipe: events are on disk before they are acknowledged, and stay there until a collector took them.

Standard library only. Nothing is imported here: what an application does not use costs it nothing.
"""

from __future__ import annotations
