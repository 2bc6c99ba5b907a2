"""
What mypy must refuse. Never run: an ignore that is not needed fails the type check (warn_unused_ignores).
"""

from __future__ import annotations

import bizspan
from bizspan import Attribute, Money


@bizspan.operation("checkout")
def function(cart: int) -> str:
    return str(cart)


def a_decorated_function_keeps_its_parameters() -> None:
    function("1")  # type: ignore[arg-type]
    function(1, 2)  # type: ignore[call-arg]
    function(1).missing()  # type: ignore[attr-defined]


def an_operation_has_a_name_and_knows_its_options() -> None:
    bizspan.operation()  # type: ignore[call-arg]
    bizspan.operation(3)  # type: ignore[arg-type]
    bizspan.operation("a", "b")  # type: ignore[call-arg]
    bizspan.operation("a", span="old")  # type: ignore[arg-type]
    bizspan.operation("a", emit="later")  # type: ignore[arg-type]
    bizspan.operation("a")(emit="later")  # type: ignore[call-overload]
    bizspan.operation("a", rejects="CardDeclined")  # type: ignore[arg-type]
    bizspan.operation("a", rejects=ValueError())  # type: ignore[arg-type]
    bizspan.operation("a", revenue=5)  # type: ignore[arg-type]
    bizspan.operation("a", segment=object())  # type: ignore[arg-type]
    bizspan.operation("a", attributes=["b"])  # type: ignore[arg-type]


def a_declaration_is_no_run() -> None:
    declared = bizspan.operation("a")
    declared.revenue(5, "EUR")  # type: ignore[attr-defined]
    declared("function")  # type: ignore[call-overload]


def amounts_have_a_currency() -> None:
    with bizspan.operation("a") as op:
        op.revenue([5], "EUR")  # type: ignore[arg-type]
        op.revenue(5, 978)  # type: ignore[arg-type]
        op.reject(404)  # type: ignore[arg-type]
    bizspan.event("a", revenue=5)  # type: ignore[arg-type]
    bizspan.event("a", emit="later")  # type: ignore[arg-type]
    bizspan.event("a", time="now")  # type: ignore[arg-type]
    bizspan.event()  # type: ignore[call-arg]
    bizspan.feedback("nps", "9")  # type: ignore[arg-type]
    Money(5)  # type: ignore[call-overload]
    Money(5, "EUR") + 5  # type: ignore[operator]


def an_event_takes_no_functions() -> None:
    bizspan.event("a", segment=lambda cart: cart)  # type: ignore[arg-type]
    bizspan.context(segment=len)  # type: ignore[arg-type]


def set_up_is_checked() -> None:
    bizspan.configure("shop")  # type: ignore[call-arg]
    bizspan.configure(emit="later")  # type: ignore[arg-type]
    bizspan.configure(emit=None)  # type: ignore[arg-type]
    bizspan.configure(export="paper")  # type: ignore[arg-type]
    Attribute("stage")  # type: ignore[call-arg]
    Attribute(name="stage", type=list)  # type: ignore[arg-type]


@bizspan.gauge("stock")  # type: ignore[type-var]
def stock(shelf: str) -> int:
    return len(shelf)
