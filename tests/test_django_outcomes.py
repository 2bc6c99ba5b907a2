"""How a request of Django ended: by its answer, by an exception, by its transaction."""

# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportIndexIssue=false, reportGeneralTypeIssues=false
# mypy: ignore-errors
# Django ships no types.
from __future__ import annotations

import asyncio
from collections.abc import Generator
from importlib.util import find_spec
from typing import Any

import pytest

if find_spec("django") is None:
    pytest.skip("needs Django", allow_module_level=True)

from tests.django_site import started

# isort: split
# Models can be imported once a project has started.
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.http import HttpResponse
from django.test import Client, RequestFactory, override_settings

import bizspan
from bizspan import names
from bizspan.integrations.django import Middleware, _middleware
from bizspan.testing import capture
from tests.django_site import urls
from tests.django_site.models import Order
from tests.django_site.visits import (
    BOTH,
    TELEMETRY,
    atomic_requests,
    client,
    instrumented,
    nothing_left,
    served,
    site,
)

assert started


@pytest.fixture(autouse=True)
def nothing_is_left() -> Generator[None]:
    """No request stays the scope of the thread that served it."""
    with nothing_left():
        yield


# --- outcomes ---------------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(("path", "reason"), [("/missing/", "http_404"), ("/denied/", "http_403")])
def test_a_refusal_by_exception_is_a_rejection(way: str, path: str, reason: str) -> None:
    """
    Http404 and PermissionDenied are answers, not failures.
    """
    with site(ROUTES={path: "look"}), capture() as captured:
        client(way).get(path)

        assert 1 == len(captured.operations("look", outcome="rejected", reason=reason))


def test_a_refusal_by_status_is_a_rejection() -> None:
    """
    A view that answers 409 has rejected.
    """
    with site(ROUTES={"store:reject": "order"}), capture() as captured:
        Client().get("/shop/reject/")

        assert 1 == len(captured.operations("order", outcome="rejected", reason="http_409"))


@BOTH
def test_a_view_that_raises_has_failed(way: str) -> None:
    """
    Django answers 500; operation and entry span say what was raised.
    """
    path = "/broken/async/" if way == "asgi" else "/broken/"
    with site(ROUTES={path: "work"}), capture() as captured:
        with instrumented(captured):
            assert 500 == client(way, raise_request_exception=False).get(path).status_code

        (operation,) = captured.operations("work", outcome="failed")
        assert "LookupError" == operation.attributes[names.ERROR_TYPE]
        assert ["failed"] == [span.attributes[names.OPERATION_OUTCOME] for span in served(captured)]


@BOTH
def test_an_exception_that_nobody_turned_into_an_answer_passes(way: str) -> None:
    """
    What leaves the middleware below is the very exception, and the operation has failed.
    """
    error = LookupError("no such bin")

    def raises(request: Any) -> Any:
        raise error

    async def raises_async(request: Any) -> Any:
        raise error

    with site(ROUTES={"/x": "work"}), capture() as captured:
        middleware = Middleware(raises_async if way == "asgi" else raises)
        with pytest.raises(LookupError) as raised:
            answer = middleware(RequestFactory().get("/x"))
            asyncio.run(answer)

        assert raised.value is error
        assert 1 == len(captured.operations("work", outcome="failed"))


def test_a_client_that_hangs_up_has_cancelled() -> None:
    """
    Django cancels the view's task, and the operation is cancelled with it.
    """

    async def hang_up() -> None:
        begun = asyncio.Event()

        async def waits(request: Any) -> HttpResponse:
            begun.set()
            await asyncio.Event().wait()
            raise AssertionError

        task = asyncio.create_task(Middleware(waits)(RequestFactory().get("/x")))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with site(ROUTES={"/x": "work"}), capture() as captured:
        asyncio.run(hang_up())

        assert 1 == len(captured.operations("work", outcome="cancelled"))


def test_a_refused_csrf_token_is_a_rejection() -> None:
    """
    Another middleware answers before the view, and before ours has seen the view.
    """
    with site(ROUTES={"sign-up": "signup"}), capture() as captured:
        assert 403 == Client(enforce_csrf_checks=True).post("/sign-up/").status_code

        assert 1 == len(captured.operations("signup", outcome="rejected", reason="http_403"))


@BOTH
@pytest.mark.parametrize(("position", "recorded"), [(0, 0), (99, 1)])
def test_a_middleware_that_answers_by_itself(way: str, position: int, recorded: int) -> None:
    """
    Before ours there is nothing to record; behind ours its answer is the request's. The next request is unharmed.
    """
    middleware = list(settings.MIDDLEWARE)
    middleware.insert(position, "tests.django_site.middleware.teapot")
    options = {"ROUTES": {"/quiet/": "quiet"}, "RESOLVER": f"{TELEMETRY}.by_user"}
    with site(**options), override_settings(MIDDLEWARE=middleware), capture() as captured:
        browser = client(way)
        browser.force_login(User.objects.get(username="ada"))

        assert 418 == browser.get("/quiet/", headers={"X-Teapot": "1"}).status_code
        assert recorded == len(captured.operations("quiet", outcome="rejected", reason="http_418", segment="gold"))
        assert 200 == browser.get("/quiet/").status_code
        assert 1 == len(captured.operations("quiet", outcome="success", segment="gold"))


@BOTH
def test_a_request_is_counted_after_its_transaction(way: str) -> None:
    """
    With ATOMIC_REQUESTS the operation ends after the commit; what was rolled back has failed, and left nothing behind.
    """
    routes = {"/checkout/stored": "checkout", "stored-broken": "checkout"}
    with site(ROUTES=routes), atomic_requests(), capture() as captured:
        bizspan.configure(emit="on_commit")
        browser = client(way, raise_request_exception=False)
        browser.post("/checkout/stored", data="o-atomic", content_type="text/plain")
        browser.get("/broken/stored/")

        assert ["success", "failed"] == [operation.outcome for operation in captured.operations("checkout")]
        assert 1 == len(captured.events(urls.INNER, order="o-atomic"))
        assert ["o-atomic"] == [order.number for order in Order.objects.filter(number__in=["o-atomic", "never"])]
        captured.assert_consistent()
    Order.objects.all().delete()


# --- its transaction --------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("path", ["/undo/", "/undo/failed-part/"])
def test_a_success_whose_transaction_was_rolled_back_is_none(way: str, path: str) -> None:
    """
    `set_rollback(True)` and a 200 under ATOMIC_REQUESTS: the answer is the view's, and nothing is left to count.
    """
    routes = {"undo": {"operation": "checkout", "revenue": f"{TELEMETRY}.total"}, "undo-failed-part": "checkout"}
    with site(ROUTES=routes), atomic_requests(), capture() as captured:
        bizspan.configure(emit="on_commit")

        assert b"sold" == client(way).get(path).content
        assert 1 == len(captured.operations("checkout", outcome="failed", reason="rolled_back"))
        assert not Order.objects.filter(number="never").exists()
        captured.assert_consistent()


@BOTH
@pytest.mark.parametrize("path", ["/undo/part/", "/undo/own/"])
def test_a_part_that_was_rolled_back_is_not_the_request(way: str, path: str) -> None:
    """
    A savepoint of the view's, and a transaction of its own where it is exempt: the request goes by its answer.
    """
    with site(ROUTES={path: "checkout"}), atomic_requests(), capture() as captured:
        bizspan.configure(emit="on_commit")
        client(way).get(path)

        assert 1 == len(captured.operations("checkout", outcome="success"))
        assert not Order.objects.filter(number="never").exists()
        captured.assert_consistent()
    Order.objects.all().delete()


def test_inside_of_a_transaction_around_it_the_savepoint_of_the_request_decides() -> None:
    """
    As in a `TestCase`, or under a middleware that begins a transaction.
    """
    routes = {"undo": "undo", "undo-part": "part", "/checkout/stored": "checkout"}
    with site(ROUTES=routes), atomic_requests(), capture() as captured:
        bizspan.configure(emit="on_commit")
        with transaction.atomic():
            for path in ("/undo/", "/undo/part/"):
                client("wsgi").get(path)
            client("wsgi").post("/checkout/stored", data="o-1", content_type="text/plain")

        assert [("undo", "failed"), ("part", "success"), ("checkout", "success")] == [
            (operation.name, operation.outcome) for operation in captured.operations()
        ]
    Order.objects.all().delete()


@pytest.mark.parametrize("emit", ["now", "on_commit"])
def test_a_connection_is_left_as_it_was(emit: str) -> None:
    """
    It is watched while the view runs, and only where the commit decides; otherwise a request goes by its answer.
    """
    with site(ROUTES={"undo": "undo"}), atomic_requests(), capture() as captured:
        bizspan.configure(emit=emit)
        client("wsgi").get("/undo/")

        assert ["failed" if emit == "on_commit" else "success"] == [each.outcome for each in captured.operations()]
    assert {"commit", "rollback", "savepoint_rollback"}.isdisjoint(vars(connection))


@pytest.mark.usefixtures("production_guard")
@BOTH
def test_a_transaction_that_can_not_be_followed_harms_nobody(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The view runs, and the request goes by its answer.
    """

    def fails(view: object) -> list[object]:
        raise RuntimeError

    monkeypatch.setattr(_middleware, "view_blocks", fails)
    with site(ROUTES={"undo": "undo"}), atomic_requests(), capture(check=False) as captured:
        bizspan.configure(emit="on_commit")

        assert b"sold" == client(way).get("/undo/").content
        assert 1 == len(captured.operations("undo", outcome="success"))
