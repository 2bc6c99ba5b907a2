"""
Business operations: one declaration, run as a block or put onto functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from bizspan import _active, _commit, names
from bizspan._accounts import INVALID_NAME, NOT_CONFIGURED, idle
from bizspan._run import IDLE, Run, start
from bizspan._values import KNOWN_NAMES, known_name
from bizspan.context import with_attributes
from bizspan.errors import SetupError

if TYPE_CHECKING:
    from bizspan._commit import Emit
    from bizspan._types import AmountFact, Fact

F = TypeVar("F", bound=Callable[..., Any])
Rejects = type[BaseException] | tuple[type[BaseException], ...]

_FUNCTIONS = frozenset((FunctionType, MethodType, BuiltinFunctionType, partial))
_MONEY = {"revenue": names.REVENUE, "value": names.VALUE, "cost": names.COST, "tax": names.TAX}


class Operation:
    """
    A business operation: something the business would count, that succeeds, is refused, or fails.

    ``with operation("checkout") as op:`` runs it once. ``@operation("checkout")`` runs it with each call. A kept
    declaration runs again with ``with declaration(segment="gold"):``, or decorates with ``declaration(function)``.

    Args:
        name: What the business calls it, for example ``"checkout"``. The span has the same name.
        attributes: Facts whose names clash with an option.
        revenue: What it earns: a Money, ``(amount, currency)``, or a function of ``result`` when decorating.
        value: What is at stake, whatever the outcome.
        cost: What it costs.
        tax: The tax beside the revenue.
        rejects: Exceptions that are business refusals: outcome ``rejected`` instead of ``failed``.
        span: ``"new"`` opens a span; ``"current"`` writes onto the span that is there.
        idempotency_key: The same key and name give the same ``log.record.uid``.
        emit: ``"on_commit"`` has a success wait for the commit of the database transaction that is open at its end;
            after a rollback it is ``failed``, reason ``rolled_back``. ``"now"`` does not wait. By default what
            `configure()` was told.
        facts: Facts by keyword: constants, or, when decorating, functions of the arguments by name and of ``result``.

    Raises:
        SetupError: At decoration, when a run is entered twice, and when a run with ``emit="on_commit"`` begins where no
            transactions are known. The text says what to change.
    """

    __slots__ = ("_emit", "_facts", "_key", "_money", "_name", "_rejects", "_run", "_span")

    if TYPE_CHECKING:
        _name: str
        _facts: Mapping[str, object]
        _money: Mapping[str, object] | None
        _rejects: Any
        _span: str
        _key: object
        _emit: Emit | None
        _run: Run | None

        def __init__(
            self, name: str, /, *,
            customer: Fact = None, segment: Fact = None, plan: Fact = None, tenant: Fact = None,
            community: Fact = None, country: Fact = None, region: Fact = None, continent: Fact = None,
            locality: Fact = None, channel: Fact = None, campaign: Fact = None, campaign_source: Fact = None,
            campaign_medium: Fact = None, campaign_content: Fact = None, campaign_term: Fact = None,
            order: Fact = None, product: Fact = None, category: Fact = None, feature: Fact = None,
            traffic: Fact = None, session: Fact = None, flag: Fact = None, variant: Fact = None,
            revenue: AmountFact = None, value: AmountFact = None, cost: AmountFact = None,
            tax: AmountFact = None, rejects: Rejects = (), span: Literal["new", "current"] = "new",
            idempotency_key: Fact = None, emit: Emit | None = None, attributes: Mapping[str, Fact] | None = None,
            **facts: Fact,
        ) -> None: ...  # fmt: skip
    else:

        def __init__(
            self, name, /, *, attributes=None, revenue=None, value=None, cost=None, tax=None, rejects=(), span="new",
            idempotency_key=None, emit=None, **facts,
        ):  # fmt: skip
            if type(name) is FunctionType:
                raise SetupError(f"Name the operation: write @operation({name.__name__!r}) instead of @operation.")
            self._name = name
            self._facts = facts if attributes is None else {**with_attributes(attributes), **facts}
            if revenue is None and value is None and cost is None and tax is None:
                self._money = None
            else:
                told = {"revenue": revenue, "value": value, "cost": cost, "tax": tax}
                self._money = {_MONEY[kind]: amount for kind, amount in told.items() if amount is not None}
            self._rejects = rejects
            self._span = span
            self._key = idempotency_key
            self._emit = emit
            self._run = None

    # --- as a block -----------------------------------------------------------------------------------------------

    def __enter__(self) -> Run:
        if self._run is not None:
            raise SetupError(f"This run of {self._name!r} was already entered; use `with declaration():` for each run.")
        try:
            refuse = self._money is not None or not _FUNCTIONS.isdisjoint(map(type, self._facts.values()))
        except Exception:  # a metaclass may bring a __hash__ of its own
            refuse = True
        if refuse:
            self._refuse_functions()
        emit = self._emit
        if emit is not None:
            _commit.refuse_untied(emit)
        pipeline = _active.current or _active.pipeline()
        if pipeline is None:
            idle.refused.add(NOT_CONFIGURED)
            self._run = run = IDLE
            return run
        told = self._name
        name = KNOWN_NAMES.get(told) if type(told) is str else None
        if name is None:
            name = known_name(told)
        if name is None:
            pipeline.accounts.refuse(INVALID_NAME)
            pipeline.accounts.refuse_value("operation name", "invalid", "Name the operation with a short text.")
            self._run = run = IDLE
            return run
        tied = emit is not None or pipeline.on_commit
        if tied:
            tied = _commit.is_tied(emit, pipeline.on_commit, pipeline.accounts)
        self._run = run = start(pipeline, name, self._facts, None, self._span, self._key, tied)
        if self._money is not None:
            run.tell_all(self._money)
        return run

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        run = self._run
        if run is not None and run is not IDLE:
            run.ended(error, self._rejects)

    def _refuse_functions(self) -> None:
        for name, value in self._facts.items():
            if _is_function(value):
                raise SetupError(
                    f"{name}= is a function, and a block has no arguments to give it; pass its value instead."
                )
        if self._money is not None:
            for kind, amount in self._money.items():
                if _is_function(amount):
                    raise SetupError(f"{kind} is a function, and a block has no result; call op.revenue() instead.")

    # --- as a decorator, or declared once and used many times -----------------------------------------------------

    if TYPE_CHECKING:

        @overload
        def __call__(self, function: F, /) -> F: ...
        @overload
        def __call__(
            self, *,
            customer: Fact = None, segment: Fact = None, plan: Fact = None, tenant: Fact = None,
            community: Fact = None, country: Fact = None, region: Fact = None, continent: Fact = None,
            locality: Fact = None, channel: Fact = None, campaign: Fact = None, campaign_source: Fact = None,
            campaign_medium: Fact = None, campaign_content: Fact = None, campaign_term: Fact = None,
            order: Fact = None, product: Fact = None, category: Fact = None, feature: Fact = None,
            traffic: Fact = None, session: Fact = None, flag: Fact = None, variant: Fact = None,
            revenue: AmountFact = None, value: AmountFact = None, cost: AmountFact = None,
            tax: AmountFact = None, rejects: Rejects | None = None, span: Literal["new", "current"] | None = None,
            idempotency_key: Fact = None, emit: Emit | None = None, attributes: Mapping[str, Fact] | None = None,
            **facts: Fact,
        ) -> Operation: ...  # fmt: skip
        def __call__(self, *function: Any, **facts: Any) -> Any: ...
    else:

        def __call__(
            self, function=None, /, *, attributes=None, rejects=None, span=None, idempotency_key=None, emit=None,
            **facts,
        ):  # fmt: skip
            if function is not None:
                from bizspan._binding import Declared, decorate_operation

                declared = Declared(
                    self._name, self._facts, self._money or {}, self._rejects, self._span, self._key, self._emit
                )
                return decorate_operation(declared, function)
            money = {_MONEY[kind]: facts.pop(kind) for kind in _MONEY if kind in facts}
            fresh = Operation.__new__(Operation)
            fresh._name = self._name
            fresh._facts = {**self._facts, **with_attributes(attributes), **facts}
            fresh._money = {**(self._money or {}), **money} or None
            fresh._rejects = self._rejects if rejects is None else rejects
            fresh._span = self._span if span is None else span
            fresh._key = self._key if idempotency_key is None else idempotency_key
            fresh._emit = self._emit if emit is None else emit
            fresh._run = None
            return fresh

    @property
    def name(self) -> str:
        """The operation's name, as declared."""
        return self._name

    def __repr__(self) -> str:
        return f"operation({self._name!r})"


operation = Operation


def _is_function(value: object) -> bool:
    kind = type(value)
    return kind is FunctionType or kind is MethodType or kind is BuiltinFunctionType or kind is partial
