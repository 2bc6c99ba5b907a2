"""
What customers answer: scores of surveys and ratings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from bizspan import _active, names
from bizspan._values import number
from bizspan.context import with_attributes
from bizspan.events import Told, tell

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal

    from bizspan._commit import Emit
    from bizspan._types import Plain


def feedback(
    name: str,
    score: int | float | Decimal,
    /,
    *,
    time: datetime | int | None = None,
    idempotency_key: Plain = None,
    emit: Emit | None = None,
    attributes: Mapping[str, Plain] | None = None,
    **facts: Plain,
) -> None:
    """
    Tell one customer's answer. Never raises.

    Args:
        name: Which question: ``"nps"`` (0 to 10), ``"csat"`` (1 to 5), ``"ces"`` (1 to 7), or yours.
        score: The answer, on the question's own scale.
        time: As for `event`.
        idempotency_key: As for `event`.
        emit: As for `event`.
        attributes: Facts whose names clash with an option.
        facts: Facts by keyword.
    """
    told = number(score)
    if told is None:
        pipeline = _active.pipeline()
        if pipeline is not None:
            pipeline.accounts.refuse_value("score", "type", "Tell a finite number.")
    tell(
        Told(
            names.EVENT_FEEDBACK, with_attributes(attributes), facts, text={names.FEEDBACK_NAME: name}, time=time,
            key=idempotency_key, score=None if told is None else float(told), emit=emit,
        )
    )  # fmt: skip
