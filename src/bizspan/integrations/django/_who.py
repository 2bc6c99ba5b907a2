"""
The user's function that says who acts: plain or async, asked where it may use the database.
"""

# pyright: basic
# Django and asgiref ship no types.
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from asgiref.sync import async_to_sync, iscoroutinefunction

_ANSWER: Final = "_bizspan_answer"
_USER: Final = "_bizspan_user"
_USER_OF_AUSER: Final = "_acached_user"
_NOBODY: Final = object()


class Who:
    """
    Gives the facts of a request, as the rules ask for them.

    Args:
        function: The user's, of the request; may be a coroutine function.
    """

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function
        self.is_async = bool(iscoroutinefunction(function))

    def __call__(self, request: Any) -> Mapping[str, Any]:
        """The answer that was prepared, else the function's; raises what it raised."""
        answer: Callable[[], Mapping[str, Any]] | None = request.__dict__.pop(_ANSWER, None)
        if answer is not None:
            return answer()
        if self.is_async:
            async_to_sync(self.prepare)(request)
            return self(request)
        _remember_user(request)
        facts: Mapping[str, Any] = self.function(request)
        return facts

    async def prepare(self, request: Any) -> None:
        """Await the function, and keep its answer for when it is asked."""
        if is_someone_else(request):
            # `request.auser()` goes on giving whom it gave first, after a login in the view too.
            request.__dict__.pop(_USER_OF_AUSER, None)
        _remember_user(request)
        try:
            facts = await self.function(request)
        except Exception as error:  # the user's code: raised again where it is counted
            problem = error

            def fail() -> Mapping[str, Any]:
                raise problem

            setattr(request, _ANSWER, fail)
        else:
            setattr(request, _ANSWER, lambda: facts)


def _remember_user(request: Any) -> None:
    setattr(request, _USER, request.__dict__.get("user", _NOBODY))


def is_someone_else(request: Any) -> bool:
    """Whether somebody logged in since the function was asked; also a REST framework's own authentication."""
    asked = request.__dict__.get(_USER)
    return asked is not None and request.__dict__.get("user", _NOBODY) is not asked
