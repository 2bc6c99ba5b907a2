"""ASGI applications without any framework: what each request records, wherever OpenTelemetry is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import context as otel
from opentelemetry import trace
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind

import bizspan
from bizspan import _active, names
from bizspan.errors import SetupError
from bizspan.integrations.asgi import Bizspan, Request, Response
from tests.asgi_app import (
    BODY,
    CALLER,
    COUNTRY,
    ROUTES,
    SEGMENT,
    START,
    TRACEPARENT,
    Message,
    OpenTelemetryMiddleware,
    Receive,
    Scope,
    Send,
    Server,
    event_of,
    http,
    run,
    shop,
    span_of,
    with_status,
)
from tests.providers import Application, joined, points, reader, take


@pytest.fixture
def memory() -> InMemoryMetricReader:
    """The application's metric reader."""
    return reader()


@pytest.fixture
def application(memory: InMemoryMetricReader) -> Iterator[Application]:
    """An application's providers, joined."""
    with joined(memory, export="otlp") as running:
        yield running


def refused() -> dict[str, int]:
    """How many values were refused, by reason."""
    pipeline = _active.current
    assert pipeline is not None
    return pipeline.accounts.values_refused.values()


# --- facts and operation --------------------------------------------------------------------------------------------


def test_a_request_of_a_mapped_route_is_the_operation(application: Application, memory: InMemoryMetricReader) -> None:
    """
    Span, point and event of it, with the facts of the request, and those of what is told inside.
    """
    app = Bizspan(shop, routes=ROUTES, resolver=lambda request: {"segment": request.headers["X-Segment"]})

    sent = run(app, http(headers=[(b"x-segment", b"gold")]))
    operation = event_of(application, "checkout")
    [point] = points(memory.get_metrics_data(), names.METRIC_DURATION)

    assert [START, BODY] == sent
    assert {SEGMENT: "gold", names.OPERATION_OUTCOME: "success"}.items() <= operation.items()
    assert "gold" == event_of(application, "seen")[SEGMENT]
    assert {names.OPERATION_NAME: "checkout", names.OPERATION_OUTCOME: "success", SEGMENT: "gold"} == point.attributes
    assert operation[names.OPERATION_ID] == span_of(application, "checkout").attributes[names.OPERATION_ID]


def test_the_operation_is_on_the_servers_span_with_outcome_and_facts(application: Application) -> None:
    """
    Where OpenTelemetry is outside: no second span, and all is there although that span ends with the last byte.
    """
    app = Server(Bizspan(shop, routes=ROUTES, country_header="CF-IPCountry"), application.tracer_provider)

    run(app, http(headers=[(b"cf-ipcountry", b"de")]))
    operation = event_of(application, "checkout")

    assert ["POST"] == [span.name for span in application.spans()]
    expected = {key: operation[key] for key in (names.OPERATION_ID, names.OPERATION_OUTCOME, COUNTRY)}
    assert expected.items() <= span_of(application, "POST").attributes.items()
    assert "DE" == operation[COUNTRY]


def test_opentelemetry_may_be_inside(application: Application) -> None:
    """
    The server's span stays the outermost of the trace, and the operation is on it.
    """
    app = Bizspan(OpenTelemetryMiddleware(shop, application.tracer_provider), routes=ROUTES, channel="web")

    run(app)

    server = span_of(application, "POST")
    assert ["POST"] == [span.name for span in application.spans()]
    assert (None, SpanKind.SERVER) == (server.parent, server.kind)
    assert {
        names.OPERATION_NAME: "checkout",
        names.OPERATION_OUTCOME: "success",
        "business.channel": "web",
    }.items() <= (server.attributes.items())
    assert format(server.context.span_id, "016x") == f"{_linked(application, 'checkout'):016x}"


def _linked(application: Application, operation: str) -> int:
    take()
    [span_id] = [
        record.span_id for record in application.logs() if record.attributes.get(names.OPERATION_NAME) == operation
    ]
    return int(span_id)


def test_without_a_servers_span_the_operations_own_continues_the_callers_trace(application: Application) -> None:
    """
    It is the parent of the spans inside, and nothing stays current after the request.
    """
    tracer = application.tracer_provider.get_tracer("db")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with tracer.start_as_current_span("SELECT"):
            await shop(scope, receive, send)

    run(Bizspan(app, routes=ROUTES), http(headers=[TRACEPARENT]))
    own, inner = span_of(application, "checkout"), span_of(application, "SELECT")

    assert {CALLER} == {own.context.trace_id, inner.context.trace_id}
    assert (0xB7AD6B7169203331, own.context.span_id) == (own.parent.span_id, inner.parent.span_id)
    assert trace.INVALID_SPAN is trace.get_current_span(otel.get_current())


def test_a_route_that_is_known_late_has_the_whole_duration(application: Application) -> None:
    """
    By an endpoint's name it is known with the answer only; it began with the request.
    """
    delay_s = 0.05

    def endpoint() -> None:
        pass

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(delay_s)
        scope["endpoint"] = endpoint
        await shop(scope, receive, send)

    run(Bizspan(app, routes={f"{__name__}.{endpoint.__qualname__}": "buy"}))
    span = span_of(application, "buy")

    assert delay_s <= event_of(application, "buy")[names.OPERATION_DURATION]
    assert delay_s <= (span.end_time - span.start_time) / 1e9


def test_unsampled_requests_count_all_the_same(memory: InMemoryMetricReader) -> None:
    """
    Wherever OpenTelemetry is: event and point, and no span.
    """
    with joined(memory, export="otlp") as application:
        unsampled = TracerProvider(sampler=ALWAYS_OFF)
        run(Server(Bizspan(shop, routes=ROUTES, channel="web"), unsampled))
        run(Bizspan(OpenTelemetryMiddleware(shop, unsampled), routes=ROUTES, channel="web"))
        take()
        [point] = points(memory.get_metrics_data(), names.METRIC_DURATION)

        assert [] == list(application.spans())
        assert (2, "web") == (point.count, point.attributes["business.channel"])


def test_facts_are_asked_once_and_only_when_needed(application: Application) -> None:
    """
    However many spans and events there are; a request that is left alone asks nothing.
    """
    asked: list[str] = []

    def resolver(request: Request) -> dict[str, str]:
        asked.append(request.path)
        return {"segment": "gold"}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        asked.append("inside")
        for _ in range(3):
            await asyncio.to_thread(bizspan.event, "seen")
        await with_status(200)(scope, receive, send)

    wrapped = Bizspan(app, routes=ROUTES, resolver=resolver, exclude=["/health"])
    run(wrapped)
    run(wrapped, http("GET", "/health"))

    assert ["inside", "/checkout", "inside"] == asked


def test_a_resolver_that_raises_costs_its_facts_only(application: Application) -> None:
    """
    The request is served, the operation is recorded, and the failure is counted.
    """

    def resolver(request: Request) -> dict[str, str]:
        raise LookupError(request.path)

    assert [START, BODY] == run(Bizspan(shop, routes=ROUTES, resolver=resolver, channel="web"))
    assert "web" == event_of(application, "checkout")["business.channel"]
    assert 1 == refused()["extractor_failed"]


def test_revenue_is_read_from_the_answer(application: Application) -> None:
    """
    Exactly, from JSON that comes in parts; on the server's span too.
    """

    def revenue(request: Request, response: Response) -> tuple[Any, str]:
        told = response.json()
        return told["total"], request.headers["x-currency"] if response.headers["Content-Type"] else ""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({**START, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": b'{"total": 19', "more_body": True})
        await send({"type": "http.response.body", "body": b".99}"})

    routes = {"POST /checkout": {"operation": "checkout", "revenue": revenue}}
    run(Server(Bizspan(app, routes=routes), application.tracer_provider), http(headers=[(b"x-currency", b"EUR")]))

    assert 1999 == event_of(application, "checkout")["business.revenue.minor_units"]
    assert 1999 == span_of(application, "POST").attributes["business.revenue.minor_units"]


@pytest.mark.parametrize(
    "last",
    [
        pytest.param({"type": "http.response.body", "body": b"x" * (1024 * 1024 + 1)}, id="too long"),
        pytest.param({"type": "http.response.pathsend", "path": "/tmp/invoice.json"}, id="a file"),
        pytest.param({"type": "http.response.body", "body": b"<html>"}, id="not JSON"),
    ],
)
def test_an_answer_that_says_no_revenue_is_counted(application: Application, last: Message) -> None:
    """
    The operation is recorded without an amount, and the answer is as it was.
    """

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(dict(START))
        await send(last)

    def revenue(request: Request, response: Response) -> Any:
        return response.json()["total"]

    routes = {"POST /checkout": {"operation": "checkout", "revenue": revenue}}

    assert [START, last] == run(Bizspan(app, routes=routes))
    assert "business.revenue.minor_units" not in event_of(application, "checkout")
    assert 1 == refused()["extractor_failed"]


# --- set-up ---------------------------------------------------------------------------------------------------------


def test_the_mounted_and_the_prefixed_path_are_both_known(application: Application) -> None:
    """
    Behind a prefix that the server was told (root_path), routes are as the application writes them, or whole.
    """
    app = Bizspan(shop, routes={"POST /orders/{id}/pay": "order.pay", "POST /shop/checkout": "checkout"})

    run(app, http(path="/shop/orders/7/pay", root_path="/shop"))
    run(app, http(path="/shop/checkout", root_path="/shop/"))

    assert "success" == event_of(application, "order.pay")[names.OPERATION_OUTCOME]
    assert "success" == event_of(application, "checkout")[names.OPERATION_OUTCOME]


def test_a_function_of_yours_sees_the_request(application: Application) -> None:
    """
    The same view for every framework, with what middlewares have put into the scope.
    """
    seen: list[object] = []

    def resolver(request: Request) -> dict[str, str]:
        seen.extend([request.method, request.path, request.query, request.client, request.headers.get("X-A")])
        seen.extend([request.headers.get("missing"), sorted(request.headers), request.cookies, request.path_params])
        seen.extend([request.state["plan"], request.session, request.user, request.is_authenticated])
        return {"segment": "gold"}

    headers = [(b"x-a", b"1"), (b"x-a", b"2"), (b"cookie", b'sid="s1"; b=2'), (b"cookie", b"c")]
    run(
        Bizspan(shop, resolver=resolver),
        http(headers=headers, query_string=b"q=1", state={"plan": "pro"}, session={"n": 1}, path_params={"id": 7}),
    )

    assert ["POST", "/checkout", "q=1", "203.0.113.7", "1, 2"] == seen[:5]
    assert [None, ["cookie", "x-a"], {"sid": "s1", "b": "2", "c": ""}, {"id": 7}] == seen[5:9]
    assert ["pro", {"n": 1}, None, False] == seen[9:]


def test_a_wrong_option_says_what_to_write() -> None:
    """
    At set-up, with the nearest option that there is; and a coroutine can't be asked.
    """

    async def resolver(request: Request) -> dict[str, str]:
        return {}

    wrong: Any = {"rutes": {}}
    with pytest.raises(SetupError, match="Did you mean 'routes'"):
        Bizspan(shop, **wrong)
    with pytest.raises(SetupError, match="plain function"):
        Bizspan(shop, resolver=resolver)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_no_framework_is_imported() -> None:
    """
    The module needs none.
    """
    source = Path(__file__).resolve().parent.parent / "src" / "bizspan" / "integrations"
    texts = [path.read_text("utf-8") for path in source.glob("*asgi*.py")]

    assert 4 == len(texts)
    assert not any(f"import {framework}" in text for text in texts for framework in ("starlette", "fastapi", "anyio"))
