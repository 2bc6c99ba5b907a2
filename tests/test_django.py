"""Django's requests as operations, with their facts on every signal: WSGI and ASGI, with OpenTelemetry and without."""

# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportIndexIssue=false
# mypy: ignore-errors
# Django ships no types.
from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Generator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import pytest

if find_spec("django") is None:
    pytest.skip("needs Django", allow_module_level=True)

from tests.django_site import started

# isort: split
# Models can be imported once a project has started.
import django
from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished
from django.db import connection, connections
from django.http import HttpResponse, StreamingHttpResponse
from django.test import AsyncClient, Client, RequestFactory, override_settings
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.instrumentation.django import DjangoInstrumentor
from opentelemetry.trace import SpanKind

import bizspan
from bizspan import _active, names
from bizspan.context import frame
from bizspan.integrations.django import Middleware
from bizspan.testing import Capture, capture
from tests.django_site import telemetry, urls
from tests.django_site.models import Order

assert started

TELEMETRY = "tests.django_site.telemetry"
ROUTES: dict[str, Any] = {
    "checkout": {"operation": "checkout", "revenue": f"{TELEMETRY}.total"},
    "checkout-async": {"operation": "checkout", "revenue": f"{TELEMETRY}.total"},
}
SINCE_5 = pytest.mark.skipif(django.VERSION < (5, 0), reason="request.auser() came with Django 5.0")
BOTH = pytest.mark.parametrize("way", ["wsgi", "asgi"])


@pytest.fixture(autouse=True)
def nothing_is_left() -> Generator[None]:
    """No request stays the scope of the thread that served it."""
    telemetry.asked.clear()
    yield
    assert frame.get() is None


@contextmanager
def site(**options: Any) -> Generator[None]:
    """The project with these options in ``BIZSPAN``."""
    with override_settings(BIZSPAN={"CONFIGURE": False, **options}):
        yield


@contextmanager
def instrumented(captured: Capture) -> Generator[None]:
    """OpenTelemetry's instrumentation of Django makes the entry spans."""
    instrumentor = DjangoInstrumentor()
    instrumentor.instrument(tracer_provider=captured._memory.tracer_provider)
    try:
        yield
    finally:
        instrumentor.uninstrument()


def client(way: str, **options: Any) -> Any:
    """Django's test client, or its asynchronous one behind the same calls."""
    return AwaitedClient(**options) if way == "asgi" else Client(**options)


class AwaitedClient(AsyncClient):
    """The asynchronous test client for tests that are not."""

    def request(self, **request: Any) -> Any:
        return async_to_sync(super().request)(**request)

    def generic(self, *args: Any, **kwargs: Any) -> Any:
        return super().generic(*args, **kwargs)

    def get(self, path: str, **options: Any) -> Any:
        return self.generic("GET", path, **options)

    def post(self, path: str, data: str = "", **options: Any) -> Any:
        return self.generic("POST", path, data, **options)


def buy(way: str, order: str = "o-1", **options: Any) -> Any:
    """Send one order of the segment s1."""
    path = "/checkout/async" if way == "asgi" else "/checkout"
    return client(way, **options).post(path, data=order, content_type="text/plain", headers={"X-Segment": "s1"})


def served(captured: Capture) -> list[Any]:
    """The entry spans."""
    return [span for span in captured.spans() if span.kind is SpanKind.SERVER]


# --- a request is an operation ----------------------------------------------------------------------------------------


@BOTH
def test_a_request_is_an_operation_by_the_name_of_its_view(way: str) -> None:
    """
    An unchanged view becomes an operation with revenue and the resolver's facts, and so does what is told in it.
    """
    with site(ROUTES=ROUTES, RESOLVER=f"{TELEMETRY}.by_header"), capture() as captured:
        assert b"o-1 s1" == buy(way).content

        assert 1 == len(captured.operations("checkout", outcome="success", segment="s1", order="o-1"))
        assert 1 == len(captured.events(urls.INNER, segment="s1", order="o-1"))
        assert bizspan.Money("42.00", "EUR") == captured.revenue("EUR", segment="s1")
        captured.assert_consistent()


@BOTH
@pytest.mark.parametrize("trusted", [["/checkout*"], False])
def test_facts_of_another_service_are_taken_where_it_is_trusted(way: str, trusted: Any) -> None:
    """
    Declared ones of the header; below what the site itself knows.
    """
    shop = bizspan.Vocabulary("shop", propagate=["segment", "plan"])
    header = "business.plan=pro,business.customer.segment=theirs,business.order.id=o-2"
    with (
        site(ROUTES=ROUTES, RESOLVER=f"{TELEMETRY}.by_header", TRUST_BAGGAGE=trusted),
        capture(vocabulary=shop, check=False) as captured,
    ):
        client(way).post(
            "/checkout", data="o-1", headers={"X-Segment": "s1", "baggage": header}, content_type="text/plain"
        )

        (event,) = captured.operations("checkout", segment="s1", order="o-1")
        assert ("pro" if trusted else None) == event.attributes.get(names.PLAN)


@BOTH
def test_a_middleware_that_is_listed_twice_counts_once(way: str) -> None:
    """
    Checks run with `manage.py`, not in a server: revenue must be right there too.
    """
    twice = [*settings.MIDDLEWARE, "bizspan.integrations.django.Middleware"]
    with site(ROUTES=ROUTES), override_settings(MIDDLEWARE=twice), capture() as captured:
        buy(way)

        assert 1 == len(captured.operations("checkout"))
        assert bizspan.Money("42.00", "EUR") == captured.revenue("EUR")


@pytest.mark.parametrize(
    "key",
    [
        "checkout",
        "POST checkout",
        "/checkout",
        "POST /checkout",
        "tests.django_site.urls.checkout",
    ],
)
def test_a_route_is_named_as_django_or_the_address_has_it(key: str) -> None:
    """
    The view's name, its dotted path, and the address, each with and without a method, find the request.
    """
    with site(ROUTES={key: "checkout"}), capture() as captured:
        buy("wsgi")

        assert 1 == len(captured.operations("checkout"))


@pytest.mark.parametrize(
    "key", ["store:cart", "shop:cart", "/shop/cart/<int:number>/", "/shop/cart/{n}/", "tests.django_site.urls.Cart"]
)
def test_a_class_based_view_in_a_namespace_is_found(key: str) -> None:
    """
    By its namespace of the instance or of the application, by its template of the path, and by its class.
    """
    with site(ROUTES={key: "cart.show"}), capture() as captured:
        Client().get("/shop/cart/7/")

        assert 1 == len(captured.operations("cart.show"))


@BOTH
def test_all_signals_of_a_request_carry_its_facts(way: str) -> None:
    """
    The entry span, the spans of others inside, the inner event and the metric points have the resolver's segment.
    """

    def traced(execute: Callable[..., Any], *query: Any) -> Any:
        with captured._memory.tracer_provider.get_tracer("database").start_as_current_span("SELECT"):
            return execute(*query)

    with site(ROUTES={"count": "count"}, RESOLVER=f"{TELEMETRY}.by_header"), capture() as captured:
        with instrumented(captured), connection.execute_wrapper(traced):
            client(way).get("/count/", headers={"X-Segment": "s1"})

        (entry,) = served(captured)
        assert "count" == entry.attributes[names.OPERATION_NAME]
        assert ["s1"] == [span.attributes[names.SEGMENT] for span in captured.spans("SELECT")]
        assert "s1" == entry.attributes[names.SEGMENT]
        assert 1 == captured.metric(names.METRIC_DURATION, segment="s1")
        captured.assert_consistent()


@BOTH
def test_what_is_learned_late_lands_on_the_entry_span(way: str) -> None:
    """
    `annotate()` in a view, and an inner `context()`, reach the entry span and the request's operation.
    """
    with site(ROUTES={"learn": "learn"}), capture() as captured:
        with instrumented(captured):
            client(way).get("/learn/")

        (entry,) = served(captured)
        assert ("pro", "app") == (entry.attributes[names.PLAN], entry.attributes[names.CHANNEL])
        assert 1 == len(captured.operations("learn", plan="pro", channel="app"))
        assert 1 == captured.metric(names.METRIC_DURATION, plan="pro", channel="app")
        captured.assert_consistent()


def test_asgi_instrumentation_around_the_application_makes_the_entry_span() -> None:
    """
    The span that wraps the whole of Django gets the facts as well.
    """
    with site(RESOLVER=f"{TELEMETRY}.by_header"), capture() as captured:
        app = OpenTelemetryMiddleware(ASGIHandler(), tracer_provider=captured._memory.tracer_provider)

        asyncio.run(call(app, "/quiet/", headers=[(b"x-segment", b"s1")]))

        assert ["s1"] == [span.attributes[names.SEGMENT] for span in served(captured)]


async def call(app: Any, path: str, headers: Any = (), leave_after: int | None = None) -> list[Any]:
    """Send one GET to an ASGI application; hang up after so many messages."""
    scope = {
        "type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
        "headers": [(b"host", b"testserver"), *headers], "http_version": "1.1", "scheme": "http",
        "client": ("127.0.0.1", 1), "server": ("testserver", 80), "asgi": {"version": "3.0"},
    }  # fmt: skip
    sent: list[Any] = []
    gone = asyncio.Event()
    requests = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> Any:
        for message in requests:
            return message
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)
        if len(sent) == leave_after:
            gone.set()
            await asyncio.Event().wait()  # a client that reads no more

    await app(scope, receive, send)
    return sent


def test_a_request_that_nobody_samples_is_counted_all_the_same() -> None:
    """
    Without a recorded span the operation, the event and the points are complete.
    """
    with site(ROUTES=ROUTES, RESOLVER=f"{TELEMETRY}.by_header"), capture(sampled=False) as captured:
        with instrumented(captured):
            buy("wsgi")

        assert [] == captured.spans()
        assert 1 == captured.metric(names.METRIC_DURATION, segment="s1")
        assert 1 == len(captured.events(urls.INNER, segment="s1"))


@BOTH
def test_a_request_while_nothing_is_configured_is_left_alone(way: str) -> None:
    """
    The answer is the view's, and nobody is asked for facts.
    """
    with site(ROUTES=ROUTES, RESOLVER=f"{TELEMETRY}.by_header"):
        assert _active.pipeline() is None

        assert b"o-1 s1" == buy(way).content
    assert [] == telemetry.asked


def test_excluded_paths_are_left_alone() -> None:
    """
    What EXCLUDE names is no operation and asks nobody.
    """
    with site(ROUTES={"quiet": "quiet"}, RESOLVER=f"{TELEMETRY}.by_header", EXCLUDE=["/qui*"]), capture() as captured:
        Client().get("/quiet/")

        assert [] == captured.operations()
    assert [] == telemetry.asked


def test_a_view_without_the_middleware_works() -> None:
    """
    A request of RequestFactory that is handed to a view has no visit, and its events are told.
    """
    with site(), capture() as captured:
        captured.allow("no_target")  # there is no operation to annotate
        request = RequestFactory().post("/checkout", data="o-1", content_type="text/plain")

        assert 200 == urls.checkout(request).status_code
        assert 1 == len(captured.events(urls.INNER, order="o-1"))


def test_the_middleware_works_by_itself() -> None:
    """
    Called with a request of RequestFactory, outside of Django's handler, it answers and records.
    """
    with site(ROUTES={"/anything": "anything"}), capture() as captured:
        response = Middleware(lambda request: HttpResponse("ok"))(RequestFactory().get("/anything"))

        assert b"ok" == response.content
        assert 1 == len(captured.operations("anything"))


# --- who ------------------------------------------------------------------------------------------------------------


@BOTH
def test_the_resolver_is_asked_once(way: str) -> None:
    """
    An operation, an event and a span in one request need the facts, and there is one question.
    """
    with site(ROUTES=ROUTES, RESOLVER=f"{TELEMETRY}.by_header"), capture() as captured, instrumented(captured):
        buy(way)

    assert 1 == len(telemetry.asked)


@BOTH
def test_nobody_is_asked_in_a_transaction_of_the_view(way: str) -> None:
    """
    A query of the resolver that fails would break it, so the question comes before ATOMIC_REQUESTS begins one.
    """
    asked: list[bool] = []

    def who(request: Any) -> dict[str, str]:
        asked.append(connection.in_atomic_block)
        return {"segment": "s1"}

    with site(ROUTES={"/checkout/stored": "checkout"}, RESOLVER=who), atomic_requests(), capture() as captured:
        client(way).post("/checkout/stored", data="o-asked", content_type="text/plain")

        assert 1 == len(captured.events(urls.INNER, segment="s1"))
    assert [False] == asked
    Order.objects.all().delete()


@BOTH
@pytest.mark.parametrize("resolver", ["by_user", pytest.param("by_user_async", marks=SINCE_5)])
def test_the_resolver_reads_the_user_from_the_database(way: str, resolver: str) -> None:
    """
    Plain and async resolvers reach the user behind WSGI and ASGI, where the event loop allows no database.
    """
    with site(ROUTES=ROUTES, RESOLVER=f"{TELEMETRY}.{resolver}"), capture() as captured:
        browser = client(way)
        browser.force_login(User.objects.get(username="ada"))
        path = "/checkout/async" if way == "asgi" else "/checkout"
        browser.post(path, data="o-1", content_type="text/plain")

        (event,) = captured.events(urls.INNER, segment="gold")
        assert event.attributes[names.CUSTOMER] not in (None, "ada")
        assert 1 == len(captured.operations("checkout", segment="gold", customer="ada"))


def test_an_async_view_under_wsgi_gets_the_facts() -> None:
    """
    Django runs it on an event loop of its own, where the resolver could not use the database.
    """
    with site(ROUTES=ROUTES, RESOLVER=f"{TELEMETRY}.by_user"), capture() as captured:
        browser = Client()
        browser.force_login(User.objects.get(username="ada"))
        browser.post("/checkout/async", data="o-1", content_type="text/plain")

        assert 1 == len(captured.events(urls.INNER, segment="gold"))


def test_the_user_is_loaded_once_where_queries_are_traced() -> None:
    """
    A span of the query that loads the user does not make the resolver load it again.
    """
    queries: list[str] = []

    def traced(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        queries.append(sql)
        with captured._memory.tracer_provider.get_tracer("database").start_as_current_span("SELECT"):
            return execute(sql, *rest)

    with site(RESOLVER=f"{TELEMETRY}.by_user"), capture() as captured:
        browser = Client()
        browser.force_login(User.objects.get(username="ada"))
        with instrumented(captured), connection.execute_wrapper(traced):
            assert b"True" == browser.get("/greet/").content

        assert 2 == len(queries), queries  # the session and the user
        assert ["gold"] == [span.attributes[names.SEGMENT] for span in served(captured)]


@BOTH
@pytest.mark.parametrize("resolver", ["broken", "broken_async"])
def test_a_resolver_that_raises_harms_nobody(way: str, resolver: str) -> None:
    """
    The answer is the view's, the operation is recorded, and the failure is counted.
    """
    with site(ROUTES=ROUTES, RESOLVER=f"{TELEMETRY}.{resolver}"), capture() as captured:
        captured.allow("extractor_failed")

        assert 200 == buy(way).status_code
        assert 1 == len(captured.operations("checkout", outcome="success", order="o-1"))
        assert 1 == captured._pipeline.accounts.values_refused.values()["extractor_failed"]


@BOTH
@pytest.mark.parametrize("resolver", ["by_user", pytest.param("by_user_async", marks=SINCE_5)])
def test_who_logs_in_during_the_request_is_its_customer(way: str, resolver: str) -> None:
    """
    A signup is the operation of the customer that it made, although nobody was there when it began.
    """
    if way == "asgi" and django.VERSION < (5, 0):
        pytest.skip("alogin() came with Django 5.0")
    path = "/sign-up/async/" if way == "asgi" else "/sign-up/"
    routes = {"sign-up": "signup", "sign-up-async": "signup"}
    with site(ROUTES=routes, RESOLVER=f"{TELEMETRY}.{resolver}"), capture() as captured:
        with instrumented(captured):
            client(way).get(path)

        assert 1 == len(captured.operations("signup", segment="gold", customer="ada"))
        assert ["gold"] == [span.attributes[names.SEGMENT] for span in served(captured)]


@BOTH
def test_staff_is_told_by_the_user(way: str) -> None:
    """
    The predicate sees who is logged in; the traffic of others is nobody's but a customer's.
    """
    with site(ROUTES={"quiet": "quiet"}, STAFF=f"{TELEMETRY}.is_staff"), capture() as captured:
        for name in ("ada", "root"):
            browser = client(way)
            browser.force_login(User.objects.get(username=name))
            browser.get("/quiet/")

        assert [None, "staff"] == [
            operation.attributes.get(names.TRAFFIC) for operation in captured.operations("quiet")
        ]


def test_one_function_replaces_everything() -> None:
    """
    FACTS gives every fact, and no other option is asked.
    """
    options = {"FACTS": f"{TELEMETRY}.by_header", "CHANNEL": "web", "ROUTES": ROUTES}
    with site(**options), capture() as captured:
        buy("wsgi")

        (operation,) = captured.operations("checkout", segment="s1")
        assert names.CHANNEL not in operation.attributes


# --- the session -----------------------------------------------------------------------------------------------------


@BOTH
def test_a_campaign_is_kept_in_the_session_that_the_application_has(way: str) -> None:
    """
    Who came by a campaign and has a session buys by it in a later request.
    """
    with site(ROUTES={"quiet": "quiet"}), capture() as captured:
        browser = client(way)
        browser.get("/touch/?utm_campaign=summer&utm_source=news")
        browser.get("/quiet/")

        assert 1 == len(captured.operations("quiet", campaign="summer", campaign_source="news"))


@pytest.mark.parametrize(("campaign", "remembered"), [("first", "summer"), ("last", "autumn")])
def test_the_first_or_the_last_touch_counts(campaign: str, remembered: str) -> None:
    """
    As CAMPAIGN says.
    """
    with site(ROUTES={"quiet": "quiet"}, CAMPAIGN=campaign), capture() as captured:
        browser = Client()
        browser.get("/touch/?utm_campaign=summer")
        browser.get("/touch/?utm_campaign=autumn")
        browser.get("/quiet/")

        assert 1 == len(captured.operations("quiet", campaign=remembered))


@BOTH
def test_no_session_is_made_for_a_visitor(way: str) -> None:
    """
    A campaign counts for its own request; no session, no cookie and no `Vary` come of it.
    """
    before = Session.objects.count()
    with site(ROUTES={"quiet": "quiet"}), capture() as captured:
        response = client(way).get("/quiet/?utm_campaign=summer")

        assert 1 == len(captured.operations("quiet", campaign="summer"))
    assert (before, "", {}) == (Session.objects.count(), response.headers.get("Vary", ""), dict(response.cookies))


@BOTH
def test_reading_the_session_does_not_make_an_answer_vary(way: str) -> None:
    """
    A shared cache may keep a page that does not depend on who asks, also for visitors with a session.
    """
    with site(ROUTES={"quiet": "quiet"}, SESSION=True), capture() as captured:
        browser = client(way)
        browser.get("/touch/?utm_campaign=summer")
        response = browser.get("/quiet/", headers={"User-Agent": "Googlebot/2.1"})

        (operation,) = captured.operations("quiet", campaign="summer", traffic="bot")
        session = operation.attributes[names.SESSION]
    assert browser.cookies[settings.SESSION_COOKIE_NAME].value != session
    assert {"Vary"}.isdisjoint(dict(response.items()))


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


@contextmanager
def atomic_requests() -> Generator[None]:
    """Each view runs in a transaction."""
    database = connections.settings["default"]
    before = database["ATOMIC_REQUESTS"]
    database["ATOMIC_REQUESTS"] = True
    try:
        yield
    finally:
        database["ATOMIC_REQUESTS"] = before


# --- bodies -----------------------------------------------------------------------------------------------------------


@BOTH
def test_a_streaming_body_runs_in_the_scope_of_its_request(way: str) -> None:
    """
    What is told while the body is sent carries the request's facts; the operation ends with the last byte.
    """
    path = "/stream/async/" if way == "asgi" else "/stream/"
    with site(ROUTES={path: "export"}, RESOLVER=f"{TELEMETRY}.by_header"), capture() as captured:
        response = client(way).get(path, headers={"X-Segment": "s1"})
        assert [] == captured.operations()

        assert b"0\n1\n2\n" == body_of(response)
        response.close()
        (operation,) = captured.operations("export", outcome="success", segment="s1")
        told = captured.events(segment="s1")
        assert ["row.made", "row.made", "row.made", "row.sent"] == [event.name for event in told]
        assert {operation.attributes[names.OPERATION_ID]} == {e.attributes[names.OPERATION_ID] for e in told}


def body_of(response: Any) -> bytes:
    """The whole body, as its server would read it."""
    if not response.is_async:
        return b"".join(response.streaming_content)

    async def read() -> bytes:
        return b"".join([part async for part in response])

    return asyncio.run(read())


def test_a_body_with_a_bug_has_failed() -> None:
    """
    The exception reaches the server, and the operation has failed.
    """
    with site(ROUTES={"stream-broken": "export"}), capture() as captured:
        response = Client().get("/stream/broken/")
        with pytest.raises(LookupError, match="no such row"):
            body_of(response)
        response.close()

        (operation,) = captured.operations("export", outcome="failed")
        assert "LookupError" == operation.attributes[names.ERROR_TYPE]


@pytest.mark.parametrize("parts", [0, 1])
def test_a_body_that_is_not_read_to_its_end_ends_with_the_response(parts: int) -> None:
    """
    A server closes the response of a client that left; what the body tells then is told in the request's scope.
    """
    with site(ROUTES={"stream": "export"}, RESOLVER=f"{TELEMETRY}.by_header"), capture() as captured:
        response = Client().get("/stream/", headers={"X-Segment": "s1"})
        content = iter(response.streaming_content)
        for _ in range(parts):
            next(content)
        response.close()

        outcome = ("success", None) if parts == 0 else ("cancelled", "client_disconnected")
        assert [outcome] == [(told.outcome, told.reason) for told in captured.operations("export", segment="s1")]
        assert parts == len(captured.events("row.sent", segment="s1"))


def test_a_response_that_another_one_replaced_ends_its_request() -> None:
    """
    A middleware further out may answer 304 in place of a body, which nobody then closes.
    """
    with site(ROUTES={"/x": "export"}), capture() as captured:
        Middleware(lambda request: StreamingHttpResponse(iter([b"x"])))(RequestFactory().get("/x"))
        gc.collect()

        assert 1 == len(captured.operations("export"))


@pytest.mark.skipif(django.VERSION < (5, 0), reason="Django 4.2 sends on to a client that hung up")
def test_a_client_that_leaves_a_stream_under_asgi_ends_it() -> None:
    """
    Django closes the response of a client that hung up; the clean-up of its body still is in the request.
    """
    options = {"ROUTES": {"stream-async": "export"}, "RESOLVER": f"{TELEMETRY}.by_header"}
    with site(**options), capture() as captured:
        app = ASGIHandler()
        sent = asyncio.run(call(app, "/stream/async/", headers=[(b"x-segment", b"s1")], leave_after=2))

        assert b"0\n" == sent[1]["body"]
        (operation,) = captured.operations("export", segment="s1")
        assert ("cancelled", "client_disconnected") == (operation.outcome, operation.reason)
        assert 1 == len(captured.events("row.sent", segment="s1"))


def test_files_stay_the_servers_to_send() -> None:
    """
    A server with sendfile finds the file, closing the response closes it, and the operation is the view's.
    """
    with site(ROUTES={"download": "download"}), capture() as captured:
        with instrumented(captured):
            handler = WSGIHandler()
            # Not by a test client: it reads the body in its own way.
            response = handler.get_response(RequestFactory().get("/download/"))

        file = response.file_to_stream
        assert 1 == len(captured.operations("download", outcome="success"))
        assert b"a,b\n1,2\n" == b"".join(response.streaming_content)
        response.close()
        assert file.closed
        assert ["success"] == [span.attributes[names.OPERATION_OUTCOME] for span in served(captured)]


@BOTH
def test_a_page_that_is_rendered_late_is_part_of_its_request(way: str) -> None:
    """
    What a template tells is told in the request's scope and operation.
    """
    with site(ROUTES={"page": "page"}, RESOLVER=f"{TELEMETRY}.by_header"), capture() as captured:
        assert b"hello" == client(way).get("/page/", headers={"X-Segment": "s1"}).content

        (operation,) = captured.operations("page")
        (event,) = captured.events("page.rendered", segment="s1")
        assert event.attributes[names.OPERATION_ID] == operation.attributes[names.OPERATION_ID]


@pytest.mark.parametrize("path", ["/quiet/", "/stream/", "/download/"])
def test_the_request_is_finished_once(path: str) -> None:
    """
    Django's signal comes once, when the response is closed.
    """
    times: list[object] = []

    def finished(**about: object) -> None:
        times.append(about["sender"])

    with site(), capture():
        response = Client().get(path)
        if response.streaming:
            b"".join(response.streaming_content)
        times.clear()
        request_finished.connect(finished)
        try:
            response.close()
        finally:
            request_finished.disconnect(finished)
        assert 1 == len(times)


# --- hostile requests -------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(
    "query",
    [
        "utm_campaign=%ff%fe%00&utm_source=%0d%0a",
        "utm_campaign=" + "x" * 100_000,
        "&".join(f"utm_campaign={number}" for number in range(5_000)),
        "utm_campaign[]=1&=&&&%",
    ],
    ids=["bytes", "long", "many", "broken"],
)
def test_a_hostile_query_is_answered_and_bounded(way: str, query: str) -> None:
    """
    Whatever stands in the address, the answer is the view's, and what is recorded is short text without control.
    """
    with site(ROUTES={"quiet": "quiet"}, COUNTRY_HEADER="CF-IPCountry"), capture(check=False) as captured:
        headers = {"CF-IPCountry": "T1", "User-Agent": "bot" * 300_000, "X-Forwarded-For": "1" * 100_000}
        assert 200 == client(way).get(f"/quiet/?{query}", headers=headers).status_code

        (operation,) = captured.operations("quiet")
        assert names.COUNTRY not in operation.attributes
        campaign = operation.attributes.get(names.CAMPAIGN, "")
        assert len(campaign) <= 256
        assert campaign.isprintable()
