"""FastAPI and Starlette with their own parts: native telemetry or contrib's, in any order, sessions, authentication."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, Final

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.trace import SpanKind

import bizspan
from bizspan import _active, names
from bizspan.integrations.asgi import Bizspan, Request, Response
from tests.providers import Application, joined, points, reader, take

pytest.importorskip("fastapi")
if find_spec("httpx2") is None and find_spec("httpx") is None:
    pytest.skip("the test client needs httpx2", allow_module_level=True)

if find_spec("fastapi.telemetry") is None:
    pytest.skip("this FastAPI opens no spans itself, as it does from 0.142 on", allow_module_level=True)

from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, HTTPException, WebSocket
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request as StarletteRequest
from starlette.routing import Mount
from starlette.routing import Route as StarletteRoute

SEGMENT, PLAN, CHANNEL = names.SEGMENT, "business.plan", "business.channel"
ROUTES: Final = {"POST /checkout": "checkout", "POST /orders/{order}/pay": "order.pay"}
TRACEPARENT: Final = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CALLER: Final = int(TRACEPARENT[3:35], 16)


@pytest.fixture
def memory() -> InMemoryMetricReader:
    """The application's metric reader."""
    return reader()


@pytest.fixture
def application(memory: InMemoryMetricReader) -> Iterator[Application]:
    """An application's providers, joined."""
    with joined(memory, export="otlp") as running:
        yield running


def by_header(request: Request) -> dict[str, str | None]:
    """Who acts."""
    return {"segment": request.headers.get("X-Segment")}


def shop(application: Application, *, telemetry: bool = False, **options: Any) -> FastAPI:
    """A shop: `telemetry` says whether it instruments itself."""
    config: Any = {**application.providers, "tracing": telemetry, "metrics": telemetry, "logs": telemetry}
    app = FastAPI(telemetry=config, **options)
    tracer = application.tracer_provider.get_tracer("db")

    async def known_plan() -> str:
        bizspan.annotate(plan="pro")
        return "pro"

    @app.post("/checkout")
    async def checkout(plan: str = Depends(known_plan)) -> dict[str, str]:  # pyright: ignore[reportUnusedFunction]
        with tracer.start_as_current_span("SELECT"):
            bizspan.event("stock.reserved")
        return {"plan": plan, "total": "19.99"}

    @app.post("/orders/{order}/pay")
    def pay(order: str) -> dict[str, str]:  # pyright: ignore[reportUnusedFunction]
        bizspan.annotate(order=order)
        if order == "declined":
            raise HTTPException(402)
        if order == "broken":
            raise ValueError(order)
        return {"order": order}

    return app


def span_of(application: Application, name: str) -> Any:
    """An ended span."""
    [span] = [span for span in application.spans() if span.name == name]
    return span


def event_of(application: Application, name: str) -> dict[str, Any]:
    """An event's attributes; of operations, by the operation's name."""
    take()
    [record] = [
        record
        for record in application.logs()
        if names.RECORD_UID in record.attributes
        and name in (record.event_name, record.attributes.get(names.OPERATION_NAME))
    ]
    return dict(record.attributes)


# --- OpenTelemetry, whoever brings it, outside or inside --------------------------------------------------------------

Served = Callable[[Application], Any]


def _native_outside(application: Application) -> Any:
    app = shop(application, telemetry=True)
    app.add_middleware(Bizspan, routes=ROUTES, resolver=by_header)
    return app


def _native_inside(application: Application) -> Any:
    return Bizspan(shop(application, telemetry=True), routes=ROUTES, resolver=by_header)


def _instrumented(application: Application) -> Any:
    instrumentation: Any = pytest.importorskip("opentelemetry.instrumentation.fastapi")
    app = shop(application)
    instrumentation.FastAPIInstrumentor.instrument_app(
        app,
        tracer_provider=application.tracer_provider,
        meter_provider=application.meter_provider,
        exclude_spans=["send", "receive"],
    )
    return app


def _contrib_outside(application: Application) -> Any:
    app = _instrumented(application)
    app.add_middleware(Bizspan, routes=ROUTES, resolver=by_header)
    return app


def _contrib_inside(application: Application) -> Any:
    return Bizspan(_instrumented(application), routes=ROUTES, resolver=by_header)


def _asgi(application: Application) -> Any:
    contrib: Any = pytest.importorskip("opentelemetry.instrumentation.asgi")
    return Middleware(
        contrib.OpenTelemetryMiddleware, tracer_provider=application.tracer_provider, exclude_spans=["send", "receive"]
    )


def _starlettes(application: Application) -> Any:
    own: Any = pytest.importorskip("starlette.middleware.opentelemetry")
    return Middleware(own.OpenTelemetryMiddleware, tracer_provider=application.tracer_provider)


def _ours() -> Middleware:
    return Middleware(Bizspan, routes=ROUTES, resolver=by_header)


ARRANGEMENTS: Final[dict[str, Served]] = {
    "FastAPI's own, outside": _native_outside,
    "FastAPI's own, inside": _native_inside,
    "contrib's for FastAPI, outside": _contrib_outside,
    "contrib's for FastAPI, inside": _contrib_inside,
    "contrib's for ASGI, outside": lambda a: shop(a, middleware=[_asgi(a), _ours()]),
    "contrib's for ASGI, inside": lambda a: shop(a, middleware=[_ours(), _asgi(a)]),
    "Starlette's own, outside": lambda a: shop(a, middleware=[_starlettes(a), _ours()]),
    "Starlette's own, inside": lambda a: shop(a, middleware=[_ours(), _starlettes(a)]),
}


@pytest.mark.parametrize("headers", [{}, {"traceparent": TRACEPARENT}], ids=["alone", "called"])
@pytest.mark.parametrize("arrangement", ARRANGEMENTS)
def test_the_operation_is_on_the_servers_span_whoever_opens_it(
    application: Application, memory: InMemoryMetricReader, arrangement: str, headers: dict[str, str]
) -> None:
    """
    One trace, one server's span with operation, outcome and what was learned late; the facts on the spans, events and
    points inside.
    """
    app = ARRANGEMENTS[arrangement](application)

    response = TestClient(app).post("/checkout", headers={"X-Segment": "gold", **headers})
    spans = application.spans()
    [server] = [span for span in spans if span.kind is SpanKind.SERVER]
    operation = event_of(application, "checkout")
    [point] = points(memory.get_metrics_data(), names.METRIC_DURATION)

    assert (200, "pro") == (response.status_code, response.json()["plan"])
    assert [CALLER] * len(spans) == [span.context.trace_id for span in spans] or not headers
    assert 1 == len({span.context.trace_id for span in spans})
    assert (server.parent is None) is not bool(headers)
    expected = {names.OPERATION_ID: operation[names.OPERATION_ID], names.OPERATION_OUTCOME: "success"}
    assert {**expected, SEGMENT: "gold", PLAN: "pro"}.items() <= server.attributes.items()
    for attributes in (
        span_of(application, "SELECT").attributes, event_of(application, "stock.reserved"), operation, point.attributes
    ):  # fmt: skip
        assert {SEGMENT: "gold", PLAN: "pro"}.items() <= attributes.items()


def test_without_opentelemetrys_instrumentation_the_operation_has_a_span_of_its_own(application: Application) -> None:
    """
    In the caller's trace, and the spans inside are its children.
    """
    app = shop(application, middleware=[_ours()])

    TestClient(app).post("/checkout", headers={"traceparent": TRACEPARENT})
    own, inner = span_of(application, "checkout"), span_of(application, "SELECT")

    assert (CALLER, own.context.span_id) == (own.context.trace_id, inner.parent.span_id)


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize(
    ("order", "outcome", "reason"),
    [("o-1", "success", None), ("declined", "rejected", "http_402"), ("broken", "failed", "http_500")],
)
def test_what_the_framework_answers_gives_the_outcome(
    application: Application, wrapped: bool, order: str, outcome: str, reason: str | None
) -> None:
    """
    On event and server's span alike, for exceptions that a handler answers and for those that nobody does; in a view
    that runs in a thread.
    """
    app: Any = (_native_inside if wrapped else _native_outside)(application)

    TestClient(app, raise_server_exceptions=False).post(f"/orders/{order}/pay")
    operation = event_of(application, "order.pay")
    [server] = [span for span in application.spans() if span.kind is SpanKind.SERVER]

    assert (outcome, order) == (operation[names.OPERATION_OUTCOME], operation[names.ORDER])
    assert outcome == server.attributes[names.OPERATION_OUTCOME]
    assert order == server.attributes[names.ORDER]
    if wrapped:  # inside ServerErrorMiddleware there is the exception, and no answer
        assert reason == operation.get(names.OPERATION_REASON)


# --- routes -----------------------------------------------------------------------------------------------------------


def outside_the_application(request: StarletteRequest) -> JSONResponse:
    """An endpoint with a name."""
    return JSONResponse({})


@pytest.mark.parametrize(
    "key",
    [
        "POST /api/orders/{order}/pay",
        "/api/orders/*",
        "order_pay",
        f"{__name__}.outside_the_application",
    ],
)
def test_routes_of_mounted_applications_are_found_by_any_name(application: Application, key: str) -> None:
    """
    By their whole template, the route's name, and the endpoint's.
    """
    inner = Starlette(
        routes=[StarletteRoute("/orders/{order}/pay", outside_the_application, methods=["POST"], name="order_pay")]
    )
    app = Starlette(routes=[Mount("/api", inner)], middleware=[Middleware(Bizspan, routes={key: "order.pay"})])

    TestClient(app).post("/api/orders/7/pay")

    assert "success" == event_of(application, "order.pay")[names.OPERATION_OUTCOME]


@pytest.mark.parametrize("key", ["POST /v1/refund/{order}", "give_back"])
def test_routes_of_included_routers_are_found(application: Application, key: str) -> None:
    """
    With the router's prefix, and by the function's name.
    """
    router = APIRouter(prefix="/v1")

    @router.post("/refund/{order}")
    async def give_back(order: str) -> str:  # pyright: ignore[reportUnusedFunction]
        return order

    app = FastAPI()
    app.include_router(router)
    app.add_middleware(Bizspan, routes={key: "refund"})

    TestClient(app).post("/v1/refund/7")

    assert "success" == event_of(application, "refund")[names.OPERATION_OUTCOME]


def test_a_mounted_applications_own_middleware_sees_its_own_paths(application: Application) -> None:
    """
    And its resolver waits for its own authentication, not for the outer application's route.
    """
    inner = FastAPI()
    inner.add_middleware(AuthenticationMiddleware, backend=Backend())
    inner.add_middleware(Bizspan, routes=ROUTES, resolver=lambda request: {"segment": request.user.display_name})

    @inner.post("/checkout")
    async def checkout() -> None:  # pyright: ignore[reportUnusedFunction]
        pass

    TestClient(Starlette(routes=[Mount("/shop", inner)])).post("/shop/checkout")

    assert "gold" == event_of(application, "checkout")[SEGMENT]


# --- who --------------------------------------------------------------------------------------------------------------


class Backend(AuthenticationBackend):
    """Everybody is gold, after a query that is recorded."""

    async def authenticate(self, conn: Any) -> tuple[AuthCredentials, SimpleUser]:
        with trace.get_tracer("none").start_as_current_span("SELECT user"):
            bizspan.event("authenticating")
            return AuthCredentials(), SimpleUser("gold")


@pytest.mark.parametrize("wrapped", [False, True])
def test_the_resolver_is_asked_after_authentication(application: Application, wrapped: bool) -> None:
    """
    Once, although spans and events came before.
    """
    asked: list[str] = []

    def resolver(request: Request) -> dict[str, str]:
        asked.append(request.user.display_name)
        return {"segment": request.user.display_name}

    app: Any = shop(application, telemetry=True, middleware=[Middleware(AuthenticationMiddleware, backend=Backend())])
    if wrapped:
        app = Bizspan(app, routes=ROUTES, resolver=resolver)
    else:
        app.add_middleware(Bizspan, routes=ROUTES, resolver=resolver)

    TestClient(app).post("/checkout")

    assert ["gold"] == asked
    assert SEGMENT not in event_of(application, "authenticating")
    assert "gold" == event_of(application, "stock.reserved")[SEGMENT] == event_of(application, "checkout")[SEGMENT]


def test_a_request_that_is_tried_again_has_its_facts_inside_too(application: Application) -> None:
    """
    The scope has the endpoint of the first time still; who acts is known inside all the same.
    """

    async def checkout(request: StarletteRequest) -> JSONResponse:
        bizspan.event("tried")
        return JSONResponse({})

    inside = Bizspan(
        Starlette(routes=[StarletteRoute("/checkout", checkout, methods=["POST"])]), routes=ROUTES, resolver=by_header
    )

    async def trying(scope: Any, receive: Any, send: Any) -> None:
        await inside(scope, receive, ignored)
        await inside(scope, receive, send)

    async def ignored(message: Any) -> None:
        """An answer that its client does not see."""

    TestClient(trying).post("/checkout", headers={"X-Segment": "enterprise"})
    take()

    told = [(log.event_name, log.attributes.get(SEGMENT)) for log in application.logs()]
    assert 2 * [("tried", "enterprise"), (names.EVENT_OPERATION, "enterprise")] == told


def test_a_campaign_is_kept_in_the_applications_session(application: Application) -> None:
    """
    With the session's middleware outside of ours: the next request of the visitor carries it.
    """
    app = FastAPI(middleware=[Middleware(SessionMiddleware, secret_key="s" * 32), _ours()])

    @app.get("/login")
    async def login(request: StarletteRequest) -> None:  # pyright: ignore[reportUnusedFunction]
        request.session["user"] = "u-1"

    @app.post("/checkout")
    async def checkout() -> None:  # pyright: ignore[reportUnusedFunction]
        bizspan.event("bought")

    client = TestClient(app, base_url="https://shop.example")
    client.get("/login?utm_campaign=spring&utm_source=mail")
    client.post("/checkout")

    assert "spring" == event_of(application, "bought")["business.campaign.name"]


# --- late -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arrangement", ["FastAPI's own, outside", "contrib's for FastAPI, outside"])
def test_background_tasks_reach_later_events_and_the_operation_does_not_wait_for_them(
    application: Application, memory: InMemoryMetricReader, arrangement: str
) -> None:
    """
    It is recorded with the answer's last byte; what they tell is counted late.
    """
    app: FastAPI = ARRANGEMENTS[arrangement](application)

    recorded = list[int]()

    def mail() -> None:
        bizspan.annotate(channel="mail")
        bizspan.event("mailed")
        take()
        recorded.append(len([log for log in application.logs() if log.event_name == "business.operation"]))

    @app.post("/orders/{order}/mail")
    async def send(order: str, tasks: BackgroundTasks) -> None:  # pyright: ignore[reportUnusedFunction]
        tasks.add_task(mail)

    with _mapped(app, "POST /orders/{order}/mail", "order.mail"):
        TestClient(app).post("/orders/7/mail", headers={"X-Segment": "gold"})
    [server] = [span for span in application.spans() if span.kind is SpanKind.SERVER]
    operation = event_of(application, "order.mail")
    [point] = points(memory.get_metrics_data(), names.METRIC_DURATION)
    pipeline = _active.current
    assert pipeline is not None

    assert [1] == recorded
    assert "mail" == event_of(application, "mailed")[CHANNEL]
    assert {CHANNEL}.isdisjoint({*operation, *point.attributes})
    assert (None, "success") == (server.attributes.get(CHANNEL), server.attributes[names.OPERATION_OUTCOME])
    assert 1 == pipeline.accounts.values_refused.values()["late"]


@contextmanager
def _mapped(app: Any, key: str, operation: str) -> Generator[None]:
    """One more route, in the map of the middleware that `app` was given."""
    [options] = [each.kwargs for each in app.user_middleware if each.cls is Bizspan]
    before = options["routes"]
    options["routes"] = {**before, key: operation}
    yield
    options["routes"] = before


def test_streaming_views_tell_until_the_last_part(application: Application) -> None:
    """
    A plain generator runs in threads, step by step: all of them are in the request's scope, and in its time.
    """
    app: FastAPI = _native_outside(application)

    def rows() -> Iterator[bytes]:
        for row in range(3):
            bizspan.annotate(order=f"o-{row}")
            bizspan.event("row")
            yield b"%d\n" % row

    @app.post("/export")
    async def export() -> StreamingResponse:  # pyright: ignore[reportUnusedFunction]
        return StreamingResponse(rows())

    with _mapped(app, "POST /export", "export"):
        response = TestClient(app).post("/export", headers={"X-Segment": "gold"})
    [server] = [span for span in application.spans() if span.kind is SpanKind.SERVER]
    take()
    told = [r.attributes[SEGMENT] for r in application.logs() if r.event_name == "row"]

    assert (b"0\n1\n2\n", ["gold"] * 3) == (response.content, told)
    assert "o-2" == server.attributes[names.ORDER] == event_of(application, "export")[names.ORDER]


def test_middlewares_that_run_the_view_in_a_task_change_nothing(application: Application) -> None:
    """
    `BaseHTTPMiddleware` does: facts reach the request all the same, from inside to outside too.
    """

    async def dispatch(request: StarletteRequest, call_next: Any) -> Any:
        response = await call_next(request)
        bizspan.event("outside")
        return response

    app: FastAPI = _native_outside(application)
    app.user_middleware.append(Middleware(BaseHTTPMiddleware, dispatch=dispatch))

    TestClient(app).post("/checkout", headers={"X-Segment": "gold"})

    assert {SEGMENT: "gold", PLAN: "pro"}.items() <= event_of(application, "outside").items()
    assert "success" == event_of(application, "checkout")[names.OPERATION_OUTCOME]


def test_a_websocket_carries_its_facts_for_the_whole_connection(application: Application) -> None:
    """
    Each message's event and the connection's span; it is an operation where the map says so.
    """
    app: FastAPI = _native_outside(application)

    @app.websocket("/chat")
    async def chat(websocket: WebSocket) -> None:  # pyright: ignore[reportUnusedFunction]
        await websocket.accept()
        async for order in websocket.iter_text():
            bizspan.event("said", order=order)

    with (
        _mapped(app, "WEBSOCKET /chat", "chat"),
        TestClient(app) as client,
        client.websocket_connect("/chat", headers={"X-Segment": "gold"}) as session,
    ):
        session.send_text("o-1")
        session.send_text("o-2")
    [server] = [span for span in application.spans() if span.kind is SpanKind.SERVER]
    take()
    told = [(r.attributes[names.ORDER], r.attributes[SEGMENT]) for r in application.logs() if r.event_name == "said"]

    assert [("o-1", "gold"), ("o-2", "gold")] == told
    assert ("gold", "success") == (server.attributes[SEGMENT], server.attributes[names.OPERATION_OUTCOME])
    assert "success" == event_of(application, "chat")[names.OPERATION_OUTCOME]


def test_revenue_by_configuration_alone(application: Application) -> None:
    """
    The view is as it was: the answer's JSON says what it earned.
    """

    def revenue(request: Request, response: Response) -> tuple[Any, str]:
        return response.json()["total"], "EUR"

    app = shop(application, telemetry=True)
    app.add_middleware(Bizspan, routes={"POST /checkout": {"operation": "checkout", "revenue": revenue}})

    TestClient(app).post("/checkout")

    assert 1999 == event_of(application, "checkout")["business.revenue.minor_units"]


def test_capture_sees_requests_of_the_test_client() -> None:
    """
    As an application's own tests would: no set-up but the middleware.
    """
    app = FastAPI()
    app.add_middleware(Bizspan, routes=ROUTES, resolver=by_header)

    @app.post("/checkout")
    async def checkout() -> None:  # pyright: ignore[reportUnusedFunction]
        bizspan.event("bought")

    from bizspan.testing import capture

    with capture() as captured:
        with TestClient(app) as client:  # with its lifespan
            client.post("/checkout", headers={"X-Segment": "gold"})
        [operation] = captured.operations("checkout", segment="gold")
        captured.assert_consistent()

        assert ("success", 1) == (operation.outcome, len(captured.events("bought", segment="gold")))
