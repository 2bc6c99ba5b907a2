"""What `BIZSPAN` names: who acts, what an order earned, the shop's words."""

# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportIndexIssue=false
# mypy: ignore-errors
# Django ships no types.
from __future__ import annotations

from typing import Any

from bizspan import Attribute, Vocabulary

VOCABULARY = Vocabulary("shop", [Attribute(name="delivery", meaning="How it is sent.", dimension=True, budget=5)])
asked: list[str] = []


def by_header(request: Any) -> dict[str, Any]:
    """The segment that the request itself names."""
    asked.append(request.path)
    return {"segment": request.headers.get("X-Segment")}


async def by_header_async(request: Any) -> dict[str, Any]:
    """The same, of a coroutine function."""
    return by_header(request)


def by_user(request: Any) -> dict[str, Any]:
    """The segment of who is logged in."""
    asked.append(request.path)
    user = request.user
    return {"segment": "gold", "customer": user.username} if user.is_authenticated else {}


async def by_user_async(request: Any) -> dict[str, Any]:
    """The same, of a coroutine function."""
    asked.append(request.path)
    user = await request.auser()
    return {"segment": "gold", "customer": user.username} if user.is_authenticated else {}


def broken(request: Any) -> dict[str, Any]:
    """Nobody knows."""
    raise LookupError("nobody")


async def broken_async(request: Any) -> dict[str, Any]:
    """Nobody knows."""
    raise LookupError("nobody")


def is_staff(request: Any) -> bool:
    """Whether staff acts."""
    return bool(request.user.is_staff)


def total(request: Any, response: Any) -> tuple[str, str]:
    """What the order earned."""
    return response.headers["X-Total"], "EUR"
