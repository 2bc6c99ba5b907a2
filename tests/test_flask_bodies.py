"""Flask: bodies that are sent when the view has returned, and files, HEAD and 304, which have none of ours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("flask")

from flask import Flask, Response, request, send_file, stream_with_context
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from werkzeug.test import EnvironBuilder, run_wsgi_app

import bizspan
from bizspan import names
from bizspan.context import frame
from bizspan.integrations.flask import Route
from bizspan.money import Money
from bizspan.testing import Capture, capture
from tests.flask_shops import GOLD, ORDERS, PLAN, exported, nothing_left, shop, told, with_opentelemetry
from tests.providers import Application, joined, points, reader, take


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


def streaming() -> Flask:
    """A shop whose answers are made while they are sent."""
    app = shop(routes={"/parts": "parts", "/context": "parts", "/file": "parts"})

    def parts() -> Iterator[str]:
        bizspan.event("first")
        yield "a"
        bizspan.annotate(plan="pro")
        bizspan.event("second")
        yield "b"

    def with_context() -> Iterator[str]:
        bizspan.event("first")
        yield request.headers["X-Segment"]
        bizspan.event("second")

    app.add_url_rule("/parts", "parts", lambda: parts())
    app.add_url_rule("/context", "context", lambda: Response(stream_with_context(with_context())))
    app.add_url_rule("/file", "file", lambda: send_file(__file__, conditional=True, etag="v1"))
    return app


# --- bodies that are sent later -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "text"), [("/parts", "ab"), ("/context", "gold")])
def test_each_step_of_a_streamed_body_is_in_its_request(captured: Capture, path: str, text: str) -> None:
    """
    With and without Flask's own context around it; its end is the operation's.
    """
    answer = streaming().test_client().get(path, headers=GOLD)
    open_yet = captured.operations("parts")
    # Until 3.1.2 Flask's own context stayed in force, and its request with it, until such a body ended.
    is_left = path == "/context" or frame.get() is None
    body = answer.text

    assert ([], True, text) == (open_yet, is_left, body)
    [operation] = captured.operations("parts", outcome="success", segment="gold")
    assert [operation.attributes[names.OPERATION_ID]] * 2 == [
        event.attributes[names.OPERATION_ID] for event in captured.events(segment="gold")
    ]
    captured.assert_consistent()


@pytest.mark.parametrize("order", ORDERS)
def test_what_a_body_learns_is_late_for_a_span_that_ended(
    application: Application, memory: InMemoryMetricReader, order: str
) -> None:
    """
    Later events and the points have it, the ended span has not, and that is counted.
    """
    app = with_opentelemetry(application, order)

    @app.post("/checkout")
    def checkout() -> Response:
        def parts() -> Iterator[str]:
            bizspan.event("early")
            yield "a"
            bizspan.annotate(plan="pro")
            with application.tracer_provider.get_tracer("db").start_as_current_span("db"):
                bizspan.event("late")
            yield "b"

        return Response(parts())

    assert "ab" == app.test_client().post("/checkout", headers=GOLD).text
    take()
    [point] = points(memory.get_metrics_data(), names.METRIC_DURATION)

    assert ("gold", "pro", None) == (
        told(application, "late")[names.SEGMENT],
        told(application, "late")[PLAN],
        told(application, "early").get(PLAN),
    )
    assert "pro" == point.attributes[PLAN] == exported(application, "db").attributes[PLAN]
    if order != "alone":
        assert PLAN not in exported(application, "POST /checkout").attributes
        assert {"late": 1} == bizspan.diagnostics().values_refused


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("HEAD", "/parts", {}, 200),
        ("GET", "/file", {}, 200),
        ("HEAD", "/file", {}, 200),
        ("GET", "/file", {"If-None-Match": '"v1"'}, 304),
        ("GET", "/file", {"Range": "bytes=0-3"}, 206),
    ],
)
def test_an_answer_without_a_body_of_our_making_ends_with_its_request(
    captured: Capture, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    """
    HEAD, files, parts of files and 304, which servers send without asking the body for a step.
    """
    answer = streaming().test_client().open(path, method=method, headers={**GOLD, **headers})
    body = answer.get_data()
    answer.close()

    assert status == answer.status_code
    assert (method == "GET" and status != 304) == bool(body)
    assert int(method == "GET") == len(captured.operations("parts", segment="gold"))


def test_a_head_request_that_is_an_operation_ends_though_its_body_was_never_started(captured: Capture) -> None:
    """
    And the body is closed, as without us.
    """
    closed = list[str]()

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            return iter([b"a"])

        def close(self) -> None:
            closed.append("closed")

    app = shop(routes={"HEAD /": "looked"})
    app.add_url_rule("/", "home", lambda: Response(Body()))
    app.test_client().head("/").close()

    assert ["closed"] == closed
    assert 1 == len(captured.operations("looked", outcome="success"))


def test_files_stay_the_servers_own_kind(captured: Capture) -> None:
    """
    gunicorn and others send files of the type that they offered by the system's own call.
    """

    class Wrapper:
        def __init__(self, file: Any, block_size: int = 8192) -> None:
            self.file = file

        def __iter__(self) -> Iterator[bytes]:
            return iter([self.file.read()])

        def close(self) -> None:
            self.file.close()

    environ = EnvironBuilder("/file").get_environ()
    environ["wsgi.file_wrapper"] = Wrapper
    seen = list[object]()

    def server(environ: Any, start_response: Any) -> Any:
        seen.append(streaming().wsgi_app(environ, start_response))
        return seen[0]

    body, _, _ = run_wsgi_app(server, environ, buffered=True)

    assert Path(__file__).read_bytes() == b"".join(body)
    assert [Wrapper] == [type(each) for each in seen]
    assert 1 == len(captured.operations("parts"))


def earning() -> Flask:
    """A shop that sends what it sold in two parts, and cleans up."""
    route = Route(operation="parts", revenue=lambda request, response: ("42.00", "EUR"))
    app = shop(routes={"GET /": route, "HEAD /": route})

    def parts() -> Iterator[str]:
        try:
            yield "a"
            yield "b"
        finally:
            bizspan.event("cleaned")

    app.add_url_rule("/", "home", lambda: parts())
    return app


def test_a_client_that_leaves_cancels_the_operation(captured: Capture) -> None:
    """
    In the middle of a body, which the server then closes: nothing was earned, and the clean-up still is in the request.
    """
    body, _, _ = run_wsgi_app(earning().wsgi_app, EnvironBuilder("/", headers=list(GOLD.items())).get_environ())
    assert b"a" == next(iter(body))
    body.close()  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue]

    [operation] = captured.operations("parts", segment="gold")
    assert ("cancelled", "client_disconnected", "client_disconnected") == (
        operation.outcome,
        operation.reason,
        operation.attributes[names.ERROR_TYPE],
    )
    assert Money("0", "EUR") == captured.revenue("EUR")
    assert 1 == len(captured.events("cleaned", segment="gold"))
    captured.assert_consistent()


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_body_that_is_closed_at_its_end_or_unread_is_a_success(captured: Capture, method: str) -> None:
    """
    Servers close every body: after its last part, or before the first where the answer has none.
    """
    answer = earning().test_client().open("/", method=method, headers=GOLD)
    answer.get_data()
    answer.close()

    assert 1 == len(captured.operations("parts", outcome="success", segment="gold"))
    assert Money("42.00", "EUR") == captured.revenue("EUR")


def test_a_body_that_raises_fails_its_operation(captured: Capture) -> None:
    """
    Though its status said success; the same exception arrives at the server.
    """
    app = shop(routes={"/": "parts"})

    def parts() -> Iterator[str]:
        yield "a"
        raise LookupError

    app.add_url_rule("/", "home", lambda: parts())
    answer = app.test_client().get("/", headers=GOLD)
    with pytest.raises(LookupError):
        answer.get_data()
    answer.close()

    [operation] = captured.operations("parts", segment="gold")
    assert ("failed", "LookupError") == (operation.outcome, operation.attributes[names.ERROR_TYPE])
