"""
Functions inside blocks: one wrapper for functions, methods, class methods and static methods, sync and async.

Imported at the first decoration, because importing wrapt takes longer than importing all of bizspan.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

import wrapt

from bizspan.errors import SetupError

F = TypeVar("F", bound=Callable[..., Any])
Arguments = tuple[Any, ...]


class Decorated(wrapt.FunctionWrapper):
    """A decorated function that pickles and copies by its qualified name, as a plain function does."""

    def __reduce_ex__(self, protocol: object) -> str:
        return cast("str", self.__wrapped__.__qualname__)


def inner_function(function: Any, what: str) -> Any:
    """
    The function behind a class method or static method.

    Raises:
        SetupError: When it is no function, or one whose body runs elsewhere than its call.
    """
    inner = function.__func__ if isinstance(function, (classmethod, staticmethod)) else function
    name = getattr(inner, "__qualname__", repr(inner))
    if isinstance(inner, type):
        raise SetupError(f"{name} is a class; decorate the method that does the work.")
    if not callable(inner):
        raise SetupError(f"{what}() decorates functions, and {name} is none; use it as a block instead.")
    if inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner):
        raise SetupError(f"{name} is a generator; wrap the loop that uses it in {what}().")
    return inner


def decorate(function: F, open_block: Callable[[], Any], what: str) -> F:
    """
    The function, run inside a fresh block at each call.
    """
    if inspect.iscoroutinefunction(inner_function(function, what)):

        async def call_async(wrapped: Any, instance: Any, args: Arguments, kwargs: dict[str, Any]) -> Any:
            with open_block():
                return await wrapped(*args, **kwargs)

        return cast("F", Decorated(function, call_async))

    def call(wrapped: Any, instance: Any, args: Arguments, kwargs: dict[str, Any]) -> Any:
        with open_block():
            return wrapped(*args, **kwargs)

    return cast("F", Decorated(function, call))
