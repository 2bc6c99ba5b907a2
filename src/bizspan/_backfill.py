"""
What the system of record knows and no event told: told late, as the same fact.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bizspan import names
from bizspan._amounts import write_money
from bizspan._facts import add_note
from bizspan._pipeline import keyed_uid
from bizspan._record import Record

if TYPE_CHECKING:
    from bizspan._pipeline import Pipeline
    from bizspan._types import Attributes

# Says on the event that it was not told when it happened, and that whatever it lacks was not known any more.
NOTE: Final = "event:backfilled"


def late_record(
    pipeline: Pipeline,
    event_name: str,
    name: str,
    *,
    order: str,
    key: str,
    kind: str,
    units: int,
    currency: str,
    time_ns: int,
) -> Record:
    """
    The record of a fact that happened earlier and elsewhere.

    Its uid is the one that `operation`, `event` or `refund` gave it there with the same idempotency key, so that a
    count by uid sees one, whether that event was lost or comes late. An operation's has the outcome success, and no
    duration: nobody measured it here.

    Args:
        pipeline: Of this process; takes it with `Pipeline.accept`.
        event_name: ``business.operation``, ``business.refund``, or an event's own name.
        name: The operation's name, or the event's.
        order: The order's id.
        key: The idempotency key.
        kind: ``business.revenue`` or ``business.refund``.
        units: The amount in minor units.
        currency: ISO 4217.
        time_ns: When it happened, nanoseconds since the epoch.
    """
    attributes: Attributes = {}
    uid = keyed_uid(name, key) or pipeline.new_id()
    is_operation = event_name == names.EVENT_OPERATION
    if is_operation:
        attributes[names.OPERATION_NAME] = name
        attributes[names.OPERATION_ID] = uid
        attributes[names.OPERATION_OUTCOME] = names.SUCCESS
    pipeline.facts.resolve({"order": order}, attributes)
    add_note(attributes, NOTE)
    lines, _ = write_money(attributes, ((kind, units, currency),), pipeline.revenue_basis)
    outcome = names.SUCCESS if is_operation else None
    return Record(event_name, name, uid, time_ns, attributes, lines, None, outcome, idempotent=True)
