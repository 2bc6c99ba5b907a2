"""Somebody logs in during a request: who acts is asked once more, and what was told before stays as it was."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

import bizspan
from bizspan import names
from bizspan.integrations.asgi import Bizspan, Request
from bizspan.testing import Capture, capture
from tests.asgi_app import BODY, START, Message, Receive, Scope, Send, http, run

ROUTES = {"POST /login": "login", "WEBSOCKET /chat": "chat"}


@pytest.fixture
def captured() -> Iterator[Capture]:
    """What the test tells."""
    with capture() as capturing:
        yield capturing


def segments(captured: Capture, name: str) -> list[Any]:
    """The segments of an event, in the order in which it was told."""
    return [event.attributes.get(names.SEGMENT) for event in captured.events(name)]


# --- Flask ----------------------------------------------------------------------------------------------------------


def flask_shop(asked: list[str], status: int = 200, **options: Any) -> Any:
    """An application with a view that logs in."""
    flask = pytest.importorskip("flask")
    integration = pytest.importorskip("bizspan.integrations.flask")

    def who(request: object) -> Mapping[str, str | None]:
        asked.append(flask.session.get("user", "nobody"))
        return {"segment": "gold" if "user" in flask.session else None}

    app = flask.Flask(__name__)
    app.secret_key = "s" * 32
    integration.Bizspan(app, routes=ROUTES, **{"resolver": who, **options})

    def login() -> Any:
        bizspan.event("before")
        flask.session["user"] = "ada"

        def parts() -> Iterator[str]:
            bizspan.event("later")
            yield "in"

        return parts(), status

    app.add_url_rule("/login", "login", login, methods=["POST"])
    return app


def test_a_login_in_a_view_of_flask_is_the_customers_operation(captured: Capture) -> None:
    """
    The operation and what comes later have the segment; what was told before the login has none.
    """
    asked: list[str] = []
    visitor = flask_shop(asked).test_client()
    assert "in" == visitor.post("/login").text

    assert ["nobody", "ada"] == asked
    assert 1 == len(captured.operations("login", segment="gold"))
    assert ([None], ["gold"]) == (segments(captured, "before"), segments(captured, "later"))

    visitor.post("/login")

    assert ["nobody", "ada", "ada"] == asked  # somebody was there: no second time
    assert [None, "gold"] == segments(captured, "before")


def test_flask_login_needs_no_help(captured: Capture) -> None:
    """
    `login_user()` is seen by a resolver that reads `current_user`.
    """
    flask = pytest.importorskip("flask")
    login = pytest.importorskip("flask_login")
    integration = pytest.importorskip("bizspan.integrations.flask")
    app = flask.Flask(__name__)
    app.secret_key = "s" * 32
    manager = login.LoginManager(app)

    class User(login.UserMixin):  # type: ignore[misc, name-defined]
        id = "ada"

    def load(identity: str) -> User:
        return User()

    def who(request: object) -> Mapping[str, Any]:
        return {"customer": getattr(login.current_user, "id", None)}

    manager.user_loader(load)
    integration.Bizspan(app, routes=ROUTES, resolver=who)
    app.add_url_rule("/login", "login", lambda: str(login.login_user(User())), methods=["POST"])
    app.test_client().post("/login")

    assert 1 == len(captured.operations("login", customer="ada"))


def test_it_is_not_asked_again_where_the_answer_is_an_error(captured: Capture) -> None:
    """
    A failed view may leave a database session that can't be used.
    """
    asked: list[str] = []
    flask_shop(asked, status=500).test_client().post("/login").close()

    assert ["nobody"] == asked
    assert 1 == len(captured.operations("login", outcome="failed"))


def test_after_the_functions_of_after_request_it_is_asked_again(captured: Capture) -> None:
    """
    They may commit what the view did, which a query of the resolver's must not break.
    """
    asked: list[str] = []
    app = flask_shop(asked)

    def commit(response: Any) -> Any:
        asked.append("commit")
        return response

    app.after_request(commit)
    app.test_client().post("/login").close()

    assert ["nobody", "commit", "ada"] == asked


def test_a_second_answer_that_raises_is_counted(captured: Capture) -> None:
    """
    The request goes on, and its operation is recorded without it.
    """
    captured.allow("extractor_failed")
    asked: list[object] = []

    def who(request: object) -> Mapping[str, str]:
        asked.append(request)
        if len(asked) > 1:
            raise LookupError
        return {}

    answer = flask_shop([], facts=who).test_client().post("/login")

    assert "in" == answer.text
    assert 1 == len(captured.operations("login", outcome="success"))
    assert {"extractor_failed": 1} == bizspan.diagnostics().values_refused


# --- ASGI -----------------------------------------------------------------------------------------------------------


def by_state(request: Request) -> Mapping[str, str | None]:
    """A resolver."""
    return {"segment": request.state.get("segment")}


@pytest.mark.parametrize(("status", "segment"), [(200, "gold"), (401, "gold"), (500, None)])
def test_a_login_in_an_asgi_application_is_the_customers_operation(
    captured: Capture, status: int, segment: str | None
) -> None:
    """
    What it finds out while it answers is known from the answer's first byte.
    """

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        bizspan.event("before")
        scope["state"] = {"segment": "gold"}
        await send({**START, "status": status})
        bizspan.event("later")
        await send(dict(BODY))

    run(Bizspan(app, routes=ROUTES, resolver=by_state), http(path="/login"))

    assert [segment] == [told.attributes.get(names.SEGMENT) for told in captured.operations("login")]
    assert ([None], [segment]) == (segments(captured, "before"), segments(captured, "later"))


def test_who_was_known_is_not_asked_again(captured: Capture) -> None:
    """
    A change of the user in the middle re-labels nothing.
    """
    asked: list[object] = []

    def who(request: Request) -> Mapping[str, str]:
        asked.append(request.state)
        return {"segment": request.state["segment"]}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        bizspan.event("before")
        scope["state"] = {"segment": "gold"}
        await send(dict(START))
        await send(dict(BODY))

    run(Bizspan(app, routes=ROUTES, resolver=who), {**http(path="/login"), "state": {"segment": "smb"}})

    assert 1 == len(asked)
    assert 1 == len(captured.operations("login", segment="smb"))


def test_a_client_of_a_websocket_may_say_who_it_is_by_a_message(captured: Capture) -> None:
    """
    Its conversation is the customer's.
    """
    messages = [{"type": "websocket.connect"}, {"type": "websocket.receive", "text": "gold"}]

    async def receive() -> Message:
        return messages.pop(0)

    async def send(message: Message) -> None:
        return None

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        scope["state"] = {"segment": (await receive())["text"]}
        await send({"type": "websocket.close"})

    scope: Scope = {"type": "websocket", "path": "/chat", "headers": []}
    asyncio.run(Bizspan(app, routes=ROUTES, resolver=by_state)(scope, receive, send))

    assert 1 == len(captured.operations("chat", segment="gold"))


def test_a_dependency_of_fastapi_says_who_acts(captured: Capture) -> None:
    """
    It runs after the first asking, where the view's span begins.
    """
    fastapi = pytest.importorskip("fastapi")
    testclient = pytest.importorskip("fastapi.testclient")

    async def authenticate(request: Any) -> None:
        bizspan.event("before")
        request.state.segment = "gold"

    authenticate.__annotations__["request"] = fastapi.Request  # which is no name of this module
    app = fastapi.FastAPI(dependencies=[fastapi.Depends(authenticate)])
    app.add_middleware(Bizspan, routes=ROUTES, resolver=by_state)
    app.add_api_route("/login", lambda: "in", methods=["POST"])
    testclient.TestClient(app).post("/login")

    assert 1 == len(captured.operations("login", segment="gold"))
    assert [None] == segments(captured, "before")
