"""
Extractors: the user's functions that take a value from a call's arguments by name, or from its result.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

from bizspan.errors import SetupError

Arguments = tuple[Any, ...]
# From the call's positional and named arguments, and the result.
Source = Callable[[Arguments, Mapping[str, Any], Any], Any]


def fetcher(name: str, extractor: Any, signature: inspect.Signature) -> tuple[Source, bool]:
    """
    What calls one extractor with the arguments that it names, and whether it needs the result.

    Args:
        name: The fact or kind of money that it gives.
        extractor: The user's function.
        signature: The decorated function's.

    Raises:
        SetupError: When the extractor names something that the function does not have.
    """
    sources = _sources(name, extractor, signature)
    return _caller(extractor, sources), "result" in sources


class MissingArgumentError(Exception):
    """The call lacks an argument that an extractor asks for."""


def _wanted(name: str, extractor: Any) -> Mapping[str, inspect.Parameter]:
    try:
        is_coroutine = inspect.iscoroutinefunction(extractor)
        wanted = inspect.signature(extractor).parameters
    except Exception:  # it may be any object that can be called, with properties of its own
        raise SetupError(f"{name}= has no readable parameters; use a lambda that names the arguments.") from None
    if is_coroutine:
        raise SetupError(f"{name}= is a coroutine function; take the value in a plain function.")
    for parameter in wanted.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise SetupError(f"{name}= takes *{parameter.name}; name the arguments that it needs.")
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise SetupError(f"{name}= takes {parameter.name!r} by position only; drop the '/' in it.")
    return wanted


def _sources(name: str, extractor: Any, signature: inspect.Signature) -> dict[str, Source]:
    sources: dict[str, Source] = {}
    for argument, parameter in _wanted(name, extractor).items():
        if argument == "result":
            sources[argument] = _take_result
        elif argument in signature.parameters:
            sources[argument] = _source(argument, signature)
        elif parameter.default is parameter.empty:
            near = get_close_matches(argument, list(signature.parameters), n=1)
            question = f" Did you mean {near[0]!r}?" if near else ""
            raise SetupError(
                f"{name}= asks for {argument!r}, which the function does not have;"
                f" use its arguments by name, or 'result'.{question}"
            )
    return sources


def _caller(extractor: Any, sources: dict[str, Source]) -> Source:
    if len(sources) != 1 or inspect.signature(extractor).parameters.keys() != sources.keys():
        return lambda given, kwargs, result: extractor(
            **{argument: take(given, kwargs, result) for argument, take in sources.items()}
        )
    # The common case is one argument, or the result: without dictionaries.
    ((argument, take),) = sources.items()
    if inspect.signature(extractor).parameters[argument].kind is inspect.Parameter.KEYWORD_ONLY:
        return lambda given, kwargs, result: extractor(**{argument: take(given, kwargs, result)})
    if take is _take_result:
        return lambda given, kwargs, result: extractor(result)
    return lambda given, kwargs, result: extractor(take(given, kwargs, result))


def direct_position(extractor: Any, signature: inspect.Signature) -> int:
    """Where an extractor's only argument stands among those of the call; beyond all of them where that won't do."""
    parameters = list(inspect.signature(extractor).parameters.values())
    if len(parameters) != 1 or parameters[0].kind is not inspect.Parameter.POSITIONAL_OR_KEYWORD:
        return sys.maxsize
    wanted = signature.parameters.get(parameters[0].name)
    if wanted is None or wanted.kind is not inspect.Parameter.POSITIONAL_OR_KEYWORD:
        return sys.maxsize
    return list(signature.parameters).index(wanted.name)


def takes_result_alone(extractor: Any) -> bool:
    """Whether the extractor's only argument can be passed by position."""
    parameters = list(inspect.signature(extractor).parameters.values())
    return len(parameters) == 1 and parameters[0].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD


def _take_result(given: Arguments, kwargs: Mapping[str, Any], result: object) -> object:
    return result


def _source(name: str, signature: inspect.Signature) -> Source:
    parameters = list(signature.parameters)
    parameter = signature.parameters[name]
    position = parameters.index(name)

    def by_name(kwargs: Mapping[str, Any]) -> object:
        if name in kwargs:
            return kwargs[name]
        if parameter.default is parameter.empty:
            raise MissingArgumentError
        return parameter.default

    if parameter.kind is parameter.KEYWORD_ONLY:
        return lambda given, kwargs, result: by_name(kwargs)
    if parameter.kind is parameter.VAR_POSITIONAL:
        return lambda given, kwargs, result: given[position:]
    if parameter.kind is parameter.VAR_KEYWORD:
        return lambda given, kwargs, result: {key: kwargs[key] for key in kwargs if key not in parameters}
    return lambda given, kwargs, result: given[position] if position < len(given) else by_name(kwargs)


def is_extractor(value: object) -> bool:
    """Whether a value of a declaration is a function that gives it."""
    # isinstance would ask the value for its class, which may raise.
    return callable(value) and not issubclass(type(value), type)
