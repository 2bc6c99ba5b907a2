"""
Events in one line: something that happened, money that went back, money that was spent.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from opentelemetry import trace

from bizspan import _active, _commit, _guard, names
from bizspan._accounts import INTERNAL_ERROR, INVALID_NAME, NOT_CONFIGURED, idle
from bizspan._amounts import Lines, refuse, with_amount, write_money
from bizspan._facts import DIMENSION_LIMIT, FACTS_LIMIT, add_note
from bizspan._record import Record
from bizspan._values import clean_name, known_name, timestamp_ns
from bizspan.context import frame, with_attributes
from bizspan.errors import AmountError

if TYPE_CHECKING:
    from datetime import datetime

    from bizspan._commit import Emit
    from bizspan._pipeline import Pipeline
    from bizspan._record import AmountLine
    from bizspan._types import Amount, Attributes, Number, Plain

_OURS = frozenset(
    {
        names.EVENT_OPERATION,
        names.EVENT_REVENUE,
        names.EVENT_REFUND,
        names.EVENT_COST,
        names.EVENT_FEEDBACK,
    }
)


def event(
    name: str,
    /,
    *,
    revenue: Amount | None = None,
    value: Amount | None = None,
    cost: Amount | None = None,
    tax: Amount | None = None,
    time: datetime | int | None = None,
    idempotency_key: Plain = None,
    emit: Emit | None = None,
    attributes: Mapping[str, Plain] | None = None,
    **facts: Plain,
) -> None:
    """
    Tell that something happened. Never raises.

    Args:
        name: What happened, for example ``"invoice.paid"``.
        revenue: What it earned: a Money or ``(amount, currency)``.
        value: What is at stake.
        cost: What it cost.
        tax: The tax beside the revenue.
        time: When it happened: a datetime (naive means UTC) or nanoseconds since the epoch; by default now.
            The event is backdated, its metrics count now.
        idempotency_key: The same key and name give the same ``log.record.uid``.
        emit: ``"on_commit"`` waits for the commit of the database transaction that is open; after a rollback the event
            says ``failed``, reason ``rolled_back``, and counts nowhere. ``"now"`` does not wait. By default what
            `configure()` was told.
        attributes: Facts whose names clash with an option.
        facts: Facts by keyword. None means "not told".
    """
    money = {names.REVENUE: revenue, names.VALUE: value, names.COST: cost, names.TAX: tax}
    if known_name(name) in _OURS:
        name = ""  # bizspan's own event names have calls of their own
    tell(Told(name, with_attributes(attributes), facts, money=money, time=time, key=idempotency_key, emit=emit))


def refund(
    amount: Amount | Number | None,
    currency: str | None = None,
    *,
    order: Plain = None,
    reason: str | None = None,
    rounding: str | None = None,
    time: datetime | int | None = None,
    idempotency_key: Plain = None,
    emit: Emit | None = None,
    attributes: Mapping[str, Plain] | None = None,
    **facts: Plain,
) -> None:
    """
    Tell that money went back: an order's whole revenue, or a part of it. Never raises.

    Args:
        amount: How much went back, positive, in major units, or a Money. Several partial refunds add up.
        currency: ISO 4217, where the amount does not carry one.
        order: The order that it belongs to.
        reason: A short code, such as ``"damaged"``.
        rounding: ``"half_even"`` rounds to the currency's digits.
        time: As for `event`.
        idempotency_key: As for `event`.
        emit: As for `event`.
        attributes: Facts whose names clash with an option.
        facts: Facts by keyword.
    """
    money = {names.REFUND: Rounded(amount, currency, rounding)}
    tell(
        Told(
            names.EVENT_REFUND, with_attributes(attributes), {"order": order, **facts}, money=money, time=time,
            key=idempotency_key, text={names.REFUND_REASON: reason}, emit=emit,
        )
    )  # fmt: skip


def cost(
    amount: Amount | Number | None,
    currency: str | None = None,
    *,
    rounding: str | None = None,
    time: datetime | int | None = None,
    idempotency_key: Plain = None,
    emit: Emit | None = None,
    attributes: Mapping[str, Plain] | None = None,
    **facts: Plain,
) -> None:
    """
    Tell that money was spent: a payment fee, a model call. Never raises.

    Args:
        amount: How much, positive, in major units, or a Money.
        currency: ISO 4217, where the amount does not carry one.
        rounding: ``"half_even"`` rounds to the currency's digits.
        time: As for `event`.
        idempotency_key: As for `event`.
        emit: As for `event`.
        attributes: Facts whose names clash with an option.
        facts: Facts by keyword.
    """
    money = {names.COST: Rounded(amount, currency, rounding)}
    more = with_attributes(attributes)
    tell(Told(names.EVENT_COST, more, facts, money=money, time=time, key=idempotency_key, emit=emit))


class Rounded:
    """An amount with its own currency and rounding."""

    __slots__ = ("amount", "currency", "rounding")

    def __init__(self, amount: object, currency: object, rounding: str | None) -> None:
        self.amount = amount
        self.currency = currency
        self.rounding = rounding


_NOTHING: Mapping[str, object] = {}


class Told:
    """
    What one call told.

    Args:
        name: The event's name.
        more: Facts of the ``attributes=`` argument.
        facts: Facts by keyword; they win.
        money: Amounts by kind.
        text: Our own attributes, by key; None means "not told".
        time: When it happened; None is now.
        key: The idempotency key.
        score: Of a feedback.
        emit: Whether it waits for a commit; None is the process's setting.
    """

    __slots__ = ("emit", "facts", "key", "money", "more", "name", "score", "text", "time")

    def __init__(
        self,
        name: object,
        more: Mapping[str, object],
        facts: Mapping[str, object],
        *,
        money: Mapping[str, object] = _NOTHING,
        text: Mapping[str, object] = _NOTHING,
        time: object = None,
        key: object = None,
        score: float | None = None,
        emit: object = None,
    ) -> None:
        self.name = name
        self.more = more
        self.facts = facts
        self.money = money
        self.text = text
        self.time = time
        self.key = key
        self.score = score
        self.emit = emit


def tell(told: Told) -> None:
    """
    Make the record of one event and hand it on. Never raises.
    """
    pipeline = _active.pipeline()
    if pipeline is None:
        idle.refused.add(NOT_CONFIGURED)
        return
    try:
        record = _record(pipeline, told)
        if record is None:
            return
        tied = told.emit is not None or pipeline.on_commit
        if tied:
            tied = _commit.is_tied(told.emit, pipeline.on_commit, pipeline.accounts)
        if not (tied and pipeline.waiting.hold(partial(_decided, pipeline, record, told.key))):
            pipeline.accept(record)
    except Exception as error:
        pipeline.accounts.refuse(INTERNAL_ERROR)
        _guard.swallowed("telling an event", error)


def _decided(pipeline: Pipeline, record: Record, key: object, reason: str | None) -> None:
    """The transaction that the event was told in ended: with a commit, where there is no reason."""
    try:
        if reason is not None:
            record.outcome = names.FAILED
            attributes = record.attributes
            attributes[names.OPERATION_OUTCOME], attributes[names.OPERATION_REASON] = names.FAILED, reason
            if key is not None:  # the retry that succeeds is another fact
                record.uid = pipeline.uid_for(f"{_keyed_name(record.name, attributes)}\0{names.FAILED}", key)
        pipeline.accept(record)
    except Exception as error:
        pipeline.accounts.refuse(INTERNAL_ERROR)
        _guard.swallowed("telling an event on commit", error)


def _record(pipeline: Pipeline, told: Told) -> Record | None:
    name = known_name(told.name)
    if name is None:
        pipeline.accounts.refuse(INVALID_NAME)
        pipeline.accounts.refuse_value("event name", "invalid", "Name the event with a short text of your own.")
        return None
    attributes: Attributes = {}
    _add_ambient(pipeline, attributes)
    pipeline.facts.resolve({**told.more, **told.facts}, attributes)
    if len(attributes) > FACTS_LIMIT:
        pipeline.facts.drop_surplus(attributes, attributes)
    for key, text in told.text.items():
        clean = clean_name(text, limit=DIMENSION_LIMIT)
        if clean is not None:
            attributes[key] = clean
    if told.score is not None:
        attributes[names.FEEDBACK_SCORE] = told.score
    lines = _write_money(pipeline, name, told.money, attributes)
    uid = pipeline.new_id() if told.key is None else pipeline.uid_for(_keyed_name(name, attributes), told.key)
    return Record(
        name, name, uid, _happened(pipeline, told.time, attributes), attributes, lines,
        trace.get_current_span().get_span_context(), score=told.score, idempotent=told.key is not None,
    )  # fmt: skip


def _keyed_name(name: str, attributes: Attributes) -> str:
    # One survey may ask two questions under one key.
    question = attributes.get(names.FEEDBACK_NAME)
    return name if question is None else f"{name}\0{question}"


def _add_ambient(pipeline: Pipeline, attributes: Attributes) -> None:
    innermost = frame.get()
    if innermost is None:
        return
    if innermost.ambient is not None:
        attributes.update(innermost.ambient.resolve(pipeline).attributes)
    if innermost.run is not None:
        attributes[names.OPERATION_ID] = innermost.run.id


def _happened(pipeline: Pipeline, time: object, attributes: Attributes) -> int:
    happened = None if time is None else timestamp_ns(time)
    if happened is not None:
        return happened
    if time is not None:
        pipeline.accounts.refuse_value("time", "time", "Tell an aware datetime, or nanoseconds since the epoch.")
        add_note(attributes, "time:invalid")
    return pipeline.time_ns()


def _write_money(
    pipeline: Pipeline, name: str, money: Mapping[str, object], attributes: Attributes
) -> tuple[AmountLine, ...]:
    lines: Lines = ()
    for kind, told in money.items():
        amount, currency, rounding = (
            (told.amount, told.currency, told.rounding) if type(told) is Rounded else (told, None, None)
        )
        if amount is None:
            continue
        try:
            lines = with_amount(lines, kind, amount, currency, rounding)
        except AmountError as error:
            attributes[names.AMOUNT_INVALID_KEYS[kind]] = error.reason
            refuse(pipeline.accounts, kind, error.reason, name)
    return write_money(attributes, lines, pipeline.revenue_basis)[0]
