"""Celery: what a message carries, and what it may not."""

from __future__ import annotations

import logging
from typing import Any

import pytest

pytest.importorskip("celery")
pytest.importorskip("opentelemetry.instrumentation.celery")

from opentelemetry import baggage
from opentelemetry import context as otel
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

import bizspan
from bizspan import names
from tests.celery_fixtures import (
    OUTCOME,
    REASON,
    SEGMENT,
    application,
    eager,
    memory,
    nothing_raised,
    root_logger,
    solo,
    threaded,
    told,
)
from tests.celery_shop import (
    WAIT_S,
    Ends,
    charged,
    instrumented,
    ran,
    shop,
)
from tests.providers import Application, points

__all__ = ["application", "eager", "memory", "nothing_raised", "root_logger", "solo", "threaded"]  # fixtures


@pytest.mark.parametrize("serializer", ["json", "pickle", "yaml", "msgpack"])
@pytest.mark.parametrize("protocol", [1, 2])
def test_every_serialiser_and_message_protocol_carries_the_facts(
    solo: Any, application: Application, serializer: str, protocol: int
) -> None:
    """
    They are in the message's headers, not in its body.
    """
    if serializer in ("yaml", "msgpack"):
        pytest.importorskip(serializer)
    sender = shop(task_protocol=protocol)
    sender.conf.task_default_queue = solo.conf.task_default_queue
    with instrumented("alone", application):
        with bizspan.context(segment="gold", customer="ann@example.org", attributes={"colours": ["a", "b"]}):
            bizspan.event("here")
            result: Any = sender.tasks["charge"].apply_async(serializer=serializer)
        ran(solo.AsyncResult(result.id))
    sender.close()
    [here], [there] = told(application, "here"), told(application, "card.charged")

    assert "gold" == there[SEGMENT]
    assert ("a", "b") == there["business.custom.colours"]
    assert here[names.CUSTOMER] == there[names.CUSTOMER]
    assert "ann" not in there[names.CUSTOMER]


def test_facts_travel_and_baggage_does_not_unless_opentelemetry_sends_it(solo: Any, application: Application) -> None:
    """
    Without its instrumentation there is a `traceparent` from us, and no baggage.
    """
    tracer = application.tracer_provider.get_tracer("web")
    with instrumented("alone", application), tracer.start_as_current_span("page"):
        token = otel.attach(baggage.set_baggage("secret", "1"))
        with bizspan.context(segment="gold"):
            headers: Any = solo.tasks["look"].delay().get(timeout=WAIT_S)
        otel.detach(token)

    assert {SEGMENT: "gold"} == headers["bizspan"]
    assert ["bizspan", "traceparent"] == sorted(headers)


@pytest.mark.parametrize(
    "header",
    [
        "text",
        ["a", "list"],
        {"a": {"b": [1] * 1000}},
        {names.MINOR_UNITS_KEYS[names.REVENUE]: 100},
        {names.OPERATION_OUTCOME: "success", names.OPERATION_ID: "secret"},
        {names.CUSTOMER: "secret@example.org"},
        {f"secret{number}": "x" * 100 for number in range(10_000)},
        {names.SEGMENT: "secret" * 100_000},
    ],
)
def test_a_hostile_header_is_counted_and_harms_nothing(
    solo: Any, application: Application, caplog: pytest.LogCaptureFixture, header: object
) -> None:
    """
    Nothing of it is on an event, and nothing is logged of its content; a segment that is too long is cut.
    """
    with caplog.at_level(logging.INFO), instrumented("after", application, tasks={"charge": "charge"}):
        result = solo.tasks["charge"].apply_async(headers={"bizspan": header, "bizspan_running": "x"})
        assert "SUCCESS" == ran(result)
    [operation] = told(application)

    ours_alone = {names.OPERATION_NAME, names.OPERATION_ID, OUTCOME, names.RECORD_UID, names.OPERATION_DURATION}
    assert ours_alone | {SEGMENT} >= {key for key in operation if not key.startswith("bizspan.")}
    assert 256 >= len(str(operation.get(SEGMENT, "")))
    assert "secret" != operation[names.OPERATION_ID]
    assert bizspan.diagnostics().values_refused or SEGMENT in operation
    assert "secret" not in caplog.text


def test_a_sender_that_knows_more_facts_than_the_worker_loses_those_alone(solo: Any, application: Application) -> None:
    """
    And a sender without bizspan is a task without facts; a worker without bizspan runs the task.
    """
    charge = solo.tasks["charge"]
    with instrumented("alone", application):
        ran(charge.apply_async(headers={"bizspan": {"crm.stage": "won", SEGMENT: "gold"}}))
        ran(charge.delay())
    assert "" == charge.apply_async(headers={"bizspan": {SEGMENT: "gold"}}).get(timeout=WAIT_S)

    assert ["gold", None, None] == [event.get(SEGMENT) for event in told(application, "card.charged")]
    assert {"invalid": 1} == bizspan.diagnostics().values_refused


def test_facts_stay_here_where_that_is_asked_for(solo: Any, application: Application) -> None:
    """
    Neither sent, nor taken from those who send them.
    """
    with instrumented("after", application, propagate_facts=False), bizspan.context(segment="gold"):
        charged(solo)
        ran(solo.tasks["charge"].apply_async(headers={"bizspan": {SEGMENT: "gold"}}))

    assert [None, None] == [event.get(SEGMENT) for event in told(application, "card.charged")]


def test_a_message_that_is_delivered_twice_is_one_fact(
    solo: Any, application: Application, memory: InMemoryMetricReader
) -> None:
    """
    Its two runs have one uid for each outcome and count once; an attempt that the task asked for is another fact.
    """
    with instrumented("after", application, tasks={"charge": "charge"}):
        for delivery in (1, 2):
            for how in ("", "failed", "retry"):
                solo.tasks["charge"].apply_async((how,), task_id=f"the-same-{how}")
            Ends.wait(number=4 * delivery)

    found = [(event[OUTCOME], event.get(REASON), event[names.RECORD_UID]) for event in told(application)]
    counted = {
        point.attributes[OUTCOME]: point.count for point in points(memory.get_metrics_data(), names.METRIC_DURATION)
    }
    assert 8 == len(found)
    assert [("failed", "retry"), ("failed", None), ("success", None), ("success", None)] == sorted(
        ((outcome, reason) for outcome, reason, _ in {*found}), key=str
    )
    assert {"failed": 2, "success": 2} == counted
