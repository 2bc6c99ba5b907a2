"""
Operations by configuration: functions of an application that is not changed, wrapped when their module is imported.

``"shop.orders:place" = {name = "checkout", revenue = "result.total", currency = "result.currency"}``
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from typing import Any, Final, cast

from bizspan import _commit
from bizspan._config_schema import load
from bizspan.errors import SetupError
from bizspan.integrations._at_start import said, say, when_imported, when_missing
from bizspan.integrations._registered import holders, is_celery_task
from bizspan.operation import Operation

_MONEY: Final = ("revenue", "value", "cost", "tax")


def reader(expression: str, parameters: Mapping[str, inspect.Parameter]) -> Callable[..., Any] | None:
    """
    An extractor that follows attributes and keys from an argument or from the result: ``"cart.customer.segment"``,
    ``"result.total"``. None where the text does not begin with either: it is a constant.

    Args:
        expression: Names with dots between.
        parameters: The function's.
    """
    root, *steps = expression.strip().split(".")
    if root != "result" and root not in parameters:
        return None
    if not all(step.isidentifier() for step in steps):
        return None

    def read(value: Any) -> Any:
        for step in steps:
            value = _step(value, step)
        return value

    read.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(root, inspect.Parameter.POSITIONAL_OR_KEYWORD)]
    )
    return read


def _step(value: Any, name: str) -> Any:
    if isinstance(value, Mapping):
        return cast("Mapping[str, Any]", value)[name]
    found = getattr(value, name)
    # Frameworks of orders often have methods where others have attributes: `order.total()`.
    return found() if inspect.ismethod(found) else found


class NoTransactions:
    """
    Of an application that uses neither Django's database nor SQLAlchemy: its operation would raise at each run, to say
    so to whoever wrote it. Nobody did.
    """

    def open_transactions(self) -> tuple[()]:
        """None."""
        return ()


_NONE: Final = NoTransactions()


def declared(told: Mapping[str, Any], function: Callable[..., Any]) -> Operation:
    """
    The operation that a configuration declares for this function.

    Args:
        told: ``name``, ``revenue`` with ``currency``, ``facts`` and the other options of `bizspan.operation`.
        function: What it will be put onto.

    Raises:
        SetupError: When it doesn't fit the function.
    """
    parameters = inspect.signature(function).parameters
    options: dict[str, Any] = {}
    for name in ("span", "emit"):
        if name in told:
            options[name] = told[name]
    if told.get("emit") == _commit.ON_COMMIT:
        _commit.register(_NONE)
    currency = _value(told.get("currency"), parameters)
    for kind in _MONEY:
        if kind in told:
            options[kind] = _amount(_value(told[kind], parameters), currency)
    if "idempotency_key" in told:
        options["idempotency_key"] = _value(told["idempotency_key"], parameters)
    if "rejects" in told:
        rejects: Any = told["rejects"]
        options["rejects"] = tuple(
            cast("type[BaseException]", load(name)) for name in ([rejects] if isinstance(rejects, str) else rejects)
        )
    facts = {name: _value(value, parameters) for name, value in told.get("facts", {}).items()}
    return Operation(told.get("name", function.__name__), attributes=facts, **options)


def _value(told: Any, parameters: Mapping[str, inspect.Parameter]) -> Any:
    if not isinstance(told, str):
        return told
    return reader(told, parameters) or told


def _amount(amount: Any, currency: Any) -> Any:
    """The amount and its currency as one extractor: either may come from the call."""
    if currency is None:
        return amount
    sources = [(value, _root(value)) for value in (amount, currency)]
    asked = dict.fromkeys(root for _, root in sources if root)
    if not asked:
        return (amount, currency)

    def pair(**given: Any) -> tuple[Any, Any]:
        first, second = (value(given[root]) if root else value for value, root in sources)
        return first, second

    pair.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(root, inspect.Parameter.KEYWORD_ONLY) for root in asked]
    )
    return pair


def _root(value: Any) -> str:
    """The argument that a reader starts from; empty for a constant."""
    return next(iter(inspect.signature(value).parameters)) if callable(value) else ""


def wrap_when_imported(target: str, told: Mapping[str, Any]) -> None:
    """
    Have this function be an operation from the import of its module on. What does not fit is said once, and the
    function stays as it is.

    Args:
        target: ``"package.module:function"`` or ``"package.module:Class.method"``.
        told: See `declared`.
    """
    module, _, path = target.partition(":")

    def not_recorded(why: str) -> None:
        say(f"the operation of {target!r} is not recorded: {why}")

    def wrap(loaded: Any) -> None:
        elsewhere = _wrap(loaded, path, told)
        if elsewhere:
            say(
                f"the operation of {target!r} is recorded only where that name is called: {', '.join(elsewhere)} took"
                " the function while its module was imported, and calls it as it was. For a view, map its route under"
                " [tool.bizspan.routes]; else name a function that it calls."
            )

    when_imported(module, wrap, lambda error: not_recorded(said(error)))
    when_missing(module, lambda part: not_recorded(f"there is no module {part!r}."))


def _wrap(module: Any, path: str, told: Mapping[str, Any]) -> list[str]:
    """Wrap it, and say who holds it as it was."""
    owner, name, function = member(module, path)
    inner = getattr(function, "__func__", function)  # of class methods and static methods
    elsewhere = holders(function, owner)
    setattr(owner, name, declared(told, inner)(function))
    return elsewhere


def member(module: Any, path: str) -> tuple[Any, str, Any]:
    """
    The class or module that defines this function, its name there, and the function.

    Args:
        module: Imported.
        path: ``"function"`` or ``"Class.method"``.

    Raises:
        SetupError: When there is none, or it is one that can't be an operation by its name.
    """
    owners, _, name = path.rpartition(".")
    owner = part_of(module, owners) if owners else module
    # As it stands in the class: getattr() would unpack class methods and static methods.
    members: dict[str, Any] = owner.__dict__
    if name not in members:
        raise SetupError(
            f"{owner.__name__} has no {name!r} of its own{_near(name, members)}; name the class or module that"
            " defines it."
        )
    function = members[name]
    if is_celery_task(function):
        raise SetupError(
            "it is a Celery task, which workers don't call by this name; name it under [tool.bizspan.tasks]."
        )
    return owner, name, function


def part_of(module: Any, path: str) -> Any:
    """
    What this path leads to, by attributes.

    Raises:
        SetupError: When a part is missing.
    """
    return reduce(_part, path.split("."), module)


def _part(owner: Any, name: str) -> Any:
    if not hasattr(owner, name):
        raise SetupError(f"{owner.__name__} has no {name!r}{_near(name, dir(owner))}.")
    return getattr(owner, name)


def _near(name: str, names: Iterable[str]) -> str:
    from difflib import get_close_matches  # 2 ms to import, for a sentence that is said once

    near = get_close_matches(name, [*names], n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
