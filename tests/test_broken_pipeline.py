"""Fault injection: whichever step of ours or of a provider raises, business code never notices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.sdk._logs import Logger, LogRecordProcessor
from opentelemetry.sdk.trace import Tracer

import bizspan
from bizspan._clock import Ids
from bizspan._console import Receipts
from bizspan._consumer import Consumer
from bizspan._facts import FactTable
from bizspan._pipeline import Pipeline
from bizspan._totals import Totals
from tests.providers import amounts, joined, reader, take


def checkout() -> None:
    with bizspan.operation("checkout", segment="gold") as op:
        op.revenue("1.00", "EUR")


class Silent(LogRecordProcessor):
    """A log processor that does nothing."""

    def on_emit(self, log_record: Any) -> None:
        """Nothing."""

    def shutdown(self) -> None:
        """Nothing to stop."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing waits."""
        return True


class BrokenError(Exception):
    """What a broken step raises."""


def broken(*arguments: object, **more: object) -> Any:
    raise BrokenError


STEPS: dict[str, tuple[Any, str]] = {
    "accept": (Pipeline, "accept"),
    "take": (Pipeline, "take"),
    "wake": (Consumer, "wake"),
    "uid": (Pipeline, "uid_for"),
    "totals": (Totals, "add"),
    "facts": (FactTable, "resolve"),
    "ids": (Ids, "new"),
    "receipt": (Receipts, "__call__"),
}


def everything(check: Callable[[object], None]) -> None:
    """Business code that uses every entry; its own values and errors come through."""

    @bizspan.operation("decorated", segment=lambda cart: cart, revenue=lambda result: (result, "EUR"))
    def decorated(cart: str) -> int:
        return 42

    with bizspan.context(segment="gold"), bizspan.operation("block", order="o-1", idempotency_key="k") as op:
        op.revenue("1.00", "EUR")
        op.annotate(plan="pro")
        op.reject("declined")
        bizspan.annotate(country="DE")
        check(decorated("cart"))
    bizspan.event("seen", revenue=("1.00", "EUR"), customer="c-1", idempotency_key="k")
    bizspan.refund("1.00", "EUR", order="o-1")
    bizspan.cost("1.00", "EUR")
    bizspan.feedback("nps", 9)
    with pytest.raises(KeyError, match="business"), bizspan.operation("failing"):
        raise KeyError("business")


@pytest.mark.usefixtures("production_guard")
@pytest.mark.parametrize("export", ["none", "otlp", "console"])
@pytest.mark.parametrize("step", STEPS)
def test_a_broken_pipeline_never_reaches_the_business(
    step: str, export: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Whichever step raises each time, business code runs, its values and its own errors survive.
    """
    returned: list[object] = []
    with joined(reader(), export=export):
        with monkeypatch.context() as patch:
            patch.setattr(*STEPS[step], broken)
            for _ in range(3):
                everything(returned.append)
        everything(returned.append)

    assert [42] * 4 == returned


@pytest.mark.usefixtures("production_guard")
@pytest.mark.parametrize("method", ["start_span", "emit"])
def test_a_broken_provider_never_reaches_the_business(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The application's own tracer or logger raises: the same, and what it took away is counted.
    """
    returned: list[object] = []
    monkeypatch.setattr(Tracer if method == "start_span" else Logger, method, broken)
    with joined(reader(), export="none"):
        everything(returned.append)
        take()
        d = bizspan.diagnostics()

    assert [42] == returned
    assert d.offered == d.acknowledged + sum(d.refused.values())
    assert d.swallowed


@pytest.mark.usefixtures("production_guard")
def test_a_processor_that_raises_takes_one_signal_away_and_no_other() -> None:
    """
    A log processor of the application raises for each record: spans and metrics are whole.
    """

    class Raising(Silent):
        def on_emit(self, log_record: Any) -> None:
            raise BrokenError

    memory = reader()
    with joined(memory, export="none") as application:
        application.logger_provider.add_log_record_processor(Raising())
        for _ in range(5):
            checkout()
        take()
        assert [5.0] == amounts(memory, "business.revenue")
        assert 5 == len(application.spans())
        assert 5 == bizspan.diagnostics().handed_over


def test_the_far_end_gets_a_copy_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A processor that changes an event's attributes changes neither the span nor the metric.
    """

    class Changing(Silent):
        def on_emit(self, log_record: Any) -> None:
            log_record.log_record.attributes["business.customer.segment"] = "changed"

    memory = reader()
    with joined(memory, export="none") as application:
        application.logger_provider.add_log_record_processor(Changing())
        checkout()
        take()
        data = memory.get_metrics_data()
        (span,) = application.spans()

    assert data is not None
    assert "gold" == span.attributes["business.customer.segment"]
