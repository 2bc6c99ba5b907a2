"""Rows 40 to 50 of the table of bad inputs: exceptions, interrupts, generators, threads, recursion."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import copy_context
from typing import Any

import pytest
from opentelemetry import context as otel

import bizspan
from bizspan import Money, SetupError, names
from bizspan.testing import Capture, capture
from tests.bad_inputs import only, refusals


@pytest.fixture
def told() -> Iterator[Capture]:
    """The capture, without its own check: here refusals are expected, and counted by each test."""
    with capture(check=False) as captured:
        yield captured


def decorated(extract: Callable[[], object], work: Callable[[], object]) -> Callable[[], object]:
    """A function with one extractor of its result-free arguments."""

    segment: Any = extract

    @bizspan.operation("checkout", segment=segment)
    def checkout() -> object:
        return work()

    return checkout


def raising(error: BaseException) -> Callable[[], object]:
    """A function that raises this."""

    def raises() -> object:
        raise error

    return raises


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(ValueError("x"), id="row 40: ValueError"),
        pytest.param(RecursionError("x"), id="row 41: RecursionError"),
        pytest.param(MemoryError("x"), id="row 41: MemoryError"),
    ],
)
def test_an_extractor_that_raises_costs_its_value_only(told: Capture, error: Exception) -> None:
    """
    The function runs, and its event says nothing of that fact.
    """
    assert 42 == decorated(raising(error), lambda: 42)()

    assert names.SEGMENT not in only(told.operations("checkout", outcome="success")).attributes
    assert {"extractor_failed": 1} == refusals()


@pytest.mark.parametrize("kind", [asyncio.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_row_42_an_interrupt_in_an_extractor_goes_on(told: Capture, kind: type[BaseException]) -> None:
    """
    The very object arrives, and the operation is finished once.
    """
    error = kind()
    with pytest.raises(kind) as caught:
        decorated(raising(error), lambda: 42)()

    assert error is caught.value
    assert "cancelled" == only(told.operations("checkout")).outcome


def test_row_43_a_function_that_raises_is_failed_and_untouched(told: Capture) -> None:
    """
    The same object, and its traceback ends where it was raised.
    """
    error = ValueError("no stock")
    with pytest.raises(ValueError, match="no stock") as caught:
        decorated(lambda: "gold", raising(error))()

    assert error is caught.value
    assert "raises" == caught.traceback[-1].name
    assert (None, None) == (error.__cause__, error.__context__)
    assert "ValueError" == only(told.operations("checkout", outcome="failed")).attributes[names.ERROR_TYPE]


def test_row_44_the_functions_exception_wins_over_the_extractors(told: Capture) -> None:
    """
    Nothing of the extractor's error clings to it.
    """
    error = ValueError("no stock")
    with pytest.raises(ValueError, match="no stock") as caught:
        decorated(raising(KeyError("segment")), raising(error))()

    assert error is caught.value
    assert (None, None) == (error.__cause__, error.__context__)
    assert "failed" == only(told.operations("checkout")).outcome


def test_row_45_a_cancelled_task_cancels_its_operation(told: Capture) -> None:
    """
    CancelledError goes on, so that the task is cancelled.
    """

    async def checkout(entered: asyncio.Event) -> None:
        with bizspan.operation("checkout"):
            entered.set()
            await asyncio.Event().wait()

    async def main() -> bool:
        entered = asyncio.Event()
        task = asyncio.create_task(checkout(entered))
        await entered.wait()
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert asyncio.run(main())
    assert "cancelled" == only(told.operations("checkout")).outcome


def rows() -> Iterator[int]:
    with bizspan.operation("import"):
        yield 1
        yield 2


async def async_rows() -> AsyncIterator[int]:
    with bizspan.operation("import"):
        yield 1
        yield 2


def close_early() -> None:
    generator: Any = rows()
    next(generator)
    generator.close()


def collect_early() -> None:
    generator = rows()
    next(generator)
    del generator
    gc.collect()


def throw_into() -> None:
    generator: Any = rows()
    next(generator)
    with pytest.raises(ValueError, match="x"):
        generator.throw(ValueError("x"))


def close_in_another_task() -> None:
    async def main() -> None:
        generator: Any = async_rows()
        await asyncio.create_task(generator.__anext__())
        await asyncio.create_task(generator.aclose())

    asyncio.run(main())


async def _all() -> list[int]:
    return [row async for row in async_rows()]


@pytest.mark.parametrize(
    ("use", "outcome"),
    [
        pytest.param(lambda: list(rows()), "success", id="exhausted"),
        pytest.param(close_early, "cancelled", id="closed early"),
        pytest.param(collect_early, "cancelled", id="collected"),
        pytest.param(throw_into, "failed", id="thrown into"),
        pytest.param(lambda: asyncio.run(_all()), "success", id="async, exhausted"),
        pytest.param(close_in_another_task, "cancelled", id="async, closed in another task"),
    ],
)
def test_row_46_a_block_in_a_generator_ends_once(
    told: Capture, use: Callable[[], object], outcome: str, caplog: pytest.LogCaptureFixture
) -> None:
    """
    However the generator ends, and without a word about contexts that can't be detached.
    """
    before = otel.get_current()
    use()

    assert outcome == only(told.operations("import")).outcome
    assert before is otel.get_current()
    assert [] == [record for record in caplog.records if "detach" in record.message]


def test_row_46_decorating_a_generator_is_refused_with_the_way_to_do_it() -> None:
    """
    Its body runs elsewhere than its call.
    """
    with pytest.raises(SetupError, match="wrap the loop that uses it"):
        bizspan.operation("import")(rows)


@pytest.mark.parametrize("kind", [StopIteration, StopAsyncIteration])
def test_row_47_stop_iteration_stays_what_it_is(told: Capture, kind: type[Exception]) -> None:
    """
    It passes a block and a decorated function as it is, never as a RuntimeError.
    """
    error = kind()
    with pytest.raises(kind) as in_function:
        decorated(lambda: "gold", raising(error))()
    with pytest.raises(kind) as in_block, bizspan.operation("checkout"):
        raise error

    assert error is in_function.value is in_block.value
    assert ["failed", "failed"] == [event.outcome for event in told.operations("checkout")]


def test_row_48_a_run_is_entered_once_left_once_and_never_lost(told: Capture) -> None:
    """
    Entering twice says so, leaving twice records once, and what nobody left is abandoned.
    """
    block = bizspan.operation("checkout")
    block.__enter__()
    with pytest.raises(SetupError, match="already entered"):
        block.__enter__()
    block.__exit__(None, None, None)
    block.__exit__(None, None, None)
    copy_context().run(lambda: bizspan.operation("left").__enter__())
    gc.collect()

    assert "success" == only(told.operations("checkout")).outcome
    assert ("cancelled", "abandoned") == (
        only(told.operations("left")).outcome,
        only(told.operations("left")).reason,
    )


def test_row_49_ten_thousand_nested_operations_are_no_recursion(told: Capture) -> None:
    """
    Each is recorded, and its event links to one parent only.
    """
    before = otel.get_current()
    blocks = [bizspan.operation("nested") for _ in range(10_000)]
    for block in blocks:
        block.__enter__()
    bizspan.annotate(plan="pro")
    for block in reversed(blocks):
        block.__exit__(None, None, None)

    assert 10_000 == len(told.operations("nested", outcome="success"))
    assert 1 == len(told.operations("nested", plan="pro"))
    assert before is otel.get_current()


def test_row_49_ten_thousand_nested_scopes_are_no_recursion(told: Capture) -> None:
    """
    The facts of all of them are resolved in a loop.
    """
    scopes = [bizspan.context(segment="gold") for _ in range(10_000)]
    for scope in scopes:
        scope.__enter__()
    bizspan.event("seen")
    for scope in reversed(scopes):
        scope.__exit__(None, None, None)

    assert 1 == len(told.events("seen", segment="gold"))


def test_row_50_an_operation_may_end_in_another_thread(told: Capture) -> None:
    """
    It works through its handle; a thread of its own has no parent.
    """
    block = bizspan.operation("checkout")
    run = copy_context().run(block.__enter__)

    def elsewhere() -> None:
        run.revenue("5.00", "EUR")
        bizspan.event("seen")
        block.__exit__(None, None, None)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()

    assert Money("5.00", "EUR") == only(told.operations("checkout", outcome="success")).revenue
    assert names.OPERATION_ID not in only(told.events("seen")).attributes
