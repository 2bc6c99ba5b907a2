"""Flask: the outcome of a request, and by what its operation is found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("flask")

from flask import Flask, abort, redirect

import bizspan
from bizspan import names
from bizspan.integrations.flask import Route
from bizspan.testing import capture
from tests.flask_shops import GOLD, nothing_left, shop


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """See `nothing_left`."""
    with nothing_left():
        yield


def outcomes() -> Flask:
    """An application whose views end in every way."""
    app = shop(routes={"POST /checkout/<how>": "checkout", "/nowhere/<page>": "lost"})

    @app.post("/checkout/<how>")
    def checkout(how: str) -> Any:
        if how == "abort":
            abort(404)
        if how in ("handled", "raises"):
            raise KeyError(how) if how == "handled" else LookupError(how)
        return {"sold": "sold", "redirect": redirect("/", 303), "none": None}[how]

    @app.errorhandler(KeyError)
    def handled(error: KeyError) -> tuple[str, int]:
        return "conflict", 409

    return app


@pytest.mark.parametrize(
    ("how", "status", "outcome", "reason", "error"),
    [
        ("sold", 200, "success", None, None),
        ("redirect", 303, "success", None, None),
        ("abort", 404, "rejected", "http_404", None),
        ("handled", 409, "rejected", "http_409", None),
        ("raises", 500, "failed", "http_500", "LookupError"),
        ("none", 500, "failed", "http_500", "TypeError"),
    ],
)
def test_the_status_gives_the_outcome(
    how: str, status: int, outcome: str, reason: str | None, error: str | None
) -> None:
    """
    A refusal from 400, a failure from 500, with the error's type where there is one.
    """
    app = outcomes()
    with capture() as captured:
        answer = app.test_client().post(f"/checkout/{how}", headers=GOLD)
        [operation] = captured.operations("checkout", segment="gold")

        assert status == answer.status_code
        assert (outcome, reason) == (operation.outcome, operation.reason)
        assert error == operation.attributes.get(names.ERROR_TYPE)
        captured.assert_consistent()


def test_an_error_that_is_propagated_fails_the_operation() -> None:
    """
    As in tests and in debug mode; the same exception arrives.
    """
    app = outcomes()
    app.testing = True
    with capture() as captured:
        with pytest.raises(LookupError):
            app.test_client().post("/checkout/raises")
        [operation] = captured.operations("checkout")

        assert ("failed", "LookupError") == (operation.outcome, operation.attributes[names.ERROR_TYPE])


def test_a_path_without_a_rule_can_be_an_operation() -> None:
    """
    By its path: what customers look for and do not find.
    """
    app = outcomes()
    with capture() as captured:
        assert 404 == app.test_client().get("/nowhere/promo").status_code
        assert 1 == len(captured.operations("lost", outcome="rejected", reason="http_404"))


def test_a_route_is_known_by_its_rule_its_endpoint_or_its_path() -> None:
    """
    With feature, facts, and the revenue of the answer; what is excluded is left alone.
    """
    earned = Route(operation="order", feature="basket", revenue=lambda _, response: (response.get_json()["eur"], "EUR"))
    app = shop(routes={"POST /orders/<int:number>": earned, "hello": "greeting"}, exclude=["/health"])

    @app.post("/orders/<int:number>")
    def place(number: int) -> dict[str, str]:
        return {"eur": f"{number}.50"}

    @app.get("/health")
    def health() -> str:
        bizspan.event("asked")
        return "fine"

    app.add_url_rule("/", "hello", lambda: "hello")
    with capture() as captured:
        client = app.test_client()
        for _ in range(2):
            client.post("/orders/7", headers=GOLD)
        client.get("/")
        client.get("/health", headers=GOLD)

        assert 2 == len(captured.operations("order", feature="basket", segment="gold"))
        assert "15.00 EUR" == str(captured.revenue("EUR"))
        assert 1 == len(captured.operations("greeting"))
        assert [None] == [event.attributes.get(names.SEGMENT) for event in captured.events("asked")]
