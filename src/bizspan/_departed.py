"""
Why an answer ended before its last byte where the application raised nothing: the operation was cancelled.

As exceptions, because that is how the end of an operation is told; nobody raises or catches them. Their names, in
small letters, are both its reason and its `error.type`, which names a class only where that is somebody's.
"""

from __future__ import annotations


class ClientDisconnected(BaseException):
    """The client left."""

    __module__ = "builtins"  # as `error.type` leaves that out
    __qualname__ = "client_disconnected"


class IncompleteResponse(BaseException):
    """The application returned in the middle of an answer, and nobody said that the client left."""

    __module__ = "builtins"
    __qualname__ = "incomplete_response"
