# mypy: ignore-errors
# pyright: strict, reportUnnecessaryTypeIgnoreComment=true
"""
What pyright must refuse. Never run: an ignore that is not needed fails the type check.
"""

from __future__ import annotations

import bizspan
from bizspan import Attribute, Money


@bizspan.operation("checkout")
def function(cart: int) -> str:
    return str(cart)


def a_decorated_function_keeps_its_parameters() -> None:
    function("1")  # pyright: ignore[reportArgumentType]
    function(1, 2)  # pyright: ignore[reportCallIssue]
    function(1).missing()  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


def an_operation_has_a_name_and_knows_its_options() -> None:
    bizspan.operation()  # pyright: ignore[reportCallIssue]
    bizspan.operation(3)  # pyright: ignore[reportArgumentType]
    bizspan.operation("a", "b")  # pyright: ignore[reportCallIssue]
    bizspan.operation("a", span="old")  # pyright: ignore[reportArgumentType]
    bizspan.operation("a", emit="later")  # pyright: ignore[reportArgumentType]
    bizspan.operation("a")(emit="later")  # pyright: ignore[reportArgumentType]
    bizspan.operation("a", rejects="CardDeclined")  # pyright: ignore[reportArgumentType]
    bizspan.operation("a", rejects=ValueError())  # pyright: ignore[reportArgumentType]
    bizspan.operation("a", revenue=5)  # pyright: ignore[reportArgumentType]
    bizspan.operation("a", segment=object())  # pyright: ignore[reportArgumentType]
    bizspan.operation("a", attributes=["b"])  # pyright: ignore[reportArgumentType]


def a_declaration_is_no_run() -> None:
    declared = bizspan.operation("a")
    declared.revenue(5, "EUR")  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    declared("function")  # pyright: ignore[reportArgumentType]


def amounts_have_a_currency() -> None:
    with bizspan.operation("a") as op:
        op.revenue([5], "EUR")  # pyright: ignore[reportArgumentType]
        op.revenue(5, 978)  # pyright: ignore[reportArgumentType]
        op.reject(404)  # pyright: ignore[reportArgumentType]
    bizspan.event("a", revenue=5)  # pyright: ignore[reportArgumentType]
    bizspan.event("a", emit="later")  # pyright: ignore[reportArgumentType]
    bizspan.event("a", time="now")  # pyright: ignore[reportArgumentType]
    bizspan.event()  # pyright: ignore[reportCallIssue]
    bizspan.feedback("nps", "9")  # pyright: ignore[reportArgumentType]
    Money(5)  # pyright: ignore[reportArgumentType]
    Money(5, "EUR") + 5  # pyright: ignore[reportOperatorIssue, reportUnusedExpression]


def an_event_takes_no_functions() -> None:
    bizspan.event("a", segment=lambda cart: cart)  # pyright: ignore[reportArgumentType, reportUnknownLambdaType]
    bizspan.context(segment=len)  # pyright: ignore[reportArgumentType]


def set_up_is_checked() -> None:
    bizspan.configure("shop")  # pyright: ignore[reportCallIssue]
    bizspan.configure(emit="later")  # pyright: ignore[reportArgumentType]
    bizspan.configure(emit=None)  # pyright: ignore[reportArgumentType]
    bizspan.configure(export="paper")  # pyright: ignore[reportArgumentType]
    Attribute("stage")  # pyright: ignore[reportCallIssue]
    Attribute(name="stage", type=list)  # pyright: ignore[reportArgumentType]


@bizspan.gauge("stock")  # pyright: ignore[reportArgumentType, reportUntypedFunctionDecorator]
def stock(shelf: str) -> int:
    return len(shelf)
