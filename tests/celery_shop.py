"""Celery applications for tests: a broker in memory, and a real worker in this process."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import copy_context
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

from celery import Celery, signals
from celery.contrib.testing import worker
from celery.exceptions import Ignore, Reject
from opentelemetry.instrumentation.celery import CeleryInstrumentor

import bizspan
from bizspan.integrations import celery as ours
from bizspan.integrations.celery import Instrumentation
from tests.providers import Application

# How ours stands to OpenTelemetry's instrumentation, and whether that links spans instead of nesting them.
# Before 0.60b0 OpenTelemetry's instrumentation knows no links.
KNOWS_LINKS = "use_span_links" in Path(inspect.getfile(CeleryInstrumentor)).read_text("utf-8")
ORDERS = ["after", "before", "alone", *(["after, links", "before, links"] if KNOWS_LINKS else [])]
WAIT_S = 20.0


class CardDeclined(Exception):  # noqa: N818 - named like what happened
    """A refusal of the business."""


class Unpicklable(Exception):  # noqa: N818 - named like what it is
    """Celery replaces it by a wrapper."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


class Leaving:
    """Where the thread that the task ``leave`` leaves behind waits, and says that it is done."""

    go = threading.Event()
    done = threading.Event()


class Tracing:
    """The provider of the tracers that tasks use."""

    provider: Any = None


def shop(**settings: Any) -> Any:
    """An application with a queue of its own, and the tasks below."""
    app: Any = Celery(f"shop-{uuid4().hex}", broker="memory://", backend="cache+memory://", set_as_current=False)
    app.conf.update(
        task_default_queue=uuid4().hex,
        broker_transport_options={"polling_interval": 0.01},
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
        accept_content=["json", "pickle", "yaml", "msgpack"],
        **settings,
    )
    _define_charge(app)
    _define_others(app)
    return app


def _define_charge(app: Any) -> None:
    def charge(self: Any, how: str = "", order: str | None = None) -> str:
        if how == "leak":
            bizspan.context(plan=order).__enter__()
        bizspan.event("card.charged", order=order or str(self.request.id))
        with Tracing.provider.get_tracer("shop").start_as_current_span("inside"):
            pass
        if how in ENDS:
            raise ENDS[how]
        if how == "retry" and self.request.retries == 0:
            raise self.retry(countdown=0)
        if how == "late":
            bizspan.annotate(plan="pro")
            with bizspan.context(country="DE"):
                bizspan.event("inside.late")
        return how

    app.task(shared=False, name="charge", bind=True, throws=(CardDeclined,), max_retries=2)(charge)


def _define_others(app: Any) -> None:
    def step(*before: object, plan: str | None = None) -> str:
        if plan:
            bizspan.annotate(plan=plan)
        bizspan.event("step.taken")
        return ""

    app.task(shared=False, name="step")(step)

    def sender() -> None:
        bizspan.annotate(channel="web")
        app.send_task("step", kwargs={"plan": "pro"})

    app.task(shared=False, name="sender")(sender)

    def look(self: Any) -> dict[str, Any]:
        return dict(self.request.headers)

    app.task(shared=False, name="look", bind=True)(look)

    def leave() -> None:
        scope = copy_context()

        def late() -> None:
            Leaving.go.wait(WAIT_S)
            scope.run(bizspan.annotate, plan="pro")
            scope.run(bizspan.event, "left.behind")
            Leaving.done.set()

        threading.Thread(target=late).start()

    app.task(shared=False, name="leave")(leave)


# What the task ``charge`` raises, by its argument.
ENDS: dict[str, type[BaseException]] = {
    "failed": RuntimeError,
    "unpicklable": Unpicklable,
    "rejected": CardDeclined,
    "ignored": Ignore,
    "refused": Reject,
    "exit": SystemExit,
}


@contextmanager
def working(app: Any, pool: str = "solo", concurrency: int = 1) -> Generator[None]:
    """A worker in a thread of this process."""
    embedded: Any = worker
    with embedded.start_worker(
        app, pool=pool, concurrency=concurrency, perform_ping_check=False, shutdown_timeout=WAIT_S
    ):
        yield


@contextmanager
def instrumented(order: str, application: Application, **options: Any) -> Generator[Instrumentation]:
    """Both instrumentations, in one of `ORDERS`."""
    instrumentor: Any = CeleryInstrumentor
    postrun: Any = signals.task_postrun
    opentelemetry = instrumentor()
    settings = {"use_span_links": order.endswith("links"), "tracer_provider": application.tracer_provider}
    if order.startswith("after"):
        opentelemetry.instrument(**settings)
    try:
        with ours.instrument(**options) as running:
            if order.startswith("before"):
                opentelemetry.instrument(**settings)
            Ends.ids.clear()
            postrun.connect(Ends.receive, dispatch_uid="ends")
            yield running
    finally:
        postrun.disconnect(dispatch_uid="ends")
        if order != "alone":
            opentelemetry.uninstrument()


class Ends:
    """The tasks that were run to their very end: their results are there before that."""

    _changed = threading.Condition()
    ids: ClassVar[list[str]] = []

    @classmethod
    def receive(cls, task_id: str, state: str | None = None, **about: Any) -> None:
        """After all other receivers."""
        with cls._changed:
            cls.ids.append(task_id if state != "RETRY" else "")
            cls._changed.notify_all()

    @classmethod
    def wait(cls, *, task_id: str | None = None, number: int = 0) -> None:
        """Until this one has ended, or so many."""
        with cls._changed:
            assert cls._changed.wait_for(lambda: task_id in cls.ids if task_id else len(cls.ids) >= number, WAIT_S), (
                f"{task_id or number} does not end"
            )


def ran(result: Any) -> str:
    """Wait for a task to end, however it does; its state."""
    result.get(timeout=WAIT_S, propagate=False, interval=0.005)
    Ends.wait(task_id=str(result.id))
    return str(result.state)


def charged(app: Any, how: str = "") -> str:
    """Send one, and wait; its id."""
    result: Any = app.tasks["charge"].delay(how)
    if how not in ("ignored", "refused"):  # these leave no result behind
        ran(result)
    Ends.wait(task_id=str(result.id))
    return str(result.id)
