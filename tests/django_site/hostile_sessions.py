"""A session engine whose store is down."""

# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportIndexIssue=false
# mypy: ignore-errors
# Django ships no types.
from __future__ import annotations

from typing import Any

from django.contrib.sessions.backends.signed_cookies import SessionStore as Signed


class SessionStore(Signed):
    """Can be made and asked whether it was used, and nothing else."""

    def load(self) -> Any:
        """It is down."""
        raise OSError("the store is down")

    def get(self, key: str, default: Any = None) -> Any:
        """It is down."""
        raise OSError("the store is down")

    def keys(self) -> Any:
        """It is down."""
        raise OSError("the store is down")

    def __contains__(self, key: str) -> bool:
        raise OSError("the store is down")
