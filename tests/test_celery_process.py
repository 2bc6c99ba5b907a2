"""Celery: many tasks and applications in one process, and switching on and off."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("celery")
pytest.importorskip("opentelemetry.instrumentation.celery")

from opentelemetry.trace import StatusCode

import bizspan
from bizspan import names
from bizspan.errors import SetupError
from bizspan.integrations import celery as ours
from tests.celery_fixtures import (
    ORDER,
    OUTCOME,
    PLAN,
    SEGMENT,
    application,
    eager,
    memory,
    nothing_raised,
    root_logger,
    solo,
    spans,
    threaded,
    told,
)
from tests.celery_shop import (
    WAIT_S,
    charged,
    instrumented,
    ran,
)
from tests.providers import Application

__all__ = ["application", "eager", "memory", "nothing_raised", "root_logger", "solo", "threaded"]  # fixtures


def test_two_applications_and_many_tasks_keep_their_facts_apart(
    solo: Any, threaded: Any, application: Application
) -> None:
    """
    What a task leaves open inside does not reach the next one of its thread.
    """
    with instrumented("after", application):
        results: list[Any] = []
        for number in range(200):
            app = (solo, threaded)[number % 2]
            with bizspan.context(segment=f"s{number}"):
                results.append(app.tasks["charge"].delay("leak", f"o{number}"))
        assert {"SUCCESS"} == {ran(result) for result in results}
    events = told(application, "card.charged")

    assert {(f"s{number}", f"o{number}", f"o{number}") for number in range(200)} == {
        (event[SEGMENT], event[PLAN], event[ORDER]) for event in events
    }
    assert 200 == len(events)


def test_a_resolver_that_fails_costs_its_facts_alone(solo: Any, application: Application) -> None:
    """
    The facts that came with the task are there, and it is counted.
    """

    def broken(request: object) -> dict[str, str]:
        raise RuntimeError

    tasks = {"charge": "charge"}
    with instrumented("after", application, tasks=tasks, resolver=broken), bizspan.context(segment="gold"):
        charged(solo)

    assert [("gold", "success")] == [(event[SEGMENT], event[OUTCOME]) for event in told(application)]
    assert {"extractor_failed": 1} == bizspan.diagnostics().values_refused


def test_while_nothing_is_configured_tasks_run(solo: Any) -> None:
    """
    One check, no header.
    """
    with ours.instrument(tasks={"charge": "charge"}) as running, bizspan.context(segment="gold"):
        assert "" == solo.tasks["charge"].delay().get(timeout=WAIT_S)
        assert {} == running._running


def test_uninstrument_takes_every_hook_back(eager: Any, application: Application) -> None:
    """
    And then it can be switched on again, with other tasks.
    """
    current = ours.instrument(tasks={"charge": "charge"})
    ours.switch_on({"charge": "other"})  # the application's own wins
    with pytest.raises(SetupError, match="switched on"):
        ours.instrument()
    eager.tasks["charge"].apply()
    current.uninstrument()
    eager.tasks["charge"].apply()
    with ours.instrument(tasks={"charge": "again"}):
        eager.tasks["charge"].apply()

    assert ["charge", "again"] == [event[names.OPERATION_NAME] for event in told(application)]
    assert ours._current is None


def test_the_applications_own_call_wins_over_the_files(eager: Any, application: Application) -> None:
    """
    A worker that calls `instrument` starts under `opentelemetry-instrument` too.
    """
    ours.switch_on({"charge": "of.the.file"})
    with ours.instrument(tasks={"charge": "of.the.code"}):
        eager.tasks["charge"].apply()

    assert ["of.the.code"] == [event[names.OPERATION_NAME] for event in told(application)]


@pytest.mark.parametrize(
    "wrong", [{"tasks": ["charge"]}, {"tasks": {"charge": ""}}, {"tasks": {1: "charge"}}, {"resolver": "segment"}]
)
def test_wrong_options_are_refused_at_set_up(wrong: dict[str, Any]) -> None:
    """
    And nothing is switched on.
    """
    with pytest.raises(SetupError):
        ours.instrument(**wrong)

    assert ours._current is None


def test_a_failed_operation_without_instrumentation_has_a_failed_span(solo: Any, application: Application) -> None:
    """
    Its own; it is no longer current when the next task comes.
    """
    with instrumented("alone", application, tasks={"charge": "charge"}):
        charged(solo, "failed")
        charged(solo)
    failed, fine = spans(application, "charge")

    assert (StatusCode.ERROR, StatusCode.UNSET) == (failed.status.status_code, fine.status.status_code)
    assert failed.context.trace_id != fine.context.trace_id
