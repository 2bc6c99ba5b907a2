"""
Functions inside blocks: one wrapper for functions, methods, class methods and static methods, sync and async.

Imported at the first decoration, because importing wrapt takes longer than importing all of bizspan.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from copy import deepcopy
from importlib import import_module
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar, cast

import wrapt

from bizspan.errors import SetupError

F = TypeVar("F", bound=Callable[..., Any])
Arguments = tuple[Any, ...]

if TYPE_CHECKING:
    _Bound = wrapt.BoundFunctionWrapper[..., Any]
    _Function = wrapt.FunctionWrapper[..., Any]
else:
    _Bound, _Function = wrapt.BoundFunctionWrapper, wrapt.FunctionWrapper


class BoundDecorated(_Bound):
    """A decorated method on its instance or class, which pickles and copies as a plain one does."""

    def __reduce_ex__(self, protocol: object) -> Any:
        owner = getattr(self.__wrapped__, "__self__", None)
        if owner is not None:
            return getattr, (owner, self.__wrapped__.__name__)
        if "<locals>" in self.__wrapped__.__qualname__:
            return self.__wrapped__.__qualname__  # pickle refuses it, as it does for a plain function
        # Not by name alone: pickle compares identities, and each look-up on the class binds anew.
        return _named, (self.__wrapped__.__module__, self.__wrapped__.__qualname__)

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        owner = getattr(self.__wrapped__, "__self__", None)
        return self if owner is None else getattr(deepcopy(owner, memo), self.__wrapped__.__name__)


class Decorated(_Function):
    """A decorated function that pickles and copies by its qualified name, as a plain function does."""

    __bound_function_wrapper__ = BoundDecorated

    def __reduce_ex__(self, protocol: object) -> str:
        return self.__wrapped__.__qualname__

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self


def _named(module: str, qualified_name: str) -> Any:
    return attrgetter(qualified_name)(import_module(module))


def inner_function(function: Any, what: str) -> Any:
    """
    The function behind a class method or static method.

    Raises:
        SetupError: When it is no function, or one whose body runs elsewhere than its call.
    """
    wrappers: Any = (classmethod, staticmethod)
    inner: Any = function.__func__ if isinstance(function, wrappers) else function
    name = getattr(inner, "__qualname__", repr(inner))
    if isinstance(inner, type):
        raise SetupError(f"{name} is a class; decorate the method that does the work.")
    if not callable(inner):
        raise SetupError(f"{what}() decorates functions, and {name} is none; use it as a block instead.")
    if any(inspect.isgeneratorfunction(f) or inspect.isasyncgenfunction(f) for f in (inner, _call_of(inner))):
        raise SetupError(f"{name} is a generator; wrap the loop that uses it in {what}().")
    return inner


def is_coroutine_function(inner: Any) -> bool:
    """Whether calling it gives a coroutine; of an object, whether its ``__call__`` does."""
    return inspect.iscoroutinefunction(inner) or inspect.iscoroutinefunction(_call_of(inner))


def _call_of(inner: object) -> Any:
    return getattr(type(inner), "__call__", None)  # noqa: B004 - what it is, not whether it is callable


def decorate(function: F, open_block: Callable[[], Any], what: str) -> F:
    """
    The function, run inside a fresh block at each call.
    """
    if is_coroutine_function(inner_function(function, what)):

        async def call_async(wrapped: Any, instance: Any, args: Arguments, kwargs: dict[str, Any]) -> Any:
            with open_block():
                return await wrapped(*args, **kwargs)

        return cast("F", Decorated(function, call_async))

    def call(wrapped: Any, instance: Any, args: Arguments, kwargs: dict[str, Any]) -> Any:
        with open_block():
            return wrapped(*args, **kwargs)

    return cast("F", Decorated(function, call))
