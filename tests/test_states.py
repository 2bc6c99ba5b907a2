"""The states that bizspan works in: no SDK, unconfigured, sampled out, and on the span that is there."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
from opentelemetry import trace

import bizspan
from bizspan import Money
from bizspan.context import frame
from bizspan.testing import Capture

BLOCKED = """
    import sys

    class Blocked:
        def find_spec(self, name, path=None, target=None):
            if name.startswith("opentelemetry.sdk"):
                raise ModuleNotFoundError(name)

    sys.modules["opentelemetry.sdk"] = None
    sys.meta_path.insert(0, Blocked())
"""


def without_sdk(code: str) -> str:
    """What a process prints in which the SDK can't be imported; it must end well and be silent otherwise."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(BLOCKED) + textwrap.dedent(code)],
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        env={"PYTHONIOENCODING": "utf-8", "PYTHONPATH": ":".join(path for path in sys.path if path)},
        check=False,
    )
    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout


@pytest.mark.bare
def test_without_an_sdk_every_call_works_and_changes_nothing() -> None:
    """
    Blocks, functions, coroutines, scopes and events run; what they told is counted as not configured.
    """
    printed = without_sdk("""
        import asyncio, bizspan
        from bizspan import Money

        @bizspan.operation("checkout", segment=lambda cart: cart, revenue=lambda result: result)
        def checkout(cart):
            bizspan.annotate(plan="pro")
            return Money("42.00", "EUR")

        @bizspan.operation("wait")
        @bizspan.context(segment="gold")
        async def wait():
            return "waited"

        with bizspan.context(segment="gold"), bizspan.operation("block", order="o-1") as op:
            op.revenue(1, "EUR"), op.annotate(plan="pro"), op.reject("no"), op.fail("no")
            bizspan.event("told"), bizspan.refund(1, "EUR")
            bizspan.cost(1, "EUR"), bizspan.feedback("nps", 9)
        print(checkout("gold"), asyncio.run(wait()), bizspan.diagnostics().refused)
        """)

    assert "42.00 EUR waited {'not_configured': 7}\n" == printed


@pytest.mark.bare
def test_without_an_sdk_receipts_are_printed_and_otlp_names_the_pip_line() -> None:
    """
    The first example works in the bare install; what needs more says what to install.
    """
    printed = without_sdk("""
        import sys, bizspan
        from bizspan.testing import capture

        for attempt in (lambda: bizspan.configure(service_name="shop"), lambda: capture().__enter__()):
            try:
                attempt()
            except bizspan.MissingExtra as error:
                print('pip install "bizspan[otlp]"' in str(error), isinstance(error, ImportError))
        sys.stderr = sys.stdout
        bizspan.configure(service_name="shop", export="console")
        bizspan.event("invoice.paid", revenue=("99.00", "EUR"))
        """)

    assert "True True\nTrue True\ninvoice.paid · 99.00 EUR\n" == printed


@pytest.mark.bare
def test_a_run_that_nobody_left_is_abandoned_when_the_process_ends() -> None:
    """
    Row 48, in the bare install: cancelled, reason abandoned.
    """
    printed = without_sdk("""
        import sys, bizspan
        sys.stderr = sys.stdout
        bizspan.configure(service_name="shop", export="console")
        op = bizspan.operation("checkout", order="o-1").__enter__()
        """)

    assert printed.startswith("checkout ∅ cancelled (abandoned)  order=o-1  ")


@pytest.mark.bare
def test_unconfigured_blocks_and_functions_give_what_business_code_gives() -> None:
    """
    Results, exceptions and context are as if bizspan were not there.
    """
    error = ValueError("business")

    @bizspan.operation("checkout")
    def checkout() -> None:
        raise error

    with pytest.raises(ValueError, match="business") as caught:
        checkout()
    with bizspan.operation("block") as op:
        op.revenue("not money", "EUR")
        assert frame.get() is None

    assert error is caught.value


@pytest.mark.bizspan(sampled=False)
def test_a_sampled_out_operation_has_its_event_and_its_metrics(capbiz: Capture) -> None:
    """
    Business numbers do not depend on trace sampling; the event still names the trace.
    """
    with bizspan.operation("checkout", segment="gold") as op:
        op.revenue(5, "EUR")
        bizspan.annotate(plan="pro")

    (checkout,) = capbiz.operations("checkout", segment="gold", plan="pro")
    assert ([], Money(5, "EUR"), 5.0) == (capbiz.spans(), checkout.revenue, capbiz.metric("business.revenue"))
    assert "0" * 32 != checkout.trace_id
    capbiz.assert_consistent()


def test_span_current_writes_onto_the_span_that_is_there(capbiz: Capture) -> None:
    """
    No span is opened or ended; facts, money and outcome are on the one of the framework.
    """
    tracer = capbiz._memory.tracer_provider.get_tracer("framework")

    with tracer.start_as_current_span("POST /checkout") as request:
        with bizspan.operation("checkout", segment="gold", span="current") as op:
            op.revenue(5, "EUR")
            assert request is trace.get_current_span()
        assert request.is_recording()

    (span,), (checkout,) = capbiz.spans(), capbiz.operations("checkout")
    assert "POST /checkout" == span.name
    assert ("gold", 500, "success") == tuple(
        span.attributes[key]
        for key in ("business.customer.segment", "business.revenue.minor_units", "business.operation.outcome")
    )
    assert format(span.context.span_id, "016x") == checkout.span_id
    capbiz.assert_consistent()


def test_span_current_leaves_the_status_to_the_spans_owner(capbiz: Capture) -> None:
    """
    Who opened the span says whether it failed: a framework may answer the error properly.
    """
    tracer = capbiz._memory.tracer_provider.get_tracer("framework")

    with tracer.start_as_current_span("POST /checkout"):
        try:
            with bizspan.operation("checkout", span="current"):
                raise ValueError("handled")
        except ValueError:
            pass

    assert trace.StatusCode.UNSET == capbiz.spans()[0].status.status_code
    assert 1 == len(capbiz.operations("checkout", outcome="failed"))


def test_span_current_works_on_functions_and_without_a_span(capbiz: Capture) -> None:
    """
    Where there is no span, event and metrics are all there is.
    """

    @bizspan.operation("checkout", span="current", segment=lambda segment: segment)
    def checkout(segment: str) -> str:
        return segment

    assert "gold" == checkout("gold")
    (run,) = capbiz.operations("checkout", segment="gold")
    assert ("0" * 32, []) == (run.trace_id, capbiz.spans())
    assert 1 == capbiz.metric("business.operation.duration", segment="gold")


@pytest.mark.bare
def test_what_is_told_before_configure_is_counted_as_not_configured() -> None:
    """
    Offered and refused, so that nobody wonders where it went; nothing raises.
    """
    before = bizspan.diagnostics()
    with bizspan.operation("checkout") as op:
        op.revenue(1, "EUR")
    bizspan.event("a")
    after = bizspan.diagnostics()

    assert not after.configured
    assert 2 == after.refused["not_configured"] - before.refused.get("not_configured", 0)
    assert 2 == after.offered - before.offered
    assert after.offered == after.acknowledged + sum(after.refused.values())


@pytest.mark.bare
def test_without_a_logger_provider_events_are_refused_by_that_reason() -> None:
    """
    Metrics may still have somewhere to go.
    """
    with bizspan.configure(export="none"):
        bizspan.event("a")
        told = bizspan.diagnostics()

    assert (0, 1) == (told.acknowledged, told.refused["no_logger_provider"])
    assert told.offered == sum(told.refused.values())
