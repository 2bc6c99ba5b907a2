"""What every test of Celery in this process stands on: providers, workers, and what they told."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("celery")
pytest.importorskip("opentelemetry.instrumentation.celery")

import celery
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.trace import SpanKind

from bizspan import names
from bizspan.context import frame
from tests.celery_shop import (
    Tracing,
    shop,
    working,
)
from tests.providers import Application, joined, reader, take

canvas: Any = celery
SEGMENT, PLAN, ORDER, OUTCOME, REASON = (
    names.SEGMENT, names.PLAN, names.ORDER, names.OPERATION_OUTCOME, names.OPERATION_REASON,
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def root_logger() -> Iterator[None]:
    """A worker sets the root logger's level, and leaves it."""
    level = logging.getLogger().level
    yield
    logging.getLogger().setLevel(level)


@pytest.fixture(autouse=True)
def nothing_raised(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Celery logs what a receiver raises, and goes on: here that is a failure."""
    yield
    raised = [record for record in caplog.get_records("call") if "Signal handler" in record.getMessage()]
    assert [] == raised
    assert frame.get() is None


@pytest.fixture
def memory() -> InMemoryMetricReader:
    """The application's metric reader."""
    return reader()


@pytest.fixture
def application(memory: InMemoryMetricReader) -> Iterator[Application]:
    """An application's providers, joined."""
    with joined(memory, export="otlp") as running:
        Tracing.provider = running.tracer_provider
        yield running


@pytest.fixture(scope="module")
def solo() -> Iterator[Any]:
    """A shop with a worker, which takes seconds to stop."""
    app = shop()
    with working(app):
        yield app
    app.close()


@pytest.fixture(scope="module")
def threaded() -> Iterator[Any]:
    """The same with four threads."""
    app = shop()
    with working(app, "threads", 4):
        yield app
    app.close()


@pytest.fixture
def eager() -> Iterator[Any]:
    """A shop without a worker."""
    app = shop()
    yield app
    app.close()


def told(application: Application, name: str = names.EVENT_OPERATION) -> list[dict[str, Any]]:
    """The attributes of all events of a name, in their order."""
    take()
    return [dict(record.attributes) for record in application.logs() if record.event_name == name]


def spans(application: Application, name: str) -> list[Any]:
    return [span for span in application.spans() if span.name == name]


def operation_span(application: Application, order: str) -> Any:
    """The one span that carries the operation."""
    [span] = [span for span in application.spans() if names.OPERATION_NAME in span.attributes]
    assert ("charge", SpanKind.INTERNAL) if order == "alone" else ("run/charge", SpanKind.CONSUMER) == (
        span.name, span.kind,
    )  # fmt: skip
    return span
