"""
Operations on functions: decide once where each value comes from, then only call.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from bizspan import _active, _guard
from bizspan._accounts import NOT_CONFIGURED, idle
from bizspan._wrapping import Decorated, inner_function
from bizspan.errors import SetupError
from bizspan.operation import known_name, start

if TYPE_CHECKING:
    from bizspan._facts import FactTable
    from bizspan._pipeline import Pipeline
    from bizspan._run import Run
    from bizspan._types import Attributes
    from bizspan.operation import Operation

Arguments = tuple[Any, ...]
Source = Callable[[Arguments, Mapping[str, Any]], Any]
_MISSING: Any = object()


def decorate_operation(declared: Operation, function: Any) -> Any:
    """
    The function, each call of which is a run of this declaration.

    Raises:
        SetupError: When the declaration does not fit the function.
    """
    inner = inner_function(function, "operation")
    plan = Plan(declared, inner)
    rejects = declared._rejects

    if inspect.iscoroutinefunction(inner):

        async def call_async(wrapped: Any, instance: Any, args: Arguments, kwargs: dict[str, Any]) -> Any:
            run = plan.begin(instance, args, kwargs)
            if run is None:
                return await wrapped(*args, **kwargs)
            try:
                result = await wrapped(*args, **kwargs)
            except BaseException as error:
                run.ended(error, rejects)
                raise
            plan.end(run, instance, args, kwargs, result)
            return result

        return Decorated(function, call_async)

    def call(wrapped: Any, instance: Any, args: Arguments, kwargs: dict[str, Any]) -> Any:
        run = plan.begin(instance, args, kwargs)
        if run is None:
            return wrapped(*args, **kwargs)
        try:
            result = wrapped(*args, **kwargs)
        except BaseException as error:
            run.ended(error, rejects)
            raise
        plan.end(run, instance, args, kwargs, result)
        return result

    return Decorated(function, call)


class Plan:
    """
    What a decorated function's runs have in common.

    Args:
        declared: The declaration.
        inner: The function.

    Raises:
        SetupError: When the declaration does not fit the function.
    """

    __slots__ = ("_before", "_constants", "_declared", "_key", "_money", "_money_constants", "_of", "_prepared", "_after")

    def __init__(self, declared: Operation, inner: Any) -> None:
        if known_name(declared._name) is None:
            raise SetupError("An operation needs a name, such as operation('checkout').")
        if declared._span not in ("new", "current"):
            raise SetupError(f"span={declared._span!r} is unknown; use 'new' or 'current'.")
        _check_rejects(declared._rejects)
        signature = inspect.signature(inner)
        if "result" in signature.parameters:
            raise SetupError(
                f"{inner.__qualname__} has a parameter named 'result', which means the return value here; rename it."
            )
        self._declared = declared
        self._constants: dict[str, object] = {}
        self._before: dict[str, Taker] = {}
        self._after: dict[str, Taker] = {}
        self._money: dict[str, Taker] = {}
        self._money_constants: dict[str, object] = {}
        for name, value in declared._facts.items():
            if not _is_extractor(value):
                self._constants[name] = value
                continue
            taker = Taker(name, value, signature)
            (self._after if taker.needs_result else self._before)[name] = taker
        for kind, value in (declared._money or {}).items():
            if _is_extractor(value):
                self._money[kind] = Taker(kind, value, signature)
            else:
                self._money_constants[kind] = value
        self._key = Taker("idempotency_key", declared._key, signature) if _is_extractor(declared._key) else None
        if self._key is not None and self._key.needs_result:
            raise SetupError("idempotency_key= can't use the result; take it from the arguments.")
        self._of: FactTable | None = None
        self._prepared: tuple[Attributes, Attributes] | None = None

    def begin(self, instance: object, args: Arguments, kwargs: Mapping[str, Any]) -> Run | None:
        """
        The run of this call, begun; None while nothing is configured.
        """
        pipeline = _active.current or _active.pipeline()
        if pipeline is None:
            idle.refused.add(NOT_CONFIGURED)
            return None
        if self._of is not pipeline.facts:
            self._prepare(pipeline)
        declared = self._declared
        if not self._before and self._key is None and not self._money and not self._money_constants:
            return start(declared, pipeline, {}, declared._key, self._prepared)
        given = args if instance is None else (instance, *args)
        try:
            facts = {name: take(given, kwargs, pipeline) for name, take in self._before.items()}
            key = declared._key if self._key is None else self._key(given, kwargs, pipeline)
        except BaseException as error:
            # Only a cancellation or an interrupt gets here: it goes on, and the operation is recorded once.
            start(declared, pipeline, {}, None, self._prepared).ended(error, ())
            raise
        run = start(declared, pipeline, facts, key, self._prepared)
        if self._money_constants:
            run.tell_all(self._money_constants)
        for kind, take in self._money.items():
            if not take.needs_result:
                run.tell_all({kind: take(given, kwargs, pipeline)})
        return run

    def end(
        self, run: Run, instance: object, args: Arguments, kwargs: Mapping[str, Any], result: object
    ) -> None:
        """
        Take the values that need the result, and end the run with success.
        """
        pipeline = run.pipeline
        try:
            if pipeline is not None and (self._after or self._money):
                given = args if instance is None else (instance, *args)
                facts = {name: take(given, kwargs, pipeline, result) for name, take in self._after.items()}
                if facts:
                    run.take_result(facts)
                for kind, take in self._money.items():
                    if take.needs_result:
                        run.tell_all({kind: take(given, kwargs, pipeline, result)})
        except BaseException as error:
            # Only what an extractor lets through: a cancellation or an interrupt. The operation ends with it.
            run.ended(error, ())
            raise
        run.ended(None, ())

    def _prepare(self, pipeline: Pipeline) -> None:
        attributes: Attributes = {}
        dimensions: Attributes = {}
        try:
            pipeline.facts.resolve(self._constants, attributes, dimensions)
        except Exception as error:
            _guard.swallowed("preparing an operation", error)
        self._prepared = (attributes, dimensions)
        self._of = pipeline.facts


class Taker:
    """
    Calls one extractor with the arguments that it names.

    Args:
        name: The fact or kind of money that it gives.
        extractor: The user's function.
        signature: The decorated function's.

    Raises:
        SetupError: When the extractor names something that the function does not have.
    """

    __slots__ = ("_extractor", "_name", "_sources", "needs_result")

    def __init__(self, name: str, extractor: Callable[..., Any], signature: inspect.Signature) -> None:
        if inspect.iscoroutinefunction(extractor):
            raise SetupError(f"{name}= is a coroutine function; take the value in a plain function.")
        try:
            wanted = inspect.signature(extractor).parameters.values()
        except (TypeError, ValueError):
            raise SetupError(f"{name}= has no readable parameters; use a lambda that names the arguments.") from None
        self._name = name
        self._extractor = extractor
        self.needs_result = any(p.name == "result" for p in wanted)
        self._sources: list[tuple[str, Source | None]] = []
        for parameter in wanted:
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                raise SetupError(f"{name}= takes *{parameter.name}; name the arguments that it needs.")
            if parameter.name == "result":
                self._sources.append(("result", None))
            elif parameter.name in signature.parameters:
                self._sources.append((parameter.name, _source(parameter.name, signature)))
            elif parameter.default is parameter.empty:
                near = get_close_matches(parameter.name, list(signature.parameters), n=1)
                question = f" Did you mean {near[0]!r}?" if near else ""
                raise SetupError(
                    f"{name}= asks for {parameter.name!r}, which the function does not have;"
                    f" use its arguments by name, or 'result'.{question}"
                )

    def __call__(
        self, given: Arguments, kwargs: Mapping[str, Any], pipeline: Pipeline, result: object = None
    ) -> object:
        """
        The value; None where the extractor raised or an argument is missing, counted.
        """
        try:
            values: dict[str, Any] = {}
            for name, source in self._sources:
                values[name] = value = result if source is None else source(given, kwargs)
                if value is _MISSING:  # the call itself is about to raise TypeError
                    return None
            return self._extractor(**values)
        except Exception as error:
            pipeline.accounts.refuse_value(
                self._name, "extractor_failed", f"Its function raised {type(error).__name__}."
            )
            return None


def _source(name: str, signature: inspect.Signature) -> Source:
    parameters = list(signature.parameters)
    parameter = signature.parameters[name]
    position = parameters.index(name)
    default = _MISSING if parameter.default is parameter.empty else parameter.default
    if parameter.kind is parameter.KEYWORD_ONLY:
        return lambda given, kwargs: kwargs.get(name, default)
    if parameter.kind is parameter.VAR_POSITIONAL:
        return lambda given, kwargs: given[position:]
    if parameter.kind is parameter.VAR_KEYWORD:
        return lambda given, kwargs: {key: kwargs[key] for key in kwargs if key not in parameters}
    return lambda given, kwargs: given[position] if position < len(given) else kwargs.get(name, default)


def _is_extractor(value: object) -> bool:
    return callable(value) and not isinstance(value, type)


def _check_rejects(rejects: object) -> None:
    kinds = rejects if isinstance(rejects, tuple) else (rejects,)
    for kind in kinds:
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            raise SetupError(f"rejects= takes exception classes, got {kind!r}.")
