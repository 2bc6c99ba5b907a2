"""Emission tied to the commit, on a database that only knows how to begin and to end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.trace import StatusCode

import bizspan
from bizspan import _commit, names
from bizspan.testing import START_NS, Capture, capture
from tests.transactions import Database, Transaction, sell


@pytest.fixture
def told() -> Iterator[Capture]:
    with capture() as captured:
        yield captured


@pytest.fixture
def no_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in this process knows transactions."""
    monkeypatch.setattr(_commit, "_sources", [])


@pytest.fixture
def database(no_source: None) -> Database:
    source = Database()
    _commit.register(source)
    return source


# --- operations -----------------------------------------------------------------------------------------------------


def test_a_success_waits_for_the_commit(told: Capture, database: Database) -> None:
    """
    Nothing is told before the commit; then everything is, with the time at which the operation ended.
    """
    transaction = database.begin()
    sell(told)
    told.tick(60)
    before = (told.operations(), told.spans(), told.metric(names.METRIC_DURATION))
    transaction.commit()

    assert ([], [], 0) == before
    (sold,) = told.operations("checkout", outcome="success", segment="smb")
    (span,) = told.spans("checkout")
    ended_ns = START_NS + 1_000_000_000
    assert ended_ns == sold.time_ns == span.end_time
    assert 1.0 == sold.attributes[names.OPERATION_DURATION]
    assert 42 == told.metric(names.REVENUE)
    told.assert_consistent()


def test_a_rollback_makes_it_failed(told: Capture, database: Database) -> None:
    """
    Outcome failed, reason rolled_back; its revenue is told and not counted; the span has status ERROR and its true end.
    """
    transaction = database.begin()
    sell(told)
    told.tick(60)
    transaction.roll_back()

    (sold,) = told.operations("checkout", outcome="failed", reason="rolled_back")
    (span,) = told.spans("checkout")
    assert START_NS + 1_000_000_000 == sold.time_ns == span.end_time
    assert StatusCode.ERROR == span.status.status_code
    assert "42.00 EUR" == str(sold.revenue)
    assert 0 == told.revenue("EUR").minor_units == told.metric(names.REVENUE)
    assert 1 == told.metric(names.METRIC_DURATION)
    told.assert_consistent()


def test_the_second_currency_waits_as_well(told: Capture, database: Database) -> None:
    """
    Both currencies of an operation are decided by the commit, and cost counts with every outcome.
    """
    for end in (Transaction.commit, Transaction.roll_back):
        database.open.clear()
        transaction = database.begin()
        with bizspan.operation("checkout", emit="on_commit") as op:
            op.revenue(1, "EUR")
            op.revenue(2, "USD")
            op.cost(3, "GBP")
        end(transaction)

    assert ("1.00 EUR", "2.00 USD", "6.00 GBP") == (
        str(told.revenue("EUR")),
        str(told.revenue("USD")),
        str(told.costs("GBP")),
    )
    told.assert_consistent()


@pytest.mark.parametrize("outcome", ["rejected", "failed"])
def test_what_is_no_success_does_not_wait(told: Capture, database: Database, outcome: str) -> None:
    """
    A refusal or a failure stays one, whatever becomes of the transaction.
    """
    transaction = database.begin()
    with bizspan.operation("checkout", emit="on_commit") as op:
        op.reject("card_declined") if outcome == "rejected" else op.fail("gateway")

    assert 1 == len(told.operations("checkout", outcome=outcome))
    assert [] == transaction.held


def test_an_exception_is_told_at_once(told: Capture, database: Database) -> None:
    """
    The exception passes, and the operation failed, with its class.
    """
    transaction = database.begin()
    with pytest.raises(ValueError, match="no stock"), bizspan.operation("checkout", emit="on_commit"):
        raise ValueError("no stock")

    assert ["ValueError"] == [event.attributes[names.ERROR_TYPE] for event in told.operations(outcome="failed")]
    assert [] == transaction.held


def test_without_a_transaction_nothing_waits(told: Capture, database: Database) -> None:
    """
    A database that commits by itself leaves nothing to wait for.
    """
    sell(told)

    assert 1 == len(told.operations("checkout", outcome="success"))


def test_an_operation_that_waits_is_over(told: Capture, database: Database) -> None:
    """
    It is no longer the current one: what follows is not inside it, nor is the next span.
    """
    database.begin()
    with bizspan.operation("request"):
        sell(told)
        assert "request" == getattr(trace.get_current_span(), "name", None)
        bizspan.event("after")
    (request,) = told.operations("request")
    (after,) = told.events("after")

    assert request.attributes[names.OPERATION_ID] == after.attributes[names.OPERATION_ID]


def test_facts_are_those_of_its_end(told: Capture, database: Database) -> None:
    """
    A list that changes while the operation waits was told as it was.
    """
    transaction = database.begin()
    tags = ["a"]
    with bizspan.operation("checkout", emit="on_commit") as op:
        op.annotate(tags=tags)
    tags.append("b")
    transaction.commit()
    (sold,) = told.operations("checkout")

    assert ("a",) == tuple(sold.attributes["business.custom.tags"])  # type: ignore[arg-type]


def test_a_span_of_somebody_else_gets_the_outcome_while_it_records(told: Capture, database: Database) -> None:
    """
    On the current span the facts stand at once, and the outcome with the commit.
    """
    transaction = database.begin()
    tracer = told._memory.tracer_provider.get_tracer("framework")
    with tracer.start_as_current_span("GET /") as span:
        with bizspan.operation("checkout", emit="on_commit", span="current", segment="smb") as op:
            op.revenue(5, "EUR")
        assert 500 == span.attributes["business.revenue.minor_units"]
        assert names.OPERATION_OUTCOME not in span.attributes
        transaction.commit()
        assert "success" == span.attributes[names.OPERATION_OUTCOME]
    told.assert_consistent()


def test_a_span_that_ended_before_the_commit_lacks_the_outcome_and_that_is_counted(
    told: Capture, database: Database
) -> None:
    """
    The event has the outcome; that the span has not is counted as span_ended.
    """
    told.allow("span_ended")
    transaction = database.begin()
    tracer = told._memory.tracer_provider.get_tracer("framework")
    with (
        tracer.start_as_current_span("GET /"),
        bizspan.operation("checkout", emit="on_commit", span="current"),
    ):
        pass
    transaction.commit()

    assert 1 == len(told.operations("checkout", outcome="success"))
    assert ["emit: span_ended"] == list(told._pipeline.accounts.problems)


def test_a_span_that_ended_before_the_operation_is_left_alone(
    told: Capture, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """
    Such is a server's span whose answer is streamed. OpenTelemetry would warn of each attribute that comes later.
    """
    told.allow("span_ended")
    transaction = database.begin()
    span = told._memory.tracer_provider.get_tracer("framework").start_span("GET /")
    with trace.use_span(span), bizspan.operation("checkout", emit="on_commit", span="current"):
        span.end()
    transaction.commit()

    assert 1 == len(told.operations("checkout", outcome="success"))
    assert [] == [record.getMessage() for record in caplog.records if record.name.startswith("opentelemetry")]


@pytest.mark.parametrize("sampled", [True, False])
def test_sampling_makes_no_difference(database: Database, sampled: bool) -> None:
    """
    Event and metrics of a rolled-back operation are the same without a sampled span.
    """
    with capture(sampled=sampled) as captured:
        transaction = database.begin()
        sell(captured)
        transaction.roll_back()

        assert 1 == len(captured.operations("checkout", reason="rolled_back", segment="smb"))
        assert 1 == captured.metric(names.METRIC_DURATION, segment="smb")
        captured.assert_consistent()


def test_functions_wait_too(told: Capture, database: Database) -> None:
    """
    Decorated functions, coroutine functions and kept declarations; each gives its own result back at once.
    """

    @bizspan.operation("buy", emit="on_commit", revenue=lambda result: (result, "EUR"))
    def buy(price: int) -> int:
        return price

    @bizspan.operation("ship", emit="on_commit")
    async def ship() -> str:
        return "shipped"

    kept = bizspan.operation("pay")
    transaction = database.begin()
    assert 5 == buy(5)
    assert "shipped" == asyncio.run(ship())
    with kept(emit="on_commit"):
        pass
    with kept:
        pass
    assert ["pay"] == [event.name for event in told.operations()]
    transaction.commit()

    assert ["pay", "buy", "ship", "pay"] == [event.name for event in told.operations(outcome="success")]
    assert 5 == told.metric(names.REVENUE)
    told.assert_consistent()


# --- events ---------------------------------------------------------------------------------------------------------


def tell_all() -> None:
    bizspan.event("invoice.paid", revenue=(99, "EUR"), emit="on_commit")
    bizspan.refund(9, "EUR", order="o-1", emit="on_commit")
    bizspan.cost(3, "EUR", emit="on_commit")
    bizspan.feedback("nps", 9, emit="on_commit")


def test_events_wait_for_the_commit(told: Capture, database: Database) -> None:
    """
    Events, refunds, costs and answers count with the commit, at the time at which they were told.
    """
    transaction = database.begin()
    tell_all()
    told.tick(60)
    assert [] == told.events()
    transaction.commit()

    assert {START_NS} == {event.time_ns for event in told.events()}
    assert (99, 9, 3, 1) == tuple(
        told.metric(name) for name in (names.REVENUE, names.REFUND, names.COST, names.METRIC_FEEDBACK)
    )
    assert [None] * 4 == [event.outcome for event in told.events()]
    told.assert_consistent()


def test_events_of_a_rollback_count_nowhere(told: Capture, database: Database) -> None:
    """
    They arrive, say failed and rolled_back, keep their amounts for reading, and no metric counts them.
    """
    transaction = database.begin()
    tell_all()
    transaction.roll_back()

    assert {("failed", "rolled_back")} == {(event.outcome, event.reason) for event in told.events()}
    assert "99.00 EUR" == str(told.events("invoice.paid")[0].revenue)
    assert [0, 0, 0] == [figure("EUR").minor_units for figure in (told.revenue, told.refunds, told.costs)]
    kinds = (names.REVENUE, names.REFUND, names.COST, names.METRIC_FEEDBACK, names.METRIC_EVENTS)
    assert [0] * 5 == [told.metric(name) for name in kinds]
    told.assert_consistent()


def test_a_retry_under_the_same_key_counts(told: Capture, database: Database) -> None:
    """
    The attempt that was rolled back has a uid of its own, so the retry is no repeat of it.
    """
    for end in (Transaction.roll_back, Transaction.commit):
        database.open.clear()
        transaction = database.begin()
        bizspan.event("invoice.paid", revenue=(99, "EUR"), idempotency_key="i-1", emit="on_commit")
        with bizspan.operation("pay", idempotency_key="p-1", emit="on_commit") as op:
            op.revenue(1, "EUR")
        end(transaction)

    assert 4 == len({event.uid for event in (*told.events(), *told.operations())})
    assert 100 == told.metric(names.REVENUE)
    told.assert_consistent()


# --- the process's setting ------------------------------------------------------------------------------------------


def test_the_process_may_wait_for_commits(told: Capture, database: Database) -> None:
    """
    With configure(emit="on_commit") everything waits that does not say "now".
    """
    bizspan.configure(export="none", emit="on_commit")
    transaction = database.begin()

    @bizspan.operation("function")
    def function() -> None:
        pass

    with bizspan.operation("block"):
        function()
    with bizspan.operation("at once", emit="now"):
        pass
    bizspan.event("waits")
    bizspan.event("told", emit="now")
    assert ["at once"] == [event.name for event in told.operations()]
    assert ["told"] == [event.name for event in told.events()]
    transaction.commit()

    assert ["at once", "function", "block"] == [event.name for event in told.operations(outcome="success")]
    assert ["told", "waits"] == [event.name for event in told.events()]


def test_a_capture_has_the_setting_of_the_application(database: Database) -> None:
    """
    Tests see what production does: a capture inside a configured process waits as the process does.
    """
    with bizspan.configure(export="none", emit="on_commit"), capture() as captured:
        transaction = database.begin()
        bizspan.event("waits")
        assert [] == captured.events()
        transaction.commit()
        assert 1 == len(captured.events("waits"))


# --- several transactions, and how they tell ------------------------------------------------------------------------


def test_all_open_transactions_must_commit(told: Capture, database: Database) -> None:
    """
    With two databases open the first commit is not enough.
    """
    first, second = database.begin(), database.begin()
    sell(told)
    first.commit()
    assert [] == told.operations()
    second.commit()

    assert 1 == len(told.operations("checkout", outcome="success"))


def test_one_rollback_decides(told: Capture, database: Database) -> None:
    """
    One of two databases is rolled back: it is no success, and later words change nothing.
    """
    first, second = database.begin(), database.begin()
    sell(told)
    first.commit()
    second.roll_back()
    second.commit()
    first.roll_back()

    assert ["rolled_back"] == [event.reason for event in told.operations()]


def test_the_first_word_of_a_transaction_counts(told: Capture, database: Database) -> None:
    """
    A second one is neither taken for that of another transaction, nor takes the first one back.
    """
    first, second = database.begin(), database.begin()
    sell(told)
    first.commit()
    first.commit()
    first.roll_back()
    assert [] == told.operations()
    second.commit()

    assert ["success"] == [event.outcome for event in told.operations()]


def test_a_commit_on_another_thread_is_as_good(told: Capture, database: Database) -> None:
    """
    A hundred operations, ended by eight threads at once, each counted once.
    """
    transaction = database.begin()
    for _ in range(100):
        sell(told)
    threads = [threading.Thread(target=transaction.commit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 100 == len(told.operations("checkout", outcome="success"))
    told.assert_consistent()
