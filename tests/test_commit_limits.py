"""What bounds emission on commit, and what is refused."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import bizspan
from bizspan import SetupError, _active, _commit, _guard, names
from bizspan._accounts import Accounts
from bizspan._commit import Held
from bizspan._record import Record
from bizspan.testing import START_NS, Capture, capture
from tests import child
from tests.transactions import Database, sell

BOUND_S = 900


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


# --- what bounds it -------------------------------------------------------------------------------------------------


def test_after_fifteen_minutes_it_is_unknown(told: Capture, database: Database) -> None:
    """
    Nobody told how the transaction ended: failed, reason unknown, with the true end time; a late word changes nothing.
    """
    transaction = database.begin()
    sell(told)
    told.tick(BOUND_S - 1)
    assert [] == told.operations()
    told.tick(1)
    (sold,) = told.operations("checkout", outcome="failed", reason="unknown")
    transaction.commit()

    assert START_NS + 1_000_000_000 == sold.time_ns
    assert 1 == len(told.operations())
    assert 0 == told.metric(names.REVENUE)
    told.assert_consistent()


def test_the_bound_needs_nobody_to_look(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    In a process that tells nothing more the consumer's thread gives up by itself.
    """
    monkeypatch.setattr(_commit, "BOUND_S", 0.1)
    arrived = threading.Event()
    with bizspan.configure(export="none"):
        pipeline = _active.current
        assert pipeline is not None

        def sink(record: Record, sequence: int) -> None:
            arrived.set()

        pipeline.sinks = (sink,)
        database.begin()
        with bizspan.operation("checkout", emit="on_commit"):
            pass

        assert arrived.wait(10)
    assert 0 == len(pipeline.waiting)


def test_what_is_beyond_the_limit_does_not_wait(
    told: Capture, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    At most so many wait; the next is told at once, as unknown, and that is counted.
    """
    monkeypatch.setattr(_commit, "LIMIT", 2)
    told.allow("too_many_held")
    transaction = database.begin()
    for _ in range(3):
        sell(told)
    assert ["unknown"] == [event.reason for event in told.operations()]
    transaction.commit()

    assert 2 == len(told.operations("checkout", outcome="success"))
    told.assert_consistent()


def test_giving_up_many_is_no_recursion(database: Database) -> None:
    """
    Receipts are printed on the thread that tells, and each looks for the next that is overdue.
    """
    ended: list[str | None] = []
    now = [0]
    waiting = _commit.Waiting(Accounts(), lambda: now[0], lambda: None)

    def finish(reason: str | None) -> None:
        ended.append(reason)
        waiting.give_up_overdue()

    database.begin()
    for _ in range(5000):
        assert waiting.hold(finish)
    now[0] = BOUND_S * 10**9
    waiting.give_up_overdue()

    assert ["unknown"] * 5000 == ended
    assert waiting.due_in_s() is None


def test_shutting_down_while_another_thread_gives_up(database: Database) -> None:
    """
    The other thread is in the middle of one that is overdue: shutting down tells the rest itself.
    """
    ended: list[str | None] = []
    now = [0]
    entered, go_on = threading.Event(), threading.Event()
    waiting = _commit.Waiting(Accounts(), lambda: now[0], lambda: None)

    def slow(reason: str | None) -> None:
        entered.set()
        assert go_on.wait(10)
        ended.append(reason)

    database.begin()
    waiting.hold(slow)
    now[0] = 10**9
    for _ in range(3):
        waiting.hold(ended.append)
    now[0] = BOUND_S * 10**9
    thread = threading.Thread(target=waiting.give_up_overdue)
    thread.start()
    assert entered.wait(10)
    waiting.give_up()
    told = list(ended)
    go_on.set()
    thread.join()

    assert ["unknown"] * 3 == told
    assert ["unknown"] * 4 == ended


def test_shutting_down_from_the_one_that_is_given_up(database: Database) -> None:
    """
    A signal handler shuts down in the middle of it, on the same thread: the rest is told before it returns.
    """
    ended: list[str] = []
    now = [0]
    waiting = _commit.Waiting(Accounts(), lambda: now[0], lambda: None)

    def shuts_down(reason: str | None) -> None:
        waiting.give_up()
        ended.append("overdue")

    def finish(reason: str | None) -> None:
        waiting.give_up()
        ended.append("the rest")

    database.begin()
    waiting.hold(shuts_down)
    now[0] = 10**9
    for _ in range(2000):
        waiting.hold(finish)
    now[0] = BOUND_S * 10**9
    waiting.give_up_overdue()

    assert ["the rest"] * 2000 + ["overdue"] == ended


def test_shutting_down_ends_what_waits(database: Database) -> None:
    """
    The end of a pipeline leaves nothing behind: unknown, before it closes.
    """
    with capture() as captured:
        transaction = database.begin()
        sell(captured)
        captured._pipeline.close()
        transaction.commit()

        assert ["unknown"] == [event.reason for event in captured.operations("checkout", outcome="failed")]
        captured.assert_consistent()


PROGRAM = """
import sys
import bizspan
from bizspan import _commit
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

class Printed(SpanProcessor):
    def on_end(self, span):
        print("span", span.name, flush=True)

provider = TracerProvider()
provider.add_span_processor(Printed())
trace.set_tracer_provider(provider)

class Endless:
    def open_transactions(self):
        return [self]
    def hold(self, held):
        kept.append(held)

kept = []
_commit.register(Endless())
bizspan.configure(service_name="shop", export="console")
with bizspan.operation("checkout", emit="on_commit") as op:
    op.revenue(42, "EUR")
bizspan.event("invoice.paid", emit="on_commit")
"""


def test_an_exit_ends_what_waits() -> None:
    """
    The process ends in the middle of a transaction: its records are told as unknown.
    """
    ended = child.run(PROGRAM)

    assert (0, "span checkout\n") == (ended.code, ended.out)
    receipts = [line.split("  ")[0] for line in ended.err.splitlines()]
    assert ["checkout ✗ failed (unknown) 42.00 EUR", "invoice.paid ✗ failed (unknown)"] == receipts


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_forked_child_leaves_it_to_its_parent() -> None:
    """
    In the child the transaction's end tells nothing; in the parent it does, once.
    """
    program = PROGRAM + (
        "import os\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    for held in kept:\n"
        "        held.rolled_back()\n"
        "    sys.exit(0)\n"
        "assert 0 == os.waitpid(pid, 0)[1]\n"
        "for held in kept:\n"
        "    held.committed()\n"
    )
    ended = child.run(program)

    assert (0, "span checkout\n") == (ended.code, ended.out), ended.err
    assert ["checkout ✓ 42.00 EUR", "invoice.paid ·"] == [line.split("  ")[0] for line in ended.err.splitlines()]


# --- what is refused ------------------------------------------------------------------------------------------------


def decorated() -> None:
    @bizspan.operation("checkout", emit="on_commit")
    def function() -> None:
        pass

    function()


def entered() -> None:
    with bizspan.operation("checkout", emit="on_commit"):
        pass


@pytest.mark.parametrize("first_use", [decorated, entered])
def test_an_operation_needs_transactions_that_are_known(no_source: None, first_use: Callable[[], None]) -> None:
    """
    Where nothing knows transactions its first run says what to do, configured or not.
    """
    with pytest.raises(SetupError, match=r"add 'bizspan\.integrations\.django' to INSTALLED_APPS.*or call bizspan\.i"):
        first_use()
    with capture(), pytest.raises(SetupError, match="needs to know your database's transactions"):
        first_use()


def test_the_process_setting_never_raises_into_business_code(told: Capture, no_source: None) -> None:
    """
    A script without django.setup(): operations and events are told at once, and the lack is counted.
    """
    told.allow("no_transactions")
    bizspan.configure(export="none", emit="on_commit")
    with bizspan.operation("checkout"):
        bizspan.event("told")
    bizspan.event("asked for", emit="on_commit")

    assert 1 == len(told.operations("checkout", outcome="success"))
    assert 2 == len(told.events())
    assert 3 == told._pipeline.accounts.values_refused.values()["no_transactions"]


def test_the_process_setting_is_refused_where_it_can_never_work(
    no_source: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Neither Django nor SQLAlchemy is installed: configure() says so.
    """

    def find_nothing(name: str) -> None:
        return None

    monkeypatch.setattr("importlib.util.find_spec", find_nothing)

    with pytest.raises(SetupError, match="needs Django or SQLAlchemy, and neither is installed"):
        bizspan.configure(export="none", emit="on_commit")


def test_wrong_words_are_refused(told: Capture, database: Database) -> None:
    """
    At set-up they raise; in a block and an event they are counted, and the process's setting applies.
    """
    wrong: Any = "later"

    def function() -> None:
        pass

    with pytest.raises(SetupError, match="emit='later' is unknown; use 'now' or 'on_commit'"):
        bizspan.operation("checkout", emit=wrong)(function)
    with pytest.raises(SetupError, match="emit='later' is unknown; use 'now' or 'on_commit'"):
        bizspan.configure(export="none", emit=wrong)
    told.allow("type")
    database.begin()
    values: list[Any] = [wrong, "", 5, object()]
    for value in values:
        with bizspan.operation("checkout", emit=value):
            pass
        bizspan.event("told", emit=value)

    assert 4 == len(told.operations("checkout")) == len(told.events("told"))
    assert {"type": 8} == told._pipeline.accounts.values_refused.values()


class Broken:
    def open_transactions(self) -> list[Any]:
        raise RuntimeError("broken")


class BrokenTransaction:
    def hold(self, held: Held) -> None:
        raise RuntimeError("broken")


def test_a_broken_source_is_as_none(database: Database, production_guard: None) -> None:
    """
    What can't say whether a transaction is open does not keep anything from being told.
    """
    _commit.register(Broken())
    before = _guard.swallowed_errors.values().get("asking for open transactions", 0)
    with capture(check=False) as captured:
        sell(captured)

        assert 1 == len(captured.operations("checkout", outcome="success"))
        assert before + 1 == _guard.swallowed_errors.values()["asking for open transactions"]


def test_a_broken_transaction_is_as_none(database: Database, production_guard: None) -> None:
    """
    One that can't hold anything leaves the decision to the others.
    """
    database.open.append(BrokenTransaction())
    transaction = database.begin()
    with capture(check=False) as captured:
        sell(captured)
        assert [] == captured.operations()
        transaction.commit()

        assert ["success"] == [event.outcome for event in captured.operations("checkout")]


def test_unconfigured_nothing_happens(database: Database) -> None:
    """
    Without a pipeline the block runs, and no transaction is asked to hold anything.
    """
    transaction = database.begin()
    with bizspan.operation("checkout", emit="on_commit") as op:
        op.revenue(5, "EUR")
    bizspan.event("told", emit="on_commit")

    assert [] == transaction.held
