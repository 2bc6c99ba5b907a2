"""A small day of a shop whose figures can be worked out by hand, and its tables."""

from __future__ import annotations

import csv
import io
from typing import Any

from bizspan import names
from bizspan.lens import Lens
from tests.lens.asking import ask
from tests.page.shop import DAY, START_NS, event, sold

AT = START_NS


def checkout(outcome: str = names.SUCCESS, **facts: Any) -> dict[str, Any]:
    """The facts of one checkout, by the short names of these facts."""
    keys = {
        "segment": names.SEGMENT, "country": names.COUNTRY, "campaign": names.CAMPAIGN, "feature": names.FEATURE,
        "reason": names.OPERATION_REASON, "traffic": names.TRAFFIC,
    }  # fmt: skip
    return {
        names.OPERATION_NAME: "checkout",
        names.OPERATION_OUTCOME: outcome,
        **{keys[name]: value for name, value in facts.items()},
    }


def small_day(lens: Lens, times: int = 1) -> None:
    """Five checkouts of customers in two currencies, one of staff, and a refund; each so many times."""
    told = (
        (checkout(segment="smb", country="DE"), sold(1250, "EUR")),
        (checkout(segment="smb", country="FR"), sold(2000, "EUR")),
        (checkout(segment="consumer", country="US"), sold(999, "USD")),
        (checkout(country="DE"), sold(5, "JPY")),
        (checkout(names.REJECTED, segment="smb", country="DE", reason="card_declined"), sold(700, "EUR", names.VALUE)),
        (checkout(segment="smb", country="DE", traffic="staff"), sold(99_900, "EUR")),
    )
    for again in range(times):
        for number, (facts, money) in enumerate(told):
            event(lens.intake, f"u-{again}-{number}", AT + number * 10**9, {**facts, **money})
        refund = {names.COUNTRY: "DE", **sold(250, "EUR", names.REFUND)}
        event(lens.intake, f"r-{again}", AT + 9 * 10**9, refund, name=names.EVENT_REFUND)


def table(lens: Lens, name: str, query: str = DAY) -> list[list[str]]:
    """A table of the page, read from its CSV."""
    answer = ask(lens, f"/csv/{name}?{query}", method="GET")
    assert 200 == answer.status, answer.body.decode()
    return list(csv.reader(io.StringIO(answer.body.decode(), newline="")))
