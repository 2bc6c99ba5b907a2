"""Entries of a map of routes that match nothing in the application: one warning, with the nearest that would."""

from __future__ import annotations

from typing import Any

import pytest

import bizspan
from bizspan.integrations import _unmatched
from bizspan.integrations._routes import RouteMap
from bizspan.integrations._unmatched import Place, say_unmatched
from bizspan.integrations.asgi import Bizspan
from bizspan.testing import capture
from tests.asgi_app import BODY, START, http, run, shop

GET, POST = frozenset({"GET", "HEAD", "OPTIONS"}), frozenset({"POST", "OPTIONS"})
PLACES = [
    Place(("shop.checkout", "/checkout"), POST),
    Place(("orders", "/orders/<int:number>/pay"), POST),
    Place(("page", "/pages/<path:page>"), GET),
    Place(("any", "/any"), None),
    Place(("chat", "/chat"), frozenset({"WEBSOCKET"})),
]


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The warnings about routes, without what is the same in each."""
    texts = [record.message.partition("routes= match nothing in the application: ")[2] for record in caplog.records]
    return [text for text in texts if text]


@pytest.mark.parametrize(
    "key",
    [
        "POST /checkout", "/checkout", "shop.checkout", "POST /orders/{id}/pay", "/orders/7/pay", "GET /pages/a/b",
        "/pages/{name}", "DELETE /any", "WEBSOCKET /chat", "/no/such/*", "POST,PUT /checkout",
    ],
)  # fmt: skip
def test_what_matches_is_not_said(caplog: pytest.LogCaptureFixture, key: str) -> None:
    """
    A path, a template with parameters of another name, a name, some of the methods.
    """
    say_unmatched(RouteMap({key: "checkout"}), PLACES)

    assert [] == said(caplog)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("POST /chekout", "'POST /chekout' (did you mean '/checkout'?)."),
        ("/checkout/", "'/checkout/' (did you mean '/checkout'?)."),
        ("shop.chekout", "'shop.chekout' (did you mean 'shop.checkout'?)."),
        ("POST /order/<int:id>/pay", "'POST /order/<int:id>/pay' (did you mean '/orders/<int:number>/pay'?)."),
        ("GET /checkout", "'GET /checkout' (it is there for POST alone)."),
        ("/chat", "'/chat' (it is there for WEBSOCKET alone)."),
        ("/zzzzzzzzzz", "'/zzzzzzzzzz'."),
    ],
)
def test_what_matches_nothing_is_said_with_the_nearest(caplog: pytest.LogCaptureFixture, key: str, text: str) -> None:
    """
    By its name, or by the methods that are there.
    """
    say_unmatched(RouteMap({key: "checkout"}), PLACES)

    assert [text] == said(caplog)


def test_many_are_one_bounded_line(caplog: pytest.LogCaptureFixture) -> None:
    """
    The first five, and how many more.
    """
    say_unmatched(RouteMap({f"GET /{number}": "n" for number in range(8)}), PLACES[:1])

    assert ["'GET /0', 'GET /1', 'GET /2', 'GET /3', 'GET /4', and 3 more."] == said(caplog)


@pytest.mark.parametrize("places", [None, [], PLACES * 500])
def test_where_routes_are_not_known_nothing_is_said(caplog: pytest.LogCaptureFixture, places: Any) -> None:
    """
    Nor where there are too many to compare while a request waits.
    """
    say_unmatched(RouteMap({"GET /nowhere": "n"}), places)

    assert [] == said(caplog)


@pytest.mark.usefixtures("production_guard")
def test_routes_that_raise_harm_nobody(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The request is served.
    """
    monkeypatch.setattr(_unmatched, "get_close_matches", None)
    with capture(check=False) as captured:
        assert [START, BODY] == run(Bizspan(_routed(shop), routes={"POST /checkout": "checkout", "/x": "x"}))
        assert 1 == len(captured.operations("checkout"))
    assert [] == said(caplog)


def _routed(app: Any) -> Any:
    """An application around this one, with routes that anybody can see."""

    class Routed:
        def __init__(self) -> None:
            self.routes: list[object] = [_Route()]

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await app(scope, receive, send)

    return Routed()


class _Route:
    path, name, methods, endpoint = "/checkout", "checkout", {"POST"}, run


# --- in applications ------------------------------------------------------------------------------------------------


def test_flask_says_it_once_at_the_first_request(caplog: pytest.LogCaptureFixture) -> None:
    """
    When every rule was added, whatever came first.
    """
    flask = pytest.importorskip("flask")
    integration = pytest.importorskip("bizspan.integrations.flask")
    app = flask.Flask(__name__)
    integration.Bizspan(app, routes={"POST /checkout": "checkout", "POST /chekout": "typo", "static": "files"})
    app.add_url_rule("/checkout", "checkout", lambda: "sold", methods=["POST"])
    with capture():
        for _ in range(2):
            app.test_client().post("/checkout")

    assert ["'POST /chekout' (did you mean '/checkout'?)."] == said(caplog)


def fastapi_shop(**options: Any) -> Any:
    """An application with a router, a websocket, and another application inside."""
    fastapi = pytest.importorskip("fastapi")
    staticfiles = pytest.importorskip("starlette.staticfiles")
    app, router, inner = fastapi.FastAPI(), fastapi.APIRouter(prefix="/v1"), fastapi.FastAPI()

    async def pay() -> None:
        bizspan.event("paid")

    async def chat(websocket: Any) -> None:
        return None

    router.add_api_route("/orders/{number}/pay", pay, methods=["POST"], name="pay")
    inner.add_api_route("/stock", pay)
    app.include_router(router)
    app.add_api_websocket_route("/chat", chat)
    app.mount("/inner", inner)
    app.mount("/static", staticfiles.StaticFiles(directory="."))
    app.add_middleware(Bizspan, **options)
    return app


@pytest.mark.parametrize("wrapped", [False, True])
def test_fastapi_says_what_is_in_no_router_and_no_mount(caplog: pytest.LogCaptureFixture, wrapped: bool) -> None:
    """
    Inside of the application and around it.
    """
    matching = [
        "POST /v1/orders/{id}/pay", "pay", "WEBSOCKET /chat", "GET /inner/stock", "GET /stock", "GET /static/a.css",
        f"{__name__}.fastapi_shop.<locals>.pay",
    ]  # fmt: skip
    routes = {**dict.fromkeys(matching, "fine"), "POST /v1/order/{id}/pay": "typo", "GET /chat": "typo"}
    app = fastapi_shop(routes={} if wrapped else routes)
    served = Bizspan(app, routes=routes) if wrapped else app
    with capture():
        run(served, http("POST", "/v1/orders/7/pay"), [{"type": "http.request"}])

    [text] = said(caplog)
    first, second = text.split("), ")
    assert "'POST /v1/order/{id}/pay' (did you mean '/v1/orders/{number}/pay'?" == first
    assert "'GET /chat' (it is there for WEBSOCKET alone)." == second


def test_behind_a_prefix_the_whole_path_is_known(caplog: pytest.LogCaptureFixture) -> None:
    """
    As the map may have it too.
    """
    routes = {"/api/v1/orders/{id}/pay": "pay", "/v1/orders/{id}/pay": "pay"}
    app = fastapi_shop(routes=routes)
    with capture():
        run(app, http("POST", "/api/v1/orders/7/pay", root_path="/api"), [{"type": "http.request"}])

    assert [] == said(caplog)


def test_a_route_of_an_unknown_kind_makes_it_silent(caplog: pytest.LogCaptureFixture) -> None:
    """
    It may be what the map means.
    """
    app = _routed(shop)
    app.routes.append(object())
    with capture():
        run(Bizspan(app, routes={"POST /checkout": "checkout", "/elsewhere": "x"}))

    assert [] == said(caplog)
