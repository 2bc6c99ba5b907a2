"""Flask: contexts that are copied, kept or nested, and where each request ends."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any, cast

import pytest

pytest.importorskip("flask")

from flask import Response, copy_current_request_context, request
from opentelemetry import trace
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from werkzeug.test import EnvironBuilder, run_wsgi_app

import bizspan
from bizspan import _active, names
from bizspan._clock import Ids
from bizspan._entry import Entry
from bizspan._facts import FactTable
from bizspan._pipeline import Pipeline
from bizspan.context import frame
from bizspan.integrations._routes import RouteMap
from bizspan.testing import Capture, capture
from tests.flask_shops import GOLD, ORDERS, PLAN, exported, nothing_left, shop, told, with_opentelemetry
from tests.providers import Application, joined, reader, take

STEPS = [
    (Entry, "complete"),
    (Entry, "operate"),
    (Entry, "attach"),
    (Entry, "told_inside"),
    (Entry, "_fill"),
    (Entry, "end"),
    (FactTable, "resolve"),
    (Ids, "new"),
    (Pipeline, "accept"),
    (RouteMap, "find"),
]


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """See `nothing_left`."""
    with nothing_left():
        yield


@pytest.fixture
def memory() -> InMemoryMetricReader:
    """The application's metric reader."""
    return reader()


@pytest.fixture
def application(memory: InMemoryMetricReader) -> Iterator[Application]:
    """An application's providers, joined."""
    with joined(memory, export="otlp") as running:
        yield running


@pytest.fixture
def captured() -> Iterator[Capture]:
    """What the test tells."""
    with capture() as capturing:
        yield capturing


# --- contexts -------------------------------------------------------------------------------------------------------


def test_a_test_clients_block_keeps_flasks_context_and_not_ours(captured: Capture) -> None:
    """
    The operation is recorded when the answer is there, once, and what the test tells is its own.
    """
    app = shop()
    app.add_url_rule("/checkout", "checkout", lambda: "sold", methods=["POST"])
    with app.test_client() as client:
        for _ in range(2):
            client.post("/checkout", headers=GOLD)
            assert "/checkout" == request.path
            assert frame.get() is None
        assert 2 == len(captured.operations("checkout", outcome="success"))

    assert 2 == len(captured.operations("checkout"))


def test_a_request_context_of_a_test_is_a_request_once_it_is_begun(captured: Capture) -> None:
    """
    By `preprocess_request`, as Flask's documentation has it. Nobody answered, so that it counts as no success.
    """
    app = shop()
    app.add_url_rule("/checkout", "checkout", lambda: "sold", methods=["POST"])
    with app.test_request_context("/checkout", method="POST", headers=GOLD):
        bizspan.event("before")
        app.preprocess_request()
        app.preprocess_request()
        bizspan.event("inside")
    with app.test_request_context("/checkout", method="POST", headers=GOLD):
        assert 200 == app.full_dispatch_request().status_code

    assert [None, "gold"] == [event.attributes.get(names.SEGMENT) for event in captured.events()]
    assert [("cancelled", "abandoned"), ("success", None)] == [
        (operation.outcome, operation.reason) for operation in captured.operations("checkout")
    ]


def test_a_copied_context_ends_nothing(captured: Capture) -> None:
    """
    A thread with `copy_current_request_context` tears its copy down while the request goes on.
    """
    app = shop()

    @app.post("/checkout")
    def checkout() -> str:
        @copy_current_request_context
        def work() -> None:
            assert "/checkout" == request.path

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        bizspan.annotate(plan="pro")
        return "sold"

    app.test_client().post("/checkout", headers=GOLD)

    assert 1 == len(captured.operations("checkout", segment="gold", plan="pro"))


def test_an_application_context_around_requests_is_none_of_them(captured: Capture) -> None:
    """
    Tests keep one open; Flask then shares it between requests. One inside a view changes nothing either.
    """
    app = shop()

    @app.post("/checkout")
    def checkout() -> str:
        with app.app_context():
            bizspan.event("inside")
        return "sold"

    with app.app_context():
        for segment in ("gold", "silver"):
            app.test_client().post("/checkout", headers={"X-Segment": segment})
            bizspan.event("outside")

    assert ["gold", None, "silver", None] == [event.attributes.get(names.SEGMENT) for event in captured.events()]
    assert ["gold", "silver"] == [each.attributes[names.SEGMENT] for each in captured.operations("checkout")]


@pytest.mark.skipif(find_spec("asgiref") is None, reason="Flask needs asgiref for async views")
@pytest.mark.parametrize("order", ORDERS)
def test_an_async_view_is_in_its_request(application: Application, order: str) -> None:
    """
    Flask runs it on an event loop in another context; what it learns comes back.
    """
    app = with_opentelemetry(application, order)

    @app.post("/checkout")
    async def checkout() -> str:
        bizspan.event("inside")
        bizspan.annotate(plan="pro")
        return "sold"

    assert "sold" == app.test_client().post("/checkout", headers=GOLD).text
    span = exported(application, "checkout" if order == "alone" else "POST /checkout")

    assert "gold" == told(application, "inside")[names.SEGMENT]
    assert ("pro", "gold") == (span.attributes[PLAN], span.attributes[names.SEGMENT])


def test_a_blueprints_functions_after_the_view_are_in_the_request(captured: Capture) -> None:
    """
    `after_request` may still teach the operation, `teardown_request` still tells events of it.
    """
    app = shop()
    app.add_url_rule("/checkout", "checkout", lambda: "sold", methods=["POST"])

    @app.after_request
    def after(response: Response) -> Response:
        bizspan.annotate(plan="pro")
        response.status_code = 202
        return response

    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        bizspan.event("torn.down")

    assert 202 == app.test_client().post("/checkout", headers=GOLD).status_code
    assert 1 == len(captured.operations("checkout", plan="pro", segment="gold"))
    assert 1 == len(captured.events("torn.down", segment="gold", plan="pro"))


@pytest.mark.parametrize("path", ["/checkout", "/parts"])
def test_a_request_goes_without_the_garbage_collector(captured: Capture, path: str) -> None:
    """
    As Flask sees to itself: no cycle keeps what a request held.
    """
    gone = list[str]()
    app = shop(routes={"POST /checkout": "checkout", "/parts": "parts"})

    @app.get("/parts")
    def parts() -> Iterator[str]:
        yield "a"

    @app.post("/checkout")
    def checkout() -> str:
        return "sold"

    @app.before_request
    def watch() -> None:
        weakref.finalize(cast("Any", request)._get_current_object(), gone.append, path)

    environ = EnvironBuilder(
        path, method="POST" if path == "/checkout" else "GET", headers=[*GOLD.items()]
    ).get_environ()
    gc.disable()
    try:
        body, _, _ = run_wsgi_app(app, environ, buffered=True)
        del body, environ
        assert [path] == gone
    finally:
        gc.enable()


@pytest.mark.parametrize("order", ORDERS)
def test_what_the_application_leaves_open_ends_with_the_request(application: Application, order: str) -> None:
    """
    A block, an operation and a span that nobody closed are not the next request's.
    """
    app = with_opentelemetry(application, order)

    @app.post("/checkout")
    def checkout() -> str:
        bizspan.context(plan="left").__enter__()
        bizspan.event("inside")
        return "sold"

    client = app.test_client()
    for _ in range(2):
        client.post("/checkout", headers=GOLD)
    take()
    plans = [record.attributes.get(PLAN) for record in application.logs() if record.event_name == "inside"]

    assert ["left", "left"] == plans
    assert frame.get() is None
    assert not trace.get_current_span().get_span_context().is_valid


@pytest.mark.usefixtures("production_guard")
@pytest.mark.parametrize("order", ["alone", "before"])
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step[1])
def test_a_step_that_fails_costs_no_answer_and_leaves_nothing(
    application: Application, monkeypatch: pytest.MonkeyPatch, step: tuple[type, str], order: str
) -> None:
    """
    Whichever of ours raises each time: streamed or not, the answer is right, and the thread is as it was.
    """
    app = with_opentelemetry(application, order)

    @app.post("/checkout")
    def checkout() -> str:
        bizspan.annotate(plan="pro")
        with bizspan.context(channel="web"), bizspan.operation("reserve"):
            bizspan.event("inside")
        return "sold"

    @app.get("/parts")
    def parts() -> Iterator[str]:
        bizspan.event("part")
        yield "a"

    def broken(*args: object, **options: object) -> None:
        raise ArithmeticError

    with monkeypatch.context() as patch:
        patch.setattr(*step, broken)
        answers = [app.test_client().post("/checkout", headers=GOLD), app.test_client().get("/parts")]
        assert ["sold", "a"] == [answer.text for answer in answers]
    assert "sold" == app.test_client().post("/checkout", headers=GOLD).text
    gc.collect()


def test_configuration_may_end_in_the_middle_of_a_request() -> None:
    """
    And begin there; both requests are answered.
    """
    app = shop()
    keep = list[Any]()

    @app.post("/checkout")
    def checkout() -> str:
        keep.append(_active.swap(keep.pop() if keep else None))
        bizspan.event("inside")
        return "sold"

    with capture(check=False):
        client = app.test_client()
        assert ["sold"] * 2 == [client.post("/checkout", headers=GOLD).text for _ in range(2)]
