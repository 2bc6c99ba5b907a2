"""The load tests' own eyes: they see what is lost, doubled, strange, or another request's."""

from __future__ import annotations

from _collector import Receiver
from bizspan import names
from tests.load import INNER, OPERATION, Driven, problems, wait_for_all
from tests.wire import events, post


def told(receiver: Receiver, order: str, segment: str, uid: str, *whats: str) -> None:
    """Send the operation of this order, and the event inside it."""
    attributes: dict[str, str | int] = {names.ORDER: order, names.SEGMENT: segment, names.RECORD_UID: uid}
    for what in whats or (names.EVENT_OPERATION, INNER):
        operation = {names.OPERATION_NAME: OPERATION} if what == names.EVENT_OPERATION else {}
        post(receiver.http_endpoint, "logs", events(what, {**attributes, **operation}))


def test_all_that_was_sent_and_nothing_else_is_no_problem() -> None:
    """
    A batch that an exporter sends again counts once.
    """
    with Receiver() as receiver:
        for order, segment in (("o-1", "s1"), ("o-2", "s2"), ("o-2", "s2")):
            told(receiver, order, segment, f"uid-{order}")
        driven = Driven({"o-1": "s1", "o-2": "s2"})

        assert wait_for_all(receiver, driven)
        assert [] == problems(receiver, driven, span=None)


def test_each_kind_of_problem_is_seen() -> None:
    """
    With some of the orders that have it.
    """
    with Receiver() as receiver:
        told(receiver, "o-1", "s2", "uid-1")
        told(receiver, "o-2", "s2", "uid-2")
        told(receiver, "o-2", "s2", "uid-3", names.EVENT_OPERATION)
        told(receiver, "x-9", "s2", "uid-4", INNER)
        driven = Driven({"o-1": "s1", "o-2": "s2", "o-3": "s3"})
        found = problems(receiver, driven)

        assert not wait_for_all(receiver, Driven({f"o-{number}": "s1" for number in range(9)}), 0.01)
    assert [
        "operation: lost 1, ['o-3']",
        "operation: doubled 1, ['o-2']",
        "operation of o-1: segment 's2' instead of 's1'",
        "stock.reserved: lost 1, ['o-3']",
        "stock.reserved: unknown 1, ['x-9']",
        "stock.reserved of o-1: segment 's2' instead of 's1'",
        "span checkout: lost 3, ['o-1', 'o-2', 'o-3']",
    ] == found
