"""
The lens: an OTLP receiver on this machine, and the store behind it.

`Lens` listens, `Store` keeps, `Intake` takes export requests without a server. Needs the extra ``lens``.
"""

from __future__ import annotations

from bizspan.lens._access import COOKIE, Access
from bizspan.lens._database import default_path, reading
from bizspan.lens._dropped import Dropped
from bizspan.lens._intake import Intake, needs_protobuf
from bizspan.lens._lens import Lens
from bizspan.lens._logs import Damaged
from bizspan.lens._marks import Mark
from bizspan.lens._records import TooMany
from bizspan.lens._retention import Retention
from bizspan.lens._routes import Refusal, Request, Response, Routes
from bizspan.lens._store import Store, Stored, StoreError

__all__ = [
    "COOKIE",
    "Access",
    "Damaged",
    "Dropped",
    "Intake",
    "Lens",
    "Mark",
    "Refusal",
    "Request",
    "Response",
    "Retention",
    "Routes",
    "Store",
    "StoreError",
    "Stored",
    "TooMany",
    "default_path",
    "needs_protobuf",
    "reading",
]
