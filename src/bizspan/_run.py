"""
One run of an operation: what ``as op`` gives.
"""

from __future__ import annotations

import gc
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from opentelemetry import context as otel
from opentelemetry import trace

from bizspan import _guard, names
from bizspan._accounts import INTERNAL_ERROR
from bizspan._amounts import refuse, with_amount
from bizspan._codes import code, snake_case
from bizspan._facts import EXTRACTOR_FAILED
from bizspan._recorder import NOWHERE, Recording
from bizspan.context import Frame, frame, with_attributes
from bizspan.errors import AmountError, type_name

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span

    from bizspan._pipeline import Pipeline
    from bizspan._types import Amount, Attributes, Number, Plain


class Run(Recording):
    """
    An operation that is under way. Nothing here raises.
    """

    __slots__ = ()

    # --- what business code tells ---------------------------------------------------------------------------------

    def revenue(
        self, amount: Amount | Number | None, currency: str | None = None, *, rounding: str | None = None
    ) -> None:
        """
        Tell what the operation earned. It counts when the outcome is success; a second call adds.

        Args:
            amount: In major units, or a Money, or ``(amount, currency)``. None means "not told".
            currency: ISO 4217, where the amount does not carry one.
            rounding: ``"half_even"`` rounds to the currency's digits; otherwise an inexact amount is refused.
        """
        self.tell(names.REVENUE, amount, currency, rounding)

    def cost(self, amount: Amount | Number | None, currency: str | None = None, *, rounding: str | None = None) -> None:
        """Tell what the operation cost. It counts with every outcome; arguments as for `revenue`."""
        self.tell(names.COST, amount, currency, rounding)

    def value(
        self, amount: Amount | Number | None, currency: str | None = None, *, rounding: str | None = None
    ) -> None:
        """Tell what is at stake, whatever the outcome: revenue at risk. Arguments as for `revenue`."""
        self.tell(names.VALUE, amount, currency, rounding)

    def tax(self, amount: Amount | Number | None, currency: str | None = None, *, rounding: str | None = None) -> None:
        """Tell the tax beside the revenue. Arguments as for `revenue`."""
        self.tell(names.TAX, amount, currency, rounding)

    def annotate(self, /, *, attributes: Mapping[str, Plain] | None = None, **facts: Plain) -> None:
        """
        Tell further facts; they win over everything that was told before.

        Args:
            attributes: Facts whose names clash with an option.
            facts: Facts by keyword.
        """
        if self._may("annotate"):
            self._told = {**self._told, **with_attributes(attributes), **facts}

    def reject(self, reason: str = "") -> None:
        """
        Say that the business refused: a declined card, an empty basket. Not a technical error.

        Args:
            reason: A short code, such as ``"card_declined"``.
        """
        if self._may("reject"):
            self._outcome, self._reason = names.REJECTED, code(reason)

    def fail(self, reason: str = "") -> None:
        """
        Say that the operation failed, where no exception leaves the block.

        Args:
            reason: A short code, such as ``"gateway_timeout"``.
        """
        if self._may("fail"):
            self._outcome, self._reason = names.FAILED, code(reason)

    # --- its life -------------------------------------------------------------------------------------------------

    def ended(self, error: BaseException | None, rejects: Any) -> None:
        """
        Leave the block: the outcome follows from the exception, else from what was told.
        """
        try:
            if self._context is not NOWHERE:
                self.leave()
            if error is None:
                self.finish(self._outcome or names.SUCCESS, self._reason, None)
            elif self._is_refusal(error, rejects):
                told = self._reason if self._outcome == names.REJECTED else None
                self.finish(names.REJECTED, told or snake_case(type_name(error)), error)
            elif issubclass(type(error), Exception):
                told = self._reason if self._outcome == names.FAILED else None
                self.finish(names.FAILED, told, error)
            else:
                self.finish(names.CANCELLED, snake_case(type_name(error)), error)
        except Exception as problem:
            self._lost("ending an operation", problem)

    def _is_refusal(self, error: BaseException, rejects: Any) -> bool:
        try:
            return isinstance(error, rejects)
        except Exception:  # a block's rejects= is not checked before it is needed
            if self.pipeline is not None:
                self.pipeline.accounts.refuse_value("rejects", "type", "Pass an exception class, or a tuple of them.")
            return False

    def _lost(self, step: str, problem: Exception) -> None:
        if self._open or self.pipeline is not None:
            self._open = False
            if self.pipeline is not None:
                self.pipeline.refuse_internal()
        _guard.swallowed(step, problem)

    def tell(self, kind: str, amount: object, currency: object = None, rounding: str | None = None) -> None:
        """Add an amount of one kind."""
        pipeline = self.pipeline
        if pipeline is None or amount is None or not (self._open or self._may("money")):
            return
        try:
            self._lines = with_amount(self._lines, kind, amount, currency, rounding)
        except AmountError as error:
            self._invalid = {**(self._invalid or {}), kind: error.reason}
            refuse(pipeline.accounts, kind, error.reason, self.name)
        except Exception as problem:
            _guard.swallowed("taking an amount", problem)

    def identify(self, key: object) -> None:
        """Tell the idempotency key of one that began without: what makes it the same fact wherever it is told again."""
        self._key = key

    def missed(self, name: str) -> None:
        """A fact, or an amount of one kind, is missing, because the function that gives it raised."""
        self._invalid = {**(self._invalid or {}), name: EXTRACTOR_FAILED}

    def tell_all(self, money: Mapping[str, object]) -> None:
        """Take amounts by kind, as constants or extractors gave them."""
        for kind, amount in money.items():
            self.tell(kind, amount)

    def _may(self, what: str) -> bool:
        if self._open:
            return True
        if self.pipeline is not None:
            self.pipeline.accounts.refuse_value(what, "after_end", "Tell it before the operation ends.")
        return False

    def __del__(self) -> None:
        if self._open and self.is_of_this_process:
            self.abandon()

    def abandon(self) -> None:
        """Finish a run that nobody left."""
        try:
            self.finish(names.CANCELLED, names.ABANDONED, None)
        except Exception as problem:
            _guard.swallowed("abandoning an operation", problem)

    def __repr__(self) -> str:
        return f"<operation {self.name!r} {'open' if self._open else 'closed'}>"


IDLE = Run(None, "")


def start(
    pipeline: Pipeline,
    name: str,
    facts: Mapping[str, object],
    prepared: Attributes | None,
    span: str,
    key: object,
    tied: bool = False,
    since: tuple[int, int] | None = None,
) -> Run:
    """
    A run, begun; one that does nothing where it can't be.

    Args:
        pipeline: Takes its record.
        name: The operation's clean name.
        facts: Told at this call.
        prepared: Attributes that are the same for every call.
        span: ``"new"`` or ``"current"``.
        key: The idempotency key, or None.
        tied: Whether a success waits for the commit of the database transaction that is open then.
        since: When it began, by the wall clock and the monotonic one, in ns; by default now.
    """
    run = Run(pipeline, name)
    try:
        run.begin(facts, prepared, span, key, tied, since)
    except Exception as error:
        pipeline.accounts.refuse(INTERNAL_ERROR)
        _guard.swallowed("beginning an operation", error)
        return IDLE
    return run


def start_around(
    pipeline: Pipeline,
    name: str,
    facts: Mapping[str, object],
    around: Frame | None,
    caller: Span | None,
    since: tuple[int, int],
) -> tuple[Run, Context | None]:
    """
    A run with a span of its own that begins elsewhere than here and now: where and when its request began. It does not
    become current.

    Args:
        pipeline: Takes its record.
        name: The operation's clean name.
        facts: Told at this call.
        around: The frame that it begins in.
        caller: The parent of its span; by default the current span.
        since: See `start`.

    Returns:
        The run, and OpenTelemetry's context inside it.
    """
    innermost, outside = frame.get(), otel.get_current()
    frame.set(around)
    if caller is not None:
        otel.attach(trace.set_span_in_context(caller, outside))
    try:
        return start(pipeline, name, facts, None, "new", None, pipeline.on_commit, since), otel.get_current()
    finally:
        frame.set(innermost)
        otel.attach(outside)


def start_on(
    pipeline: Pipeline,
    name: str,
    facts: Mapping[str, object],
    around: Frame | None,
    span: Span,
    is_recording: bool,
    since: tuple[int, int],
) -> Run:
    """
    A run that is what a request as a whole is, on its span. It does not become current.

    Args:
        pipeline: Takes its record.
        name: The operation's clean name.
        facts: Told at this call.
        around: The frame around the request.
        span: The request's.
        is_recording: Whether that records.
        since: When the request arrived, by both clocks.
    """
    run = Run(pipeline, name)
    try:
        run.begin_on(span, is_recording, facts, around, since)
    except Exception as error:
        pipeline.accounts.refuse(INTERNAL_ERROR)
        _guard.swallowed("beginning an operation", error)
        return IDLE
    return run


def abandon_open_runs() -> None:
    """
    Finish every operation that nobody left. Found among the garbage collector's objects: a register of open
    operations would cost each of them.
    """
    try:
        for candidate in gc.get_objects():
            if type(candidate) is Run and candidate.is_open and candidate.is_of_this_process:
                candidate.abandon()
    except Exception as error:
        _guard.swallowed("abandoning operations", error)
