"""
Operations on functions: decide once where each value comes from, then only call.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import TYPE_CHECKING, Any

from bizspan import _active, _commit, _guard
from bizspan._accounts import NOT_CONFIGURED, idle
from bizspan._extractors import (
    Arguments,
    MissingArgumentError,
    Source,
    direct_position,
    fetcher,
    is_extractor,
    takes_result_alone,
)
from bizspan._run import Run, start
from bizspan._values import known_name
from bizspan._wrapping import Decorated, inner_function, is_coroutine_function
from bizspan.errors import SetupError, type_name

if TYPE_CHECKING:
    from bizspan._facts import FactTable
    from bizspan._pipeline import Pipeline
    from bizspan._types import Attributes


@dataclass(frozen=True, slots=True)
class Declared:
    """What an operation declares; see `Operation`."""

    name: object
    facts: Mapping[str, object]
    money: Mapping[str, object]
    rejects: Any
    span: str
    key: object
    emit: object = None


def decorate_operation(declared: Declared, function: Any) -> Any:
    """
    The function, each call of which is a run of this declaration.

    Raises:
        SetupError: When the declaration does not fit the function.
    """
    inner = inner_function(function, "operation")
    plan = Plan(declared, inner)
    rejects = declared.rejects

    if is_coroutine_function(inner):

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
            result: object = wrapped(*args, **kwargs)
        except BaseException as error:
            run.ended(error, rejects)
            raise
        kind = type(result)
        # By identity: the class of a business object may bring a metaclass with an __eq__ and __hash__ of its own.
        if kind is CoroutineType or kind is GeneratorType or kind is AsyncGeneratorType:
            return plan.deferred(run, instance, args, kwargs, result, rejects)
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

    __slots__ = (
        "_after", "_before", "_constant_key", "_constants", "_emit", "_key", "_money", "_money_after", "_money_before",
        "_name", "_of", "_prepared", "_span",
    )  # fmt: skip

    def __init__(self, declared: Declared, inner: Any) -> None:
        name = known_name(declared.name)
        if name is None:
            raise SetupError("An operation needs a name, such as operation('checkout').")
        if declared.span not in ("new", "current"):
            raise SetupError(f"span={declared.span!r} is unknown; use 'new' or 'current'.")
        if declared.emit is not None and not _commit.is_emit(declared.emit):
            raise SetupError(f"emit={declared.emit!r} is unknown; use 'now' or 'on_commit'.")
        _check_rejects(declared.rejects)
        signature = inspect.signature(inner)
        if "result" in signature.parameters:
            raise SetupError(
                f"{inner.__qualname__} has a parameter named 'result', which means the return value here; rename it."
            )
        self._name = name
        self._span = declared.span
        self._emit = declared.emit
        self._constant_key = declared.key
        self._constants: dict[str, object] = {}
        self._before: list[tuple[str, int, Any, Source]] = []
        self._after: list[tuple[str, Source]] = []
        self._money_before: list[tuple[str, Source]] = []
        self._money_after: list[tuple[str, Any, Source]] = []
        self._money: dict[str, object] = {}
        for fact, value in declared.facts.items():
            if not is_extractor(value):
                self._constants[fact] = value
                continue
            fetch, needs_result = fetcher(fact, value, signature)
            if needs_result:
                self._after.append((fact, fetch))
            else:
                self._before.append((fact, direct_position(value, signature), value, fetch))
        for kind, value in declared.money.items():
            if not is_extractor(value):
                self._money[kind] = value
                continue
            fetch, needs_result = fetcher(kind, value, signature)
            if needs_result:
                self._money_after.append((kind, value if takes_result_alone(value) else None, fetch))
            else:
                self._money_before.append((kind, fetch))
        self._key: Source | None = None
        if is_extractor(declared.key):
            self._key, needs_result = fetcher("idempotency_key", declared.key, signature)
            if needs_result:
                raise SetupError("idempotency_key= can't use the result; take it from the arguments.")
        self._of: FactTable | None = None
        self._prepared: Attributes = {}

    def begin(self, instance: object, args: Arguments, kwargs: Mapping[str, Any]) -> Run | None:
        """
        The run of this call, begun; None while nothing is configured, or where it could not begin.

        Raises:
            SetupError: For ``emit="on_commit"`` where no transactions are known.
        """
        emit = self._emit
        if emit is not None:
            _commit.refuse_untied(emit)
        pipeline = _active.current or _active.pipeline()
        if pipeline is None:
            idle.refused.add(NOT_CONFIGURED)
            return None
        if self._of is not pipeline.facts:
            self._prepare(pipeline)
        given = args if instance is None else (instance, *args)
        facts: dict[str, object] = {}
        missing: list[str] = []
        key = self._constant_key
        try:
            count = len(given)
            for name, position, extractor, fetch in self._before:
                try:
                    # One call less for each extractor that takes one argument, where it was passed by position.
                    facts[name] = extractor(given[position]) if position < count else fetch(given, kwargs, None)
                except Exception as error:
                    _failed(pipeline, name, error)
                    missing.append(name)
            if self._key is not None:
                key = _fetched(pipeline, missing, "idempotency_key", self._key, given, kwargs)
        except BaseException as error:
            # Only a cancellation or an interrupt gets here: it goes on, and the operation is recorded once.
            start(pipeline, self._name, {}, self._prepared, self._span, None).ended(error, ())
            raise
        tied = emit is not None or pipeline.on_commit
        if tied:
            tied = _commit.is_tied(emit, pipeline.on_commit, pipeline.accounts)
        run = start(pipeline, self._name, facts, self._prepared, self._span, key, tied)
        if run.pipeline is None:
            return None
        for name in missing:
            run.missed(name)
        if self._money or self._money_before:
            self._tell_before(run, given, kwargs, pipeline)
        return run

    def _tell_before(self, run: Run, given: Arguments, kwargs: Mapping[str, Any], pipeline: Pipeline) -> None:
        run.tell_all(self._money)
        try:
            for kind, fetch in self._money_before:
                try:
                    run.tell(kind, fetch(given, kwargs, None))
                except Exception as error:
                    _failed(pipeline, kind, error)
                    run.missed(kind)
        except BaseException as error:
            run.ended(error, ())
            raise

    def end(self, run: Run, instance: object, args: Arguments, kwargs: Mapping[str, Any], result: object) -> None:
        """
        Take the values that need the result, and end the run with success.
        """
        pipeline = run.pipeline
        if pipeline is not None and (self._after or self._money_after):
            given = args if instance is None else (instance, *args)
            try:
                if self._after:
                    missing: list[str] = []
                    run.take_result(
                        {
                            name: _fetched(pipeline, missing, name, fetch, given, kwargs, result)
                            for name, fetch in self._after
                        }
                    )
                    for name in missing:
                        run.missed(name)
                for kind, extractor, fetch in self._money_after:
                    try:
                        told = fetch(given, kwargs, result) if extractor is None else extractor(result)
                        run.tell(kind, told)
                    except Exception as error:
                        _failed(pipeline, kind, error)
                        run.missed(kind)
            except BaseException as error:
                # Only what an extractor lets through: a cancellation or an interrupt. The operation ends with it.
                run.ended(error, ())
                raise
        run.ended(None, ())

    def deferred(
        self, run: Run, instance: object, args: Arguments, kwargs: Mapping[str, Any], result: Any, rejects: Any
    ) -> Any:
        """
        For a result whose work is still to come, although the function did not look like it.

        A coroutine (of a plain wrapper around a coroutine function) is awaited inside the operation. A generator can't
        be: the operation ends with the call, and that is counted.
        """
        work: Any = result
        if type(result) is not CoroutineType:
            pipeline = run.pipeline
            if pipeline is not None:
                pipeline.accounts.refuse_value(
                    self._name, "generator", "Its work comes after the call; wrap the loop that uses it in operation()."
                )
            self.end(run, instance, args, kwargs, result)
            return result
        run.leave()

        async def awaited() -> Any:
            run.resume()
            try:
                value: Any = await work
            except BaseException as error:
                run.ended(error, rejects)
                raise
            self.end(run, instance, args, kwargs, value)
            return value

        return awaited()

    def _prepare(self, pipeline: Pipeline) -> None:
        attributes: Attributes = {}
        try:
            pipeline.facts.resolve(self._constants, attributes)
        except Exception as error:
            _guard.swallowed("preparing an operation", error)
        self._prepared = attributes
        self._of = pipeline.facts


def _fetched(
    pipeline: Pipeline,
    missing: list[str],
    name: str,
    fetch: Source,
    given: Arguments,
    kwargs: Mapping[str, Any],
    result: object = None,
) -> object:
    """What an extractor gives; None where it raised, which is counted, and it is among the missing then."""
    try:
        return fetch(given, kwargs, result)
    except Exception as error:
        _failed(pipeline, name, error)
        missing.append(name)
        return None


def _failed(pipeline: Pipeline, name: str, error: Exception) -> None:
    if not isinstance(error, MissingArgumentError):  # then the call itself is about to raise TypeError
        pipeline.accounts.refuse_value(name, "extractor_failed", f"Its function raised {type(error).__name__}.")


def _check_rejects(rejects: object) -> None:
    given: Any = rejects
    kinds: Any = given if type(given) is tuple else (given,)  # pyright: ignore[reportUnknownVariableType]
    kind: Any
    for kind in kinds:
        # By its bases and by identity: a metaclass may answer for itself.
        if not (issubclass(type(kind), type) and any(base is BaseException for base in _bases(kind))):
            raise SetupError(f"rejects= takes exception classes, got {type_name(kind)}.")


_bases = type.__dict__["__mro__"].__get__
