"""Where operations begin and end: generators, threads, tasks, garbage, depth."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from contextvars import Context, copy_context
from itertools import pairwise
from typing import Any

import pytest
from opentelemetry import context as otel

import bizspan
from bizspan import Money
from bizspan.context import frame
from bizspan.testing import Capture


@pytest.fixture(autouse=True)
def nothing_leaks(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever a test does: the caller's context is as before, and nothing failed to detach."""
    before = otel.get_current()
    yield
    assert frame.get() is None
    assert otel.get_current() is before
    assert [] == [record.message for record in caplog.records if "detach" in record.message]


def rows(number: int = 3) -> Iterator[int]:
    with bizspan.operation("import") as op:
        yield from range(number)
        op.revenue(number, "EUR")


async def rows_async(number: int = 3) -> AsyncIterator[int]:
    with bizspan.operation("import"):
        for row in range(number):
            yield row
            await asyncio.sleep(0)


def exhausted() -> None:
    assert [0, 1, 2] == list(rows())


def closed_early() -> None:
    running = rows()
    next(running)
    running.close()  # type: ignore[attr-defined]


def collected() -> None:
    running = rows()
    next(running)
    del running
    gc.collect()


def thrown_into() -> None:
    running: Any = rows()
    next(running)
    with pytest.raises(ValueError, match="stop"):
        running.throw(ValueError("stop"))


def closed_in_another_thread() -> None:
    running: Any = rows()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(next, running).result()
        pool.submit(lambda: Context().run(running.close)).result()


@pytest.mark.parametrize(
    ("use", "outcome"),
    [
        (exhausted, "success"),
        (closed_early, "cancelled"),
        (collected, "cancelled"),
        (thrown_into, "failed"),
        (closed_in_another_thread, "cancelled"),
    ],
)
def test_a_block_in_a_generator_ends_once(capbiz: Capture, use: Callable[[], None], outcome: str) -> None:
    """
    Row 46: exhausted, closed early, collected, thrown into, closed elsewhere.
    """
    use()

    assert [outcome] == [run.outcome for run in capbiz.operations("import")]
    capbiz.assert_consistent()


async def async_exhausted() -> None:
    assert [0, 1, 2] == [row async for row in rows_async()]


async def async_closed_early() -> None:
    running: Any = rows_async()
    await anext(running)
    await running.aclose()


async def async_closed_by_another_task() -> None:
    running: Any = rows_async()
    await asyncio.create_task(anext(running))
    await asyncio.create_task(running.aclose())


async def async_collected() -> None:
    running: Any = rows_async()
    await anext(running)
    gone = asyncio.Event()
    weakref.finalize(running, gone.set)
    del running
    gc.collect()
    await asyncio.wait_for(gone.wait(), 10)


async def async_thrown_into() -> None:
    running: Any = rows_async()
    await anext(running)
    with pytest.raises(ValueError, match="stop"):
        await running.athrow(ValueError("stop"))


@pytest.mark.parametrize(
    ("use", "outcome"),
    [
        (async_exhausted, "success"),
        (async_closed_early, "cancelled"),
        (async_closed_by_another_task, "cancelled"),
        (async_collected, "cancelled"),
        (async_thrown_into, "failed"),
    ],
)
def test_a_block_in_an_async_generator_ends_once(capbiz: Capture, use: Callable[[], Any], outcome: str) -> None:
    """
    Row 46 again, for async generators, in which OpenTelemetry's own blocks fail to detach.
    """
    asyncio.run(use())

    assert [outcome] == [run.outcome for run in capbiz.operations("import")]
    capbiz.assert_consistent()


def test_blocks_that_end_out_of_order_leave_the_callers_context_as_it_was(capbiz: Capture) -> None:
    """
    Row 46: a generator's operation ends inside the caller's; no ended operation stays current afterwards.
    """
    before = otel.get_current()
    for _ in range(3):
        running = rows()
        next(running)
        with bizspan.operation("caller") as caller:
            list(running)
            assert frame.get() is caller
        assert (None, before) == (frame.get(), otel.get_current())

    with bizspan.operation("later"):
        pass
    assert capbiz.spans("later")[0].parent is None


def test_a_context_block_in_a_generator_gives_the_callers_facts_back(capbiz: Capture) -> None:
    """
    The caller's own facts apply again once the generator is closed, also where it is closed early.
    """

    def told() -> Iterator[int]:
        with bizspan.context(segment="inner"):
            yield 1
            yield 2

    with bizspan.context(segment="outer"):
        running: Any = told()
        next(running)
        running.close()
        bizspan.event("after")

    assert 1 == len(capbiz.events("after", segment="outer"))


# --- threads and tasks --------------------------------------------------------------------------------------


def test_an_operation_may_end_in_another_thread(capbiz: Capture) -> None:
    """
    Row 50: it is recorded there, and the thread's own context stays as it was.
    """
    begun: list[Any] = []

    def begin() -> None:
        run = bizspan.operation("export")
        run.__enter__().revenue(5, "EUR")
        begun.append(run)

    starter = threading.Thread(target=begin)
    starter.start()
    starter.join()
    with bizspan.operation("mine") as mine:
        begun[0].__exit__(None, None, None)
        assert frame.get() is mine

    assert ["success"] == [run.outcome for run in capbiz.operations("export")]
    assert Money(5, "EUR") == capbiz.revenue("EUR")


def test_a_bare_thread_has_no_parent_and_a_copied_context_has_one(capbiz: Capture) -> None:
    """
    Row 50: threads start without context; who copies it keeps the link.
    """

    def work(name: str) -> None:
        with bizspan.operation(name):
            pass

    with bizspan.operation("request"), ThreadPoolExecutor(1) as pool:
        pool.submit(work, "bare").result()
        pool.submit(copy_context().run, work, "copied").result()

    (request,), (bare,), (copied,) = (capbiz.spans(name) for name in ("request", "bare", "copied"))
    assert bare.parent is None
    assert request.context.span_id == copied.parent.span_id


def test_run_in_executor_and_to_thread_record_their_own_runs(capbiz: Capture) -> None:
    """
    Row 50: a decorated function in an executor is a run of its own; to_thread keeps the parent.
    """

    @bizspan.operation("resize", segment=lambda size: size)
    def resize(size: str) -> str:
        return size.upper()

    async def main() -> list[str]:
        with bizspan.operation("request"):
            loop = asyncio.get_running_loop()
            return [await loop.run_in_executor(None, resize, "small"), await asyncio.to_thread(resize, "big")]

    assert ["SMALL", "BIG"] == asyncio.run(main())
    (small,), (big,) = (capbiz.operations("resize", segment=size) for size in ("small", "big"))
    (request,) = capbiz.operations("request")
    assert small.trace_id != request.trace_id
    assert big.trace_id == request.trace_id


def test_tasks_don_t_see_each_others_operations(capbiz: Capture) -> None:
    """
    Concurrent tasks each annotate their own operation.
    """

    async def one(order: str, turn: asyncio.Barrier) -> None:
        with bizspan.operation("checkout", order=order):
            await turn.wait()
            bizspan.annotate(plan=order)
            await turn.wait()

    async def main() -> None:
        turn = asyncio.Barrier(3)
        await asyncio.gather(*(one(f"o-{number}", turn) for number in range(3)))

    asyncio.run(main())

    assert {("o-0", "o-0"), ("o-1", "o-1"), ("o-2", "o-2")} == {
        (str(run.attributes["business.order.id"]), str(run.attributes["business.plan"]))
        for run in capbiz.operations("checkout")
    }


def test_a_cancelled_task_cancels_its_operation(capbiz: Capture) -> None:
    """
    Row 45: outcome cancelled, and the CancelledError goes on.
    """

    async def main() -> None:
        entered = asyncio.Event()

        async def wait() -> None:
            with bizspan.operation("checkout"):
                entered.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(wait())
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())

    assert 1 == len(capbiz.operations("checkout", outcome="cancelled", reason="cancelled_error"))


# --- never left ---------------------------------------------------------------------------------------------


def test_an_operation_that_nobody_left_is_abandoned_when_it_is_collected(capbiz: Capture) -> None:
    """
    Row 48: outcome cancelled, reason abandoned, with what was told.
    """

    def forget() -> None:
        bizspan.operation("checkout", order="o-1").__enter__().revenue(3, "EUR")

    Context().run(forget)
    gc.collect()

    (checkout,) = capbiz.operations("checkout", outcome="cancelled", reason="abandoned", order="o-1")
    assert Money(3, "EUR") == checkout.revenue
    assert Money(0, "EUR") == capbiz.revenue("EUR")
    capbiz.assert_consistent()


def test_ten_thousand_operations_deep_is_no_recursion(capbiz: Capture) -> None:
    """
    Row 49: each has its own record and links to its parent.
    """
    with ExitStack() as stack:
        for _ in range(10_000):
            stack.enter_context(bizspan.operation("step"))
        bizspan.annotate(plan="deepest")

    steps = capbiz.operations("step")
    spans = capbiz.spans("step")
    assert 10_000 == len(steps)
    assert [steps[0]] == [step for step in steps if step.attributes.get("business.plan") == "deepest"]
    assert all(inner.parent.span_id == outer.context.span_id for inner, outer in pairwise(spans))


def test_a_wall_clock_that_steps_back_changes_no_duration_and_no_order(capbiz: Capture) -> None:
    """
    Rows 38 and 39: durations come from the monotonic clock, the order from `bizspan.seq`.
    """
    pipeline = capbiz._pipeline
    now = pipeline.time_ns()

    pipeline.time_ns = lambda: now
    with bizspan.operation("first"):
        pipeline.time_ns = lambda: now - 3_600_000_000_000
        capbiz.tick(2)
    with bizspan.operation("second"):
        capbiz.tick(3)

    first, second = capbiz.operations()
    assert [2.0, 3.0] == sorted(point.sum for point in capbiz.points("business.operation.duration"))
    assert [1, 2] == [run.attributes["bizspan.seq"] for run in (first, second)]
    assert (now + 2_000_000_000, True) == (first.time_ns, second.time_ns < first.time_ns)
    assert all(span.end_time > span.start_time for span in capbiz.spans())
