"""
Requests that only look as if they were inside another one.

An event loop may run a connection's next request in the context of an earlier one (CPython issue 140947; pipelined
requests). The facts and the span in that context are another request's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bizspan.context import Frame


def outside_of_requests(innermost: Frame | None) -> Frame | None:
    """
    The nearest frame around this one that belongs to no request or task.
    """
    scope = None if innermost is None else innermost.ambient
    if scope is None or scope.entry is None:
        return innermost
    while scope is not None and scope.entry is not None:
        scope = scope.outer
    return scope
