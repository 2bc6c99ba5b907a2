"""What customers answer."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

import bizspan
from bizspan.testing import Capture


def test_an_answer_is_an_event_and_a_histogram_point(capbiz: Capture) -> None:
    """
    Name, score and facts are on the event; name, dimensions and whole-number buckets on the metric.
    """
    bizspan.feedback("nps", 9, segment="smb", order="o-1")
    bizspan.feedback("nps", 3, segment="smb")
    bizspan.feedback("csat", Decimal("4.5"))

    (nps,) = [point for point in capbiz.points("business.feedback.score") if point.count == 2]
    answers = capbiz.events("business.feedback")
    assert [("nps", 9.0), ("nps", 3.0), ("csat", 4.5)] == [
        (answer.attributes["business.feedback.name"], answer.attributes["business.feedback.score"])
        for answer in answers
    ]
    assert {"business.feedback.name": "nps", "business.customer.segment": "smb"} == dict(nps.attributes)
    assert (12.0, [0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0]) == (nps.sum, list(nps.bucket_counts))
    assert [9.0, 3.0, 4.5] == [answer.attributes["business.feedback.score"] for answer in answers]
    capbiz.assert_consistent()


@pytest.mark.parametrize("score", [None, "9", True, float("nan"), float("inf"), 2**70, object()])
def test_a_score_that_is_no_number_is_dropped_and_its_event_kept(capbiz: Capture, score: Any) -> None:
    """
    The answer was given, so it stays; no metric counts it.
    """
    capbiz.allow("type")

    bizspan.feedback("nps", score)

    (answer,) = capbiz.events("business.feedback")
    assert "business.feedback.score" not in answer.attributes
    assert ([], {"type": 1}) == (
        capbiz.points("business.feedback.score"),
        bizspan.diagnostics().values_refused,
    )


def test_feedback_takes_time_and_ambient_facts(capbiz: Capture) -> None:
    """
    Answers may arrive by post.
    """
    with bizspan.context(segment="gold"):
        bizspan.feedback("ces", 5, time=1_700_000_000_000_000_000, attributes={"plan": "pro"})

    (answer,) = capbiz.events("business.feedback", segment="gold", plan="pro")
    assert 1_700_000_000_000_000_000 == answer.time_ns
