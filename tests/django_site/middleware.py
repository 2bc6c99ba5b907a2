"""Middleware of somebody else."""

# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportIndexIssue=false
# mypy: ignore-errors
# Django ships no types.
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpResponse


def teapot(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Answers by itself where a header asks for it; plain, so that Django runs it in a thread under ASGI."""

    def answer(request: Any) -> Any:
        return HttpResponse("teapot", status=418) if "X-Teapot" in request.headers else get_response(request)

    return answer
