"""
django-oscar as its documentation sets it up: settings and addresses, and not a line of code. Nothing here knows of
telemetry.
"""

from __future__ import annotations
