"""Operations as blocks: what is recorded, what business code keeps, and every way to leave."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import StatusCode

import bizspan
from bizspan import Money, SetupError
from bizspan.context import frame
from bizspan.testing import Capture


class CardDeclined(Exception):  # noqa: N818 - named like what happened
    pass


class Expired(CardDeclined):
    pass


class OutOfStock(Exception):  # noqa: N818 - named like what happened
    pass


def test_a_block_records_name_outcome_facts_revenue_and_duration(capbiz: Capture) -> None:
    """
    What was told in a block is on its event, under the keys of the standard vocabulary.
    """
    with bizspan.operation("checkout", segment="enterprise", country="DE", order="o-1") as op:
        op.revenue("42.00", "EUR")
        op.annotate(plan="pro")
        capbiz.tick(0.031)

    (checkout,) = capbiz.operations("checkout")
    (point,) = capbiz.points("business.operation.duration")
    assert "success" == checkout.outcome
    assert Money("42.00", "EUR") == checkout.revenue
    told = {
        "business.customer.segment": "enterprise",
        "geo.country.iso_code": "DE",
        "business.order.id": "o-1",
        "business.plan": "pro",
        "business.revenue.amount": 42.0,
        "business.revenue.minor_units": 4200,
        "business.revenue.currency": "EUR",
    }
    assert told == {key: checkout.attributes[key] for key in told}
    assert 0.031 == point.sum
    capbiz.assert_consistent()


def test_the_span_is_current_inside_the_block_only(capbiz: Capture) -> None:
    """
    Spans that other libraries open in the block are the operation's children, and later ones are not.
    """
    tracer = trace.get_tracer("other")
    before = trace.get_current_span()

    with bizspan.operation("checkout"):
        inside = trace.get_current_span()
        with tracer.start_as_current_span("database"):
            pass

    assert inside.get_span_context().span_id == capbiz.spans("checkout")[0].context.span_id
    assert before is trace.get_current_span()


def test_the_span_is_internal_and_named_after_the_operation(capbiz: Capture) -> None:
    """
    Name and kind are as product.md says.
    """
    with bizspan.operation("checkout"):
        pass

    (span,) = capbiz.spans()
    assert ("checkout", trace.SpanKind.INTERNAL) == (span.name, span.kind)


# --- outcomes -----------------------------------------------------------------------------------------------


def test_a_refusal_is_rejected_with_its_reason_and_no_error_status(capbiz: Capture) -> None:
    """
    `op.reject()` makes a business outcome, not a technical error.
    """
    with bizspan.operation("checkout") as op:
        op.reject("card_declined")

    (checkout,) = capbiz.operations("checkout", outcome="rejected", reason="card_declined")
    assert StatusCode.UNSET == capbiz.spans("checkout")[0].status.status_code
    assert "error.type" not in checkout.attributes


def test_a_told_failure_is_failed_with_its_reason_and_error_status(capbiz: Capture) -> None:
    """
    `op.fail()` needs no exception.
    """
    with bizspan.operation("checkout") as op:
        op.fail("gateway_timeout")

    assert 1 == len(capbiz.operations("checkout", outcome="failed", reason="gateway_timeout"))
    assert StatusCode.ERROR == capbiz.spans("checkout")[0].status.status_code


@pytest.mark.parametrize("error", [ValueError("no"), StopIteration(7), StopAsyncIteration(), RecursionError()])
def test_an_exception_fails_the_operation_and_goes_on_untouched(capbiz: Capture, error: Exception) -> None:
    """
    Rows 43 and 47 of the bad inputs: the same object with its own traceback, StopIteration included.
    """
    with pytest.raises(type(error)) as caught, bizspan.operation("checkout"):
        raise error

    (checkout,) = capbiz.operations("checkout", outcome="failed")
    assert error is caught.value
    assert type(error).__name__ == checkout.attributes["error.type"]
    assert [__file__] == list({str(entry.path) for entry in caught.traceback})
    assert StatusCode.ERROR == capbiz.spans("checkout")[0].status.status_code


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (asyncio.CancelledError(), "cancelled_error"),
        (KeyboardInterrupt(), "keyboard_interrupt"),
        (SystemExit(3), "system_exit"),
        (GeneratorExit(), "generator_exit"),
    ],
)
def test_an_interrupt_cancels_the_operation_and_goes_on(capbiz: Capture, error: BaseException, reason: str) -> None:
    """
    Row 45: what is no Exception is a cancellation, and passes.
    """
    with pytest.raises(type(error)) as caught, bizspan.operation("checkout"):
        raise error

    assert error is caught.value
    assert 1 == len(capbiz.operations("checkout", outcome="cancelled", reason=reason))
    assert StatusCode.UNSET == capbiz.spans("checkout")[0].status.status_code


@pytest.mark.parametrize("rejects", [CardDeclined, (CardDeclined,), (OutOfStock, CardDeclined)])
@pytest.mark.parametrize("error", [CardDeclined, Expired])
def test_a_rejecting_exception_is_rejected_by_its_class_name(
    capbiz: Capture, rejects: Any, error: type[Exception]
) -> None:
    """
    One class, a tuple of classes, and subclasses; the exception still goes on.
    """
    with pytest.raises(error), bizspan.operation("checkout", rejects=rejects):
        raise error

    reason = "expired" if error is Expired else "card_declined"
    assert 1 == len(capbiz.operations("checkout", outcome="rejected", reason=reason))


def test_another_exception_still_fails(capbiz: Capture) -> None:
    """
    `rejects=` names the refusals; everything else is technical.
    """
    with pytest.raises(OutOfStock), bizspan.operation("checkout", rejects=CardDeclined):
        raise OutOfStock

    assert ["failed"] == [checkout.outcome for checkout in capbiz.operations("checkout")]


def test_the_told_reason_wins_over_the_exceptions_name(capbiz: Capture) -> None:
    """
    Who calls `reject("insufficient_funds")` before the exception leaves keeps that reason.
    """
    with pytest.raises(CardDeclined), bizspan.operation("checkout", rejects=CardDeclined) as op:
        op.reject("insufficient_funds")
        raise CardDeclined

    assert 1 == len(capbiz.operations("checkout", outcome="rejected", reason="insufficient_funds"))


def test_an_exception_wins_over_a_told_refusal(capbiz: Capture) -> None:
    """
    A crash after `reject()` is a failure: something technical happened.
    """
    with pytest.raises(ValueError, match="crash"), bizspan.operation("checkout") as op:
        op.reject("card_declined")
        raise ValueError("crash")

    (checkout,) = capbiz.operations("checkout")
    assert ("failed", None) == (checkout.outcome, checkout.reason)


def test_rejects_that_is_no_exception_class_never_hides_the_businesss_exception(capbiz: Capture) -> None:
    """
    A block's wrong `rejects=` is told once; the operation is kept as failed.
    """
    capbiz.allow("type")
    wrong: Any = "CardDeclined"

    with pytest.raises(CardDeclined), bizspan.operation("checkout", rejects=wrong):
        raise CardDeclined

    assert 1 == len(capbiz.operations("checkout", outcome="failed"))


# --- one run per entry --------------------------------------------------------------------------------------


def test_entering_a_run_twice_is_a_set_up_error_that_says_so(capbiz: Capture) -> None:
    """
    Row 48: the second entry is refused, in the block and after it, and the first is recorded once.
    """
    once = bizspan.operation("checkout")

    with once, pytest.raises(SetupError, match=r"already entered; use `with declaration\(\):`"):
        once.__enter__()
    with pytest.raises(SetupError, match="already entered"):
        once.__enter__()

    assert 1 == len(capbiz.operations("checkout"))


def test_leaving_a_run_twice_records_it_once(capbiz: Capture) -> None:
    """
    Row 48: the second `__exit__` adds nothing, and moves no context.
    """
    once = bizspan.operation("checkout")
    once.__enter__()
    once.__exit__(None, None, None)
    with bizspan.operation("outer") as outer:
        once.__exit__(ValueError, ValueError(), None)
        assert frame.get() is outer

    assert ["success"] == [checkout.outcome for checkout in capbiz.operations("checkout")]
    capbiz.assert_consistent()


def test_a_declaration_is_run_many_times_each_with_its_own_facts(capbiz: Capture) -> None:
    """
    `with declaration(segment=...)` is a fresh run; the declaration's facts stay and the call's win.
    """
    checkout = bizspan.operation("checkout", channel="web", segment="smb")

    with checkout(segment="gold") as op:
        op.revenue(10, "EUR")
    with checkout(attributes={"plan": "pro"}):
        pass
    with checkout():
        pass

    facts = ("business.channel", "business.customer.segment", "business.plan")
    assert [("web", "gold", None), ("web", "smb", "pro"), ("web", "smb", None)] == [
        tuple(run.attributes.get(key) for key in facts) for run in capbiz.operations("checkout")
    ]


@pytest.mark.parametrize("function", [lambda: "gold", len, "x".upper, functools.partial(str, "gold")])
@pytest.mark.parametrize("keyword", ["segment", "revenue"])
def test_a_function_as_a_value_of_a_block_is_a_set_up_error(capbiz: Capture, keyword: str, function: Any) -> None:
    """
    A block has no arguments to give it; nothing is opened.
    """
    told: dict[str, Any] = {keyword: function}

    with pytest.raises(SetupError, match="is a function"), bizspan.operation("checkout", **told):
        pass

    assert [] == capbiz.operations()
    assert frame.get() is None


def test_what_is_told_after_the_end_is_dropped_and_counted(capbiz: Capture) -> None:
    """
    A kept handle never raises, and changes nothing any more.
    """
    capbiz.allow("after_end")
    with bizspan.operation("checkout") as op:
        pass

    op.revenue(5, "EUR")
    op.annotate(plan="late")
    op.reject("late")
    op.fail("late")

    assert ["success"] == [checkout.outcome for checkout in capbiz.operations("checkout")]
    assert Money(0, "EUR") == capbiz.revenue("EUR")
    assert {"after_end": 4} == bizspan.diagnostics().values_refused


@pytest.mark.parametrize("name", ["", "   ", None, 3, "\x00", ["checkout"]])
def test_a_block_without_a_name_runs_and_is_refused_by_reason(capbiz: Capture, name: Any) -> None:
    """
    Business code wins: the block runs, the event is refused as `invalid_name`.
    """
    capbiz.allow("invalid", "invalid_name")

    with bizspan.operation(name) as op:
        op.revenue(1, "EUR")
        done = True

    assert done
    assert {"invalid_name": 1} == bizspan.diagnostics().refused


def test_a_kept_declaration_takes_other_options_for_one_run(capbiz: Capture) -> None:
    """
    `rejects` and `span` of a fresh run stand beside its facts, and the declaration keeps its own.
    """
    checkout = bizspan.operation("checkout", segment="gold")
    with pytest.raises(LookupError), checkout(rejects=LookupError, span="current"):
        raise LookupError
    with pytest.raises(LookupError), checkout():
        raise LookupError

    assert ["rejected", "failed"] == [operation.outcome for operation in capbiz.operations()]
    assert 1 == len(capbiz.spans())


def test_an_operations_event_knows_how_long_it_took(capbiz: Capture) -> None:
    """
    Seconds, as the metric has them; the span has its own times.
    """
    with bizspan.operation("checkout"):
        capbiz.tick(1.5)

    [operation] = capbiz.operations()
    [point] = capbiz.points("business.operation.duration")
    assert 1.5 == operation.attributes["business.operation.duration"] == point.sum
